//! What the holder of a certificate can make of it without its issuer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::certificates::{Identity, element};

/// Order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

impl Identity {
    /// The same certificate with (r, n - s) in the place of the signature (r, s) of its issuer, whose key is on P-256: other
    /// bytes, as good as before.
    pub fn written_anew(&self) -> Self {
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let (_, members) = element(&der);
        let (after, _) = element(members);
        let (bits, _) = element(after);
        let (_, bits_content) = element(bits);
        let (_, pair) = element(&bits_content[1..]);
        let (s, _) = element(pair);
        let (_, number) = element(s);
        let signed = &members[..members.len() - bits.len()];
        let anew = tlv(2, &unsigned(&less(number)));
        let pair = tlv(0x30, &[&pair[..pair.len() - s.len()], &anew].concat());
        let der = tlv(0x30, &[signed, &tlv(3, &[&[0], pair.as_slice()].concat())].concat());
        let text = STANDARD.encode(der);
        let certificate = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        Self { certificate, key: self.key.clone() }
    }
}

/// The order less a number of at most 32 bytes and a sign.
fn less(number: &[u8]) -> [u8; 32] {
    let mut left = ORDER;
    let mut borrow = 0;
    let number = number.iter().rev().copied().chain(std::iter::repeat(0));
    for (digit, minus) in left.iter_mut().rev().zip(number) {
        let found = i16::from(*digit) - i16::from(minus) - borrow;
        (*digit, borrow) = (found.rem_euclid(256) as u8, i16::from(found < 0));
    }
    left
}

/// As the content of an INTEGER.
fn unsigned(number: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = number.iter().copied().skip_while(|digit| *digit == 0).collect();
    if digits[0] >= 0x80 { [&[0], digits.as_slice()].concat() } else { digits }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [header.as_slice(), content].concat()
}
