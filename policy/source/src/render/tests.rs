use super::*;
use crate::codes;

fn shown(text: &str, span: Span) -> String {
    let mut sink = crate::diagnostic::Sink::default();
    sink.push(Diagnostic::new(codes::UNKNOWN_KEY, span, "a message").label("a label").hint("a hint"));
    render(&sink.finish(text), "p.toml", text, false)
}

#[test]
fn points_at_the_place() {
    let text = "a = 1\nbé = 2\n";
    insta::assert_snapshot!(shown(text, Span { start: 6, end: 9 }), @r"
    error[unknown-key]: a message
     --> p.toml:2:1
      |
    2 | bé = 2
      | ^^ a label
      = hint: a hint

    p.toml: 1 error
    ");
}

#[test]
fn wide_characters_take_two_columns() {
    let text = "\"日本\" = x\n";
    let rendered = shown(text, Span { start: 11, end: 12 });
    assert!(rendered.contains("p.toml:1:8\n"), "{rendered}");
    assert!(rendered.contains("\n  |          ^ a label\n"), "{rendered}");
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let text = format!("{}X{}", "a ".repeat(2_500), "b ".repeat(2_500));
    let rendered = shown(&text, Span { start: 5_000, end: 5_001 });
    let lines: Vec<&str> = rendered.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() < 120), "{rendered}");
    let at = lines[3].chars().position(|c| c == 'X').unwrap();
    assert_eq!(lines[4].chars().nth(at), Some('^'), "{rendered}");
}

#[test]
fn nothing_in_the_source_commands_the_terminal() {
    let text = "a = \u{1b}[31m\u{202e}\u{7}\r\n";
    let rendered = shown(text, Span { start: 4, end: 5 });
    assert!(!rendered.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{rendered:?}");
}

#[test]
fn colors_are_only_for_terminals() {
    let text = "a = 1\n";
    let mut sink = crate::diagnostic::Sink::default();
    sink.push(Diagnostic::new(codes::UNUSED, Span { start: 0, end: 1 }, "a message"));
    let rendered = render(&sink.finish(text), "p.toml", text, true);
    assert!(rendered.contains("\x1b[1;33mwarning[unused]\x1b[0m"), "{rendered:?}");
}

#[test]
fn the_last_line_counts() {
    assert_eq!(render(&[], "p.toml", "", false), "");
    assert!(shown("a", Span::default()).ends_with("\np.toml: 1 error\n"));
}

#[test]
fn secrets_are_not_printed() {
    for secret in ["sha256 = \"adm_k_s3cret\"", "sha256 = \"adm_k_s3cret\"\nsha257 = 1"] {
        let text = format!("[policy]\nname = \"p\"\n[[api_key]]\nid = \"k\"\n{secret}\n");
        let loaded = crate::tests::load_text(&text);
        assert!(loaded.diagnostics.iter().any(|found| found.code == "secret-in-policy"));
        let rendered = render(&loaded.diagnostics, "p.toml", &text, false);
        assert!(!rendered.contains("s3cret") && !crate::to_json(&loaded.diagnostics).to_string().contains("s3cret"));
        assert!(rendered.contains("sha256 = **************\n"), "{rendered}");
    }
}
