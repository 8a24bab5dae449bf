//! Cases of the corpus, ready to be sent.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What `{HOST}` stands for: six bytes, like the placeholder, so that lengths inside the cases stay right.
pub const HOST: &str = "a.test";

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique; a repeated name of the corpus has `#2` behind it.
    pub name: String,
    /// The part of the name before the first slash.
    pub family: String,
    pub expectation: String,
    /// Bytes to send, one element for each step; the next step is sent when the answer to the one before is there.
    pub steps: Vec<Vec<u8>>,
    pub probe: Option<ProbeCase>,
    pub source_accepts: bool,
    pub source_refuses: bool,
}

/// What only Http11Probe's cases have.
#[derive(Clone, Debug)]
pub struct ProbeCase {
    pub must: bool,
    pub scored: bool,
    pub pass_on: Vec<String>,
    pub warn_on: Vec<String>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    raw_request: String,
    expectation: String,
    level: Option<String>,
    scored: Option<bool>,
    steps: Option<Vec<Step>>,
    pass_on: Option<Vec<String>>,
    warn_on: Option<Vec<String>>,
    raw_repeat: Option<Repeat>,
    raw_note: Option<String>,
    llhttp_reject: Option<bool>,
}

#[derive(Deserialize)]
struct Step {
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    bytes: String,
}

#[derive(Deserialize)]
struct Repeat {
    offset: usize,
    char: char,
    count: usize,
}

/// Where the corpus lies: beside the repository.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/http1.json")
}

/// All cases, or nothing (and it says so) where the corpus is not there.
pub fn load() -> Option<Vec<Case>> {
    let path = path();
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("SKIPPED: the conformance corpus is not at {}", path.display());
        return None;
    };
    let entries: Vec<Entry> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut cases: Vec<Case> = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut case = case(entry);
        if cases.iter().any(|other| other.name == case.name) {
            case.name.push_str("#2");
        }
        cases.push(case);
    }
    Some(cases)
}

fn case(entry: Entry) -> Case {
    let family = entry.name.split('/').next().unwrap_or_default().to_owned();
    let steps = match &entry.steps {
        Some(steps) => {
            steps.iter().map(|step| step.parts.iter().flat_map(|part| bytes(&part.bytes)).collect()).collect()
        }
        None => vec![request(&entry)],
    };
    let source_accepts = accepts(&family, &entry);
    let source_refuses = refuses(&family, &entry.expectation);
    let probe = (family == "h11probe").then(|| ProbeCase {
        must: entry.level.as_deref() == Some("Must"),
        scored: entry.scored.unwrap_or(false),
        pass_on: entry.pass_on.unwrap_or_default(),
        warn_on: entry.warn_on.unwrap_or_default(),
    });
    Case { name: entry.name, family, expectation: entry.expectation, steps, probe, source_accepts, source_refuses }
}

fn request(entry: &Entry) -> Vec<u8> {
    let mut letters: Vec<char> = entry.raw_request.chars().collect();
    if let Some(repeat) = &entry.raw_repeat {
        letters.splice(repeat.offset..repeat.offset, std::iter::repeat_n(repeat.char, repeat.count));
    }
    let mut request = bytes(&letters.into_iter().collect::<String>());
    if entry.raw_note.as_deref().is_some_and(|note| note.starts_with("insert X-H-0")) {
        let fields: String = (0..10_000).map(|number| format!("X-H-{number}: value\r\n")).collect();
        let end = request.len() - 2;
        request.splice(end..end, fields.into_bytes());
    }
    request
}

/// One character is one byte (Latin-1).
fn bytes(text: &str) -> Vec<u8> {
    let text = text.replace("{HOST}", HOST).replace("{HOSTNAME}", HOST).replace("{PORT}", "80");
    text.chars().map(|letter| u8::try_from(u32::from(letter)).expect("the corpus is Latin-1")).collect()
}

/// Whether the source of the case says that such a request is served.
fn accepts(family: &str, entry: &Entry) -> bool {
    let expectation = entry.expectation.as_str();
    match family {
        "h11probe" => {
            let wanted = expectation.rsplit(" | ").next().unwrap_or_default();
            let served = ["2xx", "200", "304", "pass: 200", "not 414"].iter().any(|start| wanted.starts_with(start));
            let or_refused = [" or 400", "/400", "or 505", "or 415", "or 405"].iter().any(|part| wanted.contains(part));
            served && !or_refused
        }
        "h1spec" => expectation.starts_with("status in [[200") || expectation.starts_with("status in [[100"),
        "llhttp" => entry.llhttp_reject == Some(false),
        "httparse" => expectation == "httparse accepts",
        "nginx-tests" => expectation.starts_with("accepted"),
        "haproxy" => expectation.starts_with("status 200"),
        _ => false,
    }
}

/// Whether the source says that nothing of it may be served. llhttp's rejections are those of a parser and are left
/// to the general rules.
fn refuses(family: &str, expectation: &str) -> bool {
    match family {
        "h1spec" => expectation.starts_with("status in [[400") && !expectation.contains("[200"),
        "httparse" => expectation.contains("rejects") || expectation.starts_with("400+close"),
        "nginx-tests" => expectation == "400",
        "haproxy" => expectation.starts_with("status 4"),
        "funky-chunks" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::load;

    #[test]
    fn the_corpus_is_read_whole() {
        let Some(cases) = load() else { return };
        assert_eq!(cases.len(), 1_045);
        let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 1_045);
        assert!(cases.iter().all(|case| !(case.source_accepts && case.source_refuses)));
        let long = cases.iter().find(|case| case.name == "h11probe/MAL-LONG-URL").unwrap();
        assert!(long.steps[0].starts_with(b"GET /AAAA") && long.steps[0].len() > 100_000);
    }
}
