//! The image, byte for byte: a header of four cache lines, then sections that each start on a cache line. All
//! integers are little-endian and unsigned; all offsets are relative, so the image works at any address.

mod edge_text;
mod numbers;

pub(crate) use edge_text::EdgeText;
pub(crate) use numbers::LimitNumbers;

/// Version of the layout below. A change of anything in it is a new version.
pub const FORMAT_VERSION: u32 = 4;

/// First eight bytes: `ADAMANTT`.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"ADAMANTT");
/// A cache line: the alignment of sections.
pub(crate) const LINE_BYTES: usize = 64;
/// Bytes of the header: `Head`, the policy digest, the directory (offset and length of each section), zeros.
pub(crate) const HEADER_BYTES: usize = 256;
/// Where the policy digest stands.
pub(crate) const DIGEST_AT: usize = Head::BYTES;
/// Where the directory stands.
pub(crate) const DIRECTORY_AT: usize = DIGEST_AT + 32;

/// Marks what is not there: an empty place, no node, no agent.
pub(crate) const NONE: u32 = u32::MAX;
/// The node whose edges are hosts and whose `segment` is the host `*`.
pub(crate) const ROOT: u32 = 0;
/// Set in a reference to a node that edges leave: without it none need be looked for.
pub(crate) const HAS_EDGES: u32 = 1 << 31;
/// Set in a reference to a node with `segment` or `rest`: without it the node need not be read after a failed edge.
pub(crate) const HAS_PATTERNS: u32 = 1 << 30;

/// The number of the node that a reference leads to.
pub(crate) const fn node_number(reference: u32) -> u32 {
    reference & !(HAS_EDGES | HAS_PATTERNS)
}

/// Stands for the parent of edges that give the bit of a method beyond the known ones.
pub(crate) const METHODS: u32 = u32::MAX - 1;
/// Stands for the parent of edges that give the id of a scope.
pub(crate) const SCOPES: u32 = u32::MAX - 2;
/// Second member of a combination that says "the first belongs to the agent in the third".
pub(crate) const BELONGS: u32 = u32::MAX - 1;

/// Edges in one cache line.
pub(crate) const EDGES_PER_LINE: usize = LINE_BYTES / Edge::BYTES;
/// Identity slots in one cache line.
pub(crate) const SLOTS_PER_LINE: usize = LINE_BYTES / Slot::BYTES;

/// The sections, in the order in which they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Section {
    Strings,
    Edges,
    Nodes,
    Leaves,
    Routes,
    Slots,
    Proofs,
    Combinations,
    Agents,
    ScopeRows,
    Limits,
    Scopes,
    Origins,
}

impl Section {
    pub(crate) const COUNT: usize = Self::ALL.len();
    pub(crate) const ALL: [Self; 13] = [
        Self::Strings,
        Self::Edges,
        Self::Nodes,
        Self::Leaves,
        Self::Routes,
        Self::Slots,
        Self::Proofs,
        Self::Combinations,
        Self::Agents,
        Self::ScopeRows,
        Self::Limits,
        Self::Scopes,
        Self::Origins,
    ];

    /// What a section's length is a multiple of.
    pub(crate) const fn unit_bytes(self) -> usize {
        match self {
            Self::Strings => 1,
            Self::Edges | Self::Slots => LINE_BYTES,
            Self::Nodes | Self::Leaves => Node::BYTES,
            Self::Routes => Route::BYTES,
            Self::Proofs => Proof::BYTES,
            Self::Combinations => Combination::BYTES,
            Self::Agents => Agent::BYTES,
            Self::ScopeRows => 2,
            Self::Limits => Limit::BYTES,
            Self::Scopes | Self::Origins => Name::BYTES,
        }
    }
}

/// A record of fixed length.
pub(crate) trait Record: Sized {
    const BYTES: usize;
    /// Reads the record at the start of `bytes`; none if they are too few.
    fn read(bytes: &[u8]) -> Option<Self>;
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! record {
    ($(#[$meta:meta])* $name:ident, $bytes:literal { $($(#[$of:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct $name { $($(#[$of])* pub $field: $type,)* }

        const _: () = assert!(0 $(+ size_of::<$type>())* == $bytes);

        impl $name {
            pub const BYTES: usize = $bytes;
        }

        impl Record for $name {
            const BYTES: usize = $bytes;

            fn read(bytes: &[u8]) -> Option<Self> {
                let rest: &[u8] = bytes.first_chunk::<$bytes>()?;
                $(
                    let (field, rest) = rest.split_first_chunk::<{ size_of::<$type>() }>()?;
                    let $field = <$type>::from_le_bytes(*field);
                )*
                debug_assert!(rest.is_empty());
                Some(Self { $($field,)* })
            }

            fn write(&self, out: &mut Vec<u8>) {
                $(out.extend_from_slice(&self.$field.to_le_bytes());)*
            }
        }
    };
}

record! {
    /// The first bytes of the header.
    Head, 116 {
        magic: u64,
        format: u32,
        /// Bytes of the whole image.
        length: u32,
        edge_seed: u64,
        slot_seed: u64,
        /// The first so many proofs are the policy's API keys, in its order.
        api_keys: u32,
        /// The anonymous agent, or `NONE`.
        anonymous: u32,
        /// Bits of `shape`: which combinations of proofs, and whether unusual methods, exist at all.
        shapes: u32,
        /// Reference to the root.
        root: u32,
        caller_steps: u32,
        caller_lines: u32,
        caller_probes: u32,
        caller_comparisons: u32,
        caller_hashed_bytes: u32,
        route_steps: u32,
        route_lines: u32,
        route_probes: u32,
        route_comparisons: u32,
        route_hashed_bytes: u32,
        grant_steps: u32,
        grant_lines: u32,
        grant_probes: u32,
        grant_comparisons: u32,
        grant_hashed_bytes: u32,
        limits_checked: u32,
        /// Bytes of the longest segment of an edge: longer ones need not be hashed.
        edge_bytes_max: u32,
    }
}

/// Bits of `Head::shapes`.
pub(crate) mod shape {
    /// A certificate with a token.
    pub const CERTIFICATE_TOKEN: u32 = 1;
    /// A certificate with an API key.
    pub const CERTIFICATE_KEY: u32 = 2;
    /// A token with an API key.
    pub const TOKEN_KEY: u32 = 4;
    /// All three.
    pub const ALL_THREE: u32 = 8;
    /// Some proof is part of alternatives of several agents.
    pub const SHARED: u32 = 16;
    /// Some route names a method beyond the known ones.
    pub const METHODS: u32 = 32;
    /// Some token must be bound to a DPoP key.
    pub const DPOP: u32 = 64;
    /// Every bit that has a meaning.
    pub const KNOWN: u32 = 127;
}

record! {
    /// A step from a node by one exact segment; an empty place has `child` `NONE`.
    Edge, 16 {
        parent: u32,
        /// Reference to a node; for `METHODS` a bit number, for `SCOPES` an id.
        child: u32,
        /// See `EdgeText`.
        text: u64,
    }
}

record! {
    /// A prefix of path patterns, and the route that ends there with what a decision needs of it, so that the end of a walk
    /// is one line. Children have greater numbers than their parent. Where several routes end, the further ones stand among
    /// the leaves, as nodes without children.
    Node, 32 {
        /// Reference to the child for `{segment}`, or `NONE`.
        segment: u32,
        /// Reference to the child for `{rest...}`, or `NONE`; only its routes count.
        rest: u32,
        /// Bits of `table::methods`; none where no route ends, and then all below is 0 but `more`.
        methods: u64,
        /// The next leaf of the same node, with a greater number than a leaf before it, or `NONE`.
        more: u32,
        /// As the route has it, like the three below.
        scopes: u32,
        scopes_count: u16,
        origin: u16,
        flags: u16,
        /// The route: `ROUTES_MAX` fits.
        route: u16,
    }
}

record! {
    Route, 16 {
        name: u32,
        name_length: u16,
        origin: u16,
        scopes: u32,
        scopes_count: u16,
        /// Bits of `route_flag`.
        flags: u16,
    }
}

/// Bits of `Route::flags`.
pub(crate) mod route_flag {
    pub const ENCODED_SLASH: u16 = 1;
    pub const PATH_PARAMETERS: u16 = 2;
}

record! {
    /// A place in the identity table: index into proofs and then combinations, or `NONE`.
    Slot, 8 {
        tag: u32,
        index: u32,
    }
}

record! {
    Proof, 16 {
        value: u32,
        /// The agent that this proof alone identifies (`ALONE`), else the first whose alternative it is part of.
        agent: u32,
        value_length: u16,
        /// Position of the CA or issuer.
        qualifier: u16,
        /// One of `proof_kind`.
        kind: u8,
        /// Bits of `proof_flag`.
        flags: u8,
        reserved: u16,
    }
}

/// Values of `Proof::kind`, in the order in which proofs stand.
pub(crate) mod proof_kind {
    pub const API_KEY: u8 = 0;
    pub const SPIFFE: u8 = 1;
    pub const DNS: u8 = 2;
    pub const SPKI_SHA256: u8 = 3;
    pub const TOKEN: u8 = 4;
    /// Every subject of an issuer that has no record of kind `TOKEN`.
    pub const POPULATION: u8 = 5;
}

/// Bits of `Proof::flags`.
pub(crate) mod proof_flag {
    /// It is an alternative on its own.
    pub const ALONE: u8 = 1;
    /// It is part of an alternative of several proofs.
    pub const COMBINES: u8 = 2;
    /// Several agents' alternatives hold it.
    pub const SHARED: u8 = 4;
    /// A subject excepted from its issuer's population and named nowhere.
    pub const EXCEPTED: u8 = 8;
    /// From here on: what a token must be bound to, as the bits of `Bindings`.
    pub const BOUND_SHIFT: u32 = 4;
}

record! {
    /// An alternative of several proofs (`NONE` for those it does not need), or a `BELONGS` entry.
    Combination, 16 {
        certificate: u32,
        token: u32,
        api_key: u32,
        agent: u32,
    }
}

record! {
    /// One line: with the numbers of its first two limits, which most agents have no more of.
    Agent, 64 {
        name: u32,
        name_length: u16,
        scopes_count: u16,
        scopes: u32,
        limits: u32,
        limits_count: u32,
        first_interval: u64,
        first_count: u32,
        first_subjects_max: u32,
        first_kind: u8,
        first_per: u8,
        first_reserved: u16,
        second_interval: u64,
        second_count: u32,
        second_subjects_max: u32,
        second_kind: u8,
        second_per: u8,
        second_reserved: u16,
        reserved: u32,
    }
}

record! {
    Limit, 32 {
        name: u32,
        name_length: u16,
        /// One of `limit_kind`.
        kind: u8,
        /// One of `limit_per`.
        per: u8,
        stable_id: u64,
        /// Rate: nanoseconds between requests. Quota: seconds of the window.
        interval: u64,
        /// Rate: burst. Quota: count.
        count: u32,
        subjects_max: u32,
    }
}

/// Values of `Limit::kind`.
pub(crate) mod limit_kind {
    pub const RATE: u8 = 0;
    pub const QUOTA: u8 = 1;
}

/// Values of `Limit::per`.
pub(crate) mod limit_per {
    pub const AGENT: u8 = 0;
    pub const SUBJECT_OVERFLOW: u8 = 1;
    pub const SUBJECT_DENY: u8 = 2;
}

record! {
    /// A name of a scope or an origin.
    Name, 8 {
        name: u32,
        name_length: u16,
        reserved: u16,
    }
}
