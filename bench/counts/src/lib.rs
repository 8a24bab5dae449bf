//! The stages that are pure computation, on policies of any size. They run in two places: timed, among the others, and
//! under callgrind, where their instructions are counted.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a benchmark stops at the first surprise"
)]

pub mod policies;
pub mod stages;
pub mod zipf;

/// A request head with eight fields, as an agent sends it.
pub const HEAD: &[u8] = b"GET /r000042/12345?page=2 HTTP/1.1\r\n\
    Host: api.example\r\n\
    User-Agent: reports/1.4 (linux)\r\n\
    Accept: application/json\r\n\
    Accept-Encoding: gzip, br\r\n\
    Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJyZXBvcnRzLWJvdCJ9.c2lnbmF0dXJl\r\n\
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
    Cache-Control: no-cache\r\n\
    Content-Length: 0\r\n\r\n";

/// One thing that is measured, again and again.
pub trait Stage {
    /// What must be done before each run and is no part of it.
    fn prepare(&mut self) {}
    /// What is measured.
    fn run(&mut self);
}

/// A stage that needs no preparation.
pub struct Plain<F>(pub F);

impl<F: FnMut()> Stage for Plain<F> {
    fn run(&mut self) {
        (self.0)();
    }
}
