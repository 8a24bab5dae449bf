//! By hand: which requests change with a stray, and by what means.

use policy::model::*;

use super::cases::{agent, base, blocking, compare, named, proofs};
use super::universe::ca;
use crate::PrincipalKind;

/// Who is `blocked` may write as that, unless his certificate has a name of `bot` as well.
#[test]
fn a_name_beside_a_stray_can_spoil_what_that_is_good_for() {
    let bot = |scopes: &[&str]| {
        let mut bot = agent("bot", proofs(None, named("bot")), scopes);
        bot.identity.push(proofs(Some("spiffe://m"), named("bot")));
        bot
    };
    let mut old = blocking(vec![bot(&[])]);
    old.agents[0].scopes = vec!["orders:write".into()];
    let mut new = old.clone();
    new.agents = vec![bot(&["orders:write"])];
    let change = compare(&old, &new);
    let class =
        change.allowed.iter().find(|class| class.principals.iter().any(|it| it.kind == PrincipalKind::Together));
    let class = class.unwrap();
    assert!(class.by_any_means, "{class:#?}");
    assert_eq!(class.example.certificate.as_ref().unwrap().names.len(), 2);
    // Without such a name he had it before.
    new.agents[0].identity.pop();
    old.agents[1].identity.pop();
    let change = compare(&old, &new);
    let class =
        change.allowed.iter().find(|class| class.principals.iter().any(|it| it.kind == PrincipalKind::Together));
    assert!(!class.unwrap().by_any_means);
}

/// Two names that are refused together are no matter of a CA that went; a set with all three is with that CA all the same.
#[test]
fn a_stray_is_told_with_what_two_more_beside_it_change() {
    let of = |name: &str| proofs(Some(name), None);
    let mut old = base();
    old.client_cas = vec![ca("ca"), ca("gone")];
    old.agents = vec![agent("machine", of("spiffe://m"), &["orders:read", "orders:write"])];
    let dns = |name: &str| {
        let certificate = Some(CertificateProof { name: CertificateName::Dns(name.into()), ca: "ca".into() });
        Identity::Proofs(Proofs { certificate, ..Proofs::default() })
    };
    let mut new = old.clone();
    new.client_cas.pop();
    new.agents = vec![
        agent("anyone", Identity::Anonymous, &["orders:write"]),
        agent("one", dns("one.example"), &[]),
        agent("two", dns("two.example"), &[]),
    ];
    let change = compare(&old, &new);
    let of_ca = change.refused.iter().filter(|class| {
        class.principals.iter().any(|it| it.kind == PrincipalKind::Together)
            && class.example.certificate.as_ref().is_some_and(|certificate| certificate.cas.len() == 2)
    });
    let told: Vec<_> = of_ca.map(|class| (class.by_any_means, class.requests_count)).collect();
    assert_eq!(told, [(true, 2), (false, 1)]);
}
