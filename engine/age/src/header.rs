//! The head of an age file: the file key, wrapped for each recipient in a stanza, and a code over all of it.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::keys::{self, Identity, Recipient};
use crate::{Aad, CHACHA20_POLY1305, FILE_KEY_BYTES, Fault, INTRO, Nonce, RECIPIENTS_MAX, chacha, derive};

const STANZA: &str = "-> ";
const X25519: &str = "X25519";
const END: &str = "---";
/// Characters of a line of a stanza's body; the last one has fewer.
const COLUMNS: usize = 64;
/// Bytes of a head that is read: far more than one for [`RECIPIENTS_MAX`] recipients has.
const HEADER_BYTES_MAX: usize = 64 << 10;
const WRAP_INFO: &[u8] = b"age-encryption.org/v1/X25519";
/// A wrapped file key: 16 bytes and a tag.
const WRAPPED_BYTES: usize = FILE_KEY_BYTES + 16;

/// A file key, wrapped for one recipient.
struct Stanza {
    share: [u8; 32],
    wrapped: [u8; WRAPPED_BYTES],
}

/// A head that was read and not authenticated yet.
pub struct Header<'b> {
    stanzas: Vec<Stanza>,
    /// What the code is over.
    covered: &'b [u8],
    mac: [u8; 32],
}

/// Appends the head.
pub fn write(file_key: &[u8; FILE_KEY_BYTES], recipients: &[Recipient], into: &mut Vec<u8>) -> Result<(), Fault> {
    let start = into.len();
    into.extend_from_slice(INTRO);
    for recipient in recipients {
        let (share, secret) = keys::agree_once(recipient)?;
        let wrapped = wrap(file_key, &secret, &share, recipient)?;
        let (share, wrapped) = (STANDARD_NO_PAD.encode(share), STANDARD_NO_PAD.encode(wrapped));
        into.extend_from_slice(format!("{STANZA}{X25519} {share}\n{wrapped}\n").as_bytes());
    }
    into.extend_from_slice(END.as_bytes());
    let key = mac_key(file_key)?;
    let mac = hmac::sign(&key, into.get(start..).ok_or(Fault::Library)?);
    into.extend_from_slice(format!(" {}\n", STANDARD_NO_PAD.encode(mac)).as_bytes());
    Ok(())
}

impl<'b> Header<'b> {
    /// The head, and the payload behind it.
    pub fn read(bytes: &'b [u8]) -> Result<(Self, &'b [u8]), Fault> {
        if !bytes.starts_with(INTRO) {
            return Err(Fault::Header("something else"));
        }
        let mut lines = Lines { bytes, at: INTRO.len() };
        let (mut stanzas, mut count) = (Vec::new(), 0);
        loop {
            let start = lines.at;
            let line = lines.next()?;
            if let Some(mac) = line.strip_prefix(END) {
                let mac = mac.strip_prefix(' ').and_then(|mac| bytes_of(mac)?.try_into().ok());
                let mac = mac.ok_or(Fault::Header("a last line without its code"))?;
                let covered = bytes.get(..start + END.len()).unwrap_or_default();
                if count == 0 {
                    return Err(Fault::Header("one without recipients"));
                }
                let payload = bytes.get(lines.at..).unwrap_or_default();
                return Ok((Self { stanzas, covered, mac }, payload));
            }
            count += 1;
            if count > RECIPIENTS_MAX {
                return Err(Fault::Header("more recipients than are read"));
            }
            let arguments = line.strip_prefix(STANZA).ok_or(Fault::Header("a line that begins no stanza"))?;
            let body = lines.body()?;
            stanzas.extend(Stanza::read(arguments, &body)?);
        }
    }

    /// The file key, by the first identity that one of the stanzas is for.
    pub fn unwrap(&self, identities: &[Identity]) -> Result<Zeroizing<[u8; FILE_KEY_BYTES]>, Fault> {
        for stanza in &self.stanzas {
            for identity in identities {
                let Some(file_key) = stanza.unwrap(identity)? else { continue };
                let code = hmac::verify(&mac_key(&file_key)?, self.covered, &self.mac);
                return code.map(|()| file_key).map_err(|_| Fault::Mac);
            }
        }
        Err(Fault::NoMatch)
    }
}

impl Stanza {
    /// None where it is of another kind: such are passed over.
    fn read(arguments: &str, body: &[u8]) -> Result<Option<Self>, Fault> {
        let mut words = arguments.split(' ');
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
        if !words.clone().all(is_word) {
            return Err(Fault::Header("a stanza whose words are not set apart by one blank"));
        }
        if words.next() != Some(X25519) {
            return Ok(None);
        }
        let share = words.next().and_then(|share| bytes_of(share)?.try_into().ok());
        match (share, words.next(), body.try_into()) {
            (Some(share), None, Ok(wrapped)) => Ok(Some(Self { share, wrapped })),
            _ => Err(Fault::Header("a damaged X25519 stanza")),
        }
    }

    /// None where it is for somebody else.
    fn unwrap(&self, identity: &Identity) -> Result<Option<Zeroizing<[u8; FILE_KEY_BYTES]>>, Fault> {
        let secret = identity.agree(&self.share)?;
        let key = chacha(&wrap_key(&secret, &self.share, &identity.recipient())?)?;
        let mut wrapped = Zeroizing::new(self.wrapped);
        let Ok(opened) = key.open_in_place(zero(), Aad::empty(), wrapped.as_mut_slice()) else { return Ok(None) };
        Ok(Some(Zeroizing::new((&*opened).try_into().map_err(|_| Fault::Library)?)))
    }
}

fn wrap(
    file_key: &[u8; FILE_KEY_BYTES],
    secret: &[u8; 32],
    share: &[u8; 32],
    recipient: &Recipient,
) -> Result<Vec<u8>, Fault> {
    let key = chacha(&wrap_key(secret, share, recipient)?)?;
    let mut wrapped = Vec::with_capacity(FILE_KEY_BYTES + CHACHA20_POLY1305.tag_len());
    wrapped.extend_from_slice(file_key);
    key.seal_in_place_append_tag(zero(), Aad::empty(), &mut wrapped).map_err(|_| Fault::Library)?;
    Ok(wrapped)
}

fn wrap_key(secret: &[u8; 32], share: &[u8; 32], recipient: &Recipient) -> Result<Zeroizing<[u8; 32]>, Fault> {
    derive(secret, &[*share, *recipient.bytes()].concat(), WRAP_INFO)
}

/// The key is used once.
fn zero() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn mac_key(file_key: &[u8; FILE_KEY_BYTES]) -> Result<hmac::Key, Fault> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, derive(file_key, &[], b"header")?.as_slice()))
}

/// Base64 without padding, in its one form.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).ok()
}

/// The lines of a head, one after the other.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Lines<'b> {
    fn next(&mut self) -> Result<&'b str, Fault> {
        let rest = self.bytes.get(self.at..self.bytes.len().min(HEADER_BYTES_MAX)).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Fault::Header("a head that does not end"))?;
        self.at += end + 1;
        let line = rest.get(..end).and_then(|line| std::str::from_utf8(line).ok());
        line.filter(|line| line.is_ascii()).ok_or(Fault::Header("other bytes than ASCII in its head"))
    }

    /// Whole lines, and one that is shorter or empty.
    fn body(&mut self) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        loop {
            let line = self.next()?;
            let decoded = bytes_of(line).filter(|_| line.len() <= COLUMNS);
            body.extend(decoded.ok_or(Fault::Header("a stanza whose body is no base64 in lines of 64"))?);
            if line.len() < COLUMNS {
                return Ok(body);
            }
        }
    }
}
