//! Runs each stage in `counted`, which `valgrind --tool=callgrind --toggle-collect` watches, and says which it ran and how
//! often. Without valgrind it does nothing of use.

use std::hint::black_box;

use bench_counts::policies::Mix;
use bench_counts::{Stage, stages};

/// Runs that are counted together.
const RUNS: u32 = 64;

fn main() {
    let all: [(&str, Box<dyn Stage>); 7] = [
        ("httparse", stages::httparse()),
        ("head", stages::head()),
        ("target", stages::target()),
        ("decide-10x10", stages::decide(10, 10, Mix::Even)),
        ("decide-1000x100", stages::decide(1_000, 100, Mix::Even)),
        ("decide-10000x1000", stages::decide(10_000, 1_000, Mix::Even)),
        ("rate", stages::rate()),
    ];
    for (name, mut stage) in all {
        // Whatever is done once is done before.
        for _ in 0..RUNS {
            stage.prepare();
            stage.run();
        }
        for _ in 0..RUNS {
            stage.prepare();
            counted(&mut *stage);
        }
        end_of_stage();
        println!("{name} {RUNS}");
    }
}

/// Collected from its first instruction to its last, with what it calls.
#[inline(never)]
fn counted(stage: &mut dyn Stage) {
    stage.run();
    black_box(());
}

/// What was collected is written when this is left, and counting begins anew.
#[inline(never)]
fn end_of_stage() {
    black_box(());
}
