//! Processors (Documentation/admin-guide/cputopology.rst), where this process may run, and how much.

use std::collections::BTreeSet;

use super::Processor;
use crate::read::{ReadError, Root, parse_list};

const CPU: &str = "sys/devices/system/cpu";
/// Capacity of the fastest processor, and of each where the machine does not tell.
const CAPACITY: u64 = 1024;

/// The online processors.
pub fn read(root: &Root) -> Result<Vec<Processor>, ReadError> {
    let online = root.required_list(&format!("{CPU}/online"))?;
    online.into_iter().map(|number| processor(root, number)).collect()
}

fn processor(root: &Root, number: usize) -> Result<Processor, ReadError> {
    let at = format!("{CPU}/cpu{number}");
    let lowest = |list: Vec<usize>| list.into_iter().min();
    // Virtual machines may tell nothing: each processor is then a core of its own.
    let core = lowest(root.list(&format!("{at}/topology/thread_siblings_list"))?).unwrap_or(number);
    let node = root.names(&at).iter().find_map(|name| name.strip_prefix("node")?.parse().ok());
    Ok(Processor {
        number,
        package: root.number(&format!("{at}/topology/physical_package_id")).unwrap_or(0),
        core,
        node: node.unwrap_or(0),
        cache: lowest(last_level_cache(root, &at)?).unwrap_or(core),
        governor: root.text(&format!("{at}/cpufreq/scaling_governor")),
        frequency_driver: root.text(&format!("{at}/cpufreq/scaling_driver")),
        capacity: root.number(&format!("{at}/cpu_capacity")).unwrap_or(CAPACITY),
    })
}

/// Those that share the last level of cache with the processor at `at`.
fn last_level_cache(root: &Root, at: &str) -> Result<Vec<usize>, ReadError> {
    let caches = root.names(&format!("{at}/cache"));
    let caches = caches.iter().filter(|name| name.starts_with("index"));
    let last = caches.max_by_key(|name| root.number::<u32>(&format!("{at}/cache/{name}/level")).unwrap_or(0));
    last.map_or(Ok(Vec::new()), |name| root.list(&format!("{at}/cache/{name}/shared_cpu_list")))
}

/// Where this process may run; none where the machine does not tell.
pub fn allowed(root: &Root) -> Result<Option<Vec<usize>>, ReadError> {
    let Some(status) = root.text("proc/self/status") else { return Ok(None) };
    let Some(list) = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")) else { return Ok(None) };
    let found = list.trim().to_owned();
    let list = parse_list(&found);
    list.map(Some).ok_or_else(|| ReadError::List { path: root.path("proc/self/status"), found })
}

/// `nohz_full` stands in sysfs where the kernel has it, and on the command line otherwise.
pub fn nohz_full(root: &Root) -> Vec<usize> {
    let told = root.text(&format!("{CPU}/nohz_full")).and_then(|text| parse_list(&text));
    told.unwrap_or_else(|| {
        let line = root.text("proc/cmdline").unwrap_or_default();
        let value = line.split_whitespace().find_map(|word| word.strip_prefix("nohz_full="));
        value.and_then(parse_list).unwrap_or_default()
    })
}

/// Isolated processors that a process has only when it asks. The kernel puts its first process, and so every other one,
/// on what is not isolated: an affinity of exactly that was set by nobody, a narrower one was.
pub fn aside(online: &BTreeSet<usize>, allowed: &[usize], isolated: &[usize], cpuset: Option<&[usize]>) -> Vec<usize> {
    let in_cpuset = |number: &&usize| cpuset.is_none_or(|cpuset| cpuset.contains(number));
    let within = online.iter().filter(in_cpuset);
    let (kept_free, by_default): (Vec<usize>, Vec<usize>) = within.partition(|number| isolated.contains(number));
    if by_default == allowed { kept_free } else { Vec::new() }
}
