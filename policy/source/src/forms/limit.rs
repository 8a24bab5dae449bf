//! Limits: `N/second|minute|hour|day [burst B] [quota] [per subject]`.

use std::ops::Range;

use policy::model::{LimitKind, Unit};

use crate::bounds::{BURST_REFILL_MAX_S, LIMIT_COUNT_MAX};
use crate::codes::{BAD_LIMIT, OUT_OF_RANGE};
use crate::fields::shown;
use crate::forms::Flaw;

/// A limit as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub count: u32,
    pub unit: Unit,
    pub kind: LimitKind,
    /// Where `per subject` stands.
    pub per_subject: Option<Range<usize>>,
}

const GRAMMAR: &str =
    "write it like `60/minute`, `1000/minute burst 50`, `20000/hour quota` or `60/minute per subject`";

pub(crate) fn limit(text: &str) -> Result<Written, Flaw> {
    let words = words(text);
    let mut words = words.iter();
    let Some(first) = words.next() else {
        return Err(Flaw::new(BAD_LIMIT, "the limit is empty").label("empty").hint(GRAMMAR));
    };
    let (count, unit) = rate(first)?;
    let (mut burst, mut quota, mut per_subject) = (None, None, None);
    while let Some(word) = words.next() {
        let again = match word.text {
            "burst" => {
                let amount = words.next();
                let Some(amount) = amount else {
                    let flaw = Flaw::new(BAD_LIMIT, "`burst` needs a number").at(word.range.clone());
                    return Err(flaw.label("how many?").hint("like `burst 50`"));
                };
                burst
                    .replace((number(amount.text, amount.range.clone())?, word.range.start..amount.range.end))
                    .is_some()
            }
            "quota" => quota.replace(word.range.clone()).is_some(),
            "per" => match words.next() {
                Some(next) if next.text == "subject" => per_subject.replace(word.range.start..next.range.end).is_some(),
                other => {
                    let end = other.map_or(word.range.end, |other| other.range.end);
                    let flaw = Flaw::new(BAD_LIMIT, "`per` is followed by `subject`").at(word.range.start..end);
                    return Err(flaw.label("per what?").hint(GRAMMAR));
                }
            },
            unknown => {
                let flaw = Flaw::new(BAD_LIMIT, format!("`{}` is not part of a limit", shown(unknown)));
                return Err(flaw.at(word.range.clone()).label("not known").hint(GRAMMAR));
            }
        };
        if again {
            let flaw = Flaw::new(BAD_LIMIT, format!("`{}` stands twice", word.text)).at(word.range.clone());
            return Err(flaw.label("again").hint("remove one"));
        }
    }
    let kind = kind(count, unit, burst, quota)?;
    Ok(Written { count, unit, kind, per_subject })
}

fn kind(
    count: u32,
    unit: Unit,
    burst: Option<(u32, Range<usize>)>,
    quota: Option<Range<usize>>,
) -> Result<LimitKind, Flaw> {
    match (burst, quota) {
        (Some((_, at)), Some(_)) => {
            let flaw = Flaw::new(BAD_LIMIT, "a quota is an exact count in each window, so it has no burst").at(at);
            Err(flaw.label("not with `quota`").hint("write two limits: a rate with its burst, and a quota"))
        }
        (None, Some(_)) => Ok(LimitKind::Quota),
        (None, None) => Ok(LimitKind::Rate { burst: count }),
        (Some((burst, at)), None) => {
            let refill_s = u64::from(burst) * u64::from(unit.seconds()) / u64::from(count.max(1));
            if refill_s > BURST_REFILL_MAX_S {
                let days = BURST_REFILL_MAX_S / 86_400;
                let message = format!("at this rate the burst needs {} days to come back", refill_s / 86_400);
                let flaw = Flaw::new(OUT_OF_RANGE, message).at(at).label("too slow");
                return Err(flaw.hint(format!("at most {days} days are possible: lower the burst or raise the rate")));
            }
            Ok(LimitKind::Rate { burst })
        }
    }
}

/// `N/unit`.
fn rate(word: &Word<'_>) -> Result<(u32, Unit), Flaw> {
    let Some((count, unit)) = word.text.split_once('/') else {
        let flaw = Flaw::new(BAD_LIMIT, format!("`{}` is not a rate", shown(word.text))).at(word.range.clone());
        return Err(flaw.label("expected `N/unit`").hint(GRAMMAR));
    };
    let start = word.range.start;
    let count_value = number(count, start..start + count.len())?;
    let unit_at = start + count.len() + 1..word.range.end;
    let meant = match unit {
        "second" => return Ok((count_value, Unit::Second)),
        "minute" => return Ok((count_value, Unit::Minute)),
        "hour" => return Ok((count_value, Unit::Hour)),
        "day" => return Ok((count_value, Unit::Day)),
        "s" | "sec" | "seconds" => Some("second"),
        "m" | "min" | "minutes" => Some("minute"),
        "h" | "hr" | "hours" => Some("hour"),
        "d" | "days" => Some("day"),
        _ => None,
    };
    let at = if unit.is_empty() { word.range.clone() } else { unit_at };
    let flaw = Flaw::new(BAD_LIMIT, format!("`{}` is not a unit of time", shown(unit))).at(at).label("not a unit");
    match meant {
        Some(meant) => Err(flaw.hint(format!("write `{count}/{meant}`"))),
        None => Err(flaw.hint("the units are second, minute, hour and day")),
    }
}

fn number(text: &str, at: Range<usize>) -> Result<u32, Flaw> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let at = if at.is_empty() { at.start..at.start + 1 } else { at };
        let flaw = Flaw::new(BAD_LIMIT, format!("`{}` is not a number", shown(text))).at(at).label("not a number");
        return Err(flaw.hint("write a whole number in digits alone"));
    }
    text.parse::<u32>().ok().filter(|number| (1..=LIMIT_COUNT_MAX).contains(number)).ok_or_else(|| {
        let message = format!("expected a number from 1 to {LIMIT_COUNT_MAX}");
        let hint = if text.bytes().all(|byte| byte == b'0') {
            "write 1 or more; an agent that may do nothing has no scopes".to_owned()
        } else {
            format!("write {LIMIT_COUNT_MAX} or less")
        };
        Flaw::new(OUT_OF_RANGE, message).at(at).label("out of range").hint(hint)
    })
}

struct Word<'t> {
    text: &'t str,
    range: Range<usize>,
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut at = 0;
    for piece in text.split(' ') {
        if !piece.is_empty() {
            words.push(Word { text: piece, range: at..at + piece.len() });
        }
        at += piece.len() + 1;
    }
    words
}
