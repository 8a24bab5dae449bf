use policy::compile::compile;
use policy::model::{
    Algorithm, ApiKey, Identity, Methods, OriginAssertion, OriginCredential, OriginTls, Proofs, Route,
};
use policy::table::Table;

use super::*;
use crate::tests::universe::{ca, empty, issuer};
use crate::{Diff, Side, Verdict, diff};

fn base() -> Policy {
    let mut policy = empty();
    policy.issuers.push(issuer("corp", None));
    policy.client_cas.push(ca("agents"));
    policy.api_keys.push(ApiKey { id: "k".into(), sha256: Some("aa".into()), expires_s: Some(1_000_000_000) });
    policy.routes.push(Route {
        name: "r".into(),
        host: "*".into(),
        methods: Methods::Any,
        path: "/".into(),
        origin: "o1".into(),
        encoded_slash: false,
        path_parameters: false,
    });
    policy.agents.push(policy::model::Agent {
        name: "a".into(),
        identity: vec![Identity::Proofs(Proofs { api_keys: vec!["k".into()], ..Proofs::default() })],
        scopes: vec![],
        limits: vec![],
    });
    policy
}

fn compare(old: &Policy, new: &Policy) -> Diff {
    let table = |policy: &Policy| Table::load(compile(policy, [0; 32]).unwrap()).unwrap();
    diff(Side { policy: old, table: &table(old) }, Side { policy: new, table: &table(new) })
}

/// The one setting that an edit changes: what, direction there and back, and whether each way needs the wider role.
fn edit(edit: impl FnOnce(&mut Policy)) -> (&'static str, [Direction; 2], [bool; 2]) {
    between(|_| {}, edit)
}

fn between(
    before: impl FnOnce(&mut Policy),
    edit: impl FnOnce(&mut Policy),
) -> (&'static str, [Direction; 2], [bool; 2]) {
    let (mut old, mut new) = (base(), base());
    before(&mut old);
    edit(&mut new);
    let (there, back) = (compare(&old, &new), compare(&new, &old));
    assert_eq!((there.settings.len(), back.settings.len()), (1, 1), "{there:#?}");
    for diff in [&there, &back] {
        assert_ne!(diff.verdict, Verdict::Same);
        assert!(diff.needs_wider == diff.settings[0].needs_wider);
    }
    let (first, second) = (&there.settings[0], &back.settings[0]);
    (first.what, [first.direction, second.direction], [first.needs_wider, second.needs_wider])
}

use Direction::{Changed, Narrower, Wider};

#[test]
fn what_is_trusted_needs_the_wider_role_whichever_way_it_changes() {
    let always = [true, true];
    let audience = edit(|it| it.issuers[0].audience.push("b".into()));
    assert_eq!(audience, ("audience", [Wider, Narrower], always));
    let algorithms = edit(|it| it.issuers[0].algorithms.push(Algorithm::RS256));
    assert_eq!(algorithms, ("algorithms", [Wider, Narrower], always));
    let name = edit(|it| it.issuers[0].name.push('x'));
    assert_eq!(name, ("name", [Changed, Changed], always));
    let url = edit(|it| it.issuers[0].issuer.push('x'));
    assert_eq!(url, ("issuer", [Changed, Changed], always));
    assert_eq!(edit(|it| it.issuers[0].leeway_s = 30), ("leeway", [Wider, Narrower], always));
    let keys = edit(|it| it.issuers[0].keys = Keys::Watch { path: "x".into() });
    assert_eq!(keys, ("keys", [Changed, Changed], always));
    for (refresh_s, max_stale_s, ca, directions) in [
        (60, 601, Some(ServerCa::System), [Wider, Narrower]),
        (61, 600, Some(ServerCa::System), [Wider, Narrower]),
        (60, 600, None, [Changed, Changed]),
    ] {
        let by_url = |refresh_s, max_stale_s, ca| {
            let fetched = Fetched { url: "https://k/".into(), refresh_s, max_stale_s, ca };
            move |it: &mut Policy| it.issuers[0].keys = Keys::Url(fetched)
        };
        let found = between(by_url(60, 600, Some(ServerCa::System)), by_url(refresh_s, max_stale_s, ca));
        assert_eq!(found, ("keys", directions, always));
    }
    let anchors = edit(|it| it.client_cas[0].certificates.push_str("-----BEGIN CERTIFICATE-----x"));
    assert_eq!(anchors, ("certificates", [Wider, Narrower], always));
    assert_eq!(edit(|it| it.audit = Audit::Durable), ("audit", [Narrower, Wider], always));
    assert_eq!(edit(|it| it.name.push('x')), ("name", [Changed, Changed], always));
}

#[test]
fn what_an_issuer_is_asked_is_wider_unless_its_answers_count_for_less_long() {
    let asked = |url: &str, cache_s| {
        let asked = Introspection {
            url: url.into(),
            ca: None,
            client: "me".into(),
            cache_s,
            prefix: None,
            subject: policy::model::IntrospectedSubject::Sub,
        };
        move |it: &mut Policy| it.issuers[0].introspection = Some(asked)
    };
    let always = [true, true];
    assert_eq!(edit(asked("a", 60)), ("introspection", [Wider, Narrower], always));
    assert_eq!(between(asked("a", 60), asked("a", 61)), ("introspection", [Wider, Narrower], always));
    assert_eq!(between(asked("a", 60), asked("b", 59)), ("introspection", [Changed, Changed], always));
    assert_eq!(edit(|it| it.issuers[0].keys = Keys::None), ("keys", [Narrower, Wider], always));
}

#[test]
fn a_source_of_revocation_lists_can_only_refuse() {
    let crl = |path: &str, enforce_expiration| {
        let crl = policy::model::Crl { path: path.into(), enforce_expiration };
        move |it: &mut Policy| it.client_cas[0].crl = Some(crl)
    };
    assert_eq!(edit(crl("a.crl", true)), ("crl", [Narrower, Wider], [false, true]));
    assert_eq!(between(crl("a.crl", false), crl("a.crl", true)), ("crl", [Narrower, Wider], [false, true]));
    assert_eq!(between(crl("a.crl", true), crl("b.crl", true)), ("crl", [Changed, Changed], [true, true]));
    assert_eq!(between(crl("a.crl", false), crl("b.crl", true)), ("crl", [Changed, Changed], [true, true]));
    // A CA that goes with its lists takes away what they refused of others.
    let second = |crl: Option<&str>| {
        let crl = crl.map(|path| policy::model::Crl { path: path.into(), enforce_expiration: true });
        move |it: &mut Policy| it.client_cas.push(ClientCa { name: "zz".into(), certificates: "other".into(), crl })
    };
    assert_eq!(edit(second(Some("a.crl"))), ("itself", [Wider, Changed], [true, true]));
    assert_eq!(edit(second(None)), ("itself", [Wider, Narrower], [true, false]));
}

#[test]
fn where_requests_go_needs_the_wider_role() {
    let always = [true, true];
    let addresses = edit(|it| it.origins[0].addresses.push("o3:1".into()));
    assert_eq!(addresses, ("addresses", [Changed, Changed], always));
    let tls = edit(|it| it.origins[0].tls = Some(OriginTls { ca: "x".into(), server_name: None, identity: None }));
    assert_eq!(tls, ("tls", [Changed, Changed], always));
    let pass = edit(|it| it.origins[0].pass_credentials = true);
    assert_eq!(pass, ("credentials", [Wider, Narrower], always));
    let own = |header: &str| {
        let (from, header, value) = ("key".into(), header.into(), "{secret}".into());
        move |it: &mut Policy| it.origins[0].credential = Some(OriginCredential { from, header, value })
    };
    assert_eq!(edit(own("x-key")), ("credentials", [Wider, Narrower], always));
    assert_eq!(between(own("x-key"), own("x-other")), ("credentials", [Changed, Changed], always));
    let asserted = |audience: &str| {
        let audience = audience.to_owned();
        move |it: &mut Policy| it.origins[0].assertion = Some(OriginAssertion { audience })
    };
    assert_eq!(edit(asserted("orders")), ("assertion", [Changed, Wider], always));
    assert_eq!(between(asserted("orders"), asserted("other")), ("assertion", [Changed, Changed], always));
    assert_eq!(edit(|it| it.routes[0].origin = "o2".into()), ("origin", [Changed, Changed], always));
}

#[test]
fn what_is_gone_or_asked_for_more_strictly_is_narrower() {
    let back_alone = [false, true];
    assert_eq!(edit(|it| it.transport = MinimumTransport::Tls), ("transport", [Narrower, Wider], back_alone));
    assert_eq!(edit(|it| it.issuers.clear()), ("itself", [Narrower, Wider], back_alone));
    assert_eq!(edit(|it| drop(it.origins.pop())), ("itself", [Narrower, Wider], back_alone));
    assert_eq!(edit(|it| it.api_keys[0].expires_s = Some(5)), ("expires", [Narrower, Wider], back_alone));
    assert_eq!(edit(|it| it.api_keys[0].sha256 = None), ("sha256", [Wider, Wider], [true, true]));
}

#[test]
fn long_values_are_cut() {
    let mut new = base();
    new.origins[0].addresses = (0..100).map(|number| format!("10.0.0.{number}:8080")).collect();
    let shown = compare(&base(), &new).settings[0].new.clone().unwrap();
    assert_eq!((shown.chars().count(), shown.ends_with('…')), (SHOWN_MAX + 1, true));
}

#[test]
fn times_are_shown_as_they_are_written() {
    let shown = [0, 951_782_400, 1_801_353_600, 4_102_444_799].map(date);
    assert_eq!(shown, ["1970-01-01T00:00:00Z", "2000-02-29T00:00:00Z", "2027-01-31T00:00:00Z", "2099-12-31T23:59:59Z"]);
}
