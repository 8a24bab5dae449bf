use super::*;
use crate::results::fixture::{HOSTILE, hostile, quiet, row, series};
use crate::statistics::Figure;

fn verdict<'d>(found: &'d Difference, target: &str, work: &str, figure: &str) -> &'d Verdict {
    let same = |row: &&Compared| row.target == target && row.work == work && row.figure == figure;
    &found.rows.iter().find(same).unwrap().verdict
}

fn why(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Refused { why } | Verdict::Missing { why } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn runs_of_the_same_do_not_differ() {
    let found = difference(&quiet(1), &quiet(100));
    let differ = found.rows.iter().filter(|row| matches!(row.verdict, Verdict::Differs { .. })).count();
    assert!(found.tested() == 16 && differ <= 3, "{differ} of {}", found.tested());
    let itself = difference(&quiet(1), &quiet(1));
    assert!(itself.rows.iter().all(|row| matches!(row.verdict, Verdict::NoDifference { p, .. } if p == 1.0)));
    assert!(itself.text().contains("no difference beyond noise (p=1.000)"));
}

#[test]
fn a_change_is_found_where_it_is() {
    let mut second = quiet(100);
    second.experiments[0].rows[0] = row("adamant", "es256", 14.0 * 1.2, 7);
    let found = difference(&quiet(1), &second);
    let Verdict::Differs { p, change } = verdict(&found, "adamant", "es256", "cpu_us") else { panic!("{found:?}") };
    assert!(*p <= LEVEL && change.low > 1.1 && change.high < 1.3, "{p} {change:?}");
    assert!(
        !matches!(verdict(&found, "haproxy", "es256", "cpu_us"), Verdict::Differs { change, .. } if change.value > 1.05)
    );
    assert!(found.text().contains("differs (p=0.00"));
}

#[test]
fn a_machine_that_was_slower_is_no_change() {
    let mut second = quiet(1);
    for slice in second.experiments[0].rows.iter_mut().flat_map(|row| &mut row.slices) {
        slice.cpu_us *= 1.3;
        slice.reference_ns = slice.reference_ns.map(|ns| ns * 1.3);
    }
    let found = difference(&quiet(1), &second);
    assert!(matches!(verdict(&found, "adamant", "es256", "cpu_us"), Verdict::NoDifference { .. }));
}

#[test]
fn noise_refuses_every_row() {
    let mut noisy = quiet(2);
    noisy.noise = Some(crate::noise::Noise::of(&[1.0; 30], 0.2));
    for (first, second, which) in [(quiet(1), noisy.clone(), "second"), (noisy, quiet(1), "first")] {
        let found = difference(&first, &second);
        assert_eq!(found.tested(), 0);
        let why = why(&found.rows[0].verdict);
        assert!(why.contains(&format!("too noisy in the {which} run: the hypervisor took 20.0 %")), "{why}");
    }
    let mut blind = quiet(2);
    blind.noise = None;
    assert!(difference(&quiet(1), &blind).text().contains("nothing looked at"));
}

#[test]
fn other_machines_are_refused() {
    let mut second = quiet(2);
    second.machine.cores = 64;
    assert!(why(&difference(&quiet(1), &second).rows[0].verdict).contains("different machines"));
}

#[test]
fn few_starts_do_not_prove_a_small_change() {
    let of = |cpu_us: f64, starts, seed| {
        let mut results = quiet(1);
        results.experiments[0].rows =
            vec![Row::new("adamant", "es256", "plain").with_series(&series(cpu_us, starts, seed), &Figure::USUAL, 1)];
        results
    };
    let found = difference(&of(14.0, 2, 1), &of(14.0 * 1.08, 2, 2));
    let why = why(verdict(&found, "adamant", "es256", "cpu_us"));
    assert!(why.contains("2 and 2 starts: measure with at least 4"), "{why}");
    let found = difference(&of(14.0, 2, 1), &of(14.0 * 1.5, 2, 2));
    assert!(matches!(verdict(&found, "adamant", "es256", "cpu_us"), Verdict::Differs { .. }));
    let found = difference(&of(14.0, 0, 1), &of(14.0, 2, 2));
    assert!(found.tested() == 0);
}

#[test]
fn slices_without_a_reference_are_refused() {
    let mut second = quiet(2);
    second.experiments[0].rows[0].slices[3].reference_ns = None;
    let found = difference(&quiet(1), &second);
    assert!(why(verdict(&found, "adamant", "es256", "p99_us")).contains("reference"));
}

#[test]
fn what_only_one_run_has_is_named() {
    let (mut first, mut second) = (quiet(1), quiet(2));
    first.experiments[0].rows.remove(0);
    second.experiments[0].rows[1].unranked = Some("it failed".into());
    second.experiments[0].rows.remove(3);
    let found = difference(&first, &second);
    assert_eq!(why(verdict(&found, "adamant", "es256", "cpu_us")), "only the second run has it");
    assert_eq!(why(verdict(&found, "adamant", "pass-through", "cpu_us")), "only the first run has it");
    assert_eq!(why(verdict(&found, "haproxy", "es256", "cpu_us")), "not ranked in the second run: it failed");
}

#[test]
fn warnings_and_hostile_text_are_shown() {
    let (mut first, second) = (hostile(), hostile());
    first.command = "other".into();
    let found = difference(&first, &second);
    let text = found.text();
    assert!(text.contains("the first run was a quick one") && text.contains("the commands differ"));
    assert!(HOSTILE.contains('\u{1b}') && !text.contains(|c: char| c.is_control() && c != '\n'));
    let json: serde_json::Value = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert!(json["rows"][0]["verdict"].is_string());
}
