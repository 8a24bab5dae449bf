//! The table against a naive evaluator, against other routers, and against hostile images.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop at the first surprise")]

mod agreement;
mod hostile;
mod images;
mod large;
mod naive;
mod paths;
mod refusals;
mod universe;
