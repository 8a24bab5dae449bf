//! Stage 4: the frozen table decides.

use activation::Activation;
use policy::decide::Grant;
use policy::model::MinimumTransport;
use policy::reason::Reason;
use policy::table::{OriginIndex, TokenScopes};

use crate::identify::Identified;

/// What is asked for, in normal form.
pub struct Asked<'a> {
    pub method: &'a [u8],
    pub host: &'a [u8],
    /// None: the request is about the gateway itself, which no route is.
    pub target: Option<&'a policy::target::Target<'a>>,
}

/// Whether the connection is good enough for the policy.
pub fn admit_transport(activation: &Activation, tls: bool, certificate: bool) -> Result<(), Reason> {
    let enough = match activation.transport {
        MinimumTransport::Plain => true,
        MinimumTransport::Tls => tls,
        MinimumTransport::Mtls => tls && certificate,
    };
    if enough { Ok(()) } else { Err(Reason::TransportTooWeak) }
}

/// Which route is meant, and which scope grants it. A caller who presented nothing is told to.
pub fn decide(
    activation: &Activation,
    identified: &Identified,
    asked: &Asked<'_>,
) -> Result<(Grant, OriginIndex), Reason> {
    granted(activation, identified, asked).map_err(|reason| match reason {
        Reason::RouteUnknown | Reason::ScopeMissing if !identified.presented => Reason::CredentialMissing,
        reason => reason,
    })
}

fn granted(
    activation: &Activation,
    identified: &Identified,
    asked: &Asked<'_>,
) -> Result<(Grant, OriginIndex), Reason> {
    let table = &activation.table;
    let target = asked.target.ok_or(Reason::RouteUnknown)?;
    let route = table.route(asked.host, asked.method, target.path).ok_or(Reason::RouteUnknown)?;
    let options = table.route_options(route).ok_or(Reason::RouteUnknown)?;
    let everything = TokenScopes::everything();
    let narrowed = identified.token.as_ref().map_or(&everything, |token| &token.scopes);
    let grant = table.grant(&identified.caller, narrowed, route).ok_or(Reason::ScopeMissing)?;
    if (target.encoded_slash && !options.encoded_slash) || (target.path_parameters && !options.path_parameters) {
        return Err(Reason::TargetNotAdmitted);
    }
    Ok((grant, options.origin))
}
