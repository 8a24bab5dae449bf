//! etcd, version 3, by its JSON gateway (etcd.io, "gRPC gateway"): keys and values in base64, numbers as text.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::SMALL_MS_MAX;
use super::backend::{Backend, Fault, Got, Version, json};
use super::link::{Link, request, secret_field};
use crate::Server;

/// Bytes of an answer without values.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Around a value.
const WRAPPER_BYTES: usize = 64 << 10;
/// Names that are listed.
const NAMES_MAX: usize = 100_000;
/// What the server says of a token from before a change of users or roles.
const OLD_REVISION: &str = "revision of auth store is old";
const SMALL: Duration = Duration::from_millis(SMALL_MS_MAX);

pub struct Etcd {
    link: Link,
    /// What the server gave for user and password. It lasts some minutes.
    token: Option<HeaderValue>,
}

impl Etcd {
    pub const fn new(server: Server) -> Self {
        Self { link: Link::new(server), token: None }
    }

    fn call(&mut self, path: &str, body: &Value, repeatable: bool, bounds: (usize, Duration)) -> Result<Value, Fault> {
        let is_known = self.token.is_some();
        if !is_known {
            self.authenticate()?;
        }
        let (answer, said) = self.send(path, body, repeatable, bounds)?;
        // The token has ended, the server was started again, or users and roles changed.
        let is_old = answer.status == StatusCode::UNAUTHORIZED || said.contains(OLD_REVISION);
        let (answer, said) = if is_known && is_old {
            self.authenticate()?;
            self.send(path, body, repeatable, bounds)?
        } else {
            (answer, said)
        };
        if answer.status == StatusCode::OK { json(&answer) } else { Err(Fault::refused(&answer, &said)) }
    }

    fn send(
        &mut self,
        path: &str,
        body: &Value,
        repeatable: bool,
        bounds: (usize, Duration),
    ) -> Result<(crate::http::Answer, String), Fault> {
        let place = self.link.place(format!("/v3/{path}"));
        let fields = [("authorization", self.token.clone()), JSON];
        let request = request(Method::POST, &place, "", &fields, body.to_string().into_bytes())?;
        let answer = self.link.exchange(&place, &request, repeatable, bounds.0, bounds.1)?;
        let said = match answer.status {
            StatusCode::OK => String::new(),
            _ => {
                json(&answer).ok().and_then(|json| Some(json.get("message")?.as_str()?.to_owned())).unwrap_or_default()
            }
        };
        Ok((answer, said))
    }

    /// Where the token's file has user and password.
    fn authenticate(&mut self) -> Result<(), Fault> {
        self.token = None;
        let Some(secret) = self.link.token()? else { return Ok(()) };
        let wrong =
            || Fault::new("expected USER:PASSWORD, found something else (not shown)", "correct the token's file");
        let (name, password) = secret.split_once(':').ok_or_else(wrong)?;
        let body = json!({ "name": name, "password": password });
        let (answer, said) = self.send("auth/authenticate", &body, true, (ANSWER_BYTES_MAX, SMALL))?;
        if answer.status != StatusCode::OK {
            return Err(Fault::refused(&answer, &said));
        }
        let found = json(&answer)?;
        let token = found.get("token").and_then(Value::as_str);
        self.token = Some(secret_field(token.ok_or_else(|| Fault::strange("a token of etcd", "none"))?)?);
        Ok(())
    }

    /// The first of the keys that a range gives.
    fn range(&mut self, file: &str, keys_only: bool, bounds: (usize, Duration)) -> Result<Option<Value>, Fault> {
        let key = STANDARD.encode(self.link.server.key(file));
        let found = self.call("kv/range", &json!({ "key": key, "keys_only": keys_only }), true, bounds)?;
        expect_header(&found)?;
        Ok(found.get("kvs").and_then(|all| all.get(0)).cloned())
    }
}

const JSON: (&str, Option<HeaderValue>) = ("content-type", Some(HeaderValue::from_static("application/json")));

impl Backend for Etcd {
    fn look(&mut self, file: &str, _: usize) -> Result<Version, Fault> {
        self.range(file, true, (ANSWER_BYTES_MAX, SMALL))?
            .map_or_else(|| Ok(Version::absent()), |found| version(&found))
    }

    fn get(&mut self, file: &str, bytes_max: usize, within: Duration) -> Result<Got, Fault> {
        let bytes_max = bytes_max.saturating_mul(2).saturating_add(WRAPPER_BYTES);
        let Some(found) = self.range(file, false, (bytes_max, within))? else {
            return Ok(Got { content: None, version: Version::absent() });
        };
        let value = found.get("value").and_then(Value::as_str).unwrap_or_default();
        let content = STANDARD.decode(value).map_err(|_| Fault::strange("a value in base64", "something else"))?;
        Ok(Got { content: Some(content), version: version(&found)? })
    }

    fn put(&mut self, file: &str, bytes: &[u8], at: &Version) -> Result<bool, Fault> {
        let (key, value) = (STANDARD.encode(self.link.server.key(file)), STANDARD.encode(bytes));
        let revision = at.number().to_string();
        let body = json!({
            "compare": [{ "target": "MOD", "key": key, "mod_revision": revision, "result": "EQUAL" }],
            "success": [{ "request_put": { "key": key, "value": value } }],
        });
        let found = self.call("kv/txn", &body, false, (ANSWER_BYTES_MAX, SMALL))?;
        expect_header(&found)?;
        Ok(found.get("succeeded").and_then(Value::as_bool).unwrap_or(false))
    }

    fn remove(&mut self, file: &str) -> Result<(), Fault> {
        let key = STANDARD.encode(self.link.server.key(file));
        expect_header(&self.call("kv/deleterange", &json!({ "key": key }), true, (ANSWER_BYTES_MAX, SMALL))?)
    }

    fn names(&mut self, directory: &str) -> Result<Vec<String>, Fault> {
        let prefix = self.link.server.key(&format!("{directory}/"));
        // The byte behind '/': all that begins with the prefix.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let body = json!({
            "key": STANDARD.encode(&prefix), "range_end": STANDARD.encode(end), "keys_only": true, "limit": NAMES_MAX.to_string(),
        });
        let found = self.call("kv/range", &body, true, (ANSWER_BYTES_MAX, SMALL))?;
        expect_header(&found)?;
        let keys = found.get("kvs").and_then(Value::as_array).into_iter().flatten();
        let keys = keys.filter_map(|of| STANDARD.decode(of.get("key")?.as_str()?).ok());
        let names = keys
            .filter_map(|key| Some(String::from_utf8(key).ok()?.strip_prefix(&prefix)?.split('/').next()?.to_owned()));
        let mut names: Vec<String> = names.collect();
        names.dedup();
        Ok(names)
    }
}

/// Each answer of etcd has one.
fn expect_header(found: &Value) -> Result<(), Fault> {
    let header = found.get("header").filter(|header| header.is_object());
    header.map(|_| ()).ok_or_else(|| Fault::strange("an answer of etcd", "something else"))
}

fn version(found: &Value) -> Result<Version, Fault> {
    let revision = found.get("mod_revision").and_then(Value::as_str);
    let revision = revision.filter(|revision| revision.parse::<u64>().is_ok());
    revision.map(|revision| Version(revision.to_owned())).ok_or_else(|| Fault::strange("a revision of etcd", "none"))
}
