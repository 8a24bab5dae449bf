//! Small copyable ids. All but `ProofId`, `TokenProofId` and `LimitIndex` are positions in the policy's lists; each
//! has a meaning only for the table it came from. One that a table does not know is denied, never out of bounds.

use super::format::{Proof, proof_flag, proof_kind};
use crate::binding::Bindings;

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident($of:ty);)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $of);

        impl $name {
            /// Position as an index.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// Position in `policy.agents`.
    AgentId(u32);
    /// Position in `policy.routes`.
    RouteId(u32);
    /// Position in `policy.scopes`.
    ScopeId(u16);
    /// Position in `policy.origins`.
    OriginIndex(u16);
    /// Position in `policy.client_cas`.
    CaIndex(u16);
    /// Position in `policy.issuers`.
    IssuerIndex(u16);
    /// Position in `policy.api_keys`.
    ApiKeyIndex(u32);
    /// A limit, counted through all agents.
    LimitIndex(u32);
}

/// A value that proves something: a certificate name under its CA, a subject of an issuer, an API key. It holds what its
/// record says of whom it proves, so that a request with it reads nothing of that record again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProofId {
    /// Position among the table's proofs.
    pub number: u32,
    /// As `format::Proof` has it.
    pub agent: u32,
    /// Bits of `format::proof_flag`.
    pub flags: u8,
    /// It is by token, and any subject of its issuer.
    pub population: bool,
}

impl ProofId {
    pub(crate) fn of(number: u32, proof: &Proof) -> Self {
        let population = proof.kind == proof_kind::POPULATION;
        Self { number, agent: proof.agent, flags: proof.flags, population }
    }

    /// It identifies one agent and does nothing else: of several such of one agent, any stands for all.
    pub fn is_plain(self) -> bool {
        const ALL: u8 = proof_flag::ALONE | proof_flag::COMBINES | proof_flag::SHARED;
        self.flags & ALL == proof_flag::ALONE
    }

    /// What a token must be bound to so that it is this proof.
    pub fn bound(self) -> Bindings {
        Bindings::from_bits(self.flags >> proof_flag::BOUND_SHIFT)
    }

    /// Whether it has a bit of `format::proof_flag`.
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A proof by token: a named subject or a population.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenProofId(pub ProofId);

impl From<TokenProofId> for ProofId {
    fn from(proof: TokenProofId) -> Self {
        proof.0
    }
}
