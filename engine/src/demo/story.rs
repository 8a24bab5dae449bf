//! The story: who asks for what, what should come of it, and what did.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::child::Gateway;
use super::client::{self, Answer};
use super::telling::Telling;
use super::world::{World, program};
use crate::failure::Failure;
use crate::files::Access;

/// How long a record may take to be written.
const RECORD_S_MAX: u64 = 5;

/// One request of the story.
struct Step {
    wish: &'static str,
    certificate: bool,
    /// Files with one field each, as curl's `-H @FILE` takes them.
    fields: &'static [&'static str],
    method: &'static str,
    path: &'static str,
    /// Extra lines of the head, and the content.
    extra: &'static str,
    content: &'static str,
    status: u16,
    /// `reason` in the record; none for a permit.
    reason: Option<&'static str>,
}

const STEP: Step = Step {
    wish: "",
    certificate: false,
    fields: &[],
    method: "GET",
    path: "/orders/7",
    extra: "",
    content: "",
    status: 200,
    reason: None,
};

const STEPS: &[Step] = &[
    Step {
        wish: "reports-bot reads an order, with its certificate and its token: permitted",
        certificate: true,
        fields: &["token"],
        ..STEP
    },
    Step { wish: "anybody asks for the public status: permitted", path: "/status", ..STEP },
    Step {
        wish: "somebody without credentials reads an order: refused",
        status: 401,
        reason: Some("credential-missing"),
        ..STEP
    },
    Step {
        wish: "reports-bot's token alone, without its certificate: a stolen token is worth nothing",
        fields: &["token"],
        status: 401,
        reason: Some("proofs-incomplete"),
        ..STEP
    },
    Step {
        wish: "its token from yesterday: refused",
        certificate: true,
        fields: &["expired-token"],
        status: 401,
        reason: Some("token-expired"),
        ..STEP
    },
    Step {
        wish: "a token with another signature: refused",
        certificate: true,
        fields: &["forged-token"],
        status: 401,
        reason: Some("token-invalid"),
        ..STEP
    },
    Step {
        wish: "a token that was issued for less: scopes can only narrow",
        certificate: true,
        fields: &["narrow-token"],
        status: 403,
        reason: Some("scope-missing"),
        ..STEP
    },
    Step {
        wish: "reports-bot writes an order, which it may not",
        certificate: true,
        fields: &["token"],
        method: "POST",
        path: "/orders",
        extra: "Content-Length: 7\r\n",
        content: "{\"a\":1}",
        status: 403,
        reason: Some("scope-missing"),
    },
    Step {
        wish: "a path that means another one: refused before anybody is asked who it is",
        certificate: true,
        fields: &["token"],
        path: "/orders/..%2f..%2fadmin",
        status: 400,
        reason: Some("invalid-target"),
        ..STEP
    },
    Step {
        wish: "a request with two lengths, as smugglers send it: refused",
        fields: &["api-key"],
        method: "POST",
        path: "/orders",
        extra: "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        content: "0\r\n\r\n",
        status: 400,
        reason: Some("ambiguous-framing"),
        ..STEP
    },
    Step {
        wish: "ci writes an order with its API key: permitted (1 of 3 a minute)",
        fields: &["api-key"],
        method: "POST",
        path: "/orders",
        extra: "Content-Length: 7\r\n",
        content: "{\"a\":1}",
        ..STEP
    },
    Step { wish: "ci reads it (2 of 3)", fields: &["api-key"], ..STEP },
    Step { wish: "ci reads it again (3 of 3)", fields: &["api-key"], ..STEP },
    Step { wish: "and once more: limited", fields: &["api-key"], status: 429, reason: Some("limit-exceeded"), ..STEP },
];

/// Tells the story; gives how many steps came out differently.
pub async fn tell(world: &World, gateway: &Gateway, telling: &mut Telling<'_>) -> Result<usize, Failure> {
    telling.chapter("Agents call; each decision comes from the release, and is recorded with it")?;
    let mut differing = 0;
    for step in STEPS {
        let good = act(step, world, gateway, telling).await?;
        differing += usize::from(!good);
    }
    differing += usize::from(!tamper(world, telling)?);
    Ok(differing)
}

async fn act(step: &Step, world: &World, gateway: &Gateway, telling: &mut Telling<'_>) -> Result<bool, Failure> {
    telling.wish(step.wish)?;
    telling.paste(&curl(step, gateway.port()))?;
    let mut request = format!("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", step.method, step.path);
    for field in step.fields {
        request.push_str(world.read(field)?.trim_end());
        request.push_str("\r\n");
    }
    request.push_str(step.extra);
    request.push_str("\r\n");
    request.push_str(step.content);
    let answer = client::send(world, &gateway.address, step.certificate, &request).await?;
    let record = record(world, &answer).await?;
    let reason = record.get("adamant.reason").and_then(Value::as_str);
    let good = answer.status == step.status && reason == step.reason;
    let status_line = answer.head.lines().next().unwrap_or_default();
    telling.answer(good, status_line)?;
    if !good {
        telling.note(&format!("expected {} with reason {:?}", step.status, step.reason))?;
    }
    for name in ["WWW-Authenticate", "Retry-After", "RateLimit"] {
        if let Some(value) = answer.field(name) {
            telling.detail("field", &format!("{name}: {value}"))?;
        }
    }
    telling.detail("answer", &answer.body)?;
    telling.detail("record", &brief(&record))?;
    Ok(good)
}

/// The record of an exchange, found by the request id that its answer carries.
async fn record(world: &World, answer: &Answer) -> Result<Value, Failure> {
    let id = answer.field("X-Request-Id").unwrap_or_default().to_owned();
    let until = Instant::now() + Duration::from_secs(RECORD_S_MAX);
    loop {
        let records = world.read("records.jsonl")?;
        let line = records.lines().find(|line| !id.is_empty() && line.contains(&id));
        if let Some(record) = line.and_then(|line| serde_json::from_str(line).ok()) {
            return Ok(record);
        }
        if Instant::now() > until {
            return Err(Failure::new(format_args!("no record of request {id:?} within {RECORD_S_MAX} s")));
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// What a newcomer wants to see of a record.
fn brief(record: &Value) -> String {
    const KEYS: [&str; 8] = [
        "adamant.decision",
        "adamant.reason",
        "adamant.agent",
        "adamant.granted_by",
        "adamant.route",
        "adamant.scope",
        "adamant.release",
        "http.response.status_code",
    ];
    let parts = KEYS.iter().filter_map(|key| {
        let value = record.get(*key).filter(|value| !value.is_null())?;
        let short = key.rsplit_once('.').map_or(*key, |(_, short)| short);
        Some(format!("{short}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// The step as a curl line to paste in the demo's directory.
fn curl(step: &Step, port: &str) -> String {
    let mut line = String::from("curl --cacert servers-ca.pem");
    if step.certificate {
        line.push_str(" --cert agent.pem --key agent.key");
    }
    for field in step.fields {
        line.push_str(&format!(" -H @{field}"));
    }
    if step.extra.contains("Transfer-Encoding") {
        line.push_str(" -H 'Content-Length: 5' -H 'Transfer-Encoding: chunked' -d ''");
    } else if !step.content.is_empty() {
        line.push_str(&format!(" -d '{}'", step.content));
    }
    if step.path.contains("..") {
        line.push_str(" --path-as-is");
    }
    line.push_str(&format!(" https://localhost:{port}{}", step.path));
    line
}

/// Somebody edits the release on disk: nothing would serve it.
fn tamper(world: &World, telling: &mut Telling<'_>) -> Result<bool, Failure> {
    telling.chapter("Somebody changes one byte of the release on disk: no gateway serves it")?;
    let release = world.read("release.json")?;
    let at = release.len() / 3;
    let tampered: String = release
        .char_indices()
        .map(|(index, character)| match character {
            _ if index != at => character,
            'A' => 'B',
            _ => 'A',
        })
        .collect();
    world.write("tampered.json", &tampered, Access::Everyone)?;
    world.write(
        "tampered.toml",
        &world.read("gateway.toml")?.replace("release.json", "tampered.json"),
        Access::Everyone,
    )?;
    let output = program()?
        .args(["run", "tampered.toml", "--check"])
        .current_dir(world.path(""))
        .output()
        .map_err(|error| Failure::new(format_args!("adamant run did not start: {error}")))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    telling.command("run tampered.toml --check", &said)?;
    // A gateway that has accepted a release before starts, with that one.
    let goes_on = output.status.success();
    let refused = !goes_on || said.contains("refused at the check");
    let outcome = match (refused, goes_on) {
        (false, _) => "expected a refusal",
        (true, false) => "refused, nothing was bound",
        (true, true) => {
            "tampered.json is refused, nothing was bound; a start would go on with release.json, accepted before and kept in \
             the state directory"
        }
    };
    telling.answer(refused, outcome)?;
    Ok(refused)
}
