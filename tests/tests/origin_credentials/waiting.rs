//! A request that waits carries the secret of the moment in which it leaves, not of the one in which it came.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex};

use tests::issuer::{HttpsIssuer, Reply};
use tests::scene::bearer;
use tests::store::{World, served};
use tests::tokens::{AUDIENCE, ISSUER, TokenKey, claims, jwks};

use super::*;

/// Takes connections for an origin at once, and moves nothing on them before it is let.
struct Gate {
    address: SocketAddr,
    waiting: Arc<AtomicUsize>,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn before(origin: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (waiting, open) = (Arc::new(AtomicUsize::new(0)), Arc::<(Mutex<bool>, Condvar)>::default());
        let (counted, gate) = (Arc::clone(&waiting), Arc::clone(&open));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let gate = Arc::clone(&gate);
                thread::spawn(move || {
                    let is_open = gate.0.lock().unwrap();
                    drop(gate.1.wait_while(is_open, |is_open| !*is_open).unwrap());
                    relay(&stream, &TcpStream::connect(origin).unwrap());
                });
            }
        });
        Self { address, waiting, open }
    }

    fn let_through(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

fn relay(client: &TcpStream, origin: &TcpStream) {
    thread::scope(|scope| {
        scope.spawn(|| io::copy(&mut &*origin, &mut &*client));
        let _ = io::copy(&mut &*client, &mut &*origin);
        let _ = origin.shutdown(std::net::Shutdown::Both);
    });
}

/// Puts another secret in place, and waits until workers have it.
fn rotate(gateway: &Gateway, home: &Path) {
    let before = gateway.metric("activation");
    replace(home, "orders.key", SECOND, 0o600);
    gateway.signal("HUP");
    assert!(eventually(SOON, || gateway.metric("activation") > before), "{}", gateway.stderr());
}

const SECRET: &str = "[[origin_credential]]\nname = \"orders\"\nfile = \"orders.key\"";
/// Longer than what is done while a connection is held up.
const PATIENT: &str = "[timeouts]\norigin_connect = \"2m\"";

#[test]
fn what_waits_for_its_connection_goes_out_with_the_new_secret() {
    let origins = Authority::new("origin CA");
    let origin = RecordingOrigin::tls(origins.server(&["origin.test"]).server_config(), |_, _| Answer::text("ok"));
    let gate = Gate::before(origin.address());
    let more = format!("tls = {{ ca = {{ file = \"origins.pem\" }}, server_name = \"origin.test\" }}\n{OWN}");
    let policy = PolicyText::new()
        .origin_with("origin", &[gate.address], &more)
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &[]);
    let deployment = Deployment::new().file("origins.pem", &origins.pem).file("orders.key", FIRST);
    let gateway = deployment.with(SECRET).with(PATIENT).run(&policy.text());
    thread::scope(|scope| {
        let asking = scope.spawn(|| gateway.once(get("/", "")).status);
        assert!(eventually(SOON, || gate.waiting.load(Ordering::SeqCst) == 1));
        rotate(&gateway, gateway.directory());
        gate.let_through();
        assert_eq!(asking.join().unwrap(), 200);
    });
    assert_eq!(values_of(&origin.last_of(1), "authorization"), [format!("Bearer {SECOND}")]);
}

#[test]
fn another_release_in_between_does_not_keep_the_old_secret() {
    let origins = Authority::new("origin CA");
    let origin = RecordingOrigin::tls(origins.server(&["origin.test"]).server_config(), |_, _| Answer::text("ok"));
    let gate = Gate::before(origin.address());
    let more = format!("tls = {{ ca = {{ file = \"origins.pem\" }}, server_name = \"origin.test\" }}\n{OWN}");
    let policy = |scope: &str| {
        PolicyText::new()
            .origin_with("origin", &[gate.address], &more)
            .route("all", "*", "/{rest...}", "origin")
            .scope(scope, &["all"])
            .anonymous(&[scope], &[])
    };
    let world = World::with("hot", &format!("{SECRET}\n\n{PATIENT}"));
    world.write("origins.pem", origins.pem.as_bytes());
    replace(world.home(), "orders.key", FIRST, 0o600);
    world.publish(1, &world.build(1, &policy("all")));
    let gateway = world.start();
    thread::scope(|scope| {
        let asking = scope.spawn(|| gateway.once(get("/", "")).status);
        assert!(eventually(SOON, || gate.waiting.load(Ordering::SeqCst) == 1));
        let built = world.build(2, &policy("another"));
        world.publish(2, &built);
        assert!(eventually(SOON, || served(&gateway) == built.digest), "{}", gateway.stderr());
        rotate(&gateway, world.home());
        gate.let_through();
        assert_eq!(asking.join().unwrap(), 200);
    });
    assert_eq!(values_of(&origin.last_of(1), "authorization"), [format!("Bearer {SECOND}")]);
}

#[test]
fn what_waits_for_a_fresh_keyset_goes_out_with_the_new_secret() {
    let (origin, issuer) = (RecordingOrigin::start(), HttpsIssuer::start());
    let (old, new) = (TokenKey::generate("ES256", "k1"), TokenKey::generate("ES256", "k2"));
    issuer.say("/keys", Reply::json(&jwks(&[&old])));
    let keys = format!(
        "{{ url = \"{}\", refresh = \"10m\", max_stale = \"1h\", ca = {{ file = \"id-ca.pem\" }} }}",
        issuer.url("/keys")
    );
    let policy = PolicyText::new()
        .origin_with("origin", &[origin.address()], OWN)
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .with(&format!(
            "[[issuer]]\nname = \"corp\"\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = [\"ES256\"]\n\
             keys = {keys}"
        ))
        .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[]);
    let gateway =
        Deployment::new().file("id-ca.pem", &issuer.ca).file("orders.key", FIRST).with(SECRET).run(&policy.text());
    let ask = |key: &TokenKey| gateway.once(get("/", &bearer(&key.sign(&claims("bot"))))).status;
    assert!(eventually(SOON, || ask(&old) == 200));
    let sent = origin.count();
    issuer.say("/keys", Reply::json(&jwks(&[&old, &new])));
    issuer.delay(SOON);
    let asked = issuer.asked("/keys");
    thread::scope(|scope| {
        // Refused until the issuer may be asked again.
        let asking = scope.spawn(|| eventually(SOON, || ask(&new) == 200));
        assert!(eventually(SOON, || issuer.asked("/keys") > asked));
        rotate(&gateway, gateway.directory());
        assert_eq!(origin.count(), sent, "it still waits");
        issuer.delay(Duration::ZERO);
        assert!(asking.join().unwrap());
    });
    assert_eq!(values_of(&origin.last_of(sent + 1), "authorization"), [format!("Bearer {SECOND}")]);
}
