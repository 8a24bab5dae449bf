//! Lists that take away: the CRL of a client CA, and the channel's own revocation list.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tests::apikey::ApiKey;
use tests::certificates::{Authority, Identity};
use tests::gateway;
use tests::scene::bearer;
use tests::store::Key;
use tests::tokens::{AUDIENCE, TokenKey, claims, jwks};

use crate::Rotator;
use crate::credential::{Credential, Phase};
use crate::day::Day;
use crate::log::Told;
use crate::plan::{Plan, put_secret};

const DAY: Duration = Duration::from_secs(86_400);
const ROBOT: &str = "spiffe://robots.test/robot";
const VISITOR: &str = "spiffe://visitors.test/visitor";
/// Issuer of visitors.
const LOCAL: &str = "https://local.test";

/// Certificates that renew, and a CRL that takes back the old ones.
pub struct CertificateList {
    robots: Authority,
    servers: Arc<Authority>,
    good: Vec<(Identity, Arc<Credential>)>,
    revoked: Vec<Identity>,
    issued: usize,
    turns: usize,
}

impl CertificateList {
    pub fn new(plan: &mut Plan) -> Self {
        let robots = Authority::new("robots");
        let (pem, list) = (robots.pem.clone(), robots.crl(1, &[], DAY));
        plan.before(move |world| {
            world.write("robots.pem", pem.as_bytes());
            world.write("robots.crl", list.as_bytes());
        });
        plan.policy(|policy| {
            policy
                .with(
                    "[[client_ca]]\nname = \"robots\"\ncertificates = { file = \"robots.pem\" }\ncrl = { watch = \
                     \"robots.crl\" }",
                )
                .agent("robot", &format!("{{ certificate = \"{ROBOT}\", ca = \"robots\" }}"), &["all"], &[])
        });
        let servers = Arc::clone(&plan.servers);
        Self { robots, servers, good: Vec::new(), revoked: Vec::new(), issued: 0, turns: 0 }
    }

    /// Of TLS 1.2 and 1.3 in turn.
    fn issue(&mut self, day: &Day) -> Result<(), String> {
        let identity = self.robots.spiffe(ROBOT);
        let version = if self.issued.is_multiple_of(2) { &TLS13 } else { &TLS12 };
        let tls = self.servers.client_config_of(Some(&identity), &[version]);
        self.issued += 1;
        let shown = Credential::new(format!("certificate {} of a robot", self.issued), tls, String::new);
        day.enters(&shown)?;
        self.good.push((identity, shown));
        Ok(())
    }
}

impl Rotator for CertificateList {
    fn name(&self) -> &'static str {
        "a client CA's revocation list"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        while self.good.len() < 3 {
            self.issue(day)?;
        }
        let (lost, shown) = self.good.remove(0);
        shown.becomes(Phase::Changing);
        self.revoked.push(lost);
        let revoked: Vec<&Identity> = self.revoked.iter().collect();
        let list = self.robots.crl(2 + self.turns as u64, &revoked, DAY);
        day.takes("crl", "robots", || day.world.write("robots.crl", list.as_bytes()))?;
        self.turns += 1;
        day.leaves(&shown)
    }

    fn told(&self) -> Vec<Told> {
        vec![Told::Taken("crl", "robots".to_owned(), self.turns)]
    }
}

/// `adamant revoke`, of a token, a subject, a certificate in turn, and once of an API key.
pub struct Revocations {
    issuer: Arc<TokenKey>,
    visitors: Authority,
    lost: ApiKey,
    servers: Arc<Authority>,
    tls: Arc<ClientConfig>,
    /// What is revoked next, with the arguments for it.
    next: Option<(Arc<Credential>, Vec<String>)>,
    turns: usize,
}

impl Revocations {
    pub fn new(plan: &mut Plan) -> Self {
        let (issuer, visitors) = (Arc::new(TokenKey::generate("ES256", "local")), Authority::new("visitors"));
        let lost = ApiKey::new("lost");
        let (keys, pem) = (jwks(&[&issuer]), visitors.pem.clone());
        plan.before(move |world| {
            world.write("local.jwks.json", keys.as_bytes());
            world.write("visitors.pem", pem.as_bytes());
            put_secret(world, "1.key", &Key::file(1));
        });
        plan.policy(|policy| {
            policy
                .with(&format!(
                    "[[issuer]]\nname = \"local\"\nissuer = \"{LOCAL}\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = \
                     [\"ES256\"]\nkeys = {{ file = \"local.jwks.json\" }}"
                ))
                .client_ca("visitors", "visitors.pem")
                .api_key(&lost, "")
                .agent("loser", "{ api_key = [\"lost\"] }", &["all"], &[])
                .agent("guests", "{ token = { issuer = \"local\", subject = \"*\" } }", &["all"], &[])
                .agent("visitor", &format!("{{ certificate = \"{VISITOR}\", ca = \"visitors\" }}"), &["all"], &[])
        });
        let (servers, tls) = (Arc::clone(&plan.servers), plan.servers.client_config(None));
        Self { issuer, visitors, lost, servers, tls, next: None, turns: 0 }
    }

    fn issue(&self, day: &Day) -> (Arc<Credential>, Vec<String>) {
        let number = self.turns;
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        let token = |subject: String| {
            let mut claims = claims(&subject);
            (claims["iss"], claims["jti"]) = (json!(LOCAL), json!(format!("j{number}")));
            let field = bearer(&self.issuer.sign(&claims));
            Credential::new(format!("token j{number} of {subject}"), Arc::clone(&self.tls), move || field.clone())
        };
        match number % 3 {
            _ if number == 3 => {
                let field = format!("X-API-Key: {}\r\n", self.lost.text);
                let shown = Credential::new("a lost API key", Arc::clone(&self.tls), move || field.clone());
                (shown, words("--api-key lost"))
            }
            0 => (token("many".to_owned()), words(&format!("--jti local/j{number} --until 2099-01-01T00:00:00Z"))),
            1 => (token(format!("guest-{number}")), words(&format!("--subject local/guest-{number}"))),
            _ => {
                let identity = self.visitors.spiffe(VISITOR);
                day.world.write(&format!("visitor-{number}.pem"), identity.certificate.as_bytes());
                let tls = self.servers.client_config(Some(&identity));
                let shown = Credential::new(format!("certificate {number} of a visitor"), tls, String::new);
                (shown, words(&format!("--certificate visitor-{number}.pem")))
            }
        }
    }
}

impl Rotator for Revocations {
    fn name(&self) -> &'static str {
        "the revocation list"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        let (shown, which) = self.next.take().unwrap_or_else(|| self.issue(day));
        day.enters(&shown)?;
        // Callers have a while with it.
        std::thread::sleep(self.pause());
        shown.becomes(Phase::Changing);
        let line = "revoke --store store --channel production --trust-root root.json --key 1.key";
        let words: Vec<&str> = line.split(' ').chain(which.iter().map(String::as_str)).collect();
        let (status, stdout, stderr) = gateway::run(&words, day.world.home());
        if !status.success() {
            return Err(format!("{stdout}{stderr}"));
        }
        day.leaves(&shown)?;
        self.turns += 1;
        Ok(())
    }

    fn told(&self) -> Vec<Told> {
        vec![Told::Lines("revocations", "adamant.signers", self.turns)]
    }
}
