//! The records of one gateway: what time they cover, and whether its clock went as a clock does.

use std::collections::HashMap;

use chain::line::Chain;
use chain::verify::{Extent, Verifier};

use super::super::bounds::{CLOCK_BACK_S_MAX, CLOCK_OFF_S_MAX, COVERAGE_SLACK_PARTS, COVERAGE_SLACK_S};
use super::super::scan::Window;
use super::{NS_PER_S, span_text};
use crate::replay::line::time_text;

/// What is known of the records of one gateway.
pub struct Gateway {
    /// Empty where no line of its files says it.
    pub name: String,
    pub chain: Verifier,
    /// Lines that are records.
    pub records: u64,
    /// Number of the line that comes next in its run; none where no line was chained.
    pub leaf_next: Option<u64>,
    /// Of its first and last line, near the window.
    pub times: Option<(u64, u64)>,
    /// The latest in each of its chains, and of lines in none.
    latest: HashMap<Option<Chain>, u64>,
    /// What the first line says that a clock that was right would not have written.
    clock: Option<String>,
}

impl Gateway {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            chain: Verifier::new(Vec::new(), Extent::Part),
            records: 0,
            leaf_next: None,
            times: None,
            latest: HashMap::new(),
            clock: None,
        }
    }

    /// A line was written to a chain at this time.
    pub fn written(&mut self, chain: Option<Chain>, at_ns: u64, window: Window) {
        let off_ns = CLOCK_OFF_S_MAX * NS_PER_S;
        let latest_ns = *self.latest.get(&chain).unwrap_or(&at_ns);
        let told = |what: String| format!("{what}: its clock was wrong, and other times may be too");
        let after = |what: &str| told(format!("a line of {} {what} {}", time_text(at_ns), time_text(latest_ns)));
        let wrong = if at_ns > window.until_ns.saturating_add(off_ns) {
            let days = CLOCK_OFF_S_MAX / 86_400;
            Some(told(format!("a line of {} is from more than {days} days after the window", time_text(at_ns))))
        } else if at_ns.saturating_add(CLOCK_BACK_S_MAX * NS_PER_S) < latest_ns {
            Some(after("follows one of"))
        } else if at_ns > latest_ns.saturating_add(off_ns) {
            Some(after("follows, with nothing between them, one of"))
        } else {
            None
        };
        self.clock = self.clock.take().or(wrong);
        self.latest.insert(chain, latest_ns.max(at_ns));
        if window.since_ns.saturating_sub(off_ns) <= at_ns && at_ns <= window.until_ns.saturating_add(off_ns) {
            let (first, last) = self.times.unwrap_or((at_ns, at_ns));
            self.times = Some((first.min(at_ns), last.max(at_ns)));
        }
    }
}

/// What keeps these gateways from covering the window.
pub fn look_at_coverage(gateways: &[Gateway], window: Window, holes: &mut Vec<String>) {
    let with_records: Vec<&Gateway> = gateways.iter().filter(|gateway| gateway.records > 0).collect();
    if with_records.is_empty() {
        holes.push("there are no records".to_owned());
    }
    for gateway in &with_records {
        let of = match &*gateway.name {
            _ if with_records.len() == 1 => String::new(),
            "" => " of a gateway that no line names".to_owned(),
            name => format!(" of {name}"),
        };
        if let Some(wrong) = &gateway.clock {
            holes.push(format!("the records{of}: {wrong}"));
        }
        look_at_times(gateway, &of, window, holes);
    }
}

fn look_at_times(gateway: &Gateway, of: &str, window: Window, holes: &mut Vec<String>) {
    let Some((first, last)) = gateway.times else {
        let days = CLOCK_OFF_S_MAX / 86_400;
        let what = format!("the records{of} have no time within {days} days of the window");
        holes.push(format!("{what}: its clock was wrong, or they are of another time"));
        return;
    };
    if window == Window::ALL {
        return;
    }
    let length = window.until_ns.saturating_sub(window.since_ns);
    let slack = (length / COVERAGE_SLACK_PARTS).max(COVERAGE_SLACK_S * NS_PER_S).min(length / 2);
    let asked = span_text(length);
    let mut hole = |verb: &str, at: u64| {
        let what = format!("the records{of} {verb} at {}", time_text(at));
        holes.push(format!("{what}: they do not cover the {asked} that are asked for"));
    };
    if first > window.since_ns.saturating_add(slack) {
        hole("begin", first);
    }
    if last < window.until_ns.saturating_sub(slack) {
        hole("end", last);
    }
}
