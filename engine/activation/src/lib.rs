//! Types that the control threads and the workers share: the activation, the rate counters, records and their rings.

pub mod activation;
pub mod assertion;
pub mod bounds;
pub mod counters;
pub mod filled;
pub mod injection;
pub mod inquiries;
pub mod live;
pub mod record;
pub mod revoked;
pub mod ring;
pub mod seen;
pub mod shares;
pub mod stats;
pub mod uses;

pub use activation::Activation;
