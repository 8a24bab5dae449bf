//! Which processors a thread runs on.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Pins the calling thread to `core` and checks that the kernel did so.
pub fn pin_current_thread(core: usize) -> io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("core {core} is beyond {}", CpuSet::MAX_CPU)));
    }
    let mut wanted = CpuSet::new();
    wanted.set(core);
    sched_setaffinity(None, &wanted)?;
    let given = sched_getaffinity(None)?;
    if given.is_set(core) && given.count() == 1 {
        return Ok(());
    }
    Err(io::Error::other(format!("asked for core {core} alone, the kernel gave another set")))
}

/// Keeps the calling thread off `cores` where any other core is allowed; true when it did.
pub fn avoid_cores(cores: &[usize]) -> io::Result<bool> {
    let mut wanted = sched_getaffinity(None)?;
    for core in cores.iter().filter(|core| **core < CpuSet::MAX_CPU) {
        wanted.unset(*core);
    }
    if wanted.count() == 0 {
        return Ok(false);
    }
    sched_setaffinity(None, &wanted)?;
    Ok(true)
}

/// Cores that this process may use, ascending.
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_to_one_allowed_core_and_to_no_other() {
        std::thread::spawn(|| {
            let core = *allowed_cores().unwrap().last().unwrap();
            pin_current_thread(core).unwrap();
            assert_eq!(allowed_cores().unwrap(), [core]);
            assert!(pin_current_thread(CpuSet::MAX_CPU - 1).is_err());
            assert!(pin_current_thread(CpuSet::MAX_CPU).is_err());
            assert!(!avoid_cores(&[core]).unwrap());
        })
        .join()
        .unwrap();
    }
}
