//! The last look before a permitted request leaves. It may have waited, for its intent on stable storage or for a connection
//! to its origin, and what it stands on may have been revoked meanwhile: the sweep comes but once a tick.

use policy::reason::Reason;

use crate::certified::{Judge, Standing};
use crate::forward::Asking;
use crate::revoked;
use crate::transport::Transport;

/// Whether the request may still be sent; why not.
pub fn check<T: Transport>(asking: Asking<'_, T>) -> Result<(), Reason> {
    let Asking { activation, client, .. } = asking;
    if let Some(stage) = client.deadline.given_up() {
        return Err(stage.ends_exchange().unwrap_or(Reason::ClientTimeout));
    }
    if let Some(reason) = revoked::of_connection(client, activation) {
        return Err(reason);
    }
    if client.certificate.is_some() { certificate(asking) } else { Ok(()) }
}

/// Whether a list of its CA that came with another activation names the client's certificate.
fn certificate<T: Transport>(asking: Asking<'_, T>) -> Result<(), Reason> {
    let Asking { worker, activation, client, .. } = asking;
    let newest = worker.activation();
    if newest.client_cas.digest() == activation.client_cas.digest() {
        return Ok(());
    }
    let (Some(certificate), Some(chain)) = (&client.certificate, client.transport.peer_chain()) else { return Ok(()) };
    let now_s = worker.now_unix_ns() / 1_000_000_000;
    let chains = &mut worker.memory.borrow_mut().chains;
    match Judge::new(&newest, chains, true, now_s).standing(certificate, &chain) {
        Standing::Revoked(reason) => Err(reason),
        _ => Ok(()),
    }
}
