//! What the day needs before it begins: every rotator adds its part.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tests::apikey::ApiKey;
use tests::certificates::Authority;
use tests::gateway::{Gateway, binary};
use tests::policy::PolicyText;
use tests::store::World;

use crate::day::Day;
use crate::office::Office;

/// The name under which the gateway is called.
pub const HOST: &str = "api.test";

/// What was put as a secret, for the search in the evening. There is one day a process.
pub static SECRETS: Mutex<Vec<String>> = Mutex::new(Vec::new());

type Preparation = Box<dyn FnOnce(&World)>;

pub struct Plan {
    /// Who vouches for the gateway's own certificates.
    pub servers: Arc<Authority>,
    pub office: Office,
    toml: String,
    policy: PolicyText,
    /// Those that every agent may use.
    routes: Vec<&'static str>,
    /// Of an agent that stays what it is all day.
    caller: ApiKey,
    /// Of further listeners of the gateway, until it starts.
    reserved: Vec<TcpListener>,
    preparations: Vec<Preparation>,
}

impl Plan {
    /// A gateway that asks for client certificates, and an origin; one route.
    pub fn new() -> Self {
        let office = Office::open();
        let caller = ApiKey::new("caller");
        let policy = office.policy(PolicyText::new()).api_key(&caller, "").agent(
            "caller",
            "{ api_key = [\"caller\"] }",
            &["all"],
            &[],
        );
        // Rings and a cache so small that they are full at noon, and what is more in the evening is a leak; and large enough for
        // what comes while a slow disk makes the writer wait. Limits of time that a machine does not reach which stands still.
        let toml = "ring_bytes = \"1MiB\"\ndenial_ring_bytes = \"256KiB\"\ncheckpoints = [\"outside\"]\ncheckpoint_interval = \
                    \"1s\"\n\n[[listener]]\naddress = \
                    \"127.0.0.1:0\"\ntls = { certificates = [{ chain = \"server.pem\", key = \"server.key\" }], \
                    client_certificates = \"optional\" }\n\n[bounds]\ntoken_cache_entries_max = 256\n\n[timeouts]\nhandshake = \
                    \"60s\"\nhead = \"60s\"\norigin_connect = \"60s\"\n";
        let servers = Arc::new(Authority::new("servers"));
        let (toml, routes, reserved, preparations) = (toml.to_owned(), Vec::new(), Vec::new(), Vec::new());
        let mut plan = Self { servers, office, toml, policy, routes, caller, reserved, preparations };
        plan.route("all", "/{rest...}", "office");
        let (servers, origins) = (plan.servers.pem.clone(), plan.office.origins.pem.clone());
        plan.before(move |world| {
            fs::create_dir(world.path("outside")).unwrap();
            world.write("servers.pem", servers.as_bytes());
            world.write("origins.pem", origins.as_bytes());
        });
        plan
    }

    /// More tables of `gateway.toml`.
    pub fn toml(&mut self, text: &str) {
        self.toml.push_str(&format!("\n{text}\n"));
    }

    /// More of the policy.
    pub fn policy(&mut self, more: impl FnOnce(PolicyText) -> PolicyText) {
        self.policy = more(std::mem::take(&mut self.policy));
    }

    /// A route to `origin` that every agent may use.
    pub fn route(&mut self, name: &'static str, path: &str, origin: &str) {
        self.routes.push(name);
        self.policy(|policy| policy.route(name, "GET", path, origin));
    }

    /// A port for a listener of the gateway, below those that connections of other tests are made from.
    pub fn reserve(&mut self) -> u16 {
        let first = u16::try_from(std::process::id() % 16_000).unwrap();
        let mut ports = (0..16_000).map(|more| 12_000 + (first + more) % 16_000);
        let listener = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).expect("a port is free");
        let port = listener.local_addr().unwrap().port();
        self.reserved.push(listener);
        port
    }

    /// The field line of the agent that stays what it is.
    pub fn caller(&self) -> String {
        format!("X-API-Key: {}\r\n", self.caller.text)
    }

    /// What is done before the first release is built.
    pub fn before(&mut self, prepare: impl FnOnce(&World) + 'static) {
        self.preparations.push(Box::new(prepare));
    }

    /// Starts the gateway with the first release.
    pub fn begin(self) -> Day {
        let world = World::with("hot", &self.toml);
        self.preparations.into_iter().for_each(|prepare| prepare(&world));
        let policy = self.policy.scope("all", &self.routes);
        let first = world.build(1, &policy);
        world.publish(1, &first);
        drop(self.reserved);
        let gateway = start(&world);
        Day::new(world, gateway, self.servers, self.office, policy)
    }
}

/// Without huge pages: one more touched byte may cost 2 MiB with them, and the kernel makes more of them whenever it likes.
fn start(world: &World) -> Gateway {
    let mut command = Command::new(binary());
    command.args(["run", &inside(world, "gateway.toml"), "--print-addresses", "addresses.json"]);
    command.env("MIMALLOC_ALLOW_THP", "0").stdin(Stdio::null());
    let directory = tempfile::tempdir().unwrap();
    Gateway::start_command(directory, command, Some(world.path("records.jsonl"))).unwrap_or_else(|why| panic!("{why}"))
}

/// Replaces a file for its owner alone.
pub fn put_secret(world: &World, name: &str, text: &str) {
    SECRETS.lock().unwrap().push(text.to_owned());
    let new = world.path(&format!("{name}.new"));
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, world.path(name)).unwrap();
}

/// The words of a path inside the home of the world.
pub fn inside(world: &World, name: &str) -> String {
    let path: &Path = &world.path(name);
    path.to_str().unwrap().to_owned()
}
