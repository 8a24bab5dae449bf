//! Clients and origins that die at every stage leave nothing behind: descriptors and memory return to where they were.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tests::answer::{Answer, Content, Fault, When};
use tests::certificates::Authority;
use tests::client::{Client, get};
use tests::deployment::Deployment;
use tests::origin::RecordingOrigin;
use tests::policy::open_to_all;
use tests::process::{descriptors, eventually, resident_anonymous_kib, signal};
use tests::scene::Scene;

/// Rounds of each fault.
const ROUNDS: usize = 60;
/// Descriptors that a pool of connections to the origin may hold beyond the start.
const POOLED_MAX: usize = ROUNDS / 2;
/// Resident memory, without that of files, may stay higher by so much, in KiB: the allocator keeps some.
const KEPT_KIB_MAX: u64 = 6 << 10;

/// Runs `fault` many times and sees that nothing stays; then the gateway still serves.
fn leaves_nothing(scene: &Scene, what: &str, mut fault: impl FnMut(usize)) {
    let pid = scene.gateway.pid();
    for number in 0..10 {
        fault(number);
    }
    scene.gateway.once(get("/good", ""));
    let before = (scene.gateway.settled_descriptors(), resident_anonymous_kib(pid));
    for number in 0..ROUNDS {
        fault(number);
    }
    scene.gateway.once(get("/good", ""));
    let returned = eventually(Duration::from_secs(60), || descriptors(pid) <= before.0 + POOLED_MAX);
    assert!(returned, "{what}: {} descriptors, {} before", descriptors(pid), before.0);
    let is_small = eventually(Duration::from_secs(60), || resident_anonymous_kib(pid) <= before.1 + KEPT_KIB_MAX);
    assert!(is_small, "{what}: {} KiB, {} before", resident_anonymous_kib(pid), before.1);
    assert_eq!(scene.gateway.once(get("/good", "")).status, 200, "{what}: still serving");
}

/// Sends these bytes and goes away.
fn leave_after(scene: &Scene, bytes: &[u8], wait_ms: u64) {
    let mut socket = TcpStream::connect(scene.address()).unwrap();
    let _ = socket.write_all(bytes);
    thread::sleep(Duration::from_millis(wait_ms));
}

#[test]
fn clients_that_leave_before_or_inside_the_head() {
    let scene = Scene::open();
    leaves_nothing(&scene, "before the head", |_| leave_after(&scene, b"", 0));
    leaves_nothing(&scene, "inside the head", |number| {
        leave_after(&scene, &get("/", "X: y\r\n").as_bytes()[..10 + number % 20], 1)
    });
}

#[test]
fn clients_that_leave_inside_their_content() {
    let scene = Scene::scripted(|_, _| Answer::echo());
    let unfinished = "POST /e HTTP/1.1\r\nHost: api.test\r\nContent-Length: 100000\r\n\r\nhello";
    leaves_nothing(&scene, "Content-Length", |_| leave_after(&scene, unfinished.as_bytes(), 3));
    let unfinished = "POST /e HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4";
    leaves_nothing(&scene, "chunked", |_| leave_after(&scene, unfinished.as_bytes(), 3));
    let gone = eventually(Duration::from_secs(60), || scene.origin.open_connections() <= POOLED_MAX);
    assert!(gone, "{} connections to the origin stay", scene.origin.open_connections());
}

#[test]
fn clients_that_leave_while_the_origin_thinks() {
    let scene = Scene::scripted(|head, _| {
        let answer = Answer::text("ok");
        if head.target == b"/good" { answer } else { answer.after(Duration::from_millis(100)) }
    });
    leaves_nothing(&scene, "before the response", |_| leave_after(&scene, get("/", "").as_bytes(), 3));
}

#[test]
fn clients_that_leave_inside_the_response() {
    let scene = Scene::scripted(|head, _| match head.target_text().as_str() {
        "/good" => Answer::text("ok"),
        _ => Answer::new(200).with_content(Content::Filler(8 << 20)),
    });
    leaves_nothing(&scene, "inside the response", |_| {
        let mut client = scene.gateway.client();
        client.send(get("/", ""));
        client.head();
    });
}

#[test]
fn clients_that_pipeline_and_leave() {
    let scene = Scene::open();
    let many: String = (0..20).map(|_| get("/", "")).collect();
    leaves_nothing(&scene, "pipelined", |_| leave_after(&scene, many.as_bytes(), 2));
}

#[test]
fn origins_that_die_at_each_stage() {
    for fault in [Fault::BeforeResponse, Fault::InHead, Fault::InContent] {
        let scene = Scene::scripted(
            move |head, _| if head.target == b"/good" { Answer::text("ok") } else { Answer::broken(fault) },
        );
        leaves_nothing(&scene, &format!("{fault:?}"), |_| {
            let mut client = scene.gateway.client();
            client.send(get("/", ""));
            let _ = client.try_response_to("GET");
        });
    }
}

#[test]
fn origins_that_answer_without_reading_the_content() {
    let scene = Scene::scripted(|head, _| match head.target_text().as_str() {
        "/good" => Answer::text("ok"),
        _ => Answer::new(413).at(When::InsteadOfContent).closing(),
    });
    let block = vec![b'x'; 300_000];
    leaves_nothing(&scene, "instead of content", |_| {
        let mut client = scene.gateway.client();
        client.send("PUT /large HTTP/1.1\r\nHost: api.test\r\nContent-Length: 600000\r\n\r\n");
        let _ = client.try_send(&block);
        let _ = client.try_response_to("PUT");
    });
}

#[test]
fn origins_that_vanish_and_come_back() {
    let mut origin = RecordingOrigin::start();
    let address = origin.address();
    let gateway = tests::gateway::Gateway::dev(&open_to_all(address).text());
    gateway.once(get("/", ""));
    let before = gateway.settled_descriptors();
    for _ in 0..5 {
        origin.stop();
        for _ in 0..20 {
            assert_eq!(gateway.once(get("/", "")).status, 502);
        }
        origin = RecordingOrigin::at(address, |_, _| Answer::text("back"));
        assert!(eventually(Duration::from_secs(60), || gateway.once(get("/", "")).status == 200));
    }
    assert!(eventually(Duration::from_secs(60), || descriptors(gateway.pid()) <= before + POOLED_MAX));
}

#[test]
fn handshakes_that_break_off() {
    let server_ca = Authority::new("server CA");
    let origin = RecordingOrigin::start();
    let gateway = Deployment::new()
        .tls_listener(&server_ca.server(&["api.test"]), "off")
        .run(&open_to_all(origin.address()).text());
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let break_off = |bytes: &[u8]| {
        let mut socket = TcpStream::connect(gateway.tls_address()).unwrap();
        let _ = socket.write_all(bytes);
        thread::sleep(Duration::from_millis(2));
    };
    break_off(&hello);
    let config = server_ca.client_config(None);
    let serve =
        || Client::connect_tls(gateway.tls_address(), "api.test", &config).unwrap().exchange(get("/", "")).status;
    assert_eq!(serve(), 200);
    let before = gateway.settled_descriptors();
    for number in 0..ROUNDS {
        break_off(&hello[..number % hello.len()]);
        break_off(b"GET / HTTP/1.1\r\n\r\n");
    }
    assert!(eventually(Duration::from_secs(60), || descriptors(gateway.pid()) <= before + POOLED_MAX));
    assert_eq!(serve(), 200);
}

#[test]
fn slow_heads_are_cut_off_in_time_and_others_do_not_wait() {
    let origin = RecordingOrigin::start();
    let gateway = Deployment::new()
        .with("[timeouts]\nhead = \"500ms\"\nidle = \"700ms\"\ncontent_idle = \"500ms\"")
        .run(&open_to_all(origin.address()).text());
    let mut slow: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = gateway.client();
            let _ = client.try_send(b"GET / HTTP/1.1\r\nHost: ap");
            client
        })
        .collect();
    // A machine that stands still between connection and request uses its time up: then the next one.
    let served = || {
        (0..10).find_map(|_| {
            let mut client = gateway.client();
            client.try_send(get("/", "").as_bytes()).ok()?;
            client.try_response_to("GET").ok().filter(|answer| answer.status == 200).map(|_| client)
        })
    };
    assert!(served().is_some());
    for client in &mut slow {
        let (bytes, ended) = client.read_until_quiet(Duration::from_secs(60), Duration::from_secs(60));
        assert_ne!(
            ended,
            tests::client::Ended::Open,
            "a slow head is closed, after {:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
    let mut idle = served().expect("one that is served");
    assert!(idle.is_closed_within(Duration::from_secs(60)), "an idle connection is closed");
    let mut stuck = gateway.client();
    let _ = stuck.try_send(b"POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\n\r\nab");
    let (_, ended) = stuck.read_until_quiet(Duration::from_secs(60), Duration::from_secs(60));
    assert_ne!(ended, tests::client::Ended::Open, "a content that stops is closed");
}

/// As by a debugger, the freezer of a container, or a virtual machine that is moved.
#[test]
fn a_gateway_that_is_stopped_and_goes_on_fails_no_request() {
    let server_ca = Authority::new("server CA");
    let origin = RecordingOrigin::start();
    let deployment = Deployment::new().tls_listener(&server_ca.server(&["api.test"]), "off");
    let gateway = deployment.run(&open_to_all(origin.address()).text());
    let config = server_ca.client_config(None);
    let stopping = AtomicBool::new(false);
    let ask = |mut client: Client| {
        let mut count = 0;
        while !stopping.load(Ordering::Relaxed) {
            assert_eq!(client.exchange(get("/", "")).status, 200);
            count += 1;
            thread::sleep(Duration::from_millis(1));
        }
        count
    };
    let made: usize = thread::scope(|scope| {
        let tls = || ask(Client::connect_tls(gateway.tls_address(), "api.test", &config).unwrap());
        let asking = [scope.spawn(|| ask(gateway.client())), scope.spawn(tls)];
        for round in 0..30 {
            signal(gateway.pid(), "STOP");
            thread::sleep(Duration::from_millis(5 * (round % 7)));
            signal(gateway.pid(), "CONT");
            thread::sleep(Duration::from_millis(20));
        }
        stopping.store(true, Ordering::Relaxed);
        asking.into_iter().map(|of| of.join().unwrap()).sum()
    });
    assert!(made >= 30, "{made} requests");
    assert_eq!(gateway.wait_for_records(made).len(), made);
}
