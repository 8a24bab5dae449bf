//! Checks of the files that a policy embeds: public keys and certificates, and nothing secret.

pub(crate) mod jwks;
pub(crate) mod pem;
