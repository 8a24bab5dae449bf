//! A target at work.

use std::net::SocketAddr;
use std::path::Path;

use super::file::Target;
use super::material::{HOST, Material, PATH, write};
use super::obtain::Place;
use super::process::{Aim, Process, Start};
use super::template::{Template, Values};
use super::{Fault, Work};
use crate::{measure, wire};

/// A limit that probes reach, requests a second.
pub const LIMIT_SMALL: u32 = 20;
/// A limit that no load reaches, requests a second.
pub const LIMIT_NONE: u32 = 100_000_000;
/// Connections that a target is told to be ready for, where this process may open so many.
const CONNECTIONS_MAX: u64 = 8_000;

/// What a target needs to know of the world around it.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    pub place: &'c Place,
    pub material: &'c Material,
    pub origin: SocketAddr,
    /// Core of all its threads.
    pub core: usize,
    /// Requests a second.
    pub limit: u32,
}

/// A target that serves; dropping it kills all its processes.
pub struct Running {
    process: Option<Process>,
    pub address: SocketAddr,
    work: Work,
    worker_threads: Option<String>,
}

/// Everything that a start needs, in plain text.
pub(super) struct Rendered {
    pub files: Vec<(String, String)>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    values: Values,
}

impl Target {
    /// Starts it and waits until it listens.
    pub fn start(&self, context: &Context<'_>, work: Work) -> Result<Running, Fault> {
        self.does(work)?;
        let worker_threads = self.worker_threads.clone();
        let Some(program) = &self.program else {
            return Ok(Running { process: None, address: context.origin, work, worker_threads });
        };
        let aim = Aim { target: &self.name, work: work.name(), core: context.core, ready: self.ready };
        let process = Process::start(aim, |address, directory| {
            let rendered = self.render(context, work, address, directory)?;
            for (name, text) in &rendered.files {
                write(&directory.join(name), text)?;
            }
            let program = program.render(&rendered.values)?;
            Ok(Start { program, arguments: rendered.arguments, environment: rendered.environment })
        })?;
        Ok(Running { address: process.address, process: Some(process), work, worker_threads })
    }

    /// Replaces every placeholder of what belongs to this work.
    pub(super) fn render(
        &self,
        context: &Context<'_>,
        work: Work,
        listen: SocketAddr,
        directory: &Path,
    ) -> Result<Rendered, Fault> {
        let does = self.does(work)?;
        let mut values = context.place.values();
        values.extend(context.material.values());
        let config = does.files.first().map_or("none", |(name, _)| name.as_str());
        for (name, value) in [
            ("listen", listen.to_string()),
            ("listen_host", listen.ip().to_string()),
            ("listen_port", listen.port().to_string()),
            ("origin", context.origin.to_string()),
            ("origin_host", context.origin.ip().to_string()),
            ("origin_port", context.origin.port().to_string()),
            ("directory", directory.display().to_string()),
            ("core", context.core.to_string()),
            ("connections", connections().to_string()),
            ("limit", context.limit.to_string()),
            ("config", directory.join(config).display().to_string()),
        ] {
            values.insert(name.to_owned(), value);
        }
        for (name, value) in &does.values {
            let value = value.render(&values)?;
            values.insert(name.clone(), value);
        }
        let named = |all: &[(String, Template)]| {
            all.iter().map(|(name, text)| Ok((name.clone(), text.render(&values)?))).collect::<Result<Vec<_>, Fault>>()
        };
        let (files, environment) = (named(&does.files)?, named(&self.environment)?);
        let arguments =
            self.start.iter().chain(&does.arguments).map(|text| text.render(&values)).collect::<Result<_, _>>()?;
        Ok(Rendered { files, arguments, environment, values })
    }
}

impl Running {
    /// Its processes; none where nothing was started.
    pub fn pids(&self) -> Vec<u32> {
        self.process.as_ref().map_or_else(Vec::new, |process| measure::family(process.pid()))
    }

    /// Beginning of the names of the threads that answer requests, where others do not.
    pub fn worker_threads(&self) -> Option<&str> {
        self.worker_threads.as_deref()
    }

    pub fn work(&self) -> Work {
        self.work
    }

    /// Where requests of its work go.
    pub fn wire(&self) -> wire::Target {
        let tls = self.work.transport().is_tls();
        wire::Target { address: self.address, authority: HOST.to_owned(), path: PATH.to_owned(), tls }
    }
}

/// A proxy needs two descriptors for each connection.
fn connections() -> u64 {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    (descriptors.saturating_sub(200) / 2).clamp(64, CONNECTIONS_MAX)
}
