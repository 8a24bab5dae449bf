//! The release: envelope, manifest, trust root, pointer and signing keys. Bytes in, verdict out.
//!
//! Pure: no I/O, no clock, no randomness. Time and seeds are arguments. What is signed is a DSSE v1 envelope over
//! exact payload bytes; they are verified as received and never serialised again before that.
//!
//! From bytes to a served policy: [`root::verify_root`] → [`verify::verify`] → [`candidate::check`].

pub mod attestation;
pub mod bounds;
pub mod candidate;
pub mod canonical;
pub mod cost;
pub mod digest;
pub mod envelope;
pub mod key;
pub mod key_file;
pub mod key_set;
pub mod lists;
pub mod manifest;
pub mod pointer;
pub mod profile_document;
pub mod provenance;
pub mod revocations;
pub mod root;
pub mod step;
pub mod time;
pub mod verify;
pub mod version;

#[cfg(test)]
mod testing;
