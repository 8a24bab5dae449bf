//! A comparison for people: the verdict first, then what becomes possible, what stops, and what else changes.

use std::collections::HashSet;
use std::io::{self, Write};

use policy::model::{Agent, Identity, Proofs};
use policy::reason::Reason;
use policy_diff::{
    Class, Diff, Direction, Example, IdentityChange, LimitChange, Outcome, Principal, PrincipalKind, Requests,
    SettingChange, Verdict,
};
use policy_release::envelope::Role;
use policy_release::time::Timestamp;

use super::signatures::{self, Needs};
use super::{End, Roots};
use crate::lookup::Found;

const CONFLICT: &str = Reason::ProofsConflict.name();

/// Classes, changes and lines within one that are shown; JSON has more.
const SHOWN_MAX: usize = 25;
const LINES_MAX: usize = 8;

pub fn write(
    out: &mut dyn Write,
    diff: &Diff,
    (old, new): (&End, &End),
    roots: &Roots,
    needs: &Needs,
) -> io::Result<()> {
    writeln!(out, "{}: {}", diff.verdict.name(), meaning(diff))?;
    if diff.exhausted {
        writeln!(out, "  given up at the bound of the search: take it as wider, and split the change")?;
    }
    for (side, end) in [("old", old), ("new", new)] {
        writeln!(out, "  {side}    {}", described(end))?;
        for line in signatures::lines(end) {
            writeln!(out, "         {line}")?;
        }
    }
    if let Some(line) = roots.text() {
        writeln!(out, "  root   {line}")?;
    }
    if diff.verdict != Verdict::Same || needs.role == Role::ReleaseWider {
        writeln!(out, "  needs  {}{}", needs.text(), why(diff))?;
        for line in needs.verdict().into_iter().chain(needs.of_pointer()) {
            writeln!(out, "         {line}")?;
        }
    }
    for why in needs.refusals() {
        writeln!(out, "  note   a gateway refuses the new side: {why}")?;
    }
    if let (Some(before), Some(after)) = (expires(old), expires(new))
        && before != after
    {
        let way = if after > before { "later" } else { "sooner" };
        writeln!(out, "  note   the release expires {way}: {after} instead of {before} (no part of the verdict)")?;
    }
    classes(out, "newly allowed", &diff.allowed, diff.counts.allowed, diff.truncated)?;
    if let Some(hint) = instead_of_removing(diff, old, new) {
        writeln!(out, "  hint: {hint}")?;
    }
    classes(out, "newly refused", &diff.refused, diff.counts.refused, diff.truncated)?;
    identities(out, &diff.identities, diff.counts.identities)?;
    limits(out, &diff.limits, diff.counts.limits)?;
    settings(out, &diff.settings, diff.counts.settings)
}

/// What to do instead, where all that is newly allowed comes from the removal of an agent whose certificate stood in the
/// way of other proofs.
fn instead_of_removing(diff: &Diff, old: &End, new: &End) -> Option<String> {
    let freed = |class: &Class| class.example.certificate.is_some() && class.example.old.reason == Some(CONFLICT);
    if diff.allowed.is_empty() || !diff.allowed.iter().all(freed) {
        return None;
    }
    let left: HashSet<&str> = new.found.policy.agents.iter().map(|agent| agent.name.as_str()).collect();
    let is_gone = |agent: &&Agent| !left.contains(agent.name.as_str());
    let has_certificate = |agent: &&Agent| {
        agent.identity.iter().any(|it| matches!(it, Identity::Proofs(Proofs { certificate: Some(_), .. })))
    };
    let agent = old.found.policy.agents.iter().filter(is_gone).find(has_certificate)?;
    Some(match agent.scopes.as_slice() {
        [] => format!(
            "{} may do nothing already: what shows its certificate stays refused while it is left in",
            agent.name
        ),
        _ => format!("to cut {} off, take its scopes away instead of the agent: that is narrower", agent.name),
    })
}

fn meaning(diff: &Diff) -> String {
    let (allowed, refused) = (diff.counts.allowed > 0, diff.counts.refused > 0);
    let limits = |is: fn(Direction) -> bool| diff.limits.iter().any(|it| is(it.direction));
    let settings = |is: fn(Direction) -> bool| diff.settings.iter().any(|it| is(it.direction));
    match diff.verdict {
        Verdict::Same => return "nothing changes for anybody".to_owned(),
        Verdict::Narrower => return "nobody can do more than before".to_owned(),
        Verdict::Wider | Verdict::Both => {}
    }
    // What counts as wider without a request that is newly allowed is not told as one; and so with what is narrower.
    let parts = [
        (allowed, "something becomes possible"),
        (!allowed && limits(Direction::is_wider), "limits become wider"),
        (!allowed && !diff.identities.is_empty(), "identities change"),
        (!allowed && settings(Direction::is_wider), "settings change"),
        (refused, "something stops"),
        (!refused && limits(Direction::is_narrower), "limits become narrower"),
        (!refused && settings(Direction::is_narrower), "settings become narrower"),
        (allowed && !diff.verdict.is_narrower(), "nothing stops"),
        (!allowed && refused && !diff.exhausted, "nothing becomes possible"),
        (!allowed && !refused && !diff.exhausted, "nothing becomes possible or stops"),
        (diff.exhausted, "more may change than was found"),
    ];
    let said: Vec<&str> = parts.into_iter().filter_map(|(is, text)| is.then_some(text)).collect();
    match said.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{}, and {last}", first.join(", ")),
        _ => said.concat(),
    }
}

/// Why a change that allows nothing new needs the wider role.
fn why(diff: &Diff) -> &'static str {
    if diff.needs_wider() && !diff.verdict.is_wider() {
        ", because of a setting marked * below"
    } else if diff.allowed.is_empty() && !diff.identities.is_empty() {
        ", because callers are told to origins under other names"
    } else {
        ""
    }
}

fn expires(end: &End) -> Option<Timestamp> {
    end.found.release.as_ref().map(|release| release.expires)
}

fn described(end: &End) -> String {
    let Found { name, policy, release, .. } = &end.found;
    let Some(release) = release else { return format!("{name} (policy source of {})", policy.name) };
    let what = if end.is_verified() { "verified" } else { "unverified" };
    let digest = if name.starts_with("sha256:") { String::new() } else { format!(", {}", release.digest) };
    let (version, expires) = (release.version, release.expires);
    format!("{name} ({what} release of {}, version {version}{digest}, expires {expires})", policy.name)
}

fn classes(out: &mut dyn Write, title: &str, classes: &[Class], count: usize, truncated: bool) -> io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let (odd, plain): (Vec<&Class>, Vec<&Class>) = classes.iter().partition(|class| !class.by_any_means);
    writeln!(out, "\n{title}")?;
    for class in plain.iter().take(SHOWN_MAX) {
        write_class(out, class)?;
    }
    if !odd.is_empty() {
        let less = match title {
            "newly allowed" => "could do it before with fewer credentials",
            _ => "still can with fewer credentials",
        };
        let but = "unless his issuer binds his token to his certificate though no policy asks for it";
        writeln!(out, "  only when shown together (the same caller {less}, {but})")?;
        for class in odd.iter().take(SHOWN_MAX) {
            write_class(out, class)?;
        }
    }
    let shown = plain.len().min(SHOWN_MAX) + odd.len().min(SHOWN_MAX);
    if shown < count {
        let at_least = if truncated && classes.len() < count { "" } else { "; --format json has them" };
        writeln!(out, "  … and {} more{at_least}", plural(count - shown, "class", "classes"))?;
    }
    Ok(())
}

fn write_class(out: &mut dyn Write, class: &Class) -> io::Result<()> {
    let example = &class.example;
    let mut who: Vec<String> = class.principals.iter().take(LINES_MAX).map(|it| principal(it, example)).collect();
    let more = class.principals_count.saturating_sub(who.len());
    if more > 0 {
        who.push(format!("… and {more} more"));
    }
    writeln!(out, "  {}", who.join("\n  "))?;
    if let Some(scopes) = &class.token_scopes {
        let any = (!scopes.any_of.is_empty()).then(|| format!("with {}", scopes.any_of.join(" or ")));
        let none = (!scopes.none_of.is_empty()).then(|| format!("without {}", scopes.none_of.join(", ")));
        let both: Vec<String> = any.into_iter().chain(none).collect();
        writeln!(out, "      only tokens {}", both.join(" and "))?;
    }
    for entry in class.requests.iter().take(LINES_MAX) {
        writeln!(out, "      {}", requests(entry))?;
    }
    let more = class.requests_count.saturating_sub(LINES_MAX);
    if more > 0 {
        writeln!(out, "      … and {more} more")?;
    }
    writeln!(out, "    e.g. {} https://{}{}", example.method, example.host, example.path)?;
    if let Some(line) = shown(example) {
        writeln!(out, "         {line}")?;
    }
    writeln!(out, "         was {}; is {}", outcome(&example.old), outcome(&example.new))
}

/// Sets of proofs, any of which identifies somebody.
fn ways(by: &[String], count: usize) -> String {
    let more = count.saturating_sub(by.len());
    let more = if more > 0 { format!(", or {more} more") } else { String::new() };
    format!("{}{more}", by.join(", or by "))
}

fn principal(principal: &Principal, example: &Example) -> String {
    let name = match principal.kind {
        PrincipalKind::Anyone => "anyone".to_owned(),
        PrincipalKind::Agent => format!("agent {}", principal.name),
        PrincipalKind::Population => format!("population {}", principal.name),
        PrincipalKind::Together if names_alone(example) => {
            let name = principal.name.trim_start_matches("certificate ");
            format!("whoever has one certificate with several names, {name} among them")
        }
        PrincipalKind::Together => match example.new.permitted {
            true => format!("whoever shows {} beside proofs that do not need it", principal.name),
            false => format!("whoever shows {} beside proofs of somebody else", principal.name),
        },
    };
    let formerly = principal.formerly.as_ref().map_or_else(String::new, |other| format!(" (formerly {other})"));
    let by = match principal.by.as_slice() {
        [] => String::new(),
        [one] if one == "no credentials" => String::new(),
        by => format!(", by {}", ways(by, principal.by_count)),
    };
    format!("{name}{formerly}{by}")
}

/// Whether an example shows nothing but one certificate with several names, which no holder can show fewer of.
fn names_alone(example: &Example) -> bool {
    let several = example.certificate.as_ref().is_some_and(|certificate| certificate.names.len() > 1);
    several && example.token.is_none() && example.api_key.is_none()
}

fn requests(requests: &Requests) -> String {
    let routes = match (&requests.old_route, &requests.new_route) {
        (Some(old), Some(new)) if old == new => format!("route {new}"),
        (Some(old), Some(new)) => format!("route {new}, formerly {old}"),
        (None, Some(new)) => format!("route {new}, new there"),
        (Some(old), None) => format!("route {old}, gone there"),
        (None, None) => String::new(),
    };
    let only = requests.only_with.map_or_else(String::new, |what| format!(", only paths with {what}"));
    let host = if requests.host == "*" { "any host " } else { &requests.host };
    let except = if requests.except.is_empty() { String::new() } else { format!(" but {}", requests.except.join(",")) };
    let methods = match requests.methods.as_slice() {
        [any] if any == "*" => format!("any method{except}"),
        methods => methods.join(",") + &except,
    };
    format!("{methods} {host}{}  ({routes}{only})", requests.path)
}

/// The credentials of an example.
fn shown(example: &Example) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(certificate) = &example.certificate {
        let what = match certificate.names.as_slice() {
            [] => "certificate any name".to_owned(),
            [name] => format!("certificate {name}"),
            [names @ .., last] => format!("one certificate naming {} and {last}", names.join(", ")),
        };
        parts.push(format!("{what} of {}", certificate.cas.join(" and ")));
    }
    if let Some(token) = &example.token {
        let scopes = token.scopes.iter().map(|(claim, scopes)| format!(" with {claim}={:?}", scopes.join(" ")));
        parts.push(format!("token {}/{}{}", token.issuer, token.subject, scopes.collect::<String>()));
    }
    parts.extend(example.api_key.as_ref().map(|id| format!("API key {id}")));
    (!parts.is_empty()).then(|| format!("with {}", parts.join(" + ")))
}

fn outcome(outcome: &Outcome) -> String {
    if let Some(reason) = outcome.reason {
        return format!("refused ({reason})");
    }
    let part = |what: &str, name: &Option<String>| name.as_ref().map(|name| format!("{what} {name}"));
    let parts = [part("agent", &outcome.agent), part("scope", &outcome.scope), part("route", &outcome.route)];
    format!("permitted ({})", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn identities(out: &mut dyn Write, changes: &[IdentityChange], count: usize) -> io::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nidentities")?;
    let told = |agent: &Option<String>| agent.clone().unwrap_or_else(|| "no agent".to_owned());
    for change in changes.iter().take(SHOWN_MAX) {
        let IdentityChange { old, new, by, by_count, example, .. } = change;
        let sign = sign(change.direction, change.needs_wider);
        let who = ways(by, *by_count);
        writeln!(out, "  {sign} {who} is told to origins as {} instead of {}", told(new), told(old))?;
        writeln!(out, "    e.g. {} https://{}{}", example.method, example.host, example.path)?;
        if let Some(line) = shown(example) {
            writeln!(out, "         {line}")?;
        }
    }
    rest(out, count)
}

fn limits(out: &mut dyn Write, changes: &[LimitChange], count: usize) -> io::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nlimits")?;
    for change in changes.iter().take(SHOWN_MAX) {
        let listed = |limits: &[String]| if limits.is_empty() { "no limit".to_owned() } else { limits.join(" and ") };
        let more = change.agents_count.saturating_sub(LINES_MAX.min(change.agents.len()));
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let agents: Vec<&str> = change.agents.iter().take(LINES_MAX).map(String::as_str).collect();
        let note = change.note.map_or_else(String::new, |note| format!("; {note}"));
        let sign = sign(change.direction, change.needs_wider);
        writeln!(out, "  {sign} {}{more}: {} → {}{note}", agents.join(", "), listed(&change.old), listed(&change.new))?;
    }
    rest(out, count)
}

fn settings(out: &mut dyn Write, changes: &[SettingChange], count: usize) -> io::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nsettings")?;
    for change in changes.iter().take(SHOWN_MAX) {
        let SettingChange { kind, name, what, old, new, .. } = change;
        let sign = sign(change.direction, change.needs_wider);
        let line = match (old, new) {
            (None, Some(new)) => format!("{kind} {name} is new: {new}"),
            (Some(old), None) => format!("{kind} {name} is gone: {old}"),
            (old, new) => {
                let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
                let (old, new) = (text(old), text(new));
                let new = if old == new { "another of the same form".to_owned() } else { new };
                format!("{kind} {name}, {what}: {old} → {new}")
            }
        };
        writeln!(out, "  {sign} {line}")?;
    }
    rest(out, count)
}

fn rest(out: &mut dyn Write, count: usize) -> io::Result<()> {
    if count > SHOWN_MAX {
        writeln!(out, "  … and {} more; --format json has them", count - SHOWN_MAX)?;
    }
    Ok(())
}

/// The direction, with a mark where the wider role must sign although nothing is proven wider.
fn sign(direction: Direction, needs_wider: bool) -> String {
    let mark = if needs_wider && !direction.is_wider() { "*" } else { "" };
    format!("{:<10}", format!("{}{mark}", direction.name()))
}

fn plural(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}
