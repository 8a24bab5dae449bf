//! The listeners that tell what the gateway does: admin for this machine, status for the fleet.

use std::net::SocketAddr;
use std::sync::Arc;

use control::admin::{self, Bound, BoundStatus};
use control::records::Handle;
use control::status::Status;

use super::Plan;
use crate::failure::Failure;

/// Bound, and not served yet.
pub struct Tellers {
    admin: Option<Bound>,
    status: Option<BoundStatus>,
}

/// Where they stand.
pub struct ToldAt {
    pub admin: Option<String>,
    pub status: Option<SocketAddr>,
}

/// Whether the files of the status listener are right.
pub fn check(plan: &Plan) -> Result<(), Failure> {
    plan.status.as_ref().map_or(Ok(()), admin::check_status).map_err(Failure::new)
}

impl Tellers {
    pub fn bind(plan: &Plan) -> Result<Self, Failure> {
        Ok(Self {
            admin: plan.admin.as_ref().map(admin::bind).transpose().map_err(Failure::new)?,
            status: plan.status.as_ref().map(admin::bind_status).transpose().map_err(Failure::new)?,
        })
    }

    /// Each on a thread of its own, until the process ends.
    pub fn serve(self, status: &Arc<Status>, records: &Handle, worker_cores: &[usize]) -> Result<ToldAt, Failure> {
        if self.admin.is_some() || self.status.is_some() {
            admin::measure(Arc::clone(status), worker_cores.to_vec());
        }
        let told = ToldAt {
            admin: self.admin.as_ref().map(|bound| absolute(bound.address())),
            status: self.status.as_ref().map(BoundStatus::address),
        };
        if let Some(admin) = self.admin {
            admin.serve(Arc::clone(status), worker_cores.to_vec()).map_err(Failure::new)?;
        }
        if let Some(listener) = self.status {
            listener.serve(Arc::clone(status), records.clone(), worker_cores.to_vec()).map_err(Failure::new)?;
        }
        Ok(told)
    }
}

/// As `adamant status` takes it from anywhere: a socket by its whole path.
fn absolute(address: String) -> String {
    let path = address.strip_prefix("unix:").and_then(|path| std::path::absolute(path).ok());
    path.map_or(address, |path| format!("unix:{}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::absolute;

    #[test]
    fn a_socket_is_named_by_its_whole_path() {
        let whole = absolute("unix:admin.sock".to_owned());
        assert!(whole.starts_with("unix:/") && whole.ends_with("/admin.sock"), "{whole}");
        for as_it_is in ["unix:/run/adamant/admin", "127.0.0.1:9901"] {
            assert_eq!(absolute(as_it_is.to_owned()), as_it_is);
        }
    }
}
