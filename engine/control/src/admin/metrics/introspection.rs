//! What issuers were asked about opaque tokens.

use std::fmt;

use activation::inquiries::{Inquiries, Outcome};

use super::Families;

pub(super) fn put(inquiries: &Inquiries, families: &mut Families<'_>) -> fmt::Result {
    let rows = Outcome::ALL.iter().zip(inquiries.outcomes());
    let rows = rows.map(|(outcome, count)| (vec![("outcome", outcome.word().to_owned())], count));
    families.counters("introspections", "Questions to issuers about opaque tokens, by outcome", rows)?;
    let turned_away = [(Vec::new(), inquiries.turned_away())].into_iter();
    families.counters("introspections_turned_away", "Such questions that found no room", turned_away)
}
