//! Load generator, origin and measurements. Knows only the wire and /proc, so that it measures any proxy the same way.

pub mod capacity;
pub mod compare;
pub mod difference;
pub mod failure;
pub mod idle;
pub mod load;
pub mod measure;
pub mod noise;
pub mod origin;
pub mod overhead;
pub mod probe;
pub mod relay;
pub mod report;
pub mod results;
mod ring;
pub mod scenario;
mod socket;
pub mod statistics;
pub mod target;
pub mod tls;
pub mod wire;
