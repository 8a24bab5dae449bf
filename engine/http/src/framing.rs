//! The part of the gate that both directions share: Content-Length, Transfer-Encoding and Connection are gathered
//! field by field, and what does not fit together is refused (RFC 9112 §6.3, §11.2).

use crate::bounds::CONNECTION_OPTIONS_MAX;
use crate::fault::Fault;
use crate::name::{Name, recognise};
use crate::text::{list, trim};

/// What the `Transfer-Encoding` fields say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Coding {
    #[default]
    None,
    Chunked,
    /// A well-formed list that ends in `chunked`, with other codings before it: unambiguous, but not served.
    NotServed,
    /// Anything else: nobody knows where such a message ends.
    Invalid,
}

/// What the `Connection` fields say (RFC 9110 §7.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    pub te: bool,
    /// Names other fields, which are then hop-by-hop.
    pub listed: bool,
    /// Names a field that the gateway itself decides from.
    pub hides: bool,
    count: usize,
}

/// What has been seen of a message's framing so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gathered {
    pub length: Option<u64>,
    pub coding: Coding,
    pub options: Options,
}

impl Gathered {
    /// A `Content-Length` of a request: once, decimal digits alone.
    #[inline]
    pub(crate) fn request_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.length.is_some() {
            return Err(Fault::ContentLength);
        }
        self.length = Some(decimal(value).ok_or(Fault::ContentLength)?);
        Ok(())
    }

    /// A `Content-Length` of a response: repeated equal values count once (RFC 9112 §6.3), because origins behind
    /// careless intermediaries send them and they are not ambiguous.
    pub(crate) fn response_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        for part in value.split(|byte| *byte == b',') {
            let length = decimal(trim(part)).ok_or(Fault::ContentLength)?;
            if self.length.is_some_and(|earlier| earlier != length) {
                return Err(Fault::ContentLength);
            }
            self.length = Some(length);
        }
        Ok(())
    }

    /// A `Transfer-Encoding` field.
    pub(crate) fn transfer_encoding(&mut self, value: &[u8]) {
        self.coding = match self.coding {
            Coding::None if value.eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
            Coding::None if ends_in_chunked(value) => Coding::NotServed,
            _ => Coding::Invalid,
        };
    }

    /// Framing of a message that may have content: `None` where neither field stands.
    pub(crate) fn coded(&self, http10: bool) -> Result<Option<Coded>, Fault> {
        match (self.coding, self.length) {
            (Coding::None, None) => Ok(None),
            (Coding::None, Some(length)) => Ok(Some(Coded::Length(length))),
            (_, Some(_)) => Err(Fault::LengthAndCoding),
            _ if http10 => Err(Fault::TransferCodingInHttp10),
            (Coding::Chunked, None) => Ok(Some(Coded::Chunked)),
            (Coding::NotServed, None) => Err(Fault::TransferCodingNotServed),
            (Coding::Invalid, None) => Err(Fault::TransferCoding),
        }
    }

    /// A `Connection` field.
    pub(crate) fn connection(&mut self, value: &[u8]) -> Result<(), Fault> {
        let options = &mut self.options;
        for option in list(value) {
            options.count += 1;
            if options.count > CONNECTION_OPTIONS_MAX || !option.iter().all(|byte| is_token_byte(*byte)) {
                return Err(Fault::Connection);
            }
            match option.len() {
                2 if option.eq_ignore_ascii_case(b"te") => options.te = true,
                5 if option.eq_ignore_ascii_case(b"close") => options.close = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => options.upgrade = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
                _ => {
                    options.listed = true;
                    options.hides |= matches!(
                        recognise(option),
                        Name::Host
                            | Name::ContentLength
                            | Name::TransferEncoding
                            | Name::Authorization
                            | Name::ApiKey
                            | Name::Dpop
                            | Name::Expect
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether the connection may carry another message (RFC 9112 §9.3).
    pub(crate) fn keep_alive(&self, http10: bool) -> bool {
        !self.options.close && (!http10 || self.options.keep_alive)
    }
}

/// Framing that the fields alone give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coded {
    Length(u64),
    Chunked,
}

/// `1*DIGIT` without leading zeros (some parsers read those as octal), at most 19 digits and within `u64`.
#[inline]
pub(crate) fn decimal(value: &[u8]) -> Option<u64> {
    match value {
        [] | [b'0', _, ..] => None,
        _ if value.len() > 19 => None,
        _ => value.iter().try_fold(0_u64, |number, byte| {
            byte.is_ascii_digit().then(|| number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))).flatten()
        }),
    }
}

/// Whether `value` is a list of coding names of which only the last is `chunked`.
fn ends_in_chunked(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b',').map(trim);
    let last = parts.next_back().is_some_and(|part| part.eq_ignore_ascii_case(b"chunked"));
    last && parts.all(|part| {
        !part.is_empty() && !part.eq_ignore_ascii_case(b"chunked") && part.iter().all(|byte| is_token_byte(*byte))
    })
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_plain_decimals() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        for text in ["", "00", "05", "+5", "-0", "5 ", "0x5", "1_0", "5,5", "18446744073709551616", "\u{661}"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn only_equal_lengths_of_a_response_may_repeat() {
        let mut gathered = Gathered::default();
        assert_eq!(gathered.response_length(b"5, 5"), Ok(()));
        assert_eq!(gathered.response_length(b"5"), Ok(()));
        assert_eq!(gathered.length, Some(5));
        assert_eq!(gathered.response_length(b"6"), Err(Fault::ContentLength));
        assert_eq!(Gathered::default().response_length(b"5,"), Err(Fault::ContentLength));
    }

    #[test]
    fn transfer_codings() {
        let coding = |values: &[&str]| {
            let mut gathered = Gathered::default();
            values.iter().for_each(|value| gathered.transfer_encoding(value.as_bytes()));
            gathered.coding
        };
        assert_eq!(coding(&["Chunked"]), Coding::Chunked);
        assert_eq!(coding(&["gzip, chunked"]), Coding::NotServed);
        for values in [
            &["chunked", "chunked"][..],
            &["gzip", "chunked"],
            &["chunked, chunked"],
            &["chunked, gzip"],
            &["gzip"],
            &[""],
            &[",chunked"],
            &["chunked,"],
            &["xchunked"],
            &["chunked;a=b"],
            &["\"chunked\""],
            &["ch\u{fc}nked"],
        ] {
            assert_eq!(coding(values), Coding::Invalid, "{values:?}");
        }
    }

    #[test]
    fn connection_options_are_bounded_tokens() {
        let mut gathered = Gathered::default();
        assert_eq!(gathered.connection(b"Close, , TE,x-hop"), Ok(()));
        let options = gathered.options;
        assert!(options.close && options.te && options.listed && !options.keep_alive && !options.hides);
        assert_eq!(gathered.connection(b"a b"), Err(Fault::Connection));
        let full = ["a"; CONNECTION_OPTIONS_MAX].join(",");
        assert_eq!(Gathered::default().connection(full.as_bytes()), Ok(()));
        assert_eq!(Gathered::default().connection(format!("{full},a").as_bytes()), Err(Fault::Connection));
        let mut hiding = Gathered::default();
        assert_eq!(hiding.connection(b"Content_Length"), Ok(()));
        assert!(!hiding.options.hides);
        assert_eq!(hiding.connection(b"content-Length"), Ok(()));
        assert!(hiding.options.hides);
    }
}
