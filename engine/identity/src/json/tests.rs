//! Grammar, duplicates, bounds; serde_json as the oracle for grammar.

use super::{JSON_DEPTH_MAX, JSON_ELEMENTS_MAX, JSON_MEMBERS_MAX, JsonFault, Members, Value, elements};
use proptest::prelude::*;

#[test]
fn members_are_found_by_their_unescaped_name() {
    let members =
        Members::read(br#" {"a":"x\n\u00e9\ud83d\ude00","\u0062":[1, {"c":null}],"d":-1.5e3,"e":{}} "#).unwrap();
    assert_eq!(members.find("a"), Some(&Value::Text("x\né😀".into())));
    assert_eq!(members.find("b"), Some(&Value::Array(r#"[1, {"c":null}]"#)));
    assert_eq!(members.find("d"), Some(&Value::Number("-1.5e3")));
    assert_eq!(members.find("e"), Some(&Value::Object("{}")));
    assert!(!members.has("c"));
    assert_eq!(elements("[1, {\"c\":null}]").unwrap(), [Value::Number("1"), Value::Object("{\"c\":null}")]);
}

#[test]
fn an_empty_string_made_of_no_escapes_is_empty() {
    let members = Members::read(br#"{"":"","x":"\u0000"}"#).unwrap();
    assert_eq!(members.find(""), Some(&Value::Text("".into())));
    assert_eq!(members.find("x"), Some(&Value::Text("\0".into())));
}

#[test]
fn a_name_twice_is_refused_however_it_is_spelt() {
    for text in [r#"{"a":1,"a":1}"#, r#"{"alg":1,"al\u0067":2}"#, r#"{"/":1,"\/":2}"#] {
        assert_eq!(Members::read(text.as_bytes()).unwrap_err(), JsonFault::DuplicateMember, "{text}");
    }
}

#[test]
fn breaks_of_the_grammar_are_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "{}}",
        "{} x",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":NaN}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{'a':1}",
        "{a:1}",
        "{\"a\":tru}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "\u{feff}{}",
        "{\"a\":\"",
        "{\"a\":nul",
        "{\u{b}}",
        "// x\n{}",
    ] {
        assert_eq!(Members::read(text.as_bytes()).unwrap_err(), JsonFault::Grammar, "{text:?}");
    }
    assert_eq!(Members::read(b"{\"a\":\"\xff\"}").unwrap_err(), JsonFault::NotUtf8);
    for text in ["[]", "1", "\"x\"", "null"] {
        assert_eq!(Members::read(text.as_bytes()).unwrap_err(), JsonFault::NotAnObject, "{text}");
    }
}

#[test]
fn depth_members_and_elements_are_bounded() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(Members::read(nested(JSON_DEPTH_MAX - 1).as_bytes()).is_ok());
    assert_eq!(Members::read(nested(JSON_DEPTH_MAX).as_bytes()).unwrap_err(), JsonFault::TooDeep);
    assert_eq!(Members::read(nested(100_000).as_bytes()).unwrap_err(), JsonFault::TooDeep);

    let object = |count: usize| {
        let members: Vec<String> = (0..count).map(|index| format!("\"m{index}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(Members::read(object(JSON_MEMBERS_MAX).as_bytes()).is_ok());
    assert_eq!(Members::read(object(JSON_MEMBERS_MAX + 1).as_bytes()).unwrap_err(), JsonFault::TooMany);

    let array = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    assert!(elements(&array(JSON_ELEMENTS_MAX)).is_ok());
    assert_eq!(elements(&array(JSON_ELEMENTS_MAX + 1)).unwrap_err(), JsonFault::TooMany);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is accepted is accepted by serde_json, with the same strings.
    #[test]
    fn nothing_is_accepted_that_serde_json_refuses(text in r#"\{("(a|b|\\u0061|\\n|é|\\ud83d\\ude00)":("x\\"|"[ab\\"/]{0,3}"|-?[0-9]{1,3}(\.[0-9])?(e[0-9])?|true|null|\[[0-9,]{0,4}\]|\{\}),?){0,3}\}"#) {
        if let Ok(members) = Members::read(text.as_bytes()) {
            let oracle: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(oracle.len(), members.0.len());
            for (name, value) in &members.0 {
                let expected = oracle.get(name.as_ref()).unwrap();
                match value {
                    Value::Text(text) => prop_assert_eq!(expected.as_str().unwrap(), text.as_ref()),
                    Value::Number(_) => prop_assert!(expected.is_number()),
                    Value::Object(_) => prop_assert!(expected.is_object()),
                    Value::Array(_) => prop_assert!(expected.is_array()),
                    Value::Bool(value) => prop_assert_eq!(expected.as_bool(), Some(*value)),
                    Value::Null => prop_assert!(expected.is_null()),
                }
            }
        }
    }

    /// What serde_json accepts and writes is read, unless a bound or a duplicate forbids it.
    #[test]
    fn what_serde_json_writes_is_read(entries in prop::collection::btree_map(".{0,8}", ".{0,12}", 0..8)) {
        let text = serde_json::to_string(&entries).unwrap();
        let members = Members::read(text.as_bytes()).unwrap();
        for (name, value) in &entries {
            prop_assert_eq!(members.find(name), Some(&Value::Text(value.as_str().into())));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Members::read(&bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) { let _ = elements(text); }
    }
}
