//! Stage 4: the frozen table decides.

use activation::Activation;
use policy::decide::{Asked, Grant};
use policy::reason::Reason;
use policy::table::{OriginIndex, TokenScopes};

use crate::identify::Identified;

/// Which route is meant, and which scope grants it. A caller who presented nothing is told to.
pub fn decide(
    activation: &Activation,
    identified: &Identified,
    asked: &Asked<'_>,
) -> Result<(Grant, OriginIndex), Reason> {
    let everything = TokenScopes::everything();
    if let Some(agent) = identified.caller.agent {
        activation.limits.expect(&activation.table, agent);
    }
    let narrowed = identified.token.as_ref().map_or(&everything, |token| &token.scopes);
    activation.table.decide(&identified.caller, identified.presented.any(), narrowed, asked)
}
