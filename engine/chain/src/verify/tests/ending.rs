//! What may stand at the end of a run.

use super::*;

/// The run before a `start` line: with its stop line and a checkpoint over it, the chain going on for `more` lines.
fn stopped_with(more: usize) -> (Vec<Held>, Vec<String>) {
    let mut first = story();
    first.control("stop", "");
    first.checkpoint(true);
    let mut second = Story::begin("node/2", Some(&first.log.checkpoint()));
    second.work(10).checkpoint(true);
    first.work(more);
    (first.held.iter().chain(&second.held).cloned().collect(), [first.lines, second.lines].concat())
}

#[test]
fn nothing_stands_behind_a_stop_line() {
    let (held, lines) = stopped_with(0);
    assert!(verify(&held, &[&lines]).intact);
    let (held, lines) = stopped_with(2);
    let report = verify(&held, &[&lines]);
    let places: Vec<_> = report.findings.iter().map(|of| (of.kind, of.at.as_ref().unwrap().line)).collect();
    let end = lines.len() as u64 - 11;
    assert_eq!(places, [(Kind::Foreign, end - 1), (Kind::Foreign, end)], "{report:#?}");
    // The stop line is written again when its sync failed; nothing else is, and no line says so.
    let mut story = story();
    story.control("stop", "");
    story.checkpoint(true);
    let [.., last, stop] = story.lines.as_slice() else { panic!() };
    let behind = |again: &[&String]| {
        let report =
            verify(&story.held, &[&story.lines.iter().chain(again.iter().copied()).cloned().collect::<Vec<_>>()]);
        (report.findings.iter().map(|of| of.kind).collect::<Vec<_>>(), report.notes.len())
    };
    assert_eq!(behind(&[stop, stop]), (vec![], 2));
    assert_eq!(behind(&[last, stop]), (vec![Kind::Repeated], 0));
    assert_eq!(behind(&[stop, last, stop]), (vec![Kind::Repeated], 1));
    let mut again = Story { log: story.log.clone(), lines: vec![stop.clone()], held: Vec::new() };
    again.control("written-again", &format!(",\"{}\":1", log::LINES_AGAIN));
    assert_eq!(behind(&[&again.lines[0], &again.lines[1]]).0, [Kind::Foreign]);
    assert_eq!(behind(&[&again.lines[1]]).0, [Kind::Foreign]);
}

#[test]
fn what_no_crash_leaves_is_no_line_that_was_cut_off() {
    let story = story();
    let last = story.lines.len() as u64 + 1;
    let with = |text: &str| {
        let report = verify(&story.held, &[&[story.lines.as_slice(), &[text.to_owned()]].concat()]);
        report.findings.iter().map(|of| (of.kind, of.at.as_ref().unwrap().line)).collect::<Vec<_>>()
    };
    for left in ["", "{", "{\"time\":\"2026-", "{\"a\":{\"b\":1}", "{\"a\":1\0\0\0", "\0\0\0\0"] {
        assert_eq!(with(left), [], "{left:?}");
    }
    for made_up in [
        "{\"adamant.kind\":\"exchange\",\"url.path\":\"/x\"}",
        "{}",
        "x",
        "permit 200 GET /",
        "{}\0",
        "{}x",
        "{}}",
        "{}\0 ",
    ] {
        assert_eq!(with(made_up), [(Kind::Unchained, last)], "{made_up:?}");
    }
    // Nothing is being written any more when a run has stopped.
    let (held, mut lines) = stopped_with(0);
    lines.insert(lines.len() - 11, "{\"time\":\"2026".to_owned());
    let report = verify(&held, &[&lines]);
    assert_eq!(report.findings.iter().map(|of| of.kind).collect::<Vec<_>>(), [Kind::Unchained], "{report:#?}");
}

#[test]
fn nothing_stands_behind_a_rotation_in_its_file() {
    let mut story = story();
    story.rotate();
    let end = story.lines.iter().position(|line| line.contains("\"rotation\"")).unwrap() + 1;
    story.work(5).checkpoint(true);
    let (first, second) = story.lines.split_at(end);
    let cut = "{\"time\":\"2026".to_owned();
    let behind = [first, std::slice::from_ref(&cut)].concat();
    let kinds = |report: &Report| report.findings.iter().map(|of| of.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&verify(&story.held, &[&behind, second])), [Kind::Unchained]);
    // Killed while it began the next file.
    let next = Story::begin("node/2", Some(&story.held.last().unwrap().checkpoint));
    let begun = [&[cut], next.lines.as_slice()].concat();
    assert!(!kinds(&verify(&story.held, &[first, &begun])).contains(&Kind::Unchained));
}
