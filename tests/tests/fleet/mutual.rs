//! The status listener: who is let in, for how long, and what it is asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Socket, Type};

use super::*;

/// A CA of gateways, a CA of those who may ask, and a gateway with a status listener under them.
struct Mutual {
    gateways: Authority,
    askers: Authority,
    gateway: Gateway,
}

impl Mutual {
    fn new() -> Self {
        let (gateways, askers) = (Authority::new("gateways"), Authority::new("askers"));
        let server = gateways.server(&["127.0.0.1"]);
        let deployment = Deployment::new()
            .file("status.pem", &server.certificate)
            .file("status.key", &server.key)
            .file("askers.pem", &askers.pem)
            .file("gateways.pem", &gateways.pem);
        let lines = "[status]\naddress = \"127.0.0.1:0\"\ntls = { chain = \"status.pem\", key = \"status.key\" }\n\
                     client_ca = \"askers.pem\"\n";
        let gateway = deployment.with(lines).run(&policy().text());
        Self { gateways, askers, gateway }
    }

    fn asker(&self) -> Identity {
        self.askers.spiffe("spiffe://fleet/operator")
    }

    fn host(&self) -> String {
        format!("https://{}", self.gateway.status_address())
    }

    /// The options of a command that asks with this certificate.
    fn access(&self, of: &Identity) -> Vec<String> {
        let directory = self.gateway.directory();
        let (certificate, key) = (directory.join("me.pem"), directory.join("me.key"));
        fs::write(&certificate, &of.certificate).unwrap();
        fs::write(&key, &of.key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let options = [("--ca", directory.join("gateways.pem")), ("--cert", certificate), ("--key", key)];
        options.iter().flat_map(|(name, path)| [(*name).to_owned(), path.to_str().unwrap().to_owned()]).collect()
    }

    /// `adamant status` with this certificate.
    fn status(&self, of: &Identity) -> (bool, String) {
        let (host, access) = (self.host(), self.access(of));
        status(&[host.as_str()].into_iter().chain(access.iter().map(String::as_str)).collect::<Vec<_>>())
    }

    /// Such a line of the rotation log, once there are `number`; the latest.
    fn rotation(&self, of: &str, outcome: &str, number: usize) -> Value {
        let mut found = Vec::new();
        let is_it = |line: &Value| line["adamant.refresh.outcome"] == outcome;
        let told = eventually(Duration::from_secs(60), || {
            found = self.gateway.refreshes(of).into_iter().filter(is_it).collect::<Vec<_>>();
            found.len() >= number
        });
        assert!(told && found.len() == number, "{number} of {of} are {outcome}: {}", self.gateway.record_text());
        found.pop().unwrap()
    }

    /// As [`Mutual::get`], of who is let in: again where a machine that stands still takes longer than a handshake may.
    fn answers(&self, config: &std::sync::Arc<ClientConfig>, path: &str) -> u16 {
        let mut answer = Err(String::new());
        let answered = eventually(Duration::from_secs(60), || {
            let begun = Instant::now();
            answer = self.get(config, path);
            answer.is_ok() || begun.elapsed() < Duration::from_secs(1)
        });
        assert!(answered && answer.is_ok(), "{path}: {answer:?}");
        answer.unwrap()
    }

    fn get(&self, config: &std::sync::Arc<ClientConfig>, path: &str) -> Result<u16, String> {
        let address = self.gateway.status_address();
        let mut client = Client::connect_tls(address, "127.0.0.1", config).map_err(|error| error.to_string())?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.try_send(request.as_bytes()).map_err(|error| error.to_string())?;
        Ok(client.try_response_to("GET")?.status)
    }
}

#[test]
fn the_status_listener_answers_those_with_a_certificate_and_nobody_else() {
    let mutual = Mutual::new();
    let (fine, said) = mutual.status(&mutual.asker());
    assert!(fine, "{said}");
    let known = mutual.gateways.client_config(Some(&mutual.asker()));
    for (path, expected) in
        [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/release", 200), ("/attestation", 200), ("/", 404)]
    {
        assert_eq!(mutual.answers(&known, path), expected, "{path}");
    }
    let strangers = Authority::new("askers");
    for (who, refused) in [
        ("without", mutual.gateways.client_config(None)),
        ("of another CA", mutual.gateways.client_config(Some(&strangers.spiffe("spiffe://fleet/operator")))),
        ("of the gateways' own CA", mutual.gateways.client_config(Some(&mutual.gateways.spiffe("spiffe://a/b")))),
        ("expired", mutual.gateways.client_config(Some(&mutual.askers.expired_spiffe("spiffe://fleet/operator")))),
    ] {
        assert!(mutual.get(&refused, "/healthz").is_err(), "a certificate: {who}");
    }
    let (fine, said) = mutual.status(&strangers.spiffe("spiffe://fleet/operator"));
    // Where its refusal comes before our request; a reset of the connection otherwise.
    assert!(!fine && (said.contains("it refuses our certificate") || said.contains("no answer: ")), "{said}");
    let (fine, said) = status(&[&format!("https://{}", mutual.gateway.status_address())]);
    assert!(!fine && said.contains("give --ca, --cert and --key"), "{said}");
    // Plain HTTP gets nothing but the word to use TLS.
    let mut plain = TcpStream::connect(mutual.gateway.status_address()).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("found plain HTTP: use https://"), "{answer}");
}

#[test]
fn what_a_gateway_elsewhere_serves_is_compared() {
    let mutual = Mutual::new();
    let directory = mutual.gateway.directory();
    let served = release(&mutual.gateway)["release"].as_str().unwrap().to_owned();
    fs::create_dir_all(directory.join("store/releases")).unwrap();
    let name = format!("store/releases/{}.json", served.replace(':', "-"));
    fs::copy(directory.join("release.json"), directory.join(name)).unwrap();
    let (gateway, access) = (format!("gateway:{}", mutual.host()), mutual.access(&mutual.asker()));
    let line = ["diff", &gateway, &served, "--store", "store"];
    let line: Vec<&str> = line.into_iter().chain(access.iter().map(String::as_str)).collect();
    let (status, stdout, stderr) = run(&line, directory);
    assert!(status.success() && stdout.contains("same"), "{stdout}{stderr}");
    let line = ["explain", "--request", "GET http://api.test/", "--policy", &gateway, "--store", "store"];
    let line: Vec<&str> = line.into_iter().chain(access.iter().map(String::as_str)).collect();
    let (status, stdout, stderr) = run(&line, directory);
    assert!(status.success() && stdout.contains(&format!("{served} of policy")), "{stdout}{stderr}");
}

/// Less than a handshake may take (`STATUS_HANDSHAKE_S_MAX`), and than a connection may idle (`ADMIN_HEAD_S_MAX`).
const STRANGER: Duration = Duration::from_secs(4);
const IDLE: Duration = Duration::from_secs(9);

/// A connection that says nothing, from this address of the machine.
fn silent(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

fn is_closed(stream: &mut TcpStream, within: Duration) -> bool {
    stream.set_read_timeout(Some(within)).unwrap();
    // A timeout is an error of its own kind; a reset is a close.
    !tests::stream::read(stream, &mut [0]).is_err_and(|error| tests::stream::timed_out(&error))
}

/// Asks on a connection that is there.
fn answers(client: &mut Client) -> bool {
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    client.try_send(request).is_ok() && client.try_response_to("GET").is_ok_and(|answer| answer.status == 200)
}

#[test]
fn the_status_listener_is_bounded_in_connections_and_in_their_time() {
    assert!((0..5).any(|_| bounded_in_time()), "never in less time than who says nothing is closed");
}

/// False where it took longer than connections that say nothing, or ask nothing, may be there: that says nothing.
fn bounded_in_time() -> bool {
    let mutual = Mutual::new();
    let known = mutual.gateways.client_config(Some(&mutual.asker()));
    let address = mutual.gateway.status_address();
    let connect = || Client::connect_tls(address, "127.0.0.1", &known);
    let turned_away = |why: &str| {
        let row = format!("adamant_status_connections_turned_away_total{{why=\"{why}\"}} ");
        let text = mutual.gateway.admin("/metrics").text();
        text.lines().find_map(|line| line.strip_prefix(&row)?.parse::<u64>().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    let since = Instant::now();
    let mut inside: Vec<Client> = (0..STATUS_CONNECTIONS).map_while(|_| connect().ok()).collect();
    let all_in = inside.len() == STATUS_CONNECTIONS && inside.iter_mut().all(answers);
    let begun = Instant::now();
    let mut outside: Vec<_> = (0..STATUS_STRANGERS).map(|_| silent([127, 0, 0, 1], address)).collect();
    let mut other = silent([127, 0, 0, 2], address);
    let first = is_closed(&mut outside[0], Duration::from_secs(3));
    outside.push(silent([127, 0, 0, 1], address));
    let second = is_closed(&mut outside[1], Duration::from_secs(3));
    // Counted once they are closed.
    let counted = |of: &str, count| eventually(Duration::from_secs(2), || turned_away(of) == count);
    let gave_way = counted("gave-way", 2);
    let others = !is_closed(&mut other, Duration::from_millis(100));
    if begun.elapsed() > STRANGER {
        return false;
    }
    let known_ones = inside.iter_mut().all(answers);
    let one_more = connect().is_ok_and(|mut client| answers(&mut client));
    let oldest = inside.first_mut().is_some_and(|client| client.is_closed_within(Duration::from_secs(3)));
    let next = inside.get_mut(1).is_some_and(answers);
    let known_gave_way = counted("known-gave-way", 1);
    if since.elapsed() > IDLE {
        return false;
    }
    assert!(all_in, "as many as there are seats");
    assert!(first, "the oldest gave way");
    assert!(second, "the oldest of the client with the most gave way");
    assert!(gave_way);
    assert!(others, "the others did not");
    assert!(known_ones, "nor who has shown a certificate");
    assert!(one_more && oldest, "to one more with a certificate, the oldest of them");
    assert!(next);
    assert!(known_gave_way);
    assert_eq!(mutual.gateway.admin("/healthz").status, 200, "the admin listener has seats of its own");
    // Those who say nothing are closed.
    assert!(is_closed(&mut other, Duration::from_secs(60)) && begun.elapsed() > Duration::from_secs(3), "in time");
    assert!(eventually(Duration::from_secs(60), || turned_away("handshake") >= STATUS_STRANGERS as u64 - 2));
    true
}

/// More than there are seats, all the time: from the address of those who ask, and as fast as it goes from another one.
#[test]
fn idle_connections_keep_no_answer_from_who_has_a_certificate() {
    let mutual = Mutual::new();
    let known = mutual.gateways.client_config(Some(&mutual.asker()));
    let address = mutual.gateway.status_address();
    for (from, pause) in [([127, 0, 0, 1], Duration::from_millis(25)), ([127, 0, 0, 2], Duration::from_millis(1))] {
        let (stop, mut answers) = (AtomicBool::new(false), Vec::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut held = VecDeque::new();
                while !stop.load(Ordering::Relaxed) {
                    held.push_back(silent(from, address));
                    if held.len() > 3 * STATUS_STRANGERS {
                        held.pop_front();
                    }
                    thread::sleep(pause);
                }
            });
            thread::sleep(Duration::from_secs(3));
            let mut late = 0;
            while answers.len() < 20 {
                let begun = Instant::now();
                let answer = mutual.get(&known, "/healthz");
                // So long, and it is one of the oldest itself.
                if answer.is_err() && begun.elapsed() > Duration::from_secs(1) && late < 20 {
                    late += 1;
                    continue;
                }
                answers.push(answer);
                thread::sleep(Duration::from_millis(100));
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(answers, vec![Ok(200); 20], "idle connections from {from:?}");
    }
    let turned_away = || mutual.gateway.metric("status_connections_turned_away_total");
    assert!(eventually(Duration::from_secs(60), || turned_away() > STATUS_STRANGERS as f64), "{}", turned_away());
}

/// Two seconds' worth may begin at once: at the end of one, and at the beginning of the next.
#[test]
fn handshakes_of_the_status_listener_are_paced() {
    let mutual = Mutual::new();
    let known = mutual.gateways.client_config(Some(&mutual.asker()));
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| (0..HANDSHAKES).for_each(|_| assert_eq!(mutual.answers(&known, "/healthz"), 200)));
        }
    });
    assert!(begun.elapsed() > Duration::from_millis(2_900), "whoever came later has waited: {:?}", begun.elapsed());
}

/// Takes its whole five minutes: `FULL=1`.
#[test]
fn a_connection_to_the_status_listener_ends() {
    if std::env::var_os("FULL").is_none() {
        return;
    }
    let mutual = Mutual::new();
    let known = mutual.gateways.client_config(Some(&mutual.asker()));
    let mut client = Client::connect_tls(mutual.gateway.status_address(), "127.0.0.1", &known).unwrap();
    let begun = Instant::now();
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    while client.try_send(request).is_ok() && client.try_response_to("GET").is_ok() {
        assert!(begun.elapsed() < CONNECTION + Duration::from_secs(20), "it is still open");
        thread::sleep(Duration::from_secs(5));
    }
    assert!(begun.elapsed() > CONNECTION - Duration::from_secs(20), "closed after {:?}", begun.elapsed());
}

/// Whole or not at all: what is half written would be refused, and told.
fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::set_permissions(&new, fs::metadata(path).unwrap().permissions()).unwrap();
    fs::rename(&new, path).unwrap();
}

#[test]
fn the_status_listener_takes_new_files_and_keeps_its_old_ones_over_bad_ones() {
    let mutual = Mutual::new();
    let directory = mutual.gateway.directory();
    let known = mutual.gateways.client_config(Some(&mutual.asker()));
    replace(&directory.join("askers.pem"), "nonsense");
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(mutual.answers(&known, "/healthz"), 200);
    mutual.gateway.tells("keeps its old certificate");
    let refused = mutual.rotation("status-client-ca", "refused", 1);
    assert!(refused["error.message"].as_str().unwrap().contains("askers.pem"), "{refused}");
    // Both CAs for a while, then the new one alone.
    let others = Authority::new("others");
    let other = mutual.gateways.client_config(Some(&others.spiffe("spiffe://fleet/operator")));
    replace(&directory.join("askers.pem"), format!("{}{}", mutual.askers.pem, others.pem));
    assert!(eventually(Duration::from_secs(60), || mutual.get(&other, "/healthz") == Ok(200)));
    assert_eq!(mutual.answers(&known, "/healthz"), 200);
    let both = mutual.rotation("status-client-ca", "taken", 1);
    let (old, new) = (both["adamant.refresh.old"].as_str().unwrap(), both["adamant.refresh.new"].as_str().unwrap());
    assert!(old.len() == 64 && new.len() == 129 && new.starts_with(old), "{both}");
    assert!(both.get("adamant.refresh.overlap_s").is_none(), "nothing left: {both}");
    thread::sleep(Duration::from_millis(1_100));
    replace(&directory.join("askers.pem"), &others.pem);
    assert!(eventually(Duration::from_secs(60), || mutual.get(&known, "/healthz").is_err()), "it is no longer trusted");
    assert_eq!(mutual.answers(&other, "/healthz"), 200);
    let alone = mutual.rotation("status-client-ca", "taken", 2);
    assert_eq!(alone["adamant.refresh.old"], both["adamant.refresh.new"], "{alone}");
    assert!((1..120).contains(&alone["adamant.refresh.overlap_s"].as_u64().unwrap()), "{alone}");

    let server = mutual.gateways.server(&["127.0.0.1"]);
    let key = fs::read(directory.join("status.key")).unwrap();
    replace(&directory.join("status.key"), &server.key);
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(mutual.answers(&other, "/healthz"), 200, "with what it has");
    let refused = mutual.rotation("status-certificate", "refused", 1);
    assert!(refused["error.message"].as_str().unwrap().contains("do not belong together"), "{refused}");
    replace(&directory.join("status.key"), key);
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(mutual.answers(&other, "/healthz"), 200);
    assert_eq!(mutual.rotation("status-certificate", "unchanged", 1)["adamant.refresh.why"], "changed");
    replace(&directory.join("status.key"), &server.key);
    replace(&directory.join("status.pem"), &server.certificate);
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(mutual.answers(&other, "/healthz"), 200);
    let taken = mutual.rotation("status-certificate", "taken", 1);
    let source = taken["adamant.refresh.source"].as_str().unwrap();
    assert!(source.ends_with("status.pem") && taken["adamant.refresh.overlap_s"] == 0, "{taken}");
    assert_ne!(taken["adamant.refresh.old"], taken["adamant.refresh.new"]);
}
