//! What /proc tells about a process, signals to it, and what else a test of processes needs.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// A port that the kernel gives to nobody who asks for any, as long as this program runs. Who asks for it by name and may use
/// an address again (`SO_REUSEADDR`, as servers do) gets it: nothing listens here, and who calls is refused.
pub fn free_port() -> u16 {
    static HELD: Mutex<Vec<Socket>> = Mutex::new(Vec::new());
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    // After the port was given: before, it could be one that somebody else holds in this way.
    socket.set_reuse_address(true).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    HELD.lock().unwrap().push(socket);
    port
}

/// Open descriptors of a process.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count).unwrap_or(0)
}

/// Resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    status_value(pid, "VmRSS:").unwrap_or(0)
}

/// The same without what is mapped from files: code that runs for the first time is no leak.
pub fn resident_anonymous_kib(pid: u32) -> u64 {
    status_value(pid, "RssAnon:").unwrap_or(0)
}

/// Highest resident memory of a process so far, in KiB.
pub fn resident_peak_kib(pid: u32) -> u64 {
    status_value(pid, "VmHWM:").unwrap_or(0)
}

/// On-CPU time of all threads, in nanoseconds (`/proc/PID/task/*/schedstat`).
pub fn cpu_ns(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

/// Sends a signal by name (`TERM`, `HUP`, `KILL`, `STOP`, `CONT`).
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot send SIG{name} to process {pid}");
}

/// Waits until `reached` holds; whether it did within `limit`.
pub fn eventually(limit: Duration, mut reached: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    loop {
        // A machine that stands still until after the limit is no reason not to look once more.
        let is_last = Instant::now() >= until;
        if reached() {
            return true;
        }
        if is_last {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn status_value(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
