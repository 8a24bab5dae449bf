//! Everything of a policy that is neither a rule nor a limit: what is trusted, where requests go, what is required.
//!
//! What is not provably narrower counts as wider. A thing that is gone is narrower: who may do what without it is in
//! the classes. A thing under a new name alone is no change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use policy::model::{
    Audit, ClientCa, Crl, Fetched, Introspection, Issuer, Keys, MinimumTransport, Origin, OriginAssertion,
    OriginCredential, Policy, ServerCa,
};

use crate::cells::Cell;
use crate::face::World;
use crate::report::{Direction, SettingChange};

/// Characters of a value that are shown.
const SHOWN_MAX: usize = 200;

struct Changes(Vec<SettingChange>);

impl Changes {
    /// Notes a change of something that a comparison of rules cannot judge.
    fn note(
        &mut self,
        (kind, name, what): (&'static str, &str, &'static str),
        (old, new): (Option<String>, Option<String>),
        direction: Direction,
    ) {
        let cut = |value: String| match value.char_indices().nth(SHOWN_MAX) {
            Some((at, _)) => format!("{}…", value.get(..at).unwrap_or_default()),
            None => value,
        };
        let gone = what == "itself" && new.is_none();
        // Revocation lists can only refuse: a source of them is judged by its direction alone.
        let guarded = !(gone || kind == "api-key" || what == "crl" || (kind == "policy" && what == "transport"));
        let needs_wider = guarded || direction.is_wider();
        let (old, new) = (old.map(cut), new.map(cut));
        self.0.push(SettingChange { kind, name: name.to_owned(), what, old, new, direction, needs_wider });
    }

    /// The same for values that can be written down, if they differ.
    fn compare<T: PartialEq + Debug>(
        &mut self,
        place: (&'static str, &str, &'static str),
        (old, new): (&T, &T),
        show: impl Fn(&T) -> String,
        direction: impl Fn(&T, &T) -> Direction,
    ) {
        if old != new {
            self.note(place, (Some(show(old)), Some(show(new))), direction(old, new));
        }
    }
}

/// All changes but those of rules and limits.
pub fn changes(world: &World<'_>, cells: &[Cell]) -> Vec<SettingChange> {
    let (old, new) = (world.old.policy, world.new.policy);
    let mut changes = Changes(Vec::new());
    policy(old, new, &mut changes);
    for pair in &world.issuers {
        let at =
            |policy: &'_ Policy, index: Option<u16>| index.and_then(|it| policy.issuers.get(usize::from(it)).cloned());
        match (at(old, pair.old), at(new, pair.new)) {
            (Some(old), Some(new)) => issuer(&old, &new, &mut changes),
            (old, new) => {
                whole("issuer", old.map(|it| (it.name, it.issuer)), new.map(|it| (it.name, it.issuer)), &mut changes)
            }
        }
    }
    for pair in &world.cas {
        let at = |policy: &'_ Policy, index: Option<u16>| {
            index.and_then(|it| policy.client_cas.get(usize::from(it)).cloned())
        };
        match (at(old, pair.old), at(new, pair.new)) {
            (Some(old), Some(new)) => client_ca(&old, &new, &mut changes),
            // Its lists refused what other CAs vouch for, too.
            (Some(ClientCa { name, certificates, crl: Some(_) }), None) => {
                let gone = format!("{}, with revocation lists", in_pem(&certificates));
                changes.note(("client-ca", &name, "itself"), (Some(gone), None), Direction::Changed);
            }
            (old, new) => {
                let whole_of = |ca: ClientCa| (in_pem(&ca.certificates), ca.name);
                let swap = |(what, name)| (name, what);
                whole("client-ca", old.map(whole_of).map(swap), new.map(whole_of).map(swap), &mut changes);
            }
        }
    }
    origins(old, new, &mut changes);
    routes(world, cells, &mut changes);
    api_keys(old, new, &mut changes);
    changes.0
}

/// Something that only one policy has.
fn whole(kind: &'static str, old: Option<(String, String)>, new: Option<(String, String)>, changes: &mut Changes) {
    let direction = if new.is_some() { Direction::Wider } else { Direction::Narrower };
    let name = new.as_ref().or(old.as_ref()).map(|(name, _)| name.clone()).unwrap_or_default();
    changes.note((kind, &name, "itself"), (old.map(|it| it.1), new.map(|it| it.1)), direction);
}

fn policy(old: &Policy, new: &Policy, changes: &mut Changes) {
    let name = new.name.as_str();
    changes.compare(("policy", name, "name"), (&old.name, &new.name), String::clone, |_, _| Direction::Changed);
    let audit = |audit: &Audit| match audit {
        Audit::BestEffort => (0, "best-effort"),
        Audit::Queued => (1, "queued"),
        Audit::Durable => (2, "durable"),
    };
    let stricter = |more: bool| if more { Direction::Narrower } else { Direction::Wider };
    changes.compare(
        ("policy", name, "audit"),
        (&old.audit, &new.audit),
        |it| audit(it).1.to_owned(),
        |old, new| stricter(audit(new).0 > audit(old).0),
    );
    let transport = |transport: &MinimumTransport| match transport {
        MinimumTransport::Plain => "plain".to_owned(),
        MinimumTransport::Tls => "tls".to_owned(),
        MinimumTransport::Mtls => "mtls".to_owned(),
    };
    changes.compare(("policy", name, "transport"), (&old.transport, &new.transport), transport, |old, new| {
        stricter(new > old)
    });
}

fn issuer(old: &Issuer, new: &Issuer, changes: &mut Changes) {
    let name = new.name.as_str();
    let joined = |list: &Vec<String>| list.join(", ");
    // Revocations name the section.
    changes.compare(("issuer", name, "name"), (&old.name, &new.name), String::clone, |_, _| Direction::Changed);
    changes.compare(("issuer", name, "issuer"), (&old.issuer, &new.issuer), String::clone, |_, _| Direction::Changed);
    changes.compare(("issuer", name, "audience"), (&old.audience, &new.audience), joined, |old, new| {
        subset(&old.iter().collect(), &new.iter().collect())
    });
    let algorithms = |issuer: &Issuer| issuer.algorithms.iter().map(|it| format!("{it:?}")).collect::<Vec<String>>();
    changes.compare(("issuer", name, "algorithms"), (&algorithms(old), &algorithms(new)), joined, |old, new| {
        subset(&old.iter().collect(), &new.iter().collect())
    });
    changes.compare(
        ("issuer", name, "leeway"),
        (&old.leeway_s, &new.leeway_s),
        |it| format!("{it} s"),
        |old, new| {
            if new < old { Direction::Narrower } else { Direction::Wider }
        },
    );
    let claim = |claim: &Option<String>| claim.clone().unwrap_or_else(|| "none: tokens narrow nothing".to_owned());
    changes.compare(("issuer", name, "scope_claim"), (&old.scope_claim, &new.scope_claim), claim, |old, new| {
        match (old, new) {
            (None, Some(_)) => Direction::Narrower,
            (Some(_), None) => Direction::Wider,
            _ => Direction::Changed,
        }
    });
    let source = |keys: &Keys| match keys {
        Keys::Pinned { jwks } => format!("pinned, {} bytes", jwks.len()),
        Keys::Watch { path } => format!("file {path}"),
        Keys::Url(fetched) => fetched_text("", fetched),
        Keys::Discovery(fetched) => fetched_text("discovery ", fetched),
        Keys::None => "none: no JWT is believed".to_owned(),
    };
    changes.compare(("issuer", name, "keys"), (&old.keys, &new.keys), source, |old, new| match (old, new) {
        (Keys::Url(old), Keys::Url(new)) | (Keys::Discovery(old), Keys::Discovery(new)) => fetched(old, new),
        (Keys::None, _) => Direction::Wider,
        (_, Keys::None) => Direction::Narrower,
        _ => Direction::Changed,
    });
    let values = (&old.introspection, &new.introspection);
    changes.compare(("issuer", name, "introspection"), values, introspection_text, |old, new| match (old, new) {
        (None, _) => Direction::Wider,
        (_, None) => Direction::Narrower,
        (Some(old), Some(new)) => introspection(old, new),
    });
}

fn introspection_text(asked: &Option<Introspection>) -> String {
    let Some(asked) = asked else { return "none: no opaque token is believed".to_owned() };
    let Introspection { url, ca, client, cache_s, prefix, subject } = asked;
    let prefix = prefix.as_deref().map_or_else(String::new, |prefix| format!(", tokens {prefix}…"));
    format!("{url} as {client}, subject {}, cache {cache_s} s{prefix}, {}", subject.name(), ca_text(ca.as_ref()))
}

/// Who is asked about what, and what of the answer counts, may each let other callers in; the same answer for longer is
/// believed for longer.
fn introspection(old: &Introspection, new: &Introspection) -> Direction {
    if (Introspection { cache_s: old.cache_s, ..new.clone() }) != *old {
        Direction::Changed
    } else if new.cache_s < old.cache_s {
        Direction::Narrower
    } else {
        Direction::Wider
    }
}

fn ca_text(ca: Option<&ServerCa>) -> String {
    match ca {
        None => "plain http".to_owned(),
        Some(ServerCa::System) => "CAs of the machine".to_owned(),
        Some(ServerCa::Pinned { certificates }) => format!("pinned CA, {} bytes", certificates.len()),
    }
}

fn fetched_text(how: &str, of: &Fetched) -> String {
    let ca = ca_text(of.ca.as_ref());
    format!("{how}{}, refresh {} s, stale {} s, {ca}", of.url, of.refresh_s, of.max_stale_s)
}

/// Another place or another CA may give other keys; the same keys for longer are believed for longer.
fn fetched(old: &Fetched, new: &Fetched) -> Direction {
    if (&old.url, &old.ca) != (&new.url, &new.ca) {
        return Direction::Changed;
    }
    let longer = |old: u32, new: u32| new > old;
    if longer(old.max_stale_s, new.max_stale_s) || longer(old.refresh_s, new.refresh_s) {
        Direction::Wider
    } else {
        Direction::Narrower
    }
}

fn client_ca(old: &ClientCa, new: &ClientCa, changes: &mut Changes) {
    let name = new.name.as_str();
    let values = (&old.certificates, &new.certificates);
    let shown = |pem: &String| in_pem(pem);
    changes.compare(("client-ca", name, "certificates"), values, shown, |old, new| {
        subset(&certificates(old), &certificates(new))
    });
    let source = |crl: &Option<Crl>| match crl {
        None => "none: nothing is revoked".to_owned(),
        Some(crl) if crl.enforce_expiration => format!("file {}", crl.path),
        Some(crl) => format!("file {}, also when it has expired", crl.path),
    };
    changes.compare(("client-ca", name, "crl"), (&old.crl, &new.crl), source, |old, new| match (old, new) {
        (None, Some(_)) => Direction::Narrower,
        (Some(_), None) => Direction::Wider,
        (Some(old), Some(new)) if old.path == new.path && new.enforce_expiration => Direction::Narrower,
        (Some(old), Some(new)) if old.path == new.path => Direction::Wider,
        _ => Direction::Changed,
    });
}

fn in_pem(certificates_pem: &str) -> String {
    format!("{} in PEM", plural(certificates(certificates_pem).len(), "certificate"))
}

/// Origins by name, and those that are left by what they are: a new name is no change.
fn origins(old: &Policy, new: &Policy, changes: &mut Changes) {
    let named = |policy: &'_ Policy, name: &str| policy.origins.iter().find(|origin| origin.name == name).cloned();
    let content = |origin: &Origin| Origin { name: String::new(), ..origin.clone() };
    let gone: Vec<&Origin> = old.origins.iter().filter(|origin| named(new, &origin.name).is_none()).collect();
    let fresh: Vec<&Origin> = new.origins.iter().filter(|origin| named(old, &origin.name).is_none()).collect();
    let shown = |origin: &Origin| (origin.name.clone(), origin.addresses.join(", "));
    for origin in &gone {
        if !fresh.iter().any(|other| content(other) == content(origin)) {
            whole("origin", Some(shown(origin)), None, changes);
        }
    }
    for origin in &fresh {
        if !gone.iter().any(|other| content(other) == content(origin)) {
            whole("origin", None, Some(shown(origin)), changes);
        }
    }
    for after in &new.origins {
        let Some(before) = named(old, &after.name) else { continue };
        let name = after.name.as_str();
        let joined = |list: &Vec<String>| list.join(", ");
        let values = (&before.addresses, &after.addresses);
        changes.compare(("origin", name, "addresses"), values, joined, |_, _| Direction::Changed);
        let tls = |tls: &Option<policy::model::OriginTls>| match tls {
            None => "none".to_owned(),
            Some(tls) => format!(
                "CA of {}, server name {}, identity {}",
                plural(certificates(&tls.ca).len(), "certificate"),
                tls.server_name.as_deref().unwrap_or("as addressed"),
                tls.identity.as_deref().unwrap_or("none"),
            ),
        };
        changes.compare(("origin", name, "tls"), (&before.tls, &after.tls), tls, |_, _| Direction::Changed);
        let given = |origin: &Origin| (origin.pass_credentials, origin.credential.clone());
        changes.compare(("origin", name, "credentials"), (&given(&before), &given(after)), credentials, |old, new| {
            match (old, new) {
                (_, (false, None)) => Direction::Narrower,
                ((false, None), _) => Direction::Wider,
                _ => Direction::Changed,
            }
        });
        let assertion = |of: &Option<OriginAssertion>| match of {
            None => "none: it cannot tell what came through the gateway".to_owned(),
            Some(OriginAssertion { audience }) => format!("for the audience {audience}"),
        };
        changes.compare(("origin", name, "assertion"), (&before.assertion, &after.assertion), assertion, |old, new| {
            if old.is_some() && new.is_none() { Direction::Wider } else { Direction::Changed }
        });
    }
}

/// What an origin is given of the agents' credentials, and in their place.
fn credentials((pass, own): &(bool, Option<OriginCredential>)) -> String {
    let agents = if *pass { "passed on" } else { "removed" };
    match own {
        None => agents.to_owned(),
        Some(OriginCredential { from, header, value }) => {
            format!("{agents}, and {header}: {value} with the secret {from}")
        }
    }
}

/// Requests that go to another origin than before.
fn routes(world: &World<'_>, cells: &[Cell], changes: &mut Changes) {
    let origins = |policy: &'_ Policy| -> BTreeMap<String, Origin> {
        policy.origins.iter().map(|origin| (origin.name.clone(), origin.clone())).collect()
    };
    let (old, new) = (origins(world.old.policy), origins(world.new.policy));
    let mut moved: BTreeSet<(String, String, String)> = BTreeSet::new();
    for cell in cells {
        let (Some(before), Some(after)) = cell.routes else { continue };
        let before = world.old.policy.routes.get(before as usize);
        let after = world.new.policy.routes.get(after as usize);
        let (Some(before), Some(after)) = (before, after) else { continue };
        let content = |origin: Option<&Origin>| origin.map(|it| Origin { name: String::new(), ..it.clone() });
        // The same name with other addresses is a change of the origin itself.
        if before.origin != after.origin && content(old.get(&before.origin)) != content(new.get(&after.origin)) {
            moved.insert((after.name.clone(), before.origin.clone(), after.origin.clone()));
        }
    }
    for (route, before, after) in moved {
        changes.note(("route", &route, "origin"), (Some(before), Some(after)), Direction::Changed);
    }
}

fn api_keys(old: &Policy, new: &Policy, changes: &mut Changes) {
    let before: BTreeMap<&str, _> = old.api_keys.iter().map(|key| (key.id.as_str(), key)).collect();
    for after in &new.api_keys {
        let Some(before) = before.get(after.id.as_str()) else { continue };
        let hash = |hash: &Option<String>| match hash {
            Some(hash) => format!("sha256:{hash}"),
            None => "filled by the moving key set".to_owned(),
        };
        let values = (&before.sha256, &after.sha256);
        changes.compare(("api-key", &after.id, "sha256"), values, hash, |_, _| Direction::Wider);
        let expires = |at: &Option<u64>| at.map_or_else(|| "never".to_owned(), date);
        let values = (&before.expires_s, &after.expires_s);
        changes.compare(("api-key", &after.id, "expires"), values, expires, |old, new| match (old, new) {
            (None, Some(_)) => Direction::Narrower,
            (Some(old), Some(new)) if new < old => Direction::Narrower,
            _ => Direction::Wider,
        });
    }
}

/// The certificates of a PEM text.
fn certificates(pem: &str) -> BTreeSet<&str> {
    pem.split("-----BEGIN CERTIFICATE-----").skip(1).map(str::trim).collect()
}

fn subset<T: Ord>(old: &BTreeSet<T>, new: &BTreeSet<T>) -> Direction {
    match (new.is_subset(old), old.is_subset(new)) {
        (true, false) => Direction::Narrower,
        (false, true) => Direction::Wider,
        _ => Direction::Changed,
    }
}

/// Seconds since the Unix epoch as RFC 3339 in UTC (the proleptic Gregorian calendar, years counted from March).
fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
