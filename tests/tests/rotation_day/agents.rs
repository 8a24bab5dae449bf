//! Agents with the built-in CA: one that `agent run` keeps renewed behind `agent proxy`, and others that enroll, call, and are
//! taken back.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tests::agents::{ID, Running, ok, read_pair, run, through};
use tests::certificates::{Authority, Identity};
use tests::gateway::binary;

use crate::Rotator;
use crate::credential::{Credential, Phase};
use crate::day::Day;
use crate::log::Told;
use crate::plan::Plan;

const NEW: &str = "spiffe://corp.example/new";
/// Renewed at two thirds of it; the rest is for a machine that is busy with something else, or a slow disk.
const LIFE: &str = "--life 18s";

/// `agent run` and `agent proxy` on one profile.
pub struct Keeper {
    run: Running,
    proxy: Running,
}

fn enroll(day: &Day, profile: &str, agent: &str, id: &str, more: &str) -> String {
    let port = day.gateway.tls_address().port();
    format!(
        "agent enroll {profile} --agent {agent} --gateway https://localhost:{port} --gateway-ca servers.pem --ca ca --spiffe \
         {id} {more}"
    )
}

impl Keeper {
    pub fn start(day: &Day) -> Self {
        let home = day.world.home();
        day.hears(ok(home, &enroll(day, "kept", "kept", ID, LIFE)));
        let [run, proxy] = ["run", "proxy"].map(|what| {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("exec \"$0\" agent {what} kept 2> {what}.told")]).arg(binary());
            Running::of(home, command)
        });
        proxy.says("listening", 1);
        Self { run, proxy }
    }

    /// A program that knows nothing of certificates.
    pub fn calls(&self, day: &Day, end: &AtomicBool) {
        let socket = day.world.path("kept/proxy.sock");
        while !end.load(Ordering::SeqCst) && !day.is_over() {
            let said = through(UnixStream::connect(&socket).unwrap(), "GET /orders/7", "", "");
            let count = match said.starts_with("HTTP/1.1 200") {
                true => &day.counts.by_proxy,
                // The machine stood still for longer than a third of a life: there is no valid request to fail.
                false if said.contains("\"code\":\"certificate-expired\"") => &day.counts.either,
                false => return day.fails(format!("through the proxy: {said}")),
            };
            count.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(15));
        }
    }

    /// Ends both; how often it renewed. Each renewal is told, none failed.
    pub fn ends(self, day: &Day) -> usize {
        day.hears(self.proxy.end().join("\n"));
        self.run.says("\"refresh\"", 2);
        let lines = self.run.json();
        day.hears(self.run.end().join("\n"));
        let refreshes: Vec<_> = lines.iter().filter(|line| line["kind"] == "refresh").collect();
        let other = refreshes.iter().find(|line| line["outcome"] != "renewed");
        assert!(other.is_none(), "agent run: {other:?}");
        for pair in refreshes.windows(2) {
            assert_eq!(pair[0]["new_sha256"], pair[1]["old_sha256"]);
        }
        refreshes.len()
    }
}

/// An agent enrolls, calls for a while, and its certificate is revoked by the CA.
pub struct Enrolments {
    servers: Arc<Authority>,
    last: Option<Arc<Credential>>,
    enrolled: usize,
    revoked: usize,
}

impl Enrolments {
    pub fn new(plan: &mut Plan) -> Self {
        plan.before(|world| {
            ok(world.home(), "ca init ca --trust-domain corp.example --no-passphrase");
            ok(world.home(), "ca crl ca");
        });
        plan.policy(|policy| {
            let certificate = |id: &str| format!("{{ certificate = \"{id}\", ca = \"agents\" }}");
            policy
                .with(
                    "[[client_ca]]\nname = \"agents\"\ncertificates = { file = \"ca/ca.pem\" }\ncrl = { watch = \
                     \"ca/ca.crl\" }",
                )
                .agent("kept", &certificate(ID), &["all"], &[])
                .agent("new", &certificate(NEW), &["all"], &[])
        });
        Self { servers: Arc::clone(&plan.servers), last: None, enrolled: 0, revoked: 0 }
    }

    fn enrolls(&mut self, day: &Day) -> Result<(), String> {
        self.enrolled += 1;
        let (home, profile) = (day.world.home(), format!("new-{}", self.enrolled));
        day.hears(ok(home, &enroll(day, &profile, "new", NEW, "--life 1h")));
        let (status, said, told) = run(home, &format!("agent doctor {profile}"));
        day.hears(format!("{said}{told}"));
        if status != 0 {
            return Err(said);
        }
        let (_, certificate, key) = read_pair(&day.world.path(&profile));
        let [certificate, key] = [certificate, key].map(|pem| String::from_utf8(pem).unwrap());
        let tls = self.servers.client_config(Some(&Identity { certificate, key }));
        let shown = Credential::new(format!("the certificate of {profile}"), tls, String::new);
        day.enters(&shown)?;
        self.last = Some(shown);
        Ok(())
    }
}

impl Rotator for Enrolments {
    fn name(&self) -> &'static str {
        "agents that enroll"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        if let Some(last) = self.last.take() {
            last.becomes(Phase::Changing);
            day.takes("crl", "agents", || _ = ok(day.world.home(), &format!("ca revoke ca {NEW}")))?;
            self.revoked += 1;
            day.leaves(&last)?;
        }
        self.enrolls(day)
    }

    fn told(&self) -> Vec<Told> {
        vec![Told::Taken("crl", "agents".to_owned(), self.revoked)]
    }
}
