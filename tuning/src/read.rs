//! Small files of /proc and /sys below a root, and the forms that the kernel writes them in.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Bytes of one file that are read: `/proc/interrupts` of a machine with 512 processors has about 4 MiB.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Processors that a list may name.
const PROCESSORS_MAX: usize = 1 << 16;

/// Why something is not known.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: expected a list of processors such as 0-3,8, found {found:?}", path.display())]
    List { path: PathBuf, found: String },
}

/// The root of a machine's /proc and /sys: `/`, or a recorded tree.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// This machine.
    pub fn machine() -> Self {
        Self(PathBuf::from("/"))
    }

    /// The path of a file of the kernel's, given without a leading slash.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// The text of a file without white space at its ends; none when it is not there or says nothing.
    pub fn text(&self, file: &str) -> Option<String> {
        let text = read(&self.path(file)).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A number in a file.
    pub fn number<T: std::str::FromStr>(&self, file: &str) -> Option<T> {
        self.text(file)?.parse().ok()
    }

    /// The list of processors in a file; empty when the file is not there or is empty.
    pub fn list(&self, file: &str) -> Result<Vec<usize>, ReadError> {
        let Some(text) = self.text(file) else { return Ok(Vec::new()) };
        parse_list(&text).ok_or_else(|| ReadError::List { path: self.path(file), found: text })
    }

    /// The list of processors in a file that must be there.
    pub fn required_list(&self, file: &str) -> Result<Vec<usize>, ReadError> {
        let path = self.path(file);
        let text = read(&path).map_err(|source| ReadError::Read { path: path.clone(), source })?;
        parse_list(text.trim()).ok_or_else(|| ReadError::List { path, found: text.trim().to_owned() })
    }

    /// Names in a directory, sorted; none when it is not there.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_by_key(|name| natural(name));
        names
    }
}

/// `cpu10` after `cpu9`.
fn natural(name: &str) -> (String, u64) {
    let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (word, number) = name.split_at(digits);
    (word.to_owned(), number.parse().unwrap_or(0))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The kernel's list format: `0-3,8`. Empty text is no list: a file that may be empty is the caller's to know.
pub fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut processors = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
        if first > last || last >= PROCESSORS_MAX {
            return None;
        }
        processors.extend(first..=last);
    }
    processors.sort_unstable();
    processors.dedup();
    Some(processors)
}

/// Processors as the kernel writes them: `0-3,8`.
pub fn write_list(processors: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    let mut sorted = processors.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    for processor in sorted {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == processor => *last = processor,
            _ => parts.push((processor, processor)),
        }
    }
    let text = |(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    parts.iter().map(text).collect::<Vec<_>>().join(",")
}

/// The kernel's mask format (`/sys/class/net/…/rps_cpus`): hexadecimal words of 32 bits, the highest first.
pub fn parse_mask(text: &str) -> Option<Vec<usize>> {
    let words: Vec<&str> = text.trim().split(',').collect();
    let mut processors = Vec::new();
    for (index, word) in words.iter().rev().enumerate() {
        let bits = u32::from_str_radix(word, 16).ok()?;
        processors.extend((0..32).filter(|bit| bits & (1 << bit) != 0).map(|bit| index * 32 + bit));
    }
    Some(processors)
}

/// Processors as a mask of the kernel's.
pub fn write_mask(processors: &[usize]) -> String {
    let words = processors.iter().max().map_or(1, |highest| highest / 32 + 1);
    let mut bits = vec![0_u32; words];
    for processor in processors {
        if let Some(word) = bits.get_mut(processor / 32) {
            *word |= 1 << (processor % 32);
        }
    }
    let text: Vec<String> = bits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, word)| if index == 0 { format!("{word:x}") } else { format!("{word:08x}") })
        .collect();
    text.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_go_both_ways() {
        for (text, list) in [("0-3,8", vec![0, 1, 2, 3, 8]), ("5", vec![5]), ("0,2,4", vec![0, 2, 4])] {
            assert_eq!(parse_list(text), Some(list.clone()));
            assert_eq!(write_list(&list), text);
        }
        for wrong in ["", "x", "3-1", "0-99999999", "1,", "-"] {
            assert_eq!(parse_list(wrong), None, "{wrong}");
        }
        assert_eq!(write_list(&[]), "");
    }

    #[test]
    fn masks_go_both_ways() {
        for (text, list) in [("0", vec![]), ("5", vec![0, 2]), ("1,80000001", vec![0, 31, 32])] {
            assert_eq!(parse_mask(text), Some(list.clone()));
            assert_eq!(write_mask(&list), text);
        }
        assert_eq!(parse_mask("00000000,00000000,00000003"), Some(vec![0, 1]));
        assert_eq!(parse_mask("g"), None);
    }

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let root = tempfile::tempdir().unwrap();
        for name in ["rx-10", "rx-2", "tx-0"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        assert_eq!(Root::new(root.path()).names(""), ["rx-2", "rx-10", "tx-0"]);
    }
}
