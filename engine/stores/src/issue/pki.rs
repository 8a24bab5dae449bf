//! The PKI engine of OpenBao or Vault ("PKI secrets engine: sign certificate"): it signs a request; the key stays here.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::{ANSWER_BYTES_MAX, CHAIN_MAX, Chain, IssueFault, Name, certificates};
use crate::openbao::OpenBao;

/// A role of a PKI engine.
#[derive(Debug)]
pub struct Role {
    pub server: OpenBao,
    pub mount: String,
    pub role: String,
}

impl Role {
    /// What to ask, below `/v1/`.
    pub fn path(&self) -> String {
        format!("{}/sign/{}", self.mount.trim_matches('/'), self.role)
    }

    /// Where it is asked, for people.
    pub fn place(&self) -> String {
        self.server.server.with_path(format!("/v1/{}", self.path())).to_string()
    }

    /// Has a request signed for `life_s` seconds, or for less where the role says so.
    pub async fn sign(
        &self,
        csr_pem: &str,
        names: &[Name],
        life_s: u64,
        within: Duration,
    ) -> Result<Chain, IssueFault> {
        let path = self.path();
        let joined =
            |pick: &dyn Fn(&Name) -> Option<String>| names.iter().filter_map(pick).collect::<Vec<_>>().join(",");
        let body = json!({
            "csr": csr_pem,
            "common_name": names.iter().find_map(Name::dns).unwrap_or_default(),
            "alt_names": joined(&|name| name.dns().map(str::to_owned)),
            "ip_sans": joined(&|name| if let Name::Ip(address) = name { Some(address.to_string()) } else { None }),
            "uri_sans": joined(&|name| if let Name::Uri(uri) = name { Some(uri.clone()) } else { None }),
            "ttl": format!("{life_s}s"),
            "exclude_cn_from_sans": true,
            "format": "pem",
        });
        let answer = self.server.call(Method::POST, &path, Some(&body), ANSWER_BYTES_MAX, within).await?.expect_ok()?;
        chain(&self.place(), answer.json())
    }
}

fn chain(from: &str, answer: &Value) -> Result<Chain, IssueFault> {
    let data = answer.get("data");
    let text = |name: &str| data.and_then(|data| data.get(name)).and_then(Value::as_str);
    let none = || IssueFault::Answer { from: from.to_owned(), found: "none".to_owned() };
    let mut shown = certificates(from, text("certificate").ok_or_else(none)?)?;
    shown.truncate(1);
    let listed = data.and_then(|data| data.get("ca_chain")).and_then(Value::as_array);
    let mut ca = None;
    for pem in listed.into_iter().flatten().filter_map(Value::as_str).take(CHAIN_MAX) {
        let others = certificates(from, pem)?;
        ca = others.last().cloned();
        // Clients have the CA at the top, or nothing would make them believe it.
        shown.extend(others.into_iter().filter(|certificate| !is_self_issued(certificate)));
    }
    if let (None, Some(pem)) = (&ca, text("issuing_ca")) {
        ca = certificates(from, pem)?.pop();
    }
    if shown.len() > CHAIN_MAX {
        return Err(IssueFault::Answer { from: from.to_owned(), found: format!("more than {CHAIN_MAX} certificates") });
    }
    Ok(Chain { shown, ca })
}

fn is_self_issued(der: &[u8]) -> bool {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    X509Certificate::from_der(der).is_ok_and(|(_, of)| of.subject().as_raw() == of.issuer().as_raw())
}
