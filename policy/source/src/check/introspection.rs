//! Which issuer is asked about which token: a token is its bearer's, so it goes to nobody who might not have made it.

use policy::model::{Introspection, Issuer};

use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::draft::Draft;
use crate::fields::shown;
use crate::reading::Reading;

pub(super) fn check<'d>(draft: &Draft<'d>, reading: &mut Reading<'d, '_>) {
    let asked = |(issuer, at): (&'_ Issuer, &Option<Span>)| Some((issuer.introspection.clone()?, (*at)?));
    let all: Vec<(Introspection, Span)> =
        draft.issuers.iter().zip(&draft.introspections_at).filter_map(asked).collect();
    for (position, (one, at)) in all.iter().enumerate() {
        for (other, first_at) in all.iter().take(position) {
            if let Some((message, hint)) = overlap(one, other) {
                let diagnostic = Diagnostic::new(codes::AMBIGUOUS_INTROSPECTION, *at, message).label("asked as well");
                reading.sink.push(diagnostic.related(*first_at, "asked about the same token").hint(hint));
            }
        }
    }
}

/// Why both would be asked about one token, and what to do.
fn overlap(one: &Introspection, other: &Introspection) -> Option<(String, &'static str)> {
    let (Some(one), Some(other)) = (&one.prefix, &other.prefix) else {
        let message = "two issuers are asked about opaque tokens, and nothing tells whose is whose".to_owned();
        return Some((message, "give each `introspection` the `prefix` that its tokens begin with"));
    };
    if !one.starts_with(other.as_str()) && !other.starts_with(one.as_str()) {
        return None;
    }
    let message = format!("a token can begin with both `{}` and `{}`", shown(one), shown(other));
    Some((message, "write prefixes of which none is the beginning of another"))
}
