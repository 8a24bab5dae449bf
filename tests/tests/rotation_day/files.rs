//! What the gateway reads from files: its certificate, its certificate towards the origin, its secret for the origin.

use std::sync::Arc;

use tests::apikey::hex;
use tests::certificates::{Authority, Identity};
use tests::store::World;
use tests::stream::Stream;

use crate::Rotator;
use crate::day::Day;
use crate::log::Told;
use crate::plan::{HOST, Plan, inside, put_secret};

/// Key and chain as two renames, so that for a moment they do not fit.
fn put_pair(world: &World, name: &str, identity: &Identity) {
    put_secret(world, &format!("{name}.key"), &identity.key);
    world.write(&format!("{name}.pem"), identity.certificate.as_bytes());
}

/// The certificate that agents see.
pub struct ServerCertificate {
    servers: Arc<Authority>,
    turns: usize,
    path: String,
}

impl ServerCertificate {
    pub fn new(plan: &mut Plan) -> Self {
        let servers = Arc::clone(&plan.servers);
        let first = servers.server(&[HOST, "localhost"]);
        plan.before(move |world| put_pair(world, "server", &first));
        Self { servers, turns: 0, path: String::new() }
    }
}

impl Rotator for ServerCertificate {
    fn name(&self) -> &'static str {
        "the server's certificate"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        let next = self.servers.server(&[HOST, "localhost"]);
        self.path = inside(&day.world, "server.pem");
        day.takes("certificate", &self.path, || put_pair(&day.world, "server", &next))?;
        self.turns += 1;
        day.until("it is shown", || shown(day) == next.der())?;
        // And never the old one again.
        for _ in 0..3 {
            if shown(day) != next.der() {
                return Err("the old certificate came back".to_owned());
            }
        }
        Ok(())
    }

    fn told(&self) -> Vec<Told> {
        vec![Told::Taken("certificate", self.path.clone(), self.turns)]
    }
}

/// What a new connection sees.
fn shown(day: &Day) -> Vec<u8> {
    let stream = Stream::connect_tls(day.gateway.tls_address(), HOST, &day.servers.client_config(None)).unwrap();
    let Stream::Client(stream) = stream else { panic!("a TLS stream is one of a client") };
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

/// The gateway's certificate towards the origin.
pub struct OriginIdentity {
    turns: usize,
}

impl OriginIdentity {
    pub fn new(plan: &mut Plan) -> Self {
        plan.toml("[[origin_identity]]\nname = \"office\"\nchain = \"office.pem\"\nkey = \"office.key\"");
        let first = plan.office.gateways.spiffe("spiffe://gateways.test/edge");
        plan.before(move |world| put_pair(world, "office", &first));
        Self { turns: 0 }
    }
}

impl Rotator for OriginIdentity {
    fn name(&self) -> &'static str {
        "the gateway's certificate for the origin"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        let next = day.office.gateways.spiffe("spiffe://gateways.test/edge");
        day.takes("origin-identity", "office", || put_pair(&day.world, "office", &next))?;
        self.turns += 1;
        Ok(())
    }

    fn told(&self) -> Vec<Told> {
        vec![Told::Taken("origin-identity", "office".to_owned(), self.turns)]
    }
}

/// The secret that the origin wants. It takes the latest and the one before: what was sent may still be on its way.
pub struct OriginSecret {
    turns: usize,
}

impl OriginSecret {
    pub fn new(plan: &mut Plan) -> Self {
        plan.toml("[[origin_credential]]\nname = \"office\"\nfile = \"office.secret\"");
        let first = secret();
        plan.office.knows(&first);
        plan.before(move |world| put_secret(world, "office.secret", &first));
        Self { turns: 0 }
    }
}

impl Rotator for OriginSecret {
    fn name(&self) -> &'static str {
        "the secret for the origin"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        let next = secret();
        day.office.knows(&next);
        day.takes("origin-credential", "office", || put_secret(&day.world, "office.secret", &next))?;
        self.turns += 1;
        // It is told before it is in force.
        day.until("the origin sees the new one", || day.is_over() || day.office.has_seen_the_latest())
    }

    fn told(&self) -> Vec<Told> {
        vec![Told::Taken("origin-credential", "office".to_owned(), self.turns)]
    }
}

fn secret() -> String {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    hex(&bytes)
}
