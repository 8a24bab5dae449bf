//! The keys of an issuer, fetched from its URL.

use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::json;
use tests::issuer::{HttpsIssuer, Reply};
use tests::scene::bearer;
use tests::tokens::{AUDIENCE, ISSUER, TokenKey, claims, jwks, now_s};

use crate::Rotator;
use crate::credential::{Credential, Phase};
use crate::day::Day;
use crate::log::Told;
use crate::plan::Plan;

/// One key signs, the one before still counts; what is older is refused.
pub struct IssuerKeys {
    issuer: HttpsIssuer,
    tls: Arc<ClientConfig>,
    /// Those that are published, the latest last, with who shows their tokens.
    keys: Vec<(Arc<TokenKey>, Option<Arc<Credential>>)>,
    /// A token that ends before the next turn.
    short: Option<(u64, Arc<Credential>)>,
    turns: usize,
}

impl IssuerKeys {
    pub fn new(plan: &mut Plan) -> Self {
        let issuer = HttpsIssuer::start();
        let first = Arc::new(TokenKey::generate("ES256", "k0"));
        issuer.say("/keys", Reply::json(&jwks(&[&first])));
        let (url, ca) = (issuer.url("/keys"), issuer.ca.clone());
        plan.before(move |world| world.write("id-ca.pem", ca.as_bytes()));
        plan.policy(|policy| {
            let token = |subject: &str| format!("{{ token = {{ issuer = \"corp\", subject = \"{subject}\" }} }}");
            policy
                .with(&format!(
                    "[[issuer]]\nname = \"corp\"\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = \
                     [\"ES256\"]\nkeys = {{ url = \"{url}\", refresh = \"1s\", max_stale = \"1h\", ca = {{ file = \
                     \"id-ca.pem\" }} }}"
                ))
                .agent("bot", &token("bot"), &["all"], &[])
        });
        Self { issuer, tls: plan.servers.client_config(None), keys: vec![(first, None)], short: None, turns: 0 }
    }

    /// Shows a fresh token with every request.
    fn shown(&self, key: &Arc<TokenKey>) -> Arc<Credential> {
        let (name, key) = (format!("a token of key {}", key.kid), Arc::clone(key));
        Credential::new(name, Arc::clone(&self.tls), move || bearer(&key.sign(&claims("bot"))))
    }

    /// The first turn: a key that nobody ever publishes.
    fn forged(&self, day: &Day) {
        day.never_enters(&self.shown(&Arc::new(TokenKey::generate("ES256", "never"))));
        day.never_enters(&self.shown(&Arc::new(TokenKey::generate("ES256", "k0"))));
    }

    /// The token of the turn before has ended meanwhile; a new one takes its place.
    fn ends_soon(&mut self, day: &Day, key: &TokenKey) -> Result<(), String> {
        if let Some((ends_s, short)) = self.short.take() {
            day.until("a token ends", || now_s() > ends_s)?;
            day.leaves(&short)?;
        }
        let ends_s = now_s() + 3;
        let mut claims = claims("bot");
        claims["exp"] = json!(ends_s);
        let field = bearer(&key.sign(&claims));
        let short = Credential::new(format!("a token until {ends_s}"), Arc::clone(&self.tls), move || field.clone());
        self.short = Some((ends_s, Arc::clone(&short)));
        day.is_short(&short);
        Ok(())
    }
}

impl Rotator for IssuerKeys {
    fn name(&self) -> &'static str {
        "the issuer's keys"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        if self.turns == 0 {
            self.forged(day);
            let first = self.shown(&self.keys[0].0);
            day.enters(&first)?;
            self.keys[0].1 = Some(first);
        }
        let next = Arc::new(TokenKey::generate("ES256", &format!("k{}", self.turns + 1)));
        // With overlap: the latest two are published.
        let gone = if self.keys.len() > 1 { self.keys.remove(0).1 } else { None };
        if let Some(gone) = &gone {
            gone.becomes(Phase::Changing);
        }
        let published = jwks(&[&self.keys[0].0, &next]);
        day.takes("keyset", "corp", || self.issuer.say("/keys", Reply::json(&published)))?;
        self.turns += 1;
        let shown = self.shown(&next);
        day.enters(&shown)?;
        self.ends_soon(day, &next)?;
        self.keys.push((next, Some(shown)));
        gone.map_or(Ok(()), |gone| day.leaves(&gone))
    }

    fn told(&self) -> Vec<Told> {
        vec![Told::Taken("keyset", "corp".to_owned(), self.turns)]
    }
}
