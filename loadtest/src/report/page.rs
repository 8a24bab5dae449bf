//! The HTML page: goals first, then who was measured, then each question with its plots and numbers.

mod experiment;
mod figures;

use super::markup::{Attribute, Markup};
use super::number;
use crate::noise::Noise;
use crate::results::{Goal, Outcome, Results, Subject};
use crate::statistics::Estimate;

const STYLE: &str = include_str!("style.css");
/// Nothing is fetched and nothing runs, whatever stands in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// One self-contained HTML page. It is well-formed XML, too.
pub fn html(results: &Results) -> String {
    let mut html = Markup::default();
    let title = format!("What enforcement costs, {}", results.started);
    html.within("html", &[("lang", &"en")], |html| {
        html.within("head", &[], |head| {
            head.empty("meta", &[("charset", &"utf-8")]);
            head.empty("meta", &[("http-equiv", &"Content-Security-Policy"), ("content", &POLICY)]);
            head.empty("meta", &[("name", &"viewport"), ("content", &"width=device-width, initial-scale=1")]);
            head.element("title", &[], &title);
            head.style(STYLE);
        });
        html.line();
        html.within("body", &[], |body| {
            body.within("main", &[], |main| {
                beginning(main, results);
                goals(main, &results.goals);
                targets(main, &results.targets);
                for experiment in &results.experiments {
                    experiment::section(main, results, experiment);
                }
            });
        });
    });
    html.document()
}

/// Machine in one line.
pub fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let guest = match &machine.virtualised {
        Some(of) => format!("guest of {of}"),
        None => "bare metal".to_owned(),
    };
    let governor = machine.governor.as_ref().map_or_else(String::new, |governor| format!(", governor {governor}"));
    let memory = number::bytes(machine.memory_bytes);
    format!("{}, {} cores, {guest}, {memory}, {}{governor}", machine.processor, machine.cores, machine.kernel)
}

fn beginning(main: &mut Markup, results: &Results) {
    main.element("h1", &[], "What enforcement costs");
    let took = number::duration(results.seconds);
    main.element("p", &[("class", &"soft")], &format!("Measured {} in {took}.", results.started));
    if results.quick {
        let text = "This was a quick run, for trying out: its figures prove nothing. Measure again without --quick.";
        main.element("p", &[("class", &"banner")], text);
    }
    if let Some(why) = &results.partial {
        main.element("p", &[("class", &"banner")], &format!("Not all was measured: {why}."));
    }
    if let Some(why) = &results.partial {
        main.element("p", &[("class", &"banner")], &format!("Not everything was measured: {why}."));
    }
    main.within("dl", &[("class", &"facts")], |list| {
        list.element("dt", &[], "machine");
        list.element("dd", &[], &machine(results));
        list.element("dt", &[], "steadiness");
        list.element("dd", &[], &steadiness(results.noise.as_ref()));
        list.element("dt", &[], "command");
        list.within("dd", &[], |place| place.element("code", &[], &results.command));
    });
    let about = "Targets took turns in short slices of the same load. CPU is what the kernel counted for all threads of \
                 a target. With each value stands its 95 % interval. Only figures of one run may be \
                 compared with each other.";
    main.element("p", &[], about);
    if results.experiments.len() > 1 {
        main.within("nav", &[("aria-label", &"experiments")], |nav| {
            nav.within("ul", &[], |list| {
                for (at, experiment) in results.experiments.iter().enumerate() {
                    let place = format!("#{}", experiment::anchor(at));
                    list.within("li", &[], |item| item.element("a", &[("href", &place)], &experiment.title));
                }
            });
        });
    }
}

/// How steady the machine was, in a sentence.
pub fn steadiness(noise: Option<&Noise>) -> String {
    let Some(noise) = noise else { return "not looked at".to_owned() };
    let complaints = noise.complaints();
    if complaints.is_empty() {
        let (spread, drift, steal) = (noise.spread * 100.0, noise.drift * 100.0, noise.steal * 100.0);
        return format!(
            "quiet: the same small work spread by {spread:.1} % and drifted by {drift:.1} % over the run; the \
             hypervisor took {steal:.1} %"
        );
    }
    format!("noisy: {}", complaints.join("; "))
}

fn goals(main: &mut Markup, goals: &[Goal]) {
    if goals.is_empty() {
        return;
    }
    main.element("h2", &[("id", &"goals")], "Goals");
    let about = "Met: the whole interval is on the good side of the goal. Missed: the whole interval is on the bad \
                 side. Undecided: the goal lies within it.";
    main.element("p", &[("class", &"soft")], about);
    scrolled(main, |table| {
        head(table, &[("outcome", false), ("figure", false), ("measured", true), ("goal", false)]);
        for goal in goals {
            table.within("tr", &[], |row| {
                let (sign, class) = sign(goal.outcome);
                let class = format!("outcome {class}");
                row.element("td", &[("class", &class)], &format!("{sign} {}", goal.outcome.word()));
                row.within("td", &[("class", &"words")], |cell| {
                    cell.text(&goal.figure);
                    if let Some(note) = &goal.note {
                        cell.element("small", &[("class", &"note")], note);
                    }
                });
                row.within("td", &[("class", &"number")], |cell| interval(cell, goal.measured, "×"));
                row.element("td", &[], &goal.goal);
            });
        }
    });
}

/// A value with its interval below it.
fn interval(cell: &mut Markup, estimate: Option<Estimate>, unit: &str) {
    let Some(estimate) = estimate else { return cell.text("–") };
    cell.text(&number::of_unit(estimate.value, unit));
    if estimate.low.is_finite() && estimate.high.is_finite() {
        let (low, high) = (number::of_unit(estimate.low, unit), number::of_unit(estimate.high, unit));
        cell.element("small", &[], &format!("{low} to {high}"));
    }
}

/// A sign that needs no colour, and the class of the colour.
pub fn sign(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Met => ("✓", "met"),
        Outcome::Missed => ("✗", "missed"),
        Outcome::Undecided => ("?", "undecided"),
        Outcome::NotMeasured => ("–", "not-measured"),
    }
}

fn targets(main: &mut Markup, targets: &[Subject]) {
    if targets.is_empty() {
        return;
    }
    main.element("h2", &[("id", &"targets")], "Targets");
    let about = "Before anything was timed, each target had to give the expected answers to the same probe requests. One \
                 that did not does other work, and is not ranked.";
    main.element("p", &[("class", &"soft")], about);
    scrolled(main, |table| {
        head(table, &[("target", false), ("version", false), ("ranked", false), ("probes", true), ("from", false)]);
        for target in targets {
            table.within("tr", &[], |row| {
                row.element("td", &[], &target.name);
                row.element("td", &[], &target.version);
                if target.ranked {
                    row.element("td", &[("class", &"met")], "✓ yes");
                } else {
                    let why = target.why_not.as_deref().unwrap_or("it did not give the expected answers");
                    row.element("td", &[("class", &"words unranked")], &format!("✗ no: {why}"));
                }
                let passed = target.probes.iter().filter(|probe| probe.passed).count();
                let of = target.probes.len();
                let probes = if of == 0 { "none".to_owned() } else { format!("{passed} of {of}") };
                row.element("td", &[("class", &"number")], &probes);
                row.element("td", &[("class", &"words")], &target.obtained);
            });
        }
    });
    probes(main, targets);
}

fn probes(main: &mut Markup, targets: &[Subject]) {
    if targets.iter().all(|target| target.probes.is_empty()) {
        return;
    }
    main.within("details", &[], |details| {
        details.element("summary", &[], "Every probe and its answer");
        scrolled(details, |table| {
            let names = ["target", "work", "request", "expected", "found"];
            head(table, &names.map(|name| (name, false)));
            for (target, probe) in
                targets.iter().flat_map(|target| target.probes.iter().map(move |probe| (target, probe)))
            {
                table.within("tr", &[], |row| {
                    row.element("td", &[], &target.name);
                    row.element("td", &[], &probe.work);
                    row.element("td", &[("class", &"words")], &probe.request);
                    row.element("td", &[], &probe.expected);
                    let (sign, class) = if probe.passed { ("✓", "met") } else { ("✗", "missed") };
                    row.element("td", &[("class", &format!("words {class}"))], &format!("{sign} {}", probe.found));
                });
            }
        });
    });
}

/// A table that scrolls by itself where the screen is narrow.
fn scrolled(html: &mut Markup, body: impl FnOnce(&mut Markup)) {
    let attributes: [Attribute<'_>; 3] = [("class", &"scroll"), ("tabindex", &"0"), ("role", &"region")];
    html.within("div", &[attributes[0], attributes[1], attributes[2], ("aria-label", &"table")], |place| {
        place.within("table", &[], body);
    });
    html.line();
}

/// Headings; whether numbers stand below.
fn head(table: &mut Markup, names: &[(&str, bool)]) {
    table.within("tr", &[], |row| {
        for (name, numbers) in names {
            let class = if *numbers { "number" } else { "" };
            row.element("th", &[("scope", &"col"), ("class", &class)], name);
        }
    });
}
