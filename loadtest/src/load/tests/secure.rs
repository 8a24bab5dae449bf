//! TLS and mTLS.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::peers::{OK, Peer, each_request};
use super::{first, ms, plan_for};
use crate::load::{ClientTls, Group, Identity, Load, Plan, Reuse};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn issue(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let chain = CertificateParams::new(vec![name.into()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        Identity { chain: chain.pem(), key: key.serialize_pem() }
    }
}

/// A TLS server that asks for a certificate of `clients`, if there are any.
fn server(identity: &Identity, clients: Option<&Authority>) -> Peer {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(identity.chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    Peer::start(move |socket, _| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        each_request(StreamOwned::new(connection, socket), |_| OK.into());
    })
}

fn plan(peer: &Peer, tls: ClientTls) -> Plan {
    let mut plan = plan_for(&peer.url().replace("http://", "https://"), 2);
    plan.reuse = Reuse::NewEach;
    plan.tls = Some(tls);
    plan
}

#[test]
fn the_chosen_group_is_agreed_on_and_the_client_proves_itself() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let peer = server(&servers.issue("127.0.0.1"), Some(&clients));
    for (group, name) in
        [(Group::X25519, "X25519"), (Group::P256, "secp256r1"), (Group::X25519MlKem768, "X25519MLKEM768")]
    {
        let identity = Some(clients.issue("agent"));
        let tls = ClientTls { roots: Some(servers.pem.clone()), identity, group: Some(group), resumption: false };
        let plan = plan(&peer, tls);
        let slice = first(|slice| slice.requests >= 2, || Load::connect(plan.clone()).unwrap().run(ms(100)).unwrap());
        assert!(slice.requests >= 2 && slice.is_clean(), "{slice:?}");
        assert_eq!(slice.tls.group.as_deref(), Some(name));
        assert_eq!((slice.tls.full, slice.tls.resumed), (slice.requests, 0), "a full handshake for every request");
    }
}

#[test]
fn sessions_are_resumed_when_asked_for() {
    let peer = server(&Authority::new().issue("127.0.0.1"), None);
    let plan = plan(&peer, ClientTls { resumption: true, ..ClientTls::default() });
    let run = || Load::connect(plan.clone()).unwrap().run(ms(100)).unwrap();
    let slice = first(|slice| slice.tls.resumed > slice.tls.full, run);
    assert!(slice.is_clean() && slice.tls.resumed > slice.tls.full, "{slice:?}");
}

#[test]
fn who_is_not_trusted_gets_no_session() {
    let (servers, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let peer = server(&servers.issue("127.0.0.1"), Some(&clients));
    let stranger = ClientTls { roots: Some(others.pem.clone()), ..ClientTls::default() };
    let failure = Load::connect(plan(&peer, stranger)).err().unwrap().to_string();
    assert!(failure.contains("TLS handshake"), "{failure}");
    // In TLS 1.3 the client hears of its refusal only with the first bytes that it reads.
    let tls = ClientTls { identity: Some(others.issue("agent")), ..ClientTls::default() };
    let plan = plan(&peer, tls);
    let run = || Load::connect(plan.clone()).unwrap().run(ms(50)).unwrap();
    let slice = first(|slice| slice.errors.handshake > 0, run);
    assert!(slice.requests == 0 && slice.errors.handshake > 0, "{slice:?}");
}
