use super::*;

const STAGE: &str = "[[stage]]\nname = \"head\"\nreference = \"httparse\"\np50 = 1.0\np99 = 1.0\np99_9 = 2.0\n";
const REST: &str = "[counts]\ntolerance_percent = 5.0\ninstructions = {}\n[certificate]\nlines_max = 12\n";

fn read(text: &str) -> Result<Budget, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("budget.toml");
    std::fs::write(&path, text).unwrap();
    Budget::read(&path).map_err(|error| error.to_string().split_once("budget.toml").unwrap().1.to_owned())
}

#[test]
fn the_budget_of_this_tree_is_one() {
    let budget = Budget::read(&Budget::path()).unwrap();
    assert!(budget.stage.len() > 20 && budget.counts.instructions.len() > 5);
}

#[test]
fn a_mistake_is_told_with_its_place() {
    assert!(read(&format!("{STAGE}{REST}")).is_ok());
    for (from, to, said) in [
        ("\"head\"", "\"haed\"", ":2:8: expected the name of a stage, found \"haed\"; known are httparse,"),
        ("\"httparse\"", "\"decide-10\"", ":3:13: expected the name of a stage"),
        ("p99 = 1.0", "p99 = -1.0", ":5:7: expected a number above 0, found -1"),
        ("p99 = 1.0", "p99 = \"1\"", ":5:7: invalid type: string \"1\", expected f64"),
        ("p99 = 1.0", "batch = 0\np99 = 1.0", ":5:9: expected a batch of 1 to 1000, found 0"),
        ("p99 = 1.0", "samples = 10\np99 = 1.0", ":5:11: expected at least 1000 samples"),
        ("p99 = 1.0", "p98 = 1.0", ":5:1: unknown field `p98`"),
        ("p99 = 1.0", "p99 =", ":5:6: "),
        ("5.0", "0.0", ":8:21: expected a number above 0"),
    ] {
        let error = read(&format!("{STAGE}{REST}").replacen(from, to, 1)).unwrap_err();
        assert!(error.starts_with(said), "{error}");
    }
}
