//! The way of a decision in plain words, one step for each stage that looked at the request.

mod caller;
mod limits;
mod routes;
mod scopes;

use policy::model::MinimumTransport;
use policy::reason::Reason;

use crate::evaluator::{Evaluation, Evaluator, Step, Topic, Trail};
use crate::presented::Presented;

impl Step {
    pub(crate) fn new(topic: Topic, text: impl Into<String>) -> Self {
        Self { topic, text: text.into(), details: Vec::new() }
    }

    fn with(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }
}

impl Topic {
    /// One word for the margin.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Transport => "transport",
            Self::Presented => "presented",
            Self::Caller => "caller",
            Self::Route => "route",
            Self::Scopes => "scopes",
            Self::Limits => "limits",
            Self::Result => "result",
        }
    }
}

impl Evaluator<'_> {
    pub(crate) fn steps(
        &self,
        caller: &Presented,
        trail: &Trail<'_>,
        evaluation: &Evaluation,
        time_unix_ns: u64,
    ) -> Vec<Step> {
        let mut steps = vec![request(trail)];
        let before_transport = matches!(trail.reason, Some(Reason::InvalidTarget | Reason::MalformedHead));
        if !before_transport {
            steps.push(self.transport(caller));
            if trail.reason != Some(Reason::TransportTooWeak) {
                steps.push(caller::presented(caller));
                steps.push(caller::found(self.policy(), caller, trail, time_unix_ns / 1_000_000_000));
            }
        }
        if trail.caller.is_some() {
            steps.push(self.route_step(trail));
            steps.extend(self.scopes_step(caller, trail));
            steps.extend(self.limits_step(evaluation));
        }
        steps.push(self.result(trail, evaluation));
        steps
    }

    fn transport(&self, caller: &Presented) -> Step {
        let least = match self.policy().transport {
            MinimumTransport::Plain => "asks for no more than plain HTTP",
            MinimumTransport::Tls => "asks for TLS",
            MinimumTransport::Mtls => "asks for TLS with a client certificate",
        };
        let used = match (caller.tls, &caller.certificate) {
            (true, Some(_)) => "TLS with a client certificate",
            (true, None) => "TLS without a client certificate",
            (false, _) => "plain HTTP",
        };
        Step::new(Topic::Transport, format!("{used}; the policy {least}"))
    }

    fn result(&self, trail: &Trail<'_>, evaluation: &Evaluation) -> Step {
        let Some(reason) = trail.reason else {
            let route = trail.grant.and_then(|grant| self.policy().routes.get(grant.route.index()));
            let origin = route.map_or("", |route| route.origin.as_str());
            return Step::new(Topic::Result, format!("permitted: forwarded to origin \"{origin}\""));
        };
        let step = Step::new(Topic::Result, format!("refused: {}, {}", evaluation.status, reason.name()));
        step.with(because(reason).map(str::to_owned))
    }
}

fn request(trail: &Trail<'_>) -> Step {
    let request = trail.request;
    match (trail.fault, trail.reason) {
        (Some(fault), _) => {
            let step =
                Step::new(Topic::Request, format!("{} {}: the target is refused", request.method, request.target));
            step.with([fault.to_string()])
        }
        (None, Some(Reason::MalformedHead)) => {
            Step::new(Topic::Request, format!("expected `host` or `host:port`, found {:?}", request.host))
        }
        (None, _) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (host, path) = (text(&trail.host), text(&trail.path));
            let step = Step::new(Topic::Request, format!("{} {host} {path}", request.method));
            let asked_path = request.target.split('?').next().unwrap_or_default();
            step.with((asked_path != path).then(|| format!("{asked_path} in its normal form: {path}")))
        }
    }
}

/// What is not clear from the steps before.
fn because(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::CredentialMissing => "no credential was presented, so the caller is told to identify",
        Reason::RouteUnknown => "callers get the same answer where a route is and where none is: 403",
        Reason::TargetNotAdmitted => "the path has %2F or `;`, which this route does not admit",
        Reason::SubjectsFull => "the limit has no place for one more subject at the moment",
        _ => return None,
    })
}
