//! Stage 3, cold (a credential that was never seen) and cached (one that was).

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bench_counts::Stage;
use identity::token::dpop::RequestUri;
use proxy::bound::{Asked, Dpop};
use proxy::identify::{Credentials, Identified, Memory, PeerCertificate, identify};
use proxy::settings::Bounds;

use crate::gateway::{Gateway, NOW_NS};

/// Of a request whose token no key is bound to.
pub const NOTHING_ASKED: Asked<'_> =
    Asked { method: b"GET", uri: RequestUri { tls: false, authority: b"", path: b"/" }, proof: None };

/// What a request presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presents {
    Token,
    ApiKey,
    Certificate,
}

struct Identify {
    gateway: Gateway,
    presents: Presents,
    cold: bool,
    authorization: String,
    memory: Memory,
    certificate: Option<PeerCertificate>,
}

/// Identification of a request that presents one credential.
pub fn stage(algorithm: &str, presents: Presents, cold: bool) -> Box<dyn Stage> {
    let gateway = Gateway::new(algorithm);
    let authorization = format!("Bearer {}", gateway.token);
    let mut stage = Identify { authorization, gateway, presents, cold, memory: memory(), certificate: None };
    stage.forget();
    stage.run();
    Box::new(stage)
}

pub fn memory() -> Memory {
    Memory::new(
        &Bounds { token_cache_entries_max: 16, ..Bounds::default() },
        [1, 2, 3, 4],
        Arc::new(Dpop::new(16, false, [1, 2, 3, 4], &[5; 32])),
        Arc::new(activation::inquiries::Inquiries::new(16, || {})),
    )
}

impl Identify {
    fn forget(&mut self) {
        self.memory = memory();
        let chain = (self.presents == Presents::Certificate).then_some(&self.gateway.chain);
        self.certificate = chain.and_then(|chain| PeerCertificate::new(chain));
    }
}

impl Stage for Identify {
    fn prepare(&mut self) {
        if self.cold {
            self.forget();
        }
    }

    fn run(&mut self) {
        let mut identified = Identified::nobody();
        let credentials = Credentials {
            authorization: (self.presents == Presents::Token).then_some(self.authorization.as_bytes()),
            api_key: (self.presents == Presents::ApiKey).then_some(self.gateway.api_key.as_bytes()),
            certificate: self.certificate.as_ref().map(|certificate| (certificate, &*self.gateway.chain)),
            asked: NOTHING_ASKED,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let found =
            identify(&self.gateway.activation, &mut self.memory, black_box(&credentials), NOW_NS, &mut identified);
        assert!(found.is_ok() && identified.caller.agent.is_some(), "{found:?}");
        black_box(&identified);
    }
}
