//! The table in the memory of a real gateway: who may not write it, from outside as root or as the gateway's own user,
//! and that everybody sees the same bytes. What the process itself cannot do to it is tested in `sys`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tests::client::get;
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::origin::RecordingOrigin;
use tests::policy::open_to_all;
use tests::process::eventually;

/// How the memory of a table is named in /proc.
const NAME: &str = "/memfd:adamant-table";

/// Where a table is mapped.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    start: u64,
    end: u64,
}

fn table_of(gateway: &Gateway) -> Mapping {
    let maps = fs::read_to_string(format!("/proc/{}/maps", gateway.pid())).unwrap();
    let of_tables: Vec<_> = maps.lines().filter(|line| line.contains(NAME)).collect();
    assert_eq!(of_tables.len(), 1, "one table, mapped once, in\n{maps}");
    let (range, rest) = of_tables[0].split_once(' ').unwrap();
    assert!(rest.starts_with("r--s"), "expected it read-only and shared, found {rest}");
    let (start, end) = range.split_once('-').unwrap();
    Mapping { start: u64::from_str_radix(start, 16).unwrap(), end: u64::from_str_radix(end, 16).unwrap() }
}

/// The descriptor of the table's memory, as others can open it.
fn descriptor_of(gateway: &Gateway) -> PathBuf {
    let entries = fs::read_dir(format!("/proc/{}/fd", gateway.pid())).unwrap();
    let is_table = |path: &PathBuf| fs::read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with(NAME));
    entries.map(|entry| entry.unwrap().path()).find(is_table).unwrap()
}

fn memory(gateway: &Gateway, write: bool) -> File {
    OpenOptions::new().read(true).write(write).open(format!("/proc/{}/mem", gateway.pid())).unwrap()
}

fn read(gateway: &Gateway, mapping: Mapping) -> Vec<u8> {
    let mut bytes = vec![0; (mapping.end - mapping.start) as usize];
    memory(gateway, false).read_exact_at(&mut bytes, mapping.start).unwrap();
    bytes
}

fn release(gateway: &Gateway) -> Value {
    serde_json::from_str(&gateway.admin("/release").text()).unwrap()
}

#[test]
fn nobody_outside_writes_it_through_memory_or_descriptor() {
    let origin = RecordingOrigin::start();
    let gateway = Deployment::new().run(&open_to_all(origin.address()).text());
    let mapping = table_of(&gateway);
    let before = read(&gateway, mapping);

    for at in [mapping.start, mapping.start + 64, mapping.end - 1] {
        let wrote = memory(&gateway, true).write_at(b"\xff", at);
        assert!(wrote.is_err(), "/proc/PID/mem wrote {wrote:?} bytes at {at:x}");
    }
    let path = descriptor_of(&gateway);
    let again = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    assert!(again.write_at(b"\xff", 0).is_err(), "written through a descriptor opened anew");
    assert!(again.set_len(0).is_err() && again.set_len(1 << 30).is_err(), "its size changed");
    assert!(OpenOptions::new().write(true).truncate(true).open(&path).is_err(), "truncated by opening it");
    drop(again);

    assert_eq!(read(&gateway, mapping), before);
    assert_eq!(gateway.once(get("/", "")).status, 200);
}

#[test]
fn what_the_workers_read_is_what_the_gateway_says_it_serves_and_is_looked_at_all_the_time() {
    let origin = RecordingOrigin::start();
    let gateway = Deployment::new().run(&open_to_all(origin.address()).text());
    let length = fs::metadata(descriptor_of(&gateway)).unwrap().len() as usize;
    let hash = Sha256::digest(&read(&gateway, table_of(&gateway))[..length]);
    let shown: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(release(&gateway)["table_sha256"], format!("sha256:{shown}"));
    let looked = || release(&gateway)["memory"]["hashed"].as_str().map(str::to_owned);
    assert!(eventually(Duration::from_secs(60), || looked().is_some()), "{}", release(&gateway));
    let first = looked();
    assert!(eventually(Duration::from_secs(60), || looked() != first), "looked at once and never again");
    assert_eq!(release(&gateway)["memory"]["mismatches"], 0);
}

#[test]
fn two_gateways_on_one_release_have_the_same_table_and_another_release_has_another() {
    let origin = RecordingOrigin::start();
    let first = Deployment::new().prepare(&open_to_all(origin.address()).text());
    let signed = fs::read_to_string(first.directory().join("release.json")).unwrap();
    let root = fs::read_to_string(first.directory().join("root.json")).unwrap();
    let second = Deployment::new().prepare(&open_to_all(origin.address()).text()).file("release.json", &signed);
    let second = second.file("root.json", &root);
    let start = |deployment: Deployment| {
        let mut command = std::process::Command::new(tests::gateway::binary());
        command.args(["run", "gateway.toml", "--print-addresses", "addresses.json"]);
        deployment.start(command).unwrap()
    };
    let gateways = [start(first), start(second)];
    let [one, other] = gateways.each_ref().map(release);
    assert_eq!((&one["release"], &one["table_sha256"]), (&other["release"], &other["table_sha256"]));
    let other = open_to_all(origin.address()).setting("audit = \"best-effort\"");
    let third = release(&Deployment::new().run(&other.text()));
    assert_ne!(third["table_sha256"], one["table_sha256"]);
}

/// System calls of x86_64, as a tracer lets a thread of the gateway make them.
#[cfg(target_arch = "x86_64")]
mod traced {
    use super::*;
    use tests::store::{World, served, told};

    const MMAP: i64 = 9;
    const MPROTECT: i64 = 10;
    const MUNMAP: i64 = 11;
    const MREMAP: i64 = 25;
    const MADVISE: i64 = 28;
    const READ_WRITE: u64 = 3;
    /// `MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS`
    const OVER: u64 = 0x32;
    const MAYMOVE: u64 = 1;
    /// `MADV_REMOVE`
    const REMOVE: u64 = 9;
    /// Times that a gateway puts its table right.
    const REPAIRS_MAX: usize = 16;

    /// What the kernel says to a control thread of the gateway; none where tracing is not allowed here.
    fn call(gateway: &Gateway, number: i64, arguments: [u64; 6]) -> Option<std::io::Result<u64>> {
        let tasks = fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
        let is_admin = |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "admin");
        let thread = tasks.map(|task| task.unwrap().path()).find(is_admin).unwrap();
        let thread = thread.file_name().unwrap().to_str().unwrap().parse().unwrap();
        match sys::injection::call(thread, number, arguments) {
            Ok(result) => Some(result),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                eprintln!("tracing is not allowed here: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn map_over(gateway: &Gateway, mapping: Mapping) -> Option<std::io::Result<u64>> {
        call(gateway, MMAP, [mapping.start, mapping.end - mapping.start, 1, OVER, u64::MAX, 0])
    }

    #[test]
    fn where_releases_wait_for_a_restart_not_even_a_tracer_changes_the_mapping() {
        let origin = RecordingOrigin::start();
        let gateway = Deployment::new().run(&open_to_all(origin.address()).text());
        let (mapping, before) = (table_of(&gateway), read(&gateway, table_of(&gateway)));
        if release(&gateway)["memory"]["mseal"] != true {
            eprintln!("mseal is not available here: {}", gateway.stderr());
            return;
        }
        let length = mapping.end - mapping.start;
        let Some(replaced) = map_over(&gateway, mapping) else { return };
        assert!(replaced.is_err(), "replaced");
        for (number, arguments) in [
            (MUNMAP, [mapping.start, length, 0, 0, 0, 0]),
            (MPROTECT, [mapping.start, length, READ_WRITE, 0, 0, 0]),
            (MPROTECT, [mapping.start, length, 0, 0, 0, 0]),
            (MREMAP, [mapping.start, length, length + 4096, MAYMOVE, 0, 0]),
            (MADVISE, [mapping.start, length, REMOVE, 0, 0, 0]),
        ] {
            let result = call(&gateway, number, arguments).unwrap();
            assert!(result.is_err(), "system call {number} with {arguments:x?} gave {result:?}");
        }
        assert_eq!(read(&gateway, mapping), before);
        assert_eq!(gateway.once(get("/", "")).status, 200);
        assert_eq!(release(&gateway)["memory"]["mismatches"], 0);
    }

    #[test]
    fn where_releases_follow_each_other_a_replaced_mapping_is_found_told_and_put_right() {
        let world = World::new("hot");
        let built = world.build(1, &world.policy(&["/open"]));
        world.publish(1, &built);
        let gateway = world.start();
        let (mapping, before) = (table_of(&gateway), read(&gateway, table_of(&gateway)));
        let protected = call(&gateway, MPROTECT, [mapping.start, mapping.end - mapping.start, READ_WRITE, 0, 0, 0]);
        let Some(protected) = protected else { return };
        assert!(protected.is_err(), "made writable although the memory is sealed");
        assert_eq!(gateway.once(get("/open", "")).status, 200);

        assert_eq!(map_over(&gateway, mapping).unwrap().unwrap(), mapping.start, "without mseal nothing stops this");
        let memory = || told(&gateway)["memory"].clone();
        let permitted = gateway.once(get("/open", "")).status == 200;
        assert!(!permitted || memory()["mismatches"] == 1, "a table of zeros permits nothing");
        assert!(eventually(Duration::from_secs(60), || memory()["mismatches"] == 1), "{}", memory());
        assert!(eventually(Duration::from_secs(60), || gateway.once(get("/open", "")).status == 200), "not put right");
        assert_eq!(read(&gateway, table_of(&gateway)), before);
        assert_eq!((table_of(&gateway).start, served(&gateway)), (mapping.start, built.digest));
        for told in ["\"adamant.outcome\":\"mismatch\"", "\"adamant.outcome\":\"mapped again\""] {
            assert!(
                eventually(Duration::from_secs(60), || gateway.record_text().contains(told)),
                "{told} is not recorded"
            );
        }
        gateway.tells("is not what was verified");
    }

    #[test]
    fn a_gateway_whose_memory_is_changed_again_and_again_stops_with_an_error() {
        let world = World::new("hot");
        world.publish(1, &world.build(1, &world.policy(&["/open"])));
        let mut gateway = world.start();
        let mapping = table_of(&gateway);
        for round in 1..=REPAIRS_MAX + 1 {
            let Some(replaced) = map_over(&gateway, mapping) else { return };
            replaced.unwrap();
            let told = |what: &str| gateway.stderr().matches(what).count();
            let found = || told("is not what was verified") == round;
            assert!(eventually(Duration::from_secs(60), found), "replacement {round} was not found");
            let outcome = || told("was mapped again") == round || told("the gateway stops") == 1;
            assert!(eventually(Duration::from_secs(60), outcome), "replacement {round} stays");
            assert_eq!(told("the gateway stops") == 1, round > REPAIRS_MAX);
        }
        let status = gateway.wait(Duration::from_secs(60)).expect("it ends");
        assert_eq!(status.code(), Some(1), "{}", gateway.stderr());
    }
}
