//! A review as metrics, for the textfile collector of node_exporter.

use std::fmt::Write as _;

use super::anomalies::{Anomaly, Kind, Severity, Unjudged};
use super::findings::{Finding, Topic};

/// All metrics of one review. `now_s` and lengths are in seconds.
#[derive(Default)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    pub fn new(now_s: u64, exchanges: u64, holes: usize) -> Self {
        let mut metrics = Self::default();
        metrics.one("adamant_review_timestamp_seconds", "When the review was made", now_s);
        metrics.one("adamant_review_exchanges", "Exchanges that were looked at", exchanges);
        metrics.one("adamant_review_holes", "What speaks against the records as evidence", holes as u64);
        metrics
    }

    fn head(&mut self, name: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    }

    fn one(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help);
        let _ = writeln!(self.text, "{name} {value}");
    }

    /// Findings by topic; topics without any are 0.
    pub fn findings(mut self, findings: &[Finding]) -> Self {
        let name = "adamant_review_findings";
        self.head(name, "What could be taken away, by topic");
        for topic in Topic::ALL {
            let count = findings.iter().filter(|finding| finding.topic == topic).count();
            let _ = writeln!(self.text, "{name}{{topic=\"{}\"}} {count}", topic.name());
        }
        self
    }

    /// Anomalies by kind and severity; those without any are 0.
    pub fn anomalies(mut self, anomalies: &[Anomaly], unjudged: &[Unjudged]) -> Self {
        let name = "adamant_review_anomalies";
        self.head(name, "What is unlike the baseline, by kind and severity");
        for kind in Kind::ALL {
            for severity in Severity::ALL {
                let count = anomalies.iter().filter(|found| (found.kind, found.severity) == (kind, severity)).count();
                let labels = format!("kind=\"{}\",severity=\"{}\"", kind.name(), severity.name());
                let _ = writeln!(self.text, "{name}{{{labels}}} {count}");
            }
        }
        let name = "adamant_review_not_judged";
        self.head(name, "1 where the baseline does not suffice to judge all, by kind");
        for kind in Kind::ALL {
            let is = unjudged.iter().any(|of| of.kinds.contains(&kind));
            let _ = writeln!(self.text, "{name}{{kind=\"{}\"}} {}", kind.name(), u8::from(is));
        }
        self
    }

    pub fn text(self) -> String {
        self.text
    }
}
