//! Test cases in a source and in files beside it.

use policy::case::{AT_DEFAULT_S, AsAgent, CLIENT_DEFAULT, Caller, Case, Certificate, Credentials, Token};
use policy::model::CertificateName;
use policy::reason::Reason;

use super::{BASE, codes, load_text};
use crate::{Loaded, render};

const READ: &str = "request = \"GET https://API.example:8443/orders/..%2f7?x=1\"";

fn loaded(cases: &str) -> Loaded {
    let text = format!("{BASE}\n{cases}");
    let loaded = load_text(&text);
    assert!(loaded.diagnostics.is_empty(), "{}", render(&loaded.diagnostics, "p", &text, false));
    loaded
}

fn only(cases: &str) -> Case {
    let mut cases = loaded(cases).cases;
    assert_eq!(cases.len(), 1);
    cases.remove(0).case
}

fn as_agent(name: &str) -> AsAgent {
    AsAgent { name: name.to_owned(), alternative: 1, subject: None, scopes: None }
}

#[test]
fn a_case_has_defaults() {
    let case = only(&format!("[[case]]\nname = \"bot reads\"\nagent = \"bot\"\n{READ}\nexpect = \"permit\"\n"));
    assert_eq!((case.name.as_str(), case.at_s, case.steps.len()), ("bot reads", AT_DEFAULT_S, 1));
    let step = &case.steps[0];
    assert_eq!((step.after_ms, step.repeat, step.client), (0, 1, CLIENT_DEFAULT));
    assert_eq!(step.caller, Caller::Agent(as_agent("bot")));
    let asked = (step.request.tls, step.request.method.as_str(), step.request.host.as_str());
    assert_eq!(asked, (true, "GET", "api.example"));
    assert_eq!(step.request.target, "/orders/..%2f7?x=1", "as a client would send it");
    assert!(step.expect.permit);
}

#[test]
fn credentials_are_facts() {
    let token = "token = { issuer = \"corp\", subject = \"alice\" }";
    let certificate = "certificate = \"dns:Bot.Example\"\nca = \"agents\"";
    let case = only(&format!(
        "[[case]]\nname = \"c\"\n{certificate}\n{token}\napi_key = \"tool-1\"\n{READ}\nat = 2026-11-21T12:00:00Z\nclient = \
         \"::ffff:10.0.0.1\"\nexpect = \"proofs-conflict\"\n"
    ));
    assert_eq!(case.at_s, 1_795_262_400);
    let step = &case.steps[0];
    assert_eq!(step.client.to_string(), "10.0.0.1");
    let Caller::Presents(Credentials { certificate, token, api_key }) = &step.caller else { panic!("credentials") };
    let Certificate { names, cas } = certificate.as_ref().unwrap();
    assert_eq!((&names[..], &cas[..]), (&[CertificateName::Dns("bot.example".into())][..], &["agents".to_owned()][..]));
    assert_eq!(*token, Some(Token { issuer: "corp".into(), subject: "alice".into(), scopes: None, bound: None }));
    assert_eq!(api_key.as_deref(), Some("tool-1"));
    assert_eq!((step.expect.permit, step.expect.reason), (false, Some(Reason::ProofsConflict)));
}

#[test]
fn a_certificate_has_one_name_or_several() {
    let of = |certificate: &str, cas: &str| {
        let cas = if cas.is_empty() { String::new() } else { format!("ca = {cas}\n") };
        let case = format!("[[case]]\nname = \"c\"\ncertificate = {certificate}\n{cas}{READ}\nexpect = \"deny\"\n");
        load_text(&format!("{BASE}\n{case}"))
    };
    let presented = |loaded: Loaded| match loaded.cases[0].case.steps[0].caller.clone() {
        Caller::Presents(credentials) => credentials.certificate.unwrap(),
        Caller::Agent(_) => panic!("credentials"),
    };
    let two = presented(of("[\"dns:b.example\", \"dns:a.example\", \"dns:b.example\"]", "[\"agents\"]"));
    let dns = |name: &str| CertificateName::Dns(name.into());
    assert_eq!(two, Certificate { names: vec![dns("a.example"), dns("b.example")], cas: vec!["agents".into()] });
    assert_eq!(presented(of("[\"dns:a.example\"]", "\"agents\"")), presented(of("\"dns:a.example\"", "[\"agents\"]")));
    for (certificate, cas, code) in [
        ("[]", "\"agents\"", "empty-list"),
        ("[\"dns:a.example\", \"b\"]", "\"agents\"", "bad-certificate-name"),
        ("\"dns:a.example\"", "[\"agents\", \"agent\"]", "unknown-reference"),
        ("\"dns:a.example\"", "", "missing-key"),
    ] {
        assert_eq!(codes(&of(certificate, cas)), [code], "{certificate} {cas}");
    }
}

#[test]
fn steps_take_over_what_they_do_not_say() {
    let case = only(&format!(
        "[[case]]\nname = \"c\"\nagent = \"staff\"\nsubject = \"alice\"\n{READ}\nclient = \"192.0.2.9\"\nsteps = [\n  {{ repeat \
         = 60, expect = \"permit\" }},\n  {{ after = \"1500ms\", agent = \"bot\", expect = {{ decision = \"deny\", reason = \
         \"limit-exceeded\", limit = \"minute\", status = 429 }} }},\n  {{ after = \"2m\", request = \"PUT http://b\", client \
         = \"::1\", expect = \"deny\" }},\n]\n"
    ));
    let [first, second, third] = case.steps.as_slice() else { panic!("three steps") };
    let alice = AsAgent { subject: Some("alice".into()), ..as_agent("staff") };
    assert_eq!((first.repeat, first.after_ms, &first.caller), (60, 0, &Caller::Agent(alice.clone())));
    assert_eq!((second.repeat, second.after_ms, &second.caller), (1, 1_500, &Caller::Agent(as_agent("bot"))));
    assert_eq!((second.expect.status, second.expect.limit.as_deref()), (Some(429), Some("minute")));
    assert_eq!((second.client.to_string().as_str(), &second.request), ("192.0.2.9", &first.request));
    assert_eq!((third.after_ms, third.client.to_string().as_str()), (120_000, "::1"));
    assert_eq!((third.request.tls, third.request.target.as_str()), (false, "/"));
    assert_eq!(third.caller, Caller::Agent(alice));
}

#[test]
fn a_step_may_change_a_part_of_the_agent() {
    let case = only(&format!(
        "[[case]]\nname = \"c\"\nagent = \"staff\"\nsubject = \"alice\"\n{READ}\nsteps = [\n  {{ subject = \"bob\", expect = \
         \"permit\" }},\n  {{ agent = \"staff\", expect = \"permit\" }},\n]\n"
    ));
    let bob = AsAgent { subject: Some("bob".into()), ..as_agent("staff") };
    assert_eq!(case.steps[0].caller, Caller::Agent(bob));
    assert_eq!(case.steps[1].caller, Caller::Agent(as_agent("staff")), "said anew, nothing is taken over");
}

#[test]
fn cases_have_places_and_leave_the_policy_alone() {
    let cases = format!("[[case]]\nname = \"b\"\n{READ}\nsteps = [\n  {{ expect = \"deny\" }},\n]\n");
    let with = loaded(&cases);
    assert_eq!(with.policy, load_text(BASE).policy);
    let header = format!("{BASE}\n").matches('\n').count() + 1;
    assert_eq!((with.cases[0].line, with.cases[0].step_lines.as_slice()), (header, &[header + 4][..]));
}

#[test]
fn files_of_cases_are_read_and_checked() {
    let with = |files: &str| load_text(&BASE.replace("name = \"p\"", &format!("name = \"p\"\ncases = [{files}]")));
    let good = with("\"good.cases\"");
    assert!(codes(&good).is_empty() && good.policy.is_some());
    assert_eq!((good.cases.len(), good.cases[0].file, good.cases[0].line), (1, Some(0), 1));
    let wrong = with("\"good.cases\", \"wrong.cases\"");
    assert!(wrong.diagnostics.is_empty() && wrong.case_files[0].diagnostics.is_empty());
    let found = &wrong.case_files[1].diagnostics;
    assert_eq!(
        (found[0].code, found[0].line, found[0].hint.as_deref()),
        ("unknown-reference", 3, Some("did you mean `bot`?"))
    );
    assert!(wrong.policy.is_none() && wrong.cases.is_empty());
    let text = BASE.replace("name = \"p\"", "name = \"p\"\ncases = [\"good.cases\"]");
    let twice = load_text(&format!("{text}\n[[case]]\nname = \"from a file\"\n{READ}\nexpect = \"deny\"\n"));
    assert_eq!(twice.case_files[0].diagnostics[0].code, "duplicate-name");
    assert!(twice.policy.is_none());
    let pem = with("\"agents-ca.pem\"");
    assert_eq!(pem.case_files[0].diagnostics[0].code, "other-file");
}

#[test]
fn a_case_uses_nothing() {
    let spare = "[[scope]]\nname = \"spare\"\nroutes = [\"read\"]\n";
    let case = format!(
        "[[case]]\nname = \"c\"\ntoken = {{ issuer = \"corp\", subject = \"x\" }}\n{READ}\nexpect = {{ decision = \"permit\", scope = \"spare\" }}\n"
    );
    assert_eq!(codes(&load_text(&format!("{BASE}\n{spare}{case}"))), ["unused"]);
}

#[test]
fn cases_survive_the_way_through_a_release() {
    let case = only(&format!(
        "[[case]]\nname = \"c\"\nagent = \"bot\"\n{READ}\nsteps = [{{ expect = \"limit-exceeded\" }}, {{ expect = \"permit\" }}]\n"
    ));
    let json = serde_json::to_value(&case).unwrap();
    assert_eq!(serde_json::from_value::<Case>(json.clone()).unwrap(), case);
    let other = json.to_string().replace("limit-exceeded", "token-expired");
    assert!(serde_json::from_str::<Case>(&other).is_err());
}
