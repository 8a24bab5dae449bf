//! Walks the TOML tree: tables with known keys, and values of one type, each with its place.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::forms::Flaw;
use crate::reading::Reading;
use crate::suggest::list;

pub(crate) type Value<'d> = Spanned<DeValue<'d>>;

/// Keys that later versions of the language will have.
pub(crate) const RESERVED: &[(&str, &str)] = &[
    ("timeout", "time limits stand in gateway.toml"),
    ("body_max", "the bound of content stands in gateway.toml"),
    ("cidr", "agents are identified by proofs, not by address"),
    ("allow_from", "agents are identified by proofs, not by address"),
    ("rewrite", "what was matched is what is forwarded"),
    ("strip_prefix", "what was matched is what is forwarded"),
    ("health_check", "failed addresses are set aside for a while on their own"),
    ("max_concurrency", "limit the rate of requests with `limits` on the agent"),
    ("cors", "the origin answers for its own cross-origin rules"),
    ("protocol", "origins are spoken to in HTTP/1.1"),
    ("headers", "routes match host, method and path"),
    ("mirror", "requests go to one origin"),
    ("limits", "limits belong to agents"),
];

/// A string of the source with its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'d> {
    pub value: &'d str,
    pub span: Span,
}

/// One table of the source.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'d> {
    table: &'d DeTable<'d>,
    /// The header, or the whole inline table.
    pub span: Span,
    /// What to call it, e.g. "[[route]]".
    what: &'static str,
}

impl<'d> Fields<'d> {
    /// Takes a table; reports keys that are not among `known`.
    pub(crate) fn new(
        table: &'d DeTable<'d>,
        span: Span,
        what: &'static str,
        known: &'static [&'static str],
        reading: &mut Reading<'d, '_>,
    ) -> Self {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            reading.unknown_key(key.get_ref(), key.span().into(), what, known);
        }
        Self { table, span, what }
    }

    /// Takes a value that must be a table.
    pub(crate) fn of_value(
        value: &'d Value<'d>,
        what: &'static str,
        known: &'static [&'static str],
        example: &str,
        reading: &mut Reading<'d, '_>,
    ) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::new(table, value.span().into(), what, known, reading)),
            _ => {
                reading.wrong_type(value, "a table", Some(format!("write `{example}`")));
                None
            }
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'d Value<'d>> {
        self.table.get(key)
    }

    /// The place of a key's name.
    pub(crate) fn key_span(&self, key: &str) -> Span {
        self.table.get_key_value(key).map_or(self.span, |(key, _)| key.span().into())
    }

    /// A value that must stand there; `example` shows how.
    pub(crate) fn required(&self, key: &str, example: &str, reading: &mut Reading<'d, '_>) -> Option<&'d Value<'d>> {
        let value = self.get(key);
        if value.is_none() {
            let message = format!("{} has no `{key}`", self.what);
            let missing = Diagnostic::new(codes::MISSING_KEY, self.span, message);
            reading.sink.push(missing.label(format!("`{key}` is missing")).hint(format!("add `{example}`")));
        }
        value
    }
}

impl<'d> Reading<'d, '_> {
    fn unknown_key(&mut self, key: &str, span: Span, what: &str, known: &'static [&'static str]) {
        if let Some((_, instead)) = RESERVED.iter().find(|(name, _)| *name == key) {
            let message = format!("`{key}` in {what} is not in this version");
            let diagnostic = Diagnostic::new(codes::RESERVED_KEY, span, message).label("reserved");
            self.sink.push(diagnostic.hint(format!("remove it: {instead}")));
            return;
        }
        let hint = match key {
            "version" | "parent" => "the version and the parent are arguments of `adamant release build`".to_owned(),
            "secret" | "secrets" | "password" => "secrets never stand in a policy".to_owned(),
            _ => match self.suggest.nearest(key, known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => list(known.iter().copied()).map(|known| format!("{what} has {known}")).unwrap_or_default(),
            },
        };
        let diagnostic = Diagnostic::new(codes::UNKNOWN_KEY, span, format!("unknown key `{}` in {what}", shown(key)));
        self.sink.push(diagnostic.label("no such key here").hint(hint));
    }

    pub(crate) fn wrong_type(&mut self, value: &Value<'_>, expected: &str, hint: Option<String>) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date-time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("expected {expected}, found {found}");
        let diagnostic = Diagnostic::new(codes::WRONG_TYPE, value.span().into(), message);
        self.sink.push(diagnostic.label(format!("this is {found}")).hint_maybe(hint));
    }

    pub(crate) fn string(&mut self, value: &'d Value<'d>, bytes_max: usize) -> Option<Text<'d>> {
        let span = Span::from(value.span());
        let DeValue::String(string) = value.get_ref() else {
            let hint = match value.get_ref() {
                DeValue::Integer(number) => Some(format!("write `\"{}\"`", shown(number.as_str()))),
                DeValue::Boolean(truth) => Some(format!("write `\"{truth}\"`")),
                DeValue::Array(_) => Some("write one string, without brackets".to_owned()),
                _ => None,
            };
            self.wrong_type(value, "a string", hint);
            return None;
        };
        if string.len() > bytes_max {
            let message = format!("a text of {} bytes, the most is {bytes_max}", string.len());
            self.sink.push(Diagnostic::new(codes::TOO_LONG, span, message).label("too long"));
            return None;
        }
        Some(Text { value: string, span })
    }

    /// A string that must not be empty nor hold control characters, nor any that turn the direction of text.
    pub(crate) fn filled_string(&mut self, value: &'d Value<'d>, bytes_max: usize) -> Option<Text<'d>> {
        let text = self.string(value, bytes_max)?;
        if text.value.trim().is_empty() || text.value.contains(policy::text::is_harmful) {
            let message = "expected a text that is not empty and has no control characters";
            self.sink.push(Diagnostic::new(codes::EMPTY_TEXT, text.span, message).label("nothing to compare with"));
            return None;
        }
        Some(text)
    }

    pub(crate) fn boolean(&mut self, value: &'d Value<'d>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            DeValue::String(text) if matches!(text.as_ref(), "true" | "false") => {
                self.wrong_type(value, "a boolean", Some(format!("write `{text}` without quotes")));
                None
            }
            _ => {
                self.wrong_type(value, "a boolean", Some("write `true` or `false`".to_owned()));
                None
            }
        }
    }

    pub(crate) fn integer(&mut self, value: &'d Value<'d>, min: u32, max: u32) -> Option<u32> {
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(value, "an integer", None);
            return None;
        };
        let number = i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(i64::MAX);
        let fits = u32::try_from(number).ok().filter(|number| (min..=max).contains(number));
        if fits.is_none() {
            let message = format!("expected a number from {min} to {max}");
            let diagnostic = Diagnostic::new(codes::OUT_OF_RANGE, value.span().into(), message);
            let hint =
                if number < i64::from(min) { format!("write {min} or more") } else { format!("write {max} or less") };
            self.sink.push(diagnostic.label("out of range").hint(hint));
        }
        fits
    }

    /// A list; says so when it is empty or longer than `most`.
    pub(crate) fn items(&mut self, value: &'d Value<'d>, what: &str, most: usize) -> Option<&'d [Value<'d>]> {
        let DeValue::Array(items) = value.get_ref() else {
            let hint = match value.get_ref() {
                DeValue::String(text) => Some(format!("write `[\"{}\"]`", shown(text))),
                DeValue::Table(_) => Some("write `[{ … }]`".to_owned()),
                _ => None,
            };
            self.wrong_type(value, "a list", hint);
            return None;
        };
        let span = value.span().into();
        if items.is_empty() {
            let message = format!("expected at least one {what}");
            self.sink.push(Diagnostic::new(codes::EMPTY_LIST, span, message).label("empty"));
            return None;
        }
        if items.len() > most {
            let message = format!("{} entries, the most is {most}", items.len());
            self.sink.push(Diagnostic::new(codes::TOO_MANY, span, message).label("too many"));
            return None;
        }
        Some(items)
    }

    /// A list of strings, each named once. An entry that is wrong is reported and makes the whole list none.
    pub(crate) fn strings(
        &mut self,
        value: &'d Value<'d>,
        what: &str,
        most: usize,
        bytes_max: usize,
    ) -> Option<Vec<Text<'d>>> {
        let items = self.items(value, what, most)?;
        let texts: Vec<Option<Text<'d>>> = items.iter().map(|item| self.filled_string(item, bytes_max)).collect();
        let texts: Vec<Text<'d>> = texts.into_iter().collect::<Option<_>>()?;
        Some(self.once_each(texts))
    }

    /// Warns of entries that stand twice, and drops them.
    pub(crate) fn once_each(&mut self, texts: Vec<Text<'d>>) -> Vec<Text<'d>> {
        let mut seen = std::collections::HashMap::with_capacity(texts.len());
        let mut kept = Vec::with_capacity(texts.len());
        for text in texts {
            match seen.get(text.value) {
                None => {
                    seen.insert(text.value, text.span);
                    kept.push(text);
                }
                Some(first) => {
                    let message = format!("`{}` stands twice in this list", shown(text.value));
                    let diagnostic = Diagnostic::new(codes::REPEATED_ITEM, text.span, message).label("again");
                    self.sink.push(diagnostic.related(*first, "first here").hint("remove one"));
                }
            }
        }
        kept
    }

    /// One of a few words.
    pub(crate) fn one_of<T: Copy>(&mut self, value: &'d Value<'d>, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.string(value, usize::MAX)?;
        let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let names = || words.iter().map(|(word, _)| *word);
            let hint = match self.suggest.nearest(text.value, names()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("it is one of {}", list(names()).unwrap_or_default()),
            };
            let message = format!("unknown value `{}`", shown(text.value));
            self.sink.push(Diagnostic::new(codes::UNKNOWN_VALUE, text.span, message).label("not known").hint(hint));
        }
        found
    }

    /// Unwraps a parsed form, or reports its flaw inside the string.
    pub(crate) fn form<T>(&mut self, text: Text<'_>, parsed: Result<T, Flaw>) -> Option<T> {
        let flaw = match parsed {
            Ok(value) => return Some(value),
            Err(flaw) => flaw,
        };
        let span = flaw.at.map_or(text.span, |at| self.inside(text, at));
        let diagnostic = Diagnostic::new(flaw.code, span, flaw.message);
        self.sink.push(diagnostic.label(flaw.label).hint_maybe(flaw.hint));
        None
    }

    /// The place of a part of a string, when the string is written as it reads; else the whole string.
    pub(crate) fn inside(&self, text: Text<'_>, at: std::ops::Range<usize>) -> Span {
        let start = text.span.start + 1;
        let verbatim = self.text.get(start..text.span.end.saturating_sub(1)) == Some(text.value);
        let part = Span { start: start + at.start, end: start + at.end };
        if verbatim && text.value.get(at).is_some() { part } else { text.span }
    }
}

/// Text from the source as it may stand in a message: short, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    let mut shown: String =
        text.chars().take(SHOWN_CHARS_MAX).map(|c| if is_harmless(c) { c } else { '\u{fffd}' }).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether a terminal only prints the character: no control, no change of direction, nothing invisible.
pub(crate) fn is_harmless(c: char) -> bool {
    let is_invisible =
        matches!(c, '\u{200b}'..='\u{200d}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !policy::text::is_harmful(c) && !is_invisible
}
