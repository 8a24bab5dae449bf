//! What records cover is a matter of each gateway, and of clocks that were right.

use chain::log::{CHAINS, FRONTIER, Log, ORIGIN, SIZE};

use super::super::scan::{Take, scan};
use super::*;
use crate::commands::audit::Records;
use crate::failure::Failure;
use crate::replay::line::time_text;

const DAY_S: u64 = 86_400;
const SINCE_S: u64 = 20_000 * DAY_S;
const WINDOW: Window = Window { since_ns: SINCE_S * NS_PER_S, until_ns: (SINCE_S + 30 * DAY_S) * NS_PER_S };

/// Keeps the request ids of what is told to it, and where another gateway begins.
#[derive(Default)]
struct Kept(Vec<String>);

impl Take for Kept {
    fn other_gateway(&mut self) -> Result<(), Failure> {
        self.0.push("other".to_owned());
        Ok(())
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<(), Failure> {
        self.0.push(exchange.request_id.clone());
        Ok(())
    }
}

fn at_ns(day: i64) -> u64 {
    SINCE_S.checked_add_signed(day * 86_400).unwrap() * NS_PER_S
}

/// A line of a kind and an id, and what more there is in it.
fn line(kind: &str, id: &str, time_ns: u64, more: &str) -> String {
    format!(
        r#"{{"time":"{}","adamant.kind":"{kind}","adamant.request_id":"{id}","client.address":"::1","url.scheme":"http","http.request.method":"GET","server.address":"h","url.path":"/","adamant.decision":"permit"{more}}}"#,
        time_text(time_ns)
    )
}

fn started(gateway: &str, time_ns: u64) -> String {
    let time = time_text(time_ns);
    format!(r#"{{"time":"{time}","adamant.kind":"start","adamant.log":"{gateway}/2024"}}"#)
}

/// A file of a gateway (empty: it begins in the middle), with an exchange at each of these days of the window.
fn file(gateway: &str, days: &[i64]) -> String {
    let mut lines: Vec<String> = days.iter().map(|day| line("exchange", "1", at_ns(*day), "")).collect();
    if !gateway.is_empty() {
        lines.insert(0, started(gateway, at_ns(days[0])));
    }
    lines.join("\n") + "\n"
}

/// The same with a chain: lines of the run before `cut`, then those behind it, which nothing names.
fn chained(gateway: &str, days: &[i64], cut: usize) -> [String; 2] {
    let mut run = Run(Log::new(format!("{gateway}/2024"), 1));
    let mut lines = vec![run.seal(&started(gateway, at_ns(days[0])), Chain::Control)];
    lines.extend(days.iter().map(|day| run.exchange(*day)));
    let (first, second) = lines.split_at(cut);
    [first.concat(), second.concat()]
}

struct Run(Log);

impl Run {
    fn seal(&mut self, line: &str, chain: Chain) -> String {
        let mut bytes = format!("{line}\n").into_bytes();
        self.0.seal(&mut bytes, 0, chain);
        String::from_utf8(bytes).unwrap()
    }

    fn exchange(&mut self, day: i64) -> String {
        self.seal(&line("exchange", "1", at_ns(day), ""), Chain::Worker(0))
    }

    fn continued(&mut self, day: i64) -> String {
        let Self(log) = self;
        let (frontier, chains) = (log.frontier_json(), log.chains_json());
        let (time, origin, size) = (time_text(at_ns(day)), log.origin().to_owned(), log.size());
        let line = format!(
            r#"{{"time":"{time}","adamant.kind":"continued","{ORIGIN}":"{origin}","{SIZE}":{size},"{FRONTIER}":{frontier},"{CHAINS}":{chains}}}"#
        );
        self.seal(&line, Chain::Control)
    }
}

fn read(files: &[String]) -> (Standing, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let paths = files.iter().enumerate().map(|(number, text)| {
        let path = directory.path().join(number.to_string());
        std::fs::write(&path, text).unwrap();
        path
    });
    let paths: Vec<_> = paths.collect();
    let (mut evidence, mut kept) = (Evidence::new(WINDOW), Kept::default());
    scan(Records::plain(&paths), &mut evidence, &mut kept).unwrap();
    (evidence.standing(None), kept.0)
}

/// Holes in the coverage by these files.
fn holes(files: &[String]) -> Vec<String> {
    let holes = read(files).0.holes;
    holes.into_iter().filter(|hole| hole.contains("do not cover")).collect()
}

/// Holes of clocks.
fn clocks(files: &[String]) -> Vec<String> {
    let holes = read(files).0.holes;
    holes.into_iter().filter(|hole| hole.contains("clock was wrong")).collect()
}

#[test]
fn one_gateway_does_not_cover_for_another() {
    let whole = file("edge-1", &[0, 15, 30]);
    assert_eq!(holes(std::slice::from_ref(&whole)), [""; 0]);
    let told = holes(&[whole.clone(), file("edge-2", &[20, 30])]);
    assert!(matches!(&told[..], [begin] if begin.starts_with("the records of edge-2 begin at ")), "{told:?}");
    // Together they would cover everything.
    let both = [file("edge-1", &[0, 16]), file("edge-2", &[14, 30])];
    let of_both = |told: &[String]| {
        let has = |what: &str| told.iter().any(|hole| hole.contains(what));
        assert!(told.len() == 2 && has("edge-1 end at") && has("edge-2 begin at"), "{told:?}");
    };
    of_both(&holes(&both));
    of_both(&holes(&[both[1].clone(), both[0].clone()]));
    // In one stream they are two gateways all the same.
    of_both(&holes(&[both.concat()]));
    of_both(&holes(&[both[1].clone() + &both[0]]));
    // Files of one gateway do cover together.
    assert_eq!(holes(&[file("edge-1", &[0, 16]), file("edge-1", &[16, 30])]), [""; 0]);
}

#[test]
fn another_gateway_in_one_stream_has_counters_of_its_own() {
    let stream = file("edge-1", &[0, 29]) + &file("edge-2", &[0, 29]) + &file("edge-2", &[29]);
    assert_eq!(read(&[stream]).1, ["other", "1", "1", "other", "1", "1", "1"]);
}

#[test]
fn files_that_nothing_names_cover_for_nobody() {
    let unnamed = file("", &[0, 16]);
    let told = holes(&[unnamed.clone(), file("edge-1", &[16, 30])]);
    let has = |what: &str| told.iter().any(|hole| hole.contains(what));
    assert!(told.len() == 2 && has("a gateway that no line names end at") && has("edge-1 begin at"), "{told:?}");
    let told = holes(&[file("edge-1", &[16, 30]), unnamed]);
    assert_eq!(told.len(), 2, "{told:?}");
    // A later line of the same file names them.
    assert_eq!(holes(&[file("", &[0, 16]) + &file("edge-1", &[16, 30])]), [""; 0]);
    // Those of one are those that its chain goes on with.
    let [first, second] = chained("edge-1", &[0, 10, 20, 30], 3);
    let (standing, _) = read(&[first.clone(), second]);
    assert_eq!(standing.holes, [""; 0]);
    let [_, other] = chained("edge-2", &[0, 5, 10, 20, 30], 4);
    let told = holes(&[first, other]);
    let has = |what: &str| told.iter().any(|hole| hole.contains(what));
    assert!(told.len() == 2 && has("edge-1 end at") && has("that no line names begin at"), "{told:?}");
}

#[test]
fn lines_before_the_first_that_names_their_gateway_are_of_it() {
    let mut run = Run(Log::new("edge-2/2024".to_owned(), 1));
    let start = run.seal(&started("edge-2", at_ns(0)), Chain::Control);
    let first = start + &run.exchange(0) + &run.exchange(10);
    // What stood still to be written when the file took the place of the one before.
    let second = run.exchange(20) + &run.continued(20) + &run.exchange(30);
    let whole = chained("edge-1", &[0, 30], 3)[0].clone();
    for files in [[first.clone(), second.clone(), whole.clone()], [whole, first, second]] {
        assert_eq!(read(&files).0.holes, [""; 0]);
    }
}

#[test]
fn a_clock_that_was_wrong_covers_nothing_and_is_told() {
    let told = holes(&[file("edge-1", &[-19_000, 20, 30])]);
    assert!(matches!(&told[..], [begin] if begin.starts_with("the records begin at ")), "{told:?}");
    let told = holes(&[file("edge-1", &[0, 20, 9_000])]);
    assert!(matches!(&told[..], [end] if end.starts_with("the records end at ")), "{told:?}");
    assert_eq!(holes(&[file("edge-1", &[-300, 0, 30, 60])]), [""; 0]);
    let good = file("edge-1", &[0, 30]);
    let told = |days: &[i64]| {
        let told = clocks(&[good.clone(), file("edge-2", days)]);
        assert!(told.len() <= 1 && told.iter().all(|hole| hole.contains("the records of edge-2")), "{told:?}");
        told.concat()
    };
    assert!(told(&[0, 20, 30, 9_000]).contains("more than 366 days after the window"));
    assert!(told(&[0, 20, 15, 30]).contains("follows one of"));
    assert!(told(&[-19_000, 0, 30]).contains("with nothing between them"));
    // A gateway all of whose times are wrong is there, and has no part in the window.
    assert!(told(&[-19_000, -18_999]).contains("no time within 366 days"));
    assert_eq!(told(&[-300, 0, 30, 60]), "");
}

#[test]
fn lines_stand_in_the_order_in_which_their_exchanges_ended() {
    let hour = 3_600 * 1_000_000_u64;
    let lasting = |hours: u64, time_ns: u64| {
        line("exchange", "1", time_ns, &format!(r#","adamant.durations_us":{{"decided":1,"total":{}}}"#, hours * hour))
    };
    let text = |second: String| [started("edge-1", at_ns(0)), lasting(0, at_ns(30)), second].join("\n") + "\n";
    let begun_ns = at_ns(30) - 4_000_000_000_000;
    assert_eq!(clocks(&[text(lasting(1, begun_ns))]), [""; 0]);
    assert_eq!(clocks(&[text(lasting(0, begun_ns))]).len(), 1);
    // Of one that took longer than its record can tell, nobody knows when it ended.
    assert_eq!(clocks(&[text(lasting(9, begun_ns))]), [""; 0]);
}

#[test]
fn a_right_is_in_use_until_its_exchange_ends() {
    let lasting = |id: &str, s: u64| {
        let begun_ns = WINDOW.since_ns - 1_000 * NS_PER_S;
        let total = s * 1_000_000;
        line("exchange", id, begun_ns, &format!(r#","adamant.durations_us":{{"decided":1,"total":{total}}}"#))
    };
    let lines = [
        started("edge-1", at_ns(0)),
        lasting("short", 999),
        lasting("long", 1_000),
        lasting("longer than told", 100_000),
        line("exchange", "after", WINDOW.until_ns, ""),
    ];
    let (standing, kept) = read(&[lines.join("\n") + "\n"]);
    assert_eq!(kept, ["other", "long", "longer than told"]);
    assert!(standing.notes.contains(&"2 exchanges outside of the window, and left out".to_owned()), "{standing:?}");
}

#[test]
fn an_intent_without_an_end_is_use() {
    let intent = |id: &str, day: i64| line("intent", id, at_ns(day), "");
    let lines = [
        started("edge-1", at_ns(-9)),
        intent("crashed before", -8),
        started("edge-1", at_ns(-7)),
        intent("crashed", -6),
        intent("ended", 1),
        line("exchange", "ended", at_ns(1), ""),
        intent("crashed too", 2),
        started("edge-1", at_ns(3)),
        intent("goes on", 4),
        intent("after", 31),
    ];
    let (standing, kept) = read(&[lines.join("\n") + "\n"]);
    assert_eq!(kept, ["other", "crashed", "ended", "crashed too", "goes on"]);
    assert!(standing.notes.iter().any(|note| note.starts_with("3 exchanges began, and no line tells")), "{standing:?}");
    assert!(!standing.holes.iter().any(|hole| hole.contains("no exchange")), "{standing:?}");
}
