//! What an origin gets with every request in place of the agents' credentials: a whole field line, made once.

use http1::{Fault, Injected, write_injected};
use policy::reason::Reason;
use zeroize::Zeroizing;

/// A field with a secret of the gateway. Has no `Debug`: it is shown to nobody.
#[derive(PartialEq, Eq)]
pub struct Injection {
    folded: Vec<u8>,
    line: Zeroizing<Vec<u8>>,
    /// Nothing goes to the origin from then on, nanoseconds since the Unix epoch; none where it has no end.
    ends_unix_ns: Option<u64>,
    missing: Reason,
}

impl Injection {
    /// # Errors
    /// As [`write_injected`].
    pub fn new(name: &[u8], value: &[u8]) -> Result<Self, Fault> {
        let mut folded = Vec::with_capacity(name.len());
        // Large enough from the start: what grows leaves copies behind.
        let mut line = Zeroizing::new(Vec::with_capacity(name.len() + value.len() + 4));
        write_injected(name, value, &mut folded, &mut line)?;
        Ok(Self { folded, line, ends_unix_ns: None, missing: Reason::OriginCredentialMissing })
    }

    /// The same, good until then.
    #[must_use]
    pub fn until(self, ends_unix_ns: Option<u64>) -> Self {
        Self { ends_unix_ns, ..self }
    }

    /// In the place of what is not there: good at no time, by this reason.
    pub fn awaited(missing: Reason) -> Self {
        Self { folded: Vec::new(), line: Zeroizing::default(), ends_unix_ns: Some(0), missing }
    }

    /// Whether it is good now; the clock is read only where that matters.
    pub fn is_good(&self, now_unix_ns: impl FnOnce() -> u64) -> bool {
        self.ends_unix_ns.is_none_or(|ends_unix_ns| now_unix_ns() < ends_unix_ns)
    }

    /// Why nothing goes to the origin while it is not good.
    pub const fn missing(&self) -> Reason {
        self.missing
    }

    /// As the writer of heads takes it.
    pub fn field(&self) -> Injected<'_> {
        Injected { folded: &self.folded, line: &self.line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_good_until_it_ends_and_one_that_is_awaited_never() {
        let of = |ends| Injection::new(b"x-key", b"s3cr3t").unwrap().until(ends);
        assert!(of(None).is_good(|| u64::MAX));
        assert!(of(Some(10)).is_good(|| 9) && !of(Some(10)).is_good(|| 10));
        let awaited = Injection::awaited(Reason::OriginIdentityMissing);
        assert!(!awaited.is_good(|| 0) && awaited.missing() == Reason::OriginIdentityMissing);
        assert_eq!(of(Some(10)).missing(), Reason::OriginCredentialMissing);
        assert!(of(Some(10)) != of(Some(11)), "an origin whose credential lasts longer is another one");
    }
}
