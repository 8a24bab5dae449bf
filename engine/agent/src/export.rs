//! `agent export`: a profile in the words of other tools. All of them read the files of the profile, so a renewal reaches
//! them as soon as they read again; `current` is resolved once each time, so key and certificate always fit.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::bounds::FILE_BYTES_MAX;
use crate::fault::Fault;
use crate::files;
use crate::generation;
use crate::profile::{GATEWAY_CA, Profile, TokenSource};
use crate::x509;

/// In whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A configuration file of curl, for `curl -K`.
    Curl,
    /// Python with requests.
    Requests,
    /// Python with httpx.
    Httpx,
    Node,
    Go,
    /// A Secret, with the key in it.
    Kubernetes,
    /// Variables.
    Env,
}

const REQUESTS: &str = r#"# Python with requests. Call session() again after a renewal.
import os
import requests

PROFILE = {profile}
GATEWAY = {gateway}
TOKEN = {token}


def session():
    current = os.path.realpath(PROFILE + "/current")
    made = requests.Session()
    made.trust_env = False
    made.verify = PROFILE + "/gateway-ca.pem"
    made.cert = (current + "/cert.pem", current + "/key.pem")
    if TOKEN:
        made.headers["Authorization"] = "Bearer " + open(os.path.join(current, TOKEN)).readline().strip()
    return made
"#;

const HTTPX: &str = r#"# Python with httpx. Call client() again after a renewal.
import os
import ssl
import httpx

PROFILE = {profile}
GATEWAY = {gateway}
TOKEN = {token}


def client():
    current = os.path.realpath(PROFILE + "/current")
    context = ssl.create_default_context(cafile=PROFILE + "/gateway-ca.pem")
    context.load_cert_chain(current + "/cert.pem", current + "/key.pem")
    headers = {}
    if TOKEN:
        headers["Authorization"] = "Bearer " + open(os.path.join(current, TOKEN)).readline().strip()
    return httpx.Client(base_url=GATEWAY, verify=context, headers=headers, trust_env=False)
"#;

const NODE: &str = r#"// Node.js. Call options() again after a renewal: https.get(GATEWAY + "/path", options(), response => …)
const fs = require("fs");
const https = require("https");
const path = require("path");

const PROFILE = {profile};
const GATEWAY = {gateway};
const TOKEN = {token};

function options() {
  const current = fs.realpathSync(PROFILE + "/current");
  const agent = new https.Agent({
    keepAlive: true,
    ca: fs.readFileSync(PROFILE + "/gateway-ca.pem"),
    cert: fs.readFileSync(current + "/cert.pem"),
    key: fs.readFileSync(current + "/key.pem"),
  });
  const headers = {};
  if (TOKEN) {
    headers.Authorization = "Bearer " + fs.readFileSync(path.resolve(current, TOKEN), "utf8").split("\n")[0].trim();
  }
  return { agent, headers };
}

module.exports = { GATEWAY, options };
"#;

const GO: &str = r#"// Go. Each request goes with the certificate and the token of one renewal, the latest: nothing has to be called again.
package adamant

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	Profile = {profile}
	Gateway = {gateway}
	Token   = {token}
)

// A renewal has connections of its own: a token that is bound to its certificate is refused on those of another.
type renewing struct {
	mutex     sync.Mutex
	current   string
	transport *http.Transport
}

func (r *renewing) RoundTrip(request *http.Request) (*http.Response, error) {
	current, transport, err := r.now()
	if err != nil {
		return nil, err
	}
	if Token != "" {
		path := Token
		if !filepath.IsAbs(path) {
			path = filepath.Join(current, path)
		}
		token, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(strings.SplitN(string(token), "\n", 2)[0]))
	}
	return transport.RoundTrip(request)
}

// The renewal in use, and its connections.
func (r *renewing) now() (string, *http.Transport, error) {
	current, err := filepath.EvalSymlinks(filepath.Join(Profile, "current"))
	if err != nil {
		return "", nil, err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.current == current {
		return current, r.transport, nil
	}
	ca, err := os.ReadFile(filepath.Join(Profile, "gateway-ca.pem"))
	if err != nil {
		return "", nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return "", nil, errors.New("no CA certificate in gateway-ca.pem")
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(current, "cert.pem"), filepath.Join(current, "key.pem"))
	if err != nil {
		return "", nil, err
	}
	if r.transport != nil {
		r.transport.CloseIdleConnections()
	}
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
	r.current, r.transport = current, &http.Transport{TLSClientConfig: config, IdleConnTimeout: time.Minute}
	return current, r.transport, nil
}

// Client calls the gateway as this agent. Keep it: it has the connections.
func Client() (*http.Client, error) {
	made := &renewing{}
	if _, _, err := made.now(); err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: made,
		// Not followed: the token is for the gateway alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
"#;

/// The profile in the words of a tool. Curl's and Kubernetes' hold secrets.
pub fn export(directory: &Path, form: Form) -> Result<Zeroizing<String>, Fault> {
    let profile = Profile::read(directory)?;
    let directory = std::fs::canonicalize(directory).map_err(|error| files::told(directory, "read", error))?;
    let identity = generation::current(&directory)?;
    let has_ca = directory.join(GATEWAY_CA).exists();
    let pins_key = !profile.gateway_spki_sha256.is_empty();
    if (!has_ca && form != Form::Env) || (pins_key && !matches!(form, Form::Env | Form::Curl)) {
        let help = "let such tools go through adamant agent proxy; or enroll again with --gateway-ca alone";
        let message = "this profile pins the gateway's key, which these tools cannot check";
        return Err(Fault::at(&directory, message).help(help));
    }
    if profile.proves_by_key() && form != Form::Env {
        let message = "the tokens of this profile are bound to a key (DPoP): none can be exported as a bearer header, because \
                       each request needs a proof that the key has signed for it";
        let help = "let such tools go through adamant agent proxy, which signs them";
        return Err(Fault::at(&directory, message).help(help));
    }
    if let Some(path) =
        [Some(directory.clone()), profile.token_file(&directory)].into_iter().flatten().find(|path| unwritable(path))
    {
        return Err(Fault::at(&path, "expected a path in plain UTF-8, found control characters or other bytes"));
    }
    let template = match form {
        Form::Curl => return curl(&directory, &profile, &identity.directory),
        Form::Kubernetes => return kubernetes(&directory, &profile, &identity.directory),
        Form::Env => return Ok(Zeroizing::new(env(&directory, &profile, has_ca))),
        Form::Requests => REQUESTS,
        Form::Httpx => HTTPX,
        Form::Node => NODE,
        Form::Go => GO,
    };
    // A JSON string is a string of all three languages. The token of a certificate is that of its own generation, so its path
    // begins there.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let token = match &profile.token {
        None => String::new(),
        Some(TokenSource::Ca { .. } | TokenSource::Oauth(_)) => generation::TOKEN.to_owned(),
        Some(TokenSource::File { path }) => path.display().to_string(),
    };
    let values = [
        ("{profile}", quoted(&directory.display().to_string())),
        ("{gateway}", quoted(&profile.gateway.to_string())),
        ("{token}", quoted(&token)),
    ];
    Ok(Zeroizing::new(filled(template, &values)))
}

/// `template` with a value for each of its places; what a value holds is no place.
fn filled(template: &str, values: &[(&str, String)]) -> String {
    let (mut text, mut rest) = (String::with_capacity(template.len()), template);
    while let Some((at, (place, value))) =
        values.iter().filter_map(|of| Some((rest.find(of.0)?, of))).min_by_key(|(at, _)| *at)
    {
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        text.push_str(value);
        rest = after.strip_prefix(place).unwrap_or_default();
    }
    text + rest
}

fn unwritable(path: &Path) -> bool {
    path.to_str().is_none_or(|text| text.chars().any(char::is_control))
}

fn curl(directory: &Path, profile: &Profile, current: &Path) -> Result<Zeroizing<String>, Fault> {
    let quoted = |path: PathBuf| serde_json::Value::from(path.display().to_string()).to_string();
    let mut text =
        Zeroizing::new(String::from("# curl -K FILE; or: curl -K <(adamant agent export PROFILE curl) URL\n"));
    text.push_str(&format!("cacert = {}\n", quoted(directory.join(GATEWAY_CA))));
    let both = directory.join(generation::CURRENT).join(generation::BOTH);
    text.push_str(&format!("cert = {}\n", quoted(certificate_for_curl(&both).into())));
    let pin = |pin: &String| format!("sha256//{}", STANDARD.encode(x509::from_hex(pin)));
    let pins: Vec<String> = profile.gateway_spki_sha256.iter().map(pin).collect();
    if !pins.is_empty() {
        text.push_str(&format!("pinnedpubkey = \"{}\"\n", pins.join(";")));
    }
    if let Some(token) = profile.token_now(current)? {
        text.push_str("header = \"Authorization: Bearer ");
        text.push_str(&token);
        text.push_str("\"\n");
    }
    Ok(text)
}

/// As `--cert` takes it, inside of whatever quotes: a colon would begin a passphrase, a backslash is before it or another.
fn certificate_for_curl(path: &Path) -> String {
    path.display().to_string().replace('\\', r"\\").replace(':', r"\:")
}

/// Of type kubernetes.io/tls, with the gateway's CA, and the token where there is one.
fn kubernetes(directory: &Path, profile: &Profile, current: &Path) -> Result<Zeroizing<String>, Fault> {
    let encoded =
        |path: PathBuf| files::read(&path, FILE_BYTES_MAX).map(|bytes| STANDARD.encode(Zeroizing::new(bytes)));
    let plain = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' };
    let name: String = profile.agent.chars().map(plain).take(200).collect();
    let mut text = Zeroizing::new(format!(
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata:\n  name: {}\n  annotations:\n    \
         adamant/gateway: {}\n    adamant/{}: {}\ndata:\n",
        serde_json::Value::from(format!("agent-{}", name.trim_matches('-'))),
        serde_json::Value::from(profile.gateway.to_string()),
        profile.id.kind().word(),
        serde_json::Value::from(profile.id.name()),
    ));
    text.push_str(&format!("  tls.crt: {}\n", encoded(current.join(generation::CHAIN))?));
    text.push_str("  tls.key: ");
    text.push_str(&Zeroizing::new(encoded(current.join(generation::KEY))?));
    text.push_str(&format!("\n  ca.crt: {}\n", encoded(directory.join(GATEWAY_CA))?));
    if let Some(token) = profile.token_now(current)? {
        text.push_str(&format!("  token: {}\n", STANDARD.encode(token.as_bytes())));
    }
    Ok(text)
}

/// A path as a word of the shell.
pub fn for_shell(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// In double quotes: of what is within, the shell and systemd's `EnvironmentFile=` take the same out.
fn quoted_for_env(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        if matches!(character, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted + "\""
}

fn env(directory: &Path, profile: &Profile, has_ca: bool) -> String {
    let quoted = |text: String| quoted_for_env(&text);
    let path = |path: PathBuf| quoted(path.display().to_string());
    let current = directory.join(generation::CURRENT);
    let mut lines = vec![
        format!("ADAMANT_PROFILE={}", path(directory.to_owned())),
        format!("ADAMANT_GATEWAY={}", quoted(profile.gateway.to_string())),
        format!("ADAMANT_{}={}", profile.id.kind().word().to_uppercase(), quoted(profile.id.name().to_owned())),
        format!("ADAMANT_CERT={}", path(current.join(generation::CHAIN))),
        format!("ADAMANT_KEY={}", path(current.join(generation::KEY))),
    ];
    if has_ca {
        lines.push(format!("ADAMANT_CA={}", path(directory.join(GATEWAY_CA))));
    }
    if !profile.gateway_spki_sha256.is_empty() {
        lines.push(format!("ADAMANT_GATEWAY_SPKI_SHA256={}", quoted(profile.gateway_spki_sha256.join(","))));
    }
    if let Some(token) = profile.token_file(directory) {
        lines.push(format!("ADAMANT_TOKEN_FILE={}", path(token)));
    }
    // Remarks come last: in an eval without quotes all of it is one line.
    if profile.proves_by_key() {
        lines.push(format!("ADAMANT_DPOP_KEY={}", path(current.join(generation::DPOP_KEY))));
        lines.push(
            "# ADAMANT_TOKEN_FILE has no bearer token: each request needs a DPoP proof (RFC 9449) by ADAMANT_DPOP_KEY, as \
             adamant agent proxy makes it."
                .to_owned(),
        );
    }
    lines.push(
        "# In a shell: set -a; eval \"$(adamant agent export PROFILE env)\"; set +a. In a unit of systemd: EnvironmentFile=FILE."
            .to_owned(),
    );
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_place_in_a_value_is_none() {
        let values = [("{a}", "\"{b}\"".to_owned()), ("{b}", "2".to_owned())];
        assert_eq!(filled("x = {a}; y = {b}; z = {a}.", &values), "x = \"{b}\"; y = 2; z = \"{b}\".");
        assert_eq!(filled("{c}", &values), "{c}");
    }

    #[test]
    fn words_are_quoted_for_each_that_takes_quotes_off() {
        assert_eq!(quoted_for_env("it's a `$b\\\""), r#""it's a \`\$b\\\"""#);
        assert_eq!(certificate_for_curl(Path::new(r"/b\:c\\d:e")), r"/b\\\:c\\\\d\:e");
        assert_eq!(for_shell(Path::new("/it's")), r"'/it'\''s'");
    }
}
