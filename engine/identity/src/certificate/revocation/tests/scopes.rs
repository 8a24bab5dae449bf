//! Several lists of one issuer, each about something, and one of an issuer that has several certificates.

use rcgen::{GeneralSubtree, NameConstraints};

use super::*;

/// rustls-webpki looks into the first list alone that may say something of a certificate.
#[test]
fn a_number_that_any_list_of_its_issuer_names_is_refused() {
    let authority = Authority::new("a");
    let ca = authority.ca();
    let part = |number: u64, revoked: &[u64]| {
        let distribution_point = CrlDistributionPoint { uris: vec!["http://crl.example/part".to_owned()] };
        let point = CrlIssuingDistributionPoint { distribution_point, scope: None };
        authority.list_for(Some(point), number, number.cast_signed(), revoked)
    };
    let refused = |lists: RevocationLists| {
        let ca = ca.with_revocation(Some(Arc::new(lists)));
        [7, 8, 9].map(|serial| ca.verify(&[authority.leaf(serial)], NOW_S) == Err(CertificateFault::Revoked))
    };
    let [whole, older, later] = [authority.list(11, &[7]), part(10, &[8]), part(12, &[8])];
    for text in
        [format!("{whole}{older}"), format!("{older}{whole}"), format!("{whole}{later}"), format!("{later}{whole}")]
    {
        assert_eq!(refused(read(&ca, &text).unwrap()), [true, true, false]);
    }
    let present = read(&ca, &whole).unwrap();
    for text in [&older, &later] {
        let after = read(&ca, text).unwrap().follow(&present, NOW_S).unwrap();
        assert_eq!(after.left_out(), ["CN=a"]);
        assert_eq!(refused(after), [true, true, false], "what is left out stays in force");
    }
}

/// A CA is name and key, whichever of its certificates a chain ends at, and whatever else these say.
#[test]
fn a_ca_renewed_with_name_and_key_has_the_same_lists() {
    let (now, later) = (date_time_ymd(2025, 12, 31), date_time_ymd(2040, 1, 1));
    let certificate = |key: KeyPair, (from, until), excluded: Option<&str>| {
        let mut params = Authority::params("a", vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
        (params.not_before, params.not_after) = (from, until);
        params.name_constraints = excluded.map(|name| NameConstraints {
            permitted_subtrees: Vec::new(),
            excluded_subtrees: vec![GeneralSubtree::DnsName(name.to_owned())],
        });
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    };
    let key = KeyPair::generate().unwrap();
    let again = || KeyPair::try_from(key.serialize_der()).unwrap();
    let old = certificate(again(), (date_time_ymd(2020, 1, 1), now), None);
    let new = certificate(again(), (date_time_ymd(2025, 1, 1), later), Some("example"));
    let whole = new.list(1, &[7]);
    let distribution_point = CrlDistributionPoint { uris: vec!["http://crl.example/part".to_owned()] };
    let part = old.list_for(Some(CrlIssuingDistributionPoint { distribution_point, scope: None }), 2, 2, &[8]);
    for pem in [old.0.pem() + &new.0.pem(), new.0.pem() + &old.0.pem()] {
        let ca = with(&ClientCa::from_pem("ca", &pem).unwrap(), &(whole.clone() + &part));
        let verdicts = [7, 8, 9].map(|serial| ca.verify(&[new.leaf(serial)], NOW_S));
        let revoked = Err(CertificateFault::Revoked);
        assert_eq!(verdicts, [revoked.clone(), revoked, Ok(())], "the old certificate has ended, the CA has not");
    }
}
