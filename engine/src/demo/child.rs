//! The demo's gateway: this binary with `run`, as a child process.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::telling::Telling;
use super::world::{World, program};
use crate::failure::Failure;

/// How long the gateway may take to come up.
const START_S_MAX: u64 = 20;

/// A running gateway.
pub struct Gateway {
    child: Child,
    /// `127.0.0.1:port` of its listener.
    pub address: String,
    pub admin: String,
}

impl Gateway {
    /// Starts it and waits until it says where it listens.
    pub async fn start(world: &World, telling: &mut Telling<'_>) -> Result<Self, Failure> {
        telling.chapter("The gateway verifies the release before it binds a socket, then serves it")?;
        let log = world.path("gateway.log");
        let log_file = std::fs::File::create(&log).map_err(|error| Failure::at(&log, error))?;
        let mut child = Command::from(program()?)
            .args(["run", "gateway.toml", "--print-addresses", "addresses.json"])
            .current_dir(world.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::new(format_args!("the gateway did not start: {error}")))?;
        let until = Instant::now() + Duration::from_secs(START_S_MAX);
        let addresses = loop {
            if let Ok(text) = world.read("addresses.json") {
                break serde_json::from_str::<Value>(&text).map_err(Failure::new)?;
            }
            let ended = child.try_wait().map_err(Failure::new)?;
            if ended.is_some() || Instant::now() > until {
                let said = world.read("gateway.log")?;
                return Err(Failure::new(format_args!("the gateway did not come up; it said:\n{said}")));
            }
            sleep(Duration::from_millis(20)).await;
        };
        telling.command("run gateway.toml", &world.read("gateway.log")?)?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let address = text(addresses.pointer("/listeners/0/address"));
        Ok(Self { child, address, admin: text(addresses.get("admin")) })
    }

    /// Port of the listener.
    pub fn port(&self) -> &str {
        self.address.rsplit_once(':').map_or("", |(_, port)| port)
    }

    /// Waits for an end that nobody asked for.
    pub async fn ended(&mut self) -> Failure {
        match self.child.wait().await {
            Ok(status) => Failure::new(format_args!("the gateway ended ({status})")),
            Err(error) => Failure::new(error),
        }
    }

    /// Lets it drain and waits for its end.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            // It may have ended by itself: Ctrl-C reaches the whole foreground group.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let status = self.child.wait().await.map_err(Failure::new)?;
        if status.success() { Ok(()) } else { Err(Failure::new(format_args!("the gateway ended badly ({status})"))) }
    }
}
