//! Checkpoints (c2sp.org/tlog-checkpoint): a signed note of an origin line, a size and a root.

use crate::bounds::{CHECKPOINT_BYTES_MAX, ORIGIN_BYTES_MAX};
use crate::note::{Note, NoteFault, Outcome, Verifier};
use crate::{Hash, base64, unbase64};

/// What a signature line begins with: an em dash.
const SIGNATURE: &[u8] = "\u{2014}".as_bytes();

/// The head of a tree at a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the log: one run of one gateway.
    pub origin: String,
    pub size: u64,
    pub root: Hash,
    /// Lines that only applications understand; we write none.
    pub extensions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    #[error(transparent)]
    Note(#[from] NoteFault),
    #[error("expected at most {CHECKPOINT_BYTES_MAX} bytes, found {0}")]
    Size(usize),
    #[error("expected a line with the origin, a line with the size and a line with the root, found {0:?}")]
    Form(String),
    #[error("no key that is trusted here signed it (signed by {0})")]
    Unsigned(String),
    #[error("{signer} signed it, but the log {origin} is not its own")]
    NotItsOwn { origin: String, signer: String },
    #[error("the signature of {0} is wrong: somebody changed it or made it up")]
    Wrong(String),
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, base64(&self.root));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    pub fn parse(text: &str) -> Result<Self, CheckpointFault> {
        let wrong = || CheckpointFault::Form(text.chars().take(200).collect());
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or_else(wrong)?.split('\n').collect();
        let [origin, size, root, extensions @ ..] = lines.as_slice() else { return Err(wrong()) };
        let canonical = *size == "0" || !size.starts_with(['0', '+']);
        let size = size.parse().ok().filter(|_| canonical).ok_or_else(wrong)?;
        let root = unbase64(root).ok_or_else(wrong)?;
        if origin.is_empty() || origin.len() > ORIGIN_BYTES_MAX || extensions.iter().any(|line| line.is_empty()) {
            return Err(wrong());
        }
        let extensions = extensions.iter().map(|line| (*line).to_owned()).collect();
        Ok(Self { origin: (*origin).to_owned(), size, root, extensions })
    }

    /// The checkpoint of a note that one of `verifiers` signed, and which of them.
    pub fn open<'v>(note: &str, verifiers: &'v [Verifier]) -> Result<(Self, &'v Verifier), CheckpointFault> {
        if note.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointFault::Size(note.len()));
        }
        let note = Note::parse(note)?;
        let mut signer = None;
        for verifier in verifiers {
            match note.check(verifier) {
                Outcome::Verified => signer = signer.or(Some(verifier)),
                Outcome::Wrong => return Err(CheckpointFault::Wrong(verifier.name().to_owned())),
                Outcome::Absent => {}
            }
        }
        let names = || note.signers().collect::<Vec<_>>().join(", ");
        let signer = signer.ok_or_else(|| CheckpointFault::Unsigned(names()))?;
        Ok((Self::parse(note.text)?, signer))
    }
}

/// As [`Checkpoint::open`], of a gateway's own log: its origin begins with the name of its key, so that no node can speak
/// for another.
pub fn open_own<'v>(note: &str, verifiers: &'v [Verifier]) -> Result<(Checkpoint, &'v Verifier), CheckpointFault> {
    let (checkpoint, signer) = Checkpoint::open(note, verifiers)?;
    let own = checkpoint.origin.strip_prefix(signer.name()).is_some_and(|rest| rest.starts_with('/'));
    if own {
        return Ok((checkpoint, signer));
    }
    Err(CheckpointFault::NotItsOwn { origin: checkpoint.origin, signer: signer.name().to_owned() })
}

/// The notes in a text that holds several, one after the other: each ends with its last signature line. What is left at
/// the end may be one that a crash cut off.
pub fn split_notes(text: &str) -> Vec<&str> {
    let (mut notes, mut start, mut at, mut in_signatures) = (Vec::new(), 0, 0, false);
    for line in text.split_inclusive('\n') {
        let is_signature = line.as_bytes().starts_with(SIGNATURE);
        if in_signatures && !is_signature {
            notes.extend(text.get(start..at));
            start = at;
        }
        in_signatures = is_signature;
        at += line.len();
    }
    notes.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    notes
}

/// Bytes up to the end of the last note that is whole. What stands behind it, a crash or a full disk cut off.
pub fn whole_notes(text: &[u8]) -> usize {
    let (mut whole, mut at) = (0, 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if line.starts_with(SIGNATURE) && line.ends_with(b"\n") {
            whole = at;
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use policy_release::key::SigningKey;

    use super::*;
    use crate::note;

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint { origin: "example.com/log".to_owned(), size, root: [7; 32], extensions: Vec::new() }
    }

    fn sign(checkpoint: &Checkpoint, key: &SigningKey, name: &str) -> String {
        let verifier = Verifier::new(name, key.public()).unwrap();
        note::signed(&checkpoint.text(), &verifier, &key.sign(checkpoint.text().as_bytes()).unwrap())
    }

    /// The example of c2sp.org/tlog-checkpoint.
    #[test]
    fn the_published_example_is_read_and_written_again() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let checkpoint = Checkpoint::parse(text).unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.text(), text);
        let signature = "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
        let whole = format!("{text}\n{signature}");
        assert_eq!(Note::parse(&whole).unwrap().text, text);
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let root = base64(&[7; 32]);
        for wrong in [
            format!("o\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n-1\n{root}\n"),
            format!("o\n\n{root}\n"),
            format!("o\n1\n{}\n", root.replace('=', "")),
            format!("o\n1\n{root}\n\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            "o\n1\n".to_owned(),
        ] {
            assert!(Checkpoint::parse(&wrong).is_err(), "{wrong:?}");
        }
        let extended = Checkpoint { extensions: vec!["a b".to_owned()], ..checkpoint(0) };
        assert_eq!(Checkpoint::parse(&extended.text()).unwrap(), extended);
    }

    #[test]
    fn it_is_opened_with_the_right_key_alone() {
        let (key, other) = (SigningKey::generate([1; 32]).unwrap(), SigningKey::generate([2; 32]).unwrap());
        let note = sign(&checkpoint(5), &key, "node");
        let verifiers = [Verifier::new("node", other.public()).unwrap(), Verifier::new("node", key.public()).unwrap()];
        let (opened, signer) = Checkpoint::open(&note, &verifiers).unwrap();
        assert_eq!((opened, signer.key()), (checkpoint(5), &key.public()));
        assert!(matches!(Checkpoint::open(&note, &verifiers[..1]), Err(CheckpointFault::Unsigned(_))));
        let changed = note.replace("\n5\n", "\n6\n");
        assert!(matches!(Checkpoint::open(&changed, &verifiers), Err(CheckpointFault::Wrong(_))));
        assert!(matches!(open_own(&note, &verifiers), Err(CheckpointFault::NotItsOwn { .. })));
        let own = Checkpoint { origin: "node/1".to_owned(), ..checkpoint(5) };
        assert!(open_own(&sign(&own, &key, "node"), &verifiers).is_ok());
        let long = format!("{}{note}", "x".repeat(CHECKPOINT_BYTES_MAX));
        assert!(matches!(Checkpoint::open(&long, &verifiers), Err(CheckpointFault::Size(_))));
    }

    #[test]
    fn notes_in_a_row_are_told_apart() {
        let key = SigningKey::generate([1; 32]).unwrap();
        let notes: Vec<_> = (0..3).map(|size| sign(&checkpoint(size), &key, "node")).collect();
        let text = notes.concat();
        assert_eq!(split_notes(&text), notes);
        let torn = format!("{}{}", notes[0], &notes[1][..20]);
        assert_eq!(split_notes(&torn), [&notes[0], &notes[1][..20]]);
        assert_eq!(split_notes(""), Vec::<&str>::new());
        for end in 0..=notes[1].len() {
            let torn = format!("{}{}", notes[0], &notes[1].get(..end).unwrap_or_default());
            let whole = notes[0].len() + if end == notes[1].len() { end } else { 0 };
            assert_eq!(whole_notes(torn.as_bytes()), whole, "{end}");
        }
        assert_eq!(whole_notes(format!("{}\0\0\0", notes[0]).as_bytes()), notes[0].len());
        assert_eq!((whole_notes(b""), whole_notes(b"node/1\n5\n")), (0, 0));
    }
}
