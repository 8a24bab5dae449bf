//! A web server with the files of a store. It may lie, hang and break; the gateway goes on, and says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tests::answering::{Answering, Reply};
use tests::certificates::Authority;
use tests::store::digest_of;

use super::*;

/// What is answered for a file in the place of it.
type Lies = Arc<Mutex<BTreeMap<String, Reply>>>;

struct Web {
    server: Answering,
    lies: Lies,
    stage: Stage,
}

const POINTER: &str = "/store/channels/production/pointer.json";
const LIST: &str = "/store/channels/production/revocations.json";

impl Web {
    fn new() -> Self {
        let authority = Authority::new("the web server's CA");
        let lies = Lies::default();
        // The stage needs the server's port, and the server the directory that the stage has.
        let place: Arc<Mutex<Option<std::path::PathBuf>>> = Arc::default();
        let (of_server, told) = (Arc::clone(&place), Arc::clone(&lies));
        let tls = authority.server(&["127.0.0.1"]).server_config();
        let server = Answering::start(Some(tls), move |asked| {
            if let Some(lie) = told.lock().unwrap().get(&asked.path) {
                return lie.clone();
            }
            let home = of_server.lock().unwrap().clone().unwrap();
            let Ok(content) = fs::read(home.join(asked.path.trim_start_matches('/'))) else {
                return Reply::new(404, "");
            };
            let tag = format!("\"{}\"", &digest_of(&content)[7..23]);
            let reply = match asked.field("if-none-match") == Some(&tag) {
                true => Reply::new(304, ""),
                false => Reply::new(200, content),
            };
            reply.with("ETag", tag)
        });
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
        let url = format!("https://127.0.0.1:{}/store", server.address.port());
        let stage = Stage::new(&url, Some(&directory.path().join("ca.pem")), None);
        *place.lock().unwrap() = Some(stage.world.home().to_owned());
        Self { server, lies, stage }
    }

    fn lie(&self, path: &str, reply: Reply) {
        self.lies.lock().unwrap().insert(path.to_owned(), reply);
    }

    fn honest(&self) {
        self.lies.lock().unwrap().clear();
    }

    /// Publishes into the directory behind the server.
    fn publish(&self, serial: u64, built: &Built) {
        self.stage.world.publish(serial, built);
    }

    /// A list that revokes the key of `bot`, in a file.
    fn list(&self) -> Vec<u8> {
        let words = format!("revoke {AT} --store store --key 1.key --api-key reports-1 --out list.json");
        let words: Vec<&str> = words.split(' ').collect();
        let (status, stdout, stderr) = gateway::run(&words, self.stage.world.home());
        assert!(status.success(), "{stdout}{stderr}");
        fs::read(self.stage.world.path("list.json")).unwrap()
    }

    fn revoke_with(&self, list: &[u8]) {
        self.stage.world.write("store/channels/production/revocations.json", list);
    }
}

#[test]
fn files_below_a_url_are_followed_and_never_written() {
    let web = Web::new();
    let (one, two) = (web.stage.build(1, &["/one"]), web.stage.build(2, &["/one", "/two"]));
    assert!(web.stage.world.try_start().is_err());
    web.publish(1, &one);
    let gateway = web.stage.world.start();
    web.publish(2, &two);
    serves_soon(&gateway, 2);
    web.stage.world.point(3, &one.digest);
    serves_soon(&gateway, 1);
    let list = web.list();
    assert_eq!(web.stage.with_key(&gateway), 200);
    web.revoke_with(&list);
    let since = Instant::now();
    assert!(eventually(SOON, || web.stage.with_key(&gateway) == 401), "{}", gateway.stderr());
    eprintln!("revoked within {} ms", since.elapsed().as_millis());

    // At rest: nothing is sent twice, and no connection is made anew, but where the machine held an answer up for seconds.
    let mut told = Vec::new();
    let is_at_rest = (0..5).any(|_| {
        std::thread::sleep(Duration::from_secs(2));
        web.server.asked();
        let (since, connections) = (Instant::now(), web.server.connections());
        std::thread::sleep(Duration::from_secs(3));
        let asked = web.server.asked();
        let (few, made) =
            (asked.len() as u64 <= 10 * since.elapsed().as_secs(), web.server.connections() - connections);
        told.push(format!("{made} new connections: {asked:?}"));
        few && made == 0
    });
    assert!(is_at_rest, "{told:#?}");

    for line in [
        format!("point {AT} --key 4.key --release 2.json"),
        format!("revoke {AT} --key 1.key --api-key reports-1 --why again"),
    ] {
        let said = web.stage.bad(&line);
        assert!(said.contains("an https store is read only") && said.contains("--store DIR"), "{said}");
    }
    assert!(web.stage.bad("point show").contains("does not tell what it has"));
    assert!(web.stage.run(&format!("point show {AT}")).contains(&one.digest));
    let said = web.stage.try_run(&format!("diff {} {}", one.digest, two.digest)).1;
    assert!(said.contains("/two"), "{said}");
}

#[test]
fn a_channel_without_a_list_costs_one_look_at_a_time() {
    let web = Web::new();
    web.publish(1, &web.stage.build(1, &["/one"]));
    let _gateway = web.stage.world.start();
    std::thread::sleep(Duration::from_secs(2));
    let since = Instant::now();
    web.server.asked();
    let mut asked = Vec::new();
    let count =
        |asked: &[(String, String)], path: &str| asked.iter().filter(|(_, target)| target.starts_with(path)).count();
    let looked = eventually(SOON, || {
        asked.extend(web.server.asked());
        count(&asked, POINTER) >= 6 && count(&asked, LIST) >= 6
    });
    assert!(looked, "{asked:?}");
    let of = |path: &str| count(&asked, path);
    // Each is looked at by a thread of its own, four times a second at most.
    let looks_max = since.elapsed().as_millis() as usize / 250 + 2;
    assert!(of(LIST) <= looks_max && of(POINTER) <= looks_max, "{looks_max} looks at most: {asked:?}");
    // 304 each time: the file itself is not read again.
    assert_eq!(of("/store/roots/3.json"), 0, "{asked:?}");
}

#[test]
fn whatever_the_server_says_what_serves_goes_on() {
    let web = Web::new();
    let (one, two) = (web.stage.build(1, &["/one"]), web.stage.build(2, &["/one", "/two"]));
    web.publish(1, &one);
    let old_pointer = fs::read(web.stage.world.pointer_path()).unwrap();
    web.publish(2, &two);
    let gateway = web.stage.world.start();
    let list = web.list();
    let release = format!("/store/releases/{}.json", one.digest.replace(':', "-"));
    let mut changed = fs::read(web.stage.world.pointer_path()).unwrap();
    let at = changed.windows(4).position(|window| window == b"sig\"").unwrap() + 10;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    let lies = [
        ("an older pointer", POINTER, Reply::new(200, old_pointer), "serial"),
        ("changed bytes", POINTER, Reply::new(200, changed), "pointer"),
        ("garbage", POINTER, Reply::new(200, "<html>"), "no DSSE envelope"),
        ("100 MB", POINTER, Reply::Huge(100 << 20), "found more than"),
        (
            "a redirect",
            POINTER,
            Reply::new(302, "").with("Location", format!("https://{}/", web.server.address)),
            "302",
        ),
        ("a fault", POINTER, Reply::new(503, ""), "503"),
        ("another coding", POINTER, Reply::new(200, "x").with("Content-Encoding", "gzip"), "coding"),
        ("one byte a second", POINTER, Reply::Drip, "within 5000 ms"),
        ("nothing", POINTER, Reply::Hang, "within 5000 ms"),
        ("no end", POINTER, Reply::Close, "127.0.0.1"),
    ];
    for (what, path, reply, part) in lies {
        web.lie(path, reply);
        let shown = refused_soon(&gateway, part);
        assert_eq!(gateway.once(get("/two", "")).status, 200, "{what}: {shown}");
        assert_eq!(told(&gateway)["version"], 2, "{what}");
        web.honest();
        content_soon(&gateway);
    }
    // The pointer is right, and the release that it names is not.
    let other = fs::read(web.stage.world.release_path(&two.digest)).unwrap();
    web.lie(&release, Reply::new(200, other).with("ETag", "\"other\""));
    web.stage.world.point(3, &one.digest);
    refused_soon(&gateway, "release");
    assert_eq!(told(&gateway)["version"], 2);
    web.honest();
    serves_soon(&gateway, 1);

    // While the pointer hangs, the kill switch works.
    web.lie(POINTER, Reply::Hang);
    refused_soon(&gateway, "within 5000 ms");
    assert_eq!(web.stage.with_key(&gateway), 200);
    web.revoke_with(&list);
    assert!(eventually(SOON, || web.stage.with_key(&gateway) == 401), "{}", gateway.stderr());
    // A list that is gone, or is not one, lifts nothing.
    for reply in [Reply::new(404, ""), Reply::new(200, "[]"), Reply::Huge(100 << 20), Reply::new(500, "")] {
        web.lie(LIST, reply);
        std::thread::sleep(Duration::from_millis(1_500));
        assert_eq!(web.stage.with_key(&gateway), 401);
    }
}

#[test]
fn a_server_under_another_ca_is_not_spoken_to() {
    let web = Web::new();
    web.publish(1, &web.stage.build(1, &["/one"]));
    let gateway = web.stage.world.start();
    web.server.asked();
    let own = fs::read(web.stage.world.path("store-ca.pem")).unwrap();
    web.stage.world.write("store-ca.pem", Authority::new("another CA").pem.as_bytes());
    refused_soon(&gateway, "UnknownIssuer");
    assert_eq!(gateway.once(get("/one", "")).status, 200);
    // The file is read again: no restart is needed once it is right.
    web.stage.world.write("store-ca.pem", &own);
    content_soon(&gateway);
}

#[test]
fn what_is_written_wrong_is_said_where_it_stands() {
    let world = World::new("hot");
    for (store, part) in [
        ("\"http://store.example/\"", "plain http is for an address on loopback alone"),
        ("\"s3+https://store.example/\"", "expected a store that is a directory, or https://"),
        ("{ url = \"openbao+https://bao.example:8200\" }", "expected the mount of a KV engine"),
        ("{ url = \"store\", ca = \"ca.pem\" }", "expected a URL, found"),
        ("{ url = \"https://store.example\", key = \"k\" }", "expected chain and key of the store"),
        ("{ url = \"https://store.example\", password = \"k\" }", "expected a directory, a URL, or { url"),
        ("{ url = \"https://store.example\", token = \"credential:t\" }", "CREDENTIALS_DIRECTORY"),
    ] {
        world.configure(&format!("store = {store}\nchannel = \"production\""));
        let (status, _, stderr) = world.check();
        assert!(!status.success() && stderr.contains(part) && stderr.contains("gateway.toml:5:9"), "{store}: {stderr}");
    }
}
