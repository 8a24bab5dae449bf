//! JSON that servers say, of bounded size in memory: a number of two bytes in the text is a value of 32 bytes afterwards.

use serde_json::Value;

/// Values in one answer: those of a list of 100,000 names of etcd, and many times what any other has.
pub const VALUES_MAX: usize = 1_000_000;

/// Reads an answer. What was found instead, where it is none.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    if is_beyond(bytes, VALUES_MAX) {
        return Err(format!("more than {VALUES_MAX} values"));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| format!("other content (line {}, column {})", error.line(), error.column()))
}

/// Whether there are more values than `most`: each but the first stands behind one of `[`, `{`, `:` and `,`.
fn is_beyond(bytes: &[u8], most: usize) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    let begins = |byte: &&u8| {
        match **byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' | b':' | b',' => return !in_string,
            _ => {}
        }
        false
    };
    bytes.iter().filter(begins).nth(most).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_before_they_are_made() {
        for (text, most) in [("[1,2,3]", 3), (r#"{"a":"[,,,","b\\":[]}"#, 5), (r#""\"[[[[""#, 0), ("{}", 1), ("", 0)] {
            assert!(!is_beyond(text.as_bytes(), most), "{text}");
            assert!(most == 0 || is_beyond(text.as_bytes(), most - 1), "{text}");
        }
        let of = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(parse(of(VALUES_MAX - 1).as_bytes()).is_ok());
        assert_eq!(parse(of(VALUES_MAX + 1).as_bytes()), Err("more than 1000000 values".to_owned()));
        assert_eq!(parse(b"{\n\"a\" 1}"), Err("other content (line 2, column 5)".to_owned()));
    }
}
