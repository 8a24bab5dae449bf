//! What is unlike a baseline: in the records of a gateway, and in such as it would write in two weeks.

use super::*;

#[test]
fn what_is_unlike_the_baseline_is_told() {
    let stage = Stage::new();
    // The same traffic is like itself.
    let same = ["review", RECORDS_FILE, "--anomalies", "--baseline", RECORDS_FILE, "--metrics", "a.prom"];
    let (status, stdout, stderr) = stage.run(&same);
    assert!(status == 0 && stdout.contains("nothing unusual in what was judged"), "{stdout}{stderr}");
    // Nothing can be said of hours after a few seconds.
    let (_, judged) = stdout.split_once("NOT JUDGED\n").expect(&stdout);
    let judged = judged.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(judged.contains("- more calls than usual, burst of denials: the baseline covers "), "{stdout}");
    assert!(judged.contains("4 whole hours are needed - calls at an unusual hour: "), "{stdout}");
    let metrics = fs::read_to_string(stage.directory().join("a.prom")).unwrap();
    assert!(metrics.contains("adamant_review_anomalies{kind=\"new-pair\",severity=\"medium\"} 0\n"), "{metrics}");

    assert!(metrics.contains("adamant_review_not_judged{kind=\"denial-burst\"} 1\n"), "{metrics}");
    assert!(metrics.contains("adamant_review_not_judged{kind=\"new-pair\"} 0\n"), "{metrics}");

    let text = stage.gateway.record_text();
    let now = text
        .replace("\"client.address\":\"127.0.0.1\"", "\"client.address\":\"203.0.113.9\"")
        .replace("\"adamant.route\":\"read\"", "\"adamant.route\":\"list\"");
    fs::write(stage.directory().join("now.jsonl"), now).unwrap();
    let (status, stdout, _) =
        stage.run(&["review", "now.jsonl", "--anomalies", "--baseline", RECORDS_FILE, "--format", "json"]);
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["not_judged"][0]["kinds"], json!(["rate", "denial-burst"]), "{document:#}");
    let found: Vec<(&str, &str)> = document["anomalies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| (found["kind"].as_str().unwrap(), found["who"].as_str().unwrap()))
        .collect();
    assert_eq!(
        (status, found),
        (10, vec![("new-prefix", "API key reports-1"), ("new-pair", "agent reports, route list")])
    );
    let (status, _, stderr) = stage.run(&["review", RECORDS_FILE, "--anomalies", "--since", "2000-01-01"]);
    assert!(status == 1 && stderr.contains("in the baseline"), "{stderr}");
}

/// A record as a gateway writes it, on that day of October, `second` seconds after its beginning.
fn record(day: u32, second: u32, more: &Value) -> String {
    let id = format!("{day:016x}{second:016x}");
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let mut record = json!({
        "time": format!("2026-10-{day:02}T{hour:02}:{minute:02}:{second:02}Z"), "adamant.kind": "exchange",
        "adamant.release": format!("sha256:{}", "ab".repeat(32)),
        "adamant.request_id": id, "client.address": "192.0.2.1", "url.scheme": "https",
        "http.request.method": "GET", "server.address": "h", "url.path": "/orders", "adamant.decision": "permit", "http.response.status_code": 200,
        "adamant.agent": "bot", "adamant.granted_by": "bot", "adamant.route": "list", "adamant.scope": "read",
        "adamant.api_key": "bot-1",
    });
    for (name, value) in more.as_object().unwrap() {
        record[name] = value.clone();
    }
    record.to_string() + "\n"
}

#[test]
fn rates_times_of_day_and_bursts_of_denials_are_told() {
    let hour = |hour: u32| hour * 3_600;
    let denied = json!({
        "adamant.decision": "deny", "adamant.reason": "token-expired", "http.response.status_code": 401,
        "adamant.agent": null, "adamant.granted_by": null, "adamant.route": null, "adamant.scope": null,
        "adamant.api_key": null, "client.address": "198.51.100.7",
    });
    let permitted = json!({});
    let day = |day: u32, more: &[(u32, u32, &Value)]| -> String {
        // Every ten minutes of the working hours, and a denial in each of them.
        let mut all: Vec<(u32, &Value)> = (hour(8)..hour(18)).step_by(600).map(|second| (second, &permitted)).collect();
        all.extend((8..18).map(|at| (hour(at) + 1, &denied)));
        all.extend(more.iter().flat_map(|(from, count, of)| (0..*count).map(move |number| (from + 2 + number, *of))));
        all.sort_by_key(|(second, _)| *second);
        all.into_iter().map(|(second, of)| record(day, second, of)).collect()
    };
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| fs::write(directory.path().join(name), text).unwrap();
    write("before.jsonl", (1..15).map(|number| day(number, &[])).collect());
    write("same.jsonl", day(15, &[]));
    let odd = [(hour(3), 5, &permitted), (hour(12), 400, &permitted), (hour(14), 60, &denied)];
    write("now.jsonl", day(15, &odd));
    let review = |name: &str| {
        let arguments = ["review", name, "--anomalies", "--baseline", "before.jsonl", "--format", "json"];
        let (status, stdout, stderr) = gateway::run(&arguments, directory.path());
        let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
        (status.code(), document)
    };
    let (status, document) = review("same.jsonl");
    assert_eq!((status, &document["anomalies"]), (Some(0), &json!([])));
    let (status, document) = review("now.jsonl");
    let text = |found: &Value, member: &str| found[member].as_str().unwrap().to_owned();
    let found: Vec<[String; 3]> = document["anomalies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| ["kind", "severity", "first"].map(|member| text(found, member)))
        .collect();
    let expected = [
        ["rate", "high", "2026-10-15T12:00:00Z"],
        // From that network, and all together.
        ["denial-burst", "medium", "2026-10-15T14:00:01Z"],
        ["denial-burst", "medium", "2026-10-15T14:00:01Z"],
        ["time-of-day", "low", "2026-10-15T03:00:02Z"],
    ];
    assert_eq!(status, Some(10));
    assert_eq!(found, expected.map(|each| each.map(str::to_owned)), "{document:#}");
}
