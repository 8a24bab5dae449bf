//! Consul's KV store (developer.hashicorp.com/consul/api-docs/kv), looked at by blocking queries on names alone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::{Method, StatusCode};
use serde_json::Value;

use super::SMALL_MS_MAX;
use super::backend::{Backend, Fault, Got, Version, json};
use super::link::{Link, request};
use crate::http::Answer;
use crate::{Server, layout};

/// How long the server may keep a look waiting.
const WAIT_MS: u64 = 500;
/// Bytes of an answer without values.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Around a value.
const WRAPPER_BYTES: usize = 64 << 10;
const SMALL: Duration = Duration::from_millis(SMALL_MS_MAX);
const INDEX: &str = "x-consul-index";

pub struct Consul {
    link: Link,
    /// What is followed and was looked at last, and its index: the look waits for another one.
    index: Option<(String, u64)>,
}

impl Consul {
    pub const fn new(server: Server) -> Self {
        Self { link: Link::new(server), index: None }
    }

    fn call(
        &mut self,
        method: Method,
        file: &str,
        query: &str,
        body: Vec<u8>,
        bounds: (usize, Duration),
    ) -> Result<Answer, Fault> {
        let place = self.link.place(format!("/v1/kv/{}", self.link.server.key(file)));
        let fields = [("x-consul-token", self.link.token_field("")?)];
        let repeatable = method == Method::GET;
        let request = request(method, &place, query, &fields, body)?;
        let answer = self.link.exchange(&place, &request, repeatable, bounds.0, bounds.1)?;
        match answer.status {
            StatusCode::OK | StatusCode::NOT_FOUND => Ok(answer),
            _ => Err(Fault::refused(&answer, &String::from_utf8_lossy(&answer.content))),
        }
    }

    /// Names that begin with that of `file`.
    fn keys(&self, answer: &Answer) -> Result<Vec<String>, Fault> {
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let found = json(answer)?;
        let all = found.as_array().ok_or_else(|| Fault::strange("names of Consul", "something else"))?;
        Ok(all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }
}

impl Backend for Consul {
    /// The index counts for the file while it is there: that of a file that is not moves with others.
    fn look(&mut self, file: &str, _: usize) -> Result<Version, Fault> {
        // What is awaited is looked at beside what is followed, and does not wait.
        let is_followed = file.starts_with(layout::CHANNELS);
        let before = if is_followed { self.index.take().filter(|(of, _)| of == file) } else { None };
        let query = match &before {
            Some((_, index)) => format!("keys&index={index}&wait={WAIT_MS}ms"),
            None => "keys".to_owned(),
        };
        let answer = self.call(Method::GET, file, &query, Vec::new(), (ANSWER_BYTES_MAX, SMALL))?;
        let index = answer.fields.get(INDEX).and_then(|index| index.to_str().ok()?.parse::<u64>().ok());
        // One that went back, or is none, is not waited for ("Blocking Queries").
        let is_usable = |index: &u64| *index > 0 && before.as_ref().is_none_or(|(_, before)| index >= before);
        if is_followed {
            self.index = index.filter(is_usable).map(|index| (file.to_owned(), index));
        }
        let key = self.link.server.key(file);
        let is_there = self.keys(&answer)?.contains(&key);
        Ok(Version(if is_there { index.unwrap_or(0).to_string() } else { String::new() }))
    }

    fn get(&mut self, file: &str, bytes_max: usize, within: Duration) -> Result<Got, Fault> {
        let bytes_max = bytes_max.saturating_mul(2).saturating_add(WRAPPER_BYTES);
        let answer = self.call(Method::GET, file, "", Vec::new(), (bytes_max, within))?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Got { content: None, version: Version::absent() });
        }
        let found = json(&answer)?;
        let strange = || Fault::strange("a value of Consul in base64 with its ModifyIndex", "something else");
        let entry = found.get(0).ok_or_else(strange)?;
        let index = entry.get("ModifyIndex").and_then(Value::as_u64).ok_or_else(strange)?;
        let value = entry.get("Value").and_then(Value::as_str).unwrap_or_default();
        let content = STANDARD.decode(value).map_err(|_| strange())?;
        Ok(Got { content: Some(content), version: Version(index.to_string()) })
    }

    fn put(&mut self, file: &str, bytes: &[u8], at: &Version) -> Result<bool, Fault> {
        let query = format!("cas={}", at.number());
        let answer = self.call(Method::PUT, file, &query, bytes.to_vec(), (ANSWER_BYTES_MAX, SMALL))?;
        match answer.content.trim_ascii() {
            b"true" => Ok(true),
            b"false" => Ok(false),
            _ => Err(Fault::strange("true or false", "something else")),
        }
    }

    fn remove(&mut self, file: &str) -> Result<(), Fault> {
        self.call(Method::DELETE, file, "", Vec::new(), (ANSWER_BYTES_MAX, SMALL)).map(drop)
    }

    fn names(&mut self, directory: &str) -> Result<Vec<String>, Fault> {
        let directory = format!("{directory}/");
        let answer = self.call(Method::GET, &directory, "keys&separator=/", Vec::new(), (ANSWER_BYTES_MAX, SMALL))?;
        let prefix = self.link.server.key(&directory);
        let keys = self.keys(&answer)?;
        let names = keys.iter().filter_map(|key| key.strip_prefix(&prefix));
        Ok(names.map(|name| name.trim_end_matches('/').to_owned()).filter(|name| !name.is_empty()).collect())
    }

    fn waits(&self) -> bool {
        true
    }
}
