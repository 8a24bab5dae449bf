//! A KV store that answers as Consul's HTTP API is documented (developer.hashicorp.com/consul/api-docs/kv, and its "Blocking
//! Queries"). Consul's server is not to be had where these tests run.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::answering::{Asked, Reply};

/// Bytes that a value may have at most (`kv_max_value_size`).
const VALUE_BYTES_MAX: usize = 512 << 10;

#[derive(Default)]
struct State {
    index: u64,
    /// With the index of its last change.
    keys: BTreeMap<String, (u64, Vec<u8>)>,
    /// The index of what was deleted last.
    deleted: u64,
}

impl State {
    /// Of all that begins with `prefix`.
    fn index_of(&self, prefix: &str) -> u64 {
        let found = self.keys.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, (index, _))| *index);
        found.max().unwrap_or(self.index).max(self.deleted).max(1)
    }
}

/// The store; its token must be shown.
#[derive(Clone)]
pub struct Consul {
    state: Arc<(Mutex<State>, Condvar)>,
    token: String,
}

impl Consul {
    pub fn new(token: &str) -> Self {
        Self { state: Arc::default(), token: token.to_owned() }
    }

    /// What stands under a key.
    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.state.0.lock().unwrap().keys.get(key).map(|(_, value)| value.clone())
    }

    pub fn keys(&self) -> Vec<String> {
        self.state.0.lock().unwrap().keys.keys().cloned().collect()
    }

    pub fn put(&self, key: &str, value: &[u8]) {
        let mut state = self.state.0.lock().unwrap();
        state.index += 1;
        let index = state.index;
        state.keys.insert(key.to_owned(), (index, value.to_vec()));
        self.state.1.notify_all();
    }

    pub fn delete(&self, key: &str) {
        let mut state = self.state.0.lock().unwrap();
        state.index += 1;
        state.deleted = state.index;
        state.keys.remove(key);
        self.state.1.notify_all();
    }

    pub fn answer(&self, asked: &Asked) -> Reply {
        let Some(key) = asked.path.strip_prefix("/v1/kv/") else { return Reply::new(404, "") };
        if asked.field("x-consul-token") != Some(&self.token) {
            return Reply::new(403, "Permission denied");
        }
        match (asked.method.as_str(), asked.member("keys")) {
            ("GET", Some(_)) => self.names(key, asked),
            ("GET", None) => self.read(key),
            ("PUT", _) => self.write(key, asked),
            ("DELETE", _) => {
                self.delete(key);
                Reply::new(200, "true")
            }
            _ => Reply::new(405, ""),
        }
    }

    fn names(&self, prefix: &str, asked: &Asked) -> Reply {
        let mut state = self.state.0.lock().unwrap();
        if let Some(index) = asked.member("index").map(|index| index.parse::<u64>().unwrap()) {
            let wait = asked.member("wait").and_then(|wait| wait.strip_suffix("ms")?.parse().ok()).unwrap_or(300_000);
            let until = Instant::now() + Duration::from_millis(wait);
            while state.index_of(prefix) <= index && Instant::now() < until {
                let left = until.saturating_duration_since(Instant::now());
                state = self.state.1.wait_timeout(state, left).unwrap().0;
            }
        }
        let separator = asked.member("separator").unwrap_or("");
        let shown = |key: &String| {
            let rest = key.strip_prefix(prefix)?;
            let end = rest.find(separator).filter(|_| !separator.is_empty()).map_or(rest.len(), |at| at + 1);
            Some(format!("{prefix}{}", &rest[..end]))
        };
        let mut names: Vec<String> = state.keys.keys().filter_map(shown).collect();
        names.dedup();
        let index = state.index_of(prefix);
        let reply = if names.is_empty() { Reply::new(404, "") } else { Reply::new(200, json!(names).to_string()) };
        reply.with("X-Consul-Index", index)
    }

    fn read(&self, key: &str) -> Reply {
        let state = self.state.0.lock().unwrap();
        let Some((index, value)) = state.keys.get(key) else { return Reply::new(404, "") };
        let entry: Value = json!({
            "LockIndex": 0, "Key": key, "Flags": 0, "Value": STANDARD.encode(value), "CreateIndex": index, "ModifyIndex": index,
        });
        Reply::new(200, json!([entry]).to_string()).with("X-Consul-Index", index)
    }

    fn write(&self, key: &str, asked: &Asked) -> Reply {
        if asked.content.len() > VALUE_BYTES_MAX {
            return Reply::new(413, "Request body too large");
        }
        if let Some(cas) = asked.member("cas").map(|cas| cas.parse::<u64>().unwrap()) {
            let found = self.state.0.lock().unwrap().keys.get(key).map_or(0, |(index, _)| *index);
            if found != cas {
                return Reply::new(200, "false");
            }
        }
        self.put(key, &asked.content);
        Reply::new(200, "true")
    }
}
