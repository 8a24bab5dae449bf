//! The outcome of cases as JUnit XML, which CI systems read. Coverage stands in properties.

use std::fmt::Write as _;

use super::coverage::Part;
use super::{Outcome, Played, text};

/// One `testsuite` for each policy.
pub fn document(outcomes: &[Outcome]) -> String {
    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    let (tests, failures) = (sum(|outcome| outcome.cases.len()), sum(Outcome::failed));
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites name=\"adamant test\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">");
    for outcome in outcomes {
        suite(outcome, &mut xml);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn suite(outcome: &Outcome, xml: &mut String) {
    let (name, tests, failures) = (escaped(&outcome.file), outcome.cases.len(), outcome.failed());
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\">\n    <properties>"
    );
    let mut property = |name: &str, value: &str| {
        let _ = writeln!(xml, "      <property name=\"{name}\" value=\"{}\"/>", escaped(value));
    };
    property("policy", &outcome.policy);
    if let Some(digest) = outcome.digest {
        property("release", &digest.to_string());
    }
    property("coverage.percent", &outcome.coverage.percent().to_string());
    for part in Part::ALL {
        let coverage = &outcome.coverage;
        let (nouns, all) = (part.nouns(), coverage.part(part).len());
        let permitted = coverage.count(part, |touched| touched.permitted > 0);
        let refused = coverage.count(part, |touched| touched.refused > 0);
        property(&format!("coverage.{nouns}"), &format!("{permitted} permitted, {refused} refused, of {all}"));
        property(
            &format!("coverage.{nouns}.untouched"),
            &coverage.names(part, |touched| !touched.is_touched()).join(" "),
        );
    }
    xml.push_str("    </properties>\n");
    for case in &outcome.cases {
        test_case(outcome, case, xml);
    }
    xml.push_str("  </testsuite>\n");
}

fn test_case(outcome: &Outcome, case: &Played, xml: &mut String) {
    let (name, class, file) = (escaped(&case.name), escaped(&outcome.policy), escaped(&case.file));
    let line = case.line.map_or_else(String::new, |line| format!(" line=\"{line}\""));
    let _ = write!(xml, "    <testcase name=\"{name}\" classname=\"{class}\" file=\"{file}\"{line}");
    let Some(failed) = &case.failed else {
        xml.push_str("/>\n");
        return;
    };
    let mut words = Vec::new();
    // Writing into memory does not fail.
    let _ = text::write_failed(case, failed, &mut words);
    let message = escaped(&format!("expected {}; got {}", failed.expected, failed.got));
    let words = escaped(String::from_utf8_lossy(&words).trim());
    let _ = writeln!(xml, ">\n      <failure message=\"{message}\">{words}</failure>\n    </testcase>");
}

/// Text as it may stand in an attribute or between tags (XML 1.0 §2.2, §2.4): what XML has no sign for is replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn nothing_ends_an_attribute() {
        assert_eq!(escaped("a<b> & \"c\"\n\u{1b}[31m\u{ffff}"), "a&lt;b&gt; &amp; &quot;c&quot;\n\u{fffd}[31m\u{fffd}");
    }
}
