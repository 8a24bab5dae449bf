//! Small values in words, and where a mistake stands.

use std::fmt::Display;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use toml::Spanned;

use crate::failure::Failure;
use crate::load::Reuse;

pub type Span = Range<usize>;

/// A file and its text.
pub struct Place<'p> {
    pub file: &'p Path,
    pub text: &'p str,
}

impl Place<'_> {
    /// A mistake at this place, as `file:line:column: message`.
    pub fn at(&self, span: Span, message: &dyn Display) -> Failure {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Failure::Subject(format!("{}:{line}:{column}: {message}", self.file.display()))
    }

    pub fn of_toml(&self, error: &toml::de::Error) -> Failure {
        // Serde names the types of the program; readers know those of TOML.
        let mut message = error.message().to_owned();
        for (ours, theirs) in [("f64", "a number"), ("i64", "a whole number"), ("u64", "a whole number")]
            .into_iter()
            .chain([("u16", "a whole number"), ("usize", "a whole number")])
        {
            message = message.replace(&format!("expected {ours}"), &format!("expected {theirs}"));
        }
        self.at(error.span().unwrap_or(0..0), &message)
    }

    /// The text of a file that is named in this one.
    pub fn read_beside(&self, named: &Spanned<PathBuf>) -> Result<String, Failure> {
        let path = self.file.parent().unwrap_or_else(|| Path::new("")).join(named.get_ref());
        fs::read_to_string(&path).map_err(|error| self.at(named.span(), &format!("{}: {error}", path.display())))
    }
}

/// `250ms`, `5s`, `2m`; not zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a duration such as 250ms, 5s or 2m, found {text:?}");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        _ => None,
    };
    let milliseconds = milliseconds.filter(|some| (1..=86_400_000).contains(some)).ok_or_else(wrong)?;
    Ok(Duration::from_millis(milliseconds))
}

/// `keep-alive`, `new` or the number of requests of a connection.
pub fn reuse(text: &str) -> Result<Reuse, String> {
    match (text, text.parse()) {
        ("keep-alive", _) => Ok(Reuse::KeepAlive),
        ("new", _) | (_, Ok(1)) => Ok(Reuse::NewEach),
        (_, Ok(count @ 2..)) => Ok(Reuse::Every(count)),
        _ => Err(format!("expected keep-alive, new, or how many requests a connection serves, found {text:?}")),
    }
}

/// A field line that cannot break out of its head.
pub fn check_field(line: &str) -> Result<(), String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match line.split_once(':') {
        Some((name, value))
            if !name.is_empty()
                && name.chars().all(token)
                && !value.contains(|c: char| c.is_control() && c != '\t') =>
        {
            Ok(())
        }
        _ => Err(format!("expected a field like `Name: value`, found {line:?}")),
    }
}

#[derive(Clone, Copy)]
pub struct Positive(pub usize);

#[derive(Clone, Copy)]
pub struct Time(pub Duration);

#[derive(Clone, Copy)]
pub struct Rate(pub f64);

#[derive(Clone, Copy)]
pub struct Reused(pub Reuse);

impl Default for Reused {
    fn default() -> Self {
        Self(Reuse::KeepAlive)
    }
}

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match i64::deserialize(deserializer)? {
            number @ 1..=1_000_000_000 => Ok(Self(usize::try_from(number).unwrap_or(usize::MAX))),
            other => Err(D::Error::custom(format!("expected a whole number from 1 to a billion, found {other}"))),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rate = f64::deserialize(deserializer)?;
        if rate.is_finite() && rate > 0.0 && rate <= 1e8 {
            return Ok(Self(rate));
        }
        Err(D::Error::custom(format!("expected a rate above 0 requests a second, found {rate}")))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration(&String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Reused {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = Reused;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("\"keep-alive\", \"new\", or how many requests a connection serves")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Reused, E> {
                reuse(text).map(Reused).map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, count: i64) -> Result<Reused, E> {
                reuse(&count.to_string()).map(Reused).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Word)
    }
}
