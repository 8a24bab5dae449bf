//! What names an agent in its certificate: `spiffe://…`, `dns:…`, `spki-sha256:…`.

use policy::model::CertificateName;

use crate::codes::BAD_CERTIFICATE_NAME;
use crate::fields::shown;
use crate::forms::Flaw;
use crate::forms::host::dns_name;

const FORMS: &str = "write `spiffe://trust-domain/path`, `dns:name` or `spki-sha256:` and 64 hexadecimal digits";

pub(crate) fn certificate_name(text: &str) -> Result<CertificateName, Flaw> {
    let flaw =
        |message: &str| Flaw::new(BAD_CERTIFICATE_NAME, format!("`{}` names no certificate: {message}", shown(text)));
    if let Some(id) = text.strip_prefix("spiffe://") {
        return match spiffe(id) {
            Ok(()) => Ok(CertificateName::Spiffe(text.to_owned())),
            Err(why) => {
                Err(flaw(why).at(9..text.len()).label("not a SPIFFE ID").hint("like `spiffe://corp.example/reports`"))
            }
        };
    }
    if let Some(name) = text.strip_prefix("dns:") {
        let lower = name.to_ascii_lowercase();
        return match dns_name(&lower) {
            Ok(()) => Ok(CertificateName::Dns(lower)),
            Err((at, why)) => {
                let flaw = flaw(why).at(at.start + 4..at.end + 4).label("not a DNS name");
                Err(flaw.hint("write one name in full, like `dns:reports.corp.example`"))
            }
        };
    }
    if let Some(hex) = text.strip_prefix("spki-sha256:") {
        return match sha256_hex(hex) {
            Some(hex) => Ok(CertificateName::SpkiSha256(hex)),
            None => {
                let flaw = flaw("a SHA-256 has 64 hexadecimal digits").at(12..text.len()).label("not a SHA-256");
                Err(flaw.hint("it is taken over the DER SubjectPublicKeyInfo"))
            }
        };
    }
    Err(flaw("unknown form").label("not known").hint(FORMS))
}

/// A SPIFFE ID without its scheme: trust domain and path (SPIFFE-ID §2.1, §2.2).
fn spiffe(id: &str) -> Result<(), &'static str> {
    let Some((domain, path)) = id.split_once('/') else {
        return Err("it has no path, so it names a whole trust domain");
    };
    let in_domain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_');
    if domain.is_empty() || domain.len() > 255 || !domain.chars().all(in_domain) {
        return Err("a trust domain has lower-case letters, digits, `.`, `-` and `_`");
    }
    let in_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let segment_is_valid = |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(in_path);
    if !path.split('/').all(segment_is_valid) {
        return Err("segments of its path have letters, digits, `.`, `-` and `_`, and none is empty");
    }
    Ok(())
}

/// 64 hexadecimal digits in lower case.
pub(crate) fn sha256_hex(text: &str) -> Option<String> {
    let valid = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| text.to_ascii_lowercase())
}
