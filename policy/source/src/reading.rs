//! What is carried through the reading of one source: findings, names, references, embedded files.

use std::collections::HashMap;

use crate::Files;
use crate::codes::{self, Code};
use crate::diagnostic::{Diagnostic, Sink, Span};
use crate::fields::{Text, shown};
use crate::suggest::Suggest;

/// What a name can stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Issuer,
    ClientCa,
    Origin,
    Route,
    Scope,
    Agent,
    ApiKey,
    Case,
}

impl Kind {
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Issuer => "[[issuer]]",
            Self::ClientCa => "[[client_ca]]",
            Self::Origin => "[[origin]]",
            Self::Route => "[[route]]",
            Self::Scope => "[[scope]]",
            Self::Agent => "[[agent]]",
            Self::ApiKey => "[[api_key]]",
            Self::Case => "[[case]]",
        }
    }

    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::ClientCa => "client CA",
            Self::Origin => "origin",
            Self::Route => "route",
            Self::Scope => "scope",
            Self::Agent => "agent",
            Self::ApiKey => "API key",
            Self::Case => "case",
        }
    }
}

/// Names of one kind.
#[derive(Debug, Default)]
pub(crate) struct Names<'d> {
    pub declared: HashMap<&'d str, Span>,
    /// A table of this kind has no readable name, so that an unknown reference may mean it.
    pub incomplete: bool,
}

/// A use of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference<'d> {
    pub kind: Kind,
    pub name: Text<'d>,
}

pub(crate) struct Reading<'d, 'f> {
    pub text: &'d str,
    pub files: &'f dyn Files,
    pub sink: Sink,
    pub suggest: Suggest,
    pub names: HashMap<Kind, Names<'d>>,
    pub references: Vec<Reference<'d>>,
    /// What cases say of other tables: must exist as well, but makes nothing used.
    pub mentions: Vec<Reference<'d>>,
    /// Cases of the source's other files, each with its file.
    pub elsewhere: HashMap<String, String>,
    /// Values that may stand only once in the source, by the code of their repetition.
    seen: HashMap<(&'static str, String), Span>,
}

impl<'d, 'f> Reading<'d, 'f> {
    pub(crate) fn new(text: &'d str, files: &'f dyn Files) -> Self {
        Self {
            text,
            files,
            sink: Sink::default(),
            suggest: Suggest::default(),
            names: HashMap::new(),
            references: Vec::new(),
            mentions: Vec::new(),
            elsewhere: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    /// Declares a name; the second of two is reported.
    pub(crate) fn declare(&mut self, kind: Kind, name: Option<Text<'d>>) {
        let names = self.names.entry(kind).or_default();
        let Some(name) = name else {
            names.incomplete = true;
            return;
        };
        if let Some(first) = names.declared.get(name.value) {
            let message = format!("two {} tables are named `{}`", kind.table(), shown(name.value));
            let diagnostic = Diagnostic::new(codes::DUPLICATE_NAME, name.span, message).label("taken");
            self.sink.push(diagnostic.related(*first, "first here").hint("rename or remove one"));
        } else {
            names.declared.insert(name.value, name.span);
        }
    }

    pub(crate) fn refer(&mut self, kind: Kind, name: Text<'d>) {
        self.references.push(Reference { kind, name });
    }

    /// Reports a value that stands in the source a second time.
    pub(crate) fn once(&mut self, code: &'static Code, value: &str, span: Span, message: String, hint: &str) {
        if let Some(first) = self.seen.insert((code.name, value.to_owned()), span) {
            let diagnostic = Diagnostic::new(code, span, message).label("again");
            self.sink.push(diagnostic.related(first, "first here").hint(hint));
        }
    }

    /// Reads a file that the policy embeds, as text.
    pub(crate) fn embedded_file(&mut self, path: Text<'d>, bytes_max: usize) -> Option<String> {
        let flaw = match self.files.read(path.value) {
            Err(why) => shown(&why),
            Ok(bytes) if bytes.len() > bytes_max => {
                format!("it has {} bytes, the most is {bytes_max}", bytes.len())
            }
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return Some(text),
                Err(_) => "it is not UTF-8 text".to_owned(),
            },
        };
        let message = format!("cannot embed `{}`: {flaw}", shown(path.value));
        let diagnostic = Diagnostic::new(codes::FILE_UNREADABLE, path.span, message).label("this file");
        self.sink.push(diagnostic.hint("paths are relative to the policy source"));
        None
    }
}
