//! Text of policy sources, put together from the parts a test needs.

use std::net::SocketAddr;

use crate::apikey::ApiKey;

/// A policy source in the making. The host of all routes is `*` unless a test names one.
#[derive(Clone, Debug)]
pub struct PolicyText {
    head: String,
    body: String,
}

impl PolicyText {
    pub fn new() -> Self {
        Self { head: "[policy]\nname = \"tests\"\n".into(), body: String::new() }
    }

    /// A line of the `[policy]` table, such as `audit = "best-effort"`.
    pub fn setting(mut self, line: &str) -> Self {
        self.head.push_str(line);
        self.head.push('\n');
        self
    }

    /// Any text.
    pub fn with(mut self, text: &str) -> Self {
        self.body.push('\n');
        self.body.push_str(text);
        self.body.push('\n');
        self
    }

    pub fn origin(self, name: &str, addresses: &[SocketAddr]) -> Self {
        self.origin_with(name, addresses, "")
    }

    /// An origin with more lines, such as `credentials = "pass"`.
    pub fn origin_with(self, name: &str, addresses: &[SocketAddr], more: &str) -> Self {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        self.with(&format!("[[origin]]\nname = \"{name}\"\naddresses = {addresses:?}\n{more}"))
    }

    /// A route for every host.
    pub fn route(self, name: &str, methods: &str, path: &str, origin: &str) -> Self {
        self.route_with(name, methods, path, origin, "")
    }

    pub fn route_with(self, name: &str, methods: &str, path: &str, origin: &str, more: &str) -> Self {
        let methods: Vec<&str> = methods.split(' ').collect();
        self.with(&format!(
            "[[route]]\nname = \"{name}\"\nhost = \"*\"\nmethods = {methods:?}\npath = \"{path}\"\norigin = \"{origin}\"\n{more}"
        ))
    }

    pub fn scope(self, name: &str, routes: &[&str]) -> Self {
        self.with(&format!("[[scope]]\nname = \"{name}\"\nroutes = {routes:?}"))
    }

    /// An agent; `identity` is the TOML of one alternative or of several with commas between.
    pub fn agent(self, name: &str, identity: &str, scopes: &[&str], limits: &[&str]) -> Self {
        self.with(&format!(
            "[[agent]]\nname = \"{name}\"\nidentity = [{identity}]\nscopes = {scopes:?}\nlimits = {limits:?}"
        ))
    }

    /// The anonymous agent.
    pub fn anonymous(self, scopes: &[&str], limits: &[&str]) -> Self {
        self.agent("anyone", "\"anonymous\"", scopes, limits)
    }

    /// The issuer `corp` with keys in `corp.jwks.json` beside the policy.
    pub fn issuer(self, algorithms: &[&str], more: &str) -> Self {
        self.with(&format!(
            "[[issuer]]\nname = \"corp\"\nissuer = \"{}\"\naudience = [\"{}\"]\nalgorithms = {algorithms:?}\nkeys = {{ file = \
             \"corp.jwks.json\" }}\n{more}",
            crate::tokens::ISSUER,
            crate::tokens::AUDIENCE,
        ))
    }

    pub fn client_ca(self, name: &str, file: &str) -> Self {
        self.with(&format!("[[client_ca]]\nname = \"{name}\"\ncertificates = {{ file = \"{file}\" }}"))
    }

    pub fn api_key(self, key: &ApiKey, more: &str) -> Self {
        self.with(&format!("[[api_key]]\nid = \"{}\"\nsha256 = \"{}\"\n{more}", key.id, key.sha256))
    }

    /// One that the key set fills.
    pub fn open_api_key(self, id: &str) -> Self {
        self.with(&format!("[[api_key]]\nid = \"{id}\""))
    }

    pub fn text(&self) -> String {
        format!("{}{}", self.head, self.body)
    }
}

impl Default for PolicyText {
    fn default() -> Self {
        Self::new()
    }
}

/// Everything for everybody: one route for all methods and paths to one origin.
pub fn open_to_all(origin: SocketAddr) -> PolicyText {
    PolicyText::new()
        .origin("origin", &[origin])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .anonymous(&["all"], &[])
}
