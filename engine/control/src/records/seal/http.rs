//! The little HTTP/1.1 that checkpoints need: one request a connection, blocking, bounded, to a witness that is pinned by
//! a CA of one's own, or on loopback.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::bounds::{WITNESS_BYTES_MAX, WITNESS_EXCHANGE_MS_MAX, WITNESS_MS_MAX};

#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    #[error("expected https://HOST[:PORT][/PATH], or http:// with an address on loopback, found {0:?}")]
    Form(String),
    #[error("plain http is for loopback alone, found {0:?}: use https and a CA file")]
    NotLoopback(String),
    #[error("{0} needs a CA file: nobody else's word counts for who it is")]
    NoCa(String),
    #[error("the CA file: expected certificates in PEM, found {0}")]
    Ca(String),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Where to ask, and by whose word it is whom it should be.
#[derive(Clone)]
pub struct Url {
    text: String,
    host: String,
    port: u16,
    path: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Url {
    /// `ca`: PEM of the CA that vouches for an https server.
    pub fn parse(text: &str, ca: Option<&[u8]>) -> Result<Self, UrlError> {
        let form = || UrlError::Form(text.chars().take(200).collect());
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        if rest.bytes().any(|byte| !byte.is_ascii_graphic()) || rest.contains(['@', '#']) {
            return Err(form());
        }
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let otherwise = if scheme == "https" { 443 } else { 80 };
        let (host, port) = split_port(authority, otherwise).filter(|(host, _)| !host.is_empty()).ok_or_else(form)?;
        let tls = match scheme {
            "http" if is_loopback(host) => None,
            "http" => return Err(UrlError::NotLoopback(text.to_owned())),
            "https" => {
                let ca = ca.ok_or_else(|| UrlError::NoCa(text.to_owned()))?;
                let name = ServerName::try_from(host.to_owned()).map_err(|_| form())?;
                Some((client_config(ca)?, name))
            }
            _ => return Err(form()),
        };
        Ok(Self { text: text.to_owned(), host: host.to_owned(), port, path: path.to_owned(), tls })
    }

    /// Sends `body`; an error unless it is answered with a 2xx status.
    pub fn post(&self, body: &[u8]) -> io::Result<()> {
        self.ask("POST", body).map(drop)
    }

    /// What stands there.
    pub fn get(&self) -> io::Result<Vec<u8>> {
        self.ask("GET", b"")
    }

    fn ask(&self, method: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        self.ask_within(Duration::from_millis(WITNESS_EXCHANGE_MS_MAX), method, body)
    }

    /// `whole`: from connecting to the last byte; one byte now and then keeps nobody waiting for longer.
    fn ask_within(&self, whole: Duration, method: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let deadline = Deadline::after(whole);
        let mut request = format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n",
            self.path,
            self.authority(),
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        let stream = self.connect(deadline)?;
        let answer = match &self.tls {
            None => exchange(stream, &request)?,
            Some((config, name)) => {
                let connection = ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
                exchange(StreamOwned::new(connection, stream), &request)?
            }
        };
        content(&answer)
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn connect(&self, deadline: Deadline) -> io::Result<Timed> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", self.host));
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, deadline.patience()?) {
                Ok(stream) => return Ok(Timed { stream, deadline }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// When an exchange must be over.
#[derive(Clone, Copy)]
struct Deadline {
    whole: Duration,
    end: Instant,
}

impl Deadline {
    fn after(whole: Duration) -> Self {
        Self { whole, end: Instant::now() + whole }
    }

    /// How long the next step may take.
    fn patience(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let message = format!("expected the whole exchange within {:?}, it took longer", self.whole);
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        Ok(left.min(Duration::from_millis(WITNESS_MS_MAX)))
    }

    /// What the kernel calls "would block" is that the time was over.
    fn told<T>(&self, done: io::Result<T>) -> io::Result<T> {
        match done {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.patience()?;
                let message = format!("expected bytes within {WITNESS_MS_MAX} ms, found none");
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
            done => done,
        }
    }
}

/// A connection of which every read and write ends in time, and all of them together do.
struct Timed {
    stream: TcpStream,
    deadline: Deadline,
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.deadline.patience()?))?;
        self.deadline.told(self.stream.read(into))
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.deadline.patience()?))?;
        self.deadline.told(self.stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn split_port(authority: &str, otherwise: u16) -> Option<(&str, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return Some((host, if port.is_empty() { otherwise } else { port.strip_prefix(':')?.parse().ok()? }));
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((authority, otherwise)),
    }
}

fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn client_config(ca: &[u8]) -> Result<Arc<ClientConfig>, UrlError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate.map_err(|error| UrlError::Ca(error.to_string()))?)?;
    }
    if roots.is_empty() {
        return Err(UrlError::Ca("none".to_owned()));
    }
    let builder = ClientConfig::builder_with_provider(crate::assemble::tls::provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn exchange(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.take(WITNESS_BYTES_MAX as u64 + 1).read_to_end(&mut answer) {
        // Some servers end TLS without saying so; the length is checked below.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        done => drop(done?),
    }
    if answer.len() > WITNESS_BYTES_MAX {
        return Err(io::Error::other(format!("expected an answer of at most {WITNESS_BYTES_MAX} bytes, found more")));
    }
    Ok(answer)
}

/// The content of a 2xx answer that ends with its connection.
fn content(answer: &[u8]) -> io::Result<Vec<u8>> {
    let no_http = || io::Error::other("expected an HTTP/1.1 answer, found something else");
    let head_end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(no_http)?;
    let (head, rest) = answer.split_at(head_end);
    let content = rest.get(4..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| no_http())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse::<u16>().ok());
    let status = status.ok_or_else(no_http)?;
    if !(200..300).contains(&status) {
        return Err(io::Error::other(format!("expected a status of 2xx, found {status}")));
    }
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") && value.parse() != Ok(content.len()) {
            return Err(io::Error::other(format!("expected {value} bytes of content, found {}", content.len())));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return unchunk(content).ok_or_else(|| io::Error::other("expected whole chunks, found something else"));
        }
    }
    Ok(content.to_vec())
}

/// Content in chunks (RFC 9112 §7.1), whole.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let line_end = rest.windows(2).position(|window| window == b"\r\n")?;
        let (line, after) = rest.split_at(line_end);
        let size = std::str::from_utf8(line).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        let after = after.get(2..)?;
        if size == 0 {
            return Some(content);
        }
        content.extend_from_slice(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_could_be_anybody_are_refused() {
        let refused = |text: &str| Url::parse(text, None).unwrap_err().to_string();
        for form in [
            "",
            "dir",
            "ftp://a/",
            "http://",
            "https:///x",
            "http://127.0.0.1:x/",
            "http://u@127.0.0.1/",
            "http://127.0.0.1/a b",
        ] {
            assert!(refused(form).contains("expected https://"), "{form}: {}", refused(form));
        }
        assert!(refused("http://localhost/").contains("loopback"));
        assert!(refused("http://10.0.0.1/").contains("loopback"));
        assert!(refused("https://witness.example/").contains("CA file"));
        assert!(
            Url::parse("https://witness.example/", Some(b"no pem")).unwrap_err().to_string().contains("found none")
        );
        let url = Url::parse("http://[::1]:8080", None).unwrap();
        assert_eq!((url.authority().as_str(), url.path.as_str()), ("[::1]:8080", "/"));
    }

    /// One byte now and then, for ever: within the patience of each read.
    #[test]
    fn a_witness_that_trickles_is_a_failure() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap()), None).unwrap();
        let witness = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let begun = Instant::now();
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
                // It also ends for the test's sake.
                if stream.write_all(&[*byte]).is_err() || begun.elapsed() > Duration::from_secs(6) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let begun = Instant::now();
        let fault = url.ask_within(Duration::from_millis(400), "POST", b"note").unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::TimedOut, "{fault}");
        assert!(fault.to_string().contains("whole exchange within 400ms"), "{fault}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        witness.join().unwrap();
    }

    #[test]
    fn answers() {
        let text = |answer: &str| {
            content(answer.as_bytes()).map(|of| String::from_utf8(of).unwrap()).map_err(|e| e.to_string())
        };
        assert_eq!(text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab").unwrap(), "ab");
        assert_eq!(text("HTTP/1.1 204 No\r\n\r\n").unwrap(), "");
        assert_eq!(
            text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n").unwrap(),
            "abc"
        );
        assert!(text("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").unwrap_err().contains("3 bytes"));
        assert!(text("HTTP/1.1 409 Conflict\r\n\r\n").unwrap_err().contains("409"));
        assert!(text("SSH-2.0\r\n\r\n").is_err() && text("HTTP/1.1 200 OK\r\n").is_err());
    }
}
