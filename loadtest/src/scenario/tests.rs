use std::path::Path;
use std::time::Duration;

use super::Scenario;
use crate::load::{Loop, Requests, Reuse};

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse(Path::new("some.toml"), text, None).map_err(|error| error.to_string())
}

#[test]
fn a_scenario_says_everything_about_a_load() {
    let scenario = parse(
        r#"
target = "http://127.0.0.1:1/"
connections = 3
reuse = 100
[[request]]
path = "/a"
weight = 2
[[request]]
method = "POST"
path = "/b"
fields = ["X-Key: k"]
content-bytes = 10
[slow-readers]
connections = 2
bytes-per-second = 1000
[[phase]]
duration = "2s"
[[phase]]
name = "steady"
duration = "250ms"
rate = 1500
"#,
    )
    .unwrap();
    assert_eq!((scenario.plan.connections, scenario.plan.reuse), (3, Reuse::Every(100)));
    let Requests::Rotating(mix) = &scenario.plan.requests else { panic!("{:?}", scenario.plan.requests) };
    let lines: Vec<String> =
        mix.iter().map(|r| String::from_utf8_lossy(r.bytes()).lines().next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["GET /a HTTP/1.1", "POST /b HTTP/1.1", "GET /a HTTP/1.1"]);
    assert!(mix[1].bytes().ends_with(b"Content-Length: 10\r\n\r\nxxxxxxxxxx"));
    assert_eq!(scenario.phases[0].loop_, Loop::Closed);
    assert_eq!(scenario.phases[1].loop_, Loop::Open { per_second: 1_500.0 });
    assert_eq!((scenario.phases[1].name.as_str(), scenario.phases[1].duration), ("steady", Duration::from_millis(250)));
}

#[test]
fn tokens_rotate_or_are_used_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokens"), "a\nb\n\nc\n").unwrap();
    let file = folder.path().join("scenario.toml");
    let text =
        "target = \"http://127.0.0.1:1/\"\n[[request]]\ntokens = \"tokens\"\nonce = true\n[[phase]]\nduration = \"1s\"";
    std::fs::write(&file, text).unwrap();
    let scenario = Scenario::read(&file, Some("http://127.0.0.1:2/x")).unwrap();
    assert_eq!(scenario.plan.target.path, "/x");
    let Requests::Once(all) = &scenario.plan.requests else { panic!("{:?}", scenario.plan.requests) };
    assert!(all.len() == 3 && all[2].bytes().ends_with(b"Authorization: Bearer c\r\n\r\n"));
    std::fs::write(&file, text.replace("once = true\n", "")).unwrap();
    assert!(matches!(Scenario::read(&file, None).unwrap().plan.requests, Requests::Rotating(all) if all.len() == 3));
}

#[test]
fn mistakes_are_told_where_they_are() {
    let start = "target = \"http://127.0.0.1:1/\"\n";
    let end = "\n[[phase]]\nduration = \"1s\"\n";
    for (middle, place, words) in [
        ("connectoins = 3", "2:1", "unknown field `connectoins`"),
        ("connections = 0", "2:15", "expected a whole number from 1 to a billion, found 0"),
        ("connections = \"many\"", "2:15", "expected a whole number"),
        ("timeout = \"5 s\"", "2:11", "expected a duration such as 250ms, 5s or 2m, found \"5 s\""),
        ("reuse = \"sometimes\"", "2:9", "expected keep-alive, new"),
        ("[tls]\nkey = \"nowhere.key\"", "3:7", "expected certificate and key together"),
        ("[tls]\nca = \"nowhere.pem\"", "3:6", "nowhere.pem: No such file"),
        ("[tls]\ngroup = \"rsa\"", "3:9", "unknown variant `rsa`, expected one of `x25519`, `p-256`"),
        ("[[request]]\nfields = [\"X\"]", "3:11", "expected a field like `Name: value`, found \"X\""),
        ("[[request]]\nfields = [\"X: a\\r\\nY: b\"]", "3:11", "expected a field like"),
        ("[[request]]\npath = \"a\"", "2:1", "expected a path that starts with /, found \"a\""),
        ("[[request]]\nonce = true", "2:1", "expected tokens"),
        ("[[phase]]\nduration = \"1s\"\nrate = -1", "4:8", "expected a rate above 0"),
        ("[[phase]]\nduration = \"1s\"\nrate = \"x\"", "4:8", "expected a number"),
        ("connections = [", "4:", ""),
    ] {
        let found = parse(&format!("{start}{middle}{end}")).err().unwrap_or_default();
        assert!(found.starts_with(&format!("some.toml:{place}")) && found.contains(words), "{middle}: {found}");
    }
    assert!(parse("[[phase]]\nduration = \"1s\"").err().unwrap().contains("expected target"));
    assert!(parse(&format!("{start}phase = []")).err().unwrap().contains("at least one [[phase]]"));
    let found = parse("target = \"ftp://x\"\n[[phase]]\nduration = \"1s\"").err().unwrap();
    assert!(found.starts_with("some.toml:1:10: expected a URL"), "{found}");
}

#[test]
fn the_scenarios_of_this_package_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let all: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(all.len() >= 3, "{all:?}");
    for file in all {
        Scenario::read(&file, None).unwrap();
    }
}
