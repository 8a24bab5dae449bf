//! The hashes that one certificate goes by. Whoever holds a certificate signed by ECDSA can write it anew without its issuer:
//! where (r, s) is a signature, (r, n - s) is one too, over the same content. A list that names either names both.

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::asn1_rs::{Any, FromDer, Tag};

/// Orders of P-256, P-384 and P-521 (FIPS 186-5, SP 800-186 §3.2.1), big-endian.
const ORDERS: [&[u8]; 3] = [
    &[
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
        0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ],
    &[
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2,
        0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
    ],
    &[
        0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0x51, 0x86,
        0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8,
        0x89, 0x9c, 0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
    ],
];

/// SHA-256 over the certificate as it is, and as it could be written anew. Which curve its issuer's key is on does not show, so
/// a signature that fits several has a twin on each.
pub(super) fn hashes(certificate: &CertificateDer<'_>) -> Vec<[u8; 32]> {
    let mut all = vec![Sha256::digest(certificate).into()];
    if let Some((signed, r, s)) = parts(certificate) {
        let twins = ORDERS.iter().filter_map(|order| less(order, s));
        all.extend(twins.map(|s| <[u8; 32]>::from(Sha256::digest(put(signed, r, &s)))));
    }
    all
}

/// What is signed with the algorithm behind it, and r (as it is written) and s. None: no signature of this form.
fn parts(certificate: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let within = sequence(certificate)?;
    let (after, _) = Any::from_der(within).ok()?;
    let (after, _) = Any::from_der(after).ok()?;
    let signed = within.get(..within.len() - after.len())?;
    let (_, signature) = Any::from_der(after).ok()?;
    // The first byte counts the bits that are not used.
    let (0, pair) = signature.data.split_first().map(|(unused, pair)| (*unused, pair))? else { return None };
    let pair = sequence(pair)?;
    let (s, _) = Any::from_der(pair).ok()?;
    let r = pair.get(..pair.len() - s.len())?;
    let (rest, s) = Any::from_der(s).ok()?;
    (rest.is_empty() && s.header.tag() == Tag::Integer).then_some((signed, r, s.data))
}

fn sequence(der: &[u8]) -> Option<&[u8]> {
    let (rest, any) = Any::from_der(der).ok()?;
    (rest.is_empty() && any.header.tag() == Tag::Sequence).then_some(any.data)
}

/// `order - s`, where that is more than 0.
fn less(order: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    let s = without_zeros(s);
    if s.is_empty() || (s.len(), s) >= (order.len(), order) {
        return None;
    }
    let padded = std::iter::repeat_n(0, order.len() - s.len()).chain(s.iter().copied());
    let mut left = order.to_vec();
    let mut borrow = false;
    for (digit, minus) in left.iter_mut().rev().zip(padded.collect::<Vec<_>>().into_iter().rev()) {
        let (once, under) = digit.overflowing_sub(minus);
        let (twice, under_again) = once.overflowing_sub(u8::from(borrow));
        (*digit, borrow) = (twice, under || under_again);
    }
    Some(left)
}

/// The certificate with this signature.
fn put(signed: &[u8], r: &[u8], s: &[u8]) -> Vec<u8> {
    let s = without_zeros(s);
    let sign = s.first().filter(|first| **first >= 0x80).map(|_| &[0][..]).unwrap_or_default();
    let pair = tlv(0x30, &[r, &tlv(0x02, &[sign, s])]);
    tlv(0x30, &[signed, &tlv(0x03, &[&[0], &pair])])
}

/// DER: tag, length, content.
fn tlv(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let length: usize = content.iter().map(|part| part.len()).sum();
    let digits = length.to_be_bytes();
    let digits = without_zeros(&digits);
    let mut der = vec![tag];
    match (length, u8::try_from(digits.len())) {
        (0..0x80, _) | (_, Err(_)) => der.push(length as u8),
        (_, Ok(count)) => {
            der.push(0x80 | count);
            der.extend_from_slice(digits);
        }
    }
    content.iter().for_each(|part| der.extend_from_slice(part));
    der
}

pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The certificate written anew: one for each curve that its signature fits.
    pub(in super::super) fn written_anew(certificate: &CertificateDer<'_>) -> Vec<CertificateDer<'static>> {
        let (signed, r, s) = parts(certificate).unwrap();
        ORDERS.iter().filter_map(|order| less(order, s)).map(|s| put(signed, r, &s).into()).collect()
    }

    /// The certificate with a needless zero before r, or s.
    pub(in super::super) fn padded(certificate: &CertificateDer<'_>) -> [CertificateDer<'static>; 2] {
        let (signed, r, s) = parts(certificate).unwrap();
        let (_, r_any) = Any::from_der(r).unwrap();
        let padded = |content: &[u8]| tlv(0x02, &[&[0], content]);
        let with = |r: &[u8], s: &[u8]| tlv(0x30, &[signed, &tlv(0x03, &[&[0], &tlv(0x30, &[r, s])])]).into();
        [with(&padded(r_any.data), &tlv(0x02, &[s])), with(r, &padded(s))]
    }
}
