//! Processors as the kernel tells them (sysfs, Documentation/admin-guide/cputopology.rst), and what speaks against a
//! choice of worker cores.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel tells it.
pub const SYSFS: &str = "/sys/devices/system/cpu";

/// The processors of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Online processors, ascending, each with the lowest processor of its physical core.
    cores: BTreeMap<usize, usize>,
    /// NUMA node of each online processor; none on machines that tell no nodes.
    nodes: BTreeMap<usize, u32>,
}

/// What speaks against a choice of cores. The gateway starts all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("workers on processors {first} and {second} share one physical core: name one of them")]
    SharedCore { first: usize, second: usize },
    #[error("every processor has a worker: leave one to the control threads and the kernel, or expect late timers")]
    NoneLeft,
}

/// Why the topology is not known.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: expected a list of processors such as 0-3,8, found {found:?}", path.display())]
    List { path: PathBuf, found: String },
}

impl Topology {
    /// Reads the topology below `root` (`SYSFS` but in tests).
    pub fn read(root: &Path) -> Result<Self, TopologyError> {
        let online = list_of(&root.join("online"))?;
        let mut cores = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        for processor in online {
            nodes.extend(node_of(&root.join(format!("cpu{processor}"))).map(|node| (processor, node)));
            let path = root.join(format!("cpu{processor}/topology/thread_siblings_list"));
            // Virtual machines may tell nothing: each processor is then a core.
            let siblings = if path.exists() { list_of(&path)? } else { vec![processor] };
            cores.insert(processor, siblings.into_iter().min().unwrap_or(processor));
        }
        Ok(Self { cores, nodes })
    }

    /// The NUMA node of a processor, where the machine tells one.
    pub fn node(&self, processor: usize) -> Option<u32> {
        self.nodes.get(&processor).copied()
    }

    /// Whether memory is near some processors and far from others.
    pub fn has_several_nodes(&self) -> bool {
        let mut nodes = self.nodes.values();
        let first = nodes.next();
        nodes.any(|node| Some(node) != first)
    }

    /// What speaks against workers on these processors.
    pub fn findings(&self, workers: &[usize]) -> Vec<Finding> {
        let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
        let mut findings = Vec::new();
        for worker in workers {
            let core = self.cores.get(worker).copied().unwrap_or(*worker);
            match taken.get(&core) {
                Some(first) => findings.push(Finding::SharedCore { first: *first, second: *worker }),
                None => drop(taken.insert(core, *worker)),
            }
        }
        // Where there are two, the control threads share one with a worker either way.
        if self.cores.len() > 2 && self.cores.keys().all(|processor| workers.contains(processor)) {
            findings.push(Finding::NoneLeft);
        }
        findings
    }
}

/// The node whose link stands in a processor's folder: `node0`.
fn node_of(processor: &Path) -> Option<u32> {
    let entries = fs::read_dir(processor).ok()?.flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok()).next()
}

fn list_of(path: &Path) -> Result<Vec<usize>, TopologyError> {
    let text = fs::read_to_string(path).map_err(|source| TopologyError::Read { path: path.to_owned(), source })?;
    parse_list(text.trim()).ok_or_else(|| TopologyError::List { path: path.to_owned(), found: text.trim().to_owned() })
}

/// The kernel's list format: `0-3,8`.
fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut processors = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => processors.push(part.parse().ok()?),
            Some((first, last)) => {
                let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
                if first > last || last - first > 1 << 16 {
                    return None;
                }
                processors.extend(first..=last);
            }
        }
    }
    Some(processors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysfs tree with these online processors and siblings.
    fn machine(online: &str, siblings: &[(usize, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("online"), online).unwrap();
        for (processor, list) in siblings {
            let folder = root.path().join(format!("cpu{processor}/topology"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("thread_siblings_list"), list).unwrap();
        }
        root
    }

    #[test]
    fn siblings_and_crowding_are_found() {
        let root = machine("0-3\n", &[(0, "0,2\n"), (1, "1,3\n"), (2, "0,2\n"), (3, "1,3\n")]);
        let topology = Topology::read(root.path()).unwrap();
        assert_eq!(topology.findings(&[0, 1]), []);
        assert_eq!(topology.findings(&[0, 2]), [Finding::SharedCore { first: 0, second: 2 }]);
        assert!(topology.findings(&[0, 1, 2, 3]).contains(&Finding::NoneLeft));
    }

    #[test]
    fn processors_have_the_nodes_that_the_machine_tells() {
        let root = machine("0-2\n", &[]);
        for (processor, node) in [(0, "node0"), (1, "node3")] {
            fs::create_dir_all(root.path().join(format!("cpu{processor}/{node}"))).unwrap();
        }
        let topology = Topology::read(root.path()).unwrap();
        assert_eq!([0, 1, 2].map(|processor| topology.node(processor)), [Some(0), Some(3), None]);
        assert!(topology.has_several_nodes());
        assert!(!Topology::read(machine("0-1\n", &[]).path()).unwrap().has_several_nodes());
    }

    #[test]
    fn a_machine_that_tells_no_siblings_has_cores() {
        let root = machine("0-1\n", &[]);
        assert_eq!(Topology::read(root.path()).unwrap().findings(&[1]), []);
    }

    #[test]
    fn what_is_not_a_list_is_refused_with_its_place() {
        for text in ["", "x", "3-1", "0-99999999"] {
            let root = machine(text, &[]);
            let error = Topology::read(root.path()).unwrap_err().to_string();
            assert!(error.contains("online: expected a list of processors"), "{error}");
        }
        assert!(matches!(Topology::read(Path::new("/nowhere")), Err(TopologyError::Read { .. })));
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(!Topology::read(Path::new(SYSFS)).unwrap().cores.is_empty());
    }
}
