//! Made-up results for tests: several targets, one not ranked, missing figures, nothing at all, absurd numbers, and
//! texts that somebody wrote to do harm.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::*;
use crate::statistics::{Figure, Sample};

/// Markup, an attribute's end, a terminal's colour, text turned round, a bell.
pub const HOSTILE: &str = "</td><script>alert(1)</script>\" onload='x' \u{1b}[31m\u{202e}evil\u{7}&amp;";

/// A series of `starts` of five rounds around `cpu_us`; `seed` moves the noise.
pub fn series(cpu_us: f64, starts: u32, seed: u64) -> Series {
    let mut series = Series::default();
    let mut noise = seed.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(3_037_000_493);
    let mut jitter = move || {
        noise = noise.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(3_037_000_493);
        1.0 + ((noise >> 40) % 1_000) as f64 / 1_000.0 * 0.04
    };
    for start in 0..starts {
        let process = jitter();
        for round in 0..5 {
            let mut latencies = Histogram::<u64>::new(3).unwrap();
            let cost = cpu_us * process * jitter();
            for at in 1..60_u32 {
                latencies.record((cost * 1_000.0 * f64::from(at)) as u64 + 1).unwrap();
            }
            let cpu_ns = (cost * 200.0 * 1_000.0) as u64;
            let sample = Sample::new(cpu_ns, 200, 40_000, Duration::from_millis(250), &latencies);
            series.push(start, round, sample.with_reference(Some(8_000.0 * jitter())));
        }
    }
    series
}

pub fn row(target: &str, work: &str, cpu_us: f64, seed: u64) -> Row {
    Row::new(target, work, "plain").with_series(&series(cpu_us, 6, seed), &Figure::USUAL, 1)
}

fn subject(name: &str, ranked: bool) -> Subject {
    let probe = Probe {
        work: "es256".into(),
        request: "a token of another issuer".into(),
        expected: "401".into(),
        found: if ranked { "401".into() } else { HOSTILE.into() },
        passed: ranked,
    };
    let why_not = (!ranked).then(|| format!("expected 401, found {HOSTILE}"));
    Subject {
        name: name.into(),
        version: "1.0".into(),
        obtained: "made up".into(),
        probes: vec![probe],
        ranked,
        why_not,
    }
}

/// A run on a quiet machine; `seed` moves its noise.
pub fn quiet(seed: u64) -> Results {
    let mut results = Results::begin("2026-11-22T01:00:00Z".into(), "loadtest compare".into());
    results.machine = Machine { processor: "Made Up 1".into(), cores: 2, memory_bytes: 8 << 30, ..Machine::default() };
    results.seconds = 61.0;
    results.noise = Some(Noise::of(&vec![8_000.0; 30], 0.0));
    results.targets = vec![subject("adamant", true), subject("haproxy", true), subject("loose", false)];
    let rows = vec![
        row("adamant", "es256", 14.0, seed),
        row("haproxy", "es256", 95.0, seed + 1),
        row("loose", "es256", 3.0, seed + 2),
        row("adamant", "pass-through", 13.0, seed + 3),
    ];
    results.experiments = vec![Experiment {
        id: "saturation".into(),
        title: "CPU per request".into(),
        about: "Made up.".into(),
        command: "loadtest compare --only saturation".into(),
        rows,
        ..Experiment::default()
    }];
    let measured = Estimate { value: 1.02, low: 1.01, high: 1.03 };
    results.goals = vec![
        Goal::judge("CPU", "≤ 1.05 ×", Bound::AtMost(1.05), measured),
        Goal::judge("rate", "≥ 1.5 ×", Bound::AtLeast(1.5), measured),
        Goal::judge("p99", "≤ 1.02 ×", Bound::AtMost(1.02), measured),
        Goal::not_measured("memory", "none", Bound::AtMost(1.0), "it takes an hour"),
    ];
    results
}

/// The same with everything in it that could break a page.
pub fn hostile() -> Results {
    let mut results = quiet(1);
    results.quick = true;
    results.command = HOSTILE.into();
    results.machine.processor = HOSTILE.into();
    results.seconds = f64::NAN;
    results.goals.push(Goal::not_measured(HOSTILE, HOSTILE, Bound::AtMost(f64::NAN), HOSTILE));
    results.targets.push(Subject { name: HOSTILE.into(), version: HOSTILE.into(), ..Subject::default() });
    let mut absurd = Row::new(HOSTILE, HOSTILE, HOSTILE);
    for (name, value) in [("cpu_us", 1e300), ("p99_us", f64::INFINITY), ("worse", -1e-300), (HOSTILE, f64::NAN)] {
        absurd.put(name, Estimate { value, low: -value, high: f64::NAN }, HOSTILE);
    }
    absurd.percentiles = vec![[0.0, f64::NAN], [50.0, -1.0], [99.0, 1e300], [f64::INFINITY, 0.0], [100.0, 1.0]];
    let empty = Row::new("adamant", "nothing measured", "plain");
    let point =
        |rate: f64, p99_us: f64| CurvePoint { rate, throughput: rate / 2.0, p50_us: 0.0, p99_us, p999_us: f64::NAN };
    let points = vec![point(0.0, 0.0), point(1e6, 1e9), point(f64::NAN, f64::INFINITY), point(-5.0, -5.0)];
    let heat = |bands_us: Vec<f64>, columns: Vec<Vec<u64>>| Heat {
        target: HOSTILE.into(),
        work: HOSTILE.into(),
        column_ms: 0,
        bands_us,
        columns,
    };
    results.experiments.push(Experiment {
        id: HOSTILE.into(),
        title: HOSTILE.into(),
        about: HOSTILE.into(),
        command: HOSTILE.into(),
        rows: vec![absurd, empty],
        curves: vec![
            Curve { target: HOSTILE.into(), work: HOSTILE.into(), points },
            Curve { target: "adamant".into(), work: "no points".into(), points: Vec::new() },
        ],
        heat: vec![
            heat(vec![], vec![vec![1, 2]]),
            heat(vec![f64::NAN, -1.0, 1e300], vec![vec![u64::MAX; 9]; 500]),
            heat(vec![10.0, 100.0], vec![vec![], vec![0, 3], vec![1]]),
        ],
    });
    results.experiments.push(Experiment::default());
    results
}
