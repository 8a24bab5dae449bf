//! What a recording origin answers, down to the exact place where it breaks off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::process::eventually;

/// An answer to one request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 1xx responses first: status and fields.
    pub interim: Vec<(u16, Vec<(String, String)>)>,
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub content: Content,
    pub when: When,
    /// Wait before the response head.
    pub delay: Duration,
    pub fault: Fault,
    /// Send `Connection: close` and close.
    pub close: bool,
}

/// Holds up what an origin answers until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    pub fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Waits until it is open, for a minute at most.
    pub fn pass(&self) {
        eventually(Duration::from_secs(60), || self.0.load(Ordering::SeqCst));
    }
}

/// The content of an answer.
#[derive(Clone, Debug)]
pub enum Content {
    /// No content and no framing field (HEAD, 204, 304 and the like).
    None,
    Length(Vec<u8>),
    /// Chunks and trailer fields, with a pause after each chunk.
    Chunked {
        chunks: Vec<Vec<u8>>,
        trailers: Vec<(String, String)>,
        pause: Duration,
    },
    /// So many bytes of `x` under a Content-Length.
    Filler(u64),
    /// The request's own content.
    Echo,
    /// Delimited by the end of the connection.
    UntilClose(Vec<u8>),
    /// These exact bytes in place of head and content.
    Raw(Vec<u8>),
}

/// When the response starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    AfterContent,
    /// As soon as the request head is there (an early final response); the content is read on afterwards.
    AfterHead,
    /// As `AfterHead`, and the content is never read.
    InsteadOfContent,
}

/// Where the origin breaks the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Before a byte of the response.
    BeforeResponse,
    /// In the middle of the response head.
    InHead,
    /// After the head and about half of the content.
    InContent,
    /// Never answer; hold the connection until the peer closes it.
    Silence,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self {
            interim: Vec::new(),
            status,
            fields: Vec::new(),
            content: Content::Length(Vec::new()),
            when: When::AfterContent,
            delay: Duration::ZERO,
            fault: Fault::None,
            close: false,
        }
    }

    pub fn text(text: &str) -> Self {
        Self::new(200).with_content(Content::Length(text.as_bytes().to_vec())).with_field("Content-Type", "text/plain")
    }

    pub fn echo() -> Self {
        Self::new(200).with_content(Content::Echo)
    }

    pub fn broken(fault: Fault) -> Self {
        let mut answer = Self::text("0123456789");
        answer.fault = fault;
        answer
    }

    pub fn with_content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub fn with_interim(mut self, status: u16, fields: &[(&str, &str)]) -> Self {
        self.interim.push((status, fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()));
        self
    }

    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub fn at(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The head as bytes; `echoed` is the length of the request's content.
    pub fn head(&self, echoed: usize) -> Vec<u8> {
        let mut head = Vec::new();
        for (status, fields) in &self.interim {
            head.extend_from_slice(&start(*status, fields));
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(&start(self.status, &self.fields));
        let framing = match &self.content {
            Content::Length(bytes) => format!("Content-Length: {}\r\n", bytes.len()),
            Content::Filler(length) => format!("Content-Length: {length}\r\n"),
            Content::Echo => format!("Content-Length: {echoed}\r\n"),
            Content::Chunked { .. } => "Transfer-Encoding: chunked\r\n".into(),
            Content::None | Content::UntilClose(_) | Content::Raw(_) => String::new(),
        };
        head.extend_from_slice(framing.as_bytes());
        if self.close {
            head.extend_from_slice(b"Connection: close\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

fn start(status: u16, fields: &[(String, String)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Because\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.into_bytes()
}
