//! What a gateway holds at rest, at noon and in the evening.

use std::fs;
use std::time::Duration;

use tests::gateway::Gateway;
use tests::process::{eventually, resident_anonymous_kib};

/// Kept connections to the origin and to the proxy may differ by so many.
const DESCRIPTORS_MORE_MAX: usize = 24;
/// Measured: 0.4 to 1.4 MiB more after 24 s, 2.6 after 300 s, ever more slowly. The allocator's pages fill up, and each
/// credential that was ever shown is in the register of last uses; a release, a configuration or a session a turn is more.
const RESIDENT_MORE_KIB_MAX: u64 = 5 << 10;
const REST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Held {
    descriptors: usize,
    threads: usize,
    resident_kib: u64,
    activations: u64,
}

pub fn held(gateway: &Gateway) -> Held {
    // What the last activation took the place of goes with the last connection that looked at it.
    eventually(REST, || activations(gateway) <= 1);
    Held {
        descriptors: gateway.settled_descriptors(),
        threads: threads(gateway),
        resident_kib: resident_anonymous_kib(gateway.pid()),
        activations: activations(gateway),
    }
}

pub fn assert_no_more_than(noon: &Held, gateway: &Gateway) {
    let evening = held(gateway);
    println!("at noon {noon:?}, in the evening {evening:?}");
    // What the gateway renews by itself it renews now too: then there are two for a moment.
    let is_alone = evening.activations == 1 || eventually(REST, || activations(gateway) == 1);
    assert!(is_alone, "only what serves is alive: {evening:?}");
    // Threads that look up names or read files end a while after their work.
    assert!(eventually(REST, || threads(gateway) <= noon.threads), "{evening:?}, at noon {noon:?}");
    assert!(evening.descriptors <= noon.descriptors + DESCRIPTORS_MORE_MAX, "{evening:?}, at noon {noon:?}");
    assert!(evening.resident_kib <= noon.resident_kib + RESIDENT_MORE_KIB_MAX, "{evening:?}, at noon {noon:?}");
}

fn threads(gateway: &Gateway) -> usize {
    fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap().count()
}

fn activations(gateway: &Gateway) -> u64 {
    gateway.metric("activations_alive") as u64
}
