//! The image as a function of the policy, and the bounds that are stored in it.

use policy::compile::compile;
use policy::model::{Identity, Policy};
use policy::table::{FORMAT_VERSION, Table};
use proptest::prelude::*;

use crate::universe;

/// The same sets in another order.
fn shuffled(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    for scope in &mut policy.scopes {
        scope.routes.reverse();
    }
    for agent in &mut policy.agents {
        agent.scopes.reverse();
        let half = agent.identity.len() / 2;
        agent.identity.rotate_left(half);
        agent.limits.reverse();
        for identity in &mut agent.identity {
            if let Identity::Proofs(proofs) = identity {
                proofs.api_keys.reverse();
            }
        }
    }
    policy
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_policy_has_one_image(
        policy in prop_oneof![universe::policy(7), universe::policy(520)],
        digest in any::<[u8; 32]>(),
    ) {
        let image = compile(&policy, digest).unwrap();
        prop_assert_eq!(&compile(&policy, digest).unwrap(), &image);
        prop_assert_eq!(&compile(&shuffled(&policy), digest).unwrap(), &image);
        let table = Table::load(&image[..]).unwrap();
        prop_assert_eq!(table.policy_digest(), digest);
        prop_assert_eq!(table.image(), &image[..]);
        prop_assert_eq!(table.agent_count() as usize, policy.agents.len());
        for (agent, index) in policy.agents.iter().zip(0..) {
            prop_assert_eq!(table.agent(&agent.name).map(|id| id.0), Some(index));
        }
        for (route, index) in policy.routes.iter().zip(0..) {
            prop_assert_eq!(table.route_named(&route.name).map(|id| id.0), Some(index));
        }
        prop_assert_eq!(table.agent("nobody"), None);
    }
}

/// Changes of the layout or the hash change this digest: then `FORMAT_VERSION` must change too.
#[test]
fn the_format_is_the_one_of_its_version() {
    let mut policy = universe::empty();
    policy.routes = vec![universe::route("r", "h", "/orders/{id}")];
    let image = compile(&policy, [1; 32]).unwrap();
    assert_eq!((FORMAT_VERSION, image.len(), xxhash_rust::xxh3::xxh3_64(&image)), (4, 832, 7_191_602_648_555_364_730));
}

#[test]
fn the_certificate_counts_a_route_as_it_is_walked() {
    let mut policy = universe::empty();
    policy.routes = vec![universe::route("r", "api.corp.example", "/orders/{id}")];
    let table = Table::load(compile(&policy, [0; 32]).unwrap()).unwrap();
    let route = table.certificate().route;
    // Visits of the root, the host's node, `orders` and `{id}`; probes for the host and `orders`; the record of `orders`,
    // and the leaf.
    assert_eq!(route.steps, 4 + 2 + 1 + 1);
    // Two lines a probe, one for the host's name (`orders` is short enough to stand in its edge), a record, a leaf.
    assert_eq!(route.lines, 2 * 2 + 1 + 1 + 1);
    assert_eq!((route.probes, route.comparisons, route.hashed_bytes), (2, 2 * 8 + 1, 2 * 16));
}
