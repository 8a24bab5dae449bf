//! The payload: chunks of 64 KiB, each by its number and whether it is the last one (STREAM).

use zeroize::Zeroizing;

use crate::{Aad, CHACHA20_POLY1305, FILE_KEY_BYTES, Fault, LessSafeKey, Nonce, chacha, derive};

const CHUNK_BYTES: usize = 64 << 10;
const NONCE_BYTES: usize = 16;

/// Appends the nonce and every chunk.
pub fn encrypt(file_key: &[u8; FILE_KEY_BYTES], plain: &[u8], into: &mut Vec<u8>) -> Result<(), Fault> {
    let mut nonce = [0; NONCE_BYTES];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Fault::Randomness)?;
    into.extend_from_slice(&nonce);
    let key = payload_key(file_key, &nonce)?;
    let chunks = plain.len().div_ceil(CHUNK_BYTES).max(1);
    into.reserve(plain.len().saturating_add(chunks.saturating_mul(CHACHA20_POLY1305.tag_len())));
    for number in 0..chunks {
        let from = number * CHUNK_BYTES;
        let chunk = plain.get(from..plain.len().min(from + CHUNK_BYTES)).ok_or(Fault::Library)?;
        let start = into.len();
        into.extend_from_slice(chunk);
        let of_chunk = into.get_mut(start..).ok_or(Fault::Library)?;
        let nonce = chunk_nonce(number, number + 1 == chunks);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), of_chunk).map_err(|_| Fault::Library)?;
        into.extend_from_slice(tag.as_ref());
    }
    Ok(())
}

/// The whole content, or none of it.
pub fn decrypt(file_key: &[u8; FILE_KEY_BYTES], payload: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let tag_bytes = CHACHA20_POLY1305.tag_len();
    let cut = Fault::Payload("it ends too early");
    let (nonce, mut rest) = payload.split_at_checked(NONCE_BYTES).ok_or(Fault::Header("one that ends too early"))?;
    let key = payload_key(file_key, nonce)?;
    let mut plain = Zeroizing::new(Vec::new());
    let mut opening = Zeroizing::new(Vec::with_capacity(rest.len().min(CHUNK_BYTES + tag_bytes)));
    for number in 0_usize.. {
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK_BYTES + tag_bytes));
        let is_last = after.is_empty();
        if chunk.len() < tag_bytes || (is_last && number > 0 && chunk.len() == tag_bytes) {
            return Err(cut);
        }
        opening.clear();
        opening.extend_from_slice(chunk);
        let opened = key.open_in_place(chunk_nonce(number, is_last), Aad::empty(), opening.as_mut_slice());
        let opened = opened.map_err(|_| Fault::Payload("a part of it does not authenticate"))?;
        if number == 0 {
            // All at once, as nothing is wiped of a place that was too small; and not before something authenticated.
            plain.reserve_exact(chunk.len() + after.len());
        }
        plain.extend_from_slice(opened);
        if is_last {
            break;
        }
        rest = after;
    }
    Ok(plain)
}

fn payload_key(file_key: &[u8; FILE_KEY_BYTES], nonce: &[u8]) -> Result<LessSafeKey, Fault> {
    chacha(&derive(file_key, nonce, b"payload")?)
}

/// Eleven bytes with the number, and one that says whether it is the last.
fn chunk_nonce(number: usize, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    for (slot, byte) in nonce.iter_mut().skip(3).zip((number as u64).to_be_bytes()) {
        *slot = byte;
    }
    if let Some(flag) = nonce.last_mut() {
        *flag = u8::from(is_last);
    }
    Nonce::assume_unique_for_key(nonce)
}
