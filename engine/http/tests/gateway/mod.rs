//! A gateway of parsers and writers alone: what it would forward of the bytes of one connection.

use http1::{
    Bounds, Chunk, ChunkedDecoder, Forward, Framing, Progress, RequestHead, Scheme, TargetForm, Trailers, Upgrade,
    parse_request, parse_trailers, write_request_head,
};
use policy::target::{normalise, normalise_host};

/// What becomes of the first message of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Forwarded, with this normalised host.
    Forwarded { host: String },
    /// Answered by the gateway itself (`OPTIONS *`).
    Local,
    /// Refused, with the name of the fault.
    Refused(String),
    /// Incomplete.
    Waits,
}

/// Runs all messages in `bytes`; each that is forwarded must parse again to the same canonical head.
pub fn run(bytes: &[u8]) -> Outcome {
    let (first, mut rest) = message(bytes);
    let mut messages = 1;
    while let Some(next) = rest.filter(|next| !next.is_empty()) {
        messages += 1;
        if messages == 100 {
            break;
        }
        rest = message(next).1;
    }
    first
}

/// One message, and what follows it where the connection goes on.
fn message(bytes: &[u8]) -> (Outcome, Option<&[u8]>) {
    let refused = |fault: String| (Outcome::Refused(fault), None);
    let mut head = RequestHead::new();
    match parse_request(bytes, &Bounds::default(), &mut head) {
        Err(fault) => return refused(format!("{fault:?}")),
        Ok(Progress::Partial) => return (Outcome::Waits, None),
        Ok(Progress::Complete) => {}
    }
    let content = &bytes[head.length..];
    let consumed = match consume(content, head.framing) {
        Err(fault) => return refused(fault),
        Ok(None) => return (Outcome::Waits, None),
        Ok(Some(consumed)) => consumed,
    };
    let rest = head.keep_alive.then(|| &content[consumed..]);
    if head.form == TargetForm::Asterisk {
        return (Outcome::Local, rest);
    }
    if head.upgrade == Upgrade::Other {
        return refused("Upgrade".to_owned());
    }
    match forward(bytes, &head) {
        Err(fault) => refused(fault),
        Ok(host) => (Outcome::Forwarded { host }, rest),
    }
}

/// Bytes of the content; `None` while it is incomplete.
fn consume(content: &[u8], framing: Framing) -> Result<Option<usize>, String> {
    match framing {
        Framing::None => Ok(Some(0)),
        Framing::Length(length) => Ok(usize::try_from(length).ok().filter(|length| *length <= content.len())),
        Framing::Chunked => {
            let (mut decoder, mut position) = (ChunkedDecoder::new(), 0);
            loop {
                let input = &content[position..];
                match decoder.step(input).map_err(|fault| format!("{fault:?}"))? {
                    Chunk::Data(range) => position += range.end,
                    Chunk::Partial { .. } => return Ok(None),
                    Chunk::End { trailers, consumed } => {
                        parse_trailers(&input[trailers], &mut Trailers::default())
                            .map_err(|fault| format!("{fault:?}"))?;
                        return Ok(Some(position + consumed));
                    }
                }
            }
        }
    }
}

/// Normalises, writes, parses again and compares. Gives the normalised host.
fn forward(bytes: &[u8], head: &RequestHead) -> Result<String, String> {
    let (mut out, mut host_out) = (Vec::new(), Vec::new());
    let target = normalise(head.target.of(bytes), &mut out).map_err(|fault| format!("Target{fault:?}"))?;
    let authority = head.host.map_or(&b"origin"[..], |host| host.of(bytes));
    let host = normalise_host(authority, &mut host_out).expect("the gate and the policy agree on hosts");
    let forward = Forward {
        path: target.path,
        query: target.query,
        host: authority,
        forwarded_host: authority,
        framing: head.framing,
        client_ip: b"192.0.2.1",
        scheme: Scheme::Http,
        request_id: b"id",
        agent: Some("agent"),
        pass_credentials: true,
        injected: None,
        assertion: None,
        expect_continue: head.expect_continue,
        close: false,
        via: b"adamant",
    };
    let mut written = Vec::new();
    write_request_head(bytes, head, &forward, &mut written).expect("nothing unsafe is inserted");
    check_canonical(bytes, head, &forward, &written);
    Ok(String::from_utf8(host.to_vec()).unwrap())
}

fn check_canonical(bytes: &[u8], head: &RequestHead, forward: &Forward<'_>, written: &[u8]) {
    let mut again = RequestHead::new();
    // The gateway's own lines may lift a head at a bound over it.
    let bounds = Bounds { head_bytes_max: usize::MAX, fields_max: usize::MAX, ..Bounds::default() };
    assert_eq!(parse_request(written, &bounds, &mut again), Ok(Progress::Complete));
    assert_eq!(again.length, written.len());
    assert_eq!(again.framing, head.framing);
    assert_eq!(again.method.of(written), head.method.of(bytes));
    assert!(again.keep_alive);
    let mut target = forward.path.to_vec();
    if let Some(query) = forward.query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    assert_eq!(again.target.of(written), target);
    let mut normal = Vec::new();
    normalise(&target, &mut normal).expect("a normal target is accepted again");
    assert_eq!(normal, target);
    let count = |name: &str| again.fields.values(written, name).count();
    assert_eq!(count("content-length"), usize::from(matches!(head.framing, Framing::Length(_))));
    assert_eq!(count("transfer-encoding"), usize::from(head.framing == Framing::Chunked));
    assert_eq!(count("host"), 1);
    let te = count("te");
    assert_eq!(count("connection"), te);
    for name in ["keep-alive", "upgrade", "proxy-connection", "proxy-authorization", "http2-settings", "proxy"] {
        assert_eq!(count(name), 0, "{name}");
    }
}
