//! What docs/operating.md tells origins to do, done as it stands there: with PyJWT and with jose.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use tests::installed::installed;

/// An origin on a free port, which it prints; 401 to what its recipe refuses. `RECIPE` stands for that.
const PYTHON: &str = r#"
import http.server
RECIPE
class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        try:
            came_through(self.command, self.headers["Host"], self.path, self.headers.get("Adamant-Assertion", ""))
            status, told = 200, b"ok"
        except jwt.PyJWTError as error:
            status, told = 401, repr(error).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)
    do_POST = do_GET
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
print(server.server_port, flush=True)
server.serve_forever()
"#;
const JAVASCRIPT: &str = r#"
import { createServer } from "node:http";
RECIPE
const server = createServer(async (request, response) => {
  try {
    await cameThrough(request);
    response.end("ok");
  } catch (error) {
    response.statusCode = 401;
    response.end(String(error));
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"#;

/// The recipe for `language`, for this gateway.
fn recipe(language: &str, admin: SocketAddr) -> String {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let manual = fs::read_to_string(manual).unwrap();
    let (_, rest) = manual.split_once(&format!("```{language}\n")).expect("a recipe");
    let text = rest.split_once("```").unwrap().0;
    assert!(text.contains("127.0.0.1:9901") && text.contains("\"orders-edge\""), "{text}");
    text.replace("127.0.0.1:9901", &admin.to_string()).replace("\"orders-edge\"", "\"tests\"")
}

struct Origin {
    child: Child,
    address: SocketAddr,
}

impl Origin {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().unwrap_or_else(|_| panic!("{command:?} does not come up: {line:?}"));
        Self { child, address: ([127, 0, 0, 1], port).into() }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An origin by its recipe refuses strangers and what was about something else, and takes the rest. It comes up when the
/// gateway's keys can be asked for, which wants an origin: so the gateway's stands elsewhere, and shows what it sends.
fn verify(start: impl FnOnce(SocketAddr) -> Origin) {
    let (seen, key) = (RecordingOrigin::start(), ApiKey::new("bot-1"));
    let gateway = Deployment::new().run(&policy(seen.address(), ASSERTED, &key).text());
    let origin = start(gateway.admin_address());
    let bot = format!("X-API-Key: {}\r\n", key.text);
    let mut last = 0;
    let mut sent = |request: String| {
        assert_eq!(gateway.once(request).status, 200);
        last += 1;
        format!("{FIELD}: {}\r\n", assertions_of(&seen.last_of(last))[0])
    };
    let assertion = sent(get("/orders/7?x=1&y=%20", &bot));
    let asked = |request: String| {
        let answer = once(origin.address, request);
        (answer.status, answer.text())
    };
    assert_eq!(asked(get("/orders/7?x=1&y=%20", &assertion)), (200, "ok".to_owned()));
    let posted = sent(post("/orders", &bot, ""));
    assert_eq!(asked(post("/orders", &posted, "")), (200, "ok".to_owned()));
    for wrong in [
        get("/orders/7", ""),
        get("/orders/8?x=1&y=%20", &assertion),
        get("/orders/7", &assertion),
        post("/orders/7?x=1&y=%20", &assertion, ""),
        get("/orders/7?x=1&y=%20", &assertion).replace("Host: api.test", "Host: other.test"),
        get("/orders", &posted),
        get("/orders/7?x=1&y=%20", &assertion.replacen('.', "x.", 1)),
        get("/orders/7?x=1&y=%20", &format!("{FIELD}: {}\r\n", another_kind(&assertion))),
    ] {
        let (status, told) = asked(wrong.clone());
        assert_eq!(status, 401, "{wrong}{told}");
    }
}

/// A token of somebody else that says the same.
fn another_kind(assertion: &str) -> String {
    let compact = assertion.split_once(": ").unwrap().1.trim();
    TokenKey::generate("ES256", "k1").sign(&claims_of(compact))
}

#[test]
fn the_python_recipe_verifies() {
    let Some(packages) = installed("ADAMANT_PYJWT", "jwt/__init__.py", "tests/pyjwt") else { return };
    verify(|admin| {
        let program = PYTHON.replace("RECIPE", &recipe("python", admin));
        Origin::start(Command::new("python3").args(["-c", &program]).env("PYTHONPATH", packages))
    });
}

#[test]
fn the_javascript_recipe_verifies() {
    let Some(packages) = installed("ADAMANT_OIDC_PROVIDER", "node_modules/jose", "tests/oidc") else { return };
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(packages.join("node_modules"), directory.path().join("node_modules")).unwrap();
    verify(|admin| {
        let program = directory.path().join("origin.mjs");
        fs::write(&program, JAVASCRIPT.replace("RECIPE", &recipe("javascript", admin))).unwrap();
        Origin::start(Command::new("node").arg(program))
    });
}
