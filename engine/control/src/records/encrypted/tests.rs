use std::cell::{Cell, RefCell};
use std::io::Read as _;
use std::rc::Rc;
use std::sync::Arc;

use age_format::Identity;
use proptest::prelude::*;

use super::*;
use crate::bounds::RECORDS_ENCRYPTED_FILE_BYTES_MAX;

thread_local! {
    static WORK: Cell<usize> = const { Cell::new(0) };
}

/// Counts bytes that the reader looks at or moves.
pub fn worked(bytes: usize) {
    WORK.set(WORK.get() + bytes);
}

fn identity() -> Arc<[Identity]> {
    Arc::new([Identity::generate().unwrap().0])
}

/// So many bytes at a time.
struct Slow<'b>(&'b [u8], usize);

impl io::Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.0.len().min(self.1).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// What is read of `bytes`, so many at a time, and what is told on the way.
fn read(bytes: &[u8], identities: &Arc<[Identity]>, step: usize) -> (io::Result<String>, Vec<Damage>) {
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

/// Where a piece ends that the file is read in says nothing: not behind the end that a batch should have, and not before.
#[test]
fn a_batch_that_was_cut_off_is_told_as_such_however_it_comes() {
    let identity = identity();
    let [one, two, three] = [1, 2, 3].map(|number| batch(&format!("{{\"a\":{number}}}\n"), &identity));
    let torn = [one.as_slice(), &two[..two.len() - 30], &three].concat();
    let changed = [one.as_slice(), &two[..two.len() - 10], b"0123456789"].concat();
    for step in 1..=torn.len() {
        for (bytes, text, cut_off) in [(&torn, "{\"a\":1}\n{\"a\":3}\n", true), (&changed, "{\"a\":1}\n", false)] {
            let (found, told) = read(bytes, &identity, step);
            assert_eq!(
                (found.unwrap().as_str(), told),
                (text, vec![Damage { at: one.len() as u64, cut_off }]),
                "{step}"
            );
        }
    }
}

#[test]
fn a_batch_that_was_changed_is_told_and_the_others_are_read() {
    let identity = identity();
    let (one, two, three) =
        (batch("{\"a\":1}\n", &identity), batch("{\"a\":2}\n", &identity), batch("{\"a\":3}\n", &identity));
    // Where the length stands, it can look like one that was cut off.
    for at in (0..MARK.len()).chain(MARK.len() + 5..two.len() - 1) {
        let mut changed = two.clone();
        changed[at] ^= 1;
        let (text, told) = read_by(&[one.as_slice(), &changed, &three].concat(), &identity);
        assert_eq!(text.unwrap(), "{\"a\":1}\n{\"a\":3}\n", "byte {at}");
        assert_eq!(told, [Damage { at: one.len() as u64, cut_off: false }], "byte {at}");
    }
    // What says to whom, at the beginning and behind a batch.
    let to = opening(&[identity[0].recipient()]);
    for at in 0..to.len() - 1 {
        let mut changed = to.clone();
        changed[at] ^= 1;
        for before in [&[][..], &one] {
            let (text, told) = read_by(&[before, &changed, &two].concat(), &identity);
            assert!(text.unwrap().ends_with("{\"a\":2}\n"), "byte {at}");
            assert_eq!(told, [Damage { at: before.len() as u64, cut_off: false }], "byte {at}");
        }
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

/// What is read and told of `bytes` where the reader goes on behind batches for others, and what it says of those.
fn read_on(bytes: &[u8], identities: &Arc<[Identity]>) -> (io::Result<String>, Vec<Damage>, Option<String>) {
    let told = Rc::new(RefCell::new(Vec::new()));
    let telling = Rc::clone(&told);
    let tell = Box::new(move |damage| telling.borrow_mut().push(damage));
    let mut reader = Decrypting::new(bytes, Arc::clone(identities), tell).going_on();
    let mut text = String::new();
    let read = reader.read_to_string(&mut text).map(|_| text);
    let told = told.borrow().clone();
    (read, told, reader.for_others())
}

#[test]
fn batches_for_others_are_passed_over_and_told_behind_what_can_be_read() {
    let (ours, theirs) = (identity(), identity());
    let [our, their] = [&ours, &theirs].map(|of| opening(&[of[0].recipient()]));
    let [a, b] = ["{\"a\":1}\n", "{\"b\":1}\n"].map(|lines| batch(lines, &ours));
    let theirs = batch("{\"c\":1}\n", &theirs);
    let name = String::from_utf8(their.clone()).unwrap();
    let name = name.trim_start_matches("adamant-encrypted-to ").trim();
    // Spliced in, at the beginning as well, or by a start with another `encrypt_to`.
    for (parts, at, batches) in [
        (vec![&our, &a, &their, &theirs, &b], our.len() + a.len() + their.len(), "a batch of"),
        (vec![&their, &theirs, &our, &a, &b], their.len(), "a batch of"),
        (vec![&their, &theirs, &a, &theirs, &b], their.len(), "a batch of"),
        (vec![&our, &a, &b, &their, &theirs, &theirs], our.len() + a.len() + b.len() + their.len(), "2 batches of"),
    ] {
        let bytes = parts.into_iter().flatten().copied().collect::<Vec<u8>>();
        let (text, damages, others) = read_on(&bytes, &ours);
        let others = others.unwrap();
        assert_eq!(text.unwrap(), "{\"a\":1}\n{\"b\":1}\n");
        for part in [batches, &format!("from byte {at} on"), name, "if encrypt_to never named it"] {
            assert!(others.contains(part), "{others}: {part}");
        }
        // A readable batch says that those behind it are for us.
        assert!(damages.len() <= 1, "{damages:?}");
        // Where all is expected to be read, it is an error: at the end, or at once where nothing was read.
        let failed = read_by(&bytes, &ours).0.unwrap_err().to_string();
        assert!(failed.contains(name) && (failed == others) == bytes.starts_with(&our), "{failed}");
    }
    let bytes = [their.as_slice(), &theirs, &theirs].concat();
    let (text, _, others) = read_on(&bytes, &ours);
    assert_eq!(text.unwrap_err().to_string(), others.unwrap(), "nothing can be read");
}

/// What a kill left of the line, and what nobody wrote.
#[test]
fn a_line_that_says_to_whom_is_bounded_and_names_keys() {
    let identity = identity();
    let whole = opening(&[identity[0].recipient(); age_format::RECIPIENTS_MAX]);
    let batch = batch("{\"a\":1}\n", &identity);
    let read = |line: &[u8]| {
        let (text, told) = read(&[line, &batch].concat(), &identity, 7);
        assert_eq!(text.unwrap(), "{\"a\":1}\n");
        told
    };
    assert_eq!(read(&whole), []);
    let changed = [Damage { at: 0, cut_off: false }];
    assert_eq!(read(&opening(&[identity[0].recipient(); age_format::RECIPIENTS_MAX + 1])), changed);
    assert_eq!(read(b"adamant-encrypted-to \x1b[2J\n"), changed);
    assert_eq!(read(b"adamant-encrypted-to age1\n"), changed);
    for cut in 1..whole.len() - 1 {
        let told = read(&[&whole[..cut], b"\n", &whole].concat());
        let is_of_fewer = (cut + 1).checked_sub(TO.len()).is_some_and(|names| names > 0 && names % 63 == 0);
        assert!(told == [Damage { at: 0, cut_off: true }] || (is_of_fewer && told.is_empty()), "{cut}: {told:?}");
    }
}

#[test]
fn a_head_that_was_cut_off_is_told_as_such() {
    let identity = identity();
    let whole = batch("{\"a\":1}\n", &identity);
    let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1 + age_format::INTRO.len();
    let opening = opening(&[identity[0].recipient()]);
    for cut in 1..head + 5 {
        let newline: &[u8] = if whole[cut - 1] == b'\n' { b"" } else { b"\n" };
        for next in [whole.clone(), [opening.as_slice(), &whole].concat()] {
            let (text, told) = read(&[&whole[..cut], newline, &next].concat(), &identity, 7);
            assert_eq!(text.unwrap(), "{\"a\":1}\n", "{cut}");
            assert_eq!(told, [Damage { at: 0, cut_off: true }], "{cut}");
        }
    }
}

/// A file of about so many bytes.
type Make<'m> = &'m dyn Fn(usize) -> Vec<u8>;

/// Bytes that are looked at or moved for each byte of a file, whatever is in it.
#[test]
fn crafted_files_cost_no_more_than_their_length() {
    let identity = identity();
    let ours = batch(&"y".repeat(200), &identity);
    let file = &ours[ours.iter().position(|byte| *byte == b'\n').unwrap() + 1..];
    let [authentic, short] = [8_380_000, 30_000].map(|length| {
        let mark = format!("adamant-encrypted {length}\n");
        [mark.as_bytes(), &file[..240]].concat()
    });
    let laid_over = |unit: &[u8], count: usize| unit.repeat(count / unit.len());
    let filled = |unit: &[u8], count| [laid_over(unit, count / 8), vec![b'x'; count]].concat();
    let crafted: [(&str, Make<'_>); 8] = [
        ("a line that says to whom and does not end", &|count| [TO, &vec![b'x'; count]].concat()),
        ("beginnings of such lines", &|count| laid_over(TO, count)),
        ("heads without a file", &|count| laid_over(b"adamant-encrypted 8388608\n", count)),
        ("heads with its beginning", &|count| laid_over(b"adamant-encrypted 8388608\nage-encryption.org/v1\n", count)),
        ("heads of large files for us", &|count| filled(&authentic, count)),
        ("heads of small files for us", &|count| filled(&short, count)),
        ("files for us that do not authenticate", &|count| {
            let changed = [&ours[..ours.len() - 2], b"??\n"].concat();
            laid_over(&changed, count)
        }),
        ("beginnings of marks", &|count| laid_over(b"adamant-encrypted\n{}\n", count)),
    ];
    for (name, make) in crafted {
        for size in [1 << 20, 12 << 20] {
            let bytes = make(size);
            WORK.set(0);
            let mut lines = Vec::new();
            let from = Slow(&bytes, 64 << 10);
            let read = Decrypting::new(from, Arc::clone(&identity), Box::new(|_| ())).read_to_end(&mut lines);
            read.unwrap();
            assert!(WORK.get() < 4 * bytes.len(), "{name}: {} for {}", WORK.get(), bytes.len());
        }
    }
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
