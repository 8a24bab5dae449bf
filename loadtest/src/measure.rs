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

/// As [`cpu_ns`], of those threads alone whose names begin so (the kernel keeps 15 bytes of a name).
pub fn cpu_ns_of_threads(pid: u32, names: &str) -> Result<u64, Failure> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder).map_err(Failure::io(&folder))?;
    let of_task = |task: fs::DirEntry| -> Option<u64> {
        fs::read_to_string(task.path().join("comm")).ok()?.starts_with(names).then_some(())?;
        let line = fs::read_to_string(task.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse().ok()
    };
    Ok(tasks.flatten().filter_map(of_task).sum())
}

/// On-CPU time of several processes together, nanoseconds.
pub fn cpu_ns_of(pids: &[u32]) -> Result<u64, Failure> {
    pids.iter().map(|pid| cpu_ns(*pid)).sum()
}

/// A process and all that descend from it, as of now.
pub fn family(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let child = entry.file_name().to_str()?.parse().ok()?;
            let parent = stat_fields(child)?.get(1)?.parse().ok()?;
            Some((child, parent))
        })
        .collect();
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    family
}

/// How on-CPU time divides between user space and kernel (`utime`, `stime` of `/proc/PID/stat`), clock ticks; they are
/// 10 ms as a rule, so this is for runs of seconds.
pub fn user_and_system_ticks(pids: &[u32]) -> (u64, u64) {
    let ticks = |pid: &u32| {
        let fields = stat_fields(*pid)?;
        Some((fields.get(11)?.parse::<u64>().ok()?, fields.get(12)?.parse::<u64>().ok()?))
    };
    pids.iter().filter_map(ticks).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Fields of `/proc/PID/stat` from the state on: the name before it may hold anything.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// Proportional memory of several processes, bytes: what they share is counted once (`Pss` of
/// `/proc/PID/smaps_rollup`).
pub fn proportional_bytes(pids: &[u32]) -> Result<u64, Failure> {
    pids.iter().map(|pid| kib_of(&format!("/proc/{pid}/smaps_rollup"), "Pss:")).sum()
}

/// Resident memory of a process, bytes.
pub fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    kib_of(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// A line `name  N kB` of a file, bytes.
fn kib_of(file: &str, name: &str) -> Result<u64, Failure> {
    let text = fs::read_to_string(file).map_err(Failure::io(file))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| Failure::Subject(format!("expected a line {name} in {file}, found none")))
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

/// Nanoseconds from one reading of a clock to a later one.
pub fn nanoseconds_between(before: rustix::time::Timespec, after: rustix::time::Timespec) -> u64 {
    let total = (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec);
    u64::try_from(total).unwrap_or(0)
}

/// Seconds since the Unix epoch.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{cpu_ns, cpu_ns_of, family, on_core, proportional_bytes, resident_bytes, user_and_system_ticks};

    #[test]
    fn children_belong_to_the_family() {
        let mut child = Command::new("sh").args(["-c", "sleep 30 & wait"]).stdout(Stdio::null()).spawn().unwrap();
        let mut all = family(child.id());
        for _ in 0..500 {
            if all.len() == 2 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            all = family(child.id());
        }
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(cpu_ns_of(&all).unwrap() > 0 && proportional_bytes(&all).unwrap() > 0);
        let killed = Command::new("kill").args(all.iter().map(u32::to_string)).status().unwrap();
        assert!(killed.success());
        child.wait().unwrap();
        assert!(cpu_ns_of(&all).is_err(), "a process that is gone is no process without cost");
    }

    #[test]
    fn work_and_memory_of_this_process_are_seen() {
        let pid = std::process::id();
        let before = cpu_ns(pid).unwrap();
        let mut sum = 0_u64;
        let started = std::time::Instant::now();
        let is_seen = || cpu_ns(pid).unwrap() > before + 10_000_000;
        // A busy machine gives it less than the whole of that time.
        while started.elapsed().as_millis() < 50 || !is_seen() && started.elapsed().as_secs() < 60 {
            (0..100_000).for_each(|_| sum = std::hint::black_box(sum.wrapping_add(1)));
        }
        assert!(is_seen(), "{sum}");
        assert!(resident_bytes(pid).unwrap() > 1 << 20);
        let (user, system) = user_and_system_ticks(&[pid]);
        assert!(user + system > 0);
        assert_eq!(on_core(0, || Ok(7)).unwrap(), 7);
    }
}
