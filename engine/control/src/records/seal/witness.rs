//! A witness: a server that takes checkpoints, and gives them back. Who it is, a CA of one's own says, or it is on loopback.

use std::fmt;
use std::io;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use stores::http::{Bounds, Client, HttpFault, Place, PlaceFault, Trust, TrustFault, wait};

use crate::bounds::{WITNESS_BYTES_MAX, WITNESS_EXCHANGE_MS_MAX, WITNESS_MS_MAX};

const BOUNDS: Bounds = Bounds {
    step: Duration::from_millis(WITNESS_MS_MAX),
    whole: Duration::from_millis(WITNESS_EXCHANGE_MS_MAX),
    content_bytes_max: WITNESS_BYTES_MAX,
};

/// Why a text names no witness.
#[derive(Debug, thiserror::Error)]
pub enum NoWitness {
    #[error(transparent)]
    Place(#[from] PlaceFault),
    #[error("{0} needs a CA file: nobody else's word counts for who it is")]
    NoCa(Place),
    #[error("the CA file: expected text, found other bytes")]
    CaText,
    #[error("the CA file: {0}")]
    Ca(#[from] TrustFault),
}

/// Why a witness took nothing, or gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum WitnessFault {
    #[error("no exchange can begin: {0}")]
    Runtime(#[from] io::Error),
    #[error("no request can be made of it: {0}")]
    Request(#[from] hyper::http::Error),
    #[error(transparent)]
    Http(#[from] HttpFault),
    #[error("expected a status of 2xx, found {0}")]
    Status(StatusCode),
}

/// Where to ask, and by whose word it is whom it should be.
#[derive(Clone)]
pub struct Witness {
    place: Place,
    client: Client,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl Witness {
    /// `ca`: PEM of the CA that vouches for an https server.
    pub fn parse(text: &str, ca: Option<&[u8]>) -> Result<Self, NoWitness> {
        let place = Place::parse(text)?;
        let trust = match ca.map(std::str::from_utf8).transpose().map_err(|_| NoWitness::CaText)? {
            Some(pem) if place.is_tls() => Some(Trust::Pinned(pem)),
            None if place.is_tls() => return Err(NoWitness::NoCa(place)),
            _ => None,
        };
        Ok(Self { client: Client::new(trust.as_ref(), BOUNDS)?, place })
    }

    /// Sends `note`; an error unless it is answered with a 2xx status.
    pub fn post(&self, note: &str) -> Result<(), WitnessFault> {
        let request = Request::post(self.place.target()).header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        let request = request.body(Full::from(note.to_owned()))?;
        is_taken(wait(self.client.status(&self.place, request))??)
    }

    /// What stands there.
    pub fn get(&self) -> Result<Vec<u8>, WitnessFault> {
        let request = Request::get(self.place.target()).body(Full::<Bytes>::default())?;
        let answer = wait(self.client.exchange(&self.place, request))??;
        is_taken(answer.status)?;
        Ok(answer.content.into())
    }
}

fn is_taken(status: StatusCode) -> Result<(), WitnessFault> {
    if status.is_success() { Ok(()) } else { Err(WitnessFault::Status(status)) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_could_be_anybody_is_no_witness() {
        let refused = |text: &str| Witness::parse(text, None).unwrap_err().to_string();
        assert!(refused("dir").contains("expected https://"));
        assert!(refused("http://localhost/").contains("loopback"));
        assert!(refused("https://witness.example/").contains("CA file"));
        let no_ca = Witness::parse("https://witness.example/", Some(b"no pem")).unwrap_err();
        assert!(no_ca.to_string().contains("CA file") && no_ca.to_string().contains("found none"), "{no_ca}");
        assert_eq!(Witness::parse("http://[::1]:8080", None).unwrap().to_string(), "http://[::1]:8080/");
    }

    /// A witness that answers once, and the request that it got.
    fn witness(answer: &'static str) -> (Witness, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/edge?of=1", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"note\n") && !request.starts_with(b"GET") {
                let mut some = [0; 1 << 10];
                let length = stream.read(&mut some).unwrap();
                request.extend_from_slice(&some[..length]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (Witness::parse(&url, None).unwrap(), served)
    }

    #[test]
    fn a_2xx_status_means_taken() {
        let (taking, served) = witness("HTTP/1.1 204 No Content\r\n\r\n");
        taking.post("note\n").unwrap();
        let request = served.join().unwrap();
        assert!(request.starts_with("POST /edge?of=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("content-type: text/plain; charset=utf-8\r\n") && request.ends_with("\r\n\r\nnote\n"));
        // Cut off behind its head: it was taken.
        witness("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").0.post("note\n").unwrap();
        let told = witness("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n").0.post("note\n").unwrap_err();
        assert!(told.to_string().contains("409"), "{told}");
        assert!(matches!(witness("SSH-2.0\r\n\r\n").0.post("note\n"), Err(WitnessFault::Http(_))));
    }

    #[test]
    fn what_it_gives_is_whole() {
        let got = |answer: &'static str| witness(answer).0.get().map(|got| String::from_utf8(got).unwrap());
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n";
        assert_eq!(got(chunks).unwrap(), "abc");
        assert_eq!(got("HTTP/1.0 200 OK\r\n\r\nab").unwrap(), "ab");
        assert!(got("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").is_err());
        assert!(matches!(got("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), Err(WitnessFault::Status(_))));
    }
}
