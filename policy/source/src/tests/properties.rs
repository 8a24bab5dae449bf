//! No text makes the reader panic, and what it says always holds together.

use proptest::prelude::*;

use super::{BASE, ORDERS, has_errors, load_text};
use crate::{render, to_json};

fn holds_together(text: &str) {
    let loaded = load_text(text);
    assert_eq!(loaded.policy.is_none(), has_errors(&loaded), "{text}");
    for found in &loaded.diagnostics {
        assert!(found.span.start <= found.span.end && found.span.end <= text.len(), "{found:?} in {text:?}");
        assert!(text.is_char_boundary(found.span.start) && text.is_char_boundary(found.span.end), "{found:?}");
        assert!(found.line >= 1 && found.column >= 1);
        let hint = found.hint.as_deref().unwrap_or_default();
        assert!(!found.message.chars().chain(hint.chars()).any(char::is_control), "{found:?}");
    }
    for color in [false, true] {
        let rendered = render(&loaded.diagnostics, "policy.toml", text, color);
        assert_eq!(rendered.is_empty(), loaded.diagnostics.is_empty());
        assert!(color || !rendered.chars().any(|c| c.is_control() && c != '\n'), "{rendered:?}");
    }
    to_json(&loaded.diagnostics);
    if let Some(policy) = loaded.policy {
        assert!(policy.routes.is_sorted_by(|a, b| a.name < b.name));
        assert!(policy.agents.is_sorted_by(|a, b| a.name < b.name));
        if let Err(error) = policy::compile::compile(&policy, [0; 32]) {
            panic!("a policy without errors does not compile: {error}\n{text}");
        }
    }
}

/// Words of the language, so that random texts get somewhere.
fn word() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "[policy]\n",
        "[[route]]\n",
        "[[agent]]\n",
        "[[issuer]]\n",
        "[agent]\n",
        "name = ",
        "\"a\"\n",
        "= ",
        "{ ",
        " }",
        "[",
        "]\n",
        "identity = ",
        "token = ",
        "api_key",
        "\"*\"",
        "methods = ",
        "\"GET\"",
        "path = ",
        "\"/{x}/\"",
        "limits = ",
        "\"1/day burst 9\"",
        "'",
        "\"\"\"",
        "\\",
        "#",
        "\n",
        ",",
        "é",
        "\u{202e}",
        "\u{0}",
        "1979-05-27",
        "0x1F",
        "a.b.c = 1\n",
        "\u{feff}",
    ];
    prop_oneof![4 => proptest::sample::select(WORDS).prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        holds_together(&text);
    }

    #[test]
    fn a_backslash_anywhere(at in any::<prop::sample::Index>()) {
        let mut text = BASE.to_owned();
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        text.insert(places[at.index(places.len())], '\\');
        holds_together(&text);
    }

    #[test]
    fn any_words(words in proptest::collection::vec(word(), 0..60)) {
        holds_together(&words.concat());
    }

    #[test]
    fn a_policy_with_a_hole(orders in any::<bool>(), at in any::<prop::sample::Index>(), length in 0_usize..40, put in word()) {
        let text = if orders { ORDERS } else { BASE };
        let mut characters: Vec<char> = text.chars().collect();
        let start = at.index(characters.len());
        let end = (start + length).min(characters.len());
        characters.splice(start..end, put.chars());
        holds_together(&characters.into_iter().collect::<String>());
    }

    #[test]
    fn a_policy_with_lines_moved(orders in any::<bool>(), moves in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 1..8)) {
        let text = if orders { ORDERS } else { BASE };
        let mut lines: Vec<&str> = text.lines().collect();
        for (from, to, copy) in moves {
            let line = lines[from.index(lines.len())];
            if !copy {
                lines.remove(from.index(lines.len()));
            }
            lines.insert(to.index(lines.len() + 1), line);
        }
        holds_together(&lines.join("\n"));
    }

    #[test]
    fn a_policy_with_a_value_exchanged(orders in any::<bool>(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let text = if orders { ORDERS } else { BASE };
        let values: Vec<(usize, &str)> = text.match_indices('"').step_by(2).filter_map(|(at, _)| {
            let end = at + 1 + text[at + 1..].find('"')?;
            Some((at, &text[at..=end]))
        }).collect();
        let (at, old) = values[from.index(values.len())];
        let new = values[to.index(values.len())].1;
        holds_together(&format!("{}{new}{}", &text[..at], &text[at + old.len()..]));
    }
}
