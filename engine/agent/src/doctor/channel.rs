//! Whether the profile is the one that its channel makes now.

use std::path::Path;

use super::{Outcome, Report};
use crate::channel::next::{Next, next};
use crate::channel::{Follows, Memory, News, look as look_at};
use crate::clock;
use crate::explain::Explained;
use crate::fault::Fault;
use crate::profile::{Enrolment, Profile};
use crate::release::Granted;

const STEP: &str = "channel";

/// Nothing is written: what is seen here counts as seen when `agent run` has seen it.
pub fn look(directory: &Path, profile: &Profile, report: &mut Report) {
    let Some(follows) = &profile.follows else { return };
    let told = |code: &'static str, found: String, fault: &Fault| {
        let todo = fault.hint().unwrap_or("look into the store").to_owned();
        Explained { code, found, todo }
    };
    let (news, memory, enrolment) = match in_force(directory, profile, follows) {
        Ok(found) => found,
        Err(fault) => {
            let found = format!("{follows}: {fault}; the profile stays in use as it is");
            return report.wrong(STEP, Outcome::Warning, told("store", found, &fault));
        }
    };
    let runs = format!("{follows} runs {}", news.pointer.pointer.release);
    let made: Next = match next(&enrolment, &news, &memory) {
        Ok(made) => made,
        Err(fault) => {
            let found = format!("{runs}, and that is not this agent's: {fault}");
            return report.wrong(STEP, Outcome::Failed, told("unknown-agent", found, &fault));
        }
    };
    if let Some(change) = &made.change {
        let code = if change.why == "document" { "document-behind" } else { "release-behind" };
        let found = format!("{runs}, and this profile is behind: {}", change.words.join(", "));
        let todo =
            "is adamant agent run at work on this profile? Take it now: adamant agent run PROFILE --once".to_owned();
        return report.wrong(STEP, Outcome::Warning, Explained { code, found, todo });
    }
    if let Some(fault) = made.kept_back.or(news.document.err()) {
        return report.wrong(STEP, Outcome::Warning, told("document", fault.to_string(), &fault));
    }
    report.ok(STEP, format!("{runs}, and so does this profile (version {})", made.version));
}

fn in_force(directory: &Path, profile: &Profile, follows: &Follows) -> Result<(News, Memory, Enrolment), Fault> {
    let mut memory = Memory::read(directory, &follows.channel()?)?;
    let known = profile.granted.as_ref().and_then(Granted::named);
    if let Some((version, digest)) = known {
        memory.accept(version, digest, false);
    }
    let known = known.map(|(_, digest)| digest);
    let news = look_at(&*follows.reader()?, &mut memory, known, clock::shown(clock::now_s()))?;
    Ok((news, memory, Enrolment::read(directory)?))
}
