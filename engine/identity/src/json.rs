//! Strict JSON (RFC 8259) for headers, claims and key sets: borrowed, bounded, no member name twice.
//!
//! A general parser keeps the last of two equal names, or the first; two readers of one token could then see two
//! tokens. Here the second one is a fault, also when it is spelt with escapes. Nested values are checked for grammar
//! and depth, and their own member names when they are opened.

use std::borrow::Cow;

use crate::bounds::{JSON_DEPTH_MAX, JSON_ELEMENTS_MAX, JSON_MEMBERS_MAX};

/// Why a text is not acceptable JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    #[error("expected UTF-8 text, found other bytes")]
    NotUtf8,
    #[error("expected JSON (RFC 8259), found a break of its grammar")]
    Grammar,
    #[error("expected an object at the top, found another value")]
    NotAnObject,
    #[error("expected each member name once, found one twice")]
    DuplicateMember,
    #[error("expected at most {JSON_DEPTH_MAX} levels of nesting, found more")]
    TooDeep,
    #[error("expected at most {JSON_MEMBERS_MAX} members and {JSON_ELEMENTS_MAX} elements, found more")]
    TooMany,
}

/// One value; containers are kept as their text and opened on demand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(&'a str),
    Object(&'a str),
    Array(&'a str),
    Bool(bool),
    Null,
}

/// The members of one object, in order, each name once.
#[derive(Debug)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Members<'a> {
    /// Reads all of `bytes` as one object.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, JsonFault> {
        Self::open(std::str::from_utf8(bytes).map_err(|_| JsonFault::NotUtf8)?)
    }

    /// Reads all of `text` as one object.
    pub(crate) fn open(text: &'a str) -> Result<Self, JsonFault> {
        let mut reader = Reader { text, at: 0 };
        reader.white_space();
        if reader.peek() != Some(b'{') {
            // Not an object, or not JSON at all: the first is told apart for the sake of the message.
            return Err(reader.value(0).map_or_else(|fault| fault, |_| JsonFault::NotAnObject));
        }
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = Vec::with_capacity(12);
        reader.object(0, |name, value| {
            if members.len() >= JSON_MEMBERS_MAX {
                return Err(JsonFault::TooMany);
            }
            if members.iter().any(|(known, _)| *known == name) {
                return Err(JsonFault::DuplicateMember);
            }
            members.push((name, value));
            Ok(())
        })?;
        reader.end()?;
        Ok(Self(members))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}

/// Reads the text of an array (from [`Value::Array`]).
pub(crate) fn elements(text: &str) -> Result<Vec<Value<'_>>, JsonFault> {
    let mut reader = Reader { text, at: 0 };
    let mut elements = Vec::new();
    reader.array(0, |value| {
        if elements.len() >= JSON_ELEMENTS_MAX {
            return Err(JsonFault::TooMany);
        }
        elements.push(value);
        Ok(())
    })?;
    reader.end()?;
    Ok(elements)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonFault> {
        if self.next() == Some(byte) { Ok(()) } else { Err(JsonFault::Grammar) }
    }

    fn white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Result<(), JsonFault> {
        self.white_space();
        if self.peek().is_none() { Ok(()) } else { Err(JsonFault::Grammar) }
    }

    fn since(&self, start: usize) -> Result<&'a str, JsonFault> {
        self.text.get(start..self.at).ok_or(JsonFault::Grammar)
    }

    /// One value; `depth` is the number of containers around it.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonFault> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'{') => {
                self.object(depth, |_, _| Ok(()))?;
                Ok(Value::Object(self.since(start)?))
            }
            Some(b'[') => {
                self.array(depth, |_| Ok(()))?;
                Ok(Value::Array(self.since(start)?))
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Ok(Value::Number(self.since(start)?))
            }
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(JsonFault::Grammar),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, JsonFault> {
        for byte in word.bytes() {
            self.expect(byte)?;
        }
        Ok(value)
    }

    fn object(
        &mut self,
        depth: usize,
        mut each: impl FnMut(Cow<'a, str>, Value<'a>) -> Result<(), JsonFault>,
    ) -> Result<(), JsonFault> {
        self.container(depth, b'{', b'}', |reader| {
            let name = reader.string()?;
            reader.white_space();
            reader.expect(b':')?;
            reader.white_space();
            let value = reader.value(depth + 1)?;
            each(name, value)
        })
    }

    fn array(
        &mut self,
        depth: usize,
        mut each: impl FnMut(Value<'a>) -> Result<(), JsonFault>,
    ) -> Result<(), JsonFault> {
        self.container(depth, b'[', b']', |reader| {
            let value = reader.value(depth + 1)?;
            each(value)
        })
    }

    /// `open`, items separated by commas, `close`.
    fn container(
        &mut self,
        depth: usize,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), JsonFault>,
    ) -> Result<(), JsonFault> {
        if depth >= JSON_DEPTH_MAX {
            return Err(JsonFault::TooDeep);
        }
        self.expect(open)?;
        self.white_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.white_space();
            item(self)?;
            self.white_space();
            match self.next() {
                Some(b',') => {}
                Some(byte) if byte == close => return Ok(()),
                _ => return Err(JsonFault::Grammar),
            }
        }
    }

    fn number(&mut self) -> Result<(), JsonFault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(JsonFault::Grammar) }
    }

    /// A string; borrowed unless it holds escapes.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonFault> {
        self.expect(b'"')?;
        let mut start = self.at;
        let mut owned = String::new();
        loop {
            match self.next().ok_or(JsonFault::Grammar)? {
                b'"' => {
                    let tail = self.text.get(start..self.at - 1).ok_or(JsonFault::Grammar)?;
                    if owned.is_empty() {
                        return Ok(Cow::Borrowed(tail));
                    }
                    owned.push_str(tail);
                    return Ok(Cow::Owned(owned));
                }
                b'\\' => {
                    owned.push_str(self.text.get(start..self.at - 1).ok_or(JsonFault::Grammar)?);
                    owned.push(self.escape()?);
                    start = self.at;
                }
                0..=0x1f => return Err(JsonFault::Grammar),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonFault> {
        Ok(match self.next() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(JsonFault::Grammar),
        })
    }

    /// `XXXX` after `\u`, with the second half of a surrogate pair; a lone surrogate is a fault.
    fn unicode_escape(&mut self) -> Result<char, JsonFault> {
        let first = self.four_hex_digits()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            self.expect(b'\\')?;
            self.expect(b'u')?;
            let second = self.four_hex_digits()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(JsonFault::Grammar);
            }
            0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or(JsonFault::Grammar)
    }

    fn four_hex_digits(&mut self) -> Result<u32, JsonFault> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(JsonFault::Grammar)?;
            code = code * 16 + digit;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests;
