use super::*;

#[test]
fn text_forms() {
    let key = SigningKey::generate([7; 32]).unwrap();
    let public = key.public();
    assert_eq!(public.to_string().parse::<PublicKey>().unwrap(), public);
    assert_eq!(public.id().to_string().parse::<KeyId>().unwrap(), public.id());
    assert_eq!(format!("{key:?}"), format!("SigningKey({})", public.id()));
    let text = public.to_string();
    let long = format!("{text}A");
    for wrong in ["", "adamant-ed25519:", &text[1..], &text[..text.len() - 1], &long, "adamant-ed25519:AAAA"] {
        assert!(matches!(wrong.parse::<PublicKey>(), Err(KeyFault::PublicForm { .. })), "{wrong}");
    }
    assert!(matches!("ab".parse::<KeyId>(), Err(KeyFault::KeyIdForm { .. })));
    assert!(matches!(public.id().to_string().to_uppercase().parse::<KeyId>(), Err(KeyFault::KeyIdForm { .. })));
}

/// RFC 8032 §7.1 TEST 2.
#[test]
fn signs_as_the_rfc() {
    let seed = unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
    let key = SigningKey::generate(seed).unwrap();
    let public = unhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c").unwrap();
    assert_eq!(key.public().as_bytes(), &public);
    let signature = key.sign(&[0x72]).unwrap();
    let r = unhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da").unwrap();
    let s = unhex("085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00").unwrap();
    assert_eq!(signature, <SignatureBytes>::try_from([r, s].concat()).unwrap());
    assert!(key.public().verifies(&[0x72], &signature));
}

/// S + L verifies under the same equation; the library must refuse it (RFC 8032 §5.1.7).
#[test]
fn refuses_a_malleated_signature() {
    let key = SigningKey::generate([7; 32]).unwrap();
    let mut signature = key.sign(b"message").unwrap();
    let order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0_u16;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert!(!key.public().verifies(b"message", &signature));
}

/// Under a point of small order, R = the identity with S = 0 verifies for about one message in eight or more, so
/// such a key would let anybody sign. The library does not refuse these points, we do.
#[test]
fn refuses_points_of_small_order() {
    let mut identity_zero = [0; 64];
    identity_zero[0] = 1;
    for y in SMALL_ORDER_Y {
        for sign in [0x00, 0x80] {
            let mut bytes = y;
            bytes[31] |= sign;
            assert!(matches!(PublicKey::from_bytes(bytes), Err(KeyFault::WeakPoint { .. })));
            let text = format!("{PUBLIC_PREFIX}{}", STANDARD.encode(bytes));
            assert!(matches!(text.parse::<PublicKey>(), Err(KeyFault::WeakPoint { .. })));
        }
        // Shows that the list is right: the raw point does verify a signature that nobody made.
        let forged = (0..=u8::MAX).any(|message| PublicKey(y).verifies(&[message], &identity_zero));
        assert!(forged, "{y:02x?}");
    }
}

#[test]
fn refuses_encodings_that_are_not_canonical() {
    for low in 0xed..=0xff {
        for top in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, top);
            assert!(matches!(PublicKey::from_bytes(bytes), Err(KeyFault::WeakPoint { .. })), "{low:02x}");
        }
    }
    let honest = SigningKey::generate([1; 32]).unwrap().public();
    assert_eq!(PublicKey::from_bytes(*honest.as_bytes()).unwrap(), honest);
}
