//! What is compared: one gateway under different policies, transports and audit modes.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::failure::Failure;
use crate::load::{self, ClientTls, Identity, Request, Requests};
use crate::target::material::{self, AGENT, AUDIENCE, HOST, ISSUER, Material, PATH, SCOPE};
use crate::target::process::{Aim, Process, Start};
use crate::target::{Algorithm, Flaw, Transport};
use crate::wire::Target;

/// How long a gateway may take until it listens.
const READY: Duration = Duration::from_secs(20);

/// How much the policy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// One public route, no limit.
    Null,
    /// An ES256 token, its scope, two limits; over mTLS the agent's certificate too.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    BestEffort,
    Queued,
    Durable,
}

/// One gateway that takes its turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    pub policy: Policy,
    pub transport: Transport,
    pub audit: Audit,
    /// Measured at a constant rate below its capacity, too.
    pub paced: bool,
}

impl Variant {
    /// All that are compared. Records go to a file in each, through the same chain.
    pub const ALL: [Self; 7] = [
        Self::new(Policy::Null, Transport::Plain, Audit::Queued, true),
        Self::new(Policy::Full, Transport::Plain, Audit::Queued, true),
        Self::new(Policy::Null, Transport::Tls, Audit::Queued, false),
        Self::new(Policy::Null, Transport::Mtls, Audit::Queued, true),
        Self::new(Policy::Full, Transport::Mtls, Audit::Queued, true),
        Self::new(Policy::Full, Transport::Plain, Audit::BestEffort, false),
        Self::new(Policy::Full, Transport::Plain, Audit::Durable, false),
    ];

    const fn new(policy: Policy, transport: Transport, audit: Audit, paced: bool) -> Self {
        Self { policy, transport, audit, paced }
    }

    /// Unique together with the transport.
    pub fn name(self) -> String {
        let policy = match self.policy {
            Policy::Null => "null policy",
            Policy::Full => "full policy",
        };
        match self.audit {
            Audit::Queued => policy.to_owned(),
            audit => format!("{policy}, {}", audit.name()),
        }
    }

    /// Starts a gateway that does this, all threads on `core`. `keys` is where the material wrote its files.
    pub fn start(self, binary: &Path, core: usize, origin: SocketAddr, keys: &Path) -> Result<Process, Failure> {
        let work = format!("the {} over {}", self.name(), self.transport.name());
        let aim = Aim { target: "adamant", work: &work, core, ready: READY };
        let process = Process::start(aim, |address, directory| {
            material::write(&directory.join("policy.toml"), &self.policy_source(origin, keys))?;
            let (address, core) = (address.to_string(), core.to_string());
            // A file as in production: to nowhere, writing would cost nothing.
            let mut arguments = vec!["dev", "policy.toml", "--listen", &address, "--cores", &core];
            arguments.extend(["--records", "records.jsonl"]);
            let file = |name: &str| keys.join(name).display().to_string();
            let (chain, key) = (file("server.pem"), file("server.key"));
            if self.transport.is_tls() {
                arguments.extend(["--tls-chain", &chain, "--tls-key", &key]);
            }
            if self.transport == Transport::Mtls {
                arguments.extend(["--client-certificates", "required"]);
            }
            let arguments = arguments.into_iter().map(str::to_owned).collect();
            Ok(Start { program: binary.display().to_string(), arguments, environment: Vec::new() })
        })?;
        Ok(process)
    }

    pub fn target(self, process: &Process) -> Target {
        Target { address: process.address, authority: HOST.into(), path: PATH.into(), tls: self.transport.is_tls() }
    }

    /// Load on it. The null policy gets requests without a token: to receive one is part of what the full policy costs.
    pub fn plan(self, process: &Process, material: &Material, connections: usize) -> Result<load::Plan, Failure> {
        let target = self.target(process);
        let fields = match self.policy {
            Policy::Null => Vec::new(),
            Policy::Full => {
                let token = material.token(Algorithm::Es256, Flaw::None, 0);
                let token = token.map_err(|fault| Failure::Subject(fault.to_string()))?;
                vec![format!("Authorization: Bearer {token}")]
            }
        };
        let request = Request::get(&target, &fields);
        let mut plan = load::Plan::new(target, connections, Requests::one(request));
        plan.tls = self.transport.is_tls().then(|| self.tls(&material.agent));
        Ok(plan)
    }

    pub fn tls(self, agent: &Identity) -> ClientTls {
        ClientTls { identity: (self.transport == Transport::Mtls).then(|| agent.clone()), ..ClientTls::default() }
    }

    fn policy_source(self, origin: SocketAddr, keys: &Path) -> String {
        let (audit, transport, keys) = (self.audit.name(), self.transport.name(), keys.display());
        let common = format!(
            r#"[policy]
name = "load"
audit = "{audit}"
transport = "{transport}"

[[origin]]
name = "origin"
addresses = ["{origin}"]
"#
        );
        let authority = format!(
            r#"
[[client_ca]]
name = "agents"
certificates = {{ file = "{keys}/agents-ca.pem" }}
"#
        );
        let (authority, certificate) = match self.transport {
            Transport::Mtls => (authority, format!(r#"certificate = "dns:{AGENT}", ca = "agents", "#)),
            Transport::Plain | Transport::Tls => (String::new(), String::new()),
        };
        let rules = match self.policy {
            Policy::Null => NULL.to_owned(),
            Policy::Full => full(&keys.to_string(), &certificate),
        };
        common + &authority + &rules
    }
}

/// Everybody may do everything.
const NULL: &str = r#"
[[route]]
name = "all"
host = "*"
methods = "*"
path = "/{rest...}"
origin = "origin"

[[scope]]
name = "all"
routes = ["all"]

[[agent]]
name = "anyone"
identity = ["anonymous"]
scopes = ["all"]
limits = []
"#;

/// A token, its scope, two limits that are never reached; `proof` is what the agent must show besides.
fn full(keys: &str, proof: &str) -> String {
    format!(
        r#"
[[issuer]]
name = "load"
issuer = "{ISSUER}"
audience = ["{AUDIENCE}"]
algorithms = ["ES256"]
keys = {{ file = "{keys}/es256.jwks.json" }}
scope_claim = "scope"

[[route]]
name = "order"
host = "{HOST}"
methods = ["GET", "HEAD"]
path = "/orders/{{id}}"
origin = "origin"

[[scope]]
name = "{SCOPE}"
routes = ["order"]

[[agent]]
name = "{AGENT}"
identity = [{{ {proof}token = {{ issuer = "load", subject = "{AGENT}" }} }}]
scopes = ["{SCOPE}"]
limits = ["900000000/minute", "900000000/hour quota"]
"#
    )
}

impl Audit {
    pub fn name(self) -> &'static str {
        match self {
            Self::BestEffort => "best-effort",
            Self::Queued => "queued",
            Self::Durable => "durable",
        }
    }
}
