//! A release of a store, by its digest or the first digits of it.

use std::fmt;
use std::str::FromStr;

use policy_release::digest::Digest;

use super::Store;
use crate::failure::Failure;

/// Hex digits of a digest that are enough where no other release of the store begins with them.
const PREFIX_CHARS_MIN: usize = 8;
/// Hex digits of a whole digest.
const DIGEST_CHARS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Whole(Digest),
    /// Lower-case hex digits.
    Prefix(String),
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex && (PREFIX_CHARS_MIN..DIGEST_CHARS).contains(&digits.len()) {
            return Ok(Self::Prefix(digits.to_owned()));
        }
        let fault = |fault| format!("{fault}; or {PREFIX_CHARS_MIN} of them at least");
        text.parse().map(Self::Whole).map_err(fault)
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(digest) => digest.fmt(f),
            Self::Prefix(digits) => write!(f, "sha256:{digits}…"),
        }
    }
}

impl Named {
    /// The digest; of a prefix, that of the one release of `store` which begins so.
    pub fn find(&self, store: &Store) -> Result<Digest, Failure> {
        let digits = match self {
            Self::Whole(digest) => return Ok(*digest),
            Self::Prefix(digits) => digits,
        };
        let mut all = store.releases()?;
        all.retain(|digest| digest.to_string().trim_start_matches("sha256:").starts_with(digits));
        match all.as_slice() {
            [only] => Ok(*only),
            several => Err(Failure::new(format_args!(
                "expected one release in the store whose digest begins with {digits}, found {}",
                several.len()
            ))
            .help(format_args!("adamant release list {} shows them", store.path().display()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_named_by_its_digest_or_eight_digits_of_it() {
        let digits = "0123456789abcdef".repeat(4);
        let whole = Named::Whole(format!("sha256:{digits}").parse().unwrap());
        assert_eq!(format!("sha256:{digits}").parse(), Ok(whole));
        for prefix in ["01234567", "sha256:01234567", &digits[..63]] {
            let found: Named = prefix.parse().unwrap();
            assert_eq!(found, Named::Prefix(prefix.trim_start_matches("sha256:").to_owned()));
        }
        for wrong in ["", "0123456", "sha256:0123456", "0123456G", &digits.to_uppercase()] {
            assert!(wrong.parse::<Named>().is_err(), "{wrong}");
        }
    }
}
