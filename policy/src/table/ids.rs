//! Small copyable ids. All but `ProofId`, `TokenProofId` and `LimitIndex` are positions in the policy's lists; each
//! has a meaning only for the table it came from. One that a table does not know is denied, never out of bounds.

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
    /// A value that proves something: a certificate name under its CA, a subject of an issuer, an API key.
    ProofId(u32);
    /// A proof by token: a named subject or a population.
    TokenProofId(u32);
    /// A limit, counted through all agents.
    LimitIndex(u32);
}

impl From<TokenProofId> for ProofId {
    fn from(proof: TokenProofId) -> Self {
        Self(proof.0)
    }
}
