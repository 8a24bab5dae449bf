//! `[[case]]`: who asks for what, when, and what shall come of it.

use std::net::IpAddr;

use policy::bounds::CERTIFICATE_NAMES_MAX;
use policy::case::{AT_DEFAULT_S, AsAgent, Asked, CLIENT_DEFAULT, Caller, Case, Certificate, Credentials, Step, Token};
use toml::de::{DeTable, DeValue};

use crate::bounds::{
    ALTERNATIVES_PER_AGENT_MAX, CASE_AFTER_MAX_S, CASE_NAME_BYTES_MAX, CASE_REPEAT_MAX, CASE_STEPS_MAX,
    CLAIM_BYTES_MAX, CLIENT_CAS_MAX, LOCATION_BYTES_MAX, PATH_BYTES_MAX, SCOPES_MAX, SUBJECT_BYTES_MAX,
};
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::draft::{CallerPlaces, CaseDraft, StepPlaces};
use crate::fields::{Fields, Value, shown};
use crate::forms::{Flaw, certificate, duration, request};
use crate::read::{expect, identity};
use crate::reading::{Kind, Reading};

pub(super) const KEYS: &[&str] = &[
    "name",
    "agent",
    "alternative",
    "subject",
    "scopes",
    "certificate",
    "ca",
    "token",
    "api_key",
    "request",
    "client",
    "at",
    "expect",
    "steps",
];
pub(super) const STEP_KEYS: &[&str] = &[
    "after",
    "repeat",
    "agent",
    "alternative",
    "subject",
    "scopes",
    "certificate",
    "ca",
    "token",
    "api_key",
    "request",
    "client",
    "expect",
];
pub(super) const TOKEN_KEYS: &[&str] = &["issuer", "subject", "scopes", "bound"];

const TOKEN_EXAMPLE: &str = "token = { issuer = \"…\", subject = \"…\", scopes = [\"…\"] }";

/// Who asks, and where that is said.
type CallerDraft = (Caller, CallerPlaces);

/// What a step takes over from its case.
struct Said {
    caller: Option<CallerDraft>,
    request: Option<(Asked, Span)>,
    client: Option<IpAddr>,
}

pub(super) fn read<'d>(table: &'d DeTable<'d>, span: Span, reading: &mut Reading<'d, '_>) -> Option<CaseDraft> {
    let fields = Fields::new(table, span, "[[case]]", KEYS, reading);
    let name = super::named(&fields, "name", Kind::Case, name, reading);
    if let Some(name) = name
        && let Some(file) = reading.elsewhere.get(name.value)
    {
        let hint = format!("the other one stands in {}: rename or remove one", shown(file));
        let message = format!("two [[case]] tables are named `{}`", shown(name.value));
        reading.sink.push(Diagnostic::new(codes::DUPLICATE_NAME, name.span, message).label("taken").hint(hint));
    }
    let at_s = fields.get("at").map(|value| super::instant(value, codes::BAD_TIME, reading));
    let said = said(&fields, span, None, reading);
    let steps = match (fields.get("steps"), fields.get("expect")) {
        (Some(_), Some(_)) => {
            let message = "a case with `steps` says in each of them what is expected";
            let diagnostic = Diagnostic::new(codes::BAD_CASE, fields.key_span("expect"), message);
            reading.sink.push(diagnostic.label("not beside `steps`").hint("move it into the steps"));
            None
        }
        (Some(value), None) => steps(value, said?, span, reading),
        (None, _) => {
            let places = |limit| StepPlaces { at: span, request: span, caller: nowhere(span), limit };
            let expect = fields.required("expect", "expect = \"permit\"", reading);
            let expect = expect.and_then(|value| expect::read(value, reading));
            let asked = fields.required("request", "request = \"GET https://…\"", reading);
            let (said, (expect, limit), _) = (said?, expect?, asked?);
            let step = Step { after_ms: 0, repeat: 1, ..step(&said, expect)? };
            Some(vec![(step, said_places(&said, places(limit)))])
        }
    };
    let (name, at_s, steps) = (name?, super::if_given(at_s)?, steps?);
    let (steps, steps_at) = steps.into_iter().unzip();
    let case = Case { name: name.value.to_owned(), at_s: at_s.unwrap_or(AT_DEFAULT_S), steps };
    Some(CaseDraft { case, at: span, steps_at })
}

fn name(text: &str) -> Result<(), Flaw> {
    if text.trim().is_empty() || text.chars().any(char::is_control) || text.len() > CASE_NAME_BYTES_MAX {
        let message = format!("the name of a case has 1 to {CASE_NAME_BYTES_MAX} bytes and no control characters");
        let flaw = Flaw::new(codes::BAD_NAME, message).label("not a name");
        return Err(flaw.hint("say in a few words what the case shows"));
    }
    Ok(())
}

fn steps<'d>(
    value: &'d Value<'d>,
    of_case: Said,
    case_at: Span,
    reading: &mut Reading<'d, '_>,
) -> Option<Vec<(Step, StepPlaces)>> {
    const EXAMPLE: &str = "{ repeat = 60, expect = \"permit\" }";
    let items = reading.items(value, "step", CASE_STEPS_MAX)?;
    let read = |item: &'d Value<'d>, reading: &mut Reading<'d, '_>| {
        let fields = Fields::of_value(item, "steps", STEP_KEYS, EXAMPLE, reading)?;
        let after = fields.get("after").map(|value| {
            let text = reading.string(value, CLAIM_BYTES_MAX)?;
            reading.form(text, duration::duration_ms(text.value, CASE_AFTER_MAX_S))
        });
        let repeat = fields.get("repeat").map(|value| reading.integer(value, 1, CASE_REPEAT_MAX));
        let said = said(&fields, item.span().into(), of_case.caller.as_ref(), reading);
        let expect = fields.required("expect", "expect = \"permit\"", reading);
        let expect = expect.and_then(|value| expect::read(value, reading));
        let (said, (expect, limit)) = (said?, expect?);
        let said = Said {
            caller: said.caller.or_else(|| of_case.caller.clone()),
            request: said.request.or_else(|| of_case.request.clone()),
            client: said.client.or(of_case.client),
        };
        let Some(step) = step(&said, expect) else {
            let message = "neither this step nor its case says what is asked for";
            let diagnostic = Diagnostic::new(codes::MISSING_KEY, fields.span, message).label("`request` is missing");
            reading.sink.push(diagnostic.hint("add `request = \"GET https://…\"` to the case"));
            return None;
        };
        let (after_ms, repeat) = (super::if_given(after)?, super::if_given(repeat)?);
        let step = Step { after_ms: after_ms.unwrap_or(0), repeat: repeat.unwrap_or(1), ..step };
        let places = StepPlaces { at: item.span().into(), request: case_at, caller: nowhere(case_at), limit };
        Some((step, said_places(&said, places)))
    };
    let steps: Vec<_> = items.iter().map(|item| read(item, reading)).collect();
    steps.into_iter().collect()
}

/// The step that is said; none if nothing is asked for.
fn step(said: &Said, expect: policy::case::Expect) -> Option<Step> {
    let request = said.request.as_ref()?.0.clone();
    let caller = said.caller.as_ref().map(|(caller, _)| caller.clone());
    let caller = caller.unwrap_or_else(|| Caller::Presents(Credentials::default()));
    let client = said.client.unwrap_or(CLIENT_DEFAULT);
    Some(Step { after_ms: 0, repeat: 1, caller, request, client, expect })
}

fn said_places(said: &Said, places: StepPlaces) -> StepPlaces {
    let caller = said.caller.as_ref().map_or(places.caller, |(_, places)| places.clone());
    let request = said.request.as_ref().map_or(places.request, |(_, span)| *span);
    StepPlaces { request, caller, ..places }
}

fn nowhere(span: Span) -> CallerPlaces {
    CallerPlaces { who: span, alternative: span, subject: span, scopes: span }
}

/// Who asks, for what and from where, as far as it stands here; `outer` asks in the whole case. None: some of it is
/// wrong.
fn said<'d>(
    fields: &Fields<'d>,
    span: Span,
    outer: Option<&CallerDraft>,
    reading: &mut Reading<'d, '_>,
) -> Option<Said> {
    let caller = caller(fields, span, outer, reading);
    let request = fields.get("request").map(|value| {
        let text = reading.string(value, PATH_BYTES_MAX)?;
        let asked = reading.form(text, request::request(text.value))?;
        Some((asked, text.span))
    });
    let client = fields.get("client").map(|value| {
        let text = reading.string(value, CLAIM_BYTES_MAX)?;
        let address = text.value.parse::<IpAddr>().ok();
        if address.is_none() {
            let message = format!("`{}` is not an IP address", shown(text.value));
            let diagnostic = Diagnostic::new(codes::BAD_CLIENT, text.span, message).label("not an address");
            reading.sink.push(diagnostic.hint("like `192.0.2.1` or `2001:db8::1`, without a port"));
        }
        address.map(|address| address.to_canonical())
    });
    Some(Said { caller: caller?, request: super::if_given(request)?, client: super::if_given(client)? })
}

/// `agent`, or the credentials themselves. Some(None): neither is said.
fn caller<'d>(
    fields: &Fields<'d>,
    span: Span,
    outer: Option<&CallerDraft>,
    reading: &mut Reading<'d, '_>,
) -> Option<Option<CallerDraft>> {
    const OF_AGENT: [&str; 3] = ["alternative", "subject", "scopes"];
    const CREDENTIALS: [&str; 4] = ["certificate", "ca", "token", "api_key"];
    let first_of = |keys: &[&'static str]| keys.iter().copied().find(|key| fields.get(key).is_some());
    let place = |key: &str| fields.get(key).map_or(span, |value| value.span().into());
    let (credential, of_agent) = (first_of(&CREDENTIALS), first_of(&OF_AGENT));
    // A step may change a part of what its case says of an agent.
    let outer = outer.filter(|_| of_agent.is_some());
    let agent = outer.and_then(|(caller, _)| if let Caller::Agent(agent) = caller { Some(agent) } else { None });
    if fields.get("agent").is_some() || agent.is_some() {
        if let Some(key) = credential {
            let message = "a case says `agent`, or the credentials themselves";
            let diagnostic = Diagnostic::new(codes::BAD_CASE, fields.key_span(key), message).label("beside `agent`");
            let hint = "`agent` stands for all proofs of one of its alternatives: remove one of the two";
            reading.sink.push(diagnostic.hint(hint));
            return None;
        }
        let places = CallerPlaces {
            who: place("agent"),
            alternative: place("alternative"),
            subject: place("subject"),
            scopes: place("scopes"),
        };
        return Some(Some((Caller::Agent(as_agent(fields, agent, reading)?), places)));
    }
    if let Some(key) = of_agent {
        let message = format!("`{key}` without `agent`");
        let diagnostic = Diagnostic::new(codes::BAD_CASE, fields.key_span(key), message).label("of whom?");
        reading.sink.push(diagnostic.hint(format!("add `agent = \"…\"` here, or write `{TOKEN_EXAMPLE}`")));
        return None;
    }
    if credential.is_none() {
        return Some(None);
    }
    let places = CallerPlaces { who: place("certificate"), scopes: place("token"), ..nowhere(span) };
    Some(Some((Caller::Presents(credentials(fields, reading)?), places)))
}

fn as_agent<'d>(fields: &Fields<'d>, outer: Option<&AsAgent>, reading: &mut Reading<'d, '_>) -> Option<AsAgent> {
    let name = fields.get("agent").map(|value| super::mention(Some(value), Kind::Agent, reading));
    let most = u32::try_from(ALTERNATIVES_PER_AGENT_MAX).unwrap_or(u32::MAX);
    let alternative = fields.get("alternative").map(|value| reading.integer(value, 1, most));
    let subject = fields.get("subject").map(|value| subject(value, reading));
    let scopes = fields.get("scopes").map(|value| token_scopes(value, reading));
    let (name, alternative) = (super::if_given(name)?, super::if_given(alternative)?);
    let (subject, scopes) = (super::if_given(subject)?, super::if_given(scopes)?);
    // With an agent of its own, a step takes over nothing of the other one.
    let of_agent = |name: &str| AsAgent { name: name.to_owned(), alternative: 1, subject: None, scopes: None };
    let base = name.map(|name| of_agent(name.value)).or_else(|| outer.cloned())?;
    Some(AsAgent {
        alternative: alternative.unwrap_or(base.alternative),
        subject: subject.or(base.subject),
        scopes: scopes.or(base.scopes),
        name: base.name,
    })
}

fn credentials<'d>(fields: &Fields<'d>, reading: &mut Reading<'d, '_>) -> Option<Credentials> {
    let certificate = fields.get("certificate").map(|value| {
        let names = one_or_several(value, "name", CERTIFICATE_NAMES_MAX, reading, |item, reading| {
            let text = reading.filled_string(item, LOCATION_BYTES_MAX)?;
            reading.form(text, certificate::certificate_name(text.value))
        });
        let cas = fields.required("ca", "ca = \"…\"", reading).and_then(|value| {
            one_or_several(value, "client CA", CLIENT_CAS_MAX, reading, |item, reading| {
                super::mention(Some(item), Kind::ClientCa, reading).map(|ca| ca.value.to_owned())
            })
        });
        Some(Certificate { names: names?, cas: cas? })
    });
    if certificate.is_none() && fields.get("ca").is_some() {
        let diagnostic = Diagnostic::new(codes::BAD_CASE, fields.key_span("ca"), "`ca` without `certificate`");
        reading.sink.push(diagnostic.label("of which certificate?").hint("add `certificate = \"spiffe://…\"`"));
        return None;
    }
    let token = fields.get("token").map(|value| token(value, reading));
    let api_key = fields.get("api_key").map(|value| {
        no_secret(value, "adm_", reading)?;
        super::mention(Some(value), Kind::ApiKey, reading).map(|id| id.value.to_owned())
    });
    let (certificate, token, api_key) =
        (super::if_given(certificate)?, super::if_given(token)?, super::if_given(api_key)?);
    Some(Credentials { certificate, token, api_key })
}

/// One string, or a list of them: in order, each once. An entry that is wrong is reported and makes all of it none.
fn one_or_several<'d, 'f, T: Ord>(
    value: &'d Value<'d>,
    what: &str,
    most: usize,
    reading: &mut Reading<'d, 'f>,
    read: impl Fn(&'d Value<'d>, &mut Reading<'d, 'f>) -> Option<T>,
) -> Option<Vec<T>> {
    let items = match value.get_ref() {
        DeValue::Array(_) => reading.items(value, what, most)?,
        _ => std::slice::from_ref(value),
    };
    let found: Vec<Option<T>> = items.iter().map(|item| read(item, reading)).collect();
    let mut found: Vec<T> = found.into_iter().collect::<Option<_>>()?;
    found.sort_unstable();
    found.dedup();
    Some(found)
}

fn token<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<Token> {
    no_secret(value, "eyJ", reading)?;
    let fields = Fields::of_value(value, "token of a case", TOKEN_KEYS, TOKEN_EXAMPLE, reading)?;
    let issuer = fields.required("issuer", "issuer = \"…\"", reading);
    let issuer = super::mention(issuer, Kind::Issuer, reading);
    let subject = fields.required("subject", "subject = \"…\"", reading).and_then(|value| subject(value, reading));
    let scopes = fields.get("scopes").map(|value| token_scopes(value, reading));
    let bound = fields.get("bound").map(|value| reading.one_of(value, identity::BINDINGS));
    Some(Token {
        issuer: issuer?.value.to_owned(),
        subject: subject?,
        scopes: super::if_given(scopes)?,
        bound: super::if_given(bound)?,
    })
}

fn subject<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<String> {
    let text = reading.filled_string(value, SUBJECT_BYTES_MAX)?;
    if text.value == "*" {
        let message = "a case is about one subject";
        let diagnostic = Diagnostic::new(codes::BAD_CASE, text.span, message).label("any subject");
        reading.sink.push(diagnostic.hint("name one, like `subject = \"alice\"`"));
        return None;
    }
    Some(text.value.to_owned())
}

/// Scopes in a token; there may be none, and some that no policy knows.
fn token_scopes<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<Vec<String>> {
    if matches!(value.get_ref(), DeValue::Array(items) if items.is_empty()) {
        return Some(Vec::new());
    }
    let texts = reading.strings(value, "scope", SCOPES_MAX, CLAIM_BYTES_MAX)?;
    let mut scopes: Vec<String> = texts.iter().map(|text| text.value.to_owned()).collect();
    scopes.sort_unstable();
    Some(scopes)
}

/// Refuses a credential where its facts belong.
fn no_secret(value: &Value<'_>, start: &str, reading: &mut Reading<'_, '_>) -> Option<()> {
    match value.get_ref() {
        DeValue::String(text) if text.starts_with(start) => {
            let message = "this is the credential itself; a case states its facts";
            let diagnostic = Diagnostic::new(codes::SECRET_IN_POLICY, value.span().into(), message).label("a secret");
            let hint = match start {
                "adm_" => "write the id of the key, the part between the first two underscores".to_owned(),
                _ => format!("write `{TOKEN_EXAMPLE}`"),
            };
            reading.sink.push(diagnostic.hint(hint));
            None
        }
        _ => Some(()),
    }
}
