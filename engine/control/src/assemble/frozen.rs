//! What a release alone determines: its table in sealed memory, one copy a NUMA node, and what else never moves.

use std::sync::Arc;

use activation::activation::{ApiKey, ReleaseFacts};
use identity::certificate::{CaSet, ClientCa, ClientCaError};
use policy::compile::compile;
use policy::model::{self, Policy};
use policy::table::Table;
use sha2::{Digest, Sha256};

use super::{AssembleError, hex, unhex};
use crate::per_node::PerNode;

/// A release, compiled.
pub struct Frozen {
    pub facts: ReleaseFacts,
    pub policy: Arc<Policy>,
    /// The first copy.
    pub table: Arc<Table<sys::Image>>,
    pub tables: PerNode<Arc<Table<sys::Image>>>,
    pub table_sha256: String,
    /// Over the bytes of the table.
    pub image_sha256: [u8; 32],
    /// Without revocation lists: a CA that is to have some vouches for nobody until it has them.
    pub client_cas: Arc<CaSet>,
    pub api_keys: Arc<[ApiKey]>,
    /// In the order of the policy.
    pub api_key_ids: Arc<[String]>,
}

/// Where tables lie.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// NUMA nodes that have workers, ascending; none where the machine has but one.
    pub nodes: Vec<u32>,
    /// No activation takes the place of another one: the mapping itself is sealed.
    pub forever: bool,
}

impl Frozen {
    /// Compiles `policy`, whose release has `digest`, into sealed memory.
    pub fn new(policy: impl Into<Arc<Policy>>, facts: ReleaseFacts, digest: [u8; 32]) -> Result<Self, AssembleError> {
        let policy = policy.into();
        let bytes = compile(&policy, digest)?;
        let image_sha256: [u8; 32] = Sha256::digest(&bytes).into();
        let table_sha256 = format!("sha256:{}", hex(&image_sha256));
        let image = sys::Image::new(&bytes).map_err(AssembleError::Memory)?;
        let table = Arc::new(Table::load(image)?);
        let cas = policy.client_cas.iter().map(|rules| {
            let ca = ClientCa::from_pem(&rules.name, &rules.certificates)?;
            Ok::<_, ClientCaError>(if rules.crl.is_some() { ca.with_revocation(None) } else { ca })
        });
        let client_cas = Arc::new(CaSet::new(cas.collect::<Result<_, _>>()?)?);
        let api_keys = policy.api_keys.iter().map(api_key).collect::<Result<_, _>>()?;
        let api_key_ids = policy.api_keys.iter().map(|key| key.id.clone()).collect();
        let tables = PerNode::one(Arc::clone(&table));
        Ok(Self { facts, policy, table, tables, table_sha256, image_sha256, client_cas, api_keys, api_key_ids })
    }

    /// Brings the table to where its readers are, and seals it there for as long as it is to stay.
    pub fn place(self, placement: &Placement) -> Result<Self, AssembleError> {
        let nodes: Vec<Option<u32>> = match placement.nodes.as_slice() {
            [] if !placement.forever => return Ok(self),
            [] => vec![None],
            nodes => nodes.iter().copied().map(Some).collect(),
        };
        let copy = |node: Option<u32>| {
            let options = sys::image::Options { node, forever: placement.forever };
            let image = sys::Image::with(self.table.image(), options).map_err(AssembleError::Memory)?;
            Ok(Arc::new(Table::load(image)?))
        };
        let copies = nodes.into_iter().map(copy).collect::<Result<Vec<_>, AssembleError>>()?;
        let Some(tables) = PerNode::of(copies) else { return Ok(self) };
        Ok(Self { table: Arc::clone(&tables.first), tables, ..self })
    }

    /// The same release in fresh memory, compiled from its policy again.
    pub fn again(&self, placement: &Placement) -> Result<Self, AssembleError> {
        Self::new(Arc::clone(&self.policy), self.facts.clone(), self.table.policy_digest())?.place(placement)
    }
}

fn api_key(key: &model::ApiKey) -> Result<ApiKey, AssembleError> {
    let sha256 = match &key.sha256 {
        None => None,
        Some(text) => {
            Some(unhex(text).ok_or_else(|| AssembleError::ApiKeyHash { id: key.id.clone(), found: text.clone() })?)
        }
    };
    Ok(ApiKey { sha256, expires_s: key.expires_s })
}
