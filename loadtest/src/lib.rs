//! Load generator, origin and measurements. Knows only the wire and /proc, so that it measures any proxy the same way.

pub mod credentials;
pub mod failure;
pub mod generator;
pub mod idle;
pub mod measure;
pub mod origin;
pub mod overhead;
pub mod statistics;
pub mod subject;
pub mod wire;
