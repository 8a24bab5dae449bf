//! A target's file: TOML, parsed into what can be started. Mistakes are told at their place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::template::{self, Template};
use super::{Fault, Work, folder};

/// How long a target may take until it listens, unless its file says otherwise.
const READY_MS: u64 = 15_000;

/// A target as its file tells.
#[derive(Clone, Debug)]
pub struct Target {
    pub name: String,
    pub about: String,
    /// Template of the program's path; none where there is nothing to start.
    pub program: Option<Template>,
    /// Arguments that make the program print its version.
    pub version: Vec<Template>,
    /// Arguments that make it serve.
    pub start: Vec<Template>,
    pub environment: Vec<(String, Template)>,
    /// Beginning of the names of the threads that answer requests, where others do not.
    pub worker_threads: Option<String>,
    pub ready: Duration,
    pub source: Source,
    pub works: BTreeMap<Work, Does>,
    pub cannot: BTreeMap<Work, String>,
}

/// Where a target comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `loadtest/peers NAME` obtains it.
    Peer(String),
    /// It is there, and this says what it is.
    Built(String),
}

/// How a target does one kind of work.
#[derive(Clone, Debug)]
pub struct Does {
    /// Name and template of each file that is written for it; the first is its configuration.
    pub files: Vec<(String, Template)>,
    pub arguments: Vec<Template>,
    pub values: Vec<(String, Template)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: Spanned<String>,
    about: String,
    program: Option<Spanned<String>>,
    #[serde(default)]
    version: Vec<Spanned<String>>,
    #[serde(default)]
    start: Vec<Spanned<String>>,
    #[serde(default)]
    environment: BTreeMap<String, Spanned<String>>,
    worker_threads: Option<String>,
    #[serde(default = "ready_ms")]
    ready_ms: u64,
    obtain: ObtainForm,
    #[serde(default)]
    work: Vec<WorkForm>,
    #[serde(default)]
    cannot: Vec<CannotForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObtainForm {
    peer: Option<Spanned<String>>,
    built: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkForm {
    name: Spanned<Work>,
    #[serde(default)]
    files: Vec<Spanned<String>>,
    #[serde(default)]
    arguments: Vec<Spanned<String>>,
    #[serde(default)]
    values: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CannotForm {
    works: Vec<Spanned<Work>>,
    why: String,
}

fn ready_ms() -> u64 {
    READY_MS
}

/// Names of the targets that come with loadtest, in alphabetical order.
pub fn shipped() -> Result<Vec<String>, Fault> {
    let folder = folder();
    let entries = fs::read_dir(&folder).map_err(Fault::io(folder.display().to_string()))?;
    let name = |entry: fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".toml")?.to_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// The target of this name, or of the file at this path if it ends with `.toml`.
pub fn load(name: &str) -> Result<Target, Fault> {
    let path = if name.ends_with(".toml") { PathBuf::from(name) } else { folder().join(format!("{name}.toml")) };
    if !name.ends_with(".toml") && (name.contains('/') || !path.is_file()) {
        return Err(Fault::Unknown { found: name.to_owned(), known: shipped()?.join(", ") });
    }
    let text = fs::read_to_string(&path).map_err(Fault::io(path.display().to_string()))?;
    parse(&text, &path)
}

/// Parses a target's file; templates are read from beside `path`, which stands in messages.
pub fn parse(text: &str, path: &Path) -> Result<Target, Fault> {
    let reader = Reader { text, path };
    let form: Form = toml::from_str(text)
        .map_err(|error| reader.fault(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    if form.name.get_ref().is_empty() {
        return Err(reader.fault(form.name.span().start, "expected a name, found none".into()));
    }
    let source = reader.source(form.obtain)?;
    if form.program.is_none() && !form.start.is_empty() {
        return Err(reader.fault(0, "expected a `program` for `start`, found none".into()));
    }
    let mut works = BTreeMap::new();
    for work in form.work {
        let (name, at) = (*work.name.get_ref(), work.name.span().start);
        let does = reader.does(work)?;
        if works.insert(name, does).is_some() {
            return Err(reader.fault(at, format!("expected each work once, found {} again", name.name())));
        }
    }
    let mut cannot = BTreeMap::new();
    for entry in form.cannot {
        for work in entry.works {
            if works.contains_key(work.get_ref()) {
                let what = format!("{} stands both under `work` and under `cannot`", work.get_ref().name());
                return Err(reader.fault(work.span().start, what));
            }
            cannot.insert(*work.get_ref(), entry.why.clone());
        }
    }
    if works.is_empty() {
        return Err(reader.fault(0, "expected at least one [[work]], found none".into()));
    }
    Ok(Target {
        name: form.name.into_inner(),
        about: form.about,
        program: form.program.map(|text| reader.inline(&text)).transpose()?,
        version: reader.all(&form.version)?,
        start: reader.all(&form.start)?,
        environment: reader.named(form.environment)?,
        worker_threads: form.worker_threads,
        ready: Duration::from_millis(form.ready_ms),
        source,
        works,
        cannot,
    })
}

impl Target {
    /// How it does this work, or why it does not.
    pub fn does(&self, work: Work) -> Result<&Does, Fault> {
        self.works.get(&work).ok_or_else(|| {
            let why = self.cannot.get(&work).cloned().unwrap_or_else(|| "its file does not name this work".into());
            Fault::Cannot { target: self.name.clone(), work: work.name(), why }
        })
    }
}

struct Reader<'t> {
    text: &'t str,
    path: &'t Path,
}

impl Reader<'_> {
    fn fault(&self, at: usize, what: String) -> Fault {
        Fault::File { place: template::place(self.path, self.text, at), what }
    }

    fn source(&self, form: ObtainForm) -> Result<Source, Fault> {
        match (form.peer, form.built) {
            (Some(peer), None) => Ok(Source::Peer(peer.into_inner())),
            (None, Some(built)) => Ok(Source::Built(built)),
            (peer, _) => {
                let at = peer.map_or(0, |peer| peer.span().start);
                Err(self.fault(at, "expected either `peer` or `built` under [obtain]".into()))
            }
        }
    }

    fn does(&self, form: WorkForm) -> Result<Does, Fault> {
        let beside = self.path.parent().unwrap_or(Path::new(""));
        let file = |name: Spanned<String>| {
            let path = beside.join(name.get_ref());
            let text = fs::read_to_string(&path).map_err(|error| {
                self.fault(name.span().start, format!("cannot read the template {}: {error}", path.display()))
            })?;
            let base = path.file_name().and_then(|base| base.to_str()).unwrap_or("config").to_owned();
            Ok((base, Template::parse(&text, &path)?))
        };
        Ok(Does {
            files: form.files.into_iter().map(file).collect::<Result<_, Fault>>()?,
            arguments: self.all(&form.arguments)?,
            values: self.named(form.values)?,
        })
    }

    /// A string of this file that holds placeholders.
    fn inline(&self, text: &Spanned<String>) -> Result<Template, Fault> {
        Template::parse_at(text.get_ref(), &template::place(self.path, self.text, text.span().start))
    }

    fn all(&self, texts: &[Spanned<String>]) -> Result<Vec<Template>, Fault> {
        texts.iter().map(|text| self.inline(text)).collect()
    }

    fn named(&self, texts: BTreeMap<String, Spanned<String>>) -> Result<Vec<(String, Template)>, Fault> {
        texts.into_iter().map(|(name, text)| Ok((name, self.inline(&text)?))).collect()
    }
}
