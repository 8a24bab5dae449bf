//! `adamant audit show` and `filter`: records that match, for people or as they are.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use policy::reason::Reason;
use serde_json::Value;

use super::{Format, IdentityArgs, RECORD_FILES, Records, follow, lines, rotations};
use crate::commands::signing::plural;
use crate::failure::{Failure, warn};
use crate::terminal;

/// Bytes of lines that are written at once.
const BUFFER_BYTES: usize = 64 << 10;

#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    which: Which,
    /// Go on as records come (one file).
    #[arg(short, long)]
    follow: bool,
    /// For people, or the JSON lines as they are.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
pub struct FilterArgs {
    #[command(flatten)]
    which: Which,
    /// Go on as records come (one file).
    #[arg(short, long)]
    follow: bool,
    /// For people, or the JSON lines as they are.
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
}

/// A record matches when it matches everything that is given.
#[derive(Debug, Args)]
struct Which {
    /// Record files; `-` for standard input.
    #[arg(required = true)]
    records: Vec<PathBuf>,
    #[command(flatten)]
    identity: IdentityArgs,
    /// The agent, by its name in the policy.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The route, by its name in the policy.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// What was decided.
    #[arg(long, value_parser = ["permit", "deny"])]
    decision: Option<String>,
    /// A reason of docs/decisions.md, such as scope-missing.
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<String>,
    /// Status of the response: 403, or 4xx.
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<String>,
    /// From this time on, UTC: 2026-11-21, or 2026-11-21T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<String>,
    /// The id of the request, as the response told it.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Address of the client, or how it begins.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<String>,
    /// How the path begins.
    #[arg(long, value_name = "PREFIX")]
    path: Option<String>,
    /// Kind of the record: exchange, intent, start, and the others of docs/records.md.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<String>,
    /// The rotation log alone: every refresh of keysets, certificates and what else moves, and the revocation lists, trust roots,
    /// pointers and releases that were taken or refused.
    #[arg(long, conflicts_with = "kind")]
    rotations: bool,
}

/// One of those that a gateway of this version writes.
fn reason(text: &str) -> Result<String, String> {
    if Reason::from_name(text).is_some() {
        return Ok(text.to_owned());
    }
    let near = policy_source::nearest(text, Reason::ALL.iter().map(|reason| reason.name()));
    let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    Err(format!("expected a reason of docs/decisions.md, such as scope-missing{near}"))
}

/// Kinds of the lines that a gateway of this version writes (docs/records.md).
const KINDS: [&str; 21] = [
    "exchange",
    "start",
    "stop",
    "intent",
    "denials-aggregated",
    "rotation",
    "continued",
    "written-again",
    "loss",
    "activation",
    "accepted",
    "refused",
    "waiting",
    "pointer",
    "pointer-expired",
    "trust-root",
    "table",
    "revocations",
    "refresh",
    "expiry",
    "origin",
];

fn kind(text: &str) -> Result<String, String> {
    if KINDS.contains(&text) {
        return Ok(text.to_owned());
    }
    let near = policy_source::nearest(text, KINDS.into_iter());
    let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    Err(format!("expected a kind of docs/records.md, such as exchange{near}"))
}

fn status(text: &str) -> Result<String, String> {
    let fits = text.len() == 3 && (text.ends_with("xx") || text.bytes().all(|byte| byte.is_ascii_digit()));
    if fits { Ok(text.to_owned()) } else { Err("expected a status like 403 or 4xx".to_owned()) }
}

/// Times of records compare as text; a shorter one stands for its beginning.
fn time(text: &str) -> Result<String, String> {
    let form = b"0000-00-00T00:00:00.000000000";
    let text = text.strip_suffix('Z').unwrap_or(text);
    let fits = |(byte, form): (u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form };
    let right = text.len() >= 10 && text.len() <= form.len() && text.bytes().zip(form).all(fits);
    if right {
        Ok(text.to_owned())
    } else {
        Err("expected a UTC time like 2026-11-21 or 2026-11-21T10:00:00Z".to_owned())
    }
}

pub fn show(args: ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    print(&args.which, args.follow, args.format, out)
}

pub fn filter(args: FilterArgs, out: &mut dyn Write) -> Result<(), Failure> {
    print(&args.which, args.follow, args.format, out)
}

fn print(which: &Which, follow: bool, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let identities = which.identity.load()?;
    let records = Records { files: &which.records, identities: &identities };
    // What is still being written, or comes through a pipe, is shown line by line: each is one write.
    let is_live = follow || which.records.iter().any(|path| path == Path::new("-"));
    let mut out = BufWriter::with_capacity(if is_live { 0 } else { BUFFER_BYTES }, out);
    let (mut number, mut unreadable, mut first, mut read, mut shown) = (0_u64, 0_u64, None, 0_u64, 0_u64);
    let mut take = |line: &[u8]| -> Result<bool, Failure> {
        number += 1;
        let Some(record) = serde_json::from_slice::<Value>(line).ok().filter(lines::is_record) else {
            unreadable += 1;
            first = first.or(Some(number));
            return Ok(false);
        };
        read += 1;
        if !which.matches(&record) {
            return Ok(false);
        }
        shown += 1;
        let text = match format {
            Format::Json => String::from_utf8_lossy(line).into_owned(),
            Format::Text if which.rotations => rotations::text_of(&record),
            Format::Text => text_of(&record),
        };
        let mut text = terminal::line(&text).into_owned();
        text.push('\n');
        out.write_all(text.as_bytes())?;
        if is_live {
            out.flush()?;
        }
        Ok(true)
    };
    if !follow {
        lines::each(records, |line| take(line).map(drop))?;
    } else {
        let [file] = which.records.as_slice() else {
            return Err(Failure::new("expected one file to follow").help("name the file that is being written"));
        };
        if file == Path::new("-") {
            lines::each(records, |line| take(line).map(drop))?;
        } else {
            follow::follow(file, &identities, |line| take(line).map(drop))?;
        }
    }
    out.flush()?;
    if shown == 0 && read > 0 {
        warn(format_args!("none of {} matches", plural(usize::try_from(read).unwrap_or(usize::MAX), "record")));
    }
    if unreadable > 0 && read == 0 {
        let names: Vec<_> = which.records.iter().map(|path| lines::name_of(path)).collect();
        let message = format!("expected records, found none in {}", names.join(", "));
        return Err(Failure::new(message).help(RECORD_FILES));
    }
    if let Some(first) = first {
        warn(format_args!(
            "lines that are no records, and are not shown: {unreadable}, the first is line {first} of what was read (adamant \
             audit verify says where the others are)"
        ));
    }
    Ok(())
}

pub fn text<'r>(record: &'r Value, name: &str) -> Option<&'r str> {
    record.get(name).and_then(Value::as_str)
}

impl Which {
    fn matches(&self, record: &Value) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| text(record, name) == Some(wanted))
        };
        let begins = |wanted: &Option<String>, name: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| text(record, name).is_some_and(|found| found.starts_with(wanted.as_str())))
        };
        let time = text(record, "time").map(|time| time.trim_end_matches('Z'));
        let status = record.get("http.response.status_code").and_then(Value::as_u64).map(|status| status.to_string());
        let has_status = |wanted: &String| {
            status.as_ref().is_some_and(|found| match wanted.strip_suffix("xx") {
                Some(class) => found.starts_with(class),
                None => found == wanted,
            })
        };
        is(&self.agent, "adamant.agent")
            && is(&self.route, "adamant.route")
            && is(&self.decision, "adamant.decision")
            && is(&self.reason, "adamant.reason")
            && is(&self.request_id, "adamant.request_id")
            && is(&self.kind, "adamant.kind")
            && (!self.rotations || rotations::is_rotation(record))
            && begins(&self.client, "client.address")
            && begins(&self.path, "url.path")
            && self.status.as_ref().is_none_or(has_status)
            && self.since.as_ref().is_none_or(|since| time.is_some_and(|time| time >= since.as_str()))
            && self.until.as_ref().is_none_or(|until| time.is_some_and(|time| time < until.as_str()))
    }
}

/// One line for people.
pub fn text_of(record: &Value) -> String {
    let kind = text(record, "adamant.kind").unwrap_or("?");
    match kind {
        "exchange" | "intent" => format!("{} {}", time_of(record), text_of_request(record, kind)),
        "refresh" => rotations::text_of(record),
        _ => format!("{} {kind}{}", time_of(record), members_of(record, &[])),
    }
}

/// To the millisecond.
pub fn time_of(record: &Value) -> String {
    let time = text(record, "time").unwrap_or("?");
    time.get(..23).map_or_else(|| time.to_owned(), |time| format!("{time}Z"))
}

fn text_of_request(record: &Value, kind: &str) -> String {
    let name = |name: &str| match record.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let outcome = match (kind, name("http.response.status_code")) {
        ("intent", _) => "intent".to_owned(),
        (_, status) if status.is_empty() => format!("{} -", name("adamant.decision")),
        (_, status) => format!("{} {status}", name("adamant.decision")),
    };
    let mut shown = format!("{outcome} {} {}{}", name("http.request.method"), name("server.address"), name("url.path"));
    if let Some(query) = text(record, "url.query") {
        shown.push_str(&format!("?{query}"));
    }
    for (label, member) in [
        ("", "adamant.reason"),
        ("agent=", "adamant.agent"),
        ("route=", "adamant.route"),
        ("client=", "client.address"),
        ("id=", "adamant.request_id"),
    ] {
        let value = name(member);
        if !value.is_empty() {
            shown.push_str(&format!(" {label}{value}"));
        }
    }
    if let Some(total) = record.pointer("/adamant.durations_us/total").and_then(Value::as_u64) {
        shown.push_str(&format!(" {}.{:03}ms", total / 1_000, total % 1_000));
    }
    shown
}

/// The members of a line of the gateway itself, but for those that every line has and those of `told`.
pub fn members_of(record: &Value, told: &[&str]) -> String {
    let Some(members) = record.as_object() else { return String::new() };
    let mut shown = String::new();
    for (name, value) in members {
        let known = ["time", "adamant.kind", "adamant.chain", "adamant.log.chains", "adamant.log.frontier"];
        if known.contains(&name.as_str()) || told.contains(&name.as_str()) {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        shown.push_str(&format!(" {}={value}", name.strip_prefix("adamant.").unwrap_or(name)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_compare_by_their_beginning() {
        assert!(time("2026-11-21").is_ok() && time("2026-11-21T10:00:00.5Z").is_ok());
        for wrong in ["", "yesterday", "2026-11", "2026-11-21 10:00", "2026-11-21T10:00:00.0000000000"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert!(status("403").is_ok() && status("4xx").is_ok() && status("40").is_err() && status("abc").is_err());
    }

    /// Somebody who notes what each write brings.
    struct Writes(Vec<String>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_a_file_are_gathered_into_few_writes() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: ShowArgs,
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("records.jsonl");
        let record = |number: u32| {
            format!(
                "{{\"time\":\"2026-11-21T10:00:00Z\",\"adamant.kind\":\"stop\",\"adamant.n\":{number},\"m\":\"{}\"}}\n",
                "x".repeat(2_000)
            )
        };
        let all: String = (0..3).map(record).collect();
        std::fs::write(&file, &all).unwrap();
        let Line { args } = clap::Parser::parse_from(["show", "--format", "json", file.to_str().unwrap()]);
        let mut out = Writes(Vec::new());
        show(args, &mut out).unwrap();
        assert_eq!(out.0, [all]);
    }

    #[test]
    fn every_kind_is_one_that_is_documented() {
        let page = include_str!("../../../../docs/records.md");
        let (_, table) = page.split_once("| `adamant.kind` | meaning |\n|---|---|\n").unwrap();
        let cells = table.lines().take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
        let documented: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        assert!(documented.iter().all(|name| kind(name).is_ok()), "{documented:?}");
        assert_eq!(documented.len() + 1, KINDS.len(), "and exchange");
        assert!(kind("exchnge").unwrap_err().contains("did you mean exchange?"));
    }

    #[test]
    fn a_record_on_one_line() {
        let record = json!({
            "time": "2026-11-21T10:00:00.123456789Z", "adamant.kind": "exchange", "adamant.decision": "deny",
            "http.response.status_code": 403, "http.request.method": "GET", "server.address": "api.test",
            "url.path": "/a\u{1b}[2J", "adamant.reason": "scope-missing", "client.address": "10.0.0.1",
            "adamant.durations_us": { "total": 1500 },
        });
        assert_eq!(
            terminal::line(&text_of(&record)),
            "2026-11-21T10:00:00.123Z deny 403 GET api.test/a\\u001b[2J scope-missing client=10.0.0.1 1.500ms"
        );
        let stop =
            json!({ "time": "2026-11-21T10:00:00.123456789Z", "adamant.kind": "stop", "adamant.lines_written": 7 });
        assert_eq!(text_of(&stop), "2026-11-21T10:00:00.123Z stop lines_written=7");
    }
}
