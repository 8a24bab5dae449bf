//! Small phrases: lists, durations, proofs.

use policy::binding::Bindings;
use policy::model::{Identity, Proofs, Subject};

/// Names in a list before "and 3 more".
const LISTED_MAX: usize = 8;

/// `"a", "b" and 3 more`; `none` for an empty list.
pub(crate) fn list<T: std::fmt::Display>(items: impl ExactSizeIterator<Item = T>) -> String {
    let count = items.len();
    let mut shown: Vec<String> = items.take(LISTED_MAX).map(|item| format!("\"{item}\"")).collect();
    match count.saturating_sub(LISTED_MAX) {
        0 if count == 0 => "none".to_owned(),
        0 => joined(&mut shown),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn joined(shown: &mut Vec<String>) -> String {
    match shown.pop() {
        Some(last) if shown.is_empty() => last,
        Some(last) => format!("{} and {last}", shown.join(", ")),
        None => String::new(),
    }
}

/// `1 time`, `2 times`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A duration with two parts at most: `320 ms`, `12.5 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. Rounded up, so that
/// whoever waits that long does not wait in vain.
pub(crate) fn duration(ns: u64) -> String {
    const MS: u64 = 1_000_000;
    const S: u64 = 1_000 * MS;
    let two = |first: u64, first_unit: &str, second: u64, second_unit: &str| match second {
        0 => format!("{first} {first_unit}"),
        second => format!("{first} {first_unit} {second} {second_unit}"),
    };
    match ns {
        0 => "no time".to_owned(),
        1..S => format!("{} ms", ns.div_ceil(MS)),
        S..60_000_000_000 => {
            let tenths = ns.div_ceil(S / 10);
            if tenths.is_multiple_of(10) {
                format!("{} s", tenths / 10)
            } else {
                format!("{}.{} s", tenths / 10, tenths % 10)
            }
        }
        _ => {
            let seconds = ns.div_ceil(S);
            match seconds {
                0..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
                3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
                _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
            }
        }
    }
}

/// An alternative: all that it needs together.
pub(crate) fn alternative(identity: &Identity) -> String {
    match identity {
        Identity::Anonymous => "nothing (it stands for every caller)".to_owned(),
        Identity::Proofs(proofs) => phrases(proofs).join(" and "),
    }
}

/// Each proof of a set as a phrase.
pub(crate) fn phrases(proofs: &Proofs) -> Vec<String> {
    let certificate =
        proofs.certificate.as_ref().map(|proof| format!("a certificate {} under CA \"{}\"", proof.name, proof.ca));
    let token = proofs.token.as_ref().map(|proof| {
        let bound = bound(proof.bound.into());
        match &proof.subject {
            Subject::Exactly(subject) => format!("a token of \"{}\" for \"{subject}\"{bound}", proof.issuer),
            Subject::AnyBut(_) => format!("a token of \"{}\" for any subject that nobody else is{bound}", proof.issuer),
        }
    });
    let key = match proofs.api_keys.as_slice() {
        [] => None,
        [one] => Some(format!("API key \"{one}\"")),
        several => Some(format!("one of the API keys {}", list(several.iter()))),
    };
    [certificate, token, key].into_iter().flatten().collect()
}

/// What a token is bound to, to follow the token.
pub(crate) fn bound(bound: Bindings) -> &'static str {
    match bound {
        Bindings::CERTIFICATE => ", bound to a certificate",
        Bindings::DPOP => ", bound to a DPoP key",
        Bindings::NONE => "",
        _ => ", bound to a certificate and a DPoP key",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_never_too_short() {
        let cases = [
            (0, "no time"),
            (1, "1 ms"),
            (999_000_001, "1000 ms"),
            (1_000_000_000, "1 s"),
            (1_200_000_001, "1.3 s"),
            (59_999_999_999, "60 s"),
            (60_000_000_000, "1 min"),
            (61_000_000_000, "1 min 1 s"),
            (7_500_000_000_000, "2 h 5 min"),
            (90_000_000_000_000, "1 d 1 h"),
        ];
        for (ns, expected) in cases {
            assert_eq!(duration(ns), expected);
        }
    }

    #[test]
    fn lists_end() {
        assert_eq!(list(Vec::<String>::new().iter()), "none");
        assert_eq!(list(["a", "b", "c"].iter()), "\"a\", \"b\" and \"c\"");
        assert!(list((0..8).collect::<Vec<_>>().iter()).ends_with("\"6\" and \"7\""));
        assert!(list((0..9).collect::<Vec<_>>().iter()).ends_with("\"7\" and 1 more"));
    }
}
