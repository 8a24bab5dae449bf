//! What records cover is a matter of each gateway, and of clocks that were right.

use super::super::scan::{Take, scan};
use super::*;
use crate::failure::Failure;

const DAY_S: u64 = 86_400;
const SINCE_S: u64 = 20_000 * DAY_S;
const WINDOW: Window = Window { since_ns: SINCE_S * NS_PER_S, until_ns: (SINCE_S + 30 * DAY_S) * NS_PER_S };

struct Nothing;

impl Take for Nothing {
    fn other_gateway(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn exchange(&mut self, _exchange: &Exchange) -> Result<(), Failure> {
        Ok(())
    }
}

fn exchange(time_s: u64) -> String {
    format!(
        r#"{{"time":"{}","adamant.kind":"exchange","adamant.request_id":"1","client.address":"::1","url.scheme":"http","http.request.method":"GET","server.address":"h","url.path":"/","adamant.decision":"permit"}}"#,
        time_text(time_s * NS_PER_S)
    )
}

/// A file of a gateway (empty: it begins in the middle), with an exchange at each of these days of the window.
fn file(gateway: &str, days: &[i64]) -> String {
    let at = |day: &i64| SINCE_S.checked_add_signed(day * 86_400).unwrap();
    let mut lines: Vec<String> = days.iter().map(|day| exchange(at(day))).collect();
    if !gateway.is_empty() {
        let start = format!(
            r#"{{"time":"{}","adamant.kind":"start","adamant.log":"{gateway}/2024"}}"#,
            time_text(at(&days[0]) * NS_PER_S)
        );
        lines.insert(0, start);
    }
    lines.join("\n") + "\n"
}

/// Holes in the coverage by these files.
fn holes(files: &[String]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let paths = files.iter().enumerate().map(|(number, text)| {
        let path = directory.path().join(number.to_string());
        std::fs::write(&path, text).unwrap();
        path
    });
    let paths: Vec<_> = paths.collect();
    let mut evidence = Evidence::new(WINDOW);
    scan(&paths, &mut evidence, &mut Nothing).unwrap();
    let holes = evidence.standing(None).holes;
    holes.into_iter().filter(|hole| hole.contains("do not cover")).collect()
}

#[test]
fn one_gateway_does_not_cover_for_another() {
    let whole = file("edge-1", &[0, 15, 30]);
    assert_eq!(holes(std::slice::from_ref(&whole)), [""; 0]);
    let told = holes(&[whole.clone(), file("edge-2", &[20, 30])]);
    assert!(matches!(&told[..], [begin] if begin.starts_with("the records of edge-2 begin at ")), "{told:?}");
    // Together they would cover everything.
    let told = holes(&[file("edge-1", &[0, 16]), file("edge-2", &[14, 30])]);
    assert!(
        matches!(&told[..], [end, begin] if end.contains("edge-1 end at") && begin.contains("edge-2 begin at")),
        "{told:?}"
    );
    // Files of one gateway do, also where the first begins in the middle of a run.
    assert_eq!(holes(&[file("edge-1", &[0, 16]), file("edge-1", &[16, 30])]), [""; 0]);
    assert_eq!(holes(&[file("", &[0, 16]), file("edge-1", &[16, 30]), whole]), [""; 0]);
}

#[test]
fn a_clock_that_was_wrong_covers_nothing() {
    let told = holes(&[file("edge-1", &[-20_000, 20, 30])]);
    assert!(matches!(&told[..], [begin] if begin.starts_with("the records begin at ")), "{told:?}");
    let told = holes(&[file("edge-1", &[0, 20, 9_000])]);
    assert!(matches!(&told[..], [end] if end.starts_with("the records end at ")), "{told:?}");
    assert_eq!(holes(&[file("edge-1", &[-300, 0, 30, 60])]), [""; 0]);
}
