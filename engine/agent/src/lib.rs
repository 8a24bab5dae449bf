//! The agent's side: a small CA for teams that have none, a profile that holds what an agent needs and renews itself, a
//! local proxy for programs that cannot do mutual TLS, a doctor, and the same configuration for other tools.

pub mod acme;
pub mod bounds;
pub mod ca;
pub mod channel;
pub mod clock;
pub mod doctor;
pub mod dpop;
pub mod enroll;
pub mod explain;
pub mod export;
pub mod fault;
pub mod files;
pub mod fresh;
pub mod generation;
pub mod hooks;
pub mod id;
pub mod jws;
pub mod lines;
pub mod log;
pub mod metrics;
pub mod oauth;
pub mod openbao;
pub mod profile;
pub mod proxy;
pub mod release;
pub mod run;
pub mod schedule;
pub mod source;
pub mod spiffe;
pub mod tls;
pub mod x509;

pub use fault::Fault;
