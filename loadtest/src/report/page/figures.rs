//! The plots of one experiment, each with its numbers and with machine, versions and command.

use super::experiment::numbers;
use crate::report::groups::{Column, Group, compares, usual};
use crate::report::markup::Markup;
use crate::report::number;
use crate::report::plot::{self, Axis, Bar, Bars, Line, Lines, Scale, Style};
use crate::results::{Curve, CurvePoint, Experiment, Results, Row};
use crate::statistics::Figure;

/// Plots of one kind in an experiment; the tables hold the rest.
const FIGURES_MAX: usize = 24;
/// Percentiles that stand in the table below the plot.
const TOLD: [(f64, &str); 6] =
    [(50.0, "p50"), (90.0, "p90"), (99.0, "p99"), (99.9, "p99.9"), (99.99, "p99.99"), (100.0, "slowest")];

/// What all plots of an experiment share.
struct Place<'r> {
    results: &'r Results,
    experiment: &'r Experiment,
}

pub fn all(html: &mut Markup, results: &Results, experiment: &Experiment, groups: &[Group<'_>], columns: &[Column]) {
    let place = Place { results, experiment };
    // What a closed loop gives besides CPU stands in the table and among the percentiles; a difference in the table.
    let plotted = |column: &&Column| {
        column.name == Figure::CpuUs.name() || !(usual(&column.name) || column.name.ends_with("_difference"))
    };
    for column in columns.iter().filter(plotted).take(FIGURES_MAX) {
        place.bars(html, groups, column);
    }
    for group in groups.iter().take(FIGURES_MAX) {
        place.percentiles(html, group);
    }
    let mut works: Vec<&str> = experiment.curves.iter().map(|curve| curve.work.as_str()).collect();
    works.sort_unstable();
    works.dedup();
    for work in works.into_iter().take(FIGURES_MAX) {
        let curves: Vec<&Curve> = experiment.curves.iter().filter(|curve| curve.work == work).collect();
        place.curves(html, work, &curves);
    }
    for heat in experiment.heat.iter().take(FIGURES_MAX) {
        let title = format!("Latency over time: {}, {}", place.called(&heat.target), heat.work);
        place.figure(html, &title, &[&heat.target], |figure| {
            plot::heat(figure, &title, heat);
            let note = format!("The stronger the colour, the more requests. One column is {} ms.", heat.column_ms);
            figure.element("p", &[("class", &"soft")], &note);
            heat_numbers(figure, heat);
        });
    }
}

impl Place<'_> {
    /// A plot with title, and with what is needed to repeat it. `targets` are those in the plot.
    fn figure(&self, html: &mut Markup, title: &str, targets: &[&str], body: impl FnOnce(&mut Markup)) {
        html.within("figure", &[], |figure| {
            figure.element("h3", &[], title);
            body(figure);
            figure.within("figcaption", &[], |caption| {
                let named = |name: &str| targets.contains(&name);
                // A plot of comparisons names no target itself: then it is about all of them.
                let some = self.results.targets.iter().any(|target| named(&target.name));
                let known = self.results.targets.iter().filter(|target| !some || named(&target.name));
                let versions: Vec<String> = known.map(|target| format!("{} {}", target.name, target.version)).collect();
                caption.text(&format!("{}. ", super::machine(self.results)));
                if !versions.is_empty() {
                    caption.text(&format!("{}. ", versions.join(", ")));
                }
                caption.element("code", &[], &self.experiment.command);
            });
        });
        html.line();
    }

    /// A target looks the same in every plot; one that is not listed comes after those that are.
    fn style(&self, target: &str) -> Style {
        let listed = self.results.targets.iter().position(|listed| listed.name == target);
        Style(listed.unwrap_or_else(|| {
            let first = self.experiment.rows.iter().position(|row| row.target == target).unwrap_or(0);
            self.results.targets.len() + first
        }))
    }

    /// Name of a target, with a warning where it does other work.
    fn called(&self, target: &str) -> String {
        let unranked = self.results.targets.iter().any(|listed| listed.name == target && !listed.ranked);
        if unranked { format!("{target} (not ranked)") } else { target.to_owned() }
    }

    fn bars(&self, html: &mut Markup, groups: &[Group<'_>], column: &Column) {
        let bar = |row: &Row, unranked: bool| -> Option<Bar> {
            let estimate = row.estimate(&column.name)?;
            estimate.value.is_finite().then(|| Bar {
                name: row.target.clone(),
                style: self.style(&row.target),
                estimate,
                unranked,
            })
        };
        let bars_of = |group: &Group<'_>| -> Vec<Bar> {
            let ranked = group.ranked.iter().filter_map(|row| bar(row, false));
            ranked.chain(group.unranked.iter().filter_map(|(row, _)| bar(row, true))).collect()
        };
        let title = |group: &Group<'_>| format!("{} over {}", group.work, group.transport);
        let mut bars: Vec<(String, Vec<Bar>)> = groups.iter().map(|group| (title(group), bars_of(group))).collect();
        bars.retain(|(_, bars)| !bars.is_empty());
        if bars.is_empty() {
            return;
        }
        let targets: Vec<String> = bars.iter().flat_map(|(_, bars)| bars).map(|bar| bar.name.clone()).collect();
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let plot = Bars {
            label: format!("{} of each target, {}", column.title, column.unit),
            title: column.title.clone(),
            unit: column.unit.clone(),
            rule: compares(column),
            groups: bars,
        };
        self.figure(html, &format!("{}, {}", capital(&column.title), column.unit), &targets, |figure| {
            plot.draw(figure)
        });
    }

    fn percentiles(&self, html: &mut Markup, group: &Group<'_>) {
        let rows: Vec<&Row> = group.ranked.iter().copied().filter(|row| row.percentiles.len() > 1).collect();
        if rows.is_empty() {
            return;
        }
        let xs = rows.iter().flat_map(|row| &row.percentiles).map(|[x, _]| *x);
        let ys = rows.iter().flat_map(|row| &row.percentiles).map(|[_, y]| *y);
        // The slowest request of all stands in the table: on this axis it would lie at infinity.
        let points = |row: &Row| row.percentiles.iter().filter(|[x, _]| *x < 100.0).map(|[x, y]| (*x, *y)).collect();
        let title = format!("Latency percentiles: {} over {}", group.work, group.transport);
        let plot = Lines {
            label: title.clone(),
            x: Axis::over("percentile", Scale::Percentile, percentile, xs.filter(|x| *x < 100.0)),
            y: Axis::over("latency", Scale::Log, number::axis_latency, ys),
            lines: rows
                .iter()
                .map(|row| Line { name: row.target.clone(), style: self.style(&row.target), points: points(row) })
                .collect(),
            diagonal: None,
        };
        let targets: Vec<&str> = rows.iter().map(|row| row.target.as_str()).collect();
        self.figure(html, &title, &targets, |figure| {
            plot.draw(figure);
            let names: Vec<&str> = std::iter::once("target").chain(TOLD.map(|(_, name)| name)).collect();
            let at = |row: &Row, told: f64| row.percentiles.iter().find(|[x, _]| *x == told).map(|[_, y]| *y);
            let text = |row: &Row, told| at(row, told).map_or_else(|| "–".to_owned(), number::latency);
            let line =
                |row: &&Row| std::iter::once(row.target.clone()).chain(TOLD.map(|(told, _)| text(row, told))).collect();
            numbers(figure, &names, &rows.iter().map(line).collect::<Vec<_>>());
        });
    }

    fn curves(&self, html: &mut Markup, work: &str, curves: &[&Curve]) {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        if points().next().is_none() {
            return;
        }
        let lines = |y: fn(&CurvePoint) -> f64| {
            let line = |curve: &&Curve| Line {
                name: self.called(&curve.target),
                style: self.style(&curve.target),
                points: curve.points.iter().map(|point| (point.rate, y(point))).collect(),
            };
            curves.iter().map(line).collect()
        };
        let rate = || Axis::from_zero("requests a second, intended", number::axis, points().map(|point| point.rate));
        let targets: Vec<&str> = curves.iter().map(|curve| curve.target.as_str()).collect();
        let title = format!("Throughput against rate: {work}");
        self.figure(html, &title, &targets, |figure| {
            let throughput = points().map(|point| point.throughput);
            Lines {
                label: title.clone(),
                x: rate(),
                y: Axis::from_zero("requests a second, answered", number::axis, throughput),
                lines: lines(|point| point.throughput),
                diagonal: Some("all answered"),
            }
            .draw(figure);
            let figure_of = |point: &CurvePoint| number::number(point.throughput);
            by_rate(figure, curves, figure_of);
        });
        let title = format!("p99 against rate: {work}");
        self.figure(html, &title, &targets, |figure| {
            let latencies = points().map(|point| point.p99_us);
            Lines {
                label: title.clone(),
                x: rate(),
                y: Axis::over("p99", Scale::Log, number::axis_latency, latencies),
                lines: lines(|point| point.p99_us),
                diagonal: None,
            }
            .draw(figure);
            by_rate(figure, curves, |point| number::latency(point.p99_us));
        });
    }
}

/// Rows are rates, columns are targets.
fn by_rate(figure: &mut Markup, curves: &[&Curve], show: impl Fn(&CurvePoint) -> String) {
    let mut rates: Vec<f64> = curves.iter().flat_map(|curve| &curve.points).map(|point| point.rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let names: Vec<&str> = std::iter::once("rate").chain(curves.iter().map(|curve| curve.target.as_str())).collect();
    let at = |curve: &Curve, rate: f64| curve.points.iter().find(|point| point.rate == rate).map(&show);
    let line = |rate: &f64| {
        let values = curves.iter().map(|curve| at(curve, *rate).unwrap_or_else(|| "–".to_owned()));
        std::iter::once(number::number(*rate)).chain(values).collect()
    };
    figure.within("details", &[], |details| {
        details.element("summary", &[], "Numbers");
        numbers(details, &names, &rates.iter().map(line).collect::<Vec<_>>());
    });
}

/// Requests of each band of latency over the whole time.
fn heat_numbers(figure: &mut Markup, heat: &crate::results::Heat) {
    let sum = |band: usize| {
        heat.columns.iter().filter_map(|column| column.get(band)).fold(0_u64, |sum, count| sum.saturating_add(*count))
    };
    let line = |(band, end): (usize, &f64)| -> Option<Vec<String>> {
        let count = sum(band);
        (count > 0).then(|| vec![format!("up to {}", number::latency(*end)), number::number(count as f64)])
    };
    let lines: Vec<Vec<String>> = heat.bands_us.iter().enumerate().filter_map(line).collect();
    figure.within("details", &[], |details| {
        details.element("summary", &[], "Numbers");
        numbers(details, &["latency", "requests"], &lines);
    });
}

fn percentile(value: f64) -> String {
    let text = format!("{value:.4}");
    format!("p{}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn capital(text: &str) -> String {
    if text.starts_with('p') && text.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) {
        return text.to_owned(); // p99 is never written P99
    }
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
