//! What is not proved, and which runs and files are not where they should be.

use super::*;

/// The kinds and words of what is found where every run needs a proof under the key "k".
fn demanded(demand: Demand, keys: &[&str], held: &[Held], files: &[&[String]], partial: bool) -> Report {
    let mut verifier = Verifier::new(held.to_vec(), if partial { Extent::Part } else { Extent::Whole });
    verifier.demand(demand, keys.iter().map(|key| (*key).to_owned()).collect());
    for (index, file) in files.iter().enumerate() {
        verifier.begin_file(&format!("f{}", index + 1));
        file.iter().for_each(|line| verifier.line(line.as_bytes()));
    }
    verifier.finish()
}

fn kinds(report: &Report) -> Vec<Kind> {
    report.findings.iter().map(|of| of.kind).collect()
}

/// A run with a checkpoint beside the records after 10 lines, and one outside after 20 where `outside` says so.
fn run(origin: &str, previous: Option<&Checkpoint>, outside: bool) -> Story {
    let mut story = Story::begin(origin, previous);
    story.work(9).checkpoint(false).work(10);
    if outside {
        story.checkpoint(true);
    }
    story
}

#[test]
fn a_run_that_no_checkpoint_vouches_for_is_a_finding() {
    let (a, b) = (run("a/1", None, true), run("a/2", None, false));
    let files: &[&[String]] = &[&b.lines];
    let of = |demand, keys: &[&str], held: &[Held]| demanded(demand, keys, held, files, false);
    assert!(of(Demand::Chained, &[], &[]).intact);
    for (report, words) in [
        (of(Demand::Signed, &[], &[]), "chained consistently, which proves nothing about who wrote it"),
        (of(Demand::Signed, &["k"], &[]), "no checkpoint that was found covers a line of it"),
        (of(Demand::Outside, &["k"], &b.held), "only those beside the records vouch for it, up to f1:10"),
        (demanded(Demand::Signed, &["k"], &[], &[&[]], false), "there are no lines"),
    ] {
        assert_eq!(kinds(&report), [Kind::Unproved], "{report:#?}");
        assert!(!report.intact && report.findings[0].what.contains(words), "{report:#?}");
    }
    assert!(of(Demand::Signed, &["k"], &b.held).intact);
    let both = [a.held.as_slice(), &b.held].concat();
    let report = demanded(Demand::Outside, &["k"], &both, &[&a.lines, &b.lines], false);
    assert_eq!((kinds(&report), report.findings[0].run.as_deref()), (vec![Kind::Unproved], Some("a/2")));
    // One change is one finding still.
    let mut lines = b.lines.clone();
    lines.remove(5);
    assert_eq!(kinds(&demanded(Demand::Signed, &["k"], &b.held, &[&lines], false)), [Kind::Missing]);
}

#[test]
fn records_of_another_gateway_do_not_stand_for_those_that_checkpoints_vouch_for() {
    let (a, b) = (run("a/1", None, true), run("b/2", None, true));
    let report = demanded(Demand::Outside, &["k"], &a.held, &[&b.lines], false);
    assert_eq!(kinds(&report), [Kind::RunMissing, Kind::Unproved], "{report:#?}");
    assert!(report.findings[0].what.contains("no line of a is in the files given"), "{report:#?}");
    // A part of a log lacks other runs, but what is there has to be proved.
    assert_eq!(kinds(&demanded(Demand::Outside, &["k"], &a.held, &[&b.lines], true)), [Kind::Unproved]);
    let both = [a.held.as_slice(), &b.held].concat();
    let report = demanded(Demand::Outside, &["k", "l"], &both, &[&a.lines], false);
    assert_eq!(kinds(&report), [Kind::RunMissing], "{report:#?}");
}

#[test]
fn a_run_between_two_others_is_missed_though_no_run_names_it() {
    let (one, two, three) = (run("a/1", None, true), run("a/2", None, true), run("a/3", None, true));
    let held: Vec<Held> = [&one, &two, &three].iter().flat_map(|of| of.held.clone()).collect();
    for partial in [false, true] {
        let report = demanded(Demand::Outside, &["k"], &held, &[&one.lines, &three.lines], partial);
        assert_eq!(kinds(&report), [Kind::RunMissing], "{report:#?}");
        assert!(report.findings[0].what.contains("a/2 began between the runs here"), "{report:#?}");
    }
    // The gateway has another key since.
    let four = run("b/4", None, true);
    let held = [one.held.as_slice(), &two.held, &four.held].concat();
    let report = demanded(Demand::Outside, &["k"], &held, &[&one.lines, &four.lines], true);
    assert_eq!(kinds(&report), [Kind::RunMissing], "{report:#?}");
    // It is one finding where the next run names it.
    let three = run("a/3", Some(&two.log.checkpoint()), true);
    let held = [one.held.as_slice(), &two.held, &three.held].concat();
    let report = demanded(Demand::Outside, &["k"], &held, &[&one.lines, &three.lines], false);
    assert_eq!(kinds(&report), [Kind::RunMissing], "{report:#?}");
}

#[test]
fn a_state_directory_from_a_copy_is_a_note() {
    let one = run("a/1", None, true);
    let two = run("a/2", Some(&one.log.checkpoint()), true);
    let three = run("a/3", Some(&one.log.checkpoint()), true);
    let held = [one.held.as_slice(), &two.held, &three.held].concat();
    let report = demanded(Demand::Outside, &["k"], &held, &[&one.lines, &two.lines, &three.lines], false);
    assert!(report.intact, "{report:#?}");
    assert!(report.notes.iter().any(|note| note.contains("was restored from a copy")), "{report:#?}");
}

#[test]
fn files_in_another_order_are_told_in_theirs() {
    let mut one = Story::begin("a/1", None);
    one.work(10).rotate();
    let cut = one.lines.len() - 1;
    one.work(5).checkpoint(true);
    let two = run("a/2", Some(&one.log.checkpoint()), true);
    let (first, second) = one.lines.split_at(cut);
    let order = |files: &[&[String]]| verify(&[], files).order;
    assert_eq!(order(&[first, second, &two.lines]), Vec::<String>::new());
    assert_eq!(order(&[&two.lines, second, first]), ["f3", "f2", "f1"]);
    assert_eq!(order(&[second, first]), ["f2", "f1"]);
}

#[test]
fn the_oldest_runs_are_missed_unless_they_are_archived() {
    let one = run("a/1", None, true);
    let two = run("a/2", Some(&one.log.checkpoint()), true);
    let three = run("a/3", Some(&two.log.checkpoint()), true);
    let held = [one.held.as_slice(), &two.held, &three.held].concat();
    let report = demanded(Demand::Outside, &["k"], &held, &[&three.lines], false);
    assert_eq!(kinds(&report), [Kind::RunMissing], "{report:#?}");
    assert!(report.findings[0].what.contains("a/2") && report.findings[0].at.is_some(), "{report:#?}");
    // Also where the first run names none, and checkpoints alone tell of them.
    let alone = run("a/4", None, true);
    let held = [one.held.as_slice(), &two.held, &alone.held].concat();
    let report = demanded(Demand::Outside, &["k"], &held, &[&alone.lines], false);
    assert_eq!(kinds(&report), [Kind::RunMissing], "{report:#?}");
    let mut verifier = Verifier::new(held, Extent::Later);
    verifier.demand(Demand::Outside, vec!["k".to_owned()]);
    verifier.begin_file("f1");
    alone.lines.iter().for_each(|line| verifier.line(line.as_bytes()));
    assert!(verifier.finish().intact);
}

#[test]
fn what_a_key_that_was_replaced_signed_is_of_the_log_too() {
    let (a, b) = (run("a/1", None, true), run("b/2", None, true));
    let held = [a.held.as_slice(), &b.held].concat();
    let report = demanded(Demand::Outside, &["k"], &held, &[&b.lines], false);
    assert_eq!(kinds(&report), [Kind::RunMissing], "{report:#?}");
    let mut verifier = Verifier::new(held, Extent::Later);
    verifier.demand(Demand::Outside, vec!["k".to_owned()]);
    verifier.begin_file("f1");
    b.lines.iter().for_each(|line| verifier.line(line.as_bytes()));
    assert!(verifier.finish().intact);
}
