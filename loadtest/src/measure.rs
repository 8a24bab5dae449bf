//! What /proc tells about a process, and where threads run.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::failure::Failure;

/// On-CPU time of all threads of a process, nanoseconds (`/proc/PID/task/*/schedstat`, first number). Threads that
/// ended are not counted.
pub fn cpu_ns(pid: u32) -> Result<u64, Failure> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder).map_err(Failure::io(&folder))?;
    let of_task = |task: fs::DirEntry| -> Option<u64> {
        let line = fs::read_to_string(task.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse().ok()
    };
    Ok(tasks.flatten().filter_map(of_task).sum())
}

/// Resident memory of a process, bytes.
pub fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).map_err(Failure::io(&file))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| Failure::Subject(format!("no VmRSS in {file}")))
}

/// Runs `body` with this thread on one core; threads and processes started meanwhile stay there.
pub fn on_core<T>(core: usize, body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let before = sched_getaffinity(None).map_err(Failure::system("cannot read the affinity of this thread"))?;
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).map_err(Failure::system(format!("cannot run on core {core}")))?;
    let outcome = body();
    sched_setaffinity(None, &before).map_err(Failure::system("cannot restore the affinity of this thread"))?;
    outcome
}

/// Raises this process's limit of descriptors as far as it goes; processes started later inherit it.
pub fn raise_descriptor_limit() -> Result<(), Failure> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, raised).map_err(Failure::system("cannot raise the limit of descriptors"))
}

/// Seconds since the Unix epoch.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::{cpu_ns, on_core, resident_bytes};

    #[test]
    fn work_and_memory_of_this_process_are_seen() {
        let pid = std::process::id();
        let before = cpu_ns(pid).unwrap();
        let mut sum = 0_u64;
        let started = std::time::Instant::now();
        while started.elapsed().as_millis() < 50 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        assert!(cpu_ns(pid).unwrap() > before + 10_000_000, "{sum}");
        assert!(resident_bytes(pid).unwrap() > 1 << 20);
        assert_eq!(on_core(0, || Ok(7)).unwrap(), 7);
    }
}
