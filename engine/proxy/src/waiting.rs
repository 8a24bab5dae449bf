//! Places for requests that wait for somebody else's answer. They are few, and shared: neither one client nor one token
//! that many present takes them all.

use std::cell::RefCell;
use std::rc::Rc;

use activation::shares::{NoRoom, room_for};
use identity::throttle::Client;
use identity::token::opaque::OpaqueKey;

/// Requests of one worker that wait for newer keys at the same time, and such that wait for what an issuer says of a token;
/// further ones are refused at once.
pub const WAITING_MAX: usize = 512;

/// The places of one worker, for each kind of question apart, so that neither shuts out the other.
#[derive(Default)]
pub(crate) struct Waiting {
    pub for_keys: Rc<Places>,
    pub for_tokens: Rc<Places>,
}

#[derive(Default)]
pub(crate) struct Places {
    /// Who waits, in no order.
    taken: RefCell<Vec<Taken>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Taken {
    client: Client,
    /// None: for keys, where all wait for the same.
    token: Option<OpaqueKey>,
}

impl Places {
    /// A place for a request of `client`, until it is dropped.
    pub fn take(self: &Rc<Self>, client: Client, token: Option<OpaqueKey>) -> Result<Place, NoRoom> {
        let mut taken = self.taken.borrow_mut();
        let of_client = taken.iter().filter(|other| other.client == client).count();
        room_for(of_client, taken.len(), WAITING_MAX)?;
        if token.is_some() {
            let of_token = taken.iter().filter(|other| other.token == token).count();
            // Those who present it are many.
            room_for(of_token, taken.len(), WAITING_MAX).map_err(|_| NoRoom::Others)?;
        }
        let own = Taken { client, token };
        taken.push(own);
        Ok(Place { of: Rc::clone(self), taken: own })
    }
}

/// One of the places.
pub(crate) struct Place {
    of: Rc<Places>,
    taken: Taken,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.borrow_mut();
        // Equal ones are one as good as the other.
        if let Some(index) = taken.iter().position(|other| *other == self.taken) {
            taken.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn client(last: u8) -> Client {
        Client::from(IpAddr::from([192, 0, 2, last]))
    }

    fn key(number: usize) -> Option<OpaqueKey> {
        let mut key = [0; 33];
        key[..8].copy_from_slice(&number.to_le_bytes());
        Some(key)
    }

    #[test]
    fn one_client_gets_half_and_others_wait_beside_it() {
        let places = Rc::<Places>::default();
        let own: Vec<_> = (0..600).map_while(|number| places.take(client(1), key(number)).ok()).collect();
        assert_eq!(own.len(), WAITING_MAX / 2);
        assert_eq!(places.take(client(1), key(9_999)).err(), Some(NoRoom::Own));
        let other = places.take(client(2), key(10_000)).unwrap();
        drop(own);
        assert_eq!(places.taken.borrow().len(), 1);
        drop(other);
        assert!(places.taken.borrow().is_empty());
    }

    #[test]
    fn one_token_of_many_clients_gets_half() {
        let places = Rc::<Places>::default();
        let same: Vec<_> = (0..=255).map_while(|last| places.take(client(last), key(1)).ok()).collect();
        assert_eq!(same.len(), WAITING_MAX / 2);
        assert_eq!(places.take(client(1), key(1)).err(), Some(NoRoom::Others), "it is not one client's doing");
        assert!(places.take(client(1), key(2)).is_ok());
    }
}
