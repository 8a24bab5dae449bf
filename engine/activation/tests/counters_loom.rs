//! The lock-free modules of the counters, compiled a second time over loom's atomics: loom runs each test under every
//! interleaving that up to `PREEMPTIONS` preemptions can make, with all that the memory orderings allow.
//!
//! An ordinary test, so that no build with flags of its own is needed:
//! `cargo test --profile checked -p activation --test counters_loom`.

#[allow(dead_code)]
#[path = "../src/bounds.rs"]
mod bounds;
#[allow(dead_code)]
#[path = "../src/counters/cell.rs"]
mod cell;
#[allow(dead_code)]
#[path = "../src/counters/level.rs"]
mod level;
#[allow(dead_code)]
#[path = "../src/counters/subject.rs"]
mod subject;
#[allow(dead_code)]
#[path = "../src/counters/subjects.rs"]
mod subjects;

/// As `src/counters/sync.rs`, small enough to be searched.
mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering};

    pub const BUCKET_SLOTS: usize = 2;
    pub const KEY_WORDS: usize = 1;
    pub const TRIES_MAX: usize = 4;

    pub fn pause() {
        loom::thread::yield_now();
    }
}

use std::sync::Arc;

use loom::thread;
use policy::model::OnFull;
use policy::rate::{Gcra, Kept, Quota};
use policy::table::LimitKind;

use cell::Step;
use subject::{Key, Subject};
use subjects::{Ask, Outcome, Subjects};
use sync::AtomicU64;

const PREEMPTIONS: usize = 3;
const NOW_NS: u64 = 1_800_000_000_000_000_000;
const INTERVAL_NS: u64 = 1_000;

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

fn gcra(burst: u32) -> LimitKind {
    LimitKind::Gcra(Gcra { emission_interval_ns: INTERVAL_NS, burst })
}

fn quota(count: u32) -> LimitKind {
    LimitKind::Quota(Quota { window_s: 60, count })
}

/// How many of `times` requests at one moment a word admits.
fn admitted(word: &AtomicU64, now_ns: u64, kind: LimitKind, times: u32) -> u32 {
    (0..times).map(|_| u32::from(cell::charge(word, now_ns, kind).verdict.admitted)).sum()
}

#[test]
fn two_threads_admit_exactly_what_one_would() {
    for (kind, each) in [(gcra(1), 1), (gcra(3), 2), (quota(1), 1), (quota(3), 2)] {
        explore(move || {
            let word = Arc::new(AtomicU64::new(0));
            let other = Arc::clone(&word);
            let thread = thread::spawn(move || admitted(&other, NOW_NS, kind, each));
            let here = admitted(&word, NOW_NS, kind, each);
            let expected = admitted(&AtomicU64::new(0), NOW_NS, kind, 2 * each);
            assert_eq!(here + thread.join().unwrap(), expected);
        });
    }
}

/// One thread charges two words and gives the first back when the second refuses; the other charges the first alone,
/// some time later.
#[test]
fn a_charge_given_back_never_lets_one_too_many_in() {
    for (kind, later_ns) in [(gcra(1), 0), (gcra(1), 3 * INTERVAL_NS), (gcra(2), INTERVAL_NS), (quota(2), 0)] {
        explore(move || {
            let word = Arc::new(AtomicU64::new(0));
            let other = Arc::clone(&word);
            let thread = thread::spawn(move || admitted(&other, NOW_NS + later_ns, kind, 2));
            let step = cell::charge(&word, NOW_NS, kind);
            if step.verdict.admitted {
                cell::give_back(&word, &step, kind);
            }
            let admitted_later = thread.join().unwrap();
            let left = admitted(&word, NOW_NS + later_ns, kind, 3);
            let most = admitted(&AtomicU64::new(0), NOW_NS + later_ns, kind, 5);
            assert!(admitted_later + left <= most, "{admitted_later} + {left} > {most}");
        });
    }
}

/// Two threads charge two limits each, all or nothing, in the same order.
#[test]
fn all_or_nothing_admits_the_least_of_all_limits() {
    explore(|| {
        let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let (wide, narrow) = (gcra(2), quota(1));
        let both = move |words: &[AtomicU64; 2]| {
            let first = cell::charge(&words[0], NOW_NS, wide);
            if !first.verdict.admitted {
                return 0;
            }
            if cell::charge(&words[1], NOW_NS, narrow).verdict.admitted {
                return 1;
            }
            cell::give_back(&words[0], &first, wide);
            0
        };
        let other = Arc::clone(&words);
        let thread = thread::spawn(move || both(&other));
        let here = both(&words);
        assert_eq!(here + thread.join().unwrap(), 1);
        assert!(admitted(&words[0], NOW_NS, wide, 3) <= 1);
    });
}

fn subject(name: &[u8]) -> Subject {
    // All in one bucket with one tag, so that the whole keys and the generation must tell them apart.
    Subject { key: Key::of(name), hash: 0 }
}

fn ask(now_ns: u64, kind: LimitKind, subjects_max: u32, on_full: OnFull) -> Ask {
    Ask { now_ns, kind, subjects_max, on_full }
}

fn is_admitted(table: &Subjects, name: &[u8], ask: &Ask) -> bool {
    matches!(table.charge(&subject(name), ask), Outcome::Stepped(_, Step { verdict, .. }) if verdict.admitted)
}

#[test]
fn a_subject_entered_by_two_threads_has_one_entry() {
    for on_full in [OnFull::Deny, OnFull::Overflow] {
        explore(move || {
            let table = Arc::new(Subjects::new(Kept::Gcra, 1));
            let asked = ask(NOW_NS, gcra(1), 1, on_full);
            let other = Arc::clone(&table);
            let thread = thread::spawn(move || is_admitted(&other, b"a", &asked));
            let here = is_admitted(&table, b"a", &asked);
            let there = thread.join().unwrap();
            assert!(!(here && there), "admitted twice");
            assert!(here || there || on_full == OnFull::Deny, "denied twice");
            assert!(!is_admitted(&table, b"a", &asked) || !(here || there), "admitted once more");
        });
    }
}

/// One thread's new subject takes the slot of an idle one, which the other thread charges just then.
#[test]
fn a_slot_freed_under_a_charge_lets_nobody_in_twice() {
    explore(|| {
        let table = Arc::new(Subjects::new(Kept::Gcra, 1));
        assert!(is_admitted(&table, b"a", &ask(NOW_NS - 2 * INTERVAL_NS, gcra(1), 1, OnFull::Deny)));
        let asked = ask(NOW_NS, gcra(1), 1, OnFull::Deny);
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || is_admitted(&other, b"b", &asked));
        let here = is_admitted(&table, b"a", &asked);
        let there = thread.join().unwrap();
        assert!(!(here && there), "one slot held two live subjects");
        assert!(!(here && is_admitted(&table, b"a", &asked)));
        assert!(!(there && is_admitted(&table, b"b", &asked)));
    });
}

/// The slot is freed, taken by another subject and charged while a thread stands between finding and charging it:
/// the charge must not count for the wrong subject, whose state may look the same.
#[test]
fn a_charge_on_a_slot_that_changed_hands_is_made_again() {
    explore(|| {
        let table = Arc::new(Subjects::new(Kept::Gcra, 1));
        let two = gcra(2);
        assert!(is_admitted(&table, b"a", &ask(NOW_NS - 9 * INTERVAL_NS, two, 1, OnFull::Overflow)));
        let asked = ask(NOW_NS, two, 1, OnFull::Overflow);
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || (0..2).filter(|_| is_admitted(&other, b"b", &asked)).count());
        let here = (0..2).filter(|_| is_admitted(&table, b"a", &asked)).count();
        let there = thread.join().unwrap();
        let mine = here + (0..2).filter(|_| is_admitted(&table, b"a", &asked)).count();
        let others = there + (0..2).filter(|_| is_admitted(&table, b"b", &asked)).count();
        assert!(mine <= 2, "{mine} of a");
        assert!(others <= 2, "{others} of b");
    });
}

/// A worker whose clock is behind asks for a subject that one ahead has just freed as idle.
#[test]
fn a_clock_behind_does_not_find_a_full_bucket() {
    explore(|| {
        let table = Arc::new(Subjects::new(Kept::Gcra, 2));
        let first_ns = NOW_NS;
        assert!(is_admitted(&table, b"a", &ask(first_ns, gcra(1), 1, OnFull::Deny)));
        let other = Arc::clone(&table);
        let ahead = ask(first_ns + 2 * INTERVAL_NS, gcra(1), 1, OnFull::Deny);
        let thread = thread::spawn(move || is_admitted(&other, b"b", &ahead));
        // Room for two, so that the one behind may enter it again.
        let behind = ask(first_ns + INTERVAL_NS - 1, gcra(1), 2, OnFull::Deny);
        assert!(!is_admitted(&table, b"a", &behind), "admitted twice within an interval");
        thread.join().unwrap();
        assert!(!is_admitted(&table, b"a", &behind), "admitted twice within an interval");
    });
}

/// A subject is charged to the overflow bucket by one thread and enters the table by the other, whose clock is so
/// far ahead that it finds a slot to free.
#[test]
fn overflow_and_own_entry_count_as_one() {
    // The floor alone would hide it with a burst of one.
    for (burst, times) in [(1, 1), (2, 2)] {
        explore(move || {
            let table = Arc::new(Subjects::new(Kept::Gcra, 1));
            let at = move |now_ns| ask(now_ns, gcra(burst), 1, OnFull::Overflow);
            assert!(is_admitted(&table, b"x", &at(NOW_NS - INTERVAL_NS)));
            let other = Arc::clone(&table);
            let thread = thread::spawn(move || u32::from(is_admitted(&other, b"a", &at(NOW_NS))));
            let here = (0..times).map(|_| u32::from(is_admitted(&table, b"a", &at(NOW_NS + 1)))).sum::<u32>();
            let both = here + thread.join().unwrap();
            assert!(both <= burst, "{both} admitted within an interval");
        });
    }
}
