//! Sources of many shapes, and what stays of them.

use proptest::prelude::*;

use super::*;
use crate::review::unified;

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn edited(text: &str, edit: &Edit) -> String {
    spliced(text, &splices(text, &[edit]).unwrap()).unwrap()
}

#[test]
fn scopes_leave_and_comments_stay() {
    let edit = |remove: &[&str]| Edit::AgentScopes { agent: "a".into(), remove: names(remove) };
    for (list, remove, expected) in [
        (r#"["x", "y", "z"] # why"#, &["x"][..], r#"["y", "z"] # why"#),
        (r#"["x", "y", "z"]"#, &["y"], r#"["x", "z"]"#),
        (r#"["x", "y", "z"]"#, &["z"], r#"["x", "y"]"#),
        (r#"["x", "y", "z"]"#, &["y", "z"], r#"["x"]"#),
        (r#"["x", "y", "z"]"#, &["x", "z"], r#"["y"]"#),
        (r#"[ "x","y", 'z', ]"#, &["z"], r#"[ "x","y", ]"#),
        (r#"["x", "y"] # why"#, &["x", "y"], "[] # why"),
        ("[\n  \"x\", # for x\n  \"y\", # for y\n]", &["x"], "[\n  \"y\", # for y\n]"),
        ("[\n  \"x\", # for x\n  \"y\" # for y\n]", &["y"], "[\n  \"x\", # for x\n]"),
        ("[\r\n  \"x\",\r\n  \"y\",\r\n]", &["x"], "[\r\n  \"y\",\r\n]"),
        ("[\n  \"x\", \"w\",\n  \"y\", \"z\",\n]", &["w", "z"], "[\n  \"x\", \n  \"y\",\n]"),
        ("[\"x\", # for x\n  \"y\"]", &["y"], "[\"x\", # for x\n  ]"),
    ] {
        let source = |list: &str| {
            format!("# é\n[[agent]]\nname = \"b\"\nscopes = [\"x\"]\n[[agent]]\nname = \"a\"\nscopes = {list}\n")
        };
        assert_eq!(edited(&source(list), &edit(remove)), source(expected), "{list} without {remove:?}");
    }
    let inline = r#"agent = [{ name = "a", scopes = ["x", "y"] }]"#;
    assert_eq!(edited(inline, &edit(&["x"])), r#"agent = [{ name = "a", scopes = ["y"] }]"#);
    assert!(splices("[[agent]]\nname = \"b\"\n", &[&edit(&["x"])]).is_err());
}

#[test]
fn keys_end_and_limits_shrink() {
    let edit = Edit::KeyExpires { id: "k".into(), at_s: 1_800_000_000 };
    for (text, expected) in [
        ("[[api_key]]\nid = \"k\" # mine\n", "[[api_key]]\nid = \"k\" # mine\nexpires = 2027-01-15T08:00:00Z\n"),
        ("[[api_key]]\r\nid = \"k\"\r\n", "[[api_key]]\r\nid = \"k\"\r\nexpires = 2027-01-15T08:00:00Z\r\n"),
        ("[[api_key]]\nid = \"k\"", "[[api_key]]\nid = \"k\"\nexpires = 2027-01-15T08:00:00Z"),
        ("api_key = [{ id = \"k\" }]", "api_key = [{ id = \"k\", expires = 2027-01-15T08:00:00Z }]"),
        (
            "[[api_key]]\nexpires = 2030-01-01T00:00:00Z # far\nid = \"k\"\n",
            "[[api_key]]\nexpires = 2027-01-15T08:00:00Z # far\nid = \"k\"\n",
        ),
    ] {
        assert_eq!(edited(text, &edit), expected);
    }
    let limit = |name: &str| Edit::Limit {
        agent: "a".into(),
        limit: name.into(),
        tighter: Limit {
            name: name.into(),
            kind: policy::model::LimitKind::Quota,
            count: 7,
            unit: policy::model::Unit::Day,
            per: policy::model::Per::Agent,
        },
    };
    let text = "[[agent]]\nname = \"a\"\nlimits = [\"1/second\", \"90/day quota\", { limit = \"80/day quota\", name = \"n\" }] # w\n";
    assert_eq!(edited(text, &limit("day-quota")), text.replace("90/", "7/"));
    assert_eq!(edited(text, &limit("n")), text.replace("80/", "7/"));
    assert!(splices(text, &[&limit("hour-quota")]).is_err());
}

/// What `patch` does with a diff that fits.
fn patched(text: &str, patch: &str) -> String {
    let old: Vec<&str> = text.split_inclusive('\n').collect();
    let (mut out, mut at) = (String::new(), 0);
    let mut lines = patch.split_inclusive('\n').skip(2).peekable();
    while let Some(line) = lines.next() {
        let (sign, rest) = line.split_at(1);
        let whole = lines.next_if(|next| next.starts_with('\\')).is_none();
        let rest = if whole { rest } else { rest.trim_end_matches('\n') };
        match sign {
            "@" => {
                let range = line.split(' ').nth(1).unwrap().trim_start_matches('-');
                let (start, count) = range.split_once(',').unwrap();
                let count: usize = count.parse().unwrap();
                let start = start.parse::<usize>().unwrap() - usize::from(count > 0);
                out.extend(old[at..start].iter().copied());
                at = start;
            }
            "+" => out.push_str(rest),
            _ => {
                assert_eq!(old[at], rest);
                at += 1;
                if sign == " " {
                    out.push_str(rest);
                }
            }
        }
    }
    out.extend(old[at..].iter().copied());
    out
}

proptest! {
    #[test]
    fn a_diff_makes_the_new_text_of_the_old(
        text in "([a-c]{0,3}\n){0,30}[a-c]{0,2}",
        cuts in prop::collection::btree_set(0_usize..120, 0..8),
        put in prop::collection::vec("([a-c]|\n){0,3}", 4),
    ) {
        let cuts: Vec<usize> = cuts.into_iter().filter(|at| *at <= text.len()).collect();
        let of = |(range, text): (&[usize], &String)| Splice { range: range[0]..range[1], text: text.clone() };
        let splices: Vec<Splice> = cuts.chunks_exact(2).zip(&put).map(of).collect();
        let new = spliced(&text, &splices).unwrap();
        let patch = unified::diff("p.toml", &text, &splices);
        prop_assert_eq!(patch.is_empty(), new == text);
        prop_assert_eq!(patched(&text, &patch), new, "{}", patch);
    }
}
