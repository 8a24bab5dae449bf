//! From the file as it is written to a configuration that holds.

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

use activation::bounds::{DENIAL_RING_BYTES, RECORD_BYTES_MAX, RECORD_RING_BYTES};
use control::admin;
use control::assemble::ListenerFiles;
use control::records;
use proxy::settings::{BLOCK_BYTES, Bounds, ClientAddress, Listener, Settings, Timeouts};
use toml::Spanned;

use super::certificates::Issuers;
use super::value::{Bytes, Milliseconds};
use super::{Config, ConfigError, file};

/// The token cache is laid out in sets of so many.
const TOKEN_CACHE_ENTRIES_MIN: u64 = 8;
/// Entries of a worker's ring unless configured.
const RING_ENTRIES: u32 = 4_096;
/// What the kernel takes (IORING_MAX_ENTRIES).
const RING_ENTRIES_MAX: u32 = 32_768;
/// Fields that the parser has room for.
const FIELDS_MAX: u32 = 128;

/// The longest of the timeouts.
const TIMEOUT_MS_MAX: u32 = 86_400_000;

/// The file's text, to show mistakes in it.
pub struct Source<'t> {
    path: &'t Path,
    text: &'t str,
}

pub type Checked<T> = Result<T, ConfigError>;

pub fn read(path: &Path, text: &str, digest: String) -> Checked<Config> {
    let source = Source { path, text };
    let file: file::File = toml::from_str(text).map_err(|error| ConfigError::from_toml(path, text, &error))?;
    source.refuse_empty_name(&file.gateway)?;
    if file.listener.is_empty() {
        let (message, hint) = ("expected at least one [[listener]], found none", "add one with an address");
        return source.refuse(&(0..0), message.to_owned(), hint);
    }
    source.refuse_meeting_addresses(&file)?;
    let state = source.resolve(&file.gateway.state);
    let mut issuers = source.issuers(&file.certificate_source, state.clone())?;
    let mut tls = Vec::new();
    let mut listeners = Vec::new();
    for listener in &file.listener {
        let (checked, files) = source.listener(listener, &mut issuers)?;
        listeners.push(checked);
        tls.push(files);
    }
    let settings = Settings {
        bounds: source.bounds(&file.bounds)?,
        timeouts: source.timeouts(&file.timeouts)?,
        listeners,
        ring_entries: source.ring_entries(file.workers.ring_entries.as_ref())?,
        dpop_nonce: file.dpop.nonce,
    };
    let (record_ring_bytes, denial_ring_bytes) = source.rings(&file.records)?;
    let (checkpoints, checkpoint_interval) = super::checkpoints::read(&source, &file.records)?;
    let origin_identities = source.origin_identities(&file.origin_identity, &tls, &mut issuers)?;
    let status = file.status.as_ref().map(|status| source.status(status, &mut issuers)).transpose()?;
    let identity = file.gateway.state_identity.as_ref();
    Ok(Config {
        digest,
        policy: file.gateway.policy.get_ref().clone(),
        state,
        state_identity: identity.map(|path| source.word_file("state_identity", path)).transpose()?,
        core_dumps: file.gateway.core_dumps,
        releases: source.releases(&file.gateway)?,
        without_revocations_of: source.without_revocations_of(&file.gateway)?,
        activation: source.activation(&file.gateway)?,
        trust_root: source.resolve(&file.gateway.trust_root),
        cores: source.cores(file.workers.cores.as_ref())?,
        settings,
        tls,
        obtained: issuers.wanted,
        origin_identities,
        origin_credentials: source.origin_credentials(&file.origin_credential)?,
        introspection_clients: source.introspection_clients(&file.introspection_client)?,
        assertion_rotation_s: source.assertion_rotation_s(&file.assertions)?,
        admin: file.admin.as_ref().map(|admin| source.admin(admin)).transpose()?,
        status,
        records: match file.records.to.as_deref() {
            None | Some("stdout") => records::Target::Stdout,
            Some(to) => records::Target::File(source.resolve(Path::new(to))),
        },
        record_recipients: source.record_recipients(&file.records)?,
        record_ring_bytes,
        denial_ring_bytes,
        checkpoints,
        checkpoint_interval,
        path: path.to_owned(),
    })
}

impl Source<'_> {
    pub fn refuse<T>(&self, span: &Range<usize>, message: String, hint: &str) -> Checked<T> {
        Err(ConfigError::at(self.path, self.text, span, message, hint.to_owned()))
    }

    /// As [`Self::refuse`] at what is written at `hidden`, which is not shown.
    pub(super) fn refuse_hidden<T>(&self, hidden: Range<usize>, message: String, hint: String) -> Checked<T> {
        Err(ConfigError::hiding(self.path, self.text, hidden, message, hint))
    }

    /// Where `written` stands in `span`; the whole of it where it is written in another way.
    pub(super) fn within_span(&self, written: &Path, span: &Range<usize>) -> Range<usize> {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let quoted = ["\"", "'"].map(|quote| format!("{quote}{}{quote}", written.display()));
        let found = quoted
            .iter()
            .find_map(|quoted| text.find(quoted).map(|at| span.start + at..span.start + at + quoted.len()));
        found.unwrap_or_else(|| span.clone())
    }

    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn refuse_empty_name(&self, gateway: &file::Gateway) -> Checked<()> {
        if gateway.policy.get_ref().is_empty() {
            let hint = "write the name that stands in the policy's [policy] table";
            return self.refuse(
                &gateway.policy.span(),
                "expected the policy's name, found an empty one".to_owned(),
                hint,
            );
        }
        Ok(())
    }

    fn cores(&self, cores: Option<&Spanned<super::value::Cores>>) -> Checked<Vec<usize>> {
        let allowed = sys::affinity::allowed_cores().unwrap_or_default();
        let Some(cores) = cores else { return Ok(allowed) };
        if cores.get_ref().0.is_empty() {
            return self.refuse(
                &cores.span(),
                "expected at least one core, found none".to_owned(),
                "write cores = [0]",
            );
        }
        match cores.get_ref().0.iter().find(|core| !allowed.contains(core)) {
            Some(missing) => {
                let message = format!("core {missing} is not one that this process may use");
                let hint = format!("it may use {allowed:?}: see `taskset -cp $$`, or AllowedCPUs= of the service");
                self.refuse(&cores.span(), message, &hint)
            }
            None => Ok(cores.get_ref().0.clone()),
        }
    }

    fn ring_entries(&self, entries: Option<&Spanned<u32>>) -> Checked<u32> {
        let Some(entries) = entries else { return Ok(RING_ENTRIES) };
        let count = *entries.get_ref();
        if count.is_power_of_two() && (64..=RING_ENTRIES_MAX).contains(&count) {
            return Ok(count);
        }
        let message = format!("expected a power of two from 64 to {RING_ENTRIES_MAX}, found {count}");
        self.refuse(&entries.span(), message, "leave it out unless the machine has been measured")
    }

    fn listener(
        &self,
        listener: &Spanned<file::Listener>,
        issuers: &mut Issuers,
    ) -> Checked<(Listener, Option<ListenerFiles>)> {
        let written = listener.get_ref();
        let address = written.address.get_ref().0;
        self.check_plain(written)?;
        let proxy_protocol = written.proxy_protocol.as_ref().is_some_and(|on| *on.get_ref());
        if proxy_protocol && written.trusted_proxies.is_empty() {
            let span = written.proxy_protocol.as_ref().map_or(listener.span(), Spanned::span);
            let message = "proxy_protocol needs trusted_proxies: without them every connection would be refused";
            return self.refuse(&span, message.to_owned(), "name the networks that the load balancers are in");
        }
        if let Some(field) = written.client_address.as_ref().filter(|_| written.trusted_proxies.is_empty()) {
            let message = "client_address needs trusted_proxies: without them nobody is believed, whatever the field";
            return self.refuse(&field.span(), message.to_owned(), "name the networks that the proxies are in");
        }
        let files = written.tls.as_ref().map(|tls| self.tls(tls.get_ref(), issuers)).transpose()?;
        let trusted_proxies = written.trusted_proxies.iter().map(|network| network.0).collect();
        let client_address = match written.client_address.as_ref().map(Spanned::get_ref) {
            None | Some(file::ClientAddressField::Forwarded) => ClientAddress::Forwarded,
            Some(file::ClientAddressField::XForwardedFor) => ClientAddress::XForwardedFor,
        };
        Ok((Listener { address, tls: files.is_some(), trusted_proxies, client_address, proxy_protocol }, files))
    }

    fn check_plain(&self, written: &file::Listener) -> Checked<()> {
        let loopback = written.address.get_ref().0.ip().is_loopback();
        match (&written.tls, &written.plain) {
            (Some(_), Some(plain)) => {
                let message = "a listener has either tls or plain, found both".to_owned();
                self.refuse(&plain.span(), message, "remove plain")
            }
            (_, Some(plain)) if plain.get_ref() != "insecure" => {
                let message = format!("expected plain = \"insecure\", found \"{}\"", plain.get_ref());
                self.refuse(
                    &plain.span(),
                    message,
                    "the one value says what it is: credentials cross the network readable",
                )
            }
            (None, None) if !loopback => {
                let message = format!("a plain listener stands on loopback, found {}", written.address.get_ref().0);
                let hint = "add tls = { certificates = [{ chain = \"…\", key = \"…\" }] }, or plain = \"insecure\" if every \
                            network in between is yours";
                self.refuse(&written.address.span(), message, hint)
            }
            _ => Ok(()),
        }
    }

    fn admin(&self, admin: &Spanned<file::Admin>) -> Checked<admin::Place> {
        match (&admin.get_ref().address, &admin.get_ref().unix) {
            (Some(address), None) if address.get_ref().0.ip().is_loopback() => {
                Ok(admin::Place::Tcp(address.get_ref().0))
            }
            (Some(address), None) => {
                let message = format!("the admin listener stands on loopback, found {}", address.get_ref().0);
                self.refuse(&address.span(), message, "use 127.0.0.1, [::1], or unix = \"/run/adamant/admin\"")
            }
            (None, Some(path)) => Ok(admin::Place::Unix(self.resolve(path))),
            _ => {
                let message = "expected either address or unix under [admin]".to_owned();
                self.refuse(&admin.span(), message, "write address = \"127.0.0.1:9901\", or remove [admin]")
            }
        }
    }

    fn rings(&self, records: &file::Records) -> Checked<(usize, usize)> {
        let ring = |bytes: Option<&Spanned<Bytes>>, otherwise| {
            self.within(bytes, |bytes| bytes.0, 2 * RECORD_BYTES_MAX as u64, 1 << 30, otherwise as u64, Bytes)
        };
        let permits = ring(records.ring_bytes.as_ref(), RECORD_RING_BYTES)?;
        let denials = ring(records.denial_ring_bytes.as_ref(), DENIAL_RING_BYTES)?;
        Ok((permits as usize, denials as usize))
    }

    /// A number inside its limits, or what holds without one; `shown` writes numbers as the file does.
    pub(super) fn within<T, D: Display>(
        &self,
        value: Option<&Spanned<T>>,
        number: impl Fn(&T) -> u64,
        least: u64,
        most: u64,
        otherwise: u64,
        shown: impl Fn(u64) -> D,
    ) -> Checked<u64> {
        let Some(value) = value else { return Ok(otherwise) };
        let found = number(value.get_ref());
        if (least..=most).contains(&found) {
            return Ok(found);
        }
        let message = match most {
            u64::MAX => format!("expected {} or more, found {}", shown(least), shown(found)),
            _ => format!("expected {} to {}, found {}", shown(least), shown(most), shown(found)),
        };
        self.refuse(&value.span(), message, &format!("it is {} without this line", shown(otherwise)))
    }

    /// As [`Source::within`]: milliseconds, 100 at least.
    pub fn duration(
        &self,
        value: Option<&Spanned<Milliseconds>>,
        most: Milliseconds,
        otherwise: Milliseconds,
    ) -> Checked<u32> {
        let shown = |ms: u64| Milliseconds(u32::try_from(ms).unwrap_or(u32::MAX));
        let [most, otherwise] = [most, otherwise].map(|limit| u64::from(limit.0));
        let found = self.within(value, |limit| u64::from(limit.0), 100, most, otherwise, shown)?;
        Ok(shown(found).0)
    }

    fn bounds(&self, written: &file::Bounds) -> Checked<Bounds> {
        let base = Bounds::default();
        let plain = |number: u64| number;
        let count = |value: Option<&Spanned<u32>>, most: u32, otherwise: usize| {
            self.within(value, |count| u64::from(*count), 1, u64::from(most), otherwise as u64, plain)
                .map(|count| count as usize)
        };
        let size = |value: Option<&Spanned<Bytes>>, otherwise: usize| {
            self.within(value, |bytes| bytes.0, 256, BLOCK_BYTES as u64, otherwise as u64, Bytes)
                .map(|bytes| bytes as usize)
        };
        let rate = |value: Option<&Spanned<u32>>, otherwise: u32| {
            let found = self.within(value, |count| u64::from(*count), 1, 1_000_000, u64::from(otherwise), plain)?;
            Ok(u32::try_from(found).unwrap_or(otherwise))
        };
        let requests = written.requests_per_connection_max.as_ref();
        Ok(Bounds {
            head_bytes_max: size(written.head_bytes_max.as_ref(), base.head_bytes_max)?,
            target_bytes_max: size(written.target_bytes_max.as_ref(), base.target_bytes_max)?,
            fields_max: count(written.fields_max.as_ref(), FIELDS_MAX, base.fields_max)?,
            request_content_bytes_max: written
                .request_content_bytes_max
                .map_or(base.request_content_bytes_max, |max| max.0),
            connections_max: count(written.connections_max.as_ref(), 1 << 24, base.connections_max)?,
            exchanges_in_flight_max: count(
                written.exchanges_in_flight_max.as_ref(),
                1 << 24,
                base.exchanges_in_flight_max,
            )?,
            requests_per_connection_max: self.within(
                requests,
                |max| *max,
                1,
                u64::MAX,
                base.requests_per_connection_max,
                plain,
            )?,
            origin_idle_max: written.origin_idle_max.map_or(base.origin_idle_max, |max| max as usize),
            origin_connections_max: count(
                written.origin_connections_max.as_ref(),
                1 << 20,
                base.origin_connections_max,
            )?,
            token_cache_entries_max: self.within(
                written.token_cache_entries_max.as_ref(),
                |max| u64::from(*max),
                TOKEN_CACHE_ENTRIES_MIN,
                1 << 24,
                base.token_cache_entries_max as u64,
                plain,
            )? as usize,
            identification_failures_per_s_max: rate(
                written.identification_failures_per_s_max.as_ref(),
                base.identification_failures_per_s_max,
            )?,
            identification_failures_per_prefix_per_s_max: rate(
                written.identification_failures_per_prefix_per_s_max.as_ref(),
                base.identification_failures_per_prefix_per_s_max,
            )?,
            dpop_proofs_max: count(written.dpop_proofs_max.as_ref(), 1 << 24, base.dpop_proofs_max)?,
        })
    }

    fn timeouts(&self, written: &file::Timeouts) -> Checked<Timeouts> {
        let base = Timeouts::default();
        let limit = |value: Option<&Spanned<Milliseconds>>, otherwise: u32| {
            self.duration(value, Milliseconds(TIMEOUT_MS_MAX), Milliseconds(otherwise))
        };
        Ok(Timeouts {
            handshake_ms: limit(written.handshake.as_ref(), base.handshake_ms)?,
            head_ms: limit(written.head.as_ref(), base.head_ms)?,
            content_idle_ms: limit(written.content_idle.as_ref(), base.content_idle_ms)?,
            origin_connect_ms: limit(written.origin_connect.as_ref(), base.origin_connect_ms)?,
            origin_first_byte_ms: limit(written.origin_first_byte.as_ref(), base.origin_first_byte_ms)?,
            idle_ms: limit(written.idle.as_ref(), base.idle_ms)?,
            origin_idle_ms: limit(written.origin_idle.as_ref(), base.origin_idle_ms)?,
            exchange_ms: written.exchange.map_or(base.exchange_ms, |limit| limit.0),
            drain_ms: written.drain.map_or(base.drain_ms, |limit| limit.0),
        })
    }
}
