//! What is encoded decodes to the same; what is not a record is none.

use policy::binding::Bindings;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn full<'a>(path: &'a [u8], subject: &'a [u8]) -> Record<'a> {
    Record {
        kind: Kind::Exchange,
        time_unix_ns: 1_800_000_000_000_000_000,
        request_id: 7,
        activation: 3,
        listener: 1,
        transport: Transport::Tls13,
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        method: b"GET",
        host: b"api.example",
        path,
        query: Some(b"a=1"),
        permitted: true,
        reason: Some(Reason::LimitExceeded),
        status: 429,
        agent: Some(1),
        granted_by: None,
        route: Some(9),
        scope: Some(2),
        token: Some(TokenFacts {
            issuer: 0,
            subject,
            kid: Some(b"k1"),
            expires_s: 12,
            scopes: Some(b"a b"),
            bound: Bindings::DPOP,
            introspected: true,
        }),
        api_key: None,
        certificate: Some(CertificateFacts { sha256: [7; 32], names: subject, cas: 5 }),
        limits: LimitsBefore { entries: [(4, 5); LIMITS_PER_AGENT_MAX], len: 2 },
        origin: Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 8080)),
        retried: true,
        bytes_in: 1,
        bytes_out: 2,
        decided_us: 3,
        first_byte_us: 4,
        total_us: 5,
        count: 0,
        revocations: 9,
    }
}

proptest! {
    #[test]
    fn round_trip(path: Vec<u8>, subject: Vec<u8>, bare: bool) {
        let mut record = full(&path, &subject);
        if bare {
            record.token = None;
            record.query = None;
            record.origin = None;
            record.reason = None;
            record.limits = LimitsBefore::default();
        }
        // What the entries beyond `len` hold is not part of the record.
        for entry in record.limits.entries.iter_mut().skip(usize::from(record.limits.len)) {
            *entry = (0, 0);
        }
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        prop_assert_eq!(Record::decode(&bytes), Some(record));
        prop_assert_eq!(Record::decode(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn names_come_back_in_order(names: Vec<String>) {
        let mut encoded = Vec::new();
        names.iter().for_each(|name| put_name(&mut encoded, name));
        let facts = CertificateFacts { sha256: [0; 32], names: &encoded, cas: 0 };
        prop_assert!(facts.names().eq(names.iter().map(String::as_bytes)));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        if let Some(Record { certificate: Some(certificate), .. }) = Record::decode(&bytes) {
            let _ = certificate.names().count();
        }
    }
}
