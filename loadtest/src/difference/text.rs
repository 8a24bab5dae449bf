//! A difference as people read it.

use super::{Compared, Difference, LEVEL, Verdict};
use crate::report::{number, printable, prose, table};

pub fn text(difference: &Difference) -> String {
    let [first, second] = &difference.runs;
    let mut out = format!("First run {}, second run {}.\n", printable(first), printable(second));
    for warning in &difference.warnings {
        prose(&mut out, "! ", warning);
    }
    if difference.rows.is_empty() {
        out.push_str("There is nothing to compare.\n");
        return out;
    }
    let mut lines = vec![
        ["experiment", "target", "work", "over", "figure", "second over first", "verdict"].map(str::to_owned).to_vec(),
    ];
    let mut reasons: Vec<&str> = Vec::new();
    for row in &difference.rows {
        lines.push(line(row, &mut reasons));
    }
    out.push('\n');
    out.push_str(&table(&lines, &[]));
    for (at, reason) in reasons.iter().enumerate() {
        prose(&mut out, &format!("  [{}] ", at + 1), reason);
    }
    let tested = difference.tested();
    if tested > 0 {
        out.push('\n');
        let text = format!(
            "{tested} figures were tested, each at p ≤ {LEVEL}: about {:.0} of them would differ by chance alone. Each is \
             held against the reference work of its own run.",
            (tested as f64 * LEVEL).ceil()
        );
        prose(&mut out, "", &text);
    }
    out
}

/// The cells; a long reason stands once below the table.
fn line<'d>(row: &'d Compared, reasons: &mut Vec<&'d str>) -> Vec<String> {
    let mut note = |why: &'d str| {
        let at = reasons.iter().position(|known| *known == why).unwrap_or_else(|| {
            reasons.push(why);
            reasons.len() - 1
        });
        at + 1
    };
    let (change, verdict) = match &row.verdict {
        Verdict::Differs { p, change } => (number::estimate(*change, "×"), format!("differs (p={p:.3})")),
        Verdict::NoDifference { p, change } => {
            (number::estimate(*change, "×"), format!("no difference beyond noise (p={p:.3})"))
        }
        Verdict::Refused { why } => ("–".to_owned(), format!("refused [{}]", note(why))),
        Verdict::Missing { why } => ("–".to_owned(), format!("not in both [{}]", note(why))),
    };
    let own = |text: &str| printable(text).into_owned();
    vec![
        own(&row.experiment),
        own(&row.target),
        own(&row.work),
        own(&row.transport),
        row.figure.to_owned(),
        change,
        verdict,
    ]
}
