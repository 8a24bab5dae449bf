//! The compiler: from the normalised policy to the table's image.
//!
//! The image is a function of the policy and its digest alone: inputs are sorted, nothing is iterated in the order of
//! a randomised map, and the hash seeds come from the digest and the number of the try.

mod error;
mod identities;
mod image;
mod limits;
mod names;
mod places;
mod routes;
mod scopes;
mod strings;

pub use error::CompileError;

use crate::bounds::{
    AGENTS_MAX, API_KEYS_MAX, CLIENT_CAS_MAX, ISSUERS_MAX, ORIGINS_MAX, ROUTE_STEPS_MAX, ROUTES_MAX, SCOPES_MAX,
};
use crate::model::{Identity, Policy};
use crate::table::Table;
use crate::table::cost;
use crate::table::format::{Agent, LimitNumbers, NONE, Name, Route, route_flag, shape};
use image::Image;
use names::Names;
use strings::Strings;

/// Compiles a policy whose lists are sorted by name into the bytes of its table.
///
/// `policy_digest` is the SHA-256 that names the release; it is stored in the table and seeds its hash tables.
///
/// # Errors
/// What is wrong with the policy, by name; see `CompileError`.
pub fn compile(policy: &Policy, policy_digest: [u8; 32]) -> Result<Vec<u8>, CompileError> {
    let names = Names::check(policy)?;
    let mut strings = Strings::default();
    let routing = routes::build(policy, &names, &mut strings, &policy_digest)?;
    let scopes = scopes::build(policy, &names)?;
    let identities = identities::build(policy, &names, &mut strings, &policy_digest)?;
    let all_limits = limits::build(policy, &mut strings)?;
    let mut image = Image::new(policy_digest);
    image.head.edge_seed = routing.seed;
    image.head.slot_seed = identities.seed;
    image.head.api_keys = policy.api_keys.len() as u32;
    image.head.shapes = identities.shapes | if routing.unusual_methods { shape::METHODS } else { 0 };
    image.head.root = routing.root;
    image.head.edge_bytes_max = routing.edge_bytes_max;
    image.head.anonymous = anonymous(policy)?;
    let routes = policy.routes.iter().zip(&scopes.of_routes).map(|(route, row)| {
        let (name, name_length) = strings.intern(&route.name)?;
        let origin = names.origin(&route.origin, &route.name)?;
        let slash = if route.encoded_slash { route_flag::ENCODED_SLASH } else { 0 };
        let parameters = if route.path_parameters { route_flag::PATH_PARAMETERS } else { 0 };
        let (scopes, scopes_count, flags) = (row.start, row.count, slash | parameters);
        Ok(Route { name, name_length, origin, scopes, scopes_count, flags })
    });
    let routes: Vec<Route> = routes.collect::<Result<_, CompileError>>()?;
    let mut first_limit = 0;
    let agents = policy.agents.iter().zip(&scopes.of_agents).map(|(agent, row)| {
        let (name, name_length) = strings.intern(&agent.name)?;
        let (limits, limits_count) = (first_limit, agent.limits.len() as u32);
        first_limit += limits_count;
        let (scopes, scopes_count) = (row.start, row.count);
        let mut inside = [LimitNumbers::default(); Agent::LIMITS_INSIDE];
        let own = all_limits.iter().skip(limits as usize).take(limits_count as usize);
        for (to, limit) in inside.iter_mut().zip(own) {
            *to = limit.numbers();
        }
        let agent = Agent { name, name_length, scopes_count, scopes, limits, limits_count, ..Agent::default() };
        Ok(agent.with_limits_inside(inside))
    });
    let agents: Vec<Agent> = agents.collect::<Result<_, CompileError>>()?;
    let scope_names = listed(policy.scopes.iter().map(|scope| scope.name.as_str()), &mut strings)?;
    let origin_names = listed(policy.origins.iter().map(|origin| origin.name.as_str()), &mut strings)?;
    image.bytes(&strings.into_bytes())?;
    image.records(&routing.edges)?;
    let (nodes, leaves) = routing.nodes(&routes);
    image.records(&nodes)?;
    image.records(&leaves)?;
    image.records(&routes)?;
    image.records(&identities.slots)?;
    image.records(&identities.proofs)?;
    image.records(&identities.combinations)?;
    image.records(&agents)?;
    image.bytes(&scopes.rows)?;
    image.records(&all_limits)?;
    image.records(&scope_names)?;
    image.records(&origin_names)?;
    certify(image)
}

/// Adds the cost certificate, computed from the image itself.
fn certify(mut image: Image) -> Result<Vec<u8>, CompileError> {
    let certificate = cost::certificate(&Table::open(image.finish()).map_err(CompileError::Table)?);
    if certificate.route.steps > ROUTE_STEPS_MAX {
        return Err(CompileError::RouteSteps { steps: certificate.route.steps });
    }
    certificate.write(&mut image.head);
    Ok(image.into_bytes())
}

/// The one agent that stands for everybody, or `NONE`.
fn anonymous(policy: &Policy) -> Result<u32, CompileError> {
    let is_anonymous = |identity: &Identity| matches!(identity, Identity::Anonymous);
    let mut found = policy.agents.iter().zip(0..).filter(|(agent, _)| agent.identity.iter().any(is_anonymous));
    match (found.next(), found.next()) {
        (Some((first, _)), Some((second, _))) => {
            Err(CompileError::SeveralAnonymous { first: first.name.clone(), second: second.name.clone() })
        }
        (found, _) => Ok(found.map_or(NONE, |(_, index)| index)),
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>, strings: &mut Strings<'n>) -> Result<Vec<Name>, CompileError> {
    names
        .map(|text| {
            let (name, name_length) = strings.intern(text)?;
            Ok(Name { name, name_length, reserved: 0 })
        })
        .collect()
}
