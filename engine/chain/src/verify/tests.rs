//! Each way to tamper with a log is found, at the right line; everything that is normal is let pass.

use proptest::prelude::*;

use super::*;
use crate::log::{self, Log};
use crate::report::Ended;

/// A log under way: lines of two workers and the gateway itself, and its checkpoints.
struct Story {
    log: Log,
    lines: Vec<String>,
    held: Vec<Held>,
}

impl Story {
    fn begin(origin: &str, previous: Option<&Checkpoint>) -> Self {
        let mut story = Self { log: Log::new(origin.to_owned(), 2), lines: Vec::new(), held: Vec::new() };
        let previous =
            previous.map_or(String::new(), |of| format!(",\"{}\":\"{}\"", log::PREVIOUS, log::previous_text(of)));
        story.control("start", &format!(",\"{}\":\"{origin}\"{previous}", log::ORIGIN));
        story
    }

    fn put(&mut self, chain: Chain, text: &str) {
        let mut line = format!("{{{text}}}\n").into_bytes();
        self.log.seal(&mut line, 0, chain);
        line.pop();
        self.lines.push(String::from_utf8(line).unwrap());
    }

    fn control(&mut self, kind: &str, more: &str) {
        self.put(Chain::Control, &format!("\"adamant.kind\":\"{kind}\"{more}"));
    }

    /// Exchanges of worker 0 and 1, in turns of one and two.
    fn work(&mut self, count: usize) -> &mut Self {
        for number in 0..count {
            let worker = u32::from(number % 3 != 0);
            self.put(Chain::Worker(worker), &format!("\"adamant.kind\":\"exchange\",\"number\":{}", self.lines.len()));
        }
        self
    }

    fn checkpoint(&mut self, outside: bool) -> &mut Self {
        let place = if outside { "outside" } else { "beside" }.to_owned();
        self.held.push(Held { checkpoint: self.log.checkpoint(), signer: "node".to_owned(), place, outside });
        self
    }

    fn rotate(&mut self) {
        self.control("rotation", "");
        let told = format!(
            ",\"{}\":\"{}\",\"{}\":{},\"{}\":{},\"{}\":{}",
            log::ORIGIN,
            self.log.origin(),
            log::SIZE,
            self.log.size(),
            log::FRONTIER,
            self.log.frontier_json(),
            log::CHAINS,
            self.log.chains_json()
        );
        self.control("continued", &told);
    }
}

/// Start, 40 lines, checkpoint, 40 lines, checkpoint, 9 lines: 90 lines.
fn story() -> Story {
    let mut story = Story::begin("node/1", None);
    story.work(40).checkpoint(true).work(40).checkpoint(true).work(9);
    story
}

fn verify(held: &[Held], files: &[&[String]]) -> Report {
    let mut verifier = Verifier::new(held.to_vec(), Extent::Whole);
    for (index, file) in files.iter().enumerate() {
        verifier.begin_file(&format!("f{}", index + 1));
        file.iter().for_each(|line| verifier.line(line.as_bytes()));
    }
    verifier.finish()
}

/// Kinds and lines of what is found after the lines of a story were tampered with.
fn found(story: &Story, tamper: impl FnOnce(&mut Vec<String>)) -> Vec<(Kind, u64)> {
    let mut lines = story.lines.clone();
    tamper(&mut lines);
    let report = verify(&story.held, &[&lines]);
    assert_eq!(report.intact, report.findings.is_empty());
    report.findings.iter().map(|of| (of.kind, of.at.as_ref().map_or(0, |at| at.line))).collect()
}

#[test]
fn an_untouched_log_is_proved_up_to_its_last_checkpoint() {
    let story = story();
    let report = verify(&story.held, &[&story.lines]);
    assert!(report.intact, "{report:#?}");
    let run = &report.runs[0];
    assert_eq!((report.lines, run.lines, run.unsealed, run.ended), (90, 90, 9, Ended::Open));
    let proved = run.proved_outside.as_ref().unwrap();
    assert_eq!((proved.size, proved.at.line), (81, 81));
    assert_eq!(run.chains["control"], 1);
    let nothing = verify(&[], &[&story.lines]);
    assert!(nothing.intact && nothing.runs[0].proved.is_none());
    assert_eq!(nothing.runs[0].unsealed, 90);
}

#[test]
fn one_tampering_is_one_finding_at_its_line() {
    let story = story();
    let change = |at: usize| move |lines: &mut Vec<String>| lines[at] = lines[at].replacen("number", "nunber", 1);
    assert_eq!(found(&story, change(50)), [(Kind::Changed, 51)]);
    assert_eq!(found(&story, |lines| drop(lines.remove(50))), [(Kind::Missing, 51)]);
    assert_eq!(found(&story, |lines| drop(lines.drain(50..57))), [(Kind::Missing, 51)]);
    assert_eq!(found(&story, |lines| lines.swap(50, 51)), [(Kind::Moved, 51)]);
    assert_eq!(found(&story, |lines| lines.swap(49, 50)), [(Kind::Moved, 50)]);
    assert_eq!(found(&story, |lines| lines.insert(50, lines[20].clone())), [(Kind::Repeated, 51)]);
    assert_eq!(found(&story, |lines| lines.insert(50, "{\"a\":1}".to_owned())), [(Kind::Unchained, 51)]);
    let moved_up = |lines: &mut Vec<String>| {
        let line = lines.remove(70);
        lines.insert(50, line);
    };
    assert_eq!(found(&story, moved_up), [(Kind::Moved, 51)]);
    let moved_down = |lines: &mut Vec<String>| {
        let line = lines.remove(50);
        lines.insert(70, line);
    };
    assert_eq!(found(&story, moved_down), [(Kind::Moved, 51)]);
    assert_eq!(found(&story, |lines| lines.truncate(60)), [(Kind::Truncated, 60)]);
    // What no checkpoint covers can be taken away unnoticed; the report says so.
    assert_eq!(found(&story, |lines| lines.truncate(81)), []);
    let damaged = |lines: &mut Vec<String>| lines[50] = lines[50].replace("adamant.chain", "adamant.chian");
    assert_eq!(found(&story, damaged), [(Kind::Unchained, 51)]);
}

#[test]
fn after_what_was_changed_or_moved_the_rest_is_still_proved() {
    let story = story();
    let tampers: [fn(&mut Vec<String>); 3] = [
        |lines| lines[50] = lines[50].replacen("number", "nunber", 1),
        |lines| lines.swap(50, 51),
        |lines| lines.insert(50, lines[20].clone()),
    ];
    for tamper in tampers {
        let mut lines = story.lines.clone();
        tamper(&mut lines);
        let report = verify(&story.held, &[&lines]);
        assert_eq!(report.runs[0].proved.as_ref().map(|proved| proved.size), Some(81), "{report:#?}");
    }
    let mut lines = story.lines.clone();
    lines.remove(50);
    let report = verify(&story.held, &[&lines]);
    assert_eq!(report.runs[0].proved.as_ref().map(|proved| proved.size), Some(41));
    assert!(report.notes.iter().any(|note| note.contains("could not be compared")), "{:?}", report.notes);
}

#[test]
fn lines_of_another_run_do_not_fit() {
    let story = story();
    let mut other = Story::begin("node/0", None);
    other.work(89);
    let insert = |count: usize| {
        let block = other.lines[50..50 + count].to_vec();
        move |lines: &mut Vec<String>| drop(lines.splice(50..50, block))
    };
    assert_eq!(found(&story, insert(1)), [(Kind::Foreign, 51)]);
    assert_eq!(found(&story, insert(7))[0], (Kind::Foreign, 51));
    let replaced = other.lines[50].clone();
    assert_eq!(found(&story, |lines| lines[50] = replaced), [(Kind::Changed, 51)]);
    let late = other.lines[20].clone();
    assert_eq!(found(&story, |lines| lines.insert(50, late)), [(Kind::Foreign, 51)]);
}

#[test]
fn a_rewritten_log_does_not_match_its_checkpoints() {
    let story = story();
    let mut rewritten = Story::begin("node/1", None);
    rewritten.work(50).put(Chain::Worker(0), "\"adamant.kind\":\"exchange\",\"number\":\"another\"");
    rewritten.work(38);
    let report = verify(&story.held, &[&rewritten.lines]);
    assert_eq!(report.findings.len(), 1, "{report:#?}");
    assert_eq!((report.findings[0].kind, report.findings[0].at.as_ref().unwrap().line), (Kind::Root, 81));
    assert_eq!(report.runs[0].proved.as_ref().unwrap().size, 41);
    // Two signed histories: the other one's checkpoint is held somewhere too.
    let mut held = story.held.clone();
    rewritten.checkpoint(true);
    held.extend(rewritten.held.clone());
    let report = verify(&held, &[&story.lines]);
    assert!(report.findings.iter().any(|of| of.kind == Kind::Root && of.what.contains("two histories")));
}

#[test]
fn runs_hang_together() {
    let mut first = story();
    first.control("stop", "");
    first.checkpoint(true);
    let mut second = Story::begin("node/2", Some(&first.log.checkpoint()));
    second.work(10).checkpoint(true);
    let mut third = Story::begin("node/3", Some(&second.log.checkpoint()));
    third.work(10).checkpoint(true);
    let held: Vec<Held> = [&first, &second, &third].iter().flat_map(|of| of.held.clone()).collect();
    let whole = [&first.lines[..], &second.lines, &third.lines].concat();
    let report = verify(&held, &[&whole]);
    assert!(report.intact, "{report:#?}");
    let ended: Vec<_> = report.runs.iter().map(|run| run.ended).collect();
    assert_eq!(ended, [Ended::Stop, Ended::Killed, Ended::Open]);
    // With no checkpoint at hand, the start of the next run still tells a shorter or rewritten one before.
    let kinds = |lines: &[String]| verify(&[], &[lines]).findings.iter().map(|of| of.kind).collect::<Vec<_>>();
    let shorter = [&first.lines[..80], &second.lines, &third.lines].concat();
    assert_eq!(kinds(&shorter), [Kind::Truncated]);
    let without = [&first.lines[..], &third.lines].concat();
    assert_eq!(kinds(&without), [Kind::RunMissing]);
    let mut made_up = Story::begin("node/2", Some(&first.log.checkpoint()));
    made_up.work(9).put(Chain::Worker(1), "\"made\":\"up\"");
    let rewritten = [&first.lines[..], &made_up.lines, &third.lines].concat();
    assert_eq!(kinds(&rewritten), [Kind::Root]);
    // The last run is missing altogether.
    let report = verify(&held, &[&[&first.lines[..], &second.lines].concat()]);
    assert_eq!(report.findings.iter().map(|of| of.kind).collect::<Vec<_>>(), [Kind::RunMissing], "{report:#?}");
}

/// As a part of a log that begins or ends on purpose.
fn as_part(extent: Extent, held: &[Held], lines: &[String]) -> Report {
    let mut verifier = Verifier::new(held.to_vec(), extent);
    verifier.begin_file("f1");
    lines.iter().for_each(|line| verifier.line(line.as_bytes()));
    verifier.finish()
}

#[test]
fn files_of_a_rotation_verify_together_and_each_alone() {
    let mut story = Story::begin("node/1", None);
    story.work(40).checkpoint(true).work(20).rotate();
    let cut = story.lines.len() - 1;
    story.work(20).checkpoint(true).work(5);
    let (first, second) = story.lines.split_at(cut);
    let both = verify(&story.held, &[first, second]);
    assert!(both.intact && both.runs[0].proved.as_ref().unwrap().size == 83, "{both:#?}");
    // A line that anybody could have written does not excuse that lines are missing after it.
    let cut_off = verify(&story.held, &[first]);
    assert_eq!(cut_off.findings.iter().map(|of| of.kind).collect::<Vec<_>>(), [Kind::Truncated], "{cut_off:#?}");
    let alone = as_part(Extent::Part, &story.held, first);
    assert!(alone.intact && alone.notes.iter().any(|note| note.contains("goes on")), "{alone:#?}");
    assert_eq!(alone.runs[0].ended, Ended::Rotation);
    let kinds = |report: &Report| report.findings.iter().map(|of| of.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&verify(&story.held, &[second])), [Kind::BeginningMissing]);
    let alone = as_part(Extent::Later, &story.held, second);
    assert!(alone.intact, "{alone:#?}");
    // Its end is missed all the same.
    assert_eq!(kinds(&as_part(Extent::Later, &story.held, &second[..5])), [Kind::Truncated]);
    let run = &alone.runs[0];
    assert_eq!((run.lines_before, run.proved.as_ref().unwrap().size, run.unsealed), (62, 83, 5));
    // A lost end of the first file shows in both.
    let report = verify(&story.held, &[&first[..50], second]);
    assert_eq!((report.findings[0].kind, report.findings[0].at.as_ref().unwrap().file.as_str()), (Kind::Missing, "f2"));
    // Behind a gap, the next file's first line gives a new hold.
    let mut damaged = first.to_vec();
    damaged.remove(30);
    let report = verify(&story.held, &[&damaged, second]);
    assert_eq!((report.findings.len(), report.runs[0].proved.as_ref().unwrap().size), (1, 83), "{report:#?}");
    // Lines from the middle of a run hang on the line that continues it.
    let report = verify(&story.held, &[&first[20..], second]);
    let kinds: Vec<_> = report.findings.iter().map(|of| of.kind).collect();
    assert_eq!(
        (kinds, report.runs[0].proved.as_ref().unwrap().size),
        (vec![Kind::BeginningMissing], 83),
        "{report:#?}"
    );
    assert!(as_part(Extent::Part, &story.held, &[&first[20..], second].concat()).intact);
    let mut changed = first[20..].to_vec();
    changed[5] = changed[5].replacen("number", "nunber", 1);
    assert_eq!(verify(&story.held, &[&changed, second]).findings.len(), 2);
}

#[test]
fn a_batch_that_was_written_again_is_told_by_a_line_and_otherwise_found() {
    let mut story = story();
    let batch = story.lines[80..90].to_vec();
    story.control("written-again", &format!(",\"{}\":20", log::LINES_AGAIN));
    story.work(3).checkpoint(true);
    let with = |times: usize| {
        let again: Vec<String> = (0..times).flat_map(|_| batch.clone()).collect();
        found(&story, |lines| drop(lines.splice(90..90, again)))
    };
    assert_eq!(with(1), []);
    assert_eq!(with(2), []);
    assert_eq!(with(3), [(Kind::Repeated, 111)]);
    assert_eq!(found(&story, |lines| drop(lines.splice(89..89, batch[..8].to_vec())))[0].0, Kind::Repeated);
    let at_the_end = |lines: &mut Vec<String>| lines.push(lines.last().unwrap().clone());
    assert_eq!(found(&story, at_the_end), [(Kind::Repeated, 95)]);
}

#[test]
fn what_a_crash_cuts_off_is_told_and_no_finding() {
    let first = story();
    let mut second = Story::begin("node/2", Some(&first.held[1].checkpoint));
    second.work(3);
    let torn = first.lines[10][..20].to_owned();
    let lines = [&first.lines[..], std::slice::from_ref(&torn), &second.lines].concat();
    let report = verify(&first.held, &[&lines]);
    assert!(report.intact && report.notes.iter().any(|note| note.contains("f1:91 was cut off")), "{report:#?}");
    let report = verify(&first.held, &[&[&first.lines[..], std::slice::from_ref(&torn)].concat()]);
    assert!(report.intact && report.notes.iter().any(|note| note.contains("the last of its file")), "{report:#?}");
    assert_eq!(report.cut_off, 1);
    // Written in part, then whole, as after a full disk.
    let again = |lines: &mut Vec<String>| lines.insert(50, lines[50][..30].to_owned());
    assert_eq!(found(&first, again), []);
    assert_eq!(found(&first, |lines| lines.insert(50, format!("{torn}x"))), [(Kind::Unchained, 51)]);
}

mod ending;
mod extent;
mod proving;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is done to sealed lines is found; nothing makes the verifier fail.
    #[test]
    fn nothing_sealed_changes_unnoticed(edits in prop::collection::vec((0_u8..6, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4)) {
        let story = story();
        let mut lines = story.lines.clone();
        for (what, one, other) in edits {
            if lines.is_empty() {
                break;
            }
            let (one, other) = (one.index(lines.len().min(80)), other.index(lines.len().min(80)));
            match what {
                0 => drop(lines.remove(one)),
                1 => lines.swap(one, other),
                2 => lines.insert(one, lines[other].clone()),
                3 => {
                    let mut bytes = lines[one].clone().into_bytes();
                    let at = other % bytes.len();
                    bytes[at] ^= 1;
                    lines[one] = String::from_utf8_lossy(&bytes).into_owned();
                }
                4 => { let line = lines.remove(one); lines.insert(other.min(lines.len()), line); }
                _ => lines.truncate(one.max(1)),
            }
        }
        let report = verify(&story.held, &[&lines]);
        let untouched = lines.iter().take(81).eq(story.lines.iter().take(81));
        prop_assert_eq!(report.intact, untouched && lines.len() >= 81, "{:#?}", report);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Lines that somebody made up, numbers and all: a report comes out.
    #[test]
    fn hostile_lines_do_no_harm(
        lines in prop::collection::vec((0_u8..6, any::<u64>(), any::<u64>(), 0_u64..4, 0_u64..4), 1..30),
        partial: bool,
    ) {
        let story = story();
        let mut verifier = Verifier::new(story.held.clone(), if partial { Extent::Part } else { Extent::Whole });
        verifier.begin_file("f1");
        let mut head = [0; 32];
        for (what, sequence, leaf, small, other) in lines {
            let chain = if what % 2 == 0 { Chain::Control } else { Chain::Worker(0) };
            let (sequence, leaf) = if what < 3 { (small, other) } else { (sequence, leaf) };
            let text = match small {
                0 => format!("{{\"adamant.kind\":\"start\",\"adamant.log\":\"node/{other}\"}}\n"),
                1 => format!(
                    "{{\"adamant.kind\":\"continued\",\"adamant.log\":\"node/1\",\"adamant.log.size\":{leaf},\
                     \"adamant.log.frontier\":[],\"adamant.log.chains\":{{\"0\":\"{leaf}:{}\"}}}}\n",
                    crate::base64(&head)
                ),
                2 => "{\"adamant.kind\":\"written-again\",\"adamant.lines_again\":18446744073709551615}\n".to_owned(),
                _ => "{\"a\":1}\n".to_owned(),
            };
            let mut line = text.into_bytes();
            head = line::append(&mut line, 0, &head, chain, sequence, leaf);
            verifier.line(&line[..line.len() - 1]);
        }
        let report = verifier.finish();
        prop_assert!(!report.intact || !report.runs.is_empty());
    }
}
