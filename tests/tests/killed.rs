//! A gateway that is killed at any moment while releases follow each other: the next start serves exactly the release of
//! some pointer that was published, whole, and the serial never goes back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::client::get;
use tests::gateway::binary;
use tests::store::{Built, World, told};

/// How many activations a gateway is to be killed in the midst of; 1,000 with FULL=1.
const ACTIVATIONS: u64 = 200;

/// Numbers without a pattern (xorshift64), the same ones in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Odd serials point at the first release, even ones at the second.
fn of_serial(serial: u64, releases: &[Built; 2]) -> &Built {
    &releases[usize::from(serial.is_multiple_of(2))]
}

/// Starts a gateway and kills it after `lifetime`, wherever it is by then.
fn start_and_kill(world: &World, lifetime: Duration) {
    let mut child = Command::new(binary())
        .args(["run", "gateway.toml"])
        .current_dir(world.home())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(lifetime);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Ends the publisher, also where the test fails.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn killed_at_any_moment_a_gateway_serves_the_old_release_or_the_new_one() {
    let activations = if std::env::var_os("FULL").is_some() { 1_000 } else { ACTIVATIONS };
    let world = World::new("hot");
    let paths = [vec!["/always", "/odd"], vec!["/always", "/even"]];
    let releases = [1, 2].map(|version| world.build(version, &world.policy(&paths[version as usize - 1])));
    releases.iter().for_each(|built| world.put_release(built, &[1, 2]));
    world.point(1, &releases[0].digest);

    let (stop, serial) = (AtomicBool::new(false), AtomicU64::new(1));
    let (mut random, mut highest, mut killed, mut seen) = (Random(0x9e37_79b9_7f4a_7c15), 0, 0, 0_u64);
    thread::scope(|scope| {
        scope.spawn(|| {
            // A publisher that never rests: the gateway is always in the midst of something.
            let mut pause = Random(42);
            while !stop.load(Ordering::Relaxed) {
                let next = serial.load(Ordering::Relaxed) + 1;
                world.point_anywhere(next, &of_serial(next, &releases).digest);
                serial.store(next, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(pause.below(60)));
            }
        });
        let _stop = Stop(&stop);
        let until = Instant::now() + Duration::from_secs(if activations > ACTIVATIONS { 5_400 } else { 1_800 });
        while seen < activations && Instant::now() < until {
            if random.below(3) == 0 {
                start_and_kill(&world, Duration::from_millis(random.below(60)));
                killed += 1;
            }
            let gateway = world.start();
            let shown = told(&gateway);
            let now = shown["pointer"]["serial"].as_u64().unwrap();
            assert!(now >= highest, "the serial went back from {highest} to {now}: {}", gateway.stderr());
            assert!(now <= serial.load(Ordering::Relaxed) + 1, "{now} was never published");
            assert_eq!(shown["release"], of_serial(now, &releases).digest.as_str(), "serial {now}");
            assert!(!gateway.stderr().contains("refused at"), "{}", gateway.stderr());
            assert_eq!(gateway.once(get("/always", "")).status, 200);
            thread::sleep(Duration::from_millis(random.below(500)));
            // What it came to is read at the last moment, and never more than what the next start knows.
            let last = told(&gateway);
            highest = last["pointer"]["serial"].as_u64().unwrap();
            seen += last["activation"].as_u64().unwrap();
            drop(gateway); // SIGKILL
            killed += 1;
        }
    });
    println!("{seen} activations, killed {killed} times, up to serial {highest}");
    assert!(seen >= activations, "only {seen} activations in the time that there is");
}
