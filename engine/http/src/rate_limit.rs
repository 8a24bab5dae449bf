//! `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10).

use crate::text::{put_decimal, put_structured_string};

/// One limit after a request was charged to it.
#[derive(Clone, Copy, Debug)]
pub struct LimitState<'l> {
    /// Name of the limit.
    pub name: &'l str,
    /// Requests per window.
    pub quota: u32,
    /// Window, seconds.
    pub window_s: u32,
    /// Requests that would be admitted now.
    pub remaining: u32,
    /// Until the limit is fully available again, seconds.
    pub reset_s: u32,
}

/// Appends both fields, one list member a limit; nothing without limits.
pub(crate) fn put_rate_limits(out: &mut Vec<u8>, limits: &[LimitState<'_>]) {
    put_list(out, b"RateLimit-Policy: ", limits, |out, limit| {
        put_parameter(out, b";q=", limit.quota);
        put_parameter(out, b";w=", limit.window_s);
    });
    put_list(out, b"RateLimit: ", limits, |out, limit| {
        put_parameter(out, b";r=", limit.remaining);
        put_parameter(out, b";t=", limit.reset_s);
    });
}

fn put_list(out: &mut Vec<u8>, name: &[u8], limits: &[LimitState<'_>], parameters: fn(&mut Vec<u8>, &LimitState<'_>)) {
    let mut before = name;
    for limit in limits {
        out.extend_from_slice(before);
        put_structured_string(out, limit.name);
        parameters(out, limit);
        before = b", ";
    }
    if !limits.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
}

fn put_parameter(out: &mut Vec<u8>, key: &[u8], value: u32) {
    out.extend_from_slice(key);
    put_decimal(out, u64::from(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_a_limit_and_names_are_quoted() {
        let limit = |name| LimitState { name, quota: 60, window_s: 60, remaining: 5, reset_s: 9 };
        let mut out = Vec::new();
        put_rate_limits(&mut out, &[limit("a"), limit("b\"\r\nX: y")]);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "RateLimit-Policy: \"a\";q=60;w=60, \"b\\\"??X: y\";q=60;w=60\r\n\
             RateLimit: \"a\";r=5;t=9, \"b\\\"??X: y\";r=5;t=9\r\n"
        );
        let mut none = Vec::new();
        put_rate_limits(&mut none, &[]);
        assert!(none.is_empty());
    }
}
