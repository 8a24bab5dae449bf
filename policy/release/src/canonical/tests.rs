use proptest::prelude::*;
use serde_json::json;

use super::*;

fn fails(text: &str) {
    assert!(check(text.as_bytes()).is_err(), "{text} was taken as canonical");
}

#[test]
fn writes_sorted_members_and_short_escapes() {
    let value = json!({"b": [1, -2, true, null, {}], "a": "x\u{8}\u{9}\n\u{c}\r\u{1f}\"\\/é\u{7f}€", "": []});
    let bytes = to_bytes(&value).unwrap();
    let expected = "{\"\":[],\"a\":\"x\\b\\t\\n\\f\\r\\u001f\\\"\\\\/é\u{7f}€\",\"b\":[1,-2,true,null,{}]}";
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
    check(&bytes).unwrap();
}

/// RFC 8785 §3.2.3: U+1F600 (surrogates d83d…) sorts before U+FB33, although its UTF-8 bytes are larger.
#[test]
fn sorts_by_utf16() {
    let value = json!({"\u{fb33}": 1, "\u{1f600}": 2});
    let bytes = to_bytes(&value).unwrap();
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), "{\"\u{1f600}\":2,\"\u{fb33}\":1}");
    check(&bytes).unwrap();
    fails("{\"\u{fb33}\":1,\"\u{1f600}\":2}");
}

#[test]
fn refuses_every_other_form() {
    for text in [
        "",
        " {}",
        "{} ",
        "{ }",
        "[ ]",
        "[1, 2]",
        "{\"a\": 1}",
        "{\"b\":1,\"a\":2}",
        "{\"a\":1,\"a\":1}",
        "{\"a\":1,}",
        "[1,]",
        "[,1]",
        "01",
        "-0",
        "-",
        "1.0",
        "1e3",
        "1E3",
        "+1",
        "9007199254740992",
        "-9007199254740992",
        "99999999999999999999999999",
        "tru",
        "True",
        "nulll",
        "\"",
        "\"\\u0008\"",
        "\"\\u000A\"",
        "\"\\u001F\"",
        "\"\\u0041\"",
        "\"\\/\"",
        "\"\\ud83d\\ude00\"",
        "\"\u{1}\"",
        "{\"\\n\":1}",
        "{a:1}",
        "{\"a\"}",
        "[1}",
        "{]",
        "\u{feff}{}",
        "[]]",
        "{}{}",
        "'a'",
        "NaN",
        "\"\\",
        "\"\\u00",
        "\"\\u001g\"",
    ] {
        fails(text);
    }
    assert_eq!(check(b"\"\xff\""), Err(CanonicalFault::Utf8 { at: 1 }));
    for text in ["9007199254740991", "-9007199254740991", "0", "\"\"", "{}", "[]", "\"\\u0000\""] {
        check(text.as_bytes()).unwrap();
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    check(nested(DEPTH_MAX).as_bytes()).unwrap();
    assert_eq!(check(nested(DEPTH_MAX + 1).as_bytes()), Err(CanonicalFault::Depth { at: DEPTH_MAX }));
    fails(&"[".repeat(1_000_000));
    fails(&"{\"a\":".repeat(1_000_000));
    let deep: Value = serde_json::from_str(&nested(DEPTH_MAX + 1)).unwrap();
    assert!(matches!(to_bytes(&deep), Err(WriteFault::Depth)));
    to_bytes(&serde_json::from_str::<Value>(&nested(DEPTH_MAX)).unwrap()).unwrap();
}

#[test]
fn floats_and_large_integers_have_no_form() {
    for value in [json!(1.5), json!(1e3), json!(INTEGER_MAX + 1), json!(i64::MIN), json!(u64::MAX)] {
        assert!(matches!(to_bytes(&value), Err(WriteFault::Number(_))), "{value}");
    }
    assert!(matches!(to_bytes(&json!({"a\nb": 1})), Err(WriteFault::Name(_))));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..=INTEGER_MAX).prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::vec(("[^\u{0}-\u{1f}\"\\\\]{0,6}", inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_canonical_and_reads_back(value in any_value()) {
        let bytes = to_bytes(&value).unwrap();
        check(&bytes).unwrap();
        let again: Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(&again, &value);
        prop_assert_eq!(to_bytes(&again).unwrap(), bytes);
    }

    /// Canonical text that a JSON reader takes is what the writer would have written: one meaning, one form.
    #[test]
    fn accepted_bytes_are_the_only_form(text in "[\\[\\]{}\":,a-c0-2\\\\nu\\-. ]{0,24}") {
        if check(text.as_bytes()).is_ok() {
            let value: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(to_bytes(&value).unwrap(), text.into_bytes());
        }
    }

    #[test]
    fn no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = check(&bytes);
    }
}
