//! Which NUMA node new pages come from (set_mempolicy(2)).

use std::io;

/// `MPOL_DEFAULT` and `MPOL_PREFERRED` of linux/mempolicy.h.
const DEFAULT: libc::c_int = 0;
const PREFERRED: libc::c_int = 1;
/// Nodes that a mask has room for.
const NODES_MAX: u32 = 1_024;
const WORD_BITS: u32 = libc::c_ulong::BITS;

/// Runs `fill` with the pages that this thread touches first taken from `node`, where the kernel has such a node and any
/// are free there. Where pages lie is a matter of speed alone, so a kernel that cannot do it is not an error.
pub fn prefer<T>(node: Option<u32>, fill: impl FnOnce() -> T) -> T {
    let asked = node.filter(|node| *node < NODES_MAX).is_some_and(|node| set(Some(node)).is_ok());
    let filled = fill();
    if asked {
        let _ = set(None);
    }
    filled
}

fn set(node: Option<u32>) -> io::Result<()> {
    let mut mask = [0 as libc::c_ulong; (NODES_MAX / WORD_BITS) as usize];
    let policy = match node {
        None => DEFAULT,
        Some(node) => {
            if let Some(word) = mask.get_mut((node / WORD_BITS) as usize) {
                *word = 1 << (node % WORD_BITS);
            }
            PREFERRED
        }
    };
    // JUSTIFICATION: rustix has no interface for memory policies.
    // SAFETY: the mask has room for as many bits as are told (the kernel reads one less), and outlives the call.
    let done = unsafe { libc::syscall(libc::SYS_set_mempolicy, policy, mask.as_ptr(), libc::c_ulong::from(NODES_MAX)) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
