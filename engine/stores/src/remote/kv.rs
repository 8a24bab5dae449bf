//! The KV engine, version 2, of OpenBao or Vault. A file is a secret of one member, `value`; a part of one has `base64`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::SMALL_MS_MAX;
use super::backend::{Backend, Fault, Got, Version};
use super::link::Link;
use crate::Server;
use crate::openbao::{Answer, OpenBao, Token};

/// Bytes of what is said of a secret, and of a list of names.
const METADATA_BYTES_MAX: usize = 8 << 20;
/// Around a value.
const WRAPPER_BYTES: usize = 64 << 10;
/// What the server says where the version is another one.
const CHECK_AND_SET: &str = "check-and-set";

pub struct Kv {
    link: Link,
    server: OpenBao,
    mount: String,
    /// Behind the mount, with a slash at its end unless it is empty.
    path: String,
}

impl Kv {
    pub fn new(server: Server) -> Self {
        let (mount, path) = server.prefix.split_once('/').unwrap_or((&server.prefix, ""));
        let (mount, slash) = (mount.to_owned(), if path.is_empty() { "" } else { "/" });
        let path = format!("{path}{slash}");
        let access = &server.access;
        let token = match &access.token_file {
            Some(path) => Token::File(path.clone()),
            None => {
                let place = "BAO_TOKEN, VAULT_TOKEN or a file that is named (--store-token)".to_owned();
                Token::Given { text: access.token.clone().unwrap_or_default(), place }
            }
        };
        let (ca, namespace) = (access.ca.clone(), access.namespace.clone());
        let client = OpenBao { server: server.place.clone(), ca, namespace, token };
        Self { link: Link::new(server), server: client, mount, path }
    }

    fn call(
        &mut self,
        method: Method,
        part: &str,
        file: &str,
        body: Option<&Value>,
        bounds: (usize, Duration),
    ) -> Result<Answer, Fault> {
        let path = format!("{}/{part}/{}{file}", self.mount, self.path);
        let repeatable = method == Method::GET;
        let (place, request) = self.server.request(method, &path, body)?;
        let answer = self.link.exchange(&place, &request, repeatable, bounds.0, bounds.1)?;
        let answer = self.server.answer(&path, answer)?;
        // That is not a store with nothing in it.
        if answer.is_unmounted() { Err(answer.refusal().into()) } else { Ok(answer) }
    }
}

const SMALL: Duration = Duration::from_millis(SMALL_MS_MAX);

impl Backend for Kv {
    fn look(&mut self, file: &str, _: usize) -> Result<Version, Fault> {
        let answer = self.call(Method::GET, "metadata", file, None, (METADATA_BYTES_MAX, SMALL))?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Version::absent());
        }
        let answer = answer.expect_ok()?;
        let data = answer.json().get("data");
        let current = data.and_then(|data| data.get("current_version")).and_then(Value::as_u64);
        let current =
            current.ok_or_else(|| Fault::strange("what is known of a secret of KV version 2", "something else"))?;
        let of_current = data.and_then(|data| data.get("versions")?.get(current.to_string()));
        let deleted = of_current.and_then(|of| of.get("deletion_time")).and_then(Value::as_str).unwrap_or_default();
        let destroyed = of_current.and_then(|of| of.get("destroyed")).and_then(Value::as_bool).unwrap_or(false);
        Ok(Version(format!("{current} {deleted} {destroyed}")))
    }

    fn get(&mut self, file: &str, bytes_max: usize, within: Duration) -> Result<Got, Fault> {
        let bounds = (bytes_max.saturating_mul(2).saturating_add(WRAPPER_BYTES), within);
        let answer = self.call(Method::GET, "data", file, None, bounds)?;
        let data = answer.json().get("data");
        let number = data.and_then(|data| data.get("metadata")?.get("version")?.as_u64());
        let version = Version(number.map(|number| number.to_string()).unwrap_or_default());
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Got { content: None, version });
        }
        let answer = answer.expect_ok()?;
        let strange = || Fault::strange("a secret of KV version 2 with the member value", "something else");
        let held = answer.json().get("data").and_then(|data| data.get("data")).filter(|_| number.is_some());
        let member = |name: &str| held.and_then(|held| held.get(name)).and_then(Value::as_str);
        let content = match (member("value"), member("base64")) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(text)) => STANDARD.decode(text).map_err(|_| strange())?,
            _ => return Err(strange()),
        };
        Ok(Got { content: Some(content), version })
    }

    fn put(&mut self, file: &str, bytes: &[u8], at: &Version) -> Result<bool, Fault> {
        let data = match std::str::from_utf8(bytes) {
            Ok(text) if !file.starts_with("parts/") => json!({ "value": text }),
            _ => json!({ "base64": STANDARD.encode(bytes) }),
        };
        let body = json!({ "options": { "cas": at.number() }, "data": data });
        let answer = self.call(Method::POST, "data", file, Some(&body), (METADATA_BYTES_MAX, SMALL))?;
        if answer.status == StatusCode::BAD_REQUEST && answer.refusal().to_string().contains(CHECK_AND_SET) {
            return Ok(false);
        }
        answer.expect_ok()?;
        Ok(true)
    }

    fn remove(&mut self, file: &str) -> Result<(), Fault> {
        let answer = self.call(Method::DELETE, "metadata", file, None, (METADATA_BYTES_MAX, SMALL))?;
        if answer.status != StatusCode::NOT_FOUND {
            answer.expect_ok()?;
        }
        Ok(())
    }

    fn names(&mut self, directory: &str) -> Result<Vec<String>, Fault> {
        let list = format!("{directory}?list=true");
        let answer = self.call(Method::GET, "metadata", &list, None, (METADATA_BYTES_MAX, SMALL))?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let answer = answer.expect_ok()?;
        let names = answer.json().get("data").and_then(|data| data.get("keys")).and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        Ok(names.map(|name| name.trim_end_matches('/').to_owned()).collect())
    }
}
