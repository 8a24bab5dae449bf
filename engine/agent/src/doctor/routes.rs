//! What the profile has of its release, beside what the gateway answers.

use super::{Outcome, Report};
use crate::explain::Explained;
use crate::profile::Profile;
use crate::release;

/// Says where no route can be reached by the gateway's name.
pub fn look(profile: &Profile, report: &mut Report) {
    if let Some(found) = elsewhere(profile) {
        let todo =
            "enroll again, with --force, and with the name that the routes have in --gateway (or in the profile \
                    document); or have a release made whose routes have this name"
                .to_owned();
        report.wrong("routes", Outcome::Failed, Explained { code: "gateway-host", found, todo });
    }
}

/// Why a call of this path was refused, as far as the profile knows.
pub fn refused(mut why: Explained, profile: &Profile, path: Option<&str>) -> Explained {
    let (Some(granted), Some(path)) = (profile.granted.as_ref().filter(|_| why.code == "forbidden"), path) else {
        return why;
    };
    if elsewhere(profile).is_some() {
        why.found = format!("403: the gateway refuses this call because of its host, {}", profile.gateway.host);
        why.todo = "see the step `routes`".to_owned();
    } else if granted.routes.iter().any(|route| route.takes_get(path)) {
        why.todo = format!(
            "profile.json lists this route; it is of release version {}, and may be behind the gateway's: enroll again with \
             the release in use; where a token narrows the scopes, look at what it says",
            granted.version
        );
    }
    why
}

fn elsewhere(profile: &Profile) -> Option<String> {
    let routes = &profile.granted.as_ref()?.routes;
    let found = release::elsewhere(&profile.gateway, routes, |route| &route.host)?;
    Some(format!("no route of this agent {found}"))
}
