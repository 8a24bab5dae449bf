//! The token of a request. One that was verified before costs a look-up; its times are checked on each use.

use std::rc::Rc;
use std::sync::Arc;

use activation::Activation;
use activation::shares::NoRoom;
use identity::token::{Cache, Confirmation, Found, VerifiedToken, verify};
use policy::account::counted_as;
use policy::reason::Reason;
use policy::table::{IssuerIndex, TokenProofId, TokenScopes};

use super::Gate;
use crate::fresh_keys::{Look, Question, look};
use crate::opaque;
use crate::revoked::Known;

/// The verified tokens of one worker.
pub type Tokens = Cache<Rc<TokenUse>>;

/// A verified token as one activation sees it.
pub struct TokenUse {
    activation: u64,
    /// Whom the token names; none when nobody.
    pub(super) proof: Option<TokenProofId>,
    pub scopes: TokenScopes,
    pub issuer: u16,
    pub subject: Box<str>,
    /// Issuer and subject, for limits that count subjects: equal names of two issuers are two subjects.
    pub counted_as: Box<[u8]>,
    /// Of the key that verified it, and others of the same key.
    pub kid: Option<Box<str>>,
    pub other_kids: Box<[Box<str>]>,
    /// `jti`.
    pub id: Option<Box<str>>,
    pub issued_s: Option<u64>,
    pub expires_s: u64,
    pub confirmation: Confirmation,
    /// Where uses of its key are noted.
    pub used_at: u32,
    /// Its issuer was asked about it.
    pub introspected: bool,
    /// Space-separated, for the record; see `one_text`.
    pub scopes_text: Option<Box<str>>,
    pub revoked: Known,
}

/// What a token proves, and whether it was known before.
pub(super) fn check_token(
    activation: &Activation,
    tokens: &mut Tokens,
    token: &[u8],
    gate: &mut Gate<'_>,
    now_s: u64,
) -> (Result<Rc<TokenUse>, Reason>, bool) {
    match tokens.find(token, &activation.issuers) {
        Found::Verified { token: verified, value } => {
            let issuer = activation.issuers.get(usize::from(verified.issuer));
            let leeway_s = issuer.map_or(0, |issuer| issuer.rules().leeway_s);
            if let Err(fault) = verified.check_time(now_s, leeway_s) {
                return (Err(fault.reason()), true);
            }
            (Ok(TokenUse::renewed(activation, verified, value)), true)
        }
        Found::Refused(fault) => (Err(gate.failed(fault.reason())), true),
        Found::Unknown => opaque::check(activation, tokens, token, gate)
            .unwrap_or_else(|| (verify_token(activation, tokens, token, gate, now_s), false)),
    }
}

fn verify_token(
    activation: &Activation,
    tokens: &mut Tokens,
    token: &[u8],
    gate: &mut Gate<'_>,
    now_s: u64,
) -> Result<Rc<TokenUse>, Reason> {
    gate.pass()?;
    match verify(token, &activation.issuers, now_s) {
        Ok(verified) => {
            let used = Rc::new(TokenUse::new(activation, &verified));
            tokens.keep(token, &activation.issuers, verified, Rc::clone(&used));
            Ok(used)
        }
        Err(fault) => {
            match look(token, &activation.issuers, fault) {
                Look::Final => drop(tokens.keep_refused(token, &activation.issuers, fault)),
                Look::Closed => {}
                Look::Asked(issuer, asked) => match gate.waiting.for_keys.take(issuer, gate.client.into(), None) {
                    Ok(place) => {
                        // Not counted as a failure before it is one.
                        gate.wait_for(Question::Keys { issuer: Arc::clone(issuer), asked, place });
                        return Err(fault.reason());
                    }
                    Err(NoRoom::Others) => return Err(fault.reason()),
                    Err(NoRoom::Own) => {}
                },
            }
            Err(gate.failed(fault.reason()))
        }
    }
}

impl TokenUse {
    /// `value`, looked up again where it is of another activation.
    pub(crate) fn renewed(activation: &Activation, token: &VerifiedToken, value: &mut Rc<Self>) -> Rc<Self> {
        if value.activation != activation.id {
            *value = Rc::new(Self::new(activation, token));
        }
        Rc::clone(value)
    }

    pub(crate) fn new(activation: &Activation, token: &VerifiedToken) -> Self {
        let table = &activation.table;
        let scopes = token.scopes.as_ref();
        let issuer = activation.issuers.get(usize::from(token.issuer));
        Self {
            activation: activation.id,
            proof: table.proof_token(IssuerIndex(token.issuer), token.subject.as_bytes()),
            scopes: scopes.map_or(TokenScopes::everything(), |names| {
                table.token_scopes(names.iter().map(|name| name.as_bytes()))
            }),
            issuer: token.issuer,
            subject: token.subject.clone(),
            counted_as: counted_as(issuer.map_or("", |issuer| &issuer.rules().issuer), &token.subject),
            kid: token.kid.clone(),
            other_kids: token.other_kids.clone(),
            id: token.id.clone(),
            issued_s: token.issued_s,
            expires_s: token.expires_s,
            confirmation: token.confirmation,
            used_at: activation.uses.place_of_key(&activation.issuers, token.issuer, token.kid.as_deref()),
            introspected: token.believed_until_ms.is_some(),
            scopes_text: scopes.map(|names| one_text(names)),
            revoked: Known::default(),
        }
    }
}

/// Scopes with spaces between them. A name with a space in it, which a list can have, is left out: no scope of a policy
/// has one, and it would read as two.
fn one_text(names: &[Box<str>]) -> Box<str> {
    let names: Vec<&str> = names.iter().map(|name| &**name).filter(|name| !name.contains(' ')).collect();
    names.join(" ").into()
}
