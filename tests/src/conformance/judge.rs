//! The judge: from what was sent, what came back and what reached the origin to a verdict. A pure function.

use super::corpus::Case;
use super::sent::{Message, Rest, Sent};
use crate::client::Ended;
use crate::content::ContentDecoder;
use crate::wire::{Mode, Parsed, response_head};

/// Target of the clean request that is sent on a fresh connection after each case: if the case left a poisoned
/// connection to the origin behind, this is the request that suffers.
pub const AFTER_TARGET: &str = "/after-the-case";

/// What was seen of one case.
#[derive(Clone, Debug)]
pub struct Observation {
    pub steps: Vec<StepSeen>,
    /// Raw bytes that reached the origin, one element a connection, the request after the case included.
    pub origin: Vec<Vec<u8>>,
    /// Whether the request after the case got its own answer.
    pub after_answered: bool,
}

/// One step that was sent.
#[derive(Clone, Debug)]
pub struct StepSeen {
    pub sent: Vec<u8>,
    pub received: Vec<u8>,
    pub ended: Ended,
}

/// A final response as the client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub status: u16,
    /// Whether a 1xx came before it.
    pub interim: bool,
    pub content: Vec<u8>,
    pub fields: Vec<crate::wire::Field>,
}

/// The verdict.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// Rules that were broken; none means that the case was handled well.
    pub violations: Vec<String>,
    /// The source accepts the case and the proxy did not serve it.
    pub refused: bool,
    pub answers: Vec<Answered>,
    /// Requests of the case that reached the origin.
    pub forwarded: usize,
    pub closed: bool,
}

/// Judges one case by the rules of the corpus' README.
pub fn judge(case: &Case, seen: &Observation) -> Judgement {
    let bytes: Vec<u8> = seen.steps.iter().flat_map(|step| step.sent.clone()).collect();
    let sent = Sent::by_client(&bytes);
    let closed = seen.steps.last().is_some_and(|step| step.ended != Ended::Open);
    let mut judgement = Judgement { closed, ..Judgement::default() };
    let broken = &mut judgement.violations;
    let arrived = at_origin(seen, broken);
    judgement.forwarded = arrived.len();
    if arrived.len() > sent.allowed() {
        broken.push(format!("{} requests reached the origin, at most {} were sent", arrived.len(), sent.allowed()));
    }
    fidelity(&sent, &arrived, broken);
    judgement.answers = answers(seen, &sent, broken);
    if judgement.answers.len() > sent.allowed() {
        broken.push(format!("{} responses to at most {} requests", judgement.answers.len(), sent.allowed()));
    }
    let first = judgement.answers.first().map(|answer| answer.status);
    let refused_by_proxy = judgement.forwarded == 0 && (first.is_some_and(|status| status >= 400) || judgement.closed);
    if sent.requests.is_empty() && matches!(sent.rest, Rest::Invalid(_)) {
        let refusal = first.is_some_and(|status| status >= 400);
        if refusal && !judgement.closed {
            broken.push(format!("{} and the connection stays open", first.unwrap_or_default()));
        }
        if !refusal && judgement.forwarded == 0 && !judgement.closed && first.is_some() {
            broken.push(format!("{} although nothing was forwarded", first.unwrap_or_default()));
        }
    }
    if !sent.requests.is_empty() && first.is_none() && !judgement.closed {
        broken.push("a whole request and no answer".into());
    }
    let served = arrived.iter().any(|message| message.complete) || first.is_some_and(|status| status < 400);
    if case.source_refuses && served {
        broken.push(format!("served, and the source says: {}", case.expectation));
    }
    judgement.refused = case.source_accepts && refused_by_proxy;
    host_is_the_expected_one(case, &arrived, &mut judgement.violations);
    judgement
}

/// The requests of the case as they reached the origin; everything else there is a violation.
fn at_origin(seen: &Observation, broken: &mut Vec<String>) -> Vec<Message> {
    let mut arrived = Vec::new();
    let mut after = 0;
    for raw in &seen.origin {
        let sent = Sent::at_origin(raw);
        if let Rest::Invalid(why) = &sent.rest {
            broken.push(format!("not canonical at the origin: {why}: {}", shown(raw)));
        }
        if sent.rest == Rest::Partial && sent.unfinished.is_none() {
            broken.push(format!("an unfinished head at the origin: {}", shown(raw)));
        }
        let is_after =
            |message: &Message| message.head.method == "GET" && message.head.target == AFTER_TARGET.as_bytes();
        after += sent.requests.iter().filter(|message| is_after(message)).count();
        arrived.extend(sent.requests.into_iter().filter(|message| !is_after(message)));
        arrived.extend(sent.unfinished);
    }
    if after != 1 || !seen.after_answered {
        broken.push(format!("the request after the case came {after} times, answered: {}", seen.after_answered));
    }
    arrived
}

/// Each request at the origin is one that the client sent, unchanged in what it means.
fn fidelity(sent: &Sent, arrived: &[Message], broken: &mut Vec<String>) {
    let mut open: Vec<&Message> = sent.requests.iter().collect();
    let mut doubtful = usize::from(sent.rest != Rest::Nothing);
    for message in arrived {
        let found = open.iter().position(|request| same(request, message));
        if let Some(index) = found {
            let request = open.remove(index);
            if !message.complete || request.content != message.content {
                broken.push(format!("changed content of {} {}", message.head.method, message.head.target_text()));
            }
        } else if doubtful > 0 && message.head.method == sent.rest_method {
            doubtful -= 1;
            if message.complete && sent.rest == Rest::Partial {
                broken.push("an unfinished request reached the origin as a whole one".into());
            }
        } else {
            broken.push(format!("nobody sent {} {}", message.head.method, message.head.target_text()));
        }
    }
}

fn same(request: &Message, message: &Message) -> bool {
    request.head.method == message.head.method && origin_form(&request.head.target) == origin_form(&message.head.target)
}

/// Path and query with percent-encoded unreserved bytes decoded and hex digits in upper case (RFC 3986 §6.2.2).
fn origin_form(target: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(target);
    let path = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('?') => format!("/{}", &rest[at..]),
            Some(at) => rest[at..].to_owned(),
            None => "/".to_owned(),
        },
        _ => text.into_owned(),
    };
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escape = bytes.get(at..at + 3).filter(|_| *byte == b'%').and_then(|text| std::str::from_utf8(text).ok());
        let value = escape.and_then(|text| u8::from_str_radix(&text[1..], 16).ok());
        match value {
            Some(value) if value.is_ascii_alphanumeric() || b"-._~".contains(&value) => out.push(value),
            Some(value) => out.extend_from_slice(format!("%{value:02X}").as_bytes()),
            None => out.push(*byte),
        }
        at += if value.is_some() { 3 } else { 1 };
    }
    out
}

/// The final responses that the client saw, in order.
fn answers(seen: &Observation, sent: &Sent, broken: &mut Vec<String>) -> Vec<Answered> {
    let received: Vec<u8> = seen.steps.iter().flat_map(|step| step.received.clone()).collect();
    let ended = seen.steps.last().map_or(Ended::Open, |step| step.ended);
    let mut methods =
        sent.requests.iter().map(|message| message.head.method.as_str()).chain([sent.rest_method.as_str()]);
    let mut method = methods.next().unwrap_or("GET");
    let mut answers = Vec::new();
    let mut interim = false;
    let mut at = 0;
    while at < received.len() {
        let head = match response_head(&received[at..], method) {
            Parsed::Complete(head) => head,
            Parsed::Partial if ended == Ended::Reset => return answers,
            Parsed::Partial => {
                broken.push(format!("an unfinished response: {}", shown(&received[at..])));
                return answers;
            }
            Parsed::Invalid(why) => {
                broken.push(format!("an invalid response: {why}: {}", shown(&received[at..])));
                return answers;
            }
        };
        at += head.length;
        if head.status < 200 {
            interim = true;
            continue;
        }
        let mut decoder = ContentDecoder::new(head.framing, Mode::Canonical);
        let mut content = Vec::new();
        match decoder.push(&received[at..], |piece| content.extend_from_slice(piece)) {
            Ok(used) => at += used,
            Err(why) => broken.push(format!("invalid response content: {why}")),
        }
        let whole = decoder.is_done() || (decoder.ends_with_connection() && ended == Ended::Closed);
        if !whole && ended != Ended::Reset {
            broken.push(format!("an unfinished response content after {}", head.status));
        }
        answers.push(Answered { status: head.status, interim, content, fields: head.fields });
        interim = false;
        method = methods.next().unwrap_or("GET");
        if !whole {
            return answers;
        }
    }
    answers
}

/// nginx's host cases name the host that must be used.
fn host_is_the_expected_one(case: &Case, arrived: &[Message], broken: &mut Vec<String>) {
    let Some((_, after)) = case.expectation.split_once("normalised host = '") else { return };
    let expected = after.split('\'').next().unwrap_or_default();
    for message in arrived {
        let host = message.head.value("Host").unwrap_or_default().to_ascii_lowercase();
        let name = match host.rfind(']') {
            Some(end) => &host[..=end],
            None => host.split(':').next().unwrap_or_default().trim_end_matches('.'),
        };
        if name != expected {
            broken.push(format!("Host {host:?} at the origin, {expected:?} was expected"));
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(160)]))
}

#[cfg(test)]
mod tests;
