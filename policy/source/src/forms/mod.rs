//! The small grammars inside strings: names, hosts, paths, limits … Each is parsed into its meaning or a flaw.

pub(crate) mod address;
pub(crate) mod certificate;
pub(crate) mod duration;
pub(crate) mod field;
pub(crate) mod host;
pub(crate) mod instant;
pub(crate) mod limit;
pub(crate) mod method;
pub(crate) mod name;
pub(crate) mod path;
pub(crate) mod request;
pub(crate) mod url;

use std::ops::Range;

use crate::codes::Code;

/// What is wrong inside a string.
#[derive(Clone, Debug)]
pub(crate) struct Flaw {
    pub code: &'static Code,
    /// Bytes of the string; none for all of it.
    pub at: Option<Range<usize>>,
    pub message: String,
    pub label: &'static str,
    pub hint: Option<String>,
}

impl Flaw {
    pub(crate) fn new(code: &'static Code, message: impl Into<String>) -> Self {
        Self { code, at: None, message: message.into(), label: "", hint: None }
    }

    pub(crate) fn at(mut self, range: Range<usize>) -> Self {
        self.at = Some(range);
        self
    }

    pub(crate) fn label(mut self, label: &'static str) -> Self {
        self.label = label;
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The first character that is not admitted, as a range of bytes.
pub(crate) fn first_not(text: &str, admitted: impl Fn(char) -> bool) -> Option<Range<usize>> {
    text.char_indices().find(|(_, c)| !admitted(*c)).map(|(at, c)| at..at + c.len_utf8())
}

#[cfg(test)]
mod tests;
