//! The time in a `Date` field (RFC 9110 §5.6.7, the preferred form).

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since the Unix epoch of `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn unix_s(text: &str) -> Option<u64> {
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut words = rest.split(' ');
    let day = words.next()?;
    let month = words.next().and_then(|name| MONTHS.iter().position(|month| *month == name))? + 1;
    let year = words.next()?;
    let time = words.next()?;
    // The same instant as signed files write it.
    let text = format!("{year}-{month:02}-{day}T{time}Z");
    text.parse::<policy_release::time::Timestamp>().ok().map(policy_release::time::Timestamp::seconds)
}

#[cfg(test)]
mod tests {
    use super::unix_s;

    #[test]
    fn the_preferred_form_is_read() {
        assert_eq!(unix_s("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for wrong in ["", "Sun, 06 Nov 1994 08:49:37", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 6 Foo 1994 08:49:37 GMT"]
        {
            assert_eq!(unix_s(wrong), None, "{wrong}");
        }
    }
}
