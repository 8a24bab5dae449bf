//! Files below an https URL, as any web server gives them out. Read only.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{CONTENT_ENCODING, ETAG, HeaderValue};
use hyper::{Method, StatusCode};
use policy_release::digest::Digest;

use super::backend::{Backend, Fault, Got, Version};
use super::link::{Link, request};
use super::{LIST_MS_MAX, SMALL_MS_MAX};
use crate::http::{Answer, ETAG_BYTES_MAX};
use crate::{Server, layout};

/// Bytes of a file that comes as soon as the answer that it is the same.
const SMALL_BYTES: usize = 2 << 20;
const READ_ONLY: &str = "publish into the directory or the server that it is made from";

pub struct Https {
    link: Link,
    /// Files by their entity tags: they are not sent again while they are the same. One release at most.
    known: BTreeMap<String, (Option<HeaderValue>, Version)>,
    /// What a look brought along, for the read that follows.
    held: Option<(String, Got)>,
}

impl Https {
    pub const fn new(server: Server) -> Self {
        Self { link: Link::new(server), known: BTreeMap::new(), held: None }
    }

    fn ask(
        &mut self,
        file: &str,
        tag: Option<HeaderValue>,
        bytes_max: usize,
        within: Duration,
    ) -> Result<Answer, Fault> {
        let place = self.link.place(format!("/{}", self.link.server.key(file)));
        let token = self.link.token_field("Bearer ")?;
        let fields = [("authorization", token), ("if-none-match", tag)];
        let request = request(Method::GET, &place, "", &fields, Vec::new())?;
        let answer = self.link.exchange(&place, &request, true, bytes_max, within)?;
        match answer.status {
            StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::NOT_MODIFIED => {}
            _ => return Err(Fault::refused(&answer, "")),
        }
        match answer.fields.get(CONTENT_ENCODING).filter(|coding| *coding != "identity") {
            Some(_) => Err(Fault::strange("plain content", "a content coding, which was not asked for")),
            None => Ok(answer),
        }
    }

    /// What stands there now.
    fn take_in(&mut self, file: &str, answer: &Answer) -> Result<Got, Fault> {
        if answer.status == StatusCode::NOT_MODIFIED {
            return Err(Fault::strange("content", "304 Not Modified, which was not asked for"));
        }
        let got = got(answer);
        let is_release = |file: &str| file.starts_with(layout::RELEASES);
        self.known.retain(|known, _| known != file && !(is_release(file) && is_release(known)));
        if got.content.is_some() {
            let tag = answer.fields.get(ETAG).filter(|tag| tag.len() <= ETAG_BYTES_MAX).cloned();
            self.known.insert(file.to_owned(), (tag, got.version.clone()));
        }
        Ok(got)
    }
}

/// What an answer with content, or with none, says.
fn got(answer: &Answer) -> Got {
    if answer.status != StatusCode::OK {
        return Got { content: None, version: Version::absent() };
    }
    let version = Version(Digest::of(&answer.content).to_string());
    Got { content: Some(answer.content.to_vec()), version }
}

impl Backend for Https {
    fn look(&mut self, file: &str, bytes_max: usize) -> Result<Version, Fault> {
        let tag = match self.known.get(file) {
            // Without a tag it would be sent whole each time.
            Some((None, version)) if file.starts_with(layout::RELEASES) => return Ok(version.clone()),
            known => known.and_then(|(tag, _)| tag.clone()),
        };
        let is_small = tag.is_some() || bytes_max <= SMALL_BYTES;
        let within = Duration::from_millis(if is_small { SMALL_MS_MAX } else { LIST_MS_MAX });
        let is_asked = tag.is_some();
        let answer = self.ask(file, tag, bytes_max, within)?;
        if let (StatusCode::NOT_MODIFIED, true, Some((_, version))) = (answer.status, is_asked, self.known.get(file)) {
            return Ok(version.clone());
        }
        let got = self.take_in(file, &answer)?;
        let version = got.version.clone();
        self.held = Some((file.to_owned(), got));
        Ok(version)
    }

    fn get(&mut self, file: &str, bytes_max: usize, within: Duration) -> Result<Got, Fault> {
        if let Some((_, got)) = self.held.take_if(|(of, _)| of == file) {
            return Ok(got);
        }
        let answer = self.ask(file, None, bytes_max, within)?;
        self.take_in(file, &answer)
    }

    fn put(&mut self, _: &str, _: &[u8], _: &Version) -> Result<bool, Fault> {
        Err(Fault::new("an https store is read only", READ_ONLY))
    }

    fn remove(&mut self, _: &str) -> Result<(), Fault> {
        Ok(())
    }

    /// What is read may be another state than what was looked at, and the same state may come again.
    fn reads_what_it_looks_at(&self) -> bool {
        true
    }

    fn names(&mut self, _: &str) -> Result<Vec<String>, Fault> {
        Err(Fault::new("an https store does not tell what it has", READ_ONLY))
    }
}
