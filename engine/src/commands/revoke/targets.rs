//! What is to be revoked, as the command line names it.

use std::path::Path;

use agent::x509;
use clap::Args;
use identity::certificate::Facts;
use policy::bounds::LEEWAY_S_MAX;
use policy::model::{CertificateName, Policy};
use policy_release::revocations::{SerialNumber, Sha256, Target};
use policy_release::time::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::known::{expect, expect_kid, expect_subject};
use crate::failure::{Failure, warn};
use crate::files;

/// How far ahead of this clock tokens of a subject are revoked without being asked, seconds.
const AHEAD_S_MAX: u64 = 86_400;
/// Bytes of a certificate file.
const CERTIFICATE_BYTES_MAX: usize = 1 << 20;

/// Each may be repeated. ISSUER is the name of an `[[issuer]]`, or its `issuer`.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to revoke")]
pub struct TargetArgs {
    /// An agent, with whatever credential it comes.
    #[arg(long, value_name = "NAME")]
    agent: Vec<String>,
    /// An API key, by its id.
    #[arg(long, value_name = "ID")]
    api_key: Vec<String>,
    /// A certificate: a PEM or DER file, or SHA-256 over the DER. One of a CA, of the policy or in the chain, goes for all that it
    /// vouches for.
    #[arg(long, value_name = "FILE|SHA256")]
    certificate: Vec<String>,
    /// A certificate by its serial number in hex. ISSUER is here the issuer's certificate, or SHA-256 over its public key
    /// (SubjectPublicKeyInfo).
    #[arg(long, value_name = "ISSUER/SERIAL")]
    certificate_serial: Vec<String>,
    /// One token, by its jti.
    #[arg(long, value_name = "ISSUER/JTI")]
    jti: Vec<String>,
    /// All tokens that the issuer's key with this kid signed.
    #[arg(long, value_name = "ISSUER/KID")]
    kid: Vec<String>,
    /// All tokens of a subject that were issued before now (and the issuer's leeway), or before --before.
    #[arg(long, value_name = "ISSUER/SUBJECT")]
    subject: Vec<String>,
    /// The time before which tokens of --subject were issued.
    #[arg(long, value_name = "TIME", requires = "subject")]
    before: Option<Timestamp>,
}

/// Something to be revoked, and when it ends by itself.
pub struct Named {
    pub target: Target,
    pub until: Option<Timestamp>,
    /// Names in its certificate, where that is at hand: the last one is the key's hash.
    pub names: Vec<CertificateName>,
}

impl Named {
    const fn of(target: Target) -> Self {
        Self { target, until: None, names: Vec::new() }
    }
}

impl TargetArgs {
    /// Refuses a subject whose tokens would be refused for long because somebody has once signed by a clock far ahead.
    pub fn expect_near(&self, now: Timestamp, latest: Timestamp) -> Result<(), Failure> {
        if self.subject.is_empty() || self.before.is_some() || latest <= now.later_by(AHEAD_S_MAX) {
            return Ok(());
        }
        let message = format!("expected what the channel has to be signed by now ({now}), found something of {latest}");
        Err(Failure::new(message).help("say before when the subject's tokens were issued: --before TIME"))
    }

    /// Reads them all. A name that `release` does not have is refused, unless `unknown` ones are meant: a kill switch with a
    /// slip of the pen switches nothing.
    /// `now`: before which time the tokens of a subject were issued, where no other one is given.
    pub fn read(&self, release: Option<&Policy>, unknown: bool, now: Timestamp) -> Result<Vec<Named>, Failure> {
        let known = release.filter(|_| !unknown);
        let mut named = Vec::new();
        for name in &self.agent {
            expect("agent", name, known.map(|policy| policy.agents.iter().map(|agent| agent.name.as_str()).collect()))?;
            named.push(Named::of(Target::Agent(name.clone())));
        }
        for id in &self.api_key {
            expect("API key", id, known.map(|policy| policy.api_keys.iter().map(|key| key.id.as_str()).collect()))?;
            // The next release may let the key hold for longer than this one says: it ends by its removal alone.
            named.push(Named::of(Target::ApiKey(id.clone())));
        }
        for certificate in &self.certificate {
            named.push(of_certificate(certificate)?);
        }
        for numbered in &self.certificate_serial {
            named.push(of_numbered(numbered)?);
        }
        let split = |text| issuer_and_rest(text, release, known);
        for text in &self.jti {
            let (issuer, jti) = split(text)?;
            named.push(Named::of(Target::Token { issuer, jti }));
        }
        for text in &self.kid {
            let (issuer, kid) = split(text)?;
            known.map_or(Ok(()), |policy| expect_kid(policy, &issuer, &kid))?;
            named.push(Named::of(Target::Key { issuer, kid }));
        }
        for text in &self.subject {
            let (issuer, subject) = split(text)?;
            known.map_or(Ok(()), |policy| expect_subject(policy, &issuer, &subject))?;
            let issued_before = self.before.unwrap_or_else(|| after_what_is_out(now, &issuer, release));
            named.push(Named::of(Target::Subject { issuer, subject, issued_before }));
        }
        Ok(named)
    }
}

/// The time before which all tokens of `issuer` were issued that are out at `now`. They say in whole seconds when they were
/// issued, and that may be ahead of the clock by the issuer's leeway: by the largest that there is where it is not known.
fn after_what_is_out(now: Timestamp, issuer: &str, release: Option<&Policy>) -> Timestamp {
    let of_issuer = |policy: &Policy| {
        let named = policy.issuers.iter().filter(|known| known.issuer == issuer || known.name == issuer);
        named.map(|known| known.leeway_s).max()
    };
    let leeway_s = release.and_then(of_issuer).unwrap_or(LEEWAY_S_MAX);
    Timestamp::from_seconds(now.seconds() + 1 + u64::from(leeway_s)).unwrap_or(now)
}

/// The issuer in the words of its tokens where the release tells them, and what stands behind it.
fn issuer_and_rest(text: &str, release: Option<&Policy>, known: Option<&Policy>) -> Result<(String, String), Failure> {
    let issuers = release.map(|policy| policy.issuers.as_slice()).unwrap_or_default();
    let behind = |issuer: &str| text.strip_prefix(issuer)?.strip_prefix('/').filter(|rest| !rest.is_empty());
    // The longest, where one issuer's address begins with another's.
    let urls = issuers.iter().filter_map(|issuer| Some((issuer.issuer.as_str(), behind(&issuer.issuer)?)));
    if let Some((issuer, rest)) = urls.max_by_key(|(issuer, _)| issuer.len()) {
        return Ok((issuer.to_owned(), rest.to_owned()));
    }
    let parts = if text.contains("://") { text.rsplit_once('/') } else { text.split_once('/') };
    let parts = parts.filter(|(issuer, rest)| !issuer.is_empty() && !issuer.ends_with(":/") && !rest.is_empty());
    let (name, rest) = parts.ok_or_else(|| {
        Failure::new(format_args!("expected ISSUER/…, found {text:?}"))
            .help("such as corp/01JD…: the issuer, a slash, the rest")
    })?;
    let named = issuers.iter().find(|issuer| issuer.name == name);
    if named.is_none() {
        expect("issuer", name, known.map(|policy| policy.issuers.iter().map(|issuer| issuer.name.as_str()).collect()))?;
    }
    Ok((named.map_or(name, |issuer| &issuer.issuer).to_owned(), rest.to_owned()))
}

fn of_certificate(text: &str) -> Result<Named, Failure> {
    if let Some(sha256) = fingerprint(text) {
        return Ok(Named::of(Target::Certificate(sha256)));
    }
    let (der, facts) = read_certificate(Path::new(text))?;
    if x509::facts(&der).is_ok_and(|facts| !facts.is_for_clients) {
        warn(format_args!(
            "{text}: this certificate is none of a client (its extended key usage): no agent can show it"
        ));
    }
    // Valid until that second, which is included.
    let ends = u64::try_from(facts.not_after_s).ok().and_then(|ends_s| Timestamp::from_seconds(ends_s + 1));
    Ok(Named { target: Target::Certificate(Sha256(facts.sha256)), until: ends, names: facts.names })
}

fn of_numbered(text: &str) -> Result<Named, Failure> {
    let wrong = |why: &str| {
        Failure::new(format_args!("{text}: {why}"))
            .help("--certificate-serial ISSUER/SERIAL: the issuer's certificate (or SHA-256 over its public key), a slash, hex")
    };
    let (issuer, serial) = text.rsplit_once('/').ok_or_else(|| wrong("expected ISSUER/SERIAL"))?;
    let issuer_spki = match fingerprint(issuer) {
        Some(sha256) => sha256,
        None => {
            let (_, Facts { names, .. }) = read_certificate(Path::new(issuer))?;
            let spki = names.iter().find_map(|name| match name {
                CertificateName::SpkiSha256(hex) => hex.parse().ok(),
                _ => None,
            });
            spki.ok_or_else(|| wrong("the issuer's certificate has no key"))?
        }
    };
    let digits: String = serial.chars().filter(|c| *c != ':').flat_map(char::to_lowercase).collect();
    let digits = digits.strip_prefix("0x").unwrap_or(&digits).trim_start_matches('0');
    let padded = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") };
    let serial: SerialNumber = padded.parse().map_err(|why: String| wrong(&why))?;
    Ok(Named::of(Target::NumberedCertificate { issuer_spki, serial }))
}

/// SHA-256 as `adamant`, `openssl x509 -fingerprint` and browsers write it; none where it is something else.
fn fingerprint(text: &str) -> Option<Sha256> {
    let digits: String = text.chars().filter(|c| *c != ':').flat_map(char::to_lowercase).collect();
    digits.strip_prefix("sha256").unwrap_or(&digits).parse().ok()
}

/// The first certificate of a file.
fn read_certificate(path: &Path) -> Result<(CertificateDer<'static>, Facts), Failure> {
    let wanted = "give a certificate file, or SHA-256 over the certificate's DER as 64 hex digits";
    if path.try_exists().is_ok_and(|is_there| !is_there) {
        return Err(Failure::at(path, "expected a certificate file or a SHA-256, found neither").help(wanted));
    }
    let bytes = files::read(path, CERTIFICATE_BYTES_MAX)?;
    let der = match bytes.starts_with(b"\x30") {
        true => Some(CertificateDer::from(bytes)),
        false => CertificateDer::pem_slice_iter(&bytes).next().and_then(Result::ok),
    };
    let read = der.and_then(|der| Facts::from_der(&der).ok().map(|facts| (der, facts)));
    read.ok_or_else(|| Failure::at(path, "expected a certificate in PEM or DER, found something else").help(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_in_the_spellings_that_people_have() {
        let hex = "0a".repeat(32);
        let colons = vec!["0A"; 32].join(":");
        for text in [hex.clone(), colons, format!("sha256:{hex}"), hex.to_uppercase()] {
            assert_eq!(fingerprint(&text), Some(Sha256([10; 32])), "{text}");
        }
        assert_eq!((fingerprint("cert.pem"), fingerprint(&hex[1..])), (None, None));
    }

    #[test]
    fn an_issuer_ends_where_its_name_or_address_does() {
        let split = |text: &str| issuer_and_rest(text, None, None).ok();
        let parts = |issuer: &str, rest: &str| Some((issuer.to_owned(), rest.to_owned()));
        assert_eq!(split("corp/a/b"), parts("corp", "a/b"));
        assert_eq!(split("https://id.example/t1/j"), parts("https://id.example/t1", "j"));
        assert_eq!(split("https://id.example//j"), parts("https://id.example/", "j"));
        for wrong in ["corp", "/j", "corp/", "https://id.example"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_from_a_clock_ahead_is_meant_too() {
        let text = r#"{"name":"p","audit":"queued","transport":"plain","client_cas":[],"origins":[],"routes":[],
            "scopes":[],"agents":[],"api_keys":[],"issuers":[{"name":"corp","issuer":"https://id.example","audience":[],
            "algorithms":[],"keys":{"pinned":{"jwks":"{}"}},"scope_claim":null,"leeway_s":30}]}"#;
        let policy: Policy = serde_json::from_str(text).unwrap();
        let now = Timestamp::from_seconds(1_000).unwrap();
        let before = |issuer, release| after_what_is_out(now, issuer, release).seconds();
        assert_eq!((before("https://id.example", Some(&policy)), before("corp", Some(&policy))), (1_031, 1_031));
        assert_eq!((before("other", Some(&policy)), before("corp", None)), (1_301, 1_301));
    }

    #[test]
    fn numbers_as_openssl_writes_them() {
        let spki = "0b".repeat(32);
        for serial in ["0x0A1B", "a1b", "0a:1b", "0A1B"] {
            let named = of_numbered(&format!("{spki}/{serial}")).unwrap();
            let number = "0a1b".parse().unwrap();
            assert_eq!(named.target, Target::NumberedCertificate { issuer_spki: Sha256([11; 32]), serial: number });
        }
        assert!(of_numbered(&format!("{spki}/0")).is_err() && of_numbered(&format!("{spki}/xyz")).is_err());
    }
}
