//! `adamant doctor --bypass`: what an origin that should verify assertions really looks at.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use tests::gateway::{binary, run};
use tests::process::signal;

use super::*;

/// Asks about the one origin of `guarded`; exit status, and the lines.
fn doctor(guarded: &Guarded, more: &[&str]) -> (bool, String, String) {
    let arguments = [&["doctor", "--bypass", "policy.toml", "--path", "/orders/7?x=1"], more].concat();
    let (status, out, told) = run(&arguments, guarded.gateway.directory());
    (status.success(), out, told)
}

fn line<'o>(out: &'o str, part: &str) -> &'o str {
    out.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {out}"))
}

#[test]
fn an_origin_that_looks_at_all_is_closed() {
    let guarded = Guarded::new(Deployment::new());
    let state = guarded.gateway.directory().join("state");
    assert!(eventually(SOON, || state.join("assertion.keys").exists()));
    let (good, out, told) = doctor(&guarded, &["--state", "state"]);
    assert!(good, "{out}{told}");
    for refused in ["forged", "expired", "of another path", "of another method", "of another audience"] {
        assert!(line(&out, refused).starts_with("refuses  origin at "), "{out}");
    }
    assert!(line(&out, "a right assertion").starts_with("takes    origin at "), "{out}");
    assert_eq!(out.lines().count(), 7, "{out}");
    // From elsewhere, without the key.
    let (good, out, _) = doctor(&guarded, &[]);
    assert!(good && out.lines().count() == 2 && line(&out, "forged").starts_with("refuses"), "{out}");
    let (good, _, told) = doctor(&guarded, &["--state", "."]);
    assert!(!good && told.contains("expected the keys of assertions, found none"), "{told}");
}

#[test]
fn an_origin_that_looks_at_the_signature_alone_is_not() {
    let guarded = Guarded::looking(Looks::AtSignatureAlone, Deployment::new());
    let state = guarded.gateway.directory().join("state");
    assert!(eventually(SOON, || state.join("assertion.keys").exists()));
    let (good, out, told) = doctor(&guarded, &["--state", "state", "--agent", "bot"]);
    assert!(!good && told.contains("1 address can be called round the gateway"), "{out}{told}");
    for (words, begin) in [
        ("forged", "refuses"),
        ("expired", "refuses"),
        ("of another audience", "refuses"),
        ("of another path", "ANSWERS"),
        ("of another method", "ANSWERS"),
    ] {
        assert!(line(&out, words).starts_with(begin), "{words}: {out}");
    }
}

#[test]
fn an_origin_that_takes_any_or_none_is_told() {
    let guarded = Guarded::new(Deployment::new());
    let state = guarded.gateway.directory().join("state");
    assert!(eventually(SOON, || state.join("assertion.keys").exists()));
    // There is something, and nobody verifies it.
    guarded.origin.answer_with(|head, _| Answer::new(if head.value(FIELD).is_some() { 200 } else { 401 }));
    let (good, out, told) = doctor(&guarded, &[]);
    assert!(!good && line(&out, "forged").starts_with("ANSWERS"), "{out}{told}");
    // Nothing is let in: so nothing is shown of what it looks at.
    guarded.origin.answer_with(|_, _| Answer::new(403));
    let (good, out, told) = doctor(&guarded, &["--state", "state"]);
    assert!(!good && told.contains("is not clear"), "{out}{told}");
    assert!(line(&out, "a right assertion").starts_with("refuses"), "{out}");
}

/// Ctrl-Z and `fg` while it waits for an answer.
#[test]
fn a_doctor_that_was_stopped_goes_on() {
    let guarded = Guarded::new(Deployment::new());
    let asking = Arc::new(AtomicU32::new(0));
    let doctor = Arc::clone(&asking);
    guarded.origin.answer_with(move |_, _| {
        assert!(eventually(SOON, || doctor.load(Ordering::Relaxed) != 0));
        for name in ["STOP", "CONT"] {
            signal(doctor.load(Ordering::Relaxed), name);
            thread::sleep(Duration::from_millis(100));
        }
        Answer::new(403)
    });
    let mut command = Command::new(binary());
    command.args(["doctor", "--bypass", "policy.toml", "--path", "/orders/7"]).current_dir(guarded.gateway.directory());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    asking.store(child.id(), Ordering::Relaxed);
    let output = child.wait_with_output().unwrap();
    let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && line(&out, "forged").starts_with("refuses"), "{out}{told}");
}
