//! `/metrics`: everything the workers and control threads count, in the OpenMetrics text format. Every name begins with
//! `adamant_`; the process's own with `process_`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use activation::stats::{Count, LATENCY_BOUNDS_US, LATENCY_BUCKETS, WorkerStats};
use policy::reason::Reason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::process;
use crate::clock;
use crate::expiry::Ends;
use crate::status::Status;

mod assertions;
mod introspection;
mod last_use;
mod obtained;
mod trust;

type Labels = Vec<(&'static str, String)>;
/// Name, help, how to read it from a worker.
type OfWorker = (&'static str, &'static str, fn(&WorkerStats) -> &Count);

const COUNTERS: &[OfWorker] = &[
    ("connections_accepted", "Client connections accepted", |of| &of.connections_accepted),
    ("connections_refused", "Client connections refused at a bound", |of| &of.connections_refused),
    ("handshakes", "TLS handshakes completed", |of| &of.handshakes),
    ("handshakes_failed", "TLS handshakes failed", |of| &of.handshakes_failed),
    ("handshakes_resumed", "TLS handshakes that resumed a session", |of| &of.handshakes_resumed),
    ("exchanges", "Exchanges ended", |of| &of.exchanges),
    ("permitted", "Exchanges permitted", |of| &of.permitted),
    ("bytes_from_clients", "Content bytes from clients", |of| &of.bytes_from_clients),
    ("bytes_to_clients", "Content bytes to clients", |of| &of.bytes_to_clients),
    ("origin_connects", "Connections made to origins", |of| &of.origin_connects),
    ("origin_connects_failed", "Connections to origins that failed", |of| &of.origin_connects_failed),
    ("origin_reuses", "Exchanges on a kept origin connection", |of| &of.origin_reuses),
    ("origin_retries", "Exchanges sent to an origin a second time", |of| &of.origin_retries),
    ("token_cache_hits", "Tokens found in the cache", |of| &of.token_cache_hits),
    ("token_cache_misses", "Tokens verified anew", |of| &of.token_cache_misses),
    ("records_lost", "Records that found no room (audit mode best-effort)", |of| &of.records_lost),
    ("denials_aggregated", "Denials recorded only by their number", |of| &of.denials_aggregated),
    ("deadlines_expired", "Time limits that ran out", |of| &of.deadlines_expired),
];

const GAUGES: &[OfWorker] = &[
    ("connections_open", "Client connections open", |of| &of.connections_open),
    ("exchanges_in_flight", "Exchanges in flight", |of| &of.exchanges_in_flight),
];

/// The whole exposition at `now_unix_ns`.
pub fn exposition(status: &Arc<Status>, now_unix_ns: u64) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Everything { status: Arc::clone(status), now_unix_ns }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

struct Everything {
    status: Arc<Status>,
    now_unix_ns: u64,
}

impl fmt::Debug for Everything {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Everything")
    }
}

impl Collector for Everything {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families { encoder };
        self.put_workers(&mut families)?;
        self.put_sums(&mut families)?;
        self.put_records(&mut families)?;
        self.put_activation(&mut families)?;
        trust::put(&self.status, &mut families)?;
        assertions::put(&self.status, &mut families)?;
        if let Some(inquiries) = self.status.inquiries.get() {
            introspection::put(inquiries, &mut families)?;
        }
        if let Some(uses) = self.status.uses.get() {
            last_use::put(uses, self.now_unix_ns / clock::NS_PER_S, &mut families)?;
        }
        self.put_keysets(&mut families)?;
        self.put_certificates_and_origins(&mut families)?;
        obtained::put(&self.status, &mut families)?;
        put_process(&mut families, self.status.facts.started_unix_s)
    }
}

impl Everything {
    /// Families with one row a worker.
    fn put_workers(&self, families: &mut Families<'_>) -> fmt::Result {
        let workers = || self.status.workers.iter().enumerate();
        for (name, help, read) in COUNTERS {
            families.counters(name, help, workers().map(|(index, stats)| (worker(index), read(stats).get())))?;
        }
        for (name, help, read) in GAUGES {
            families.gauges(name, help, workers().map(|(index, stats)| (worker(index), read(stats).get() as f64)))?;
        }
        let age = |stats: &WorkerStats| match stats.turn_unix_ns.get() {
            0 => 0.0,
            turned => seconds(self.now_unix_ns.saturating_sub(turned)),
        };
        let rows = workers().map(|(index, stats)| (worker(index), age(stats)));
        families.gauges("worker_turn_age_seconds", "Time since the worker's last loop turn", rows)
    }

    /// Families summed over the workers.
    fn put_sums(&self, families: &mut Families<'_>) -> fmt::Result {
        let workers = &self.status.workers;
        let sum = |read: &dyn Fn(&WorkerStats) -> u64| workers.iter().map(|stats| read(stats)).sum::<u64>();
        let class = |at: usize| sum(&|stats| stats.responses_by_class.get(at).map_or(0, Count::get));
        let classes = [(1, "1xx"), (2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx")];
        let rows = classes.into_iter().map(|(at, name)| (vec![("class", name.to_owned())], class(at)));
        families.counters("responses", "Responses by status class", rows)?;
        let count = |reason: Reason| sum(&|stats| stats.reasons.get(reason as usize).map_or(0, Count::get));
        let rows = Reason::ALL.iter().map(|reason| (vec![("reason", reason.name().to_owned())], count(*reason)));
        families.counters("reasons", "Exchanges refused or failed, by reason", rows)?;
        let bucket = |at: usize| sum(&|stats| stats.latency.get(at).map_or(0, Count::get));
        let bound = |at: usize| LATENCY_BOUNDS_US.get(at).map_or(f64::INFINITY, |us| *us as f64 / 1e6);
        let buckets: Vec<_> = (0..LATENCY_BUCKETS).map(|at| (bound(at), bucket(at))).collect();
        let total_s = sum(&|stats| stats.latency_sum_us.get()) as f64 / 1e6;
        families.histogram("exchange_duration_seconds", "From the whole head to the end", total_s, &buckets)
    }

    fn put_records(&self, families: &mut Families<'_>) -> fmt::Result {
        let records = &self.status.records;
        families.counter("record_lines_written", "Lines the audit writer wrote", records.lines.load(Relaxed))?;
        families.counter("record_bytes_written", "Bytes the audit writer wrote", records.bytes.load(Relaxed))?;
        families.counter("record_write_errors", "Writes of records that failed", records.write_errors.load(Relaxed))?;
        families.counter("records_undecodable", "Records that were none", records.undecodable.load(Relaxed))?;
        let failing = u8::from(records.failing.load(Relaxed));
        families.gauge("records_failing", "1 while records cannot be written", f64::from(failing))?;
        self.put_checkpoints(families)
    }

    fn put_checkpoints(&self, families: &mut Families<'_>) -> fmt::Result {
        let records = &self.status.records;
        if let Some(last) = records.checkpoint() {
            families.gauge("checkpoint_lines", "Lines of this run under the last checkpoint", last.size as f64)?;
            families.gauge("checkpoint_timestamp_seconds", "When it was signed", last.made_unix_s as f64)?;
        }
        let places = || records.places.iter().map(|place| (vec![("place", place.name.clone())], place));
        let success = places().map(|(labels, place)| (labels, place.success_unix_s.load(Relaxed) as f64));
        let help = "When a checkpoint last reached the place outside; 0: never";
        families.gauges("checkpoint_place_success_timestamp_seconds", help, success)?;
        let failures = places().map(|(labels, place)| (labels, place.failures.load(Relaxed)));
        families.counters("checkpoint_place_failures", "Checkpoints that did not reach the place at once", failures)?;
        let failing = places().map(|(labels, place)| (labels, f64::from(u8::from(place.failure().is_some()))));
        families.gauges("checkpoint_place_failing", "1 while checkpoints do not reach the place", failing)
    }

    fn put_activation(&self, families: &mut Families<'_>) -> fmt::Result {
        let activation = self.status.activation.load();
        let release = &activation.release;
        let build = vec![("version", self.status.facts.version.to_owned())];
        families.gauges("build_info", "The running binary", [(build, 1.0)])?;
        let labels = vec![
            ("release", release.digest.clone()),
            ("policy", release.policy_name.clone()),
            ("config", self.status.facts.config_digest.clone()),
        ];
        families.gauges("release_info", "The release that serves", [(labels, 1.0)])?;
        families.gauge("release_version", "Its version", release.version as f64)?;
        if let Some(expires_s) = release.expires_s {
            families.gauge("release_expiry_timestamp_seconds", "When it expires", expires_s as f64)?;
        }
        families.gauge("activation", "Number of the present activation", activation.id as f64)?;
        // Before the lock that it takes as well.
        let ready = u8::from(self.status.unready(self.now_unix_ns).is_empty());
        let moving = self.status.moving();
        families.gauge("activations_alive", "Tables that some exchange still uses", moving.activations_alive as f64)?;
        families.counter("activations_refused", "Activations refused", moving.activations_refused)?;
        let memory = &moving.memory;
        families.gauge(
            "table_mapping_sealed",
            "1 where the mapping is sealed (mseal)",
            f64::from(u8::from(memory.mseal)),
        )?;
        families.gauge("table_copies", "Copies of the table, one a NUMA node", memory.copies as f64)?;
        families.counter("table_looks", "Copies of the table in memory found to be right", memory.looks)?;
        families.counter("table_mismatches", "Copies of the table in memory found changed", memory.mismatches)?;
        families.counter("table_repairs", "Changed copies that were put right", memory.repairs)?;
        families.gauge("ready", "1 while /readyz says yes", f64::from(ready))
    }

    fn put_keysets(&self, families: &mut Families<'_>) -> fmt::Result {
        let moving = self.status.moving();
        let issuers = || moving.keysets.iter().map(|(name, keyset)| (vec![("issuer", name.clone())], keyset));
        let now_s = self.now_unix_ns / clock::NS_PER_S;
        let age = issuers().filter(|(_, keyset)| keyset.loaded_unix_s > 0);
        let age = age.map(|(labels, keyset)| (labels, now_s.saturating_sub(keyset.loaded_unix_s) as f64));
        families.gauges("keyset_age_seconds", "Time since the keyset was last confirmed", age)?;
        let stale = issuers().filter_map(|(labels, keyset)| Some((labels, keyset.stale_unix_s? as f64)));
        families.gauges("keyset_stale_timestamp_seconds", "When the keyset is too old to be used", stale)?;
        let keys = issuers().map(|(labels, keyset)| (labels, keyset.keys as f64));
        families.gauges("keyset_keys", "Keys in the keyset", keys)?;
        let success = issuers().filter(|(_, keyset)| keyset.loaded_unix_s > 0);
        let success = success.map(|(labels, keyset)| (labels, keyset.loaded_unix_s as f64));
        families.gauges("keyset_success_timestamp_seconds", "When the keyset was last confirmed", success)?;
        let next = issuers().filter_map(|(labels, keyset)| Some((labels, keyset.next_unix_s? as f64)));
        families.gauges("keyset_next_refresh_timestamp_seconds", "When the keyset is fetched again", next)?;
        let refreshes = issuers().map(|(labels, keyset)| (labels, keyset.refreshes));
        families.counters("keyset_refreshes", "Times that the keyset was read or fetched with success", refreshes)?;
        let failures = issuers().map(|(labels, keyset)| (labels, keyset.failures));
        families.counters("keyset_failures", "Keysets refused or not fetched", failures)
    }

    fn put_certificates_and_origins(&self, families: &mut Families<'_>) -> fmt::Result {
        let moving = self.status.moving();
        let chains = || moving.certificates.iter().map(|(path, of)| (vec![("chain", path.clone())], of));
        let expiry = chains().map(|(labels, of)| (labels, of.not_after_unix_s as f64));
        families.gauges("certificate_expiry_timestamp_seconds", "notAfter of the listener's certificate", expiry)?;
        let failures = chains().map(|(labels, of)| (labels, of.failures));
        families.counters("certificate_failures", "Certificates or keys refused at a reload", failures)?;
        let cas = || moving.crls.iter().map(|(name, of)| (vec![("client_ca", name.clone())], of));
        let next = cas().filter_map(|(labels, of)| {
            Some((labels, of.lists.iter().map(|list| list.next_update_unix_s).min()? as f64))
        });
        families.gauges("crl_next_update_timestamp_seconds", "Earliest nextUpdate of the revocation lists", next)?;
        let revoked = cas().map(|(labels, of)| (labels, of.revoked() as f64));
        families.gauges("crl_revoked_certificates", "Certificates that the revocation lists name", revoked)?;
        let failures = cas().map(|(labels, of)| (labels, of.failures));
        families.counters("crl_failures", "Revocation lists refused", failures)?;
        let labels = |ends: &Ends| vec![("of", ends.of.to_owned()), ("name", ends.name.clone())];
        let ends = moving.ends.iter().map(|ends| (labels(ends), ends.ends_s as f64));
        families.gauges("expiry_timestamp_seconds", "When it ends", ends)?;
        let material = || {
            let all = moving.origin_material.iter();
            all.map(|((of, name), shown)| (vec![("of", (*of).to_owned()), ("name", name.clone())], shown))
        };
        let loaded = material().map(|(labels, of)| (labels, of.loaded_unix_s as f64));
        let help = "When a certificate or secret towards origins was last read and good; 0: never";
        families.gauges("origin_material_success_timestamp_seconds", help, loaded)?;
        let failures = material().map(|(labels, of)| (labels, of.failures));
        families.counters("origin_material_failures", "Certificates or secrets towards origins refused", failures)?;
        let help = "Times that a secret towards origins was fetched with success";
        let fetched = || material().filter(|(_, of)| of.refreshes > 0 || of.ends_unix_s.is_some());
        families.counters("origin_material_refreshes", help, fetched().map(|(labels, of)| (labels, of.refreshes)))?;
        let ends = fetched().filter_map(|(labels, of)| Some((labels, of.ends_unix_s? as f64)));
        let help = "When the secret that was fetched ends, or since when there has been none";
        families.gauges("origin_material_expiry_timestamp_seconds", help, ends)?;
        let next = fetched().filter_map(|(labels, of)| Some((labels, of.next_unix_s? as f64)));
        families.gauges("origin_material_next_refresh_timestamp_seconds", "When the secret is fetched again", next)?;
        let origins = || moving.origins.iter().map(|(name, of)| (vec![("origin", name.clone())], of));
        let addresses = origins().map(|(labels, of)| (labels, of.addresses as f64));
        families.gauges("origin_addresses", "Addresses known of the origin", addresses)?;
        let failures = origins().map(|(labels, of)| (labels, of.failures));
        families.counters("origin_resolve_failures", "Look-ups of the origin's names that failed", failures)?;
        let turned_away =
            moving.status_turned_away.iter().map(|(why, count)| (vec![("why", (*why).to_owned())], *count));
        let help = "Connections that the status listener turned away";
        families.counters("status_connections_turned_away", help, turned_away)
    }
}

fn put_process(families: &mut Families<'_>, started_unix_s: u64) -> fmt::Result {
    let process = process::usage();
    families.plain("process_open_fds", "Open descriptors", MetricType::Gauge, process.descriptors as f64)?;
    families.plain(
        "process_resident_memory_bytes",
        "Memory in use",
        MetricType::Gauge,
        process.resident_bytes as f64,
    )?;
    families.plain("process_cpu_seconds", "Processor time used", MetricType::Counter, process.cpu_s)?;
    families.plain("process_start_time_seconds", "When it started", MetricType::Gauge, started_unix_s as f64)
}

fn worker(index: usize) -> Labels {
    vec![("worker", index.to_string())]
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Writes families one after the other.
struct Families<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl Families<'_> {
    fn counters(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, u64)>) -> fmt::Result {
        let name = format!("adamant_{name}");
        let mut family = self.encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, f64)>) -> fmt::Result {
        let name = format!("adamant_{name}");
        let mut family = self.encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.plain(&format!("adamant_{name}"), help, MetricType::Counter, value as f64)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.plain(&format!("adamant_{name}"), help, MetricType::Gauge, value)
    }

    fn plain(&mut self, name: &str, help: &str, kind: MetricType, value: f64) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, kind)?;
        match kind {
            MetricType::Counter => metric.encode_counter::<NoLabelSet, _, f64>(&value, None),
            _ => metric.encode_gauge(&value),
        }
    }

    /// `buckets`: upper bound and count of each bucket alone.
    fn histogram(&mut self, name: &str, help: &str, sum: f64, buckets: &[(f64, u64)]) -> fmt::Result {
        let name = format!("adamant_{name}");
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut metric = self.encoder.encode_descriptor(&name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }
}
