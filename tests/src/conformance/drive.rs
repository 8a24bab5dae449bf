//! Drives cases through a proxy, several at a time, each lane with an origin of its own.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::corpus::{Case, HOST};
use super::judge::{AFTER_TARGET, Observation, StepSeen};
use super::sent::{Rest, Sent};
use crate::answer::{Answer, Content};
use crate::client::{Client, Ended};
use crate::origin::RecordingOrigin;
use crate::wire::{Parsed, RequestHead, persistent, response_head};

/// Lanes that run at the same time.
pub const LANES: usize = 6;

/// A whole request must be answered within this.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// So long a proxy may think about what is not a valid request.
const INVALID_WAIT: Duration = Duration::from_secs(6);
/// So long an unfinished request is left lying.
const PARTIAL_WAIT: Duration = Duration::from_millis(500);
/// After an answer, so long for more.
const QUIET: Duration = Duration::from_millis(120);

/// A proxy and the origin behind it.
pub struct Lane<'l> {
    pub proxy: SocketAddr,
    pub origin: &'l RecordingOrigin,
}

/// The origin that the corpus expects: echoes content, knows `OPTIONS` and `DELETE`, dates what it says.
pub fn origin() -> RecordingOrigin {
    RecordingOrigin::scripted(|head, _| answer(head))
}

fn answer(head: &RequestHead) -> Answer {
    let answer = match head.method.as_str() {
        "OPTIONS" => Answer::new(204).with_content(Content::None).with_field("Allow", "GET, HEAD, POST, OPTIONS"),
        "DELETE" => Answer::new(405).with_field("Allow", "GET, HEAD, POST, OPTIONS"),
        "GET" => Answer::text("ok"),
        _ => Answer::echo().with_field("Content-Type", "text/plain"),
    };
    answer.with_field("Date", "Sun, 06 Nov 1994 08:49:37 GMT").with_field("X-Target", &printable(head))
}

fn printable(head: &RequestHead) -> String {
    head.target_text().chars().filter(char::is_ascii_graphic).take(200).collect()
}

/// Runs all cases; the observations stand in the order of the cases.
pub fn run(cases: &[Case], lanes: &[Lane<'_>]) -> Vec<Observation> {
    let next = AtomicUsize::new(0);
    let seen: Mutex<Vec<Option<Observation>>> = Mutex::new(vec![None; cases.len()]);
    thread::scope(|scope| {
        for lane in lanes {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { return };
                    let observation = run_case(case, lane);
                    seen.lock().expect("no lane panics while it holds the list")[index] = Some(observation);
                }
            });
        }
    });
    let seen = seen.into_inner().expect("no lane panicked");
    seen.into_iter().map(|observation| observation.expect("every case was run")).collect()
}

fn run_case(case: &Case, lane: &Lane<'_>) -> Observation {
    let mut client = Client::connect(lane.proxy);
    let mut steps: Vec<StepSeen> = Vec::new();
    let mut so_far = Vec::new();
    for bytes in &case.steps {
        so_far.extend_from_slice(bytes);
        let before: usize = steps.iter().map(|step| step.received.len()).sum();
        let sent = Sent::by_client(&so_far);
        let wait = wait_for(&sent, before > 0);
        let _ = client.try_send(bytes);
        let (mut received, mut ended) = client.read_until_quiet(wait, QUIET);
        if ended == Ended::Open && is_last(&received, &sent) {
            let (more, at_last) = client.read_until_quiet(ANSWER_WAIT, ANSWER_WAIT);
            received.extend_from_slice(&more);
            ended = at_last;
        }
        steps.push(StepSeen { sent: bytes.clone(), received, ended });
        if ended != Ended::Open {
            break;
        }
    }
    drop(client);
    let after_answered = after(lane.proxy);
    Observation { steps, origin: lane.origin.take_raw(), after_answered }
}

/// Whether the first answer says that the connection ends with it.
fn is_last(received: &[u8], sent: &Sent) -> bool {
    let method = sent.requests.first().map_or(sent.rest_method.as_str(), |message| message.head.method.as_str());
    let mut at = 0;
    while let Parsed::Complete(head) = response_head(&received[at..], method) {
        if head.status >= 200 {
            return !persistent(&head.fields, head.minor);
        }
        at += head.length;
    }
    false
}

fn wait_for(sent: &Sent, answered_before: bool) -> Duration {
    match (&sent.rest, sent.requests.is_empty()) {
        (_, false) if !answered_before || sent.rest == Rest::Nothing => ANSWER_WAIT,
        (Rest::Partial, _) => PARTIAL_WAIT,
        _ => INVALID_WAIT,
    }
}

/// The clean request after each case, on a connection of its own: whether it got the answer that belongs to it.
fn after(proxy: SocketAddr) -> bool {
    let request = format!("GET {AFTER_TARGET} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let mut client = Client::connect(proxy).with_timeout(ANSWER_WAIT);
    let response = client.try_send(request.as_bytes()).ok().and_then(|()| client.try_response_to("GET").ok());
    response.is_some_and(|response| response.value("X-Target") == Some(AFTER_TARGET))
}
