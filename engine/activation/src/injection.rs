//! What an origin gets with every request in place of the agents' credentials: a whole field line, made once.

use http1::{Fault, Injected, write_injected};
use zeroize::Zeroizing;

/// A field with a secret of the gateway. Has no `Debug`: it is shown to nobody.
#[derive(PartialEq, Eq)]
pub struct Injection {
    folded: Vec<u8>,
    line: Zeroizing<Vec<u8>>,
}

impl Injection {
    /// # Errors
    /// As [`write_injected`].
    pub fn new(name: &[u8], value: &[u8]) -> Result<Self, Fault> {
        let mut folded = Vec::with_capacity(name.len());
        // Large enough from the start: what grows leaves copies behind.
        let mut line = Zeroizing::new(Vec::with_capacity(name.len() + value.len() + 4));
        write_injected(name, value, &mut folded, &mut line)?;
        Ok(Self { folded, line })
    }

    /// As the writer of heads takes it.
    pub fn field(&self) -> Injected<'_> {
        Injected { folded: &self.folded, line: &self.line }
    }
}
