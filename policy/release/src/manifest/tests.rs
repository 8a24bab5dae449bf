use proptest::prelude::*;
use serde_json::json;

use policy::case::{Asked, CLIENT_DEFAULT, Caller, Certificate, Credentials, Expect, Step};
use policy::model::CertificateName;

use super::*;
use crate::bounds::DEPTH_MAX;
use crate::testing::{manifest, policy, time};

const RUNNING: EngineVersion = EngineVersion { major: 0, minor: 1, patch: 0 };

/// The bytes themselves: a change here is a change of the format and of every digest.
#[test]
fn golden() {
    let payload = String::from_utf8(manifest().to_payload().unwrap()).unwrap();
    let (parent, zeros) = (Digest::of(b"parent").to_string(), "0".repeat(64));
    let cost = |of: [u32; 5]| {
        let [comparisons, hashed, lines, probes, steps] = of;
        format!(
            "{{\"comparisons\":{comparisons},\"hashed_bytes\":{hashed},\"lines\":{lines},\"probes\":{probes},\"steps\":{steps}}}"
        )
    };
    let (caller, grant, route) = (cost([0, 0, 0, 0, 0]), cost([8, 0, 3, 0, 10]), cost([17, 32, 7, 2, 8]));
    let cost = format!(
        "\"cost\":{{\"decision\":{{\"caller\":{caller},\"grant\":{grant},\"limits\":1,\"route\":{route}}},\"table_format\":4}},"
    );
    let expected = [
        "{\"cases\":[],",
        &cost,
        "\"engine_min\":\"0.1.0\",\"expires\":\"2027-01-31T00:00:00Z\",",
        "\"parent\":\"",
        &parent,
        "\",\"policy\":{\"agents\":[{\"identity\":[{\"proofs\":{\"api_keys\":[\"reports-1\"],\"certificate\":null,",
        "\"token\":null}}],\"limits\":[{\"count\":60,\"kind\":{\"rate\":{\"burst\":5}},\"name\":\"minute\",",
        "\"per\":\"agent\",\"unit\":\"minute\"}],\"name\":\"reports-bot\",\"scopes\":[\"orders:read\"]}],",
        "\"api_keys\":[{\"expires_s\":1801353600,\"id\":\"reports-1\",\"sha256\":\"",
        &zeros,
        "\"}],\"audit\":\"queued\",\"client_cas\":[],\"issuers\":[],\"name\":\"orders-edge\",",
        "\"origins\":[{\"addresses\":[\"10.0.0.5:8080\"],\"name\":\"orders\",\"pass_credentials\":false,\"tls\":null}],",
        "\"routes\":[{\"encoded_slash\":false,\"host\":\"api.corp.example\",\"methods\":{\"only\":[\"GET\"]},",
        "\"name\":\"order-read\",\"origin\":\"orders\",\"path\":\"/orders/{id}\",\"path_parameters\":false}],",
        "\"scopes\":[{\"name\":\"orders:read\",\"routes\":[\"order-read\"]}],\"transport\":\"plain\"},",
        "\"policy_name\":\"orders-edge\",\"type\":\"adamant.release.v1\",\"version\":3}",
    ]
    .concat();
    assert_eq!(payload, expected);
}

#[test]
fn round_trip_and_determinism() {
    let payload = manifest().to_payload().unwrap();
    let again = Manifest::parse(&payload, RUNNING).unwrap();
    assert_eq!(again, manifest());
    assert_eq!(again.to_payload().unwrap(), payload);
    assert_eq!(manifest().to_envelope().unwrap().to_bytes(), manifest().to_envelope().unwrap().to_bytes());
}

#[test]
fn each_argument_changes_the_digest_and_nothing_else_does() {
    let digest = |version, parent, expires: &str, cases| {
        let manifest = Manifest::new(policy(), version, parent, time(expires), cases).unwrap();
        manifest.to_envelope().unwrap().digest()
    };
    let base = || digest(1, None, "2027-01-31T00:00:00Z", vec![]);
    let others = [
        digest(2, None, "2027-01-31T00:00:00Z", vec![]),
        digest(1, Some(Digest::of(b"p")), "2027-01-31T00:00:00Z", vec![]),
        digest(1, None, "2027-01-31T00:00:01Z", vec![]),
        digest(1, None, "2027-01-31T00:00:00Z", vec![case("a")]),
    ];
    assert_eq!(base(), base());
    assert!(others.iter().all(|other| *other != base()));
}

fn case(name: &str) -> Case {
    let asked = Asked { tls: true, method: "GET".into(), host: "a".into(), target: "/".into() };
    let caller = Caller::Presents(Credentials::default());
    let (client, expect) = (CLIENT_DEFAULT, Expect::default());
    Case {
        name: name.to_owned(),
        at_s: 1,
        steps: vec![Step { after_ms: 0, repeat: 1, caller, request: asked, client, expect }],
    }
}

#[test]
fn the_order_of_cases_means_nothing() {
    let of = |cases: &[&str]| {
        let cases = cases.iter().map(|name| case(name)).collect();
        Manifest::new(policy(), 1, None, time("2027-01-31T00:00:00Z"), cases).unwrap()
    };
    let manifest = of(&["b", "a"]);
    assert_eq!(manifest, of(&["a", "b"]));
    assert_eq!(manifest.cases().unwrap(), [case("a"), case("b")]);
}

fn parse_edited(edit: impl Fn(&mut Value)) -> Result<Manifest, ManifestFault> {
    let mut json: Value = serde_json::from_slice(&manifest().to_payload().unwrap()).unwrap();
    edit(&mut json);
    Manifest::parse(&canonical::to_bytes(&json).unwrap(), RUNNING)
}

#[test]
fn unknown_and_missing_members_are_refused_everywhere() {
    for pointer in [
        "",
        "/policy",
        "/policy/agents/0",
        "/policy/agents/0/identity/0/proofs",
        "/policy/agents/0/limits/0",
        "/policy/agents/0/limits/0/kind/rate",
        "/policy/origins/0",
        "/policy/routes/0",
        "/policy/scopes/0",
        "/policy/api_keys/0",
    ] {
        let result = parse_edited(|json| json.pointer_mut(pointer).unwrap()["zzz"] = json!(1));
        assert!(matches!(result, Err(ManifestFault::Members(_))), "{pointer}");
    }
    for member in ["type", "policy_name", "version", "expires", "engine_min", "policy", "cases"] {
        let result = parse_edited(|json| {
            json.as_object_mut().unwrap().remove(member);
        });
        assert!(matches!(result, Err(ManifestFault::Members(_))), "{member}");
    }
}

#[test]
fn repeated_members_are_refused() {
    let payload = String::from_utf8(manifest().to_payload().unwrap()).unwrap();
    for (once, twice) in [
        ("\"version\":3", "\"version\":3,\"version\":4"),
        ("\"audit\":\"queued\"", "\"audit\":\"queued\",\"audit\":\"durable\""),
        ("{\"burst\":5}", "{\"burst\":5,\"burst\":500}"),
    ] {
        let changed = payload.replace(once, twice);
        assert_ne!(changed, payload);
        let result = Manifest::parse(changed.as_bytes(), RUNNING);
        assert!(matches!(result, Err(ManifestFault::Canonical(CanonicalFault::Order { .. }))), "{twice}");
    }
}

/// An engine that is too old says so even when the release has members that it does not know.
#[test]
fn an_old_engine_says_that_it_is_old() {
    let newer = |json: &mut Value| {
        json["engine_min"] = json!("0.2.0");
        json["policy"]["mirrors"] = json!([]);
    };
    let error = parse_edited(newer).unwrap_err();
    assert_eq!(error.to_string(), "expected an engine of at least 0.2.0, found 0.1.0; upgrade the engine first");
    let error = parse_edited(|json| json["type"] = json!("adamant.release.v2")).unwrap_err();
    assert!(matches!(error, ManifestFault::Format { .. }), "{error}");
    let payload = manifest().to_payload().unwrap();
    Manifest::parse(&payload, EngineVersion { major: 1, minor: 0, patch: 0 }).unwrap();
}

#[test]
fn values_that_cannot_be_meant() {
    assert!(matches!(parse_edited(|json| json["version"] = json!(0)), Err(ManifestFault::Version { found: 0 })));
    assert!(matches!(parse_edited(|json| json["policy_name"] = json!("")), Err(ManifestFault::Name { .. })));
    assert!(matches!(parse_edited(|json| json["policy_name"] = json!("a\nb")), Err(ManifestFault::Name { .. })));
    assert!(matches!(parse_edited(|json| json["policy_name"] = json!("other")), Err(ManifestFault::Names { .. })));
    assert!(matches!(parse_edited(|json| json["cases"] = json!([1])), Err(ManifestFault::Cases { .. })));
    let many = vec![case("a"); CASES_MAX + 1];
    let result = Manifest::new(policy(), 1, None, time("2027-01-31T00:00:00Z"), many);
    assert!(matches!(result, Err(ManifestFault::Cases { .. })));
    let result = Manifest::new(policy(), INTEGER_MAX + 1, None, time("2027-01-31T00:00:00Z"), vec![]);
    assert!(matches!(result, Err(ManifestFault::Version { .. })));
    let mut unnamed = policy();
    unnamed.name = "x".repeat(NAME_BYTES_MAX + 1);
    let result = Manifest::new(unnamed, 1, None, time("2027-01-31T00:00:00Z"), vec![]);
    assert!(matches!(result, Err(ManifestFault::Name { .. })));
}

#[test]
fn cases_of_any_form_are_carried_and_bounded() {
    let case = json!({"name": "reads an order", "request": {"method": "GET"}, "expect": {"decision": "permit"}});
    let read = parse_edited(|json| json["cases"] = json!([case.clone()])).unwrap();
    assert_eq!(read.cases, [case]);
    assert!(matches!(read.cases(), Err(ManifestFault::Case { number: 1, .. })), "a form of a later version");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
    let payload = String::from_utf8(manifest().to_payload().unwrap()).unwrap();
    let payload = payload.replace("\"cases\":[]", &format!("\"cases\":[{deep}]"));
    assert!(matches!(
        Manifest::parse(payload.as_bytes(), RUNNING),
        Err(ManifestFault::Canonical(CanonicalFault::Depth { .. }))
    ));
}

/// What needs no more is written as before, so that its release keeps its digest and is read everywhere.
#[test]
fn a_certificate_of_a_case_is_written_in_the_older_form_where_that_can_say_it() {
    let dns = |name: &str| CertificateName::Dns(name.to_owned());
    let one = Certificate { names: vec![dns("a")], cas: vec!["ca".to_owned()] };
    let several = Certificate { names: vec![dns("a"), dns("b")], cas: vec!["ca".to_owned()] };
    for (certificate, form) in [
        (one, json!({"name": {"dns": "a"}, "ca": "ca"})),
        (several, json!({"names": [{"dns": "a"}, {"dns": "b"}], "cas": ["ca"]})),
    ] {
        assert_eq!(serde_json::to_value(&certificate).unwrap(), form);
        assert_eq!(serde_json::from_value::<Certificate>(form).unwrap(), certificate);
    }
}

/// Releases of before there was a cost certificate are read, and keep their bytes and so their digest.
#[test]
fn a_manifest_without_a_cost_is_read_as_it_was_written() {
    let mut older = manifest();
    older.cost = None;
    let payload = older.to_payload().unwrap();
    assert!(!String::from_utf8_lossy(&payload).contains("cost"));
    let read = Manifest::parse(&payload, RUNNING).unwrap();
    assert_eq!((read.to_payload().unwrap(), read.cost), (payload, None));
    let null = parse_edited(|json| json["cost"] = Value::Null);
    assert!(matches!(null, Err(ManifestFault::Members(_))), "a second form of the same");
    let unknown = parse_edited(|json| json["cost"]["decision"]["route"]["zzz"] = json!(1));
    assert!(matches!(unknown, Err(ManifestFault::Members(_))));
}

#[test]
fn a_cost_that_is_not_the_policys_own_is_found() {
    let manifest = manifest();
    let cost = manifest.cost.clone().unwrap();
    assert_eq!(cost, ReleaseCost::of(&manifest.policy).unwrap());
    let table = cost.decision;
    assert_eq!(cost.check(&table), Ok(()));
    let cheaper = parse_edited(|json| json["cost"]["decision"]["route"]["lines"] = json!(1)).unwrap().cost.unwrap();
    let fault = cheaper.check(&table).unwrap_err().to_string();
    assert!(fault.contains("10 cache lines") && fault.contains("build it again"), "{fault}");
    let other = ReleaseCost { table_format: 1, ..cheaper };
    assert_eq!(other.check(&table), Ok(()), "about tables of another form");
    assert!(!other.is_of_this_engine());
}

proptest! {
    #[test]
    fn no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Manifest::parse(&bytes, RUNNING);
    }

    #[test]
    fn no_panic_near_a_manifest(at in any::<prop::sample::Index>(), byte: u8) {
        let mut payload = manifest().to_payload().unwrap();
        let at = at.index(payload.len());
        payload[at] = byte;
        if let Ok(read) = Manifest::parse(&payload, RUNNING) {
            // What is accepted has one form: its own.
            prop_assert_eq!(read.to_payload().unwrap(), payload);
        }
    }
}
