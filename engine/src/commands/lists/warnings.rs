//! What is said of a channel whose pointer, lists and clock do not fit each other.

use std::path::PathBuf;

use policy_release::pointer::Pointer;
use policy_release::time::Timestamp;
use stores::Channel;

use super::Published;
use super::believed::Believed;
use crate::failure::warn;
use crate::pointing::{Current, Desk};
use crate::span::distance;

/// How far the clock may be behind the latest signature before that is worth a word, seconds.
const CLOCK_BEHIND_S_MAX: u64 = 60;

/// Says so where what the channel has was signed later than it is here.
pub fn warn_of_clock(now: Timestamp, latest: Timestamp) {
    if latest > now.later_by(CLOCK_BEHIND_S_MAX) {
        warn(format_args!(
            "by the clock of this machine it is {now}, and what the channel has was signed at {latest}, {}: set the clock \
             that is wrong (chronyc makestep)",
            distance(now, latest)
        ));
    }
}

/// Says so where the pointer is of another policy than the list that was `seen` from here last: whoever may write to the
/// store may have put the one of another store there, and no gateway takes what goes by it.
pub fn warn_of_policy<L: Published>(channel: &Channel, policy: Option<&str>, seen: Option<&(Believed<L>, PathBuf)>) {
    if let (Some(policy), Some((seen, path))) = (policy, seen.filter(|(seen, _)| !seen.is_of(policy))) {
        warn(format_args!(
            "the pointer of channel {channel} is of policy {policy:?}, and the {} that was seen from here last is of {:?} \
             ({}): who put the pointer there? Gateways take none of another policy than theirs (two \
             policies with a channel of one name, in stores of their own, want a --memory DIR each; where that list was a mistake, \
             remove the file: until then an older list that was put back goes unnoticed)",
            L::KIND,
            seen.list.head().policy_name,
            path.display()
        ));
    }
}

/// Says why names are not looked for in the release that the channel runs.
pub fn warn_of_names(desk: &Desk, pointer: Option<&Pointer>) {
    let why = match (&desk.current, pointer) {
        (Current::None, _) => "the channel has no pointer".to_owned(),
        (Current::Doubtful(why), _) => format!("the pointer of the channel is not believed: {why}"),
        (Current::Verified(_), None) => "the pointer is of another policy".to_owned(),
        (Current::Verified(_), Some(pointer)) => {
            format!("the store does not have its release {}, or cannot read it", pointer.release)
        }
    };
    warn(format_args!("names are not checked: {why} (adamant point show)"));
}
