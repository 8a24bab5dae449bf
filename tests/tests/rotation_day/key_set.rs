//! API keys that move under the release, by a signed set.

use std::sync::Arc;

use rustls::ClientConfig;
use tests::apikey::ApiKey;
use tests::gateway;
use tests::store::{CHANNEL, Key};

use crate::Rotator;
use crate::credential::{Credential, Phase};
use crate::day::Day;
use crate::log::Told;
use crate::plan::{Plan, put_secret};

const ID: &str = "moving";
const OF: &str = "key-set";

/// An id gets one key after another: with overlap and at once, in turn.
pub struct MovingKeys {
    tls: Arc<ClientConfig>,
    last: Option<(ApiKey, Arc<Credential>)>,
    turns: usize,
    changes: usize,
}

impl MovingKeys {
    pub fn new(plan: &mut Plan) -> Self {
        plan.before(|world| put_secret(world, "3.key", &Key::file(3)));
        plan.policy(|policy| {
            policy.open_api_key(ID).agent("mover", &format!("{{ api_key = [\"{ID}\"] }}"), &["all"], &[])
        });
        Self { tls: plan.servers.client_config(None), last: None, turns: 0, changes: 0 }
    }

    fn next(&self) -> (ApiKey, Arc<Credential>) {
        let key = ApiKey::new(ID);
        let (name, field) = (format!("API key {} of an id", self.turns), format!("X-API-Key: {}\r\n", key.text));
        (key, Credential::new(name, Arc::clone(&self.tls), move || field.clone()))
    }

    /// Another set is published and taken.
    fn change(&mut self, day: &Day, command: &str, key: &ApiKey, more: &[&str]) -> Result<(), String> {
        let place = ["--store", "store", "--channel", CHANNEL, "--trust-root", "root.json", "--key", "3.key"];
        let line = [&["key-set", command, "--id", ID, "--sha256", &key.sha256][..], &place, more].concat();
        day.takes(OF, CHANNEL, || {
            let (status, stdout, stderr) = gateway::run(&line, day.world.home());
            assert!(status.success(), "{line:?}: {stdout}{stderr}");
        })?;
        self.changes += 1;
        Ok(())
    }
}

impl Rotator for MovingKeys {
    fn name(&self) -> &'static str {
        "the set of API keys"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        let (key, shown) = self.next();
        let is_at_once = self.turns.is_multiple_of(2);
        self.turns += 1;
        match self.last.take() {
            None => {
                self.change(day, "add", &key, &[])?;
                day.enters(&shown)?;
            }
            Some((_, gone)) if is_at_once => {
                gone.becomes(Phase::Changing);
                self.change(day, "rotate", &key, &["--at-once"])?;
                day.enters(&shown)?;
                day.leaves(&gone)?;
            }
            Some((old, gone)) => {
                self.change(day, "rotate", &key, &["--overlap", "12h"])?;
                day.enters(&shown)?;
                // Callers have a while with both.
                std::thread::sleep(self.pause());
                gone.becomes(Phase::Changing);
                self.change(day, "remove", &old, &[])?;
                day.leaves(&gone)?;
            }
        }
        self.last = Some((key, shown));
        Ok(())
    }

    fn told(&self) -> Vec<Told> {
        vec![Told::Taken(OF, CHANNEL.to_owned(), self.changes)]
    }
}
