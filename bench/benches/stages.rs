//! Every stage and every reference under criterion. `cargo bench -p bench --bench stages -- NAME` runs those whose name
//! holds NAME.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark stops at the first surprise")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

use bench::list;

fn stages(criterion: &mut Criterion) {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for name in list::names() {
        // Criterion would make a table of a million agents before it finds that nobody wants it.
        if wanted.iter().all(|part| name.contains(part.as_str())) {
            let mut stage = list::make(&name).unwrap_or_else(|| panic!("{name} is no stage"));
            let stage = std::cell::RefCell::new(&mut *stage);
            criterion.bench_function(&name, |bencher| {
                bencher.iter_batched(
                    || stage.borrow_mut().prepare(),
                    |()| stage.borrow_mut().run(),
                    BatchSize::PerIteration,
                );
            });
        }
    }
}

criterion_group!(all, stages);
criterion_main!(all);
