//! `gateway.toml` as it is written: every key and table, before any check beyond its type.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::value::{Address, Bytes, Cores, Milliseconds, NetworkText};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub gateway: Gateway,
    #[serde(default)]
    pub workers: Workers,
    #[serde(default)]
    pub listener: Vec<Spanned<Listener>>,
    pub admin: Option<Spanned<Admin>>,
    pub status: Option<Spanned<Status>>,
    #[serde(default)]
    pub records: Records,
    #[serde(default)]
    pub dpop: Dpop,
    #[serde(default)]
    pub assertions: Assertions,
    #[serde(default)]
    pub bounds: Bounds,
    #[serde(default)]
    pub timeouts: Timeouts,
    #[serde(default)]
    pub certificate_source: Vec<Spanned<CertificateSource>>,
    #[serde(default)]
    pub origin_identity: Vec<Spanned<OriginIdentity>>,
    #[serde(default)]
    pub origin_credential: Vec<Spanned<OriginCredential>>,
    #[serde(default)]
    pub introspection_client: Vec<Spanned<IntrospectionClient>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    pub policy: Spanned<String>,
    pub state: PathBuf,
    pub release: Option<Spanned<PathBuf>>,
    pub store: Option<Spanned<StorePlace>>,
    pub channel: Option<Spanned<String>>,
    pub trust_root: PathBuf,
    pub activation: Option<Spanned<String>>,
    pub state_identity: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub without_revocations_of: Vec<Spanned<String>>,
    #[serde(default)]
    pub core_dumps: bool,
}

/// `"DIR"`, `"https://…"`, or `{ url = "etcd+https://…", ca = "FILE", token = "FILE" }`.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a directory, a URL, or { url = \"etcd+https://…\", ca = \"FILE\", token = \"FILE\" }"
)]
pub enum StorePlace {
    Text(PathBuf),
    Server(StoreServer),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreServer {
    pub url: PathBuf,
    pub ca: Option<PathBuf>,
    pub token: Option<PathBuf>,
    pub namespace: Option<String>,
    pub chain: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    pub cores: Option<Spanned<Cores>>,
    pub ring_entries: Option<Spanned<u32>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Dpop {
    pub nonce: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Assertions {
    pub rotate: Option<Spanned<Milliseconds>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub address: Spanned<Address>,
    pub tls: Option<Spanned<Tls>>,
    pub plain: Option<Spanned<String>>,
    #[serde(default)]
    pub trusted_proxies: Vec<NetworkText>,
    pub client_address: Option<Spanned<ClientAddressField>>,
    pub proxy_protocol: Option<Spanned<bool>>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddressField {
    #[default]
    Forwarded,
    XForwardedFor,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub certificates: Spanned<Vec<Spanned<Certificate>>>,
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    #[serde(default)]
    pub min_version: MinimumVersion,
}

/// `{ chain, key }`, or `{ from, names, life }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    pub chain: Option<Spanned<PathBuf>>,
    pub key: Option<Spanned<PathBuf>>,
    pub from: Option<Spanned<String>>,
    pub names: Option<Spanned<Vec<Spanned<String>>>>,
    pub life: Option<Spanned<Milliseconds>>,
}

/// An issuer of certificates: `openbao` or `acme`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSource {
    pub name: String,
    pub openbao: Option<OpenBaoPki>,
    pub acme: Option<Spanned<Acme>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenBaoPki {
    pub address: Spanned<String>,
    pub ca: Option<PathBuf>,
    pub token: Spanned<PathBuf>,
    pub namespace: Option<Spanned<String>>,
    pub mount: Option<Spanned<String>>,
    pub role: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    pub directory: Spanned<String>,
    pub ca: Option<PathBuf>,
    #[serde(default)]
    pub contact: Vec<Spanned<String>>,
    pub agree_to_terms: Option<bool>,
    pub external_account: Option<ExternalAccount>,
    pub http_challenge: Option<Spanned<Address>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    pub key_id: String,
    pub key: Spanned<PathBuf>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    #[default]
    Off,
    Optional,
    Required,
}

#[derive(Deserialize, Default, Clone, Copy)]
pub enum MinimumVersion {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    pub address: Option<Spanned<Address>>,
    pub unix: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    pub address: Spanned<Address>,
    pub tls: Option<Spanned<Certificate>>,
    pub client_ca: Option<PathBuf>,
    #[serde(default)]
    pub last_use: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Records {
    pub to: Option<String>,
    pub ring_bytes: Option<Spanned<Bytes>>,
    pub denial_ring_bytes: Option<Spanned<Bytes>>,
    #[serde(default)]
    pub checkpoints: Vec<Spanned<CheckpointPlace>>,
    pub checkpoint_interval: Option<Spanned<Milliseconds>>,
    pub encrypt_to: Option<Spanned<Vec<Spanned<String>>>>,
}

/// `"DIR"`, `"http://127.0.0.1:…"`, or `{ url = "https://…", ca = "FILE" }`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a directory, a URL, or { url = \"https://…\", ca = \"FILE\" }")]
pub enum CheckpointPlace {
    Text(String),
    Pinned(Witness),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    pub url: String,
    pub ca: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginIdentity {
    pub name: String,
    pub chain: Option<Spanned<PathBuf>>,
    pub key: Option<Spanned<PathBuf>>,
    pub from: Option<Spanned<String>>,
    pub names: Option<Spanned<Vec<Spanned<String>>>>,
    pub life: Option<Spanned<Milliseconds>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionClient {
    pub name: String,
    pub id: Spanned<String>,
    pub secret: Option<Spanned<PathBuf>>,
    pub chain: Option<Spanned<PathBuf>>,
    pub key: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginCredential {
    pub name: String,
    pub file: Option<Spanned<PathBuf>>,
    pub openbao: Option<Spanned<KvSecret>>,
    pub oauth: Option<Spanned<OauthClient>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvSecret {
    pub address: Spanned<String>,
    pub ca: Option<PathBuf>,
    pub token: Spanned<PathBuf>,
    pub namespace: Option<Spanned<String>>,
    pub mount: Spanned<String>,
    pub path: Spanned<String>,
    pub field: Spanned<String>,
    pub refresh: Option<Spanned<Milliseconds>>,
    pub max_stale: Option<Spanned<Milliseconds>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthClient {
    pub token_url: Spanned<String>,
    pub ca: Option<PathBuf>,
    pub client_id: Spanned<String>,
    pub secret: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub secret_in: SecretIn,
    pub chain: Option<Spanned<PathBuf>>,
    pub key: Option<Spanned<PathBuf>>,
    pub scope: Option<Spanned<String>>,
    pub resource: Option<Spanned<String>>,
    pub audience: Option<Spanned<String>>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum SecretIn {
    #[default]
    Header,
    Form,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    pub head_bytes_max: Option<Spanned<Bytes>>,
    pub target_bytes_max: Option<Spanned<Bytes>>,
    pub fields_max: Option<Spanned<u32>>,
    pub request_content_bytes_max: Option<Bytes>,
    pub connections_max: Option<Spanned<u32>>,
    pub exchanges_in_flight_max: Option<Spanned<u32>>,
    pub requests_per_connection_max: Option<Spanned<u64>>,
    pub origin_idle_max: Option<u32>,
    pub origin_connections_max: Option<Spanned<u32>>,
    pub token_cache_entries_max: Option<Spanned<u32>>,
    pub identification_failures_per_s_max: Option<Spanned<u32>>,
    pub identification_failures_per_prefix_per_s_max: Option<Spanned<u32>>,
    pub dpop_proofs_max: Option<Spanned<u32>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    pub handshake: Option<Spanned<Milliseconds>>,
    pub head: Option<Spanned<Milliseconds>>,
    pub content_idle: Option<Spanned<Milliseconds>>,
    pub origin_connect: Option<Spanned<Milliseconds>>,
    pub origin_first_byte: Option<Spanned<Milliseconds>>,
    pub idle: Option<Spanned<Milliseconds>>,
    pub origin_idle: Option<Spanned<Milliseconds>>,
    pub exchange: Option<Milliseconds>,
    pub drain: Option<Milliseconds>,
}
