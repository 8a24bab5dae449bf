//! Every stage by its name.

use bench_counts::policies::Mix;
use bench_counts::{Stage, stages};

use crate::identify::Presents;
use crate::record::Part;
use crate::{account, assertion, credentials, exchange, identify, record, references, tls};

/// Agents and routes of the policies that decisions are measured with.
pub const AGENTS: [usize; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];
pub const ROUTES: [usize; 4] = [10, 100, 1_000, 10_000];

/// Every name, in the order of the request path. References come first.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> =
        ["httparse", "sha256-token", "aes-gcm-head", "head", "target"].map(str::to_owned).to_vec();
    for algorithm in credentials::ALGORITHMS.map(str::to_ascii_lowercase) {
        names.extend([format!("identify-{algorithm}-cold"), format!("identify-{algorithm}-cached")]);
    }
    names.extend(["identify-api-key", "identify-certificate-cold", "identify-certificate-cached"].map(str::to_owned));
    for (kind, mix) in [("decide", ""), ("decide", "-zipf"), ("decide-account", ""), ("decide-account", "-zipf")] {
        for agents in AGENTS {
            // The widest policies with the most agents, each of the others with as many routes as fit it.
            for routes in
                ROUTES.into_iter().filter(|routes| *routes <= agents && *routes * 1_000 >= agents.min(1_000_000))
            {
                names.push(format!("{kind}{mix}-{agents}x{routes}"));
            }
        }
    }
    names.extend(["account", "account-contended-1", "account-contended-3"].map(str::to_owned));
    names.extend(
        ["record-push", "record-line", "record", "tls", "exchange", "assertion", "sign-es256", "sign-ed25519"]
            .map(str::to_owned),
    );
    names
}

/// The stage of a name; none where no such stage is.
pub fn make(name: &str) -> Option<Box<dyn Stage>> {
    if let Some(identified) = name.strip_prefix("identify-") {
        return identification(identified);
    }
    if let Some(decided) = name.strip_prefix("decide") {
        return decision(decided);
    }
    if let Some(others) = name.strip_prefix("account-contended-") {
        return others.parse().ok().filter(|others| (1..=64).contains(others)).map(account::alone);
    }
    Some(match name {
        "httparse" => stages::httparse(),
        "sha256-token" => references::sha256_of_token(),
        "aes-gcm-head" => references::aes_gcm_of_head(),
        "head" => stages::head(),
        "target" => stages::target(),
        "account" => account::alone(0),
        "record-push" => record::stage(Part::Push),
        "record-line" => record::stage(Part::Line),
        "record" => record::stage(Part::Whole),
        "tls" => tls::stage(),
        "exchange" => exchange::stage(),
        "assertion" => assertion::stage(),
        "sign-es256" => assertion::es256(),
        "sign-ed25519" => assertion::ed25519(),
        _ => return None,
    })
}

/// Whether there is a stage of this name: as `make`, without making it.
pub fn is_known(name: &str) -> bool {
    match name.strip_prefix("decide") {
        Some(decided) => sizes(decided).is_some(),
        None => name.starts_with("account-contended-") || names().iter().any(|known| known == name),
    }
}

fn identification(name: &str) -> Option<Box<dyn Stage>> {
    if name == "api-key" {
        return Some(identify::stage("ES256", Presents::ApiKey, false));
    }
    let (what, when) = name.rsplit_once('-')?;
    let cold = match when {
        "cold" => true,
        "cached" => false,
        _ => return None,
    };
    if what == "certificate" {
        return Some(identify::stage("ES256", Presents::Certificate, cold));
    }
    let algorithm = credentials::ALGORITHMS.into_iter().find(|algorithm| algorithm.eq_ignore_ascii_case(what))?;
    Some(identify::stage(algorithm, Presents::Token, cold))
}

fn decision(name: &str) -> Option<Box<dyn Stage>> {
    let (accounts, mix, agents, routes) = sizes(name)?;
    Some(if accounts { account::decided(agents, routes, mix) } else { stages::decide(agents, routes, mix) })
}

/// Of `[-account][-zipf]-AGENTSxROUTES`.
fn sizes(name: &str) -> Option<(bool, Mix, usize, usize)> {
    let (accounts, name) = name.strip_prefix("-account").map_or((false, name), |rest| (true, rest));
    let (mix, name) = name.strip_prefix("-zipf").map_or((Mix::Even, name), |rest| (Mix::Zipf, rest));
    let (agents, routes) = name.strip_prefix('-')?.split_once('x')?;
    let (agents, routes) = (agents.parse().ok()?, routes.parse().ok()?);
    let fits = (1..=1 << 20).contains(&agents) && (1..=65_536).contains(&routes);
    fits.then_some((accounts, mix, agents, routes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small ones: the others differ in size alone.
    #[test]
    fn every_stage_runs() {
        for name in names() {
            assert!(is_known(&name), "{name}");
            if name.contains("0000x") {
                continue;
            }
            let mut stage = make(&name).unwrap_or_else(|| panic!("{name}"));
            for _ in 0..3 {
                stage.prepare();
                stage.run();
            }
        }
    }

    #[test]
    fn what_is_no_stage_is_none() {
        for name in ["", "decide", "decide-10", "decide-0x1", "decide-account-9999999x1", "identify-none-cold", "heads"]
        {
            assert!(!is_known(name) && make(name).is_none(), "{name}");
        }
    }
}
