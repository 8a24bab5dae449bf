//! What stands before the first line that says where everything stands is in no tree, and counts for nothing.

use super::*;

/// A rotation at which `pending` lines of the old file, which took no more, came out in the new one: all lines, and how
/// many stand in the old file.
fn unsent(pending: usize) -> (Story, usize) {
    let mut story = Story::begin("node/1", None);
    story.work(40).checkpoint(true).work(pending);
    let told = story.continued();
    story.control("continued", &told);
    story.work(20).checkpoint(true);
    (story, 41)
}

fn kinds(report: &Report) -> Vec<Kind> {
    report.findings.iter().map(|of| of.kind).collect()
}

fn counts(report: &Report) -> (u64, u64) {
    (report.runs[0].unanchored, report.runs[0].unsealed)
}

/// Another text under the chain member that was there.
fn made_up(line: &str) -> String {
    format!("{{\"made\":\"up\"{}", &line[line.find(",\"adamant.chain\"").unwrap()..])
}

#[test]
fn lines_before_the_first_that_anchors_them_count_for_nothing() {
    let mut story = Story::begin("node/1", None);
    story.work(40).checkpoint(true).work(20).rotate();
    story.work(20).checkpoint(true);
    let part = &story.lines[30..];
    let honest = as_part(Extent::Part, &story.held, part);
    assert!(honest.intact && honest.runs[0].proved.as_ref().unwrap().size == 83, "{honest:#?}");
    assert_eq!(counts(&honest), (32, 32));
    // The first line of each chain hangs on nothing that is known: whatever it says cannot be told from the truth.
    for first in [0, 1] {
        let mut lines = part.to_vec();
        lines[first] = made_up(&lines[first]);
        let report = as_part(Extent::Part, &story.held, &lines);
        assert_eq!((report.intact, counts(&report)), (true, (32, 32)), "{first}");
    }
    // But what hangs on one that is there is found.
    let mut lines = part.to_vec();
    lines[5] = made_up(&lines[5]);
    assert_eq!(kinds(&as_part(Extent::Part, &story.held, &lines)), [Kind::Changed]);
    assert_eq!(counts(&verify(&story.held, &[&story.lines])), (0, 0));
    // What the next run says of it is compared all the same.
    let mut last = story.log.checkpoint();
    for (root, expected) in [(last.root, vec![]), ([7; 32], vec![Kind::Root])] {
        last.root = root;
        let next = Story::begin("node/2", Some(&last));
        assert_eq!(kinds(&as_part(Extent::Part, &story.held, &[part, &next.lines].concat())), expected);
    }
    // Behind a gap it is the same, up to the next line that anchors.
    let gap = [&story.lines[..50], &story.lines[52..]].concat();
    assert_eq!(counts(&verify(&story.held, &[&gap])), (10, 10));
}

#[test]
fn a_line_that_anchors_has_to_hang_on_what_it_says() {
    let (story, begin) = unsent(3);
    let anchor = story.lines.iter().position(|line| line.contains("\"continued\"")).unwrap();
    let mut lines = story.lines[begin..].to_vec();
    lines[anchor - begin] = lines[anchor - begin].replacen("{\"", "{\"a\":1,\"", 1);
    assert_eq!(kinds(&as_part(Extent::Later, &story.held, &lines)), [Kind::Changed]);
}

#[test]
fn lines_that_a_rotation_found_unsent_stand_before_it_in_the_next_file() {
    for pending in [1, 5] {
        let (story, begin) = unsent(pending);
        let (first, second) = story.lines.split_at(begin);
        assert!(verify(&story.held, &[first, second]).intact);
        assert_eq!(kinds(&verify(&story.held, &[second])), [Kind::BeginningMissing]);
        for extent in [Extent::Later, Extent::Part] {
            let report = as_part(extent, &story.held, second);
            assert!(report.intact && report.notes.len() == 1, "{report:#?}");
            assert_eq!(counts(&report), (pending as u64, pending as u64));
        }
        // A batch of them is written again, and a line says so.
        let mut story = Story { log: story.log.clone(), ..story };
        story.control("written-again", &format!(",\"{}\":{pending}", log::LINES_AGAIN));
        story.checkpoint(true);
        let mut lines = story.lines[begin..].to_vec();
        lines.splice(pending..pending, story.lines[begin..begin + pending].to_vec());
        let report = as_part(Extent::Later, &story.held, &lines);
        assert!(report.intact, "{report:#?}");
    }
    // With what was put behind them when the new file was begun: all of that was one batch.
    let (mut story, begin) = unsent(5);
    story.lines.truncate(begin + 6);
    let again = story.lines[begin..].to_vec();
    let mut log = Story { log: Log::new("node/1".to_owned(), 2), lines: Vec::new(), held: Vec::new() };
    for line in &story.lines {
        let body = &line[1..line.find(",\"adamant.chain\"").unwrap()];
        log.put(line::read(line.as_bytes()).unwrap().link.chain, body);
    }
    assert_eq!(log.lines, story.lines);
    log.control("written-again", &format!(",\"{}\":6", log::LINES_AGAIN));
    log.work(3).checkpoint(true);
    log.lines.splice(begin..begin, again);
    let report = as_part(Extent::Later, &log.held, &log.lines[begin..]);
    assert!(report.intact && report.runs[0].proved.is_some(), "{report:#?}");
    // Only in the same file.
    let (story, begin) = unsent(5);
    let (one, other) = story.lines[begin..].split_at(5);
    let mut verifier = Verifier::new(story.held.clone(), Extent::Later);
    for (name, file) in [("f1", one), ("f2", other)] {
        verifier.begin_file(name);
        file.iter().for_each(|line| verifier.line(line.as_bytes()));
    }
    assert_eq!(kinds(&verifier.finish()), [Kind::BeginningMissing]);
}

#[test]
fn the_end_of_a_killed_run_in_a_file_of_its_own_is_unsealed_as_in_the_whole_log() {
    let mut story = Story::begin("node/1", None);
    story.work(40).rotate();
    let cut = story.lines.len() - 1;
    story.work(5);
    let sealed = sealed_at(&story, 42);
    let demand = |held: &[Held], lines: &[String], extent| {
        let mut verifier = Verifier::new(held.to_vec(), extent);
        verifier.demand(Demand::Outside, vec!["k".to_owned()]);
        verifier.begin_file("f1");
        lines.iter().for_each(|line| verifier.line(line.as_bytes()));
        verifier.finish()
    };
    let end = &story.lines[cut..].to_vec();
    for extent in [Extent::Later, Extent::Part] {
        let report = demand(std::slice::from_ref(&sealed), end, extent);
        assert!(report.intact && report.runs[0].unsealed == 6, "{report:#?}");
        assert!(report.notes.iter().any(|note| note.contains("covers 42 lines, all before those here")), "{report:#?}");
        // Nobody knows of the run, or those that know of it do not count.
        assert_eq!(kinds(&demand(&[], end, extent)), [Kind::Unproved]);
        let beside = Held { outside: false, ..sealed.clone() };
        assert_eq!(kinds(&demand(&[beside], end, extent)), [Kind::Unproved]);
    }
    // There is a checkpoint over lines here, in files that are not given: those are to be given.
    story.work(5).checkpoint(true);
    let held = [sealed.clone(), story.held.last().unwrap().clone()];
    assert_eq!(kinds(&demand(&held, end, Extent::Part)), [Kind::Unproved]);
    // Made up: what it says went before it is not what was signed.
    let mut other = Story::begin("node/1", None);
    other.work(39).put(Chain::Worker(0), "\"another\":1");
    other.rotate();
    other.work(5);
    assert_eq!(kinds(&demand(&[sealed], &other.lines[cut..], Extent::Later)), [Kind::Root]);
}

/// A checkpoint held outside over the first lines of a story.
fn sealed_at(story: &Story, size: usize) -> Held {
    let mut tree = crate::merkle::Frontier::default();
    for text in &story.lines[..size] {
        tree.push(crate::merkle::leaf_hash(&line::read(text.as_bytes()).unwrap().link.hash));
    }
    let checkpoint = Checkpoint { root: tree.root(), size: tree.size(), ..story.log.checkpoint() };
    Held { checkpoint, signer: "node".to_owned(), place: "outside".to_owned(), outside: true }
}

#[test]
fn an_older_run_below_a_younger_one_was_moved() {
    let one = Story::begin("a/1", None);
    let two = Story::begin("a/2", Some(&one.log.checkpoint()));
    let three = Story::begin("a/3", Some(&two.log.checkpoint()));
    let other = Story::begin("b/0", None);
    let found = |runs: &[&Story]| {
        let lines: Vec<String> = runs.iter().flat_map(|of| of.lines.clone()).collect();
        let report = as_part(Extent::Later, &[], &lines);
        report.findings.iter().map(|of| (of.kind, of.at.as_ref().unwrap().line)).collect::<Vec<_>>()
    };
    assert_eq!(found(&[&one, &two, &three]), []);
    assert_eq!(found(&[&two, &three, &one]), [(Kind::Moved, 3)]);
    assert_eq!(found(&[&two, &three, &other]), []);
    // The clock was set back: it names the run above as the one before it.
    let back = Story::begin("a/0", Some(&two.log.checkpoint()));
    assert_eq!(found(&[&one, &two, &back]), []);
}
