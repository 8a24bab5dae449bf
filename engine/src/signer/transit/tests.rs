use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use policy_release::envelope::{Envelope, Kind};
use policy_release::key::SigningKey;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// A double of the API that answers one request each time with what the closure says, given the request. The real
/// server is driven by the integration tests; this one lies in ways that a real one does not.
struct Double {
    address: TransitAddress,
    args: TransitArgs,
    served: JoinHandle<Vec<String>>,
    _files: [tempfile::NamedTempFile; 2],
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Serves TLS by a certificate of its own, and the file that believes it.
fn tls() -> (Arc<ServerConfig>, tempfile::NamedTempFile) {
    let of = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivatePkcs8KeyDer::from(of.signing_key.serialize_der());
    let config = config.with_single_cert(vec![of.cert.der().clone()], key.into()).unwrap();
    (Arc::new(config), file(&of.cert.pem()))
}

fn double(answers: Vec<(u16, String)>) -> Double {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("transit:https://{}/team/transit/keys/alice", listener.local_addr().unwrap());
    let (config, ca) = tls();
    let served = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for (status, body) in answers {
            let (stream, _) = listener.accept().unwrap();
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(tls, stream);
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.extend_from_slice(&byte);
            }
            let head = String::from_utf8(request).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            let mut content = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut content).unwrap();
            requests.push(head + &String::from_utf8(content).unwrap());
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nLocation: http://x/\r\n\r\n", body.len());
            // Whoever has read enough goes away.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        requests
    });
    let token = file("s.secret\n");
    let (token_file, ca_file) = (Some(token.path().into()), Some(ca.path().into()));
    let args = TransitArgs { token_file, namespace: Some("team".into()), ca: ca_file };
    Double { address: address.parse().unwrap(), args, served, _files: [token, ca] }
}

fn key_of(key: &SigningKey) -> (u16, String) {
    let public = STANDARD.encode(key.public().as_bytes());
    let data = format!(
        r#"{{"data":{{"type":"ed25519","latest_version":2,"keys":{{"1":{{"public_key":"AA=="}},"2":{{"public_key":"{public}"}}}}}}}}"#
    );
    (200, data)
}

fn signature(prefix: &str, bytes: &[u8]) -> (u16, String) {
    (200, format!(r#"{{"data":{{"signature":"{prefix}{}"}}}}"#, STANDARD.encode(bytes)))
}

fn keys() -> (SigningKey, SigningKey) {
    (SigningKey::generate([1; 32]).unwrap(), SigningKey::generate([2; 32]).unwrap())
}

#[test]
fn asks_for_the_version_whose_public_key_it_knows() {
    let (key, _) = keys();
    let mut envelope = Envelope::new(Kind::Pointer, b"{}").unwrap();
    let signed = key.sign(envelope.signed_bytes()).unwrap();
    let double = double(vec![key_of(&key), signature("vault:v2:", &signed)]);
    let transit = Transit::open(&double.address, &double.args).unwrap();
    assert_eq!(transit.public(), key.public());
    let bytes = transit.sign(envelope.signed_bytes()).unwrap();
    envelope.attach(&transit.public(), bytes).unwrap();
    let requests = double.served.join().unwrap();
    assert!(requests[0].starts_with("GET /v1/team/transit/keys/alice HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[1].starts_with("POST /v1/team/transit/sign/alice HTTP/1.1\r\n"), "{}", requests[1]);
    let input = STANDARD.encode(envelope.signed_bytes());
    assert!(requests[1].ends_with(&format!("{{\"input\":\"{input}\",\"key_version\":2}}")), "{}", requests[1]);
    for request in &requests {
        assert!(request.contains("x-vault-token: s.secret\r\n") && request.contains("x-vault-namespace: team\r\n"));
    }
    assert!(!format!("{transit:?}").contains("secret"));
}

#[test]
fn a_signature_that_does_not_verify_is_not_taken() {
    let (key, other) = keys();
    let message = b"message".as_slice();
    for answer in [
        signature("vault:v2:", &other.sign(message).unwrap()),
        signature("vault:v2:", &key.sign(b"another message").unwrap()),
        signature("vault:v2:", &[0; 64]),
        signature("vault:v1:", &key.sign(message).unwrap()),
        signature("vault:v2:", &key.sign(message).unwrap()[..63]),
        signature("", &key.sign(message).unwrap()),
        (200, r#"{"data":{"signature":"vault:v2:***"}}"#.into()),
        (200, r#"{"data":{}}"#.into()),
        (200, "<html>".into()),
    ] {
        let double = double(vec![key_of(&key), answer.clone()]);
        let transit = Transit::open(&double.address, &double.args).unwrap();
        let fault = transit.sign(message).unwrap_err();
        let told = matches!(fault, TransitFault::BadSignature { version: 2, .. } | TransitFault::Unexpected { .. });
        assert!(told, "{answer:?}: {fault}");
    }
}

#[test]
fn what_is_no_ed25519_key_is_told() {
    let (key, _) = keys();
    let weak = format!(
        r#"{{"data":{{"type":"ed25519","latest_version":1,"keys":{{"1":{{"public_key":"{}"}}}}}}}}"#,
        STANDARD.encode([0; 32])
    );
    for (answer, said) in [
        (r#"{"data":{"type":"aes256-gcm96","latest_version":1,"keys":{"1":1442851412}}}"#.to_owned(), "aes256-gcm96"),
        (key_of(&key).1.replace("\"latest", "\"derived\":true,\"latest"), "derived"),
        (key_of(&key).1.replace("\"latest_version\":2", "\"latest_version\":7"), "7; it has 1, 2"),
        (key_of(&key).1.replace("\"latest_version\":2", "\"latest_version\":1"), "32 bytes"),
        (weak, "large order"),
        (r#"{"data":{"type":"\u001b[31mred","latest_version":1}}"#.to_owned(), "[31mred"),
        ("{}".to_owned(), "data"),
    ] {
        let double = double(vec![(200, answer)]);
        let fault = Transit::open(&double.address, &double.args).unwrap_err().to_string();
        assert!(fault.contains(said) && !fault.contains('\u{1b}'), "{fault}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    for (status, said) in [
        (400, "log of the server"),
        (403, r#"path "team/transit/keys/alice" { capabilities = ["read"] }"#),
        (404, "with a key alice"),
        (307, "redirects are not followed"),
        (473, "standby"),
        (413, "sign this one with a key file"),
        (503, "sealed"),
    ] {
        let double = double(vec![(status, r#"{"errors":["first\n\t* thing","second"]}"#.into())]);
        let failure = Transit::open(&double.address, &double.args).unwrap_err();
        let shown = format!("{failure:?}");
        assert!(
            shown.contains("first * thing; second") && failure.to_string().contains(&status.to_string()),
            "{shown}"
        );
        assert!(shown.replace("\\\"", "\"").contains(said), "{shown}");
    }
}

#[test]
fn answers_are_bounded_and_a_file_is_called_by_its_option() {
    let double = double(vec![(200, " ".repeat((1 << 20) + 1))]);
    let fault = Transit::open(&double.address, &double.args).unwrap_err().to_string();
    assert!(fault.contains("at most 1048576 bytes"), "{fault}");
    let nobody = TransitArgs { token_file: Some("/nowhere/token".into()), ..TransitArgs::default() };
    // The option is named, and not what was given: it may be the token itself.
    let fault = Transit::open(&double.address, &nobody).unwrap_err().to_string();
    assert!(fault.contains("--token-file") && !fault.contains("/nowhere"), "{fault}");
}
