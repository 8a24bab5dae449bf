//! Every stage of one permitted exchange in its order, over memory: all that user space does for a request, but for
//! waiting and for moving bytes through the kernel.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use activation::counters::LimitStates;
use activation::injection::Injection;
use activation::ring::{RecordReader, RecordWriter, rings};
use activation::stats::WorkerStats;
use bench_counts::{HEAD, Stage};
use http1::{Bounds, Forward, Framing, Relay, RequestHead, ResponseHead, Scheme, Version};
use policy::decide::Asked;
use policy::table::TokenScopes;
use proxy::identify::{Credentials, Identified, Memory, identify};
use proxy::used::Used;

use crate::gateway::{Gateway, NOW_NS};
use crate::record::record;

/// What the origin answers; its content is five bytes.
pub const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 5\r\n\
    Date: Sun, 22 Nov 2026 00:00:00 GMT\r\n\
    Cache-Control: no-store\r\n\r\n";

struct Exchange {
    gateway: Gateway,
    request: Vec<u8>,
    memory: Memory,
    used: Used,
    head: Box<RequestHead>,
    reply: Box<ResponseHead>,
    path: Vec<u8>,
    host: Vec<u8>,
    to_origin: Vec<u8>,
    to_client: Vec<u8>,
    writer: RecordWriter,
    reader: RecordReader,
    bytes: Vec<u8>,
    count: u64,
}

pub fn stage() -> Box<dyn Stage> {
    let gateway = Gateway::new("ES256");
    // The head of the others, with a token that is good.
    let text = std::str::from_utf8(HEAD).unwrap();
    let line = text.lines().find(|line| line.starts_with("Authorization: ")).unwrap();
    let request = text.replace(line, &format!("Authorization: Bearer {}", gateway.token)).into_bytes();
    let (writer, reader) = rings(1 << 20, 1 << 16, Arc::new(WorkerStats::new(0)));
    let mut stage = Exchange {
        gateway,
        request,
        memory: crate::identify::memory(),
        used: Used::new(0, Arc::default()),
        head: Box::new(RequestHead::new()),
        reply: Box::new(ResponseHead::new()),
        path: Vec::with_capacity(1 << 10),
        host: Vec::with_capacity(256),
        to_origin: Vec::with_capacity(4 << 10),
        to_client: Vec::with_capacity(4 << 10),
        writer,
        reader,
        bytes: Vec::with_capacity(4 << 10),
        count: 0,
    };
    stage.run();
    Box::new(stage)
}

impl Stage for Exchange {
    fn prepare(&mut self) {
        let _ = self.reader.next_permitted(&mut self.bytes);
        self.to_origin.clear();
        self.to_client.clear();
    }

    fn run(&mut self) {
        self.count += 1;
        let now_ns = NOW_NS + self.count * 1_000;
        let bytes = black_box(self.request.as_slice());
        http1::parse_request(bytes, &Bounds::default(), &mut self.head).unwrap();
        let target = policy::target::normalise(self.head.target.of(bytes), &mut self.path).unwrap();
        self.host.clear();
        let host = policy::target::normalise_host(self.head.host.unwrap().of(bytes), &mut self.host).unwrap();
        let activation = &*self.gateway.activation;
        let credentials = Credentials {
            authorization: self.head.authorization.map(|span| span.of(bytes)),
            api_key: None,
            certificate: None,
            asked: crate::identify::NOTHING_ASKED,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let mut identified = Identified::nobody();
        identify(activation, &mut self.memory, &credentials, now_ns, &mut identified).unwrap();
        self.used.note(activation, &identified, None, now_ns);
        let asked = Asked { method: self.head.method.of(bytes), host, target: Some(&target) };
        let scopes = identified.token.as_ref().map_or(TokenScopes::everything(), |token| token.scopes.clone());
        let (grant, origin) = activation.table.decide(&identified.caller, true, &scopes, &asked).unwrap();
        let record = record(self.count, target.path, b"a0000500");
        let reserved = self.writer.reserve(&record);
        let mut states = LimitStates::default();
        activation.limits.charge(&activation.table, grant.agent, None, now_ns, &mut states).unwrap();
        let forward = Forward {
            path: target.path,
            query: target.query,
            host: b"127.0.0.1:9000",
            forwarded_host: host,
            framing: Framing::None,
            client_ip: b"127.0.0.1",
            scheme: Scheme::Http,
            request_id: b"7bf511cb43495bddd402151c110c6fb0",
            agent: Some(activation.table.agent_name(grant.agent)),
            pass_credentials: activation.origins[origin.index()].pass_credentials,
            injected: activation.origins[origin.index()].injected.as_deref().map(Injection::field),
            assertion: None,
            expect_continue: false,
            close: false,
            via: b"adamant",
        };
        http1::write_request_head(bytes, &self.head, &forward, &mut self.to_origin).unwrap();
        http1::parse_response(black_box(RESPONSE), &Bounds::default(), false, &mut self.reply).unwrap();
        let relay = Relay {
            client_version: Version::Http11,
            keep_alive: true,
            request_id: b"7bf511cb43495bddd402151c110c6fb0",
            date: b"Sun, 22 Nov 2026 00:00:00 GMT",
            limits: &[],
            via: b"adamant",
        };
        http1::write_response_head(RESPONSE, &self.reply, &relay, &mut self.to_client).unwrap();
        self.writer.permitted(&record, reserved);
        black_box((&self.to_origin, &self.to_client));
    }
}
