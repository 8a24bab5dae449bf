use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::live::Live;

#[derive(Clone, Debug)]
enum One {
    Agent(u32),
    ApiKey(u32),
    Certificate(u8),
    Numbered(u8, Vec<u8>),
    Token(u16, String),
    Key(u16, String),
    Subject(u16, String, u64),
}

fn any_one() -> impl Strategy<Value = One> {
    let text = || "[ab]{0,2}";
    let issuer = || 0_u16..3;
    prop_oneof![
        (0_u32..200).prop_map(One::Agent),
        (0_u32..200).prop_map(One::ApiKey),
        (0_u8..6).prop_map(One::Certificate),
        (0_u8..3, prop::collection::vec(1_u8..4, 1..3)).prop_map(|(key, serial)| One::Numbered(key, serial)),
        (issuer(), text()).prop_map(|(issuer, jti)| One::Token(issuer, jti)),
        (issuer(), text()).prop_map(|(issuer, kid)| One::Key(issuer, kid)),
        (issuer(), text(), 0_u64..5).prop_map(|(issuer, subject, before)| One::Subject(issuer, subject, before)),
    ]
}

fn compiled(list: &[One]) -> Revoked {
    let mut builder = Builder::default();
    for one in list {
        match one {
            One::Agent(agent) => builder.agent(AgentId(*agent)),
            One::ApiKey(key) => builder.api_key(ApiKeyIndex(*key)),
            One::Certificate(byte) => builder.certificate([*byte; 32]),
            One::Numbered(byte, serial) => builder.numbered_certificate(&[*byte; 32], serial),
            One::Token(issuer, jti) => builder.token(*issuer, jti),
            One::Key(issuer, kid) => builder.key(*issuer, kid),
            One::Subject(issuer, subject, before_s) => builder.subject(*issuer, subject, *before_s),
        }
    }
    builder.build(1, 1)
}

/// What a token's facts are refused by, one entry after the other.
fn refuses(one: &One, issuer: u16, token: &TokenFacts<'_>) -> bool {
    match one {
        One::Token(of, jti) => *of == issuer && token.jti == Some(jti),
        One::Key(of, kid) => *of == issuer && token.kid == Some(kid),
        One::Subject(of, subject, before_s) => {
            *of == issuer && token.subject == subject && token.issued_s.unwrap_or(0) < *before_s
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn agrees_with_a_naive_list(
        list in prop::collection::vec(any_one(), 0..40),
        number in 0_u32..300,
        byte in 0_u8..8,
        serial in prop::collection::vec(1_u8..4, 1..3),
        issuer in 0_u16..4,
        jti in prop::option::of("[ab]{0,2}"),
        kid in prop::option::of("[ab]{0,2}"),
        subject in "[ab]{0,2}",
        issued_s in prop::option::of(0_u64..6),
    ) {
        let revoked = compiled(&list);
        let agents: BTreeSet<u32> = list.iter().filter_map(|one| if let One::Agent(of) = one { Some(*of) } else { None }).collect();
        let keys: BTreeSet<u32> = list.iter().filter_map(|one| if let One::ApiKey(of) = one { Some(*of) } else { None }).collect();
        prop_assert_eq!(revoked.agent(AgentId(number)), agents.contains(&number));
        prop_assert_eq!(revoked.api_key(ApiKeyIndex(number)), keys.contains(&number));
        let listed = list.iter().any(|one| matches!(one, One::Certificate(of) if *of == byte));
        prop_assert_eq!(revoked.certificate(&[byte; 32]), listed);
        let numbered = list.iter().any(|one| matches!(one, One::Numbered(of, number) if *of == byte && *number == serial));
        prop_assert_eq!(revoked.numbered_certificate(&[byte; 32], &serial), numbered);
        let token = TokenFacts { jti: jti.as_deref(), kid: kid.as_deref(), subject: &subject, issued_s };
        prop_assert_eq!(revoked.token(issuer, &token), list.iter().any(|one| refuses(one, issuer, &token)));
    }
}

#[test]
fn nothing_is_in_force_before_there_was_a_list() {
    let live = Live::<Revoked>::default();
    assert!(live.now().is_none() && live.generation() == 0);
    let mut builder = Builder::default();
    builder.agent(AgentId(3));
    let before = live.put(Arc::new(builder.build(1, 9)), 1);
    assert_eq!((before.generation, live.generation()), (0, 1));
    let now = live.now().unwrap();
    assert!(now.agent(AgentId(3)) && !now.agent(AgentId(2)) && now.serial == 9);
}
