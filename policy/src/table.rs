//! The frozen table: one byte image, and the look-ups that workers decide from.
//!
//! `Table::load` checks every offset of an image once. Look-ups afterwards still read with bounds checked, so a byte
//! that changes under them can only deny. Nothing here allocates but `load`, and `token_scopes` above 512 scopes.

pub(crate) mod cost;
pub(crate) mod format;
mod ids;
mod limits;
mod load;
pub(crate) mod methods;
mod proofs;
pub(crate) mod routes;
pub(crate) mod scopes;
mod trace;

pub use cost::{Cost, CostCertificate};
pub use format::{FORMAT_VERSION, Section};
pub use ids::{
    AgentId, ApiKeyIndex, CaIndex, IssuerIndex, LimitIndex, OriginIndex, ProofId, RouteId, ScopeId, TokenProofId,
};
pub use limits::{LimitEntry, LimitKind, Limits};
pub use load::TableError;
pub use proofs::CertificateNameRef;
pub use routes::RouteOptions;
pub use scopes::TokenScopes;

use format::{Agent, Head, LINE_BYTES, Name, Record, Route};

/// A loaded table over the bytes `B`: a vector, a mapping, a borrowed slice.
///
/// ```
/// # use policy::{compile::compile, model::*, table::Table};
/// # let policy = Policy { name: "p".into(), audit: Audit::Queued, transport: MinimumTransport::Plain,
/// #     issuers: vec![], client_cas: vec![], origins: vec![Origin { name: "o".into(),
/// #     addresses: vec!["127.0.0.1:1".into()], tls: None, pass_credentials: false, credential: None, assertion: None }],
/// #     routes: vec![Route { name: "r".into(), host: "*".into(), methods: Methods::Any,
/// #     path: "/orders/{id}".into(), origin: "o".into(), encoded_slash: false, path_parameters: false }],
/// #     scopes: vec![], agents: vec![], api_keys: vec![] };
/// let table = Table::load(compile(&policy, [0; 32])?)?;
/// let route = table.route(b"api.corp.example", b"GET", b"/orders/7");
/// assert_eq!(route.map(|route| table.route_name(route)), Some("r"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Table<B> {
    image: B,
    head: Head,
    digest: [u8; 32],
    sections: [Span; Section::COUNT],
}

/// Where a section stands in the image.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: usize,
    end: usize,
}

impl<B: AsRef<[u8]>> Table<B> {
    /// Checks an image once and takes it.
    ///
    /// # Errors
    /// Whatever is not as `format` says: no image that the compiler made is refused.
    pub fn load(image: B) -> Result<Self, TableError> {
        let table = Self::open(image)?;
        load::check(&table)?;
        Ok(table)
    }

    /// Digest of the policy that the table was compiled from.
    pub fn policy_digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The whole image.
    pub fn image(&self) -> &[u8] {
        self.image.as_ref()
    }

    /// What holds the image.
    pub fn storage(&self) -> &B {
        &self.image
    }

    /// What a decision costs at most.
    pub fn certificate(&self) -> CostCertificate {
        CostCertificate::read(&self.head)
    }

    /// Which combinations of proofs the policy has: bits of `format::shape`.
    pub(crate) fn shapes(&self) -> u32 {
        self.head.shapes
    }

    /// The agent whose scopes every caller has, if the policy has one.
    pub fn anonymous(&self) -> Option<AgentId> {
        (self.head.anonymous != format::NONE).then_some(AgentId(self.head.anonymous))
    }

    pub fn agent_count(&self) -> u32 {
        self.count::<Agent>(Section::Agents)
    }

    pub fn route_count(&self) -> u32 {
        self.count::<Route>(Section::Routes)
    }

    pub fn scope_count(&self) -> u32 {
        self.count::<Name>(Section::Scopes)
    }

    pub fn origin_count(&self) -> u32 {
        self.count::<Name>(Section::Origins)
    }

    pub fn api_key_count(&self) -> u32 {
        self.head.api_keys
    }

    /// Name of an agent; empty for one that the table does not know.
    pub fn agent_name(&self, agent: AgentId) -> &str {
        self.record::<Agent>(Section::Agents, agent.0).map_or("", |agent| self.text(agent.name, agent.name_length))
    }

    /// Where the record of an agent stands, for whoever has it brought near before it is read.
    pub fn agent_line(&self, agent: AgentId) -> Option<&[u8; LINE_BYTES]> {
        const { assert!(Agent::BYTES == LINE_BYTES) };
        self.line(Section::Agents, agent.0)
    }

    /// Name of a route; empty for one that the table does not know.
    pub fn route_name(&self, route: RouteId) -> &str {
        self.record::<Route>(Section::Routes, route.0).map_or("", |route| self.text(route.name, route.name_length))
    }

    /// Name of a scope; empty for one that the table does not know.
    pub fn scope_name(&self, scope: ScopeId) -> &str {
        self.name(Section::Scopes, u32::from(scope.0))
    }

    /// Name of an origin; empty for one that the table does not know.
    pub fn origin_name(&self, origin: OriginIndex) -> &str {
        self.name(Section::Origins, u32::from(origin.0))
    }

    /// The agent with this name: a binary search, for replay and tools.
    pub fn agent(&self, name: &str) -> Option<AgentId> {
        self.search(self.agent_count(), |index| self.agent_name(AgentId(index)).cmp(name)).map(AgentId)
    }

    /// The route with this name: a binary search, for replay and tools.
    pub fn route_named(&self, name: &str) -> Option<RouteId> {
        self.search(self.route_count(), |index| self.route_name(RouteId(index)).cmp(name)).map(RouteId)
    }

    fn search(&self, count: u32, order: impl Fn(u32) -> std::cmp::Ordering) -> Option<u32> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            match order(middle) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    fn name(&self, section: Section, index: u32) -> &str {
        self.record::<Name>(section, index).map_or("", |name| self.text(name.name, name.name_length))
    }

    /// The bytes of a section; empty if the image shrank.
    pub(crate) fn section(&self, section: Section) -> &[u8] {
        let span = self.sections.get(section as usize).copied().unwrap_or_default();
        self.image.as_ref().get(span.start..span.end).unwrap_or_default()
    }

    /// Number of records in a section.
    pub(crate) fn count<R: Record>(&self, section: Section) -> u32 {
        let span = self.sections.get(section as usize).copied().unwrap_or_default();
        (span.end.saturating_sub(span.start) / R::BYTES) as u32
    }

    /// Record `index` of a section.
    pub(crate) fn record<R: Record>(&self, section: Section, index: u32) -> Option<R> {
        let at = index as usize * R::BYTES;
        trace::record(section, at, R::BYTES);
        R::read(self.section(section).get(at..)?)
    }

    /// Cache line `index` of a section.
    pub(crate) fn line(&self, section: Section, index: u32) -> Option<&[u8; LINE_BYTES]> {
        let at = index as usize * LINE_BYTES;
        trace::bytes(section, at, LINE_BYTES);
        self.section(section).get(at..)?.first_chunk()
    }

    /// Number of cache lines in a section.
    pub(crate) fn lines(&self, section: Section) -> u32 {
        let span = self.sections.get(section as usize).copied().unwrap_or_default();
        (span.end.saturating_sub(span.start) / LINE_BYTES) as u32
    }

    /// An interned string.
    pub(crate) fn string(&self, start: u32, length: u16) -> Option<&[u8]> {
        self.section(Section::Strings).get(start as usize..)?.get(..usize::from(length))
    }

    fn text(&self, start: u32, length: u16) -> &str {
        self.string(start, length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}
