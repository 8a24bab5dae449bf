//! What to do about a server that does not answer.

use super::HttpFault;

/// Where nobody vouches for a server.
pub const TRUST_HELP: &str = "name the PEM file of the CA that vouches for the server";

impl HttpFault {
    /// What to do.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Tls { found, .. } if found.contains("received fatal alert") => {
                "the server ended TLS itself, and its log says why: has it a certificate for that name, does it want one of \
                 its clients?"
            }
            Self::Tls { found, .. } if found.contains("CaUsedAsEndEntity") => {
                "the server shows the certificate of a CA (CA:TRUE) as its own: give it one that a CA issued to it"
            }
            Self::Tls { .. } => TRUST_HELP,
            _ => "is the address right, and the server up?",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_tls_is_not_one_that_nobody_vouches_for() {
        let tls = |found: &str| HttpFault::Tls { authority: "a".to_owned(), found: found.to_owned() };
        assert!(tls("received fatal alert: InternalError").help().contains("its log"));
        assert_eq!(tls("invalid peer certificate: UnknownIssuer").help(), TRUST_HELP);
        // As rustls says it.
        let why = rustls::OtherError(std::sync::Arc::new(webpki::Error::CaUsedAsEndEntity));
        let of_ca = rustls::Error::InvalidCertificate(rustls::CertificateError::Other(why)).to_string();
        assert!(tls(&of_ca).help().contains("CA:TRUE"), "{of_ca}");
    }
}
