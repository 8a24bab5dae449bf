//! What the cgroup of this process limits (Documentation/admin-guide/cgroup-v2.rst): each limit holds for all below it,
//! so the tightest from the group up counts.

use serde::Serialize;

use crate::read::{Root, parse_list};

/// The limits of cgroup v2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cgroup {
    /// `/system.slice/adamant.service`; none without cgroup v2.
    pub group: Option<String>,
    /// Processors that it may use (`cpuset.cpus.effective`); none: no limit.
    pub cpuset: Option<Vec<usize>>,
    /// Processors' worth of time (`cpu.max`), in hundredths; none: no limit.
    pub quota_percent: Option<u64>,
    /// Bytes (`memory.max`); none: no limit.
    pub memory_max: Option<u64>,
    /// Processes and threads (`pids.max`); none: no limit.
    pub pids_max: Option<u64>,
    /// Controllers that are of cgroup v1 here: their limits are not looked at.
    pub controllers_of_v1: Vec<String>,
}

impl Cgroup {
    pub fn read(root: &Root) -> Self {
        let membership = root.text("proc/self/cgroup").unwrap_or_default();
        let of_v1 = membership.lines().filter_map(|line| line.split(':').nth(1));
        let of_v1 = of_v1.flat_map(|controllers| controllers.split(',')).filter(|name| LIMITING.contains(name));
        let mut found = Self { controllers_of_v1: of_v1.map(str::to_owned).collect(), ..Self::default() };
        let Some(group) = membership.lines().find_map(|line| line.strip_prefix("0::")) else { return found };
        for folder in upwards(group) {
            let text = |file: &str| root.text(&format!("{folder}/{file}"));
            let number = |file: &str| text(file)?.parse().ok();
            // The group's own is the intersection of all above it.
            found.cpuset = found.cpuset.or_else(|| parse_list(&text("cpuset.cpus.effective")?));
            tighten(&mut found.quota_percent, text("cpu.max").and_then(|text| percent_of(&text)));
            tighten(&mut found.memory_max, number("memory.max"));
            tighten(&mut found.pids_max, number("pids.max"));
        }
        found.group = Some(group.to_owned());
        found
    }
}

/// Controllers with limits that a gateway feels.
const LIMITING: &[&str] = &["cpu", "cpuset", "memory", "pids"];

/// Folders of a group and of all above it, the group's own first.
fn upwards(group: &str) -> Vec<String> {
    let names: Vec<&str> = group.split('/').filter(|name| !name.is_empty()).collect();
    let folder = |depth: usize| {
        let mut parts = vec!["sys/fs/cgroup"];
        parts.extend(names.iter().take(depth));
        parts.join("/")
    };
    (0..=names.len()).rev().map(folder).collect()
}

fn tighten(limit: &mut Option<u64>, found: Option<u64>) {
    *limit = match (*limit, found) {
        (Some(limit), Some(found)) => Some(limit.min(found)),
        (limit, found) => limit.or(found),
    };
}

/// `max 100000`: no limit; `150000 100000`: one and a half.
fn percent_of(text: &str) -> Option<u64> {
    let (quota, period) = text.split_once(' ')?;
    let (quota, period) = (quota.parse::<u64>().ok()?, period.trim().parse::<u64>().ok()?);
    quota.saturating_mul(100).checked_div(period)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_tightest_limit_from_the_group_up_counts() {
        let directory = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("proc/self/cgroup", "3:cpuset,devices:/x\n0::/a.slice/b.service\n");
        put("sys/fs/cgroup/a.slice/b.service/cpu.max", "max 100000\n");
        put("sys/fs/cgroup/a.slice/cpu.max", "150000 100000\n");
        put("sys/fs/cgroup/a.slice/b.service/memory.max", "1073741824\n");
        put("sys/fs/cgroup/a.slice/memory.max", "max\n");
        put("sys/fs/cgroup/a.slice/b.service/pids.max", "4915\n");
        put("sys/fs/cgroup/a.slice/pids.max", "100\n");
        put("sys/fs/cgroup/a.slice/b.service/cpuset.cpus.effective", "2-3\n");
        put("sys/fs/cgroup/cpuset.cpus.effective", "0-7\n");
        let found = Cgroup::read(&Root::new(directory.path()));
        assert_eq!(
            found,
            Cgroup {
                group: Some("/a.slice/b.service".into()),
                cpuset: Some(vec![2, 3]),
                quota_percent: Some(150),
                memory_max: Some(1 << 30),
                pids_max: Some(100),
                controllers_of_v1: vec!["cpuset".into()],
            }
        );
    }

    #[test]
    fn without_cgroup_v2_there_is_no_limit() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Cgroup::read(&Root::new(directory.path())), Cgroup::default());
    }
}
