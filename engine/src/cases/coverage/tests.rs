use policy::case::{AsAgent, Asked, CLIENT_DEFAULT, Caller, Case, Expect, Step};
use policy::reason::Reason;

use super::*;
use crate::cases::{Located, Suite};

struct NoFiles;

impl policy_source::Files for NoFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("no {path}"))
    }
}

/// Two routes in two scopes; an agent with two API keys that may one of them, twice a minute; everybody may the other.
const POLICY: &str = r#"
[policy]
name = "p"
[[origin]]
name = "o"
addresses = ["127.0.0.1:9"]
[[route]]
name = "orders"
host = "*"
methods = ["GET"]
path = "/orders"
origin = "o"
[[route]]
name = "status"
host = "*"
methods = ["GET"]
path = "/status"
origin = "o"
[[scope]]
name = "read"
routes = ["orders"]
[[scope]]
name = "public"
routes = ["status"]
[[agent]]
name = "bot"
identity = [{ api_key = ["k1"] }, { api_key = ["k2"] }]
scopes = ["read"]
limits = ["2/minute"]
[[agent]]
name = "everybody"
identity = ["anonymous"]
scopes = ["public"]
limits = ["60/minute"]
[[api_key]]
id = "k1"
[[api_key]]
id = "k2"
"#;

fn step(agent: &str, alternative: u32, repeat: u32, path: &str, reason: Option<Reason>) -> Step {
    let agent = AsAgent { name: agent.into(), alternative, subject: None, scopes: None };
    let request = Asked { tls: false, method: "GET".into(), host: "a".into(), target: path.into() };
    let expect = Expect { permit: reason.is_none(), reason, ..Expect::default() };
    Step { after_ms: 0, repeat, caller: Caller::Agent(agent), request, client: CLIENT_DEFAULT, expect }
}

fn covered(steps: Vec<Step>) -> Coverage {
    let policy = policy_source::load("p", POLICY, &NoFiles).policy.unwrap();
    let case = Case { name: "c".into(), at_s: 0, steps };
    let cases = vec![Located { case, file: "p".into(), line: None, step_lines: Vec::new() }];
    let outcome = Suite { file: "p".into(), digest: None, policy, cases }.run("").unwrap();
    assert!(outcome.cases[0].failed.is_none(), "{}", outcome.cases[0].failed.as_ref().unwrap().got);
    outcome.coverage
}

fn of(coverage: &Coverage, part: Part, name: &str) -> (u64, u64) {
    let touched = coverage.part(part)[name];
    (touched.permitted, touched.refused)
}

#[test]
fn nothing_is_touched_by_no_request() {
    let coverage = covered(Vec::new());
    assert_eq!((coverage.total(), coverage.percent()), ((0, 10), 0));
}

#[test]
fn permitted_and_refused_are_counted_apart() {
    let coverage = covered(vec![
        step("bot", 2, 2, "/orders", None),
        step("bot", 2, 1, "/orders", Some(Reason::LimitExceeded)),
        step("everybody", 1, 3, "/orders", Some(Reason::CredentialMissing)),
    ]);
    assert_eq!(of(&coverage, Part::Route, "orders"), (2, 4));
    assert_eq!(of(&coverage, Part::Route, "status"), (0, 0));
    assert_eq!(of(&coverage, Part::Scope, "read"), (2, 3), "a limit refuses no scope");
    assert_eq!(of(&coverage, Part::Agent, "bot"), (2, 1));
    assert_eq!(of(&coverage, Part::Agent, "everybody"), (0, 3));
    assert_eq!(of(&coverage, Part::Alternative, "bot#1"), (0, 0));
    assert_eq!(of(&coverage, Part::Alternative, "bot#2"), (2, 1));
    assert_eq!(of(&coverage, Part::Limit, "bot/minute"), (2, 1));
    assert_eq!(coverage.names(Part::Scope, |touched| !touched.is_touched()), ["public"]);
    assert_eq!((coverage.total(), coverage.percent()), ((6, 10), 60));
}

#[test]
fn the_anonymous_agent_pays_for_others() {
    let coverage = covered(vec![step("bot", 1, 1, "/status", None)]);
    assert!(coverage.scopes_never_refused().is_empty(), "everybody has it");
    assert_eq!(of(&coverage, Part::Agent, "bot"), (1, 0));
    assert_eq!(of(&coverage, Part::Agent, "everybody"), (1, 0));
    assert_eq!(of(&coverage, Part::Limit, "everybody/minute-subject"), (1, 0));
    assert_eq!(of(&coverage, Part::Limit, "bot/minute"), (0, 0));
}

#[test]
fn a_target_that_is_refused_touches_no_route() {
    let coverage = covered(vec![step("bot", 1, 1, "/orders/..", Some(Reason::InvalidTarget))]);
    assert_eq!(coverage.total(), (0, 10));
}
