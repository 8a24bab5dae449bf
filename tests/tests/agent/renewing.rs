//! When a renewal comes, whom it tells, and what `agent run` takes of the machine beside an agent.

use super::*;

/// Less than this, and it is small enough to run beside an agent.
const RESIDENT_KIB_MAX: u64 = 64 << 10;

/// Seconds since the Unix epoch.
fn seconds(time: &Value) -> u64 {
    let out = Command::new("date").args(["-u", "-d", time.as_str().unwrap(), "+%s"]).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().parse().unwrap()
}

/// When key and certificate in use were obtained.
fn obtained_s(profile: &Path) -> u64 {
    let facts: Value = serde_json::from_slice(&fs::read(profile.join("current/generation.json")).unwrap()).unwrap();
    facts["obtained_s"].as_u64().unwrap()
}

fn enroll(scene: &Scene, profile: &str, more: &str) {
    let url = scene.url();
    let line = format!("agent enroll {profile} --agent reports-bot --gateway {url} --ca ca --spiffe {ID} {more}");
    ok(scene.at(), &line);
}

/// Two thirds of a minute, less up to 5 % of it by chance. Never earlier; how much later is up to the machine.
#[test]
fn renewals_come_at_two_thirds_of_a_life_and_not_all_at_once() {
    const LIFE_S: u64 = 60;
    let scene = Scene::new();
    let started: Vec<_> = (0..12)
        .map(|number| {
            let name = format!("p{number}");
            enroll(&scene, &name, &format!("--life {LIFE_S}s"));
            let obtained_s = obtained_s(&scene.at().join(&name));
            (obtained_s, Running::start(scene.at(), &format!("agent run {name}")))
        })
        .collect();
    let mut after_s = Vec::new();
    for (obtained_s, keeper) in started {
        let refreshed = || keeper.json().into_iter().find(|line| line["kind"] == "refresh");
        assert!(process::eventually(2 * PATIENCE, || refreshed().is_some()), "none came");
        let resident_kib = process::resident_peak_kib(keeper.child.id());
        assert!((1..RESIDENT_KIB_MAX).contains(&resident_kib), "{resident_kib} KiB");
        let line = refreshed().unwrap();
        assert_eq!((line["why"].as_str(), line["outcome"].as_str()), (Some("two-thirds"), Some("renewed")), "{line}");
        after_s.push(seconds(&line["time"]) - obtained_s);
        let life_s = seconds(&line["until"]) - seconds(&line["time"]);
        assert!((LIFE_S - 20..=LIFE_S).contains(&life_s), "{life_s} s: {line}");
        keeper.end();
    }
    after_s.sort_unstable();
    // Twelve of three seconds: all of them in the same one is chance once in 170,000 runs.
    println!("after {after_s:?} s of {LIFE_S}");
    assert!(after_s[0] >= LIFE_S * 2 / 3 - LIFE_S / 20, "{after_s:?}");
    assert!(after_s[after_s.len() / 2] < LIFE_S * 9 / 10, "{after_s:?}");
    assert_ne!(after_s.first(), after_s.last(), "they came together");
}

#[test]
fn a_certificate_lives_for_a_day_unless_something_else_is_said() {
    const DAY_S: u64 = 86_400;
    let scene = Scene::new();
    enroll(&scene, "p", "");
    let line: Value = serde_json::from_str(&ok(scene.at(), "agent run p --once")).unwrap();
    let life_s = seconds(&line["until"]) - seconds(&line["time"]);
    assert!((DAY_S - 120..=DAY_S).contains(&life_s), "{life_s} s");
    let said = ok(scene.at(), "ca issue ca --spiffe spiffe://corp.example/x --key-out x.key --out x.pem");
    let until = said.split_whitespace().find(|word| word.starts_with("20") && word.contains('T')).unwrap_or(&said);
    let left_s = seconds(&until.trim_end_matches(['.', ',']).into()) - tests::tokens::now_s();
    assert!((DAY_S - 120..=DAY_S).contains(&left_s), "{left_s} s: {said}");
}

#[test]
fn each_refresh_signals_whoever_reads_the_files() {
    let scene = Scene::new();
    enroll(&scene, "p", "");
    let mut reader = Command::new("sh");
    let script = "trap 'echo read' HUP; echo $$ > reader.pid; echo ready; while sleep 0.1; do :; done";
    reader.args(["-c", script]);
    let reader = Running::of(scene.at(), reader);
    reader.says("ready", 1);
    for count in 1..=2 {
        let line = ok(scene.at(), "agent run p --once --signal reader.pid");
        assert!(!line.contains("hooks_failed"), "{line}");
        reader.says("read", count + 1);
    }
    // By its number as well; and whoever is not there is told of, and holds up nothing.
    ok(scene.at(), &format!("agent run p --once --signal {}", reader.child.id()));
    reader.says("read", 4);
    drop(reader);
    let before = read_pair(&scene.at().join("p"));
    let (status, line, said) = run(scene.at(), "agent run p --once --signal reader.pid");
    assert!(status == 1 && said.contains("signal reader.pid: ") && said.contains("hint: "), "{status} {said}");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert!(line["hooks_failed"][0].as_str().unwrap().starts_with("signal reader.pid: "), "{line}");
    assert_eq!(line["outcome"], "renewed");
    assert_ne!(read_pair(&scene.at().join("p")), before);
}

/// A quarter of the life is left, then a tenth, and then nothing: each is told once, while nothing renews it.
#[test]
fn it_warns_before_the_end_and_at_the_end() {
    let scene = Scene::new();
    enroll(&scene, "p", "--life 36s");
    fs::rename(scene.at().join("ca"), scene.at().join("away")).unwrap();
    let keeper = Running::start(scene.at(), "agent run p");
    assert!(process::eventually(2 * PATIENCE, || {
        keeper.lines().iter().any(|line| line.contains("\"outcome\":\"expired\""))
    }));
    let lines = keeper.json();
    keeper.end();
    let warnings: Vec<_> = lines.iter().filter(|line| line["kind"] == "warning").collect();
    let outcomes: Vec<_> = warnings.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    // A machine that stands still for seconds may sleep through one of the two.
    assert!(
        [&["expiring", "expiring", "expired"][..], &["expiring", "expired"]].contains(&&outcomes[..]),
        "{lines:#?}"
    );
    for warning in warnings {
        assert_eq!((warning["what"].as_str(), warning["why"].as_str()), (Some("certificate"), Some("not-renewed")));
        let left_s = seconds(&warning["until"]).saturating_sub(seconds(&warning["time"]));
        assert_eq!(left_s == 0, warning["outcome"] == "expired", "{warning}");
        assert!(left_s <= 9, "a quarter of its life: {warning}");
    }
}

/// A key that others could read is renewed at once, and whoever could revoke its certificate hears of it.
#[test]
fn a_key_that_others_can_read_is_renewed_and_told() {
    let scene = Scene::new();
    enroll(&scene, "p", "");
    let keeper = Running::start(scene.at(), "agent run p");
    keeper.says("\"started\"", 1);
    let key = scene.at().join("p/current/key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    keeper.says("\"why\":\"exposed\"", 2);
    let lines = keeper.json();
    keeper.end();
    let [warning, renewed] = ["warning", "refresh"]
        .map(|kind| lines.iter().find(|line| line["kind"] == kind && line["why"] == "exposed").unwrap());
    assert!(warning["error"].as_str().unwrap().contains("key.pem"), "{warning}");
    assert!(warning["error"].as_str().unwrap().contains("mode 0644"), "{warning}");
    let old = warning["old_sha256"].as_str().unwrap();
    let revoke = format!("adamant revoke --certificate sha256:{old}");
    assert!(warning["todo"].as_str().unwrap().contains(&revoke), "{warning}");
    assert!(seconds(&warning["until"]) > tests::tokens::now_s(), "{warning}");
    assert_eq!(
        (renewed["outcome"].as_str(), renewed["old_sha256"].as_str()),
        (Some("renewed"), Some(old)),
        "{renewed}"
    );
    assert!(renewed["overlap_s"].as_u64().is_some_and(|left| left > 0), "{renewed}");
    assert_ne!(renewed["new_sha256"], renewed["old_sha256"]);
    // The same where one renewal is asked for.
    fs::set_permissions(scene.at().join("p/current/key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    let said = ok(scene.at(), "agent run p --once");
    assert!(said.contains("mode 0640") && said.lines().count() == 2, "{said}");
}

#[test]
fn a_profile_that_others_may_write_is_not_gone_by() {
    let scene = Scene::new();
    enroll(&scene, "p", "");
    let directory = scene.at().join("p");
    for mode in [0o777, 0o720] {
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
        for line in ["agent run p --once", "agent proxy p", "agent export p curl"] {
            let (status, _, said) = run(scene.at(), line);
            let told =
                format!("p: expected a directory of this user that nobody else may write, found mode {mode:04o}");
            assert!(status != 0 && said.contains(&told) && said.contains("mode 700 (chmod)"), "{line}: {said}");
        }
    }
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    ok(scene.at(), "agent run p --once");
    // Whoever put a link in the lock's place would have another file written.
    let (lock, victim) = (directory.join("lock"), scene.at().join("victim"));
    fs::write(&victim, "kept").unwrap();
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(&victim, &lock).unwrap();
    let (status, _, said) = run(scene.at(), "agent run p --once");
    assert!(status != 0 && said.contains("expected a regular file as lock"), "{said}");
    assert_eq!(fs::read(&victim).unwrap(), b"kept");
}

/// The certificate of such a key would still hold for long, but nothing is in use: its renewal is not put off for longer and longer.
#[test]
fn a_key_that_others_can_read_is_renewed_soon_after_its_ca_is_back() {
    let scene = Scene::new();
    enroll(&scene, "p", "");
    fs::rename(scene.at().join("ca"), scene.at().join("away")).unwrap();
    fs::set_permissions(scene.at().join("p/current/key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let keeper = Running::start(scene.at(), "agent run p");
    keeper.says("\"failed\"", 5);
    let lines = keeper.json();
    let again: Vec<u64> = lines.iter().filter_map(|line| line["again_in_ms"].as_u64()).collect();
    assert!(again.len() >= 5 && again.iter().all(|pause_ms| *pause_ms <= 10_000), "{lines:#?}");
    fs::rename(scene.at().join("away"), scene.at().join("ca")).unwrap();
    keeper.says("\"renewed\"", 1);
    keeper.end();
}

/// The number of the newest line finds no room: that is told and counted, and the log goes on.
#[test]
fn a_log_whose_place_is_not_kept_says_so() {
    let scene = Scene::new();
    enroll(&scene, "p", "");
    let mut limited = Command::new("bash");
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {} agent run p --metrics 127.0.0.1:0", binary().display());
    limited.args(["-c", &script]);
    let keeper = Running::of(scene.at(), limited);
    keeper.says("\"what\":\"log\"", 1);
    process::signal(keeper.child.id(), "HUP");
    keeper.says("\"failed\"", 1);
    let lines = keeper.json();
    let warned: Vec<_> = lines.iter().filter(|line| line["what"] == "log").collect();
    assert_eq!(warned.len(), 1, "once: {lines:#?}");
    assert_eq!((&warned[0]["kind"], &warned[0]["why"]), (&"warning".into(), &"unwritable".into()), "{lines:#?}");
    assert!(warned[0]["error"].as_str().unwrap().contains("log.json"), "{lines:#?}");
    let address =
        lines[0]["metrics"].as_str().unwrap().trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    let said = through(TcpStream::connect(&address).unwrap(), "GET /metrics", "", "");
    assert!(said.contains("adamant_agent_log_unkept 1\n"), "{said}");
    let said = through(TcpStream::connect(&address).unwrap(), "GET /metrics", "Origin: http://evil.example\r\n", "");
    assert!(said.starts_with("HTTP/1.1 403") && !said.contains("adamant_agent"), "{said}");
    let mut log = keeper.end();
    // It begins again, and whoever looks hears what that may come from.
    log.extend(ok(scene.at(), "agent run p --once").lines().map(str::to_owned));
    fs::write(scene.at().join("log"), log.join("\n")).unwrap();
    let said = bad(scene.at(), "agent log p log");
    assert!(said.contains("found 1: the log was begun again") && said.contains("full disk"), "{said}");
}
