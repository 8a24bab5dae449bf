//! The claims of a token (RFC 7519 §4), read strictly: an expected claim of another type is a fault, never ignored.

use std::borrow::Cow;

use super::confirmation::Confirmation;
use super::fault::{Part, TokenFault};
use crate::bounds::{
    NUMERIC_DATE_S_MAX, TOKEN_AUDIENCES_MAX, TOKEN_ID_BYTES_MAX, TOKEN_SCOPES_MAX, TOKEN_SUBJECT_BYTES_MAX,
};
use crate::json::{Members, Value, elements};

/// Claims with their types checked; times in seconds since the Unix epoch.
#[derive(Debug)]
pub(super) struct Claims<'c> {
    members: Members<'c>,
    pub(super) issuer: Cow<'c, str>,
    audiences: Strings<'c>,
    pub(super) subject: Cow<'c, str>,
    pub(super) id: Option<Cow<'c, str>>,
    /// Rounded down: the token is dead from then on.
    pub(super) expires_s: u64,
    /// Rounded up: the token lives from then on.
    pub(super) not_before_s: Option<u64>,
    /// Rounded down: issued before the next whole second.
    pub(super) issued_s: Option<u64>,
    /// Rounded up: issued by then.
    issued_by_s: Option<u64>,
    pub(super) confirmation: Confirmation,
}

/// A claim that is a string or an array of strings.
#[derive(Debug)]
enum Strings<'c> {
    One(Cow<'c, str>),
    Many(Vec<Value<'c>>),
}

impl<'c> Claims<'c> {
    pub(super) fn read(bytes: &'c [u8]) -> Result<Self, TokenFault> {
        let members = Members::read(bytes).map_err(|fault| TokenFault::Json(Part::Claims, fault))?;
        let issuer = required_text(&members, "iss")?;
        Self::of(members, issuer, "sub")
    }

    /// The claims among `members`, which are known to be those of `issuer`; `subject` is the one that names the subject.
    pub(super) fn of(members: Members<'c>, issuer: Cow<'c, str>, subject: &'static str) -> Result<Self, TokenFault> {
        let audiences = match members.find("aud").ok_or(TokenFault::ClaimMissing("aud"))? {
            Value::Array(raw) => {
                strings(raw, TOKEN_AUDIENCES_MAX).map(Strings::Many).ok_or(TokenFault::ClaimValue("aud"))?
            }
            Value::Text(text) => Strings::One(text.clone()),
            _ => return Err(TokenFault::ClaimValue("aud")),
        };
        let subject = required_text(&members, subject)?;
        if subject.is_empty() || subject.len() > TOKEN_SUBJECT_BYTES_MAX || subject.chars().any(char::is_control) {
            return Err(TokenFault::Subject);
        }
        let id = optional_text(&members, "jti")?;
        if id.as_deref().is_some_and(|id| id.len() > TOKEN_ID_BYTES_MAX) {
            return Err(TokenFault::ClaimValue("jti"));
        }
        let expires_s = date(&members, "exp", f64::floor)?.ok_or(TokenFault::ClaimMissing("exp"))?;
        let not_before_s = date(&members, "nbf", f64::ceil)?;
        let (issued_s, issued_by_s) = (date(&members, "iat", f64::floor)?, date(&members, "iat", f64::ceil)?);
        let confirmation = Confirmation::read(members.find("cnf"))?;
        Ok(Self {
            issuer,
            audiences,
            subject,
            id,
            expires_s,
            not_before_s,
            issued_s,
            issued_by_s,
            confirmation,
            members,
        })
    }

    /// Whether it was issued by `now_s`, seconds since the Unix epoch.
    pub(super) fn check_issued(&self, now_s: u64, leeway_s: u32) -> Result<(), TokenFault> {
        let is_ahead = self.issued_by_s.is_some_and(|issued_s| now_s.saturating_add(u64::from(leeway_s)) < issued_s);
        if is_ahead { Err(TokenFault::IssuedInFuture) } else { Ok(()) }
    }

    /// Whether one of `accepted` stands in `aud`.
    pub(super) fn is_for(&self, accepted: &[String]) -> bool {
        let accepts = |audience: &str| accepted.iter().any(|known| known == audience);
        match &self.audiences {
            Strings::One(audience) => accepts(audience),
            Strings::Many(many) => many.iter().any(|value| matches!(value, Value::Text(text) if accepts(text))),
        }
    }

    /// The names in the scope claim (RFC 6749 §3.3, RFC 8693 §4.2); none when it is absent.
    pub(super) fn scopes(&self, claim: &str) -> Result<Vec<Box<str>>, TokenFault> {
        let scopes: Vec<Box<str>> = match self.members.find(claim) {
            None => Vec::new(),
            Some(Value::Text(text)) => {
                text.split(' ').filter(|name| !name.is_empty()).take(TOKEN_SCOPES_MAX + 1).map(Into::into).collect()
            }
            Some(Value::Array(raw)) => strings(raw, TOKEN_SCOPES_MAX)
                .ok_or(TokenFault::Scopes)?
                .into_iter()
                .filter_map(|value| if let Value::Text(text) = value { Some(text.into()) } else { None })
                .collect(),
            Some(_) => return Err(TokenFault::Scopes),
        };
        if scopes.len() > TOKEN_SCOPES_MAX { Err(TokenFault::Scopes) } else { Ok(scopes) }
    }
}

/// The elements of an array, if all are strings and there are at most `count_max`.
fn strings(raw: &str, count_max: usize) -> Option<Vec<Value<'_>>> {
    let values = elements(raw).ok()?;
    let fit = values.len() <= count_max && values.iter().all(|value| matches!(value, Value::Text(_)));
    fit.then_some(values)
}

pub(super) fn optional_text<'c>(members: &Members<'c>, name: &'static str) -> Result<Option<Cow<'c, str>>, TokenFault> {
    match members.find(name) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(TokenFault::ClaimValue(name)),
    }
}

fn required_text<'c>(members: &Members<'c>, name: &'static str) -> Result<Cow<'c, str>, TokenFault> {
    optional_text(members, name)?.ok_or(TokenFault::ClaimMissing(name))
}

/// A NumericDate (RFC 7519 §2): seconds, fractions allowed, not negative, not after the year 9999.
fn date(members: &Members<'_>, name: &'static str, round: fn(f64) -> f64) -> Result<Option<u64>, TokenFault> {
    let Some(value) = members.find(name) else {
        return Ok(None);
    };
    let seconds = match value {
        Value::Number(text) => text.parse::<f64>().map_err(|_| TokenFault::ClaimValue(name))?,
        _ => return Err(TokenFault::ClaimValue(name)),
    };
    if !(0.0..=NUMERIC_DATE_S_MAX).contains(&seconds) {
        return Err(TokenFault::ClaimValue(name));
    }
    Ok(Some(round(seconds) as u64))
}
