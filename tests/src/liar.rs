//! An ACME server that believes everybody and lies as it is told.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use serde_json::{Value, json};

use crate::certificates::Authority;
use crate::stream::Stream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    None,
    OtherKey,
    OtherName,
    MoreNames,
    Wildcard,
    ServersOnly,
    Ended,
    Ca,
    Long,
    OtherCa,
    /// More authorizations than a name can be worth.
    Authorizations,
    /// `newNonce` of its directory is no URL.
    NoNonces,
}

pub struct Liar {
    address: SocketAddr,
    pub tls: Authority,
    pub issuer: Arc<Authority>,
    lie: Arc<Mutex<Lie>>,
    orders: Arc<AtomicUsize>,
    takes: Arc<Mutex<Duration>>,
}

/// What one connection knows.
struct Served {
    base: String,
    name: &'static str,
    issuer: Arc<Authority>,
    lie: Lie,
    orders: Arc<AtomicUsize>,
    /// What the last order came to, and when.
    given: Arc<Mutex<Option<(String, Instant)>>>,
    /// How long it says that it is still at work on an order.
    takes: Duration,
}

impl Liar {
    /// Gives certificates for this name.
    pub fn start(name: &'static str) -> Self {
        let tls = Authority::new("of the server's own certificate");
        let config = tls.server(&["127.0.0.1"]).server_config();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (issuer, given) = (Arc::new(Authority::new("issuer")), Arc::new(Mutex::new(None)));
        let lie = Arc::new(Mutex::new(Lie::None));
        let (issues, lies, orders) = (Arc::clone(&issuer), Arc::clone(&lie), Arc::new(AtomicUsize::new(0)));
        let takes = Arc::new(Mutex::new(Duration::ZERO));
        let (counted, slow) = (Arc::clone(&orders), Arc::clone(&takes));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (config, issuer, given) = (Arc::clone(&config), Arc::clone(&issues), Arc::clone(&given));
                let (base, lie, orders) = (format!("https://{address}"), *lies.lock().unwrap(), Arc::clone(&counted));
                let takes = *slow.lock().unwrap();
                let served = Served { base, name, issuer, lie, orders, given, takes };
                thread::spawn(move || {
                    let mut stream = Stream::accept(socket.unwrap(), Some(&config)).ok()?;
                    let (path, content) = request(&mut stream)?;
                    answer(&mut stream, &served.answer(&path, &content))
                });
            }
        });
        Self { address, tls, issuer, lie, orders, takes }
    }

    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// Orders that were placed.
    pub fn orders(&self) -> usize {
        self.orders.load(Ordering::Relaxed)
    }

    pub fn lies(&self, lie: Lie) {
        *self.lie.lock().unwrap() = lie;
    }

    /// Each order takes so long from now on.
    pub fn takes(&self, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }
}

/// Path and content of a request that was read whole.
fn request(stream: &mut Stream) -> Option<(String, String)> {
    let mut text = String::new();
    let mut buffer = [0; 16_384];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..count]).ok()?);
        let Some((head, content)) = text.split_once("\r\n\r\n") else { continue };
        let path = head.split(' ').nth(1)?.to_owned();
        if !head.starts_with("POST") || serde_json::from_str::<Value>(content).is_ok() {
            return Some((path, content.to_owned()));
        }
    }
}

fn answer(stream: &mut Stream, (status, content): &(&str, String)) -> Option<()> {
    let length = content.len();
    write!(stream, "HTTP/1.1 {status}\r\nReplay-Nonce: bm9uY2U\r\nContent-Length: {length}\r\n\r\n{content}").ok()?;
    stream.flush().ok()
}

impl Served {
    fn answer(&self, path: &str, content: &str) -> (&'static str, String) {
        let url = |path: &str| format!("{}{path}", self.base);
        let order = |status: &str| {
            let identifiers = json!([{"type": "dns", "value": self.name}]);
            let wanted = if self.lie == Lie::Authorizations { vec![url("/authorization"); 5] } else { Vec::new() };
            json!({"status": status, "identifiers": identifiers, "authorizations": wanted, "finalize": url("/finalize"),
                "certificate": url("/certificate")})
        };
        match path {
            "/dir" => {
                let nonces = if self.lie == Lie::NoNonces { "x y".to_owned() } else { url("/nonce") };
                let all = json!({"newNonce": nonces, "newAccount": url("/account"), "newOrder": url("/new")});
                ("200 OK", all.to_string())
            }
            "/nonce" => ("200 OK", String::new()),
            "/account" => ("201 Created\r\nLocation: https://127.0.0.1/me", json!({"status": "valid"}).to_string()),
            "/new" => {
                self.orders.fetch_add(1, Ordering::Relaxed);
                *self.given.lock().unwrap() = None;
                // In the form of a field: where the order is.
                let head = Box::leak(format!("201 Created\r\nLocation: {}", url("/order")).into_boxed_str());
                (head, order("ready").to_string())
            }
            "/finalize" => {
                *self.given.lock().unwrap() = Some((self.certificate(content), Instant::now()));
                ("200 OK", order(self.status()).to_string())
            }
            "/certificate" => {
                ("200 OK", self.given.lock().unwrap().clone().map(|(chain, _)| chain).unwrap_or_default())
            }
            _ => ("200 OK", order(self.status()).to_string()),
        }
    }

    fn status(&self) -> &'static str {
        match &*self.given.lock().unwrap() {
            None => "ready",
            Some((_, since)) if since.elapsed() < self.takes => "processing",
            Some(_) => "valid",
        }
    }

    fn certificate(&self, content: &str) -> String {
        let signed: Value = serde_json::from_str(content).unwrap();
        let plain = |value: &Value| BASE64_URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap();
        let payload: Value = serde_json::from_slice(&plain(&signed["payload"])).unwrap();
        let csr = BASE64_STANDARD.encode(plain(&payload["csr"]));
        let csr = format!("-----BEGIN CERTIFICATE REQUEST-----\n{csr}\n-----END CERTIFICATE REQUEST-----\n");
        let own = CertificateParams::new(vec![self.name.to_owned()]).unwrap();
        let own = own.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let other = Authority::new("another");
        let by = if self.lie == Lie::OtherCa { &other } else { &self.issuer };
        let certificate = by.sign(if self.lie == Lie::OtherKey { &own } else { &csr }, |request| {
            let (params, lie) = (&mut request.params, self.lie);
            let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(crate::tokens::now_s());
            (params.not_before, params.not_after) = (now - Duration::from_secs(60), now + Duration::from_secs(3_600));
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
            match lie {
                Lie::OtherName => params.subject_alt_names = vec![dns("other.corp.example")],
                Lie::MoreNames => params.subject_alt_names.push(dns("more.corp.example")),
                Lie::Wildcard => params.subject_alt_names = vec![dns("*.corp.example")],
                Lie::ServersOnly => params.extended_key_usages.truncate(1),
                Lie::Ended => params.not_after = now - Duration::from_secs(5),
                Lie::Ca => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
                Lie::Long => params.not_after = now + Duration::from_secs(90 * 86_400),
                Lie::None | Lie::OtherKey | Lie::OtherCa | Lie::Authorizations | Lie::NoNonces => {}
            }
        });
        certificate + &self.issuer.pem
    }
}
