//! `adamant agent proxy` on the real binary: it speaks for the agent, to the pinned gateway, for those who may use it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::Value;
use tests::agents::{Running, Scene, bad, through};
use tests::answer::Answer;
use tests::origin::RecordingOrigin;

#[test]
fn the_proxy_speaks_for_the_agent_and_for_nobody_else() {
    let scene = Scene::new();
    scene.enroll("");
    let proxy = Running::start(scene.at(), "agent proxy p");
    proxy.says("listening", 1);
    let socket = scene.at().join("p/proxy.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let content = "x".repeat(200_000);
    let said = through(UnixStream::connect(&socket).unwrap(), "POST /orders/7", "", &content);
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with(&content), "{}", &said[..200]);
    let said = through(UnixStream::connect(&socket).unwrap(), "GET /nothing", "", "");
    assert!(said.starts_with("HTTP/1.1 403") && !said.contains("adamant-agent:"), "{said}");
    // What a program brings does not get through.
    let fields = "Authorization: Bearer mine\r\nX-API-Key: mine\r\nX-Mine: yes\r\n";
    let said = through(UnixStream::connect(&socket).unwrap(), "GET /orders/8", fields, "");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let seen = scene.origin.last_of(2);
    assert_eq!((seen.value("authorization"), seen.value("x-api-key")), (None, None));
    assert_eq!(seen.value("x-mine"), Some("yes"));
    // One that is there already.
    assert!(bad(scene.at(), "agent proxy p").contains("another process listens there"));
    proxy.end();

    fs::write(scene.at().join("secret"), "s3cret\n").unwrap();
    fs::set_permissions(scene.at().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let proxy = Running::start(scene.at(), "agent proxy p --listen 127.0.0.1:0 --secret-file secret");
    proxy.says("listening on http://", 1);
    let line = proxy.lines()[0].clone();
    let address = line.split_once("http://").unwrap().1.split(',').next().unwrap().to_owned();
    let call = |fields: &str| through(TcpStream::connect(&address).unwrap(), "GET /orders/7", fields, "");
    assert!(call("").contains("adamant-agent: local-secret"));
    let secret = "Adamant-Agent-Secret: s3cret\r\n";
    assert!(call(secret).starts_with("HTTP/1.1 200"));
    for page in ["Sec-Fetch-Site: cross-site", "Origin: https://evil.example", "Origin: null"] {
        assert!(call(&format!("{secret}{page}\r\n")).contains("adamant-agent: local-host"), "{page}");
    }
    // `Host` of these calls is localhost: what a page of the proxy itself would send.
    assert!(call(&format!("{secret}Origin: http://localhost\r\n")).starts_with("HTTP/1.1 200"));
    proxy.end();
    assert!(bad(scene.at(), "agent proxy p --listen 0.0.0.0:0").contains("whoever reaches it would act as this agent"));
}

#[test]
fn content_without_a_length_is_passed_on_whole_and_other_codings_are_refused() {
    let scene = Scene::new();
    scene.enroll("");
    let proxy = Running::start(scene.at(), "agent proxy p");
    proxy.says("listening", 1);
    let call = |method: &str, coding: &str| {
        let mut stream = UnixStream::connect(scene.at().join("p/proxy.sock")).unwrap();
        let head = format!("{method} /orders/7 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        let content = "5\r\nhello\r\n0\r\n\r\n";
        stream.write_all(format!("{head}Transfer-Encoding: {coding}\r\n\r\n{content}").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    };
    for (count, method) in ["POST", "GET"].into_iter().enumerate() {
        let said = call(method, "chunked");
        assert!(said.starts_with("HTTP/1.1 200"), "{method}: {said}");
        assert_eq!(scene.origin.last_of(count + 1).content, b"hello", "{method}");
    }
    let said = call("POST", "gzip, chunked");
    assert!(said.starts_with("HTTP/1.1 501") && said.contains("adamant-agent: transfer-coding"), "{said}");
    assert_eq!(scene.origin.count(), 2);
}

#[test]
fn a_proxy_that_ends_leaves_the_socket_of_another() {
    let scene = Scene::new();
    scene.enroll("");
    let (socket, at) = (scene.at().join("p/proxy.sock"), scene.at());
    let first = Running::start(at, "agent proxy p");
    first.says("listening", 1);
    fs::remove_file(&socket).unwrap();
    let second = Running::start(at, "agent proxy p");
    second.says("listening", 1);
    first.end();
    let said = through(UnixStream::connect(&socket).unwrap(), "GET /orders/7", "", "");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    second.end();
    assert!(!socket.exists());
}

#[test]
fn a_profile_that_changes_is_used_from_the_next_request_on() {
    let scene = Scene::new();
    scene.enroll("");
    let proxy = Running::start(scene.at(), "agent proxy p");
    proxy.says("listening", 1);
    let socket = scene.at().join("p/proxy.sock");
    let call = || through(UnixStream::connect(&socket).unwrap(), "GET /orders/7", "", "");
    assert!(call().starts_with("HTTP/1.1 200"));
    // Another gateway, and the same certificate.
    let path = scene.at().join("p/profile.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(&scene.url(), "https://localhost:1")).unwrap();
    let said = call();
    assert!(said.starts_with("HTTP/1.1 502") && said.contains("adamant-agent: connect"), "{said}");
    fs::write(&path, text).unwrap();
    assert!(call().starts_with("HTTP/1.1 200"));
    proxy.end();
}

#[test]
fn the_proxy_sends_nothing_to_another_server() {
    let scene = Scene::new();
    scene.enroll("");
    let stranger = tests::certificates::Authority::new("stranger");
    let other = RecordingOrigin::tls(stranger.server(&["localhost"]).server_config(), |_, _| Answer::text("mine now"));
    let path = scene.at().join("p/profile.json");
    let mut profile: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    profile["gateway"] = format!("https://localhost:{}", other.address().port()).into();
    fs::write(&path, profile.to_string()).unwrap();
    let proxy = Running::start(scene.at(), "agent proxy p");
    proxy.says("listening", 1);
    let said = through(UnixStream::connect(scene.at().join("p/proxy.sock")).unwrap(), "GET /orders/7", "", "");
    assert!(said.starts_with("HTTP/1.1 502") && said.contains("adamant-agent: gateway-not-pinned"), "{said}");
    assert!(said.contains("not under the pinned CA"), "{said}");
    assert_eq!(other.count(), 0);
    proxy.end();
}
