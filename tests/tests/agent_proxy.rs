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
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::agents::{ID, Running, Scene, bad, ok, through};
use tests::answer::Answer;
use tests::certificates::{Authority, Identity};
use tests::client::Client;
use tests::origin::RecordingOrigin;
use tests::process::eventually;
use tests::tokens::now_s;

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

    let (proxy, address) = with_secret(&scene);
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

/// A proxy on a port, and its address; its secret is `s3cret`.
fn with_secret(scene: &Scene) -> (Running, String) {
    fs::write(scene.at().join("secret"), "s3cret\n").unwrap();
    fs::set_permissions(scene.at().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let proxy = Running::start(scene.at(), "agent proxy p --listen 127.0.0.1:0 --secret-file secret");
    proxy.says("listening on http://", 1);
    let line = proxy.lines()[0].clone();
    let address = line.split_once("http://").unwrap().1.split(',').next().unwrap().to_owned();
    (proxy, address)
}

/// Many at once are waited for, and none of them is cut.
#[test]
fn a_burst_of_programs_is_served() {
    let scene = Scene::new();
    scene.enroll("");
    let of_user = Running::start(scene.at(), "agent proxy p");
    of_user.says("listening", 1);
    let (with_secret, address) = with_secret(&scene);
    let fields = "Adamant-Agent-Secret: s3cret\r\n";
    let on_socket = || through(UnixStream::connect(scene.at().join("p/proxy.sock")).unwrap(), "GET /orders/7", "", "");
    let on_port = || through(TcpStream::connect(&address).unwrap(), "GET /orders/7", fields, "");
    for call in [&on_socket as &(dyn Fn() -> String + Sync), &on_port] {
        let begin = Barrier::new(200);
        let ask = || {
            begin.wait();
            call()
        };
        thread::scope(|scope| {
            let all: Vec<_> = (0..200).map(|_| scope.spawn(ask)).collect();
            let said = all.into_iter().map(|one| one.join().unwrap());
            assert_eq!(said.filter(|said| said.starts_with("HTTP/1.1 200")).count(), 200);
        });
    }
    of_user.end();
    with_secret.end();
}

/// Another user of the machine needs no secret to connect.
#[test]
fn who_lacks_the_secret_takes_no_place_of_who_has_it() {
    let scene = Scene::new();
    scene.enroll("");
    let (proxy, address) = with_secret(&scene);
    let address = address.parse().unwrap();
    let connect = || Client::connect(address).with_timeout(Duration::from_secs(30));
    let ask = |client: &mut Client, secret: &str| {
        let head = format!("GET /orders/7 HTTP/1.1\r\nHost: localhost\r\nAdamant-Agent-Secret: {secret}\r\n\r\n");
        client.exchange(head).status
    };
    let mut known = connect();
    assert_eq!(ask(&mut known, "s3cret"), 200);
    let silent: Vec<_> = (0..300).map(|_| connect()).collect();
    let mut refused: Vec<_> = (0..32).map(|_| connect()).collect();
    assert!(refused.iter_mut().all(|stranger| ask(stranger, "guess") == 403));
    assert_eq!(ask(&mut connect(), "s3cret"), 200, "while all of them are there");
    assert_eq!(ask(&mut known, "s3cret"), 200);
    drop((silent, refused));
    proxy.end();
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
        // A trailer that the head names: nobody looks at what stands there.
        let content = "5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n";
        let fields = format!("Trailer: X-Sum\r\nTransfer-Encoding: {coding}\r\n");
        stream.write_all(format!("{head}{fields}\r\n{content}").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    };
    for (count, method) in ["POST", "GET"].into_iter().enumerate() {
        let said = call(method, "chunked");
        assert!(said.starts_with("HTTP/1.1 200"), "{method}: {said}");
        let seen = scene.origin.last_of(count + 1);
        assert_eq!((&seen.content[..], &seen.trailers[..]), (&b"hello"[..], &[][..]), "{method}");
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
    let stranger = Authority::new("stranger");
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

/// Another name, a certificate that ended, a key that is not pinned: each is refused at once, told apart, and nothing is sent.
#[test]
fn the_proxy_refuses_each_mismatch_of_the_gateways_certificate() {
    let scene = Scene::new();
    scene.enroll("");
    let (at, day) = (scene.at(), Duration::from_secs(86_400));
    let gateways = Authority::new("gateways");
    fs::write(at.join("gateways.pem"), &gateways.pem).unwrap();
    fs::write(at.join("namesake.pem"), &Authority::new("gateways").pem).unwrap();
    let serving = |identity: &Identity| RecordingOrigin::tls(identity.server_config(), |_, _| Answer::text("mine now"));
    let good = gateways.server_between("localhost", 20 * day, 20 * day);
    let (pinned, other) = (good.spki_sha256(), gateways.server(&["localhost"]).spki_sha256());
    let expired = gateways.server_between("localhost", 20 * day, Duration::ZERO);
    let ends_s = now_s();
    let by_ca = "--gateway-ca gateways.pem";
    for (identity, pins, code) in [
        (&good, by_ca.to_owned(), "200"),
        (&good, format!("--gateway-spki {other} --gateway-spki {pinned}"), "200"),
        (&good, format!("{by_ca} --gateway-spki {pinned}"), "200"),
        (&good, format!("--gateway-spki {other}"), "gateway-not-pinned"),
        (&good, format!("{by_ca} --gateway-spki {other}"), "gateway-not-pinned"),
        (&good, "--gateway-ca ca/ca.pem".to_owned(), "gateway-not-pinned"),
        (&good, "--gateway-ca namesake.pem".to_owned(), "gateway-other-ca"),
        (&gateways.server(&["elsewhere.example"]), by_ca.to_owned(), "gateway-name"),
        (&gateways.server(&["elsewhere.example"]), String::new(), "gateway-name"),
        (&expired, by_ca.to_owned(), "gateway-expired"),
        (&expired, format!("--gateway-spki {}", expired.spki_sha256()), "gateway-expired"),
        (&gateways.spiffe("spiffe://corp.example/no-server"), by_ca.to_owned(), "gateway-purpose"),
    ] {
        // Its last second is one of its life.
        assert!(code != "gateway-expired" || eventually(Duration::from_secs(60), || now_s() > ends_s));
        // A name is looked at where the key alone is pinned as well.
        let pins = if pins.is_empty() { format!("--gateway-spki {}", identity.spki_sha256()) } else { pins };
        let server = serving(identity);
        let url = format!("https://localhost:{}", server.address().port());
        let enroll = format!("agent enroll q --force --agent reports-bot --gateway {url} --ca ca --spiffe {ID} {pins}");
        ok(at, &enroll);
        let proxy = Running::start(at, "agent proxy q");
        proxy.says("listening", 1);
        let said = through(UnixStream::connect(at.join("q/proxy.sock")).unwrap(), "GET /orders/7", "", "");
        proxy.end();
        if code == "200" {
            assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("mine now"), "{pins}: {said}");
            assert_eq!(server.count(), 1);
        } else {
            let told = format!("adamant-agent: {code}\r\n");
            assert!(said.starts_with("HTTP/1.1 502") && said.contains(&told), "{code} for {pins}: {said}");
            assert_eq!(server.count(), 0, "{code}: nothing was sent");
        }
    }
}
