//! What is wrong with `credentials` of an origin, and where.

use tests::desk::assert_says;

use super::*;

#[test]
fn a_field_of_the_gateways_own_is_a_mistake_with_its_place() {
    let (origin, key) = (RecordingOrigin::start(), ApiKey::new("partner-1"));
    let desk = Desk::new();
    for header in ["Host", "Via", "Forwarded", "X-Request-Id"] {
        let own = format!("credentials = {{ from = \"orders\", header = \"{header}\" }}");
        let text = policy(&origin, &own, &key).text();
        desk.write("policy.toml", &text);
        let at = text.find(&format!("\"{header}\"")).unwrap();
        let line = text[..at].matches('\n').count() + 1;
        let column = at - text[..at].rfind('\n').unwrap();
        assert_says(
            &desk.bad("check policy.toml"),
            &[&format!("policy.toml:{line}:{column}\n"), "error[bad-credentials]", "X-Origin-Key", "1 error"],
        );
    }
}
