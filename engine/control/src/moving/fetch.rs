//! Fetching a key set: from its URL, or from where the issuer's metadata says. The server is the one that the release
//! names, and no other.

use std::time::Duration;

use policy::model::{Fetched, Issuer, Keys, ServerCa};
use serde_json::Value;
use stores::http::{Bounds, Client, Got, HttpFault, Place, PlaceFault, Trust, TrustFault};

use crate::bounds::{FETCH_MS_MAX, FETCH_STEP_MS_MAX, JWKS_BYTES_MAX};

/// Where the metadata of an issuer stands (OpenID Connect Discovery 1.0 §4).
const METADATA_PATH: &str = "/.well-known/openid-configuration";

/// Why a source cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum SourceFault {
    #[error(transparent)]
    Place(#[from] PlaceFault),
    #[error(transparent)]
    Trust(#[from] TrustFault),
    #[error("{0} needs a CA: nobody could say who it is")]
    NoCa(String),
}

/// Why there is no key set.
#[derive(Debug, thiserror::Error)]
pub enum FetchFault {
    #[error(transparent)]
    Http(#[from] HttpFault),
    #[error("{place}: expected the metadata of an issuer (RFC 8414 §2), found {found}")]
    Metadata { place: String, found: String },
    #[error("{place}: expected metadata of the issuer {expected:?}, exactly, found {found:?}")]
    Issuer { place: String, expected: String, found: String },
    #[error(
        "{place}: expected a jwks_uri on the same server, which the release names, found {found:?}: name that one with \
         keys = {{ url = … }} if it is right"
    )]
    Elsewhere { place: String, found: String },
}

impl FetchFault {
    /// Whether something was there that is not good, rather than nothing.
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Http(_))
    }
}

/// What is known of the present key set at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    place: Place,
    etag: String,
}

/// What a fetch found.
#[derive(Debug)]
pub enum Found {
    Unchanged { max_age_s: Option<u64> },
    Keys { bytes: Vec<u8>, known: Option<Known>, max_age_s: Option<u64> },
}

/// Where the keys of an issuer are fetched from.
#[derive(Clone)]
pub struct Source {
    place: Place,
    is_metadata: bool,
    /// Value of `iss`.
    issuer: String,
    client: Client,
}

/// What bounds the keys of `rules`, where they are fetched.
pub fn bounds_of(keys: &Keys) -> Option<&Fetched> {
    match keys {
        Keys::Url(fetched) | Keys::Discovery(fetched) => Some(fetched),
        Keys::Pinned { .. } | Keys::Watch { .. } | Keys::None => None,
    }
}

impl Source {
    /// None where the keys of `rules` are not fetched.
    pub fn of(rules: &Issuer) -> Result<Option<Self>, SourceFault> {
        let Some(fetched) = bounds_of(&rules.keys) else { return Ok(None) };
        let is_metadata = matches!(rules.keys, Keys::Discovery(_));
        let mut place = Place::parse(&fetched.url)?;
        if is_metadata && !place.path().contains("/.well-known/") {
            place = place.with_path(format!("{}{METADATA_PATH}", place.path().trim_end_matches('/')));
        }
        let trust = match &fetched.ca {
            Some(ServerCa::Pinned { certificates }) => Some(Trust::Pinned(certificates)),
            Some(ServerCa::System) => Some(Trust::System),
            None if place.is_tls() => return Err(SourceFault::NoCa(place.to_string())),
            None => None,
        };
        let bounds = Bounds {
            step: Duration::from_millis(FETCH_STEP_MS_MAX),
            whole: Duration::from_millis(FETCH_MS_MAX),
            content_bytes_max: JWKS_BYTES_MAX,
        };
        let client = Client::new(trust.as_ref(), bounds)?;
        Ok(Some(Self { place, is_metadata, issuer: rules.issuer.clone(), client }))
    }

    /// Without the query.
    pub fn shown(&self) -> String {
        self.place.to_string()
    }

    /// What stands there now.
    pub async fn fetch(&self, known: Option<&Known>) -> Result<Found, FetchFault> {
        let place = if self.is_metadata { self.named_by_metadata().await? } else { self.place.clone() };
        let etag = known.filter(|known| known.place == place).map(|known| known.etag.as_str());
        Ok(match self.client.get(&place, etag).await? {
            Got::Unchanged { max_age_s } => Found::Unchanged { max_age_s },
            Got::Content { content, etag, max_age_s } => {
                let known = etag.map(|etag| Known { place, etag });
                Found::Keys { bytes: content.to_vec(), known, max_age_s }
            }
        })
    }

    async fn named_by_metadata(&self) -> Result<Place, FetchFault> {
        match self.client.get(&self.place, None).await? {
            Got::Content { content, .. } => jwks_place(&content, &self.place, &self.issuer),
            Got::Unchanged { .. } => Err(self.metadata("no content".to_owned())),
        }
    }

    fn metadata(&self, found: String) -> FetchFault {
        FetchFault::Metadata { place: self.place.to_string(), found }
    }
}

/// Where metadata says that the key set stands (RFC 8414 §3.3: the issuer must be the one that was asked for).
fn jwks_place(metadata: &[u8], from: &Place, issuer: &str) -> Result<Place, FetchFault> {
    let fault = |found: &str| FetchFault::Metadata { place: from.to_string(), found: found.to_owned() };
    let document: Value = serde_json::from_slice(metadata).map_err(|_| fault("no JSON"))?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let found = text("issuer").ok_or_else(|| fault("no `issuer`"))?;
    if found != issuer {
        let shown = |text: &str| text.chars().take(200).collect::<String>();
        return Err(FetchFault::Issuer { place: from.to_string(), expected: issuer.to_owned(), found: shown(found) });
    }
    let named = text("jwks_uri").ok_or_else(|| fault("no `jwks_uri`"))?;
    let elsewhere = || FetchFault::Elsewhere { place: from.to_string(), found: named.chars().take(200).collect() };
    Place::parse(named).ok().filter(|place| place.is_same_server(from)).ok_or_else(elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_must_be_of_the_issuer_and_stay_on_its_server() {
        let from = Place::parse("https://id.example/.well-known/openid-configuration").unwrap();
        let told = |text: &str| match jwks_place(text.as_bytes(), &from, "https://id.example") {
            Ok(place) => place.to_string(),
            Err(fault) => fault.to_string(),
        };
        let of = |issuer: &str, uri: &str| told(&format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}"}}"#));
        assert_eq!(of("https://id.example", "https://id.example/k"), "https://id.example/k");
        assert!(of("https://id.example/", "https://id.example/k").contains("exactly"));
        for elsewhere in
            ["https://other.example/k", "http://id.example/k", "https://id.example:8443/k", "/k", "http://127.0.0.1/"]
        {
            assert!(of("https://id.example", elsewhere).contains("same server"), "{elsewhere}");
        }
        assert!(told("[]").contains("no `issuer`") && told("x").contains("no JSON"));
        assert!(told(r#"{"issuer":"https://id.example"}"#).contains("no `jwks_uri`"));
    }
}
