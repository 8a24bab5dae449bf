//! `adamant doctor --bypass`: whether origins answer callers that do not come through the gateway.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use activation::activation::{Origin, OriginAddress};
use clap::Args;
use control::assemble::material::Material;
use control::assemble::origins::Planned;
use policy::text::escaped;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::signing::plural;
use crate::failure::Failure;
use crate::fit;
use crate::lookup::Lookup;

/// Time for a connection, and for each read and write of it, seconds.
const PROBE_S_MAX: u64 = 5;
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
    /// It said nothing that could be judged; from here, that is.
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
    let (mut open, mut silent) = (0, 0);
    for origin in origins {
        // Without its client certificate and its secret: as a stranger.
        let planned = Planned::new(&fit::without_files(origin), &Material::default()).map_err(Failure::new)?;
        let resolved = planned.resolved(addresses_of);
        if resolved.addresses.is_empty() {
            silent += 1;
            writeln!(out, "silent   {}: its names do not resolve here", origin.name)?;
        }
        for address in &resolved.addresses {
            let (word, told) = match probe(&resolved, address, &args.path) {
                Found::Refuses(how) => ("refuses", how),
                Found::Answers(status) => {
                    open += 1;
                    ("ANSWERS", format!("{status} to a stranger"))
                }
                Found::Silent(why) => {
                    silent += 1;
                    ("silent ", why)
                }
            };
            writeln!(out, "{word}  {} at {}: {told}", origin.name, address.socket)?;
        }
    }
    out.flush()?;
    if open > 0 {
        let message = format!("{} can be called round the gateway", plural(open, "address"));
        return Err(Failure::new(message).help(
            "let the origin demand a client certificate (tls.identity), a secret (credentials), or take connections from the \
             gateway alone",
        ));
    }
    if silent > 0 {
        writeln!(out, "nothing answers from here; what is silent may answer elsewhere: ask from where agents are")?;
    }
    Ok(())
}

fn addresses_of(name: &str) -> Vec<IpAddr> {
    (name, 0).to_socket_addrs().map(|all| all.map(|socket| socket.ip()).collect()).unwrap_or_default()
}

fn probe(origin: &Origin, address: &OriginAddress, path: &str) -> Found {
    let limit = Duration::from_secs(PROBE_S_MAX);
    let stream = match TcpStream::connect_timeout(&address.socket, limit) {
        Ok(stream) => stream,
        Err(error) => return Found::Silent(format!("no connection from here ({error})")),
    };
    let _ = stream.set_read_timeout(Some(limit));
    let _ = stream.set_write_timeout(Some(limit));
    let request = request(address, path);
    let answer = match (&origin.tls, &address.server_name) {
        (Some(config), Some(name)) => match ClientConnection::new(Arc::clone(config), name.clone()) {
            Ok(session) => ask(StreamOwned::new(session, stream), &request),
            Err(error) => return Found::Silent(format!("TLS could not be set up ({error})")),
        },
        _ => ask(stream, &request),
    };
    judge(answer)
}

fn request(address: &OriginAddress, path: &str) -> String {
    let host = match &address.server_name {
        Some(ServerName::DnsName(name)) => name.as_ref().to_owned(),
        _ => address.socket.to_string(),
    };
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: adamant-doctor\r\nConnection: close\r\n\r\n")
}

/// Sends the request, and reads until the status line is there.
fn ask(mut stream: impl Read + Write, request: &str) -> std::io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let mut length = 0;
    loop {
        let free = answer.get_mut(length..).unwrap_or_default();
        match stream.read(free)? {
            0 => break,
            read => length += read,
        }
        if length >= ANSWER_BYTES_MAX || answer.get(..length).is_some_and(|text| text.contains(&b'\n')) {
            break;
        }
    }
    answer.truncate(length);
    Ok(answer)
}

fn judge(answer: std::io::Result<Vec<u8>>) -> Found {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            return match agent::tls::tls_error(&error) {
                Some(rustls::Error::AlertReceived(alert)) => Found::Refuses(format!("TLS alert {alert:?}")),
                _ if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    Found::Refuses("connection reset".to_owned())
                }
                _ => Found::Silent(error.to_string()),
            };
        }
    };
    if answer.is_empty() {
        return Found::Refuses("closed without an answer".to_owned());
    }
    let status = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    match status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok()) {
        Some(status @ (401 | 403)) => Found::Refuses(format!("status {status}")),
        Some(status) => Found::Answers(status),
        None => Found::Silent("it does not speak HTTP/1.1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_is_one() {
        let of = |answer: &str| judge(Ok(answer.as_bytes().to_vec()));
        assert_eq!(of("HTTP/1.1 401 Unauthorized\r\n"), Found::Refuses("status 401".to_owned()));
        assert_eq!(of("HTTP/1.0 403\r\n"), Found::Refuses("status 403".to_owned()));
        assert_eq!(of(""), Found::Refuses("closed without an answer".to_owned()));
        // Whatever it says otherwise, it has looked at what a stranger asked.
        for status in [200, 204, 302, 404, 405, 500] {
            assert_eq!(of(&format!("HTTP/1.1 {status} x\r\n")), Found::Answers(status));
        }
        assert!(matches!(of("SSH-2.0-x\r\n"), Found::Silent(_)));
        assert!(matches!(judge(Err(std::io::ErrorKind::TimedOut.into())), Found::Silent(_)));
        assert!(matches!(judge(Err(std::io::ErrorKind::ConnectionReset.into())), Found::Refuses(_)));
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        assert!(matches!(judge(Err(std::io::Error::other(alert))), Found::Refuses(_)));
    }
}
