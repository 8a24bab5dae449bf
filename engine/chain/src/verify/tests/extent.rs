//! How much of a run is there, said of files that are all of a log and of files that are not.

use super::*;

/// Whether the first run is whole, its lines before and after what is there, and whether there are gaps.
fn extent(report: &Report) -> (Option<bool>, u64, u64, bool) {
    let run = &report.runs[0];
    (run.whole, run.lines_before, run.lines_after, run.gaps)
}

#[test]
fn whole_is_what_begins_with_its_start_and_ends_with_its_stop() {
    let mut story = story();
    // Nothing says that it ended there.
    assert_eq!(extent(&verify(&story.held, &[&story.lines])), (None, 0, 0, false));
    assert_eq!(extent(&verify(&story.held, &[&story.lines[..81]])), (None, 0, 0, false));
    story.control("stop", "");
    story.checkpoint(true);
    assert_eq!(extent(&verify(&story.held, &[&story.lines])), (Some(true), 0, 0, false));
    assert_eq!(extent(&as_part(Extent::Part, &story.held, &story.lines)), (Some(true), 0, 0, false));
    let (held, lines) = (&story.held, &story.lines);
    assert_eq!(extent(&as_part(Extent::Part, held, &lines[..60])), (Some(false), 0, 31, false));
    assert_eq!(extent(&as_part(Extent::Part, held, &lines[20..])), (Some(false), 20, 0, false));
    assert_eq!(extent(&as_part(Extent::Part, &[], &lines[..60])), (None, 0, 0, false));
    let without = [&lines[..20], &lines[25..]].concat();
    assert_eq!(extent(&verify(held, &[&without])), (Some(false), 0, 0, true));
    let mut replaced = lines.clone();
    replaced[50] = Story::begin("node/0", None).work(89).lines[50].clone();
    assert_eq!(extent(&verify(held, &[&replaced])), (Some(false), 0, 0, true));
    // What is changed is a finding, and there all the same.
    let mut changed = lines.clone();
    changed[50] = changed[50].replacen("number", "nunber", 1);
    assert_eq!(extent(&verify(held, &[&changed])), (Some(true), 0, 0, false));
}

#[test]
fn a_run_of_several_files_is_whole_in_none_of_them() {
    let mut story = Story::begin("node/1", None);
    story.work(40).checkpoint(true).work(20).rotate();
    let cut = story.lines.len() - 1;
    story.work(20).control("stop", "");
    story.checkpoint(true);
    let (first, second) = story.lines.split_at(cut);
    assert_eq!(extent(&verify(&story.held, &[first, second])), (Some(true), 0, 0, false));
    assert_eq!(extent(&as_part(Extent::Part, &story.held, first)), (Some(false), 0, 22, false));
    assert_eq!(extent(&as_part(Extent::Part, &[], first)), (Some(false), 0, 0, false));
    assert_eq!(extent(&as_part(Extent::Later, &story.held, second)), (Some(false), 62, 0, false));
    // The next file gives a new hold, and what was missing before it still is.
    let mut damaged = first.to_vec();
    damaged.remove(30);
    assert_eq!(extent(&verify(&story.held, &[&damaged, second])), (Some(false), 0, 0, true));
}

#[test]
fn the_run_after_it_tells_of_more_lines_than_there_are() {
    let mut first = story();
    first.control("stop", "");
    let second = Story::begin("node/2", Some(&first.log.checkpoint()));
    let both = |lines: usize| verify(&[], &[&[&first.lines[..lines], &second.lines].concat()]);
    assert_eq!(extent(&both(91)), (Some(true), 0, 0, false));
    assert_eq!((extent(&both(80)), both(80).runs[0].ended), ((Some(false), 0, 11, false), Ended::Killed));
    // That the run is over does not say that it is whole.
    let other = Story::begin("node/3", None);
    let report = verify(&[], &[&[&first.lines[..90], &other.lines].concat()]);
    assert_eq!((extent(&report), report.runs[0].ended), ((None, 0, 0, false), Ended::Killed));
}

#[test]
fn the_first_lines_of_a_run_are_missed_under_a_name_of_their_own() {
    let mut story = Story::begin("node/1", None);
    story.work(40).rotate();
    let cut = story.lines.len() - 1;
    story.work(20).checkpoint(true);
    let kinds = |report: Report| report.findings.iter().map(|of| of.kind).collect::<Vec<_>>();
    for from in [cut, 5] {
        assert_eq!(kinds(verify(&story.held, &[&story.lines[from..]])), [Kind::BeginningMissing], "from {from}");
    }
    assert_eq!(kinds(as_part(Extent::Later, &story.held, &story.lines[cut..])), []);
    // Of the run before, all is missing; that one finding stands for both.
    let mut before = Story::begin("node/0", None);
    before.work(5).checkpoint(true);
    let held = [before.held.as_slice(), &story.held].concat();
    assert_eq!(kinds(verify(&held, &[&story.lines[cut..]])), [Kind::BeginningMissing]);
    let next = Story::begin("node/2", Some(&story.log.checkpoint()));
    assert_eq!(kinds(verify(&[], &[&next.lines])), [Kind::RunMissing]);
}
