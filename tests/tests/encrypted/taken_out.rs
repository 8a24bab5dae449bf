//! `encrypt_to` is taken out of gateway.toml: what was private does not go on for everybody to read.

use super::*;

/// Without the line `encrypt_to`, or with it.
pub fn configure(at: &Path, with: &str) {
    let path = at.join("gateway.toml");
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("encrypt_to")).collect();
    fs::write(path, kept.join("\n").replacen("[records]", &format!("[records]\n{with}"), 1) + "\n").unwrap();
}

fn refused(at: &Path) {
    let before = fs::read(at.join(RECORDS_FILE)).unwrap();
    for line in ["run gateway.toml", "run gateway.toml --check"] {
        let said = bad_said(at, line);
        let parts =
            [RECORDS_FILE, "encrypt_to under [records] is not there", "put encrypt_to back", "move the file away"];
        assert!(parts.iter().all(|part| said.contains(part)), "{line}: {said}");
    }
    assert!(fs::read(at.join(RECORDS_FILE)).unwrap() == before);
}

/// Of an origin that is gone: each is on record.
pub fn ask(gateway: &Gateway, numbers: std::ops::Range<usize>) {
    numbers.for_each(|number| assert_eq!(gateway.once(get(&format!("/{PRIVATE}/{number}"), "")).status, 502));
}

#[test]
fn a_file_that_was_encrypted_does_not_go_on_readable() {
    let (mut gateway, public) = written();
    let at = gateway.directory().to_owned();
    configure(&at, "");
    refused(&at);

    // In another file, which is then encrypted: one that is both.
    fs::rename(at.join(RECORDS_FILE), at.join("records.jsonl.2")).unwrap();
    gateway.restart_stopped();
    ask(&gateway, 130..135);
    end(&mut gateway, "TERM");
    configure(&at, &format!("encrypt_to = [\"{public}\"]"));
    gateway.restart_stopped();
    ask(&gateway, 135..140);
    end(&mut gateway, "TERM");
    configure(&at, "");
    refused(&at);
    let shown = ok(&at, &format!("audit show {RECORDS_FILE} --identity records.key"));
    assert!((130..140).all(|number| shown.contains(&format!("/{PRIVATE}/{number}"))), "{shown}");
}
