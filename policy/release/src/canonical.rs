//! The canonical form of every payload: JSON Canonicalization Scheme (RFC 8785), narrowed.
//!
//! UTF-8 without white space; members sorted by UTF-16 code units, so that none stands twice; the shortest escapes;
//! integers only, of magnitude up to 2^53 − 1, no fraction, exponent or `-0`; member names without escapes; at most
//! [`DEPTH_MAX`] levels. One meaning has one form, so equal sources give equal digests on any machine.
//!
//! [`check`] looks at received bytes in one pass, in constant memory. Nothing is serialised again to compare.

use serde::Serialize;
use serde_json::Value;

use crate::bounds::{DEPTH_MAX, INTEGER_MAX};

/// Why bytes are not a canonical payload. `at` is the byte offset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalFault {
    #[error("expected {expected} at byte {at}; rebuild the payload with `adamant`, do not edit it")]
    Expected { expected: &'static str, at: usize },
    #[error("expected members in ascending order, each once; {name:?} at byte {at} comes after {previous:?}")]
    Order { name: String, previous: String, at: usize },
    #[error("expected at most {DEPTH_MAX} levels of objects and arrays, found more at byte {at}")]
    Depth { at: usize },
    #[error("expected an integer of magnitude at most {INTEGER_MAX}, found a larger one at byte {at}")]
    Integer { at: usize },
    #[error("expected UTF-8, found another byte at {at}")]
    Utf8 { at: usize },
}

/// Why a value has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum WriteFault {
    #[error("expected integers of magnitude at most {INTEGER_MAX}, found {0}")]
    Number(String),
    #[error("expected at most {DEPTH_MAX} levels of objects and arrays")]
    Depth,
    #[error("expected member names without control characters, quotes and backslashes, found {0:?}")]
    Name(String),
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The canonical bytes of `value`.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, WriteFault> {
    let value = serde_json::to_value(value)?;
    let mut out = Vec::new();
    write(&value, 0, &mut out)?;
    Ok(out)
}

fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), WriteFault> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => serde_json::to_writer(&mut *out, value)?,
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if magnitude.is_none_or(|magnitude| magnitude > INTEGER_MAX) {
                return Err(WriteFault::Number(number.to_string()));
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Array(items) => {
            deeper(depth)?;
            for (i, item) in items.iter().enumerate() {
                out.push(if i == 0 { b'[' } else { b',' });
                write(item, depth + 1, out)?;
            }
            out.extend_from_slice(if items.is_empty() { b"[]" } else { b"]" });
        }
        Value::Object(members) => {
            deeper(depth)?;
            // Sorted here whatever the map type: `serde_json/preserve_order` anywhere in the build would change it.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            for (i, (name, item)) in members.iter().enumerate() {
                if name.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
                    return Err(WriteFault::Name((*name).clone()));
                }
                out.push(if i == 0 { b'{' } else { b',' });
                serde_json::to_writer(&mut *out, name)?;
                out.push(b':');
                write(item, depth + 1, out)?;
            }
            out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
        }
    }
    Ok(())
}

fn deeper(depth: usize) -> Result<(), WriteFault> {
    if depth < DEPTH_MAX { Ok(()) } else { Err(WriteFault::Depth) }
}

/// Whether `bytes` are one canonical value and nothing else.
pub fn check(bytes: &[u8]) -> Result<(), CanonicalFault> {
    let text = std::str::from_utf8(bytes).map_err(|error| CanonicalFault::Utf8 { at: error.valid_up_to() })?;
    let mut scan = Scan { text, at: 0 };
    scan.value(0)?;
    if scan.at == bytes.len() { Ok(()) } else { Err(scan.expected("the end")) }
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scan<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, literal: &str) -> bool {
        let found = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(literal.as_bytes()));
        if found {
            self.at += literal.len();
        }
        found
    }

    fn expected(&self, expected: &'static str) -> CanonicalFault {
        CanonicalFault::Expected { expected, at: self.at }
    }

    /// Recursion is bounded by [`DEPTH_MAX`].
    fn value(&mut self, depth: usize) -> Result<(), CanonicalFault> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= DEPTH_MAX => Err(CanonicalFault::Depth { at: self.at }),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.integer(),
            _ if self.take("true") || self.take("false") || self.take("null") => Ok(()),
            _ => Err(self.expected("a value without white space")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), CanonicalFault> {
        self.at += 1;
        if self.take("}") {
            return Ok(());
        }
        let mut previous: Option<&'t str> = None;
        loop {
            let at = self.at;
            let name = self.name()?;
            if let Some(previous) = previous
                && !previous.encode_utf16().lt(name.encode_utf16())
            {
                return Err(CanonicalFault::Order { name: name.into(), previous: previous.into(), at });
            }
            previous = Some(name);
            if !self.take(":") {
                return Err(self.expected("':'"));
            }
            self.value(depth + 1)?;
            if self.take("}") {
                return Ok(());
            }
            if !self.take(",") {
                return Err(self.expected("',' or '}'"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), CanonicalFault> {
        self.at += 1;
        if self.take("]") {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            if self.take("]") {
                return Ok(());
            }
            if !self.take(",") {
                return Err(self.expected("',' or ']'"));
            }
        }
    }

    fn name(&mut self) -> Result<&'t str, CanonicalFault> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a member name"));
        }
        let at = self.at;
        let name = self.string()?;
        if name.contains('\\') {
            return Err(CanonicalFault::Expected { expected: "a member name without escapes", at });
        }
        Ok(name)
    }

    /// What stands between the quotes, escapes as they are.
    fn string(&mut self) -> Result<&'t str, CanonicalFault> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                None | Some(..0x20) => return Err(self.expected("'\"' or a character")),
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => self.at += 1,
            }
        }
        let inside = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(inside)
    }

    /// RFC 8785 §3.2.2.2: two-character escapes where they exist, else `\u00xx` in lower case for control
    /// characters; nothing else is escaped.
    fn escape(&mut self) -> Result<(), CanonicalFault> {
        let rest = self.text.as_bytes().get(self.at + 1..).unwrap_or_default();
        match rest {
            [b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
            [b'u', b'0', b'0', high @ (b'0' | b'1'), low, ..] => {
                let digit = match low {
                    b'0'..=b'9' => low - b'0',
                    b'a'..=b'f' => low - b'a' + 10,
                    _ => return Err(self.expected("a canonical escape")),
                };
                let short = *high == b'0' && matches!(digit, 0x8 | 0x9 | 0xa | 0xc | 0xd);
                if short {
                    return Err(self.expected("the two-character escape"));
                }
                self.at += 6;
            }
            _ => return Err(self.expected("a canonical escape")),
        }
        Ok(())
    }

    fn integer(&mut self) -> Result<(), CanonicalFault> {
        let at = self.at;
        let negative = self.take("-");
        let mut magnitude: u64 = 0;
        let first = self.peek();
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            // Sixteen digits hold INTEGER_MAX; stopping there keeps the sum far from overflow.
            magnitude = magnitude.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            if magnitude > INTEGER_MAX {
                return Err(CanonicalFault::Integer { at });
            }
            self.at += 1;
        }
        let digits = self.at - start;
        if digits == 0 || (first == Some(b'0') && (digits > 1 || negative)) {
            return Err(CanonicalFault::Expected { expected: "an integer in shortest form", at });
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return Err(CanonicalFault::Expected { expected: "an integer without fraction or exponent", at });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
