//! The conformance corpus `http1.json`: cases, how they are driven through a proxy, and how they are judged.

pub mod corpus;
pub mod drive;
pub mod judge;
pub mod probe;
pub mod refusals;
pub mod sent;
