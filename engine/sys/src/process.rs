//! What the process is allowed and what the kernel offers.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Raises the soft limit of open descriptors to the hard one; gives the limit in force.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Major and minor number of the running kernel.
pub fn kernel_version() -> Option<(u32, u32)> {
    let uname = rustix::system::uname();
    let release = uname.release().to_str().ok()?;
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Forbids core dumps, also to a program that takes them over a pipe, which no limit stops; and other processes of this
/// user to read our memory or trace us: secrets in it are nobody's. Programs that we start can be traced again.
pub fn forbid_core_dumps() -> io::Result<()> {
    set_core_limit(Some(0))?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Takes [`forbid_core_dumps`] back, up to what the process was allowed from outside.
pub fn allow_core_dumps() -> io::Result<()> {
    set_core_limit(getrlimit(Resource::Core).maximum)?;
    Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?)
}

fn set_core_limit(bytes: Option<u64>) -> io::Result<()> {
    let maximum = getrlimit(Resource::Core).maximum;
    Ok(setrlimit(Resource::Core, Rlimit { current: bytes, maximum })?)
}

/// Processor time that the calling thread has had, in nanoseconds; none where the kernel does not tell.
pub fn thread_cpu_ns() -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // JUSTIFICATION: the C library has no safe interface.
    // SAFETY: it writes one `timespec`, which is ours.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let ns =
        u64::try_from(time.tv_sec).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.tv_nsec).ok()?)?;
    (done == 0).then_some(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_has_a_version_and_a_descriptor_limit() {
        assert!(kernel_version().unwrap() >= (3, 0));
        assert!(raise_descriptor_limit().unwrap() > 0);
        let before = thread_cpu_ns().unwrap();
        while thread_cpu_ns().unwrap() == before {}
    }
}
