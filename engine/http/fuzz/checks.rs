//! What must hold for any bytes. Shared by the fuzz targets and the test that replays their corpora.

use http1::{
    Bounds, Chunk, ChunkedDecoder, Fault, Progress, Relay, RequestHead, ResponseFraming, ResponseHead, Version,
    parse_request, parse_response, write_response_head,
};

use crate::gateway;

/// Heads: no panic; arrival in two parts changes nothing; what is forwarded or relayed passes the gate again. The
/// first byte says where the input is cut.
pub fn head(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    gateway::run(bytes);
    let (mut whole, mut part) = (RequestHead::new(), RequestHead::new());
    let outcome = parse_request(bytes, &Bounds::default(), &mut whole);
    let early = bytes.get(..usize::from(*cut)).unwrap_or(bytes);
    match (outcome, parse_request(early, &Bounds::default(), &mut part)) {
        (Ok(Progress::Complete), Ok(Progress::Partial)) => assert!(early.len() < whole.length),
        (Ok(Progress::Complete), Ok(Progress::Complete)) => assert_eq!(part.length, whole.length),
        (Ok(_), Err(fault)) => panic!("{fault} in a part of what is valid"),
        (Ok(Progress::Partial) | Err(_), Ok(Progress::Complete)) => panic!("a part of what is not valid is whole"),
        _ => {}
    }
    for (to_head_request, client_version) in [(false, Version::Http11), (true, Version::Http10)] {
        response(bytes, to_head_request, client_version);
    }
}

fn response(bytes: &[u8], to_head_request: bool, client_version: Version) {
    let (mut head, mut again, mut out) = (ResponseHead::new(), ResponseHead::new(), Vec::new());
    if parse_response(bytes, &Bounds::default(), to_head_request, &mut head) != Ok(Progress::Complete) || head.interim {
        return;
    }
    let relay =
        Relay { client_version, keep_alive: true, request_id: b"id", date: b"today", limits: &[], via: b"adamant" };
    assert_eq!(write_response_head(bytes, &head, &relay, &mut out), Ok(()));
    // The gateway's own lines may lift a head at a bound over it.
    let bounds = Bounds { head_bytes_max: usize::MAX, fields_max: usize::MAX, ..Bounds::default() };
    assert_eq!(parse_response(&out, &bounds, to_head_request, &mut again), Ok(Progress::Complete));
    assert_eq!(again.length, out.len());
    assert_eq!(again.framing, head.framing_to(client_version));
    assert_eq!(again.keep_alive, again.framing != ResponseFraming::UntilClose);
}

/// Chunked messages: no panic, and arrival in parts changes nothing. The first byte gives the parts' size.
pub fn chunked(data: &[u8]) {
    let Some((size, message)) = data.split_first() else { return };
    assert_eq!(decode(message, usize::from(*size).max(1)), decode(message, message.len().max(1)));
}

/// Content and length of a message that arrives in parts of `size` bytes.
fn decode(message: &[u8], size: usize) -> Result<Option<(Vec<u8>, usize)>, Fault> {
    let (mut decoder, mut content) = (ChunkedDecoder::new(), Vec::new());
    let (mut start, mut end) = (0, 0);
    loop {
        let input = message.get(start..end).unwrap_or_default();
        match decoder.step(input)? {
            Chunk::Data(range) => {
                content.extend_from_slice(input.get(range.clone()).unwrap_or_default());
                start += range.end;
            }
            Chunk::Partial { .. } if end == message.len() => return Ok(None),
            Chunk::Partial { consumed } => {
                start += consumed;
                end = message.len().min(end + size);
            }
            Chunk::End { consumed, .. } => return Ok(Some((content, start + consumed))),
        }
    }
}

/// Targets and hosts: no panic; normal forms stay as they are and are plain ASCII without dot or empty segments.
pub fn target(data: &[u8]) {
    let (mut out, mut again) = (Vec::new(), Vec::new());
    if let Ok(normal) = policy::target::normalise(data, &mut out) {
        assert!(normal.path.starts_with(b"/") && normal.path.iter().all(u8::is_ascii_graphic));
        let segments: Vec<&[u8]> = normal.path.split(|byte| *byte == b'/').skip(1).collect();
        let (last, before) = segments.split_last().expect("a path has a segment");
        assert!(before.iter().all(|segment| !segment.is_empty()));
        assert!(segments.iter().all(|segment| !matches!(*segment, b"." | b"..")), "{last:?}");
        let path = normal.path.to_vec();
        let normal_again = policy::target::normalise(&out, &mut again).expect("a normal target is accepted");
        assert_eq!(normal_again.path, path);
        assert_eq!(again, out);
    }
    if let Some(host) = policy::target::normalise_host(data, &mut out).map(<[u8]>::to_vec) {
        assert_eq!(policy::target::normalise_host(&host, &mut again), Some(host.as_slice()));
    }
}
