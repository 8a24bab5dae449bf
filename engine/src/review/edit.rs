//! Edits that take something from a policy: in the model, and in the text of its source.
//!
//! The text is cut where the parser says that things stand; everything else in it, comments too, stays as it is. That
//! the text then says what the model says is checked by whoever applies it.

use std::collections::BTreeSet;
use std::ops::Range;

use policy::model::{Limit, Policy};
use policy_release::time::Timestamp;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One change that allows less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Takes scopes from an agent.
    AgentScopes { agent: String, remove: BTreeSet<String> },
    /// Takes routes out of a scope.
    ScopeRoutes { scope: String, remove: BTreeSet<String> },
    /// Lets an API key end, in seconds since the Unix epoch.
    KeyExpires { id: String, at_s: u64 },
    /// Gives a limit other numbers.
    Limit { agent: String, limit: String, tighter: Limit },
}

/// A part of the text and what stands there instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    pub range: Range<usize>,
    pub text: String,
}

type Value<'d> = Spanned<DeValue<'d>>;

impl Edit {
    /// What it does, in words.
    pub fn says(&self) -> String {
        let listed = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::AgentScopes { agent, remove } => format!("agent \"{agent}\" loses {}", listed(remove)),
            Self::ScopeRoutes { scope, remove } => format!("scope \"{scope}\" loses {}", listed(remove)),
            Self::KeyExpires { id, at_s } => format!("API key \"{id}\" ends at {}", instant(*at_s)),
            Self::Limit { agent, limit, tighter } => format!("limit \"{limit}\" of \"{agent}\" becomes {tighter}"),
        }
    }

    /// Does it to a policy.
    pub fn apply(&self, policy: &mut Policy) {
        match self {
            Self::AgentScopes { agent, remove } => {
                for agent in policy.agents.iter_mut().filter(|found| found.name == *agent) {
                    agent.scopes.retain(|scope| !remove.contains(scope));
                }
            }
            Self::ScopeRoutes { scope, remove } => {
                for scope in policy.scopes.iter_mut().filter(|found| found.name == *scope) {
                    scope.routes.retain(|route| !remove.contains(route));
                }
            }
            Self::KeyExpires { id, at_s } => {
                for key in policy.api_keys.iter_mut().filter(|found| found.id == *id) {
                    key.expires_s = Some(*at_s);
                }
            }
            Self::Limit { agent, limit, tighter } => {
                let limits = policy.agents.iter_mut().filter(|found| found.name == *agent).flat_map(|a| &mut a.limits);
                for found in limits.filter(|found| found.name == *limit) {
                    *found = tighter.clone();
                }
            }
        }
    }

    /// Where it is done in the text.
    fn splices(&self, text: &str, root: &DeTable<'_>) -> Option<Vec<Splice>> {
        match self {
            Self::AgentScopes { agent, remove } => {
                remove_items(text, find(root, "agent", "name", agent)?, "scopes", remove)
            }
            Self::ScopeRoutes { scope, remove } => {
                remove_items(text, find(root, "scope", "name", scope)?, "routes", remove)
            }
            Self::KeyExpires { id, at_s } => {
                expire(text, find(root, "api_key", "id", id)?, *at_s).map(|splice| vec![splice])
            }
            Self::Limit { agent, limit, tighter } => {
                let table = find(root, "agent", "name", agent)?.get_ref().as_table()?;
                let items = table.get("limits")?.get_ref().as_array()?;
                let place = items.iter().find_map(|item| limit_place(item).filter(|(name, _)| name == limit))?.1;
                Some(vec![Splice { range: place, text: format!("\"{tighter}\"") }])
            }
        }
    }
}

/// Where all edits are done, in the order of the text.
///
/// # Errors
/// The edit that has no place there.
pub fn splices(text: &str, edits: &[&Edit]) -> Result<Vec<Splice>, String> {
    let root = DeTable::parse(text).map_err(|fault| fault.to_string())?;
    let mut all = Vec::new();
    for edit in edits {
        let found = edit.splices(text, root.get_ref());
        all.extend(found.ok_or_else(|| format!("found no place in the source where {}", edit.says()))?);
    }
    all.sort_by_key(|splice| (splice.range.start, splice.range.end));
    // Parts of one list may touch or overlap; what is put in never does.
    let mut merged: Vec<Splice> = Vec::with_capacity(all.len());
    for splice in all {
        match merged.last_mut() {
            Some(last) if splice.range.start < last.range.end => {
                last.range.end = last.range.end.max(splice.range.end);
                last.text.push_str(&splice.text);
            }
            _ => merged.push(splice),
        }
    }
    Ok(merged)
}

/// The text with all of them done.
pub fn spliced(text: &str, splices: &[Splice]) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for splice in splices {
        out.push_str(text.get(at..splice.range.start)?);
        out.push_str(&splice.text);
        at = splice.range.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

/// The table of a list of tables that has this name.
fn find<'t, 'd>(root: &'t DeTable<'d>, kind: &str, key: &str, name: &str) -> Option<&'t Value<'d>> {
    let tables = root.get(kind)?.get_ref().as_array()?;
    tables.iter().find(|table| {
        let named = table.get_ref().as_table().and_then(|table| table.get(key));
        named.is_some_and(|found| found.get_ref().as_str() == Some(name))
    })
}

/// Takes strings out of the list `key` of a table.
fn remove_items(text: &str, table: &Value<'_>, key: &str, remove: &BTreeSet<String>) -> Option<Vec<Splice>> {
    let list = table.get_ref().as_table()?.get(key)?;
    let items = list.get_ref().as_array()?;
    let goes = |item: &Value<'_>| item.get_ref().as_str().is_some_and(|name| remove.contains(name));
    let Some(last_kept) = items.iter().rposition(|item| !goes(item)) else {
        return Some(vec![Splice { range: list.span(), text: "[]".to_owned() }]);
    };
    let mut splices = Vec::new();
    for (index, item) in items.iter().enumerate().filter(|(_, item)| goes(item)) {
        let own = item.span();
        let range = if let Some(line) = line_alone(text, &own) {
            line
        } else if let Some(next) = items.get(index + 1).filter(|_| index < last_kept) {
            let gap = text.get(own.end..next.span().start)?;
            // The next one on another line stays there.
            let end = if gap.contains('\n') { own.end + comma(gap) } else { next.span().start };
            own.start..end
        } else {
            let before = items.get(last_kept)?.span().end;
            let gap = text.get(before..own.start)?;
            if gap.contains('\n') { own.start..own.end + comma(text.get(own.end..)?) } else { before..own.end }
        };
        splices.push(Splice { range, text: String::new() });
    }
    Some(splices)
}

/// Bytes up to behind the comma that follows, if one does before anything else.
fn comma(text: &str) -> usize {
    let blank = text.len() - text.trim_start_matches([' ', '\t']).len();
    if text.get(blank..).is_some_and(|rest| rest.starts_with(',')) { blank + 1 } else { 0 }
}

/// The whole line of an item that has it for itself, but for a comma and a comment, which is about it.
fn line_alone(text: &str, item: &Range<usize>) -> Option<Range<usize>> {
    let start = text.get(..item.start)?.rfind('\n').map_or(0, |at| at + 1);
    let rest = text.get(item.end..)?;
    let end = rest.find('\n')? + 1;
    let after = rest.get(..end)?.trim_start_matches([' ', '\t']);
    let after = after.strip_prefix(',').unwrap_or(after).trim();
    let alone = text.get(start..item.start)?.trim().is_empty() && (after.is_empty() || after.starts_with('#'));
    alone.then_some(start..item.end + end)
}

fn expire(text: &str, table: &Value<'_>, at_s: u64) -> Option<Splice> {
    let fields = table.get_ref().as_table()?;
    let at = instant(at_s);
    if let Some(expires) = fields.get("expires") {
        return Some(Splice { range: expires.span(), text: at });
    }
    let after = fields.get("id")?.span().end;
    if text.get(table.span().start..)?.starts_with('{') {
        return Some(Splice { range: after..after, text: format!(", expires = {at}") });
    }
    let rest = text.get(after..)?;
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let end = rest.find(newline).map_or(text.len(), |found| after + found);
    Some(Splice { range: end..end, text: format!("{newline}expires = {at}") })
}

fn instant(seconds: u64) -> String {
    Timestamp::from_seconds(seconds).unwrap_or(Timestamp::MAX).to_string()
}

/// Name of a limit, and where its numbers stand: it is a string, or a table with one.
fn limit_place(item: &Value<'_>) -> Option<(String, Range<usize>)> {
    match item.get_ref() {
        DeValue::String(words) => Some((name_of_limit(words)?, item.span())),
        DeValue::Table(table) => {
            let numbers = table.get("limit")?;
            let name = match table.get("name").and_then(|name| name.get_ref().as_str()) {
                Some(name) => name.to_owned(),
                None => name_of_limit(numbers.get_ref().as_str()?)?,
            };
            Some((name, numbers.span()))
        }
        _ => None,
    }
}

/// The name of a limit that has none of its own: `docs/policy.md`, Limits.
fn name_of_limit(words: &str) -> Option<String> {
    let (_, unit) = words.split_whitespace().next()?.split_once('/')?;
    let has = |word: &str| words.split_whitespace().any(|found| found == word);
    let quota = if has("quota") { "-quota" } else { "" };
    let subject = if has("subject") { "-subject" } else { "" };
    Some(format!("{unit}{quota}{subject}"))
}

#[cfg(test)]
mod tests;
