//! The page must be well-formed, self-contained and safe whatever stands in a file.

use roxmltree::{Document, Node};

use super::{html, text};
use crate::results::fixture::{HOSTILE, hostile, quiet};
use crate::results::{Results, parse};

/// The page without the doctype, which is HTML's own.
fn parsed(page: &str) -> Document<'_> {
    let page = page.strip_prefix("<!DOCTYPE html>").unwrap();
    Document::parse(page).unwrap_or_else(|error| panic!("{error}"))
}

fn words(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| node.is_text().then(|| node.text()).flatten()).collect::<Vec<_>>().join(" ")
}

fn empty() -> Results {
    parse(
        br#"{"format":1,"started":"","seconds":null,"command":"","machine":{"processor":"","cores":0,"kernel":"",
        "memory_bytes":0},"targets":[],"experiments":[]}"#,
        "empty",
    )
    .unwrap()
}

#[test]
fn the_page_needs_nothing_but_itself() {
    for results in [quiet(1), hostile(), empty()] {
        let page = html(&results);
        let document = parsed(&page);
        for node in document.descendants().filter(Node::is_element) {
            let name = node.tag_name().name();
            assert!(!["script", "link", "iframe", "img", "object", "embed", "use", "image", "form"].contains(&name));
            for attribute in node.attributes() {
                let (name, value) = (attribute.name(), attribute.value());
                assert!(!name.starts_with("on") && name != "src" && name != "style", "{name}={value}");
                assert!(name != "href" || value.starts_with('#'), "{value}");
            }
        }
        assert!(!page.contains("url(") && !page.contains("@import"));
    }
}

#[test]
fn hostile_text_is_shown_and_does_nothing() {
    let page = html(&hostile());
    let document = parsed(&page);
    assert!(!page.contains(|c: char| c.is_control() && c != '\n') && !page.contains('\u{202e}'));
    let cell = document.descendants().find(|node| node.has_tag_name("h2") && words(*node).contains("<script>"));
    assert!(cell.is_some(), "it stands there as text");
    let shown = text(&hostile());
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'));
    assert!(!shown.contains('\u{202e}') && shown.contains("[31m"), "visible, without its escape");
    assert!(HOSTILE.contains('\u{1b}'));
}

#[test]
fn coordinates_are_numbers_within_reach() {
    let page = html(&hostile());
    let document = parsed(&page);
    let places = ["x", "y", "x1", "y1", "x2", "y2", "width", "height", "cx", "cy"];
    let mut seen = 0;
    for node in document.descendants().filter(|node| node.ancestors().any(|parent| parent.has_tag_name("svg"))) {
        for attribute in node.attributes().filter(|attribute| places.contains(&attribute.name())) {
            let value: f64 = attribute.value().parse().unwrap();
            assert!((-50.0..5_000.0).contains(&value), "{}={value}", attribute.name());
            seen += 1;
        }
    }
    assert!(seen > 200);
    assert!(!page.contains("NaN") || page.contains("AtMost"), "no coordinate and no figure reads NaN");
}

#[test]
fn every_plot_tells_machine_versions_and_command() {
    let page = html(&quiet(1));
    let document = parsed(&page);
    let figures: Vec<_> = document.descendants().filter(|node| node.has_tag_name("figure")).collect();
    assert!(figures.len() >= 3, "bars and two kinds of work");
    for figure in figures {
        let caption = figure.children().find(|node| node.has_tag_name("figcaption")).map(words).unwrap();
        assert!(caption.contains("Made Up 1, 2 cores"), "{caption}");
        assert!(caption.contains("adamant 1.0"), "{caption}");
        assert!(caption.contains("loadtest compare --only saturation"), "{caption}");
        let svg = figure.children().find(|node| node.has_tag_name("svg")).unwrap();
        assert!(svg.attribute("aria-label").is_some() && svg.attribute("role") == Some("img"));
    }
}

#[test]
fn goals_stand_first_with_word_and_sign() {
    let page = html(&quiet(1));
    let document = parsed(&page);
    let first = document.descendants().find(|node| node.has_tag_name("table")).map(words).unwrap();
    for outcome in ["✓ met", "✗ missed", "? undecided", "– not measured"] {
        assert!(first.contains(outcome), "{first}");
        assert!(text(&quiet(1)).contains(&outcome[outcome.find(' ').unwrap() + 1..]));
    }
    assert!(first.contains("it takes an hour"));
}

#[test]
fn a_target_that_does_other_work_is_not_ranked() {
    let shown = text(&quiet(1));
    let group = shown.split("es256 over plain").nth(1).unwrap();
    let line = |name: &str| group.lines().position(|line| line.trim_start().starts_with(name)).unwrap();
    // The cheapest of all comes last, in brackets, with the reason below.
    assert!(line("adamant") < line("haproxy") && line("haproxy") < line("(loose)"), "{group}");
    assert!(group.contains("(loose) is not ranked: expected 401"), "{group}");
    let page = html(&quiet(1));
    let document = parsed(&page);
    let lines: Vec<_> = document.descendants().filter(|node| node.attribute("class") == Some("unranked-row")).collect();
    assert_eq!(lines.len(), 1);
    let percentiles = document.descendants().filter(|node| node.has_tag_name("figure")).nth(1).unwrap();
    assert!(!words(percentiles).contains("loose"));
}

#[test]
fn nothing_at_all_is_a_report_too() {
    assert!(text(&empty()).contains("not looked at"));
    assert!(html(&empty()).contains("not looked at"));
    assert!(text(&hostile()).contains("Nothing was measured"));
}

#[test]
fn what_is_wide_on_the_terminal_is_broken() {
    let widest = text(&quiet(1)).lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 112, "{widest}");
}

#[test]
fn colours_can_be_read_on_their_ground() {
    // WCAG 2.2, 1.4.3 and 1.4.11: 4.5 for text, 3 for what is drawn.
    let sheet = include_str!("style.css");
    let (light, dark) = sheet.split_once("@media (prefers-color-scheme:dark)").unwrap();
    let dark = dark.split("}}").next().unwrap();
    for sheet in [light, dark] {
        let colour = |name: &str| -> f64 {
            let value = sheet.split(&format!("--{name}:#")).nth(1).unwrap();
            let digits = value.split([';', '}']).next().unwrap();
            let wide: String =
                if digits.len() == 3 { digits.chars().flat_map(|c| [c, c]).collect() } else { digits.into() };
            let part = |at: usize| f64::from(u8::from_str_radix(&wide[at..at + 2], 16).unwrap()) / 255.0;
            let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
            0.2126 * linear(part(0)) + 0.7152 * linear(part(2)) + 0.0722 * linear(part(4))
        };
        let contrast = |one: &str, other: &str| {
            let (one, other) = (colour(one), colour(other));
            (one.max(other) + 0.05) / (one.min(other) + 0.05)
        };
        for ground in ["paper", "card"] {
            for text in ["ink", "soft", "good", "bad", "open", "c0"] {
                assert!(contrast(text, ground) >= 4.5, "{text} on {ground}: {}", contrast(text, ground));
            }
            for drawn in ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "heat"] {
                assert!(contrast(drawn, ground) >= 3.0, "{drawn} on {ground}: {}", contrast(drawn, ground));
            }
        }
        assert!(contrast("ink", "banner") >= 4.5 && contrast("ink", "code") >= 4.5);
    }
}
