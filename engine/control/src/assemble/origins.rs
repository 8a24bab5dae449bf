//! Where routes lead: addresses parsed, names told apart, TLS towards them set up.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use activation::activation::{Origin, OriginAddress};
use activation::assertion::Assertion;
use activation::injection::Injection;
use policy::model;
use policy::reason::Reason;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};

use super::material::{Identity, Material, SecretError};
use super::tls::{self, TlsError};

#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    #[error(
        "origin \"{origin}\": expected an address like \"10.0.0.5:8080\" or, with tls, \"name:443\", found \"{found}\""
    )]
    Address { origin: String, found: String },
    #[error("origin \"{origin}\": the name \"{found}\" needs tls: DNS must not move where data goes")]
    NameWithoutTls { origin: String, found: String },
    #[error("origin \"{origin}\": tls.server_name \"{found}\" is neither a DNS name nor an address")]
    ServerName { origin: String, found: String },
    #[error("origin \"{origin}\": tls.ca: expected one or more CA certificates in PEM, found {found}")]
    Ca { origin: String, found: String },
    #[error(
        "origin \"{origin}\" wants the identity \"{identity}\", which gateway.toml does not have: add an \
         [[origin_identity]] with that name, and chain and key, or from and names, and restart: gateway.toml is read at the start \
         alone"
    )]
    IdentityUnknown { origin: String, identity: String },
    #[error("origin \"{origin}\": {cause}")]
    Identity { origin: String, cause: Arc<TlsError> },
    #[error(
        "origin \"{origin}\" wants the credential \"{credential}\", which gateway.toml does not have: add an \
         [[origin_credential]] with that name, and file, openbao or oauth, and restart: gateway.toml is read at the start \
         alone"
    )]
    CredentialUnknown { origin: String, credential: String },
    #[error("origin \"{origin}\": {cause}")]
    Credential { origin: String, cause: Arc<SecretError> },
    #[error(
        "origin \"{origin}\": credentials: expected the name of a field that the gateway neither sets nor removes itself, and \
         a value with {{secret}} once, found the field \"{header}\": name the one that the origin reads its key from"
    )]
    Field { origin: String, header: String },
    #[error(
        "origin \"{origin}\" wants assertions, and the gateway has no key to sign them with: see what was told before"
    )]
    AssertionKey { origin: String },
    #[error("origin \"{origin}\": TLS could not be set up: {cause}")]
    Setup { origin: String, cause: rustls::Error },
    #[error("origin \"{origin}\": cannot be written down: {cause}")]
    Section { origin: String, cause: serde_json::Error },
}

/// An origin before its names are resolved.
pub struct Planned {
    pub name: String,
    pub hosts: Vec<PlannedHost>,
    identity: u64,
    section: [u8; 32],
    tls: Option<Arc<ClientConfig>>,
    pass_credentials: bool,
    injected: Option<Arc<Injection>>,
    assertion: Option<Arc<Assertion>>,
}

/// One address of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedHost {
    pub host: Host,
    pub port: u16,
    server_name: Option<ServerName<'static>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Address(IpAddr),
    Name(String),
}

impl Planned {
    pub fn new(origin: &model::Origin, material: &Material) -> Result<Self, OriginError> {
        let mut hash = Sha256::new();
        let hosts = origin.addresses.iter().map(|address| planned_host(origin, address)).collect::<Result<_, _>>()?;
        for part in [origin.name.as_str()].into_iter().chain(origin.addresses.iter().map(String::as_str)) {
            hash.update(part);
            hash.update([0]);
        }
        let (tls, awaits_identity) = match &origin.tls {
            None => (None, false),
            Some(tls) => {
                let shows = shows(origin, tls, material)?;
                (Some(client_config(origin, tls, &shows, &mut hash)?), matches!(shows, Shows::Awaited))
            }
        };
        let injected = origin.credential.as_ref().map(|of| injection(origin, of, material)).transpose()?;
        // Whatever else it gets.
        let awaited = || Injection::awaited(Reason::OriginIdentityMissing);
        let injected = if awaits_identity { Some(awaited()) } else { injected };
        let digest: [u8; 32] = hash.finalize().into();
        let (first, _) = digest.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        Ok(Self {
            name: origin.name.clone(),
            hosts,
            identity: u64::from_le_bytes(*first),
            section: section(origin)?,
            tls,
            // Never both, whatever a release says.
            pass_credentials: origin.pass_credentials && origin.credential.is_none(),
            injected: injected.map(Arc::new),
            assertion: origin.assertion.as_ref().map(|of| assertion(origin, of, material)).transpose()?.map(Arc::new),
        })
    }

    /// Names that must be resolved.
    pub fn names(&self) -> impl Iterator<Item = (&str, u16)> {
        self.hosts.iter().filter_map(|planned| match &planned.host {
            Host::Name(name) => Some((name.as_str(), planned.port)),
            Host::Address(_) => None,
        })
    }

    /// The origin with the addresses that `resolved` gives for its names; none for a name means that it is not known.
    pub fn resolved(&self, resolved: impl Fn(&str) -> Vec<IpAddr>) -> Origin {
        let mut addresses: Vec<OriginAddress> = Vec::new();
        for planned in &self.hosts {
            let ips = match &planned.host {
                Host::Address(address) => vec![*address],
                Host::Name(name) => resolved(name),
            };
            for ip in ips {
                let socket = SocketAddr::new(ip, planned.port);
                if !addresses.iter().any(|other| other.socket == socket && other.server_name == planned.server_name) {
                    addresses.push(OriginAddress { socket, server_name: planned.server_name.clone() });
                }
            }
        }
        Origin {
            name: self.name.clone(),
            identity: self.identity,
            section: self.section,
            addresses,
            tls: self.tls.clone(),
            pass_credentials: self.pass_credentials,
            injected: self.injected.clone(),
            assertion: self.assertion.clone(),
        }
    }
}

fn section(origin: &model::Origin) -> Result<[u8; 32], OriginError> {
    let written = serde_json::to_vec(origin);
    let written = written.map_err(|cause| OriginError::Section { origin: origin.name.clone(), cause })?;
    Ok(Sha256::digest(written).into())
}

fn planned_host(origin: &model::Origin, address: &str) -> Result<PlannedHost, OriginError> {
    let wrong = || OriginError::Address { origin: origin.name.clone(), found: address.to_owned() };
    let (host, port) = match address.parse::<SocketAddr>() {
        Ok(socket) => (Host::Address(socket.ip()), socket.port()),
        Err(_) => {
            let (name, port) = address.rsplit_once(':').ok_or_else(wrong)?;
            (Host::Name(name.to_owned()), port.parse().map_err(|_| wrong())?)
        }
    };
    if port == 0 {
        return Err(wrong());
    }
    let Some(tls) = &origin.tls else {
        return match host {
            Host::Address(_) => Ok(PlannedHost { host, port, server_name: None }),
            Host::Name(found) => Err(OriginError::NameWithoutTls { origin: origin.name.clone(), found }),
        };
    };
    let server_name = match (&tls.server_name, &host) {
        (Some(name), _) | (None, Host::Name(name)) => ServerName::try_from(name.clone())
            .map_err(|_| OriginError::ServerName { origin: origin.name.clone(), found: name.clone() })?,
        (None, Host::Address(address)) => ServerName::from(*address),
    };
    Ok(PlannedHost { host, port, server_name: Some(server_name) })
}

/// What of the gateway's an origin is shown.
enum Shows<'m> {
    Nothing,
    Identity(&'m Identity),
    /// A certificate that has not come yet.
    Awaited,
}

fn shows<'m>(origin: &model::Origin, tls: &model::OriginTls, material: &'m Material) -> Result<Shows<'m>, OriginError> {
    let Some(identity) = &tls.identity else { return Ok(Shows::Nothing) };
    let name = || origin.name.clone();
    let unknown = || OriginError::IdentityUnknown { origin: name(), identity: identity.clone() };
    match material.identities.get(identity).ok_or_else(unknown)? {
        Ok(own) => Ok(Shows::Identity(own)),
        Err(cause) if matches!(**cause, TlsError::Awaited) => Ok(Shows::Awaited),
        Err(cause) => Err(OriginError::Identity { origin: name(), cause: Arc::clone(cause) }),
    }
}

fn client_config(
    origin: &model::Origin,
    tls: &model::OriginTls,
    shows: &Shows<'_>,
    hash: &mut Sha256,
) -> Result<Arc<ClientConfig>, OriginError> {
    let name = || origin.name.clone();
    let ca_error = |found: String| OriginError::Ca { origin: name(), found };
    hash.update(&tls.ca);
    hash.update([0]);
    hash.update(tls.server_name.as_deref().unwrap_or_default());
    hash.update([0]);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(tls.ca.as_bytes()) {
        let certificate = certificate.map_err(|error| ca_error(error.to_string()))?;
        roots.add(certificate).map_err(|error| ca_error(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(ca_error("none".to_owned()));
    }
    let setup = |cause| OriginError::Setup { origin: name(), cause };
    let builder = ClientConfig::builder_with_provider(tls::provider());
    let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(setup)?;
    let mut config = match shows {
        Shows::Nothing => builder.with_root_certificates(roots).with_no_client_auth(),
        Shows::Identity(own) => {
            own.chain.iter().for_each(|certificate| hash.update(certificate));
            let (chain, key) = (own.chain.clone(), own.key.clone_key());
            builder.with_root_certificates(roots).with_client_auth_cert(chain, key).map_err(setup)?
        }
        // Nobody connects. Whoever did would believe no server, and share no connection with those who show nothing.
        Shows::Awaited => {
            hash.update("awaited");
            builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn assertion(
    origin: &model::Origin,
    of: &model::OriginAssertion,
    material: &Material,
) -> Result<Assertion, OriginError> {
    let none = || OriginError::AssertionKey { origin: origin.name.clone() };
    let key = material.assertion_key.clone().ok_or_else(none)?;
    Ok(Assertion { audience: of.audience.clone(), key })
}

/// Refuses what no secret could make right.
pub fn check_credential(origin: &model::Origin) -> Result<(), OriginError> {
    let Some(of) = &origin.credential else { return Ok(()) };
    let once = of.value.matches(model::SECRET_PLACE).count() == 1;
    match Injection::new(of.header.as_bytes(), of.value.as_bytes()) {
        Ok(_) if once => Ok(()),
        _ => Err(OriginError::Field { origin: origin.name.clone(), header: of.header.clone() }),
    }
}

/// The field line that the origin gets.
fn injection(
    origin: &model::Origin,
    of: &model::OriginCredential,
    material: &Material,
) -> Result<Injection, OriginError> {
    check_credential(origin)?;
    let name = || origin.name.clone();
    let unknown = || OriginError::CredentialUnknown { origin: name(), credential: of.from.clone() };
    let read = material.secrets.get(&of.from).ok_or_else(unknown)?.as_ref();
    let secret = match read {
        Ok(secret) => secret,
        // Requests are refused until it is there.
        Err(cause) if matches!(**cause, SecretError::Awaited) => {
            return Ok(Injection::awaited(Reason::OriginCredentialMissing));
        }
        Err(cause) => return Err(OriginError::Credential { origin: name(), cause: Arc::clone(cause) }),
    };
    let field = || OriginError::Field { origin: name(), header: of.header.clone() };
    let value = secret.within(&of.value).ok_or_else(field)?;
    let made = Injection::new(of.header.as_bytes(), &value).map_err(|_| field())?;
    Ok(made.until(secret.ends_unix_ns))
}

#[cfg(test)]
mod tests;
