use std::cell::RefCell;
use std::io::Read as _;
use std::rc::Rc;
use std::sync::Arc;

use age_format::Identity;
use proptest::prelude::*;

use super::*;
use crate::bounds::RECORDS_ENCRYPTED_FILE_BYTES_MAX;

fn identity() -> Arc<[Identity]> {
    Arc::new([Identity::generate().unwrap().0])
}

/// What is read of `bytes`, so many at a time, and what is told on the way.
fn read(bytes: &[u8], identities: &Arc<[Identity]>, step: usize) -> (io::Result<String>, Vec<Damage>) {
    struct Slow<'b>(&'b [u8], usize);
    impl io::Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(self.1).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }
    let told = Rc::new(RefCell::new(Vec::new()));
    let telling = Rc::clone(&told);
    let tell = Box::new(move |damage| telling.borrow_mut().push(damage));
    let mut bytes_read = Vec::new();
    let read = Decrypting::new(Slow(bytes, step), Arc::clone(identities), tell).read_to_end(&mut bytes_read);
    let told = told.borrow().clone();
    (read.map(|_| String::from_utf8_lossy(&bytes_read).into_owned()), told)
}

fn read_by(bytes: &[u8], identities: &Arc<[Identity]>) -> (io::Result<String>, Vec<Damage>) {
    read(bytes, identities, 1 << 20)
}

fn batch(lines: &str, to: &Arc<[Identity]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encrypt(lines.as_bytes(), &[to[0].recipient()], &mut bytes).unwrap();
    bytes
}

#[test]
fn batches_are_whole_lines_and_bounded() {
    let identity = identity();
    let lines: String =
        (0..3_000).map(|number| format!("{{\"number\":{number},\"{}\":1}}\n", "x".repeat(40))).collect();
    let long = format!("{{\"{}\":1}}\n", "y".repeat(2 * RECORDS_ENCRYPTED_BATCH_BYTES));
    let all = format!("{lines}{long}{lines}");
    let mut bytes = opening(&[identity[0].recipient()]);
    let starts = encrypt(all.as_bytes(), &[identity[0].recipient()], &mut bytes).unwrap();
    assert!(is_encrypted(&bytes) && is_encrypted(&bytes[starts[0]..]));
    assert!(starts.windows(2).filter(|two| two[1] - two[0] > RECORDS_ENCRYPTED_BATCH_BYTES + 300).count() == 1);
    assert!(starts.iter().all(|start| bytes[*start..].starts_with(MARK)));
    let (text, damages) = read(&bytes, &identity, 1 << 20);
    assert!(text.unwrap() == all && damages.is_empty());
}

#[test]
fn a_batch_that_was_cut_off_is_passed_over_and_the_next_ones_are_read() {
    let identity = identity();
    let whole = batch("{\"a\":1}\n{\"a\":2}\n", &identity);
    for cut in 1..whole.len() - 1 {
        // As the next start finds it: with or without a newline behind it.
        for newline in [&b""[..], b"\n"].iter().filter(|newline| newline.is_empty() == (whole[cut - 1] == b'\n')) {
            let bytes =
                [&batch("{\"first\":1}\n", &identity), &whole[..cut], newline, &batch("{\"b\":1}\n", &identity)];
            let (text, _) = read_by(&bytes.concat(), &identity);
            let text = text.unwrap();
            let held: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
            assert!(held == ["{\"first\":1}", "{\"b\":1}"] || cut + 1 == whole.len(), "{cut}: {text:?}");
        }
        let (text, told) = read_by(&[batch("{\"first\":1}\n", &identity), whole[..cut].to_vec()].concat(), &identity);
        if cut < whole.len() - 1 {
            assert_eq!(text.unwrap(), "{\"first\":1}\n", "{cut}");
        }
        assert!(told.is_empty(), "at the end of a file it may still be written");
    }
}

#[test]
fn a_batch_that_was_changed_is_told_and_the_others_are_read() {
    let identity = identity();
    let (one, two, three) =
        (batch("{\"a\":1}\n", &identity), batch("{\"a\":2}\n", &identity), batch("{\"a\":3}\n", &identity));
    for at in MARK.len() + 5..two.len() - 1 {
        let mut changed = two.clone();
        changed[at] ^= 1;
        let (text, told) = read_by(&[one.as_slice(), &changed, &three].concat(), &identity);
        assert_eq!(text.unwrap(), "{\"a\":1}\n{\"a\":3}\n", "byte {at}");
        assert_eq!(told, [Damage { at: one.len() as u64, cut_off: false }], "byte {at}");
    }
    // Moved about, each is still whole: that they are in another order, the chain tells.
    let (text, told) = read_by(&[three.as_slice(), &one].concat(), &identity);
    assert!(text.unwrap() == "{\"a\":3}\n{\"a\":1}\n" && told.is_empty());
}

#[test]
fn a_length_beyond_the_bound_is_no_batch() {
    let identity = identity();
    let long = format!("adamant-encrypted {}\n", RECORDS_ENCRYPTED_FILE_BYTES_MAX + 1);
    let (text, told) = read_by(&[long.as_bytes(), &batch("{\"a\":1}\n", &identity)].concat(), &identity);
    assert_eq!((text.unwrap().as_str(), told), ("{\"a\":1}\n", vec![Damage { at: 0, cut_off: false }]));
}

#[test]
fn without_the_identity_it_says_to_whom() {
    let identity = identity();
    let public = identity[0].recipient();
    let bytes = [opening(&[public]), batch("{\"a\":1}\n", &identity)].concat();
    let refused = read(&bytes, &Arc::default(), 7).0.unwrap_err().to_string();
    assert!(refused.contains(&public.to_string()) && refused.contains("--identity FILE"), "{refused}");
    let other = self::identity();
    let given = other[0].recipient().to_string();
    let refused = read(&bytes, &other, 7).0.unwrap_err().to_string();
    assert!(refused.contains(&public.to_string()) && refused.contains(&given), "{refused}");
}

#[test]
fn plain_files_are_given_as_they_are_and_may_go_on_encrypted() {
    let identity = identity();
    let plain = "{\"a\":1}\n\n{\"adamant-encrypted 7\":2}\nadamant-\x20\n{\"torn\":";
    for step in [1, 2, 3, 64, 1 << 20] {
        let (text, told) = read(plain.as_bytes(), &Arc::default(), step);
        assert!(text.unwrap() == plain && told.is_empty(), "{step}");
    }
    let bytes = [
        b"{\"a\":1}\n".to_vec(),
        opening(&[identity[0].recipient()]),
        batch("{\"b\":1}\n", &identity),
        b"{\"c\":1}\n".to_vec(),
    ];
    assert_eq!(read_by(&bytes.concat(), &identity).0.unwrap(), "{\"a\":1}\n{\"b\":1}\n{\"c\":1}\n");
}

#[test]
fn a_file_that_begins_or_ends_encrypted_is_not_plain() {
    let identity = identity();
    let plain = b"{\"adamant-encrypted 7\":1}\n".to_vec();
    let encrypted = [opening(&[identity[0].recipient()]), batch("{\"b\":1}\n", &identity)].concat();
    let directory = tempfile::tempdir().unwrap();
    let is_plain = |bytes: &[u8]| {
        let path = directory.path().join("records");
        std::fs::write(&path, bytes).unwrap();
        expect_plain(&File::open(path).unwrap()).is_ok()
    };
    let long = plain.repeat(1 + RECORDS_ENCRYPTED_FILE_BYTES_MAX / plain.len());
    assert!(is_plain(b"") && is_plain(&plain) && is_plain(&long));
    for both in [[&encrypted, &plain], [&plain, &encrypted], [&long, &encrypted], [&encrypted, &long]] {
        assert!(!is_plain(&both.map(Vec::as_slice).concat()));
    }
    assert!(!is_plain(&encrypted));
    assert!(!is_plain(&[&plain, &encrypted[..encrypted.len() - 20]].concat()), "cut off");
}

proptest! {
    #[test]
    fn however_it_comes_it_reads_the_same(cuts in proptest::collection::vec(1_usize..400, 1..20), step in 1_usize..600) {
        let identity = identity();
        let mut bytes = opening(&[identity[0].recipient()]);
        let mut lines = String::new();
        for cut in cuts {
            let line = format!("{{\"{}\":1}}\n", "z".repeat(cut));
            bytes.extend(batch(&line, &identity));
            lines.push_str(&line);
        }
        let (text, told) = read(&bytes, &identity, step);
        prop_assert!(text.unwrap() == lines && told.is_empty());
    }

    #[test]
    fn nothing_that_is_read_makes_it_panic_or_hang(bytes in proptest::collection::vec(any::<u8>(), 0..200), marked in any::<bool>()) {
        let bytes = if marked { [MARK, b"12\n", &bytes].concat() } else { bytes };
        let _ = read_by(&bytes, &identity());
    }
}
