//! Names that refer to nothing, and tables that nothing refers to.

use std::collections::{HashMap, HashSet};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::fields::shown;
use crate::reading::{Kind, Names, Reading, Reference};

pub(crate) fn unknown(reading: &mut Reading<'_, '_>) {
    let (references, mentions) = (std::mem::take(&mut reading.references), std::mem::take(&mut reading.mentions));
    let names = std::mem::take(&mut reading.names);
    unknown_among(&references, &names, reading);
    unknown_among(&mentions, &names, reading);
    (reading.references, reading.mentions, reading.names) = (references, mentions, names);
}

/// Reports references to nothing, in the text of `reading`, where `names` may be of another one.
pub(crate) fn unknown_among(
    references: &[Reference<'_>],
    names: &HashMap<Kind, Names<'_>>,
    reading: &mut Reading<'_, '_>,
) {
    let none = Names::default();
    for reference in references {
        let names = names.get(&reference.kind).unwrap_or(&none);
        if names.incomplete || names.declared.contains_key(reference.name.value) {
            continue;
        }
        let (noun, table) = (reference.kind.noun(), reference.kind.table());
        let nothing = format!("add a {table} of that name");
        let hint = reading.suggest.hint(reference.name.value, names.declared.keys().copied(), &nothing);
        let message = format!("unknown {noun} `{}`", shown(reference.name.value));
        let diagnostic = Diagnostic::new(codes::UNKNOWN_REFERENCE, reference.name.span, message);
        reading.sink.push(diagnostic.label(format!("no {table} has this name")).hint(hint));
    }
}

pub(crate) fn unused(reading: &mut Reading<'_, '_>) {
    let used: HashSet<(Kind, &str)> =
        reading.references.iter().map(|reference| (reference.kind, reference.name.value)).collect();
    for (kind, names) in &reading.names {
        let (what, hint) = match kind {
            Kind::Agent | Kind::Case => continue,
            Kind::Route => {
                ("stands in no scope, so nobody may use it", "add it to the `routes` of a [[scope]], or remove it")
            }
            Kind::Scope => ("belongs to no agent", "add it to the `scopes` of an [[agent]], or remove it"),
            Kind::Origin => ("has no route that leads to it", "remove it, or add a [[route]]"),
            Kind::Issuer => ("identifies no agent", "use it in the `token` of an [[agent]], or remove it"),
            Kind::ClientCa => (
                "identifies no agent",
                "name it as the `ca` of an agent's `certificate`, or remove it: then its certificates open no mTLS \
                 connection either",
            ),
            Kind::ApiKey => ("identifies no agent", "use it in the `api_key` of an [[agent]], or remove it"),
        };
        for (name, span) in names.declared.iter().filter(|(name, _)| !used.contains(&(*kind, **name))) {
            let message = format!("the {} `{}` {what}", kind.noun(), shown(name));
            reading.sink.push(Diagnostic::new(codes::UNUSED, *span, message).label("unused").hint(hint));
        }
    }
}
