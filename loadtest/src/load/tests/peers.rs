//! Targets that behave in a certain way.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::wire;

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A listener with a thread for each connection; dropping it closes the listener.
pub struct Peer {
    pub address: SocketAddr,
    gone: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
    accepting: Option<thread::JoinHandle<()>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Peer {
    /// `serve` is called with each connection.
    pub fn start(serve: impl Fn(TcpStream, &Mutex<Vec<String>>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (gone, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (serve, of_thread, all, sockets) = (Arc::new(serve), gone.clone(), seen.clone(), open.clone());
        let accepting = thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if of_thread.load(Ordering::SeqCst) {
                    return;
                }
                socket.set_nodelay(true).unwrap();
                sockets.lock().unwrap().push(socket.try_clone().unwrap());
                let (serve, seen) = (Arc::clone(&serve), Arc::clone(&all));
                thread::spawn(move || serve(socket, &seen));
            }
        });
        Self { address, gone, seen, accepting: Some(accepting), open }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Heads of the requests that came.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Answers at once, but not at all from `after` to `after + pause` since its start.
    pub fn stalling(after: Duration, pause: Duration) -> Self {
        let started = Mutex::new(None);
        Self::start(move |socket, _| {
            each_request(socket, |_| {
                // From the first request: what comes before it is not part of the load.
                let passed = started.lock().unwrap().get_or_insert_with(Instant::now).elapsed();
                if passed >= after && passed < after + pause {
                    thread::sleep(after + pause - passed);
                }
                OK.into()
            });
        })
    }

    /// Remembers heads.
    pub fn echoing() -> Self {
        Self::start(|socket, seen| {
            each_request(socket, |head| {
                seen.lock().unwrap().push(head.to_owned());
                OK.into()
            });
        })
    }

    /// Sends these bytes and closes, unless they are a whole response.
    pub fn answering(bytes: &'static str) -> Self {
        let closes = !matches!(wire::response(bytes.as_bytes()), Ok(Some(response)) if response.length == bytes.len());
        Self::start(move |socket, _| {
            let copy = socket.try_clone().unwrap();
            each_request(socket, |_| {
                if closes {
                    let _ = (&copy).write_all(bytes.as_bytes());
                    let _ = copy.shutdown(Shutdown::Write);
                    return String::new();
                }
                bytes.into()
            });
        })
    }

    /// Reads and never answers.
    pub fn silent() -> Self {
        Self::start(|mut socket, _| while socket.read(&mut [0; 1_024]).is_ok_and(|count| count > 0) {})
    }

    /// One request at a time over all connections, each so long.
    pub fn one_at_a_time(each: Duration) -> Self {
        let turn = Mutex::new(());
        Self::start(move |socket, _| {
            each_request(socket, |_| {
                let _turn = turn.lock().unwrap();
                thread::sleep(each);
                OK.into()
            });
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes the thread that accepts
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
        for socket in self.open.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Answers each request head that comes, until the other side closes.
pub fn each_request(mut stream: impl Read + Write, answer: impl Fn(&str) -> String) {
    let mut received = Vec::new();
    let mut block = [0; 4_096];
    loop {
        while let Some(end) = wire::head_end(&received) {
            let head = String::from_utf8(received.drain(..end).collect()).unwrap();
            if stream.write_all(answer(&head).as_bytes()).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
        match stream.read(&mut block) {
            Ok(count) if count > 0 => received.extend_from_slice(&block[..count]),
            _ => return,
        }
    }
}
