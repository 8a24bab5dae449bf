//! Places for requests that wait for somebody else's answer. They are few, and shared: neither one issuer that hangs, nor
//! one client, nor one token that many present takes them all.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use activation::shares::{NoRoom, room_within};
use identity::throttle::Client;
use identity::token::Issuer;
use identity::token::opaque::OpaqueKey;

/// Requests of one worker that wait for newer keys at the same time, and such that wait for what an issuer says of a token:
/// shared by issuers, and of each by clients; further ones are refused at once.
pub const WAITING_MAX: usize = 1_024;

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

#[derive(Clone)]
struct Taken {
    issuer: Arc<Issuer>,
    client: Client,
    /// None: for keys, where all wait for the same.
    token: Option<OpaqueKey>,
}

impl Places {
    /// A place for a request of `client` that waits for `issuer`, until it is dropped.
    pub fn take(
        self: &Rc<Self>,
        issuer: &Arc<Issuer>,
        client: Client,
        token: Option<OpaqueKey>,
    ) -> Result<Place, NoRoom> {
        let mut taken = self.taken.borrow_mut();
        let (mut of_issuer, mut of_client, mut of_token) = (0, 0, 0);
        for other in taken.iter().filter(|other| other.issuer.is_same(issuer)) {
            of_issuer += 1;
            of_client += usize::from(other.client == client);
            of_token += usize::from(other.token == token);
        }
        let room_beside = |own| room_within(own, of_issuer, taken.len(), WAITING_MAX);
        room_beside(of_client)?;
        if token.is_some() {
            // Those who present it are many.
            room_beside(of_token).map_err(|_| NoRoom::Others)?;
        }
        let own = Taken { issuer: Arc::clone(issuer), client, token };
        taken.push(own.clone());
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
        let (own, mut taken) = (&self.taken, self.of.taken.borrow_mut());
        // Equal ones are one as good as the other.
        let is_own =
            |other: &Taken| (other.client, other.token) == (own.client, own.token) && other.issuer.is_same(&own.issuer);
        if let Some(index) = taken.iter().position(is_own) {
            taken.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use policy::model::{self, Keys};

    use super::*;

    fn issuer(name: &str) -> Arc<Issuer> {
        let rules = model::Issuer {
            name: name.to_owned(),
            issuer: "https://id.example".to_owned(),
            audience: vec!["api".to_owned()],
            algorithms: vec![],
            keys: Keys::None,
            introspection: None,
            scope_claim: None,
            leeway_s: 0,
        };
        Arc::new(Issuer::new(rules, None))
    }

    fn client(number: u32) -> Client {
        Client::from(IpAddr::from(number.to_be_bytes()))
    }

    fn key(number: u32) -> Option<OpaqueKey> {
        let mut key = [0; 33];
        key[..4].copy_from_slice(&number.to_le_bytes());
        Some(key)
    }

    /// As many places as there are, up to twice the bound, each for what `of` says.
    fn fill(places: &Rc<Places>, issuer: &Arc<Issuer>, of: impl Fn(u32) -> (Client, Option<OpaqueKey>)) -> Vec<Place> {
        let asked = (0..2 * WAITING_MAX as u32).map(of);
        asked.map_while(|(client, token)| places.take(issuer, client, token).ok()).collect()
    }

    #[test]
    fn one_client_gets_a_quarter_and_others_wait_beside_it() {
        let (places, issuer) = (Rc::<Places>::default(), issuer("corp"));
        let own = fill(&places, &issuer, |number| (client(1), key(number)));
        assert_eq!(own.len(), WAITING_MAX / 4);
        assert_eq!(places.take(&issuer, client(1), key(9_999)).err(), Some(NoRoom::Own));
        let other = places.take(&issuer, client(2), key(10_000)).unwrap();
        drop(own);
        assert_eq!(places.taken.borrow().len(), 1);
        drop(other);
        assert!(places.taken.borrow().is_empty());
    }

    #[test]
    fn one_token_of_many_clients_gets_a_quarter() {
        let (places, issuer) = (Rc::<Places>::default(), issuer("corp"));
        let same = fill(&places, &issuer, |number| (client(number), key(1)));
        assert_eq!(same.len(), WAITING_MAX / 4);
        assert_eq!(places.take(&issuer, client(9_999), key(1)).err(), Some(NoRoom::Others), "not one client's doing");
        assert!(places.take(&issuer, client(1), key(2)).is_ok());
    }

    #[test]
    fn an_issuer_that_many_wait_for_leaves_half_to_others() {
        let places = Rc::<Places>::default();
        for of in [key, |_| None] {
            let many = fill(&places, &issuer("hangs"), |number| (client(number), of(number)));
            assert_eq!(many.len(), WAITING_MAX / 2);
            assert_eq!(places.take(&issuer("hangs"), client(9_999), of(9_999)).err(), Some(NoRoom::Others));
            assert!(places.take(&issuer("corp"), client(1), of(1)).is_ok());
        }
    }
}
