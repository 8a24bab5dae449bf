//! What the sweep of time limits asks of whoever a slot belongs to.

use policy::reason::Reason;

use crate::certified::{Judge, Standing};
use crate::revoked::Sweep;

/// A client's connection, seen from its slot.
pub trait Owner {
    /// It has waited for long, and gives back what it does not need.
    fn rest(&self);
    /// Why it must end, because of a list that it was not held against yet.
    fn revoked(&self, sweep: &Sweep<'_>) -> Option<Reason>;
    /// What is to become of it for its client certificate's sake.
    fn judged(&self, judge: &mut Judge<'_>) -> Standing;
    /// Tells the peer that nothing more comes.
    fn finish(&self);
}
