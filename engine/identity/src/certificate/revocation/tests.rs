//! Lists made for the occasion: what they refuse, what may follow what, and which are not taken at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

use super::*;
use crate::certificate::{CaSet, CertificateFault, Chains};

mod beside;
mod histories;
mod proven;
mod scopes;

/// 2026-01-01.
pub(super) const NOW_S: u64 = 1_767_225_600;
/// 2026-02-01: `nextUpdate` of every list.
const NEXT_S: u64 = 1_769_904_000;

pub(super) struct Authority(pub(super) CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        Self::with(name, vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign])
    }

    fn with(name: &str, usages: Vec<KeyUsagePurpose>) -> Self {
        Self(CertifiedIssuer::self_signed(Self::params(name, usages), KeyPair::generate().unwrap()).unwrap())
    }

    fn params(name: &str, usages: Vec<KeyUsagePurpose>) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = usages;
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
        params
    }

    pub(super) fn intermediate(&self, name: &str, serial: u64) -> Self {
        let mut params = Self::params(name, vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
        params.serial_number = Some(SerialNumber::from(serial));
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    pub(super) fn leaf(&self, serial: u64) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2030, 1, 1));
        params.signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap().der().clone()
    }

    pub(super) fn ca(&self) -> ClientCa {
        ClientCa::from_pem("ca", &self.0.pem()).unwrap()
    }

    /// A list with this number that was issued so many hours after 2025-12-01.
    fn list_of(&self, number: u64, hours: i64, revoked: &[u64]) -> String {
        self.list_for(None, number, hours, revoked)
    }

    pub(super) fn list_for(
        &self,
        issuing_distribution_point: Option<CrlIssuingDistributionPoint>,
        number: u64,
        hours: i64,
        revoked: &[u64],
    ) -> String {
        self.list_until((2026, 2, 1), issuing_distribution_point, number, hours, revoked)
    }

    /// The same with this year, month and day for `nextUpdate`.
    fn list_until(
        &self,
        (year, month, day): (i32, u8, u8),
        issuing_distribution_point: Option<CrlIssuingDistributionPoint>,
        number: u64,
        hours: i64,
        revoked: &[u64],
    ) -> String {
        let entry = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2025, 6, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 12, 1) + std::time::Duration::from_secs(hours.unsigned_abs() * 3_600),
            next_update: date_time_ymd(year, month, day),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }

    pub(super) fn list(&self, number: u64, revoked: &[u64]) -> String {
        self.list_of(number, number.cast_signed(), revoked)
    }

    /// A list of CA certificates alone, which says nothing of leaves.
    fn list_of_cas(&self, number: u64) -> String {
        let distribution_point = CrlDistributionPoint { uris: vec!["http://crl.example/cas".to_owned()] };
        let point = CrlIssuingDistributionPoint { distribution_point, scope: Some(CrlScope::CaCertsOnly) };
        self.list_for(Some(point), number, number.cast_signed(), &[])
    }
}

pub(super) fn read(ca: &ClientCa, text: &str) -> Result<RevocationLists, RevocationError> {
    RevocationLists::read(text.as_bytes(), ca, true, NOW_S)
}

pub(super) fn ders(text: &str) -> Vec<Vec<u8>> {
    list::split(text.as_bytes()).unwrap().into_iter().map(Result::unwrap).collect()
}

pub(super) fn with(ca: &ClientCa, text: &str) -> ClientCa {
    ca.with_revocation(Some(Arc::new(read(ca, text).unwrap())))
}

#[test]
fn what_a_list_names_is_refused_and_nothing_else() {
    let authority = Authority::new("a");
    let ca = with(&authority.ca(), &authority.list(1, &[7, 9]));
    assert_eq!(ca.verify(&[authority.leaf(8)], NOW_S), Ok(()));
    assert_eq!(ca.verify(&[authority.leaf(7)], NOW_S), Err(CertificateFault::Revoked));
    assert_eq!(ca.lists().unwrap().facts().map(|list| list.revoked).sum::<usize>(), 2);
    assert_eq!(authority.ca().verify(&[authority.leaf(7)], NOW_S), Ok(()), "without a source nothing is looked up");
    let awaited = authority.ca().with_revocation(None);
    assert_eq!(awaited.verify(&[authority.leaf(8)], NOW_S), Err(CertificateFault::StatusUnknown));
}

#[test]
fn an_expired_list_refuses_unless_the_policy_says_otherwise() {
    let authority = Authority::new("a");
    let (ca, leaf) = (authority.ca(), [authority.leaf(8)]);
    let text = authority.list(1, &[7]);
    assert_eq!(with(&ca, &text).verify(&leaf, NEXT_S - 1), Ok(()));
    assert_eq!(with(&ca, &text).verify(&leaf, NEXT_S), Err(CertificateFault::ListExpired));
    let lists = RevocationLists::read(text.as_bytes(), &ca, false, NOW_S).unwrap();
    let lenient = ca.with_revocation(Some(Arc::new(lists)));
    assert_eq!(lenient.verify(&leaf, NEXT_S + 1_000_000), Ok(()));
    assert_eq!(lenient.verify(&[authority.leaf(7)], NEXT_S + 1_000_000), Err(CertificateFault::Revoked));
}

#[test]
fn a_ca_with_a_new_key_under_its_old_name_has_two_lists() {
    let (old, new) = (Authority::new("same"), Authority::new("same"));
    let both = ClientCa::from_pem("ca", &(old.0.pem() + &new.0.pem())).unwrap();
    for text in [old.list(9, &[1]) + &new.list(1, &[2]), new.list(1, &[2]) + &old.list(9, &[1])] {
        let ca = with(&both, &text);
        assert_eq!(ca.verify(&[old.leaf(2)], NOW_S), Ok(()));
        assert_eq!(ca.verify(&[new.leaf(1)], NOW_S), Ok(()));
        assert_eq!(ca.verify(&[old.leaf(1)], NOW_S), Err(CertificateFault::Revoked));
        assert_eq!(ca.verify(&[new.leaf(2)], NOW_S), Err(CertificateFault::Revoked));
    }
    let file = old.list(9, &[1]) + &new.list(1, &[2]);
    for (ca, leaf) in [(old.ca(), old.leaf(2)), (new.ca(), new.leaf(1))] {
        let ca = with(&ca, &file);
        assert_eq!(
            ca.verify(&[leaf], NOW_S),
            Ok(()),
            "before and after the overlap the other key's list does not count"
        );
        assert_eq!(ca.lists().unwrap().facts().count(), 1);
    }
    let half = with(&both, &old.list(1, &[]));
    assert!(half.verify(&[new.leaf(1)], NOW_S).is_err(), "what the new key issued has no list");
    assert_eq!(half.lists().unwrap().without_list(&both).len(), 1);
}

#[test]
fn what_is_no_list_of_the_ca_is_not_taken() {
    let (authority, other) = (Authority::new("a"), Authority::new("a"));
    let ca = authority.ca();
    let good = authority.list(1, &[7]);
    assert!(matches!(read(&ca, &other.list(1, &[])), Err(RevocationError::Signature { .. })));
    assert!(matches!(read(&ca, ""), Err(RevocationError::Form)));
    assert!(matches!(read(&ca, "nonsense"), Err(RevocationError::Form)));
    assert!(matches!(read(&ca, &good[..good.len() / 2]), Err(RevocationError::Malformed { position: 1, .. })));
    assert!(matches!(read(&ca, &good.repeat(REVOCATION_LISTS_MAX + 1)), Err(RevocationError::Count(_))));
    let (most, pem) = (good.repeat(REVOCATION_LISTS_MAX), authority.0.pem());
    assert_eq!(
        read(&ca, &(most.clone() + &pem)).unwrap().not_taken().len(),
        1,
        "a certificate beside as many as there may be"
    );
    let much = most + &pem.repeat(REVOCATION_LISTS_MAX + 1);
    assert!(matches!(read(&ca, &much), Err(RevocationError::Count(_))));
    let long = vec![b' '; REVOCATION_LISTS_BYTES_MAX + 1];
    assert!(matches!(RevocationLists::read(&long, &ca, true, NOW_S), Err(RevocationError::TooLong(_))));
    let der = ders(&good).remove(0);
    assert!(RevocationLists::read(&der, &ca, true, NOW_S).is_ok());
    assert_eq!(
        RevocationLists::read(&der.repeat(2), &ca, true, NOW_S).unwrap().facts().count(),
        1,
        "the same one twice"
    );
    assert!(matches!(
        RevocationLists::read(&der[..der.len() - 1], &ca, true, NOW_S),
        Err(RevocationError::Malformed { position: 1, .. })
    ));
    let no_signer = Authority::with("n", vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature]);
    let text = {
        // rcgen refuses to sign with such a CA, so that another one of the same key and name signs.
        let key = KeyPair::from_pem(&no_signer.0.key().serialize_pem()).unwrap();
        let params = Authority::params("n", vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
        Authority(CertifiedIssuer::self_signed(params, key).unwrap()).list(1, &[])
    };
    assert!(matches!(read(&no_signer.ca(), &text), Err(RevocationError::Signature { .. })));
}

#[test]
fn nothing_goes_back_behind_the_lists_in_force() {
    let authority = Authority::new("a");
    let ca = authority.ca();
    let lists = |number, hours, revoked: &[u64]| read(&ca, &authority.list_of(number, hours, revoked)).unwrap();
    let present = lists(0x10, 10, &[1]);
    assert_eq!(present.facts().next().unwrap().number, "10");
    // Where it is not later in all, the one in force stays beside it.
    for (number, hours, count) in
        [(0x10, 10, 2), (0x11, 11, 1), (0x10, 11, 1), (0x0f, 11, 2), (0x11, 9, 2), (0x0f, 9, 0)]
    {
        let after = lists(number, hours, &[]).follow(&present, NOW_S);
        assert_eq!(after.map_or(0, |after| after.facts().count()), count, "{number:x} {hours}");
    }
    let told = lists(0x0f, 9, &[]).follow(&present, NOW_S).unwrap_err().to_string();
    assert!(told.contains("expected CRL number 0x10") && told.contains("found 0xf:"), "{told}");
    assert!(lists(0x11, 11, &[1, 2]).revokes_more_than(&present));
    assert!(!lists(0x11, 11, &[1]).revokes_more_than(&present));
    assert!(!lists(0x11, 11, &[]).revokes_more_than(&present));
    // Of several in one file the latest counts.
    let both = authority.list(3, &[]) + &authority.list(5, &[]) + &authority.list(4, &[]);
    assert_eq!(read(&ca, &both).unwrap().facts().map(|list| list.number).collect::<Vec<_>>(), ["5"]);
    let other = Authority::new("b");
    let pair = ClientCa::from_pem("ca", &(authority.0.pem() + &other.0.pem())).unwrap();
    let whole = read(&pair, &(authority.list(1, &[]) + &other.list(1, &[]))).unwrap();
    let part = || read(&pair, &authority.list(2, &[])).unwrap();
    let after = part().follow(&whole, NOW_S).unwrap();
    assert_eq!(after.facts().map(|list| list.number).collect::<Vec<_>>(), ["2", "1"], "what is left out stays");
    assert_eq!((after.left_out(), part().left_out()), (["CN=b".to_owned()].as_slice(), [].as_slice()));
    // One that is behind holds up none beside it; where all are, nothing is taken.
    let mixed = whole.follow(&part(), NOW_S).unwrap();
    let held = mixed.facts().map(|list| list.issuer + " " + &list.number).collect::<BTreeSet<_>>();
    assert_eq!(held, ["CN=a 2".to_owned(), "CN=b 1".to_owned()].into());
    assert_eq!(mixed.left_out(), ["CN=a"]);
    let ahead = read(&pair, &(authority.list(2, &[]) + &other.list(2, &[]))).unwrap();
    let behind = read(&pair, &(authority.list(1, &[]) + &other.list(1, &[]))).unwrap();
    assert_eq!(
        behind.follow(&ahead, NOW_S).map(drop),
        Err(RevocationError::Older { issuer: "CN=a".to_owned(), in_force: "2".to_owned(), found: "1".to_owned() })
    );
}

/// A root with an intermediate, and a chain that the intermediate issued.
pub(super) fn with_middle() -> (Authority, Authority, [CertificateDer<'static>; 2]) {
    let root = Authority::new("root");
    let middle = root.intermediate("middle", 40);
    let chain = [middle.leaf(8), middle.0.der().clone()];
    (root, middle, chain)
}

/// Whether the list of this number stays in force, though the file has an older one, and that is told.
pub(super) fn stays(after: Result<RevocationLists, RevocationError>, list: &str) -> bool {
    let (issuer, number) = list.split_once(' ').unwrap();
    let issuer = format!("CN={issuer}");
    after.is_ok_and(|after| {
        let mut of_issuer = after.facts().filter(|facts| facts.issuer == issuer);
        of_issuer.any(|facts| facts.number == number) && after.left_out() == [issuer.as_str()]
    })
}

/// What is known after a restart.
pub(super) fn restarted(lists: &RevocationLists, ca: &ClientCa, enforced: bool, now_s: u64) -> RevocationLists {
    let mut before = Before::new(ca, &[], enforced, now_s);
    before.add(&Kept::read(&lists.kept(ca)).unwrap());
    before.lists().unwrap()
}

#[test]
fn a_cached_verdict_ends_with_the_list_and_with_every_change_of_it() {
    let authority = Authority::new("a");
    let leaf = [authority.leaf(7)];
    let set = CaSet::new(vec![authority.ca().with_revocation(None)]).unwrap();
    let of = |text: String| set.with_revocation(&[Some(Arc::new(read(&authority.ca(), &text).unwrap()))]);
    let (before, after) = (of(authority.list(1, &[])), of(authority.list(2, &[7])));
    assert_ne!(before.digest(), after.digest());
    assert_ne!(before.digest(), set.digest());
    let mut chains = Chains::new(8, [1, 2, 3, 4]);
    for _ in 0..2 {
        let verdict = chains.cas_of(&leaf, &before, NOW_S).unwrap();
        assert_eq!((verdict.cas, verdict.until_s), (1, NEXT_S - 1));
        assert_eq!(chains.cas_of(&leaf, &before, NEXT_S), Err(CertificateFault::ListExpired));
        assert_eq!(chains.cas_of(&leaf, &after, NOW_S), Err(CertificateFault::Revoked));
        assert_eq!(chains.cas_of(&leaf, &set, NOW_S), Err(CertificateFault::StatusUnknown));
    }
    assert!(after.may_have_revoked(&leaf) && !before.may_have_revoked(&leaf));
    assert!(!after.may_have_revoked(&[Authority::new("b").leaf(7)]), "the same number of another issuer");
}

proptest! {
    #[test]
    fn whatever_bytes_are_read_nothing_breaks(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..400) {
        let authority = Authority::new("a");
        let mut changed = ders(&authority.list(1, &[7])).remove(0);
        let whole = changed.clone();
        let ca = authority.ca();
        let _ = RevocationLists::read(&bytes, &ca, true, NOW_S);
        if let (Some(place), Some(byte)) = (changed.get_mut(at), bytes.first()) {
            *place = *byte;
        }
        prop_assert_eq!(RevocationLists::read(&changed, &ca, true, NOW_S).is_ok(), changed == whole);
    }
}

/// A list that took one CA away alone would take away the conflict that the certificate's names have under it.
#[test]
fn what_one_ca_refuses_no_other_vouches_for() {
    let (authority, partner) = (Authority::new("a"), Authority::new("b"));
    let both = ClientCa::from_pem("both", &(authority.0.pem() + &partner.0.pem())).unwrap();
    let (good, bad, of_partner) = ([authority.leaf(1)], [authority.leaf(2)], [partner.leaf(3)]);
    let (middle, list) = (authority.intermediate("middle", 5), authority.list(1, &[2]));
    let through = [middle.leaf(4), middle.0.der().clone()];
    for order in [0, 1] {
        let mut cas = vec![with(&authority.ca(), &list), both.clone()];
        cas.rotate_left(order);
        let set = CaSet::new(cas).unwrap();
        assert_eq!(set.verify(&good, NOW_S), Ok(0b11));
        assert_eq!(set.verify(&bad, NOW_S), Err(CertificateFault::Revoked));
        assert_eq!(set.verify(&through, NOW_S), Err(CertificateFault::StatusUnknown));
        assert_eq!(set.verify(&good, NEXT_S + 1), Err(CertificateFault::ListExpired));
        // The list is not about others.
        assert_eq!(set.verify(&of_partner, NEXT_S + 1), Ok(if order == 0 { 0b10 } else { 0b01 }));
    }
    let awaited = CaSet::new(vec![authority.ca().with_revocation(None), both]).unwrap();
    assert_eq!(awaited.verify(&good, NOW_S), Err(CertificateFault::StatusUnknown));
    assert_eq!(awaited.verify(&of_partner, NOW_S), Ok(0b10));
}

/// While a CA gets a new key under its name, that key may have no list yet.
#[test]
fn an_anchor_without_a_list_refuses_what_is_its_own_alone() {
    let (old, new, partner) = (Authority::new("same"), Authority::new("same"), Authority::new("partner"));
    let both = ClientCa::from_pem("ca", &(old.0.pem() + &new.0.pem())).unwrap();
    let half = with(&both, &old.list(1, &[2]));
    let of_partner = [partner.leaf(3)];
    assert!(matches!(half.verify(&of_partner, NOW_S), Err(CertificateFault::Untrusted(_))));
    for order in [0, 1] {
        let mut cas = vec![half.clone(), partner.ca()];
        cas.rotate_left(order);
        let set = CaSet::new(cas).unwrap();
        assert_eq!(set.verify(&of_partner, NOW_S), Ok(if order == 0 { 0b10 } else { 0b01 }));
        assert_eq!(set.verify(&[old.leaf(1)], NOW_S), Ok(if order == 0 { 0b01 } else { 0b10 }));
        assert_eq!(set.verify(&[old.leaf(2)], NOW_S), Err(CertificateFault::Revoked));
        assert_eq!(set.verify(&[new.leaf(1)], NOW_S), Err(CertificateFault::StatusUnknown));
    }
}
