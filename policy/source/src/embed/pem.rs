//! PEM files of trust anchors (RFC 7468): at least one certificate, no private key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::bounds::CLIENT_CA_ANCHORS_MAX;
use crate::codes::{BAD_PEM, PRIVATE_KEY, TOO_MANY};
use crate::fields::shown;
use crate::forms::Flaw;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// Checks a file of trust anchors.
pub(crate) fn certificates(text: &str) -> Result<(), Flaw> {
    blocks(text).map(|_| ())
}

/// Checks the certificates of a client CA: nothing stands beside them, and no more than a gateway takes.
pub(crate) fn client_ca(text: &str) -> Result<(), Flaw> {
    let Blocks { certificates, other } = blocks(text)?;
    if let Some((line, label)) = other {
        let flaw = broken(line, &format!("a block `{}` beside the certificates of a client CA", shown(label)));
        return Err(flaw.label("more than certificates").hint("embed the certificates alone; lists are read by `crl`"));
    }
    if certificates > CLIENT_CA_ANCHORS_MAX {
        let message = format!("a client CA of {certificates} certificates, the most is {CLIENT_CA_ANCHORS_MAX}");
        return Err(Flaw::new(TOO_MANY, message).label("too many certificates"));
    }
    Ok(())
}

/// What a file holds.
struct Blocks<'t> {
    certificates: usize,
    /// Line (from 0) and label of the first that is none.
    other: Option<(usize, &'t str)>,
}

fn broken(line: usize, why: &str) -> Flaw {
    let flaw = Flaw::new(BAD_PEM, format!("line {} of the file: {why}", line + 1)).label("broken PEM");
    flaw.hint("export the certificates again as PEM")
}

fn blocks(text: &str) -> Result<Blocks<'_>, Flaw> {
    let mut lines = text.lines().map(str::trim).enumerate();
    let (mut count, mut other) = (0, None);
    while let Some((number, line)) = lines.next() {
        let Some(label) = line.strip_prefix(BEGIN).and_then(|line| line.strip_suffix(DASHES)) else {
            continue;
        };
        if label.ends_with("PRIVATE KEY") {
            let flaw = Flaw::new(PRIVATE_KEY, format!("line {} of the file begins a private key", number + 1));
            let hint = "embed the certificates alone; a key that was in a policy repository must be replaced";
            return Err(flaw.label("holds a private key").hint(hint));
        }
        let end = format!("-----END {label}-----");
        let mut body = String::new();
        let closed = lines.by_ref().map(|(_, line)| line).take_while(|line| !line.starts_with(BEGIN)).any(|line| {
            let ends = line == end;
            if !ends {
                body.push_str(line);
            }
            ends
        });
        if !closed {
            return Err(broken(number, "this block is not closed"));
        }
        if label == "CERTIFICATE" {
            let der = STANDARD.decode(&body).map_err(|_| broken(number, "this block is not base64"))?;
            if !is_one_sequence(&der) {
                return Err(broken(number, "this block is not one DER certificate"));
            }
            count += 1;
        } else if matches!(label, "X509 CRL" | "PUBLIC KEY") {
            other = other.or(Some((number, label)));
        } else {
            return Err(broken(number, &format!("a block `{}` is not expected here", shown(label))));
        }
    }
    if count == 0 {
        let flaw = Flaw::new(BAD_PEM, "the file holds no certificate").label("no certificate");
        return Err(flaw.hint("expected at least one block `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(Blocks { certificates: count, other })
}

/// Whether the bytes are one DER SEQUENCE from begin to end (X.690 §8.1, §10.1).
fn is_one_sequence(der: &[u8]) -> bool {
    let Some((0x30, rest)) = der.split_first().map(|(tag, rest)| (*tag, rest)) else {
        return false;
    };
    let Some((first, rest)) = rest.split_first() else {
        return false;
    };
    if *first < 0x80 {
        return rest.len() == usize::from(*first);
    }
    let octets = usize::from(first & 0x7f);
    if !(1..=4).contains(&octets) || rest.len() < octets {
        return false;
    }
    let (length, content) = rest.split_at(octets);
    let length = length.iter().fold(0_usize, |length, octet| (length << 8) | usize::from(*octet));
    content.len() == length
}
