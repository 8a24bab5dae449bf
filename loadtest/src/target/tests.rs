//! The files that come with loadtest, and mistakes in others.

use std::path::Path;

use super::file::{Source, load, parse, shipped};
use super::template::{Template, Values, place};
use super::{Algorithm, Context, Fault, Flaw, LIMIT_NONE, LIMIT_SMALL, Material, Place, Work};

#[test]
fn every_target_parses_and_says_of_each_work_whether_it_does_it() {
    let names = shipped().unwrap();
    assert_eq!(names, ["adamant", "caddy", "direct", "envoy", "haproxy", "nginx", "relay"]);
    for name in names {
        let target = load(&name).unwrap();
        assert_eq!(target.name, name);
        for work in [Work::PassThrough, Work::Tls, Work::ApiKey, Work::Es256, Work::Rs256, Work::Mtls] {
            assert!(target.works.contains_key(&work) || target.cannot.contains_key(&work), "{name}: {work:?}");
        }
        let peer = matches!(&target.source, Source::Peer(peer) if *peer == name);
        assert_eq!(peer, ["caddy", "envoy", "haproxy", "nginx"].contains(&name.as_str()));
    }
}

#[test]
fn every_template_renders_with_either_limit() {
    let folder = tempfile::tempdir().unwrap();
    let material = Material::new(folder.path()).unwrap();
    let place = Place { peers: "/peers".into(), loadtest: "/loadtest".into(), adamant: "/adamant".into() };
    for name in shipped().unwrap() {
        let target = load(&name).unwrap();
        for work in target.works.keys() {
            for limit in [LIMIT_SMALL, LIMIT_NONE] {
                let origin = ([127, 0, 0, 1], 9).into();
                let context = Context { place: &place, material: &material, origin, core: 0, limit };
                let listen = ([127, 0, 0, 1], 8).into();
                let rendered = target.render(&context, *work, listen, folder.path()).unwrap();
                for (file, text) in &rendered.files {
                    assert!(!text.contains("{{"), "{name} {work:?} {file}: {text}");
                }
            }
        }
    }
}

#[test]
fn mistakes_are_told_at_their_place() {
    let good = "name = \"x\"\nabout = \"\"\n[obtain]\nbuilt = \"b\"\n[[work]]\nname = \"tls\"\n";
    parse(good, Path::new("x.toml")).unwrap();
    for (from, to, at, word) in [
        ("\"tls\"", "\"tsl\"", "x.toml:6:8", "unknown variant"),
        ("about = ", "abuot = ", "x.toml:2:1", "unknown field"),
        ("built = \"b\"", "", "x.toml:1:1", "either `peer` or `built`"),
        ("name = \"tls\"\n", "name = \"tls\"\n[[cannot]]\nworks = [\"tls\"]\nwhy = \"\"", "x.toml:8:10", "both"),
        ("name = \"tls\"\n", "name = \"tls\"\n[[work]]\nname = \"tls\"\n", "x.toml:8:8", "once"),
        ("name = \"tls\"\n", "name = \"tls\"\nfiles = [\"none.cfg\"]\n", "x.toml:7:10", "none.cfg"),
        ("name = \"tls\"\n", "name = \"tls\"\narguments = [\"{{Bad}}\"]\n", "x.toml:7:14", "placeholder"),
        ("[[work]]\nname = \"tls\"\n", "", "x.toml:1:1", "at least one"),
    ] {
        let text = good.replacen(from, to, 1);
        let fault = parse(&text, Path::new("x.toml")).unwrap_err();
        let Fault::File { place, what } = &fault else { panic!("{fault}") };
        assert!(place == at && what.contains(word), "{text}\n{fault}");
    }
    assert!(load("apache").unwrap_err().to_string().contains("haproxy"));
    assert!(load("/nowhere/x.toml").unwrap_err().to_string().contains("/nowhere/x.toml"));
}

#[test]
fn an_unknown_placeholder_is_told_at_its_place() {
    let values = Values::from([("listen".to_owned(), "l".to_owned())]);
    let render = |text: &str| Template::parse(text, Path::new("t.cfg")).unwrap().render(&values);
    assert_eq!(render("a {{listen}} } {b{{listen}}").unwrap(), "a l } {bl");
    let fault = render("a\nbü {{lisen}}").unwrap_err().to_string();
    assert!(fault.starts_with("t.cfg:2:4: ") && fault.contains("{{lisen}}") && fault.contains("(listen)"), "{fault}");
    assert!(Template::parse("x {{listen", Path::new("t.cfg")).is_err());
    assert_eq!(place(Path::new("f"), "ab\ncd", 4), "f:2:2");
}

#[test]
fn tokens_differ_by_number_and_flaw() {
    let folder = tempfile::tempdir().unwrap();
    let material = Material::new(folder.path()).unwrap();
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let token = |flaw, number| material.token(algorithm, flaw, number).unwrap();
        let claims = |token: &str| token.split('.').nth(1).unwrap().to_owned();
        assert_ne!(claims(&token(Flaw::None, 1)), claims(&token(Flaw::None, 2)));
        assert_eq!(claims(&token(Flaw::None, 1)), claims(&token(Flaw::Signature, 1)));
        assert_ne!(token(Flaw::None, 1), token(Flaw::Signature, 1));
        assert!(token(Flaw::Unsigned, 1).ends_with('.'));
    }
    let jwks = std::fs::read_to_string(folder.path().join("rs256.jwks.json")).unwrap();
    let jwks: serde_json::Value = serde_json::from_str(&jwks).unwrap();
    assert_eq!(jwks["keys"][0]["n"].as_str().unwrap().len(), 342, "256 bytes of modulus");
    assert_eq!(jwks["keys"][0]["e"], "AQAB");
}
