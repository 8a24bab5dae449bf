//! A small HTTP server, with TLS or without, that answers as a test says: also slowly, without end, or not at all.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;

use crate::stream::Stream;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub content: Vec<u8>,
}

impl Asked {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A member of the query; empty where it has no value.
    pub fn member(&self, name: &str) -> Option<&str> {
        let members = self.query.split('&').map(|member| member.split_once('=').unwrap_or((member, "")));
        members.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    Whole {
        status: u16,
        fields: Vec<(&'static str, String)>,
        content: Vec<u8>,
    },
    /// Nothing, for as long as the test runs.
    Hang,
    /// One byte a second.
    Drip,
    /// So many bytes of nothing.
    Huge(usize),
    Close,
}

impl Reply {
    pub fn new(status: u16, content: impl Into<Vec<u8>>) -> Self {
        Self::Whole { status, fields: Vec::new(), content: content.into() }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        if let Self::Whole { fields, .. } = &mut self {
            fields.push((name, value.to_string()));
        }
        self
    }
}

type Answer = Box<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// The running server; it ends with the test.
pub struct Answering {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Answer,
    tls: Option<Arc<ServerConfig>>,
    away: AtomicBool,
    ended: AtomicBool,
    connections: AtomicUsize,
    asked: Mutex<Vec<(String, String)>>,
}

impl Answering {
    pub fn start(tls: Option<Arc<ServerConfig>>, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            tls,
            away: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            asked: Mutex::new(Vec::new()),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_thread.ended.load(Ordering::Relaxed) {
                    return;
                }
                of_thread.connections.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// From now on every connection is closed, or served again.
    pub fn is_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::Relaxed);
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Methods and targets of the requests since the last call.
    pub fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.away.load(Ordering::Relaxed) || self.ended.load(Ordering::Relaxed)
    }

    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(120)));
        let Ok(mut stream) = Stream::accept(stream, self.tls.as_ref()) else { return };
        while let Some(asked) = read(&mut stream) {
            self.asked.lock().unwrap().push((asked.method.clone(), format!("{}?{}", asked.path, asked.query)));
            if self.is_over() || self.reply(&mut stream, &asked).is_none() {
                return;
            }
        }
    }

    fn reply(&self, stream: &mut Stream, asked: &Asked) -> Option<()> {
        match (self.answer)(asked) {
            Reply::Whole { status, fields, content } => {
                let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let head = format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n", content.len());
                // Whoever went away while the answer was made gets none of it.
                let none = if status == 304 { format!("HTTP/1.1 304 X\r\n{fields}\r\n") } else { head };
                stream.write_all(none.as_bytes()).and_then(|()| stream.write_all(&content)).ok()?;
                stream.flush().ok()
            }
            Reply::Hang => {
                while !self.is_over() {
                    thread::sleep(Duration::from_millis(50));
                }
                None
            }
            Reply::Drip => {
                stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n").ok()?;
                while !self.is_over() {
                    stream.write_all(b" ").and_then(|()| stream.flush()).ok()?;
                    thread::sleep(Duration::from_secs(1));
                }
                None
            }
            Reply::Huge(bytes) => {
                stream.write_all(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n").ok()?;
                let block = vec![b' '; 1 << 16];
                (0..bytes / block.len()).try_for_each(|_| stream.write_all(&block)).ok()?;
                None
            }
            Reply::Close => None,
        }
    }
}

fn read(stream: &mut Stream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut block = [0; 1 << 16];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut block) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&block[..count]),
            _ => return None,
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut content = bytes[end + 4..].to_vec();
    let length =
        fields.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    while content.len() < length {
        let count = stream.read(&mut block).ok().filter(|count| *count > 0)?;
        content.extend_from_slice(&block[..count]);
    }
    Some(Asked { method, path: path.to_owned(), query: query.to_owned(), fields, content })
}
