//! Keys that an issuer took away: for a while their names stand for nothing else, whoever tries that. Pure: times are
//! arguments, in milliseconds since the Unix epoch.

use identity::token::{Keyset, Thumbprint};

use crate::bounds::GONE_KIDS_MAX;

/// Of one issuer.
#[derive(Debug, Default)]
pub struct Gone {
    /// Gone first first.
    keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub kid: Box<str>,
    pub thumbprint: Thumbprint,
    /// When it was there last.
    pub seen_ms: u64,
}

impl Gone {
    /// Those that were kept.
    pub fn of(keys: impl Iterator<Item = Key>) -> Self {
        Self { keys: keys.take(GONE_KIDS_MAX).collect() }
    }

    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The clock was put back, to `now_ms`: what was seen later than that counts as seen now.
    pub fn put_back(&mut self, now_ms: u64) {
        self.keys.iter_mut().for_each(|key| key.seen_ms = key.seen_ms.min(now_ms));
    }

    /// A `kid` of `next` that stood for another key, which was last seen less than `within_ms` ago.
    pub fn reused<'k>(&self, next: &'k Keyset, now_ms: u64, within_ms: u64) -> Option<&'k str> {
        let remembered = |gone: &&Key| now_ms.abs_diff(gone.seen_ms) < within_ms;
        let is_other = |gone: &Key, kid: &str, of: Thumbprint| *gone.kid == *kid && gone.thumbprint != of;
        let mut kids = next.keys().iter().filter_map(|key| Some((key.kid()?, key.thumbprint())));
        let reused = kids.find(|(kid, of)| self.keys.iter().filter(remembered).any(|gone| is_other(gone, kid, *of)));
        reused.map(|(kid, _)| kid)
    }

    /// `next` takes the place of `before`, which was last seen at `seen_ms`.
    pub fn note(&mut self, before: &Keyset, next: &Keyset, seen_ms: u64) {
        let is_there = |kid: &str| next.keys().iter().any(|key| key.kid() == Some(kid));
        self.keys.retain(|gone| !is_there(&gone.kid));
        for key in before.keys() {
            let Some(kid) = key.kid().filter(|kid| !is_there(kid)) else { continue };
            // The same key of several algorithms stands there once for each.
            self.keys.retain(|gone| *gone.kid != *kid);
            self.keys.push(Key { kid: kid.into(), thumbprint: key.thumbprint(), seen_ms });
        }
        self.keys.drain(..self.keys.len().saturating_sub(GONE_KIDS_MAX));
    }
}

#[cfg(test)]
mod tests {
    use policy::model::Algorithm;

    use super::*;

    const T: u64 = 1_800_000_000_000;

    /// Keys of these names; what follows a `/` tells one key from another.
    fn set(names: &[String]) -> Keyset {
        let key = |name: &String| {
            let (kid, secret) = name.split_once('/').unwrap_or((name, name));
            let secret: String = secret.bytes().chain(std::iter::repeat_n(b'A', 60)).take(60).map(char::from).collect();
            format!(r#"{{"kty":"oct","alg":"HS256","kid":"{kid}","k":"{secret}"}}"#)
        };
        let keys: Vec<String> = names.iter().map(key).collect();
        Keyset::from_jwks(&format!(r#"{{"keys":[{}]}}"#, keys.join(",")), &[Algorithm::HS256]).unwrap()
    }

    fn of(names: &str) -> Keyset {
        set(&names.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_that_is_gone_stands_for_the_key_that_it_stood_for() {
        let mut gone = Gone::default();
        gone.note(&of("k1 k2"), &of("k2 k3"), T);
        let reused = |names: &str, now_ms| gone.reused(&of(names), now_ms, 60_000).map(str::to_owned);
        assert_eq!(reused("k3 k1/other", T + 59_999), Some("k1".to_owned()));
        assert_eq!(reused("k3 k1", T + 1), None, "the same key comes back");
        assert_eq!(reused("k1/other", T + 60_000), None, "long enough ago");
        assert_eq!(reused("k1/other", T - 60_000), None, "a clock that was put back by more than that");
        assert_eq!(reused("k2/other", T + 1), None, "what is there is no business of this");
        gone.put_back(T + 1);
        assert!(gone.keys.iter().all(|key| key.seen_ms == T), "a step that was taken back changes nothing");
        gone.put_back(T - 100_000);
        let reused = |names: &str, now_ms| gone.reused(&of(names), now_ms, 60_000).map(str::to_owned);
        assert_eq!(reused("k1/other", T - 100_000 + 59_999), Some("k1".to_owned()), "but all that knows of it");
        assert_eq!(reused("k1/other", T - 100_000 + 60_000), None);
        gone.note(&of("k2 k3"), &of("k1"), T + 5);
        assert!(gone.reused(&of("k1/other"), T + 6, 60_000).is_none() && gone.keys.len() == 2, "it is there again");
    }

    #[test]
    fn so_many_are_remembered_and_the_last_of_them() {
        let mut gone = Gone::default();
        let names = |round: usize| (0..50).map(|at| format!("k{round}-{at}")).collect::<Vec<_>>();
        for round in 0..=GONE_KIDS_MAX / 50 {
            gone.note(&set(&names(round)), &set(&names(round + 1)), T);
        }
        assert_eq!(gone.keys.len(), GONE_KIDS_MAX);
        assert_eq!(gone.reused(&of("k0-0/other"), T, 60_000), None, "the first are forgotten");
        let last = format!("k{}-49", GONE_KIDS_MAX / 50);
        assert_eq!(gone.reused(&of(&format!("{last}/other")), T, 60_000), Some(&*last));
    }
}
