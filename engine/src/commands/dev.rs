//! `adamant dev`: a policy source of one's own, served at once with a throw-away trust root.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use activation::bounds::{DENIAL_RING_BYTES, RECORD_RING_BYTES};
use clap::{Args, ValueEnum};
use control::admin;
use control::assemble::{ChainFiles, ClientCertificates, ListenerFiles, MinimumVersion, Node};
use control::records::Target;
use policy::model::Policy;
use proxy::settings::{Bounds, ClientAddress, Listener, Settings, Timeouts};

use crate::failure::{Failure, warn};
use crate::gateway::{self, Plan, Serve, trust};
use crate::source::Warnings;
use crate::{config, source};

mod given;

use given::Given;

/// Workers without `--cores`: enough to see that there are several.
const WORKERS_MAX: usize = 4;
const RING_ENTRIES: u32 = 1_024;

#[derive(Debug, Args)]
pub struct DevArgs {
    /// The policy source.
    policy: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: SocketAddr,
    /// One worker pinned to each of these cores, like 0-3,6.
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    /// Reach an origin elsewhere: NAME=HOST:PORT keeps the policy's TLS, NAME=http://HOST:PORT drops it.
    #[arg(long = "origin", value_name = "NAME=ADDR")]
    origins: Vec<OriginAt>,
    #[command(flatten)]
    given: Given,
    /// Where records go: stdout, or a file.
    #[arg(long, value_name = "stdout|FILE", default_value = "stdout")]
    records: PathBuf,
    /// Serve health, readiness, metrics and the release there.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
    /// Certificate chain (PEM): listen with TLS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_chain: Option<PathBuf>,
    /// Its private key (PEM, mode 0600).
    #[arg(long, value_name = "FILE", requires = "tls_chain")]
    tls_key: Option<PathBuf>,
    /// Whether to ask for client certificates.
    #[arg(long, value_name = "MODE", default_value = "off", requires = "tls_chain")]
    client_certificates: ClientCertificatesArg,
    /// Write the addresses that were bound to FILE, as JSON.
    #[arg(long, value_name = "FILE")]
    print_addresses: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ClientCertificatesArg {
    Off,
    Optional,
    Required,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected ADDR:PORT, like 127.0.0.1:8080".to_owned())
}

/// `NAME=ADDR` as it was typed.
#[derive(Clone, Debug)]
struct OriginAt {
    name: String,
    address: String,
}

impl FromStr for OriginAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, address)) if !name.is_empty() && address.contains(':') => {
                Ok(Self { name: name.to_owned(), address: address.to_owned() })
            }
            _ => Err("expected NAME=HOST:PORT, for example orders=127.0.0.1:9000".to_owned()),
        }
    }
}

pub fn run(args: DevArgs) -> Result<(), Failure> {
    let mut policy = source::load(&args.policy, Warnings::Shown)?;
    for origin in &args.origins {
        move_origin(&mut policy, origin)?;
    }
    args.given.check(&policy)?;
    let open: Vec<&str> =
        policy.api_keys.iter().filter(|key| key.sha256.is_none()).map(|key| key.id.as_str()).collect();
    if !open.is_empty() {
        warn(format_args!("no key set is followed here, so nobody has a key of: {}", open.join(", ")));
    }
    let release = trust::throw_away(policy)?;
    control::warning!("development: this release is signed by a throw-away key that nobody vouches for");
    gateway::run_until_signal(gateway::start(plan(args, release)?)?)
}

fn plan(args: DevArgs, release: policy_release::candidate::Release) -> Result<Plan, Failure> {
    let cores = match &args.cores {
        Some(list) => config::parse_cores(list).map_err(Failure::new)?.into_iter().map(Some).collect(),
        None => {
            let allowed = sys::affinity::allowed_cores().map_or(1, |cores| cores.len());
            vec![None; allowed.clamp(1, WORKERS_MAX)]
        }
    };
    let client_certificates = match args.client_certificates {
        ClientCertificatesArg::Off => ClientCertificates::Off,
        ClientCertificatesArg::Optional => ClientCertificates::Optional,
        ClientCertificatesArg::Required => ClientCertificates::Required,
    };
    let tls = args.tls_chain.zip(args.tls_key).map(|(chain, key)| ListenerFiles {
        certificates: vec![ChainFiles::given(chain, key)],
        awaited: Vec::new(),
        client_certificates,
        min_version: MinimumVersion::Tls12,
    });
    let listener = Listener {
        address: args.listen,
        tls: tls.is_some(),
        trusted_proxies: Vec::new(),
        client_address: ClientAddress::Forwarded,
        proxy_protocol: false,
    };
    let settings = Settings {
        bounds: Bounds::default(),
        timeouts: Timeouts::default(),
        listeners: vec![listener],
        ring_entries: RING_ENTRIES,
        dpop_nonce: false,
    };
    let (origin_credentials, origin_identities, introspection_clients) = args.given.into_parts();
    Ok(Plan {
        obtained: Vec::new(),
        serve: Serve::ThrowAway(Box::new(release)),
        settings,
        node: Node {
            listeners: vec![tls],
            origin_identities,
            origin_credentials,
            introspection_clients,
            assertion_rotation_s: control::bounds::ASSERTION_ROTATION_S,
            base: args.policy.parent().unwrap_or(Path::new("")).to_owned(),
            ..Node::default()
        },
        cores,
        admin: args.admin.map(admin::Place::Tcp),
        status: None,
        records: if args.records == Path::new("stdout") { Target::Stdout } else { Target::File(args.records) },
        record_recipients: Vec::new(),
        record_ring_bytes: RECORD_RING_BYTES,
        denial_ring_bytes: DENIAL_RING_BYTES,
        checkpoints: Vec::new(),
        checkpoint_interval: std::time::Duration::from_millis(control::bounds::CHECKPOINT_INTERVAL_MS),
        state: None,
        config_digest: "none".to_owned(),
        hot: false,
        print_addresses: args.print_addresses,
    })
}

/// Replaces the addresses of an origin. The name that TLS verifies stays that of the policy.
fn move_origin(policy: &mut Policy, to: &OriginAt) -> Result<(), Failure> {
    let known: Vec<String> = policy.origins.iter().map(|origin| origin.name.clone()).collect();
    let Some(origin) = policy.origins.iter_mut().find(|origin| origin.name == to.name) else {
        let help = format!("the policy's origins are: {}", known.join(", "));
        return Err(Failure::new(format_args!("the policy has no origin \"{}\"", to.name)).help(help));
    };
    let address = match to.address.strip_prefix("http://") {
        Some(plain) => {
            if origin.tls.take().is_some() {
                warn(format_args!("origin \"{}\" is reached without TLS", to.name));
            }
            plain.trim_end_matches('/')
        }
        None => &to.address,
    };
    let old_host = origin.addresses.first().and_then(|old| old.rsplit_once(':')).map(|(host, _)| host.to_owned());
    if let Some(tls) = &mut origin.tls {
        tls.server_name = tls.server_name.take().or(old_host);
    }
    origin.addresses = vec![address.to_owned()];
    Ok(())
}

#[cfg(test)]
mod tests {
    use policy::model::{Origin, OriginTls};

    use super::*;

    fn policy() -> Policy {
        let text = r#"{"name":"p","audit":"queued","transport":"plain","issuers":[],"client_cas":[],"origins":[],
            "routes":[],"scopes":[],"agents":[],"api_keys":[]}"#;
        let mut policy: Policy = serde_json::from_str(text).unwrap();
        let tls = Some(OriginTls { ca: "PEM".to_owned(), server_name: None, identity: None });
        let addresses = vec!["orders.example:443".to_owned(), "b.example:443".to_owned()];
        policy.origins.push(Origin {
            name: "orders".to_owned(),
            addresses,
            tls,
            pass_credentials: false,
            credential: None,
            assertion: None,
        });
        policy
    }

    #[test]
    fn a_moved_origin_keeps_the_name_that_is_verified() {
        let mut moved = policy();
        move_origin(&mut moved, &"orders=127.0.0.1:9000".parse().unwrap()).unwrap();
        assert_eq!(moved.origins[0].addresses, ["127.0.0.1:9000"]);
        let tls = moved.origins[0].tls.as_ref().unwrap();
        assert_eq!(tls.server_name.as_deref(), Some("orders.example"));
        move_origin(&mut moved, &"orders=http://127.0.0.1:9001/".parse().unwrap()).unwrap();
        assert_eq!(moved.origins[0].addresses, ["127.0.0.1:9001"]);
        assert!(moved.origins[0].tls.is_none());
        let unknown = move_origin(&mut moved, &"odrers=127.0.0.1:1".parse().unwrap()).unwrap_err();
        assert!(format!("{unknown:?}").contains("origins are: orders"));
        assert!(OriginAt::from_str("orders").is_err());
    }
}
