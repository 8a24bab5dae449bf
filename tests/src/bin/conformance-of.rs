//! Judges another proxy by the conformance corpus: `conformance-of haproxy|nginx [--verbose]`. `conformance-of grammar`
//! prints the cases that their source accepts although the grammar of RFC 9112 does not, as lines of `refusals.toml`.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a tool for those who write tests")]

use tests::conformance::drive::{self, LANES, Lane};
use tests::conformance::sent::{Rest, Sent};
use tests::conformance::{corpus, judge, probe};
use tests::others::Other;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(cases) = corpus::load() else { return };
    if arguments.first().is_some_and(|argument| argument == "grammar") {
        return print_grammar_refusals(&cases);
    }
    let origins: Vec<_> = (0..LANES).map(|_| drive::origin()).collect();
    let addresses: Vec<_> = origins.iter().map(tests::origin::RecordingOrigin::address).collect();
    let proxy = match arguments.first().map(String::as_str) {
        Some("haproxy") => Other::haproxy(&addresses),
        Some("nginx") => Other::nginx(&addresses),
        other => panic!("expected haproxy or nginx, found {other:?}"),
    };
    let lanes: Vec<Lane<'_>> =
        proxy.addresses.iter().zip(&origins).map(|(proxy, origin)| Lane { proxy: *proxy, origin }).collect();
    let started = std::time::Instant::now();
    let seen = drive::run(&cases, &lanes);
    let verbose = arguments.iter().any(|argument| argument == "--verbose");
    let mut scores = [0; 4];
    let (mut violated, mut refused) = (0, 0);
    for (case, seen) in cases.iter().zip(&seen) {
        let judgement = judge::judge(case, seen);
        let score = probe::score(case, seen, &judgement);
        if let Some(score) = score {
            scores[score as usize] += 1;
        }
        violated += usize::from(!judgement.violations.is_empty());
        refused += usize::from(judgement.refused);
        if verbose && (!judgement.violations.is_empty() || score == Some(probe::Score::Fail)) {
            let status: Vec<u16> = judgement.answers.iter().map(|answer| answer.status).collect();
            println!("{} {score:?} {status:?}: {}", case.name, judgement.violations.join("; "));
        }
    }
    let [pass, warn, fail, rest] = scores;
    println!("Http11Probe: {pass} pass, {warn} warn, {fail} fail, {rest} not judged");
    println!("all: {} cases, {violated} with violations, {refused} refused although accepted", cases.len());
    println!("{:.1} s", started.elapsed().as_secs_f64());
}

fn print_grammar_refusals(cases: &[corpus::Case]) {
    for case in cases.iter().filter(|case| case.source_accepts) {
        let bytes: Vec<u8> = case.steps.concat();
        if let Rest::Invalid(why) = Sent::by_client(&bytes).rest {
            println!("{:?} = {:?}", case.name, why);
        }
    }
}
