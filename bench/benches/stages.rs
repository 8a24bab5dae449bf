//! Every stage that needs no socket, beside a reference operation measured in the same run.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use policy::compile::compile;
use policy::decide::Presented;
use policy::rate::{Gcra, gcra};
use policy::table::{Table, TokenScopes};

use bench::{HEAD, policy_of};

/// The head parse with its gate, beside bare httparse over the same bytes.
fn head(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    group.bench_function("httparse", |bencher| {
        bencher.iter(|| {
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut fields);
            request.parse(black_box(HEAD)).unwrap().is_complete()
        });
    });
    let mut parsed = Box::new(http1::RequestHead::new());
    let bounds = http1::Bounds::default();
    group.bench_function("gate", |bencher| {
        bencher.iter(|| http1::parse_request(black_box(HEAD), &bounds, &mut parsed).unwrap());
    });
    let mut out = Vec::new();
    group.bench_function("target", |bencher| {
        bencher.iter(|| policy::target::normalise(black_box(b"/orders/12345?page=2"), &mut out).unwrap().path.len());
    });
    group.finish();
}

/// From proofs to grant, at several sizes of policy.
fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for (agents, routes) in [(10, 10), (1_000, 100), (100_000, 10_000)] {
        let policy = policy_of(agents, routes);
        let table = Table::load(compile(&policy, [0; 32]).unwrap()).unwrap();
        let (key, path) = (format!("key-{:06}", agents / 2), format!("/r{:06}/12345", routes / 2));
        let everything = TokenScopes::everything();
        group.bench_function(BenchmarkId::from_parameter(format!("{agents}x{routes}")), |bencher| {
            bencher.iter(|| {
                let (_, proof) = table.proof_api_key(black_box(key.as_bytes())).unwrap();
                let caller = table.caller(&Presented { api_key: Some(Some(proof)), ..Presented::default() }).unwrap();
                let route = table.route(b"api.example", b"GET", black_box(path.as_bytes())).unwrap();
                table.grant(&caller, &everything, route).unwrap()
            });
        });
    }
    group.finish();
}

/// The pure rate step.
fn account(criterion: &mut Criterion) {
    let spec = Gcra { emission_interval_ns: 1_000, burst: 100 };
    let mut state = 0;
    let mut now_ns = 1_000_000_000;
    criterion.bench_function("account/gcra", |bencher| {
        bencher.iter(|| {
            now_ns += 1_000;
            let (next, verdict) = gcra(black_box(state), now_ns, spec);
            state = next;
            verdict.admitted
        });
    });
}

criterion_group!(stages, head, decide, account);
criterion_main!(stages);
