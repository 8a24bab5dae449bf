//! Results for people: a table for the terminal, and one HTML page that needs nothing but itself.
//!
//! Everything that comes from a file or from a target's answer passes [`escape::printable`] on the terminal and the
//! builder in `markup` on the page: neither lets a control character, a bidirectional override or markup through.

mod escape;
mod groups;
mod markup;
pub(crate) mod number;
mod page;
mod plot;
mod terminal;

pub use escape::printable;
pub use page::html;
pub use terminal::text;
pub(crate) use terminal::{prose, table};

#[cfg(test)]
mod tests;
