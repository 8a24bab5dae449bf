use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::*;

/// One server for one answer; what it was sent.
fn answering(status: &str, content: &str) -> (Place, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{content}", content.len());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut sent = vec![0; 4096];
        let length = stream.read(&mut sent).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&sent[..length]).into_owned()
    });
    (place, server)
}

fn client(server: Place, token: Token) -> OpenBao {
    OpenBao { server, ca: None, namespace: Some("team/a".to_owned()), token }
}

fn given(text: &str) -> Token {
    Token::Given { text: Zeroizing::new(text.to_owned()), place: "BAO_TOKEN".to_owned() }
}

fn call(of: &OpenBao, path: &str) -> Result<Answer, OpenBaoFault> {
    of.call_and_wait(Method::POST, path, Some(&json!({"a": 1})), 1 << 10, Duration::from_secs(60))
}

#[test]
fn a_call_shows_the_token_as_it_is_now() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    for token in ["s.one", "s.two"] {
        std::fs::write(&path, format!("{token}\nmore\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (place, server) = answering("200 OK", r#"{"data": {"x": "y"}}"#);
        let of = client(place, Token::File(path.clone()));
        let answer = call(&of, "secret/data/a?version=2").unwrap().expect_ok().unwrap();
        assert_eq!((answer.status.as_u16(), answer.json()["data"]["x"].as_str()), (200, Some("y")));
        let sent = server.join().unwrap().to_ascii_lowercase();
        assert!(sent.starts_with("post /v1/secret/data/a?version=2 http/1.1\r\n"), "{sent}");
        assert!(sent.contains(&format!("x-vault-token: {token}\r\n")), "{sent}");
        assert!(sent.contains("x-vault-namespace: team/a\r\n") && sent.ends_with(r#"{"a":1}"#), "{sent}");
        assert!(!format!("{of:?} {answer:?}").contains("s."), "{of:?}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let place = Place::parse("http://127.0.0.1:9").unwrap();
    let fault = call(&client(place, Token::File(path)), "secret/data/a").unwrap_err();
    assert!(fault.to_string().contains("mode 0644") && fault.help().contains("chmod 600"), "{fault}");
}

#[test]
fn what_is_wrong_is_told_as_what_it_is_and_without_the_token() {
    let told = |status: &str, content: &str| {
        let (place, server) = answering(status, content);
        let of = client(place, given("s.secret"));
        let outcome = call(&of, "pki/sign/agents").and_then(Answer::expect_ok);
        server.join().unwrap();
        let fault = outcome.unwrap_err();
        format!("{fault}; {}", fault.help())
    };
    let sealed = told("503 Service Unavailable", r#"{"errors": ["Vault is sealed"]}"#);
    assert!(sealed.contains("the server is sealed; bao status; bao operator unseal"), "{sealed}");
    let busy = told("503 Service Unavailable", "try later");
    assert!(busy.contains("503 Service Unavailable from pki/sign/agents"), "{busy}");
    let forbidden = told("403 Forbidden", "{\"errors\": [\"permission\\u001b denied\"]}");
    assert!(forbidden.contains("no right to pki/sign/agents (403): permission denied"), "{forbidden}");
    let missing = told("404 Not Found", r#"{"errors": []}"#);
    assert!(missing.contains("404 Not Found") && missing.contains("check the mount"), "{missing}");
    let other = told("200 OK", "<html>s.secret");
    assert!(other.contains("expected JSON from pki/sign/agents, found other content"), "{other}");
    let moved = told("307 Temporary Redirect", "");
    assert!(moved.contains("redirects are not followed"), "{moved}");
    for text in [sealed, busy, forbidden, missing, other, moved] {
        assert!(!text.contains("s.secret"), "{text}");
    }
}

#[test]
fn nothing_mounted_is_not_nothing_there() {
    for (errors, is_unmounted) in
        [("[]", false), (r#"["no handler for route \"kv/data/a\". route entry not found."]"#, true)]
    {
        let (place, server) = answering("404 Not Found", &format!("{{\"errors\": {errors}}}"));
        let answer = call(&client(place, given("t")), "kv/data/a").unwrap();
        server.join().unwrap();
        assert_eq!(answer.is_unmounted(), is_unmounted, "{errors}");
    }
}

#[test]
fn what_cannot_be_sent_is_not() {
    let place = || Place::parse("http://127.0.0.1:9").unwrap();
    for path in ["", "/a", "a//b", "a/../b", "a b", "a\r\nb", "a#b", "ä"] {
        assert!(matches!(call(&client(place(), given("t")), path), Err(OpenBaoFault::Path { .. })), "{path}");
    }
    for token in ["", "\n", " \nx", "a\u{7}"] {
        assert!(matches!(call(&client(place(), given(token)), "a"), Err(OpenBaoFault::Token { .. })), "{token}");
    }
    let missing = Token::File("/nowhere/token".into());
    assert!(matches!(call(&client(place(), missing), "a"), Err(OpenBaoFault::File(_))));
    let namespace = OpenBao { namespace: Some("a\nb".to_owned()), ..client(place(), given("t")) };
    assert!(matches!(call(&namespace, "a"), Err(OpenBaoFault::Namespace { .. })));
}

#[test]
fn secrets_are_wiped() {
    let mut value = json!({"data": {"list": ["a", {"k": "b"}], "n": 1}});
    wipe(&mut value);
    assert_eq!(value, json!({"data": {"list": ["", {"k": ""}], "n": 1}}));
}
