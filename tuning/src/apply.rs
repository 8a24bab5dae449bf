//! Settings are written, with a record to undo exactly that. The record is there before the first file is written: what
//! ends in the middle can be undone too.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use crate::read::{Root, parse_list, parse_mask, write_list, write_mask};
use crate::settings::{How, Setting};

/// One file that is written, with what it held before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Without a leading slash.
    pub file: String,
    pub before: String,
    pub after: String,
}

/// A file that is not as it was meant to be.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("/{file}: {wanted:?} cannot be written: {source}")]
    Write { file: String, wanted: String, source: io::Error },
    #[error("/{file}: {wanted:?} was written, and the kernel made {found:?} of it")]
    Other { file: String, wanted: String, found: String },
    #[error(
        "/{file}: expected {expected:?}, as it was written, found {found:?}: somebody changed it since, so it is left. It was {before:?} before"
    )]
    Foreign { file: String, expected: String, found: String, before: String },
}

/// What an undo did.
#[derive(Debug, Default)]
pub struct Undone {
    pub put_back: usize,
    /// As before already.
    pub unchanged: usize,
    pub failed: Vec<ApplyError>,
}

/// The settings that are files and not as wanted: what [`apply`] would write.
pub fn planned(settings: &[Setting]) -> Vec<Written> {
    let of = |setting: &Setting| match &setting.how {
        How::File(file) => {
            Some(Written { file: file.clone(), before: setting.found.clone(), after: setting.wanted.clone() })
        }
        How::Command(_) | How::Elsewhere(_) => None,
    };
    settings.iter().filter(|setting| setting.drifts()).filter_map(of).collect()
}

/// Writes them. What was written is told with what the file holds now, also where others failed: some interrupts belong
/// to the kernel alone.
pub fn apply(root: &Root, planned: &[Written]) -> (Vec<Written>, Vec<ApplyError>) {
    let (mut written, mut failed) = (Vec::new(), Vec::new());
    for of in planned {
        if let Err(error) = write(root, &of.file, &of.after) {
            failed.push(error);
            continue;
        }
        let now = value(root, &of.file).unwrap_or_else(|| of.after.clone());
        if now != of.after {
            failed.push(ApplyError::Other { file: of.file.clone(), wanted: of.after.clone(), found: now.clone() });
        }
        if now != of.before {
            written.push(Written { after: now, ..of.clone() });
        }
    }
    (written, failed)
}

/// Puts back what was there before, the last first. What somebody else changed meanwhile is left and told.
pub fn undo(root: &Root, written: &[Written]) -> Undone {
    let mut undone = Undone::default();
    for of in written.iter().rev() {
        match value(root, &of.file) {
            Some(now) if now == of.before => undone.unchanged += 1,
            Some(now) if now != of.after => undone.failed.push(ApplyError::Foreign {
                file: of.file.clone(),
                expected: of.after.clone(),
                found: now,
                before: of.before.clone(),
            }),
            // What cannot be read cannot be written either, which says why.
            _ => match write(root, &of.file, &of.before) {
                Ok(()) => undone.put_back += 1,
                Err(error) => undone.failed.push(error),
            },
        }
    }
    undone
}

fn write(root: &Root, file: &str, value: &str) -> Result<(), ApplyError> {
    // The file is the kernel's: it must be there, and nothing is made.
    let opened = fs::OpenOptions::new().write(true).truncate(true).open(root.path(file));
    opened
        .and_then(|mut opened| io::Write::write_all(&mut opened, format!("{value}\n").as_bytes()))
        .map_err(|source| ApplyError::Write { file: file.to_owned(), wanted: value.to_owned(), source })
}

/// What a file holds, in the form in which settings name it: the kernel writes masks with leading zeros, choices with
/// all that there are, and several numbers with tabs between them.
fn value(root: &Root, file: &str) -> Option<String> {
    let text = root.text(file)?;
    let told = if file.ends_with("_affinity_list") {
        parse_list(&text).map(|list| write_list(&list))
    } else if file.ends_with("ps_cpus") {
        parse_mask(&text).map(|list| write_mask(&list))
    } else if file.ends_with("transparent_hugepage/enabled") {
        text.split_once('[').and_then(|(_, chosen)| Some(chosen.split_once(']')?.0.to_owned()))
    } else {
        None
    };
    Some(told.unwrap_or_else(|| text.split_whitespace().collect::<Vec<_>>().join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Topic;

    fn setting(file: &str, found: &str, wanted: &str) -> Setting {
        let how = How::File(file.to_owned());
        let (what, why) = (file.to_owned(), "because".to_owned());
        Setting { topic: Topic::Kernel, what, found: found.to_owned(), wanted: wanted.to_owned(), why, how }
    }

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        for (file, value) in files {
            fs::create_dir_all(root.path(file).parent().unwrap()).unwrap();
            fs::write(root.path(file), format!("{value}\n")).unwrap();
        }
        (directory, root)
    }

    #[test]
    fn what_was_written_can_be_undone_and_the_rest_is_left_alone() {
        let (_directory, root) = tree(&[("a", "powersave"), ("b", "1")]);
        let settings = [setting("a", "powersave", "performance"), setting("b", "1", "1"), setting("missing", "0", "1")];
        let (written, failed) = apply(&root, &planned(&settings));
        assert_eq!((written.len(), failed.len()), (1, 1));
        assert!(failed[0].to_string().contains("missing"));
        assert_eq!(root.text("a").unwrap(), "performance");
        assert!(!root.path("missing").exists());
        let undone = undo(&root, &written);
        assert_eq!((undone.put_back, undone.unchanged, undone.failed.len()), (1, 0, 0));
        assert_eq!(root.text("a").unwrap(), "powersave");
        let again = undo(&root, &written);
        assert_eq!((again.put_back, again.unchanged, again.failed.len()), (0, 1, 0));
    }

    /// The record is written before the files are: after an end in the middle it names more than was done.
    #[test]
    fn a_record_of_what_was_only_planned_undoes_what_was_done() {
        let (_directory, root) = tree(&[("a", "1"), ("b", "1")]);
        let planned = planned(&[setting("a", "1", "2"), setting("b", "1", "2")]);
        apply(&root, &planned[..1]);
        let undone = undo(&root, &planned);
        assert_eq!((undone.put_back, undone.unchanged, undone.failed.len()), (1, 1, 0));
        assert_eq!((root.text("a").unwrap(), root.text("b").unwrap()), ("1".into(), "1".into()));
    }

    #[test]
    fn what_somebody_else_changed_is_told_and_left() {
        let (_directory, root) = tree(&[("a", "1"), ("b", "1")]);
        let (written, _) = apply(&root, &planned(&[setting("a", "1", "2"), setting("b", "1", "2")]));
        fs::write(root.path("a"), "3\n").unwrap();
        let undone = undo(&root, &written);
        assert_eq!((undone.put_back, undone.failed.len()), (1, 1));
        let told = undone.failed[0].to_string();
        assert!(
            told.contains("/a: expected \"2\"") && told.contains("found \"3\"") && told.contains("was \"1\""),
            "{told}"
        );
        assert_eq!((root.text("a").unwrap(), root.text("b").unwrap()), ("3".into(), "1".into()));
    }

    #[test]
    fn values_are_compared_in_the_form_that_settings_have() {
        let (_directory, root) = tree(&[
            ("proc/irq/7/smp_affinity_list", "0-1,2"),
            ("sys/class/net/e/queues/rx-0/rps_cpus", "00000000,00000003"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999"),
        ]);
        let read = |file| value(&root, file).unwrap();
        assert_eq!(read("proc/irq/7/smp_affinity_list"), "0-2");
        assert_eq!(read("sys/class/net/e/queues/rx-0/rps_cpus"), "3");
        assert_eq!(read("sys/kernel/mm/transparent_hugepage/enabled"), "madvise");
        assert_eq!(read("proc/sys/net/ipv4/ip_local_port_range"), "32768 60999");
    }
}
