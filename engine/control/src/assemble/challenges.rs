//! What ACME servers are shown while they look whether a name is ours (tls-alpn-01, RFC 8737).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use activation::activation::ACME_ALPN;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use stores::issue::acme::Challenge;

use super::tls;

/// TLS for those servers alone: no certificate is asked for, and no session comes back. None without challenges.
pub fn config(challenges: Vec<Challenge>) -> Result<Option<Arc<ServerConfig>>, rustls::Error> {
    if challenges.is_empty() {
        return Ok(None);
    }
    let provider = tls::provider();
    let mut by_name = BTreeMap::new();
    for Challenge { name, certificate, key } in challenges {
        // Not looked into: it has a critical extension that only those servers know.
        let key = provider.key_provider.load_private_key(key)?;
        by_name.insert(name, Arc::new(CertifiedKey::new(vec![certificate], key)));
    }
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(ByName(by_name)));
    config.alpn_protocols = vec![ACME_ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Some(Arc::new(config)))
}

struct ByName(BTreeMap<String, Arc<CertifiedKey>>);

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}
