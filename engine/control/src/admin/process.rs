//! What the process uses, from /proc. A figure that cannot be read is 0.

use std::fs;

/// Clock ticks a second in /proc/self/stat: fixed in the kernel's interface (USER_HZ) on every 64-bit architecture.
const TICKS_PER_S: f64 = 100.0;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    pub descriptors: usize,
    pub resident_bytes: u64,
    pub cpu_s: f64,
}

pub fn usage() -> Usage {
    let descriptors = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident_kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    Usage {
        descriptors,
        resident_bytes: resident_kib.unwrap_or(0_u64) * 1024,
        cpu_s: ticks(&stat).unwrap_or(0) as f64 / TICKS_PER_S,
    }
}

/// User and system time (fields 14 and 15; the name before them may hold spaces and ends with the last bracket).
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let now = usage();
        assert!(now.descriptors > 2 && now.resident_bytes > 1 << 20);
        assert_eq!(ticks("7 (a b) c) S 1 1 1 0 -1 4194304 1 0 0 0 12 30 0 0 20"), Some(42));
    }
}
