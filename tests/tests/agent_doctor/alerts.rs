//! A gateway that ends TLS with one alert after the other: each is told in words of its own, and none for all being well.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use super::Scene;

/// Alerts (RFC 8446 §6) that say something to an agent, and the code under which they are told.
const NAMED: [(u8, &str); 16] = [
    (40, "tls-parameters"),
    (42, "certificate-refused"),
    (43, "certificate-kind"),
    (44, "certificate-revoked"),
    // By this machine's clock it has not: one of the two is wrong.
    (45, "clock"),
    (46, "certificate-refused"),
    (48, "wrong-ca"),
    (49, "access-denied"),
    // Its key and certificate fit each other: it is of another CA of the same name.
    (51, "wrong-ca"),
    (70, "tls-version"),
    (71, "tls-parameters"),
    (80, "gateway-error"),
    (112, "unknown-name"),
    (116, "certificate-required"),
    (120, "alpn"),
    // One of the others.
    (50, "alert"),
];
/// The end of a connection, alerts that say nothing to an agent, and numbers that are no alerts.
const OTHERS: [u8; 15] = [0, 10, 20, 21, 22, 30, 47, 60, 86, 90, 100, 109, 110, 115, 200];

/// Answers whoever says hello with the alert of the moment; its port.
fn alerting(alert: &Arc<AtomicU8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, alert) = (listener.local_addr().unwrap().port(), Arc::clone(alert));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // All of it: what is left unread makes a reset of the end.
            let mut head = [0; 5];
            let Ok(()) = stream.read_exact(&mut head) else { continue };
            let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            let _ = stream.read_exact(&mut hello);
            let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, alert.load(Ordering::SeqCst)]);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut hello);
        }
    });
    port
}

#[test]
fn each_alert_has_its_own_words_and_none_is_taken_for_all_being_well() {
    let scene = Scene::new();
    let alert = Arc::new(AtomicU8::new(0));
    let port = alerting(&alert);
    scene.edit(|profile| profile["gateway"] = format!("https://localhost:{port}").into());
    let examine = |number: u8| {
        alert.store(number, Ordering::SeqCst);
        let (status, code, json) = scene.examine("");
        assert_eq!(status, 1, "alert {number}: {json}");
        let report: serde_json::Value = serde_json::from_str(&json).unwrap();
        let failed = report["steps"].as_array().unwrap().iter().find(|step| step["outcome"] == "failed").unwrap();
        assert_eq!(failed["step"], "tls", "alert {number}: {json}");
        let words = |of: &str| failed[of].as_str().unwrap().to_owned();
        (code, words("found"), words("todo"))
    };
    let mut codes_of = BTreeMap::new();
    for (number, expected) in NAMED {
        let (code, found, todo) = examine(number);
        assert_eq!(code, expected, "alert {number}: {found}");
        assert!(found.contains("gateway") || found.contains("answers there"), "alert {number}: {found}");
        assert!(!todo.is_empty());
        let before = codes_of.insert(found.clone(), code.clone());
        assert!(before.is_none_or(|before| before == code), "one sentence for two causes: {found}");
    }
    assert_eq!(codes_of.len(), 14, "each cause in words of its own: {codes_of:#?}");
    for number in OTHERS {
        let (code, found, _) = examine(number);
        assert!(code == "alert" && !codes_of.contains_key(&found), "alert {number}: {code}: {found}");
    }
}
