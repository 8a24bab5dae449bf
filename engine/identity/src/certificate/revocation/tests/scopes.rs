//! Several lists of one issuer, each about something.

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
        let after = read(&ca, text).unwrap().follow(&present, &ca, NOW_S).unwrap();
        assert_eq!(after.left_out(), ["CN=a"]);
        assert_eq!(refused(after), [true, true, false], "what is left out stays in force");
    }
}
