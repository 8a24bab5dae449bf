//! Scenario files: a load described in TOML, with phases. Mistakes are told with file, line and column.

mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::failure::Failure;
use crate::load::{ClientTls, Group, Identity, Loop, Plan, Request, Requests, Reuse, SlowReaders};
use crate::wire::Target;
use text::{Place, Positive, Span, Time};

/// Requests prepared at most, and their bytes together.
const REQUESTS_MAX: usize = 1_000_000;
const REQUEST_BYTES_MAX: usize = 1 << 30;

/// What to do: a plan, and its phases one after the other over the same connections.
pub struct Scenario {
    pub plan: Plan,
    /// Before the first phase; not reported.
    pub warm_up: Duration,
    pub phases: Vec<Phase>,
}

pub struct Phase {
    pub name: String,
    pub duration: Duration,
    pub loop_: Loop,
}

impl Scenario {
    /// Reads a scenario; files that it names are looked for beside it. `target` replaces the one in the file.
    pub fn read(file: &Path, target: Option<&str>) -> Result<Self, Failure> {
        let text = fs::read_to_string(file).map_err(Failure::io(file.display().to_string()))?;
        Self::parse(file, &text, target)
    }

    fn parse(file: &Path, text: &str, target: Option<&str>) -> Result<Self, Failure> {
        let place = Place { file, text };
        let described: Description = toml::from_str(text).map_err(|error| place.of_toml(&error))?;
        described.scenario(&place, target)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Description {
    target: Option<Spanned<String>>,
    #[serde(default = "connections")]
    connections: Positive,
    #[serde(default)]
    cores: Vec<usize>,
    #[serde(default = "expect")]
    expect: u16,
    #[serde(default)]
    reuse: text::Reused,
    #[serde(default = "warm_up")]
    warm_up: Time,
    #[serde(default = "timeout")]
    timeout: Time,
    #[serde(default = "errors_max")]
    errors_max: u64,
    tls: Option<Tls>,
    #[serde(default, rename = "request")]
    requests: Vec<Spanned<RequestLine>>,
    slow_readers: Option<Slow>,
    #[serde(rename = "phase")]
    phases: Vec<PhaseLine>,
}

fn connections() -> Positive {
    Positive(64)
}

fn expect() -> u16 {
    200
}

fn warm_up() -> Time {
    Time(Duration::from_millis(500))
}

fn timeout() -> Time {
    Time(Duration::from_secs(10))
}

fn errors_max() -> u64 {
    10_000
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Tls {
    ca: Option<Spanned<PathBuf>>,
    certificate: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    group: Option<Group>,
    #[serde(default)]
    resumption: bool,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RequestLine {
    #[serde(default = "get")]
    method: String,
    path: Option<String>,
    #[serde(default)]
    fields: Vec<Spanned<String>>,
    #[serde(default)]
    content_bytes: usize,
    #[serde(default = "one")]
    weight: Positive,
    /// A file with one token a line, each sent as `Authorization: Bearer …` in turn.
    tokens: Option<Spanned<PathBuf>>,
    /// Each token at most once.
    #[serde(default)]
    once: bool,
}

fn get() -> String {
    "GET".into()
}

fn one() -> Positive {
    Positive(1)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Slow {
    connections: Positive,
    bytes_per_second: Positive,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PhaseLine {
    name: Option<String>,
    duration: Time,
    /// Requests a second; none is a closed loop.
    rate: Option<text::Rate>,
}

impl Description {
    fn scenario(self, place: &Place<'_>, target: Option<&str>) -> Result<Scenario, Failure> {
        let target = match (target, &self.target) {
            (Some(url), _) => Target::parse(url)?,
            (None, Some(url)) => Target::parse(url.get_ref()).map_err(|error| place.at(url.span(), &error))?,
            (None, None) => return Err(place.at(0..0, &"expected target = \"URL\" here or --target, found neither")),
        };
        if self.phases.is_empty() {
            return Err(place.at(0..0, &"expected at least one [[phase]], found none"));
        }
        let mut plan = Plan::new(target, self.connections.0, Requests::rotating(Vec::new()));
        plan.requests = mix(place, &plan.target, self.requests)?;
        plan.cores = self.cores;
        plan.expect = self.expect;
        plan.reuse = self.reuse.0;
        plan.response_timeout = self.timeout.0;
        plan.errors_max = self.errors_max;
        plan.tls = self.tls.map(|tls| tls.client(place)).transpose()?;
        plan.slow_readers = self.slow_readers.map(|slow| SlowReaders {
            connections: slow.connections.0,
            bytes_per_second: u32::try_from(slow.bytes_per_second.0).unwrap_or(u32::MAX),
        });
        let phase = |(index, line): (usize, PhaseLine)| Phase {
            name: line.name.unwrap_or_else(|| format!("phase {}", index + 1)),
            duration: line.duration.0,
            loop_: line.rate.map_or(Loop::Closed, |rate| Loop::Open { per_second: rate.0 }),
        };
        let phases = self.phases.into_iter().enumerate().map(phase).collect();
        Ok(Scenario { plan, warm_up: self.warm_up.0, phases })
    }
}

impl Tls {
    fn client(self, place: &Place<'_>) -> Result<ClientTls, Failure> {
        let identity = match (self.certificate, self.key) {
            (Some(chain), Some(key)) => {
                Some(Identity { chain: place.read_beside(&chain)?, key: place.read_beside(&key)? })
            }
            (None, None) => None,
            (Some(only), None) | (None, Some(only)) => {
                return Err(place.at(only.span(), &"expected certificate and key together, found one of them"));
            }
        };
        let roots = self.ca.map(|ca| place.read_beside(&ca)).transpose()?;
        Ok(ClientTls { roots, identity, group: self.group, resumption: self.resumption })
    }
}

/// The requests of a mix, in the order in which they are sent.
fn mix(place: &Place<'_>, target: &Target, lines: Vec<Spanned<RequestLine>>) -> Result<Requests, Failure> {
    if lines.is_empty() {
        return Ok(Requests::one(Request::get(target, &[])));
    }
    let once = lines.iter().any(|line| line.get_ref().once);
    let mut kinds = Vec::with_capacity(lines.len());
    for line in lines {
        let span = line.span();
        kinds.push(Kind::new(place, target, line.into_inner(), span)?);
    }
    let turns = turns(&kinds);
    // As many rounds as the longest list of tokens needs.
    let rounds = kinds.iter().map(|kind| kind.requests.len().div_ceil(kind.weight)).max().unwrap_or(1);
    let count = rounds.saturating_mul(turns.len());
    let bytes: usize =
        kinds.iter().flat_map(|kind| &kind.requests).map(|request| request.bytes().len()).max().unwrap_or(0);
    if count > REQUESTS_MAX || count.saturating_mul(bytes) > REQUEST_BYTES_MAX {
        let found = format!(
            "expected a mix of at most {REQUESTS_MAX} requests and {} MiB, found {count} of up to {bytes} bytes",
            REQUEST_BYTES_MAX >> 20
        );
        return Err(place.at(0..0, &found));
    }
    if let ([kind], 1) = (kinds.as_slice(), count)
        && let [request] = kind.requests.as_slice()
        && !once
    {
        return Ok(Requests::one(request.clone()));
    }
    let mut at = vec![0_usize; kinds.len()];
    let mut requests = Vec::with_capacity(count);
    for index in turns.iter().cycle().take(count) {
        let (Some(kind), Some(next)) = (kinds.get(*index), at.get_mut(*index)) else { continue };
        requests.extend(kind.requests.get(*next % kind.requests.len().max(1)).cloned());
        *next += 1;
    }
    Ok(if once { Requests::once(requests) } else { Requests::rotating(requests) })
}

/// One `[[request]]`: its requests, one for each token.
struct Kind {
    weight: usize,
    requests: Vec<Request>,
}

impl Kind {
    fn new(place: &Place<'_>, target: &Target, line: RequestLine, span: Span) -> Result<Self, Failure> {
        let mut target = target.clone();
        if let Some(path) = line.path {
            if !path.starts_with('/') || path.contains([' ', '\r', '\n']) {
                return Err(place.at(span, &format!("expected a path that starts with /, found {path:?}")));
            }
            target.path = path;
        }
        let mut fields = Vec::with_capacity(line.fields.len() + 1);
        for field in &line.fields {
            text::check_field(field.get_ref()).map_err(|error| place.at(field.span(), &error))?;
            fields.push(field.get_ref().clone());
        }
        let Some(tokens) = &line.tokens else {
            if line.once {
                return Err(place.at(span, &"expected tokens = \"FILE\" with once = true, found none"));
            }
            let request = Request::new(&target, &line.method, &fields, line.content_bytes);
            return Ok(Self { weight: line.weight.0, requests: vec![request] });
        };
        let all = place.read_beside(tokens)?;
        let with = |token: &str| {
            let mut fields = fields.clone();
            fields.push(format!("Authorization: Bearer {token}"));
            Request::new(&target, &line.method, &fields, line.content_bytes)
        };
        let requests: Vec<Request> = all.lines().map(str::trim).filter(|line| !line.is_empty()).map(with).collect();
        if requests.is_empty() {
            return Err(place.at(tokens.span(), &"expected one token a line in this file, found none"));
        }
        Ok(Self { weight: line.weight.0, requests })
    }
}

/// Which kind comes when in one round: as evenly spread as the weights allow (smooth weighted round robin, nginx).
fn turns(kinds: &[Kind]) -> Vec<usize> {
    let total: usize = kinds.iter().map(|kind| kind.weight).sum::<usize>().min(REQUESTS_MAX);
    let mut credit = vec![0_i64; kinds.len()];
    let weights: Vec<i64> = kinds.iter().map(|kind| i64::try_from(kind.weight).unwrap_or(1)).collect();
    (0..total)
        .map(|_| {
            for (credit, weight) in credit.iter_mut().zip(&weights) {
                *credit += weight;
            }
            // The first of equals.
            let best = credit.iter().enumerate().rev().max_by_key(|(_, credit)| **credit).map_or(0, |(index, _)| index);
            if let Some(credit) = credit.get_mut(best) {
                *credit -= weights.iter().sum::<i64>();
            }
            best
        })
        .collect()
}

/// Where a value of `--reuse` and of `reuse =` is read.
pub fn parse_reuse(text: &str) -> Result<Reuse, String> {
    text::reuse(text)
}

/// A duration such as `250ms`, `5s` or `2m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    text::duration(text)
}

/// Whether this may stand in a request as a field line `Name: value`.
pub fn parse_field(text: &str) -> Result<String, String> {
    text::check_field(text).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests;
