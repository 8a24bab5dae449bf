//! The load generator over real sockets.

mod peers;
mod secure;

use std::time::Duration;

use super::{Load, Loop, OVER_TIME, Plan, Request, Requests, Reuse, Slice, SlowReaders};
use crate::capacity::{self, Goal};
use crate::origin::Origin;
use crate::wire::Target;
use peers::Peer;

fn plan_for(url: &str, connections: usize) -> Plan {
    let target = Target::parse(url).unwrap();
    let request = Request::get(&target, &["X-Test: 1".into()]);
    Plan::new(target, connections, Requests::one(request))
}

fn plan(connections: usize) -> Plan {
    plan_for(&format!("http://{}/", Origin::start(0, 128).unwrap()), connections)
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The first slice that is `enough`, or the last of many: a machine that stood still meanwhile may have another one.
fn first(enough: impl Fn(&Slice) -> bool, mut run: impl FnMut() -> Slice) -> Slice {
    let mut slice = run();
    for _ in 0..30 {
        if enough(&slice) {
            break;
        }
        slice = run();
    }
    slice
}

#[test]
fn the_loop_closes_over_the_origin() {
    let mut load = Load::connect(plan(8)).unwrap();
    let mut opened = 0;
    for _ in 0..3 {
        let run = || {
            let slice = load.run(ms(50)).unwrap();
            opened += slice.connections_opened;
            slice
        };
        let slice = first(|slice| slice.requests >= 8, run);
        assert!(slice.requests >= 8 && slice.is_clean(), "{slice:?}");
        assert_eq!(slice.latencies.len(), slice.requests);
        assert_eq!(opened, 8);
        assert!(slice.cpu_ns > 0 && slice.bytes_received > slice.requests * 128);
    }
}

#[test]
fn an_open_loop_sends_as_many_as_are_due() {
    let mut plan = plan(8);
    plan.cores = vec![0, 1];
    plan.loop_ = Loop::Open { per_second: 2_000.0 };
    plan.over_time = true;
    let mut load = Load::connect(plan).unwrap();
    let slice = load.run(ms(300)).unwrap();
    assert_eq!(slice.requests + slice.unsent, 600);
    assert_eq!(slice.latencies.len(), 600);
    assert!(!slice.pacing.is_empty() && slice.pacing.len() <= 600);
    let parts = slice.over_time.unwrap();
    assert_eq!(parts.len() as u128, ms(300).as_nanos() / OVER_TIME.as_nanos());
    assert_eq!(parts.iter().map(hdrhistogram::Histogram::len).sum::<u64>(), slice.requests);
    load.set_loop(Loop::Open { per_second: 1_000.0 }).unwrap();
    let slice = load.run(ms(100)).unwrap();
    assert_eq!(slice.requests + slice.unsent, 100);
}

/// A target that answers at once but for a stop of 300 ms: what had to wait shows in an open loop and not in a closed
/// one, where only the few requests under way wait (coordinated omission).
#[test]
fn an_open_loop_shows_a_stall_that_a_closed_loop_hides() {
    let share_over_100_ms = |loop_| {
        let peer = Peer::stalling(ms(200), ms(300));
        let mut plan = plan_for(&peer.url(), 4);
        plan.loop_ = loop_;
        let slice = Load::connect(plan).unwrap().run(ms(1_000)).unwrap();
        let all = slice.latencies.len() as f64;
        slice.latencies.count_between(ms(100).as_nanos() as u64, u64::MAX) as f64 / all
    };
    let run = |_| (share_over_100_ms(Loop::Open { per_second: 500.0 }), share_over_100_ms(Loop::Closed));
    // A machine that stands still has stalls of its own. Requests were due during that of the target, and waited.
    let mut seen = (0..5).map(run);
    let shows = |(open, closed): &(f64, f64)| *open > 0.1 && *open > 5.0 * closed;
    assert!(seen.any(|shares| shows(&shares)), "an open loop shows no stall, or a closed one does");
}

#[test]
fn what_was_due_and_never_sent_is_late() {
    let run = || {
        let peer = Peer::stalling(Duration::ZERO, ms(400));
        let mut plan = plan_for(&peer.url(), 2);
        plan.loop_ = Loop::Open { per_second: 1_000.0 };
        Load::connect(plan).unwrap().run(ms(200)).unwrap()
    };
    let slice = first(|slice| slice.unsent >= 190, run);
    assert!(slice.unsent >= 190, "{} of 200", slice.unsent);
    assert_eq!(slice.latencies.len(), 200);
    assert!(slice.latencies.value_at_quantile(0.5) > ms(50).as_nanos() as u64);
}

#[test]
fn new_each_opens_a_connection_for_every_request() {
    let mut plan = plan(4);
    plan.reuse = Reuse::NewEach;
    let slice = first(|slice| slice.requests > 8, || Load::connect(plan.clone()).unwrap().run(ms(50)).unwrap());
    // Those opened before the first slice serve the first requests.
    assert!(slice.requests > 8 && slice.is_clean(), "{slice:?}");
    assert_eq!(slice.connections_opened, slice.requests);
    plan.reuse = Reuse::Every(10);
    let slice = Load::connect(plan).unwrap().run(ms(50)).unwrap();
    assert!(slice.connections_opened >= slice.requests / 10, "{slice:?}");
    assert!(slice.connections_opened <= slice.requests / 10 + 4, "{slice:?}");
}

#[test]
fn requests_rotate_or_run_out() {
    let peer = Peer::echoing();
    let target = Target::parse(&peer.url()).unwrap();
    let all: Vec<Request> = (0..50).map(|at| Request::get(&target, &[format!("X-Number: {at}")])).collect();
    let mut plan = Plan::new(target, 2, Requests::rotating(all.clone()));
    plan.cores = vec![0, 1];
    plan.loop_ = Loop::Open { per_second: 1_000.0 };
    let mut load = Load::connect(plan).unwrap();
    let are_all_seen = |_: &Slice| {
        let seen = peer.seen();
        (0..50).all(|at| seen.iter().any(|head| head.contains(&format!("X-Number: {at}\r\n"))))
    };
    let slice = first(are_all_seen, || load.run(ms(200)).unwrap());
    assert!(slice.is_clean() && are_all_seen(&slice));

    load.set_requests(Requests::once(all)).unwrap();
    load.set_loop(Loop::Open { per_second: 100.0 }).unwrap();
    let before = peer.seen().len();
    let slice = load.run(ms(400)).unwrap();
    assert_eq!(slice.requests + slice.unsent, 40, "40 of the 50");
    let mut heads = peer.seen().split_off(before);
    heads.sort_unstable();
    heads.dedup();
    assert_eq!(heads.len() as u64, slice.requests, "each once");
    let failure = loop {
        if let Err(failure) = load.run(ms(400)) {
            break failure.to_string();
        }
    };
    assert!(failure.contains("ran out"), "{failure}");
}

#[test]
fn content_goes_both_ways_in_any_size() {
    let address = Origin::start(0, 128).unwrap();
    let target = Target::parse(&format!("http://{address}/bytes/1048576")).unwrap();
    let upload = Request::new(&target, "POST", &[], 300_000);
    let head = Request::new(&target, "HEAD", &[], 0);
    let mix = vec![Request::get(&target, &[]), upload, head];
    let plan = Plan::new(target, 1, Requests::rotating(mix));
    let slice = first(|slice| slice.requests >= 3, || Load::connect(plan.clone()).unwrap().run(ms(100)).unwrap());
    assert!(slice.is_clean() && slice.requests >= 3, "{slice:?}");
    let with_content = slice.requests - slice.requests / 3;
    assert!(slice.bytes_received >= with_content << 20, "{slice:?}");
    assert!(slice.bytes_received < (with_content << 20) + slice.requests * 200, "{slice:?}");
}

#[test]
fn a_slow_reader_is_slow_and_stops_nobody() {
    let address = Origin::start(0, 128).unwrap();
    let target = Target::parse(&format!("http://{address}/bytes/100000")).unwrap();
    let mut plan = Plan::new(target.clone(), 2, Requests::one(Request::get(&target, &[])));
    plan.slow_readers = Some(SlowReaders { connections: 3, bytes_per_second: 20_000 });
    let in_time = |slice: &Slice| slice.requests > 10 && (1..=3 * 20_000).contains(&slice.slow_bytes);
    let slice = first(in_time, || Load::connect(plan.clone()).unwrap().run(ms(500)).unwrap());
    assert!(slice.is_clean() && slice.requests > 10, "{slice:?}");
    assert!(slice.slow_bytes > 0 && slice.slow_bytes <= 3 * 20_000, "{slice:?}");
    assert_eq!(slice.slow_requests, 0, "100 kB take five seconds");
    assert!(slice.bytes_received > 3 * slice.slow_bytes);
}

#[test]
fn a_slow_reader_that_gets_nothing_does_not_hold_up_the_end() {
    let peer = Peer::silent();
    let mut plan = plan_for(&peer.url(), 0);
    plan.slow_readers = Some(SlowReaders { connections: 2, bytes_per_second: 1 });
    let slice = Load::connect(plan).unwrap().run(ms(100)).unwrap();
    assert_eq!((slice.slow_requests, slice.requests, slice.errors.total()), (0, 0, 0));
}

#[test]
fn errors_are_counted_by_kind_and_the_load_goes_on() {
    for (peer, expected) in [
        (Peer::answering("SSH-2.0-x\r\n\r\n"), "malformed"),
        (Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"), "malformed"),
        (Peer::answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"), "reset"),
        (Peer::answering(""), "reset"),
    ] {
        let mut plan = plan_for(&peer.url(), 2);
        plan.loop_ = Loop::Open { per_second: 200.0 };
        let run = || Load::connect(plan.clone()).unwrap().run(ms(100)).unwrap();
        let slice = first(|slice| slice.errors.total() > 2, run);
        let errors = slice.errors;
        let of_kind = if expected == "reset" { errors.reset } else { errors.malformed };
        assert!(of_kind > 2 && of_kind == errors.total() && slice.requests == 0, "{expected}: {slice:?}");
        assert!(slice.first_error.is_some());
    }
}

#[test]
fn no_answer_is_a_timeout_and_no_listener_a_connect_error() {
    let peer = Peer::silent();
    let mut plan = plan_for(&peer.url(), 2);
    plan.response_timeout = ms(50);
    let run = || Load::connect(plan.clone()).unwrap().run(ms(300)).unwrap();
    let slice = first(|slice| slice.errors.timeout >= 2, run);
    assert!(slice.errors.timeout >= 2 && slice.errors.total() == slice.errors.timeout, "{slice:?}");

    let mut load = Load::connect(plan_for(&peer.url(), 2)).unwrap();
    drop(peer);
    let slice = first(|slice| slice.errors.connect > 0, || load.run(ms(100)).unwrap());
    assert!(slice.errors.connect > 0 && slice.requests == 0, "{slice:?}");
    assert!(Load::connect(plan).is_err(), "a load whose first connection fails does not begin");
}

#[test]
fn too_many_errors_end_a_slice() {
    let peer = Peer::answering("");
    let mut plan = plan_for(&peer.url(), 2);
    plan.errors_max = 5;
    let failure = Load::connect(plan).unwrap().run(Duration::from_secs(60)).unwrap_err().to_string();
    assert!(failure.contains("more than 5 errors") && failure.contains("closed before"), "{failure}");
}

#[test]
fn another_status_is_refused_and_counted() {
    let peer = Peer::answering("HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n");
    let run = || Load::connect(plan_for(&peer.url(), 1)).unwrap().run(ms(50)).unwrap();
    let slice = first(|slice| slice.requests > 0, run);
    assert!(slice.refused > 0 && slice.refused == slice.requests, "{slice:?}");
    assert_eq!(slice.refused_by_status.get(&429), Some(&slice.refused));
}

/// The peer needs 2 ms for each request and does one at a time.
#[test]
fn the_capacity_of_a_limited_target_is_found() {
    let peer = Peer::one_at_a_time(ms(2));
    let mut load = Load::connect(plan_for(&peer.url(), 8)).unwrap();
    let goal = Goal { p99: ms(150), step: ms(400), tolerance: 0.1 };
    let mut search = || {
        let mut seen = 0;
        let found = capacity::search(&mut load, goal, |_| seen += 1).unwrap();
        assert_eq!(found.steps.len(), seen);
        found
    };
    // A machine that stood still meanwhile finds less.
    let is_right = |found: &capacity::Capacity| found.rate.is_some_and(|rate| (100.0..=550.0).contains(&rate));
    let found = (0..3).map(|_| search()).find(is_right).expect("a rate that is near what the peer does");
    assert!(found.steps.last().is_some_and(|step| step.confirming && step.good));
}
