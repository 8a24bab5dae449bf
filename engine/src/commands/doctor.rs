//! `adamant doctor --bypass`: whether origins answer callers that do not come through the gateway.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use activation::activation::{Origin, OriginAddress};
use clap::Args;
use control::assemble::material::Material;
use control::assemble::origins::Planned;
use control::at_rest::AtRest;
use policy::model;
use policy::text::escaped;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use self::assertion::{Prober, Trial};
use super::signing::plural;
use crate::config::credential_or_path;
use crate::failure::Failure;
use crate::lookup::Lookup;
use crate::{files, fit};

mod assertion;

/// Time for a connection, and for all that is sent and read on it, seconds.
const CONNECT_S_MAX: u64 = 5;
const ANSWER_S_MAX: u64 = 10;
/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: usize = 4 << 10;

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The policy whose origins are asked: a source, or a release.
    policy: String,
    /// Ask each origin directly, without anything that the gateway gives it, whether it answers.
    #[arg(long, required = true)]
    bypass: bool,
    /// Only this origin.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// The state directory of a gateway on this machine: try each origin that wants assertions also with some that are signed
    /// with its key, and are expired or about something else.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// What that directory is encrypted with, state_identity of that gateway: a file, or credential:NAME.
    #[arg(long, value_name = "FILE", requires = "state")]
    state_identity: Option<PathBuf>,
    /// Name this agent in them; none: an anonymous caller.
    #[arg(long, value_name = "NAME", requires = "state")]
    agent: Option<String>,
    /// What is asked for: a path that needs no body and changes nothing.
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: String,
}

/// What an address said to a stranger.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It refuses whoever does not come through the gateway.
    Refuses(String),
    /// It answers: there is a way round the gateway.
    Answers(u16),
    /// It is there, and does neither in a way that could be judged.
    Unclear(String),
    /// It is not there; from here, that is.
    Silent(String),
}

pub fn run(args: &DoctorArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if !args.path.starts_with('/') || !args.path.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format_args!("--path: expected a path such as /orders/7, found \"{}\"", escaped(&args.path, &[]));
        return Err(Failure::new(message));
    }
    let found = Lookup::default().find(&args.policy)?;
    let wanted = |name: &str| args.origin.as_deref().is_none_or(|only| only == name);
    let origins: Vec<_> = found.policy.origins.iter().filter(|origin| wanted(&origin.name)).collect();
    if origins.is_empty() {
        let known: Vec<_> = found.policy.origins.iter().map(|origin| origin.name.as_str()).collect();
        return Err(
            Failure::new("the policy has no such origin").help(format!("its origins are: {}", known.join(", ")))
        );
    }
    let at_rest = args.state_identity.as_deref().map_or_else(|| Ok(AtRest::default()), at_rest_by)?;
    let prober = Prober::new(args.state.as_deref(), &at_rest, &found.policy.name, args.agent.as_deref())?;
    let (mut open, mut unclear, mut silent) = (0, 0, 0);
    for origin in origins {
        // Without its client certificate and its secret: as a stranger.
        let planned = Planned::new(&fit::without_files(origin), &Material::default()).map_err(Failure::new)?;
        let resolved = planned.resolved(addresses_of);
        if resolved.addresses.is_empty() {
            silent += 1;
            writeln!(out, "silent   {}: its names do not resolve here", origin.name)?;
        }
        for address in &resolved.addresses {
            let place = Asked { rules: origin, resolved: &resolved, address, path: &args.path };
            match place.look(&prober, out)? {
                Verdict::Closed => {}
                Verdict::Open => open += 1,
                Verdict::Unclear => unclear += 1,
                Verdict::Silent => silent += 1,
            }
        }
    }
    out.flush()?;
    if open > 0 {
        let message = format!("{} can be called round the gateway", plural(open, "address"));
        return Err(Failure::new(message).help(
            "let the origin demand a client certificate (tls.identity), a secret (credentials), verify assertions (assertion), or \
             take connections from the gateway alone",
        ));
    }
    if unclear > 0 {
        let message = format!("whether {} can be called round the gateway is not clear", plural(unclear, "address"));
        return Err(Failure::new(message).help("ask what listens there, or with another --path or --agent"));
    }
    if silent > 0 {
        writeln!(out, "nothing answers from here; what is silent may answer elsewhere: ask from where agents are")?;
    }
    Ok(())
}

fn at_rest_by(identity: &Path) -> Result<AtRest, Failure> {
    let path = credential_or_path(identity).map_err(|(message, hint)| Failure::new(message).help(hint))?;
    files::expect_there("--state-identity", &path)?;
    AtRest::by(&path).map_err(Failure::new)
}

/// What comes of all that an address is asked; the worst counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Closed,
    Silent,
    Unclear,
    Open,
}

/// An address and what it is asked for.
struct Asked<'a> {
    rules: &'a model::Origin,
    resolved: &'a Origin,
    address: &'a OriginAddress,
    path: &'a str,
}

impl Asked<'_> {
    fn look(&self, prober: &Prober<'_>, out: &mut dyn Write) -> Result<Verdict, Failure> {
        let found = self.probe("");
        let verdict = match &found {
            Found::Refuses(_) => Verdict::Closed,
            Found::Answers(_) => Verdict::Open,
            Found::Unclear(_) => Verdict::Unclear,
            Found::Silent(_) => Verdict::Silent,
        };
        let place = format!("{} at {}", self.rules.name, self.address.socket);
        writeln!(out, "{}", found.told(&place, "to a stranger"))?;
        match &self.rules.assertion {
            // Who answers strangers shows nothing by what else it answers.
            Some(of) if matches!(found, Found::Refuses(_)) => self.try_assertions(&of.audience, prober, &place, out),
            _ => Ok(verdict),
        }
    }

    fn try_assertions(
        &self,
        audience: &str,
        prober: &Prober<'_>,
        place: &str,
        out: &mut dyn Write,
    ) -> Result<Verdict, Failure> {
        let mut verdict = Verdict::Closed;
        for trial in prober.trials() {
            let found = self.probe(&prober.field(*trial, audience, (&host(self.address), self.path))?);
            let place = format!("{place}, {}", trial.words());
            let told = match (&found, trial) {
                (Found::Answers(status), Trial::Right) => format!("takes    {place}: {status}"),
                (Found::Refuses(how), Trial::Right) => {
                    // As a stranger, who has nothing else that the origin may want.
                    let wants_more = self.rules.credential.is_some()
                        || self.rules.tls.as_ref().is_some_and(|tls| tls.identity.is_some());
                    verdict = if wants_more { verdict } else { verdict.max(Verdict::Unclear) };
                    format!("refuses  {place}: {how}; so what it looks at in others is not shown")
                }
                (Found::Answers(_), _) => {
                    verdict = Verdict::Open;
                    found.told(&place, "to it")
                }
                (Found::Refuses(_), _) => found.told(&place, ""),
                (Found::Unclear(_) | Found::Silent(_), _) => {
                    verdict = verdict.max(Verdict::Unclear);
                    found.told(&place, "")
                }
            };
            writeln!(out, "{told}")?;
        }
        Ok(verdict)
    }
}

impl Found {
    /// As a line.
    fn told(&self, place: &str, whom: &str) -> String {
        match self {
            Self::Refuses(how) => format!("refuses  {place}: {how}"),
            Self::Answers(status) => format!("ANSWERS  {place}: {status} {whom}"),
            Self::Unclear(why) => format!("unclear  {place}: {why}"),
            Self::Silent(why) => format!("silent   {place}: {why}"),
        }
    }
}

fn addresses_of(name: &str) -> Vec<IpAddr> {
    (name, 0).to_socket_addrs().map(|all| all.map(|socket| socket.ip()).collect()).unwrap_or_default()
}

impl Asked<'_> {
    /// Asks once, with one more field line or none.
    fn probe(&self, field: &str) -> Found {
        let address = self.address;
        let stream = match TcpStream::connect_timeout(&address.socket, Duration::from_secs(CONNECT_S_MAX)) {
            Ok(stream) => Bounded { stream, until: Instant::now() + Duration::from_secs(ANSWER_S_MAX) },
            Err(error) => return Found::Silent(format!("no connection from here ({error})")),
        };
        let request = request(address, self.path, field);
        let (answer, end) = match (&self.resolved.tls, &address.server_name) {
            (Some(config), Some(name)) => match ClientConnection::new(Arc::clone(config), name.clone()) {
                Ok(session) => ask(StreamOwned::new(session, stream), &request),
                Err(error) => return Found::Unclear(format!("TLS could not be set up ({error})")),
            },
            _ => ask(stream, &request),
        };
        judge(&answer, end)
    }
}

/// A connection with one time for all that happens on it: who sends a byte now and then does not hold up the command.
struct Bounded {
    stream: TcpStream,
    until: Instant,
}

impl Bounded {
    fn left(&self) -> std::io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(into) {
                // A read with a time limit ends so where the command was stopped (Ctrl-Z) and goes on.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl Write for Bounded {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(from)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

fn host(address: &OriginAddress) -> String {
    match &address.server_name {
        Some(ServerName::DnsName(name)) => name.as_ref().to_owned(),
        _ => address.socket.to_string(),
    }
}

fn request(address: &OriginAddress, path: &str, field: &str) -> String {
    let host = host(address);
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: adamant-doctor\r\n{field}Connection: close\r\n\r\n")
}

/// Sends the request, and reads until there is a status, or nothing more comes: what came, and why it was not more.
fn ask(mut stream: impl Read + Write, request: &str) -> (Vec<u8>, std::io::Result<()>) {
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let mut length = 0;
    let mut sent = stream.write_all(request.as_bytes()).and_then(|()| stream.flush());
    if sent.is_ok() {
        sent = loop {
            match stream.read(answer.get_mut(length..).unwrap_or_default()) {
                Ok(0) => break Ok(()),
                Ok(read) => length += read,
                Err(error) => break Err(error),
            }
            if length >= ANSWER_BYTES_MAX || status_of(answer.get(..length).unwrap_or_default()) != Status::Incomplete {
                break Ok(());
            }
        };
    }
    answer.truncate(length);
    (answer, sent)
}

#[derive(Debug, PartialEq, Eq)]
enum Status {
    Final(u16),
    /// It may still come.
    Incomplete,
    /// What is there is no answer of HTTP/1.1.
    None,
}

/// The status of an answer (RFC 9112 §4), after those that only announce it (RFC 9110 §15.2).
fn status_of(mut answer: &[u8]) -> Status {
    loop {
        let Some(end) = answer.iter().position(|byte| *byte == b'\n') else { return Status::Incomplete };
        let line = answer.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(([b'0' | b'1', b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'], rest)) =
            line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.split_first_chunk::<5>())
        else {
            return Status::None;
        };
        if !matches!(rest, [] | [b' ', ..]) {
            return Status::None;
        }
        let status = [a, b, c].into_iter().fold(0, |status, digit| status * 10 + u16::from(*digit - b'0'));
        if status == 101 || status >= 200 {
            return Status::Final(status);
        }
        let Some(next) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Status::Incomplete };
        answer = answer.get(next + 4..).unwrap_or_default();
    }
}

fn judge(answer: &[u8], end: std::io::Result<()>) -> Found {
    match status_of(answer) {
        Status::Final(status @ (401 | 403)) => return Found::Refuses(format!("status {status}")),
        Status::Final(status) => return Found::Answers(status),
        Status::None | Status::Incomplete if !answer.is_empty() => {
            return Found::Unclear("it sends something, and no status of HTTP/1.1".to_owned());
        }
        Status::None | Status::Incomplete => {}
    }
    let Err(error) = end else { return Found::Refuses("closed without an answer".to_owned()) };
    match agent::tls::tls_error(&error) {
        Some(rustls::Error::AlertReceived(alert)) => Found::Refuses(format!("TLS alert {alert:?}")),
        Some(rustls::Error::InvalidCertificate(_)) => {
            Found::Unclear(format!("who does not check its certificate may get an answer ({error})"))
        }
        _ => match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Found::Refuses("connection reset".to_owned()),
            ErrorKind::UnexpectedEof => Found::Refuses("closed without an answer".to_owned()),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                Found::Unclear(format!("it takes the connection, and no answer came in {ANSWER_S_MAX} s"))
            }
            _ => Found::Unclear(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_is_one() {
        let of = |answer: &str| judge(answer.as_bytes(), Ok(()));
        let refuses = |how: &str| Found::Refuses(how.to_owned());
        assert_eq!(of("HTTP/1.1 401 Unauthorized\r\n"), refuses("status 401"));
        assert_eq!(of("HTTP/1.0 403\r\n"), refuses("status 403"));
        assert_eq!(of("HTTP/1.1 103 x\r\nLink: y\r\n\r\nHTTP/1.1 401 x\r\n"), refuses("status 401"));
        assert_eq!(of(""), refuses("closed without an answer"));
        // Whatever it says otherwise, it has looked at what a stranger asked.
        for status in [101, 200, 204, 302, 404, 405, 500] {
            assert_eq!(of(&format!("HTTP/1.1 {status} x\r\n")), Found::Answers(status));
        }
        for vague in [
            "SSH-2.0-x\r\n",
            "HTTP/2 200 OK\r\n",
            "200 OK hello\n",
            "HTTP/1.1 200",
            "HTTP/1.1 +40 x\r\n",
            "HTTP/1.1 4010 x\r\n",
            "HTTP/1.14010000\r\n",
            "HTTP/1.1 401x\r\n",
            "HTTP/1.1 100 x\r\n\r\n",
            "H",
        ] {
            assert!(matches!(of(vague), Found::Unclear(_)), "{vague:?}");
        }
        let failed = |error: std::io::Error| judge(b"", Err(error));
        assert!(matches!(failed(ErrorKind::TimedOut.into()), Found::Unclear(_)));
        assert!(matches!(judge(b"HTTP/1.1 200", Err(ErrorKind::ConnectionReset.into())), Found::Unclear(_)));
        assert!(matches!(failed(ErrorKind::ConnectionReset.into()), Found::Refuses(_)));
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        assert!(matches!(failed(std::io::Error::other(alert)), Found::Refuses(_)));
        let stranger = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(matches!(failed(std::io::Error::other(stranger)), Found::Unclear(_)));
    }
}
