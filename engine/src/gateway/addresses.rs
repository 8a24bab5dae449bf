//! Where the gateway listens, told to people and to scripts.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use super::Running;
use super::tellers::ToldAt;
use crate::failure::Failure;
use crate::files::{self, Access, Existing};

/// Writes `{"listeners":[{"address":"127.0.0.1:8080","tls":false}],"admin":"127.0.0.1:9901","status":null}` whole or not
/// at all.
pub fn write(path: &Path, listeners: &[(SocketAddr, bool)], told_at: &ToldAt) -> Result<(), Failure> {
    let listeners: Vec<_> =
        listeners.iter().map(|(address, tls)| json!({ "address": address.to_string(), "tls": tls })).collect();
    let text = format!("{}\n", json!({ "listeners": listeners, "admin": told_at.admin, "status": told_at.status }));
    Ok(files::write(path, text.as_bytes(), Access::Everyone, Existing::Replace)?)
}

/// One line a listener on stderr.
pub fn tell(running: &Running) {
    let workers = match running.workers.len() {
        1 => "1 worker".to_owned(),
        workers => format!("{workers} workers"),
    };
    for (address, tls) in &running.listeners {
        let scheme = if *tls { "https" } else { "http" };
        control::info!("listening on {scheme}://{address} with {workers}");
        if !tls && !address.ip().is_loopback() {
            control::warning!("{address} is plain HTTP on a network: whoever can listen there reads every credential");
        }
    }
    if let Some(admin) = &running.told_at.admin {
        control::info!("the admin listener is at {admin}");
    }
    if let Some(status) = &running.told_at.status {
        control::info!("the status listener is at https://{status} (client certificates required)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_where() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("addresses");
        let told_at = ToldAt { admin: None, status: None };
        write(&path, &[("127.0.0.1:1".parse().unwrap(), true)], &told_at).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            written,
            json!({"listeners": [{"address": "127.0.0.1:1", "tls": true}], "admin": null, "status": null})
        );
    }
}
