//! An issuer of tokens whose keys are fetched: a real HTTPS server of a throw-away CA, as truthful as a test wants it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certificates::Authority;

/// What is said to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Status, field lines, content.
    Whole(u16, String, Vec<u8>),
    /// A head that promises, and content without end.
    Endless,
    /// A byte now and then.
    Trickle,
    /// Nothing, for a long time.
    Silence,
}

impl Reply {
    pub fn json(text: &str) -> Self {
        Self::Whole(200, "Content-Type: application/json\r\n".to_owned(), text.as_bytes().to_vec())
    }
}

/// A running issuer. Its threads end with the test's process.
pub struct HttpsIssuer {
    pub address: SocketAddr,
    /// PEM of the CA that vouches for it.
    pub ca: String,
    shared: Arc<Shared>,
}

struct Shared {
    replies: Mutex<BTreeMap<String, Reply>>,
    /// Heads and contents of all POSTs.
    heard: Mutex<Vec<(String, String)>>,
    asked: Mutex<BTreeMap<String, usize>>,
    /// The latest head of each path.
    heads: Mutex<BTreeMap<String, String>>,
    is_down: AtomicBool,
    connections: AtomicUsize,
    unchanged: AtomicUsize,
    settled: AtomicUsize,
    delay: Mutex<Duration>,
}

impl HttpsIssuer {
    /// Serves on loopback; what is not said yet is 404.
    pub fn start() -> Self {
        Self::start_for(None)
    }

    /// The same; knows its clients by their certificates under `clients`, where there is that.
    pub fn start_for(clients: Option<&Authority>) -> Self {
        let authority = Authority::new("issuer CA");
        let own = authority.server(&["127.0.0.1"]);
        let config = clients.map_or_else(|| own.server_config(), |clients| own.server_config_for(clients));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            replies: Mutex::default(),
            heard: Mutex::default(),
            asked: Mutex::default(),
            heads: Mutex::default(),
            is_down: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            unchanged: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            delay: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, config) = (Arc::clone(&of_thread), Arc::clone(&config));
                shared.connections.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || drop(serve(stream, &config, &shared)));
            }
        });
        Self { address, ca: authority.pem, shared }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub fn say(&self, path: &str, reply: Reply) {
        self.shared.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// What is said about a token, of whoever asks at `path` (RFC 7662); others get what `path` says.
    pub fn say_of(&self, path: &str, token: &str, reply: Reply) {
        self.say(&format!("{path} {token}"), reply);
    }

    /// How often `path` was asked about `token`.
    pub fn asked_about(&self, path: &str, token: &str) -> usize {
        self.asked(&format!("{path} {token}"))
    }

    /// Heads and contents of all that was posted.
    pub fn heard(&self) -> Vec<(String, String)> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// The head of the latest request for `path`.
    pub fn last_head(&self, path: &str) -> String {
        self.shared.heads.lock().unwrap().get(path).cloned().unwrap_or_default()
    }

    /// Every connection is cut.
    pub fn go_down(&self) {
        self.shared.is_down.store(true, Ordering::SeqCst);
    }

    pub fn come_up(&self) {
        self.shared.is_down.store(false, Ordering::SeqCst);
    }

    /// Answers later than it is asked.
    pub fn delay(&self, by: Duration) {
        *self.shared.delay.lock().unwrap() = by;
    }

    /// How often `path` was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.shared.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    /// How often it was asked by an entity tag that is still right.
    pub fn unchanged(&self) -> usize {
        self.shared.unchanged.load(Ordering::SeqCst)
    }

    /// To how many requests it is settled what is said: nothing that is said later changes that.
    pub fn settled(&self) -> usize {
        self.shared.settled.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, config: &Arc<ServerConfig>, shared: &Shared) -> std::io::Result<()> {
    if shared.is_down.load(Ordering::SeqCst) {
        return Ok(());
    }
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8_192 {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let path = text.split_whitespace().nth(1).unwrap_or("").to_owned();
    *shared.asked.lock().unwrap().entry(path.clone()).or_default() += 1;
    shared.heads.lock().unwrap().insert(path.clone(), text.clone());
    let about = posted(&mut stream, &text, shared)?.map(|token| format!("{path} {token}"));
    if let Some(about) = &about {
        *shared.asked.lock().unwrap().entry(about.clone()).or_default() += 1;
    }
    // It may be shortened meanwhile.
    let since = Instant::now();
    while since.elapsed() < *shared.delay.lock().unwrap() {
        thread::sleep(Duration::from_millis(5));
    }
    let reply = {
        let replies = shared.replies.lock().unwrap();
        about.and_then(|about| replies.get(&about).cloned()).or_else(|| replies.get(&path).cloned())
    };
    shared.settled.fetch_add(1, Ordering::SeqCst);
    match reply.unwrap_or(Reply::Whole(404, String::new(), Vec::new())) {
        Reply::Whole(status, fields, content) => {
            // An entity tag that is known is answered as a good server does.
            let tag = fields.lines().find_map(|line| line.strip_prefix("ETag: "));
            let known = tag.is_some_and(|tag| text.to_ascii_lowercase().contains(&format!("if-none-match: {tag}")));
            shared.unchanged.fetch_add(usize::from(known), Ordering::SeqCst);
            let (status, content) = if known { (304, Vec::new()) } else { (status, content) };
            write!(stream, "HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n", content.len())?;
            stream.write_all(&content)?;
        }
        Reply::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            // 100 MB, if anybody takes them.
            for _ in 0..1_600 {
                write!(stream, "10000\r\n")?;
                stream.write_all(&[b' '; 0x10000])?;
                write!(stream, "\r\n")?;
            }
        }
        Reply::Trickle => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")?;
            for _ in 0..600 {
                stream.write_all(b" ")?;
                stream.flush()?;
                thread::sleep(Duration::from_millis(100));
            }
        }
        Reply::Silence => thread::sleep(Duration::from_secs(30)),
    }
    stream.flush()?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// Takes in what is posted; the token that it is about, as the form spells it.
fn posted(stream: &mut impl Read, head: &str, shared: &Shared) -> std::io::Result<Option<String>> {
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let Some(length) = length.filter(|length| *length < 65_536_usize) else { return Ok(None) };
    let mut content = vec![0; length];
    stream.read_exact(&mut content)?;
    let content = String::from_utf8_lossy(&content).into_owned();
    let token = content.split('&').find_map(|pair| pair.strip_prefix("token=")).map(str::to_owned);
    shared.heard.lock().unwrap().push((head.to_owned(), content));
    Ok(token)
}
