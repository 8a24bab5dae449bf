//! A client CA that is replaced, with overlap and without, each with its own lists.

use tests::store::World;

use super::*;

/// A release whose client CA consists of `authorities`, with their lists in `agents.crl`.
fn publish(world: &World, version: u64, authorities: &[&Authority]) -> String {
    let pems: String = authorities.iter().map(|authority| authority.pem.as_str()).collect();
    let file = format!("agents-{version}.pem");
    world.write(&file, pems.as_bytes());
    let text = policy(&world.origin, "").replace("agents.pem", &file);
    let (_, body) = text.split_once("name = \"tests\"\n").unwrap();
    let built = world.build(version, &PolicyText::new().with(body));
    world.put_release(&built, &[1, 2]);
    world.point_anywhere(version, &built.digest);
    built.digest
}

fn lists(world: &World, authorities: &[&Authority], number: u64, revoked: &[&Identity]) {
    let text: String = authorities.iter().map(|authority| authority.crl(number, revoked, DAY)).collect();
    world.replace(&world.path("agents.crl"), text.as_bytes());
}

/// A world whose one listener asks for certificates of clients, and who vouches for it.
pub(super) fn world() -> (World, Authority) {
    let listener = "\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificates = [{ chain = \"server.pem\", key = \
                    \"server.key\" }], client_certificates = \"required\" }\n";
    let world = World::with("hot", listener);
    let servers = Authority::new("servers");
    let server = servers.server(&[HOST]);
    world.write("server.pem", server.certificate.as_bytes());
    world.write("server.key", server.key.as_bytes());
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(world.path("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    (world, servers)
}

/// Status of a request with this certificate; none where TLS refuses it.
pub(super) fn status(gateway: &Gateway, servers: &Authority, identity: &Identity) -> Option<u16> {
    let mut client = Client::connect_tls(gateway.tls_address(), HOST, &servers.client_config(Some(identity))).ok()?;
    client.try_send(get("/", "").as_bytes()).ok()?;
    Some(client.try_response_to("GET").ok()?.status)
}

#[test]
fn a_release_takes_no_list_that_is_older_than_the_one_in_force_whatever_was_kept() {
    let (world, servers) = world();
    let agents = Authority::new("agents");
    let (good, lost) = (agents.spiffe(BOT), agents.spiffe(BOT));
    lists(&world, &[&agents], 5, &[&lost]);
    publish(&world, 1, &[&agents]);
    let gateway = world.start();
    let seen = || [&good, &lost].map(|identity| status(&gateway, &servers, identity));
    assert_eq!(seen(), [Some(200), None]);
    let kept = || kept_files(&world.path("state"));
    assert!(eventually(SOON, || !kept().is_empty()));
    kept().iter().for_each(|path| fs::remove_file(path).unwrap());
    lists(&world, &[&agents], 4, &[]);
    assert!(
        eventually(SOON, || gateway.stderr().contains("it is older than the one in force")),
        "{}",
        gateway.stderr()
    );
    let next = publish(&world, 2, &[&agents]);
    assert!(eventually(SOON, || tests::store::served(&gateway) == next), "{}", gateway.stderr());
    assert_eq!(seen(), [Some(200), None], "{}", gateway.stderr());
}

#[test]
fn a_ca_is_replaced_with_overlap_and_without() {
    let (world, servers) = world();
    // The same name: the new one differs by its key alone.
    let (old, new) = (Authority::new("agents"), Authority::new("agents"));
    let (by_old, by_new, lost) = (old.spiffe(BOT), new.spiffe(BOT), new.spiffe(BOT));
    lists(&world, &[&old], 1, &[]);
    publish(&world, 1, &[&old]);
    let gateway = world.start();
    let connect = |identity: &Identity| {
        Client::connect_tls(gateway.tls_address(), HOST, &servers.client_config(Some(identity))).ok()
    };
    let status = |identity: &Identity| status(&gateway, &servers, identity);
    assert_eq!((status(&by_old), status(&by_new)), (Some(200), None));
    let mut open = connect(&by_old).unwrap();
    assert_eq!(open.exchange(get("/", "")).status, 200);

    // With overlap: lists first, because a CA without a list vouches for nobody.
    lists(&world, &[&old, &new], 2, &[&lost]);
    let both = publish(&world, 2, &[&old, &new]);
    assert!(eventually(SOON, || tests::store::served(&gateway) == both), "{}", gateway.stderr());
    assert!(eventually(SOON, || status(&by_new) == Some(200)), "{}", gateway.stderr());
    assert_eq!((status(&by_old), status(&lost)), (Some(200), None));
    assert_eq!(open.exchange(get("/", "")).status, 200, "nobody is cut off by the overlap");

    // The old one goes; what it issued is out, on open connections too.
    let alone = publish(&world, 3, &[&new]);
    assert!(eventually(SOON, || tests::store::served(&gateway) == alone), "{}", gateway.stderr());
    assert_eq!((status(&by_old), status(&by_new), status(&lost)), (None, Some(200), None));
    let next = open.try_send(get("/", "").as_bytes()).map(|()| open.try_response_to("GET"));
    assert!(!matches!(next, Ok(Ok(response)) if response.status == 200), "refused or closed");

    // Without overlap, and at once with its own list.
    let third = Authority::new("another name");
    let by_third = third.spiffe(BOT);
    lists(&world, &[&new, &third], 3, &[&lost]);
    let last = publish(&world, 4, &[&third]);
    assert!(eventually(SOON, || tests::store::served(&gateway) == last), "{}", gateway.stderr());
    assert_eq!((status(&by_old), status(&by_new), status(&by_third)), (None, None, Some(200)));
}

#[test]
fn a_list_that_a_file_leaves_out_stays_and_holds_nothing_up() {
    let (world, servers) = world();
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let all = [one.spiffe(BOT), one.spiffe(BOT), two.spiffe(BOT)];
    let seen = |gateway: &Gateway| all.each_ref().map(|identity| status(gateway, &servers, identity));
    lists(&world, &[&one, &two], 2, &[&all[1]]);
    publish(&world, 1, &[&one, &two]);
    let gateway = world.start();
    assert_eq!(seen(&gateway), [Some(200), None, Some(200)]);
    let later = two.crl(3, &[&all[2]], DAY);
    world.replace(&world.path("agents.crl"), later.as_bytes());
    let held = [Some(200), None, None];
    assert!(eventually(SOON, || seen(&gateway) == held), "{}", gateway.stderr());
    gateway.tells("expected a list of CN=one as well, found none or an older one: the one in force stays in force");
    assert!(eventually(SOON, || gateway.metric("crl_failures_total") >= 1.0));
    assert!(eventually(SOON, || is_kept(&world.path("state"), &later)));
    drop(gateway);
    let gateway = world.start();
    assert_eq!(seen(&gateway), held, "{}", gateway.stderr());
    // Nor does an older one of the other come back beside it.
    lists(&world, &[&one, &two], 1, &[]);
    assert!(eventually(SOON, || gateway.stderr().contains("it is older than the one in force")));
    assert_eq!(seen(&gateway), held, "{}", gateway.stderr());
}

#[test]
fn while_a_new_key_of_a_ca_has_no_list_other_cas_are_not_touched() {
    let (servers, origin) = (Authority::new("servers"), RecordingOrigin::start());
    // The same name: the new one differs by its key alone.
    let (old, new, partner) = (Authority::new("agents"), Authority::new("agents"), Authority::new("partner"));
    let by_partner = "spiffe://partner.test/bot";
    let agents = policy(&origin, "");
    let (_, body) = agents.split_once("name = \"tests\"\n").unwrap();
    let text = PolicyText::new()
        .with(body)
        .client_ca("partner", "partner.pem")
        .agent("partner", &format!("{{ certificate = \"{by_partner}\", ca = \"partner\" }}"), &["all"], &[])
        .text();
    let gateway = Deployment::new()
        .file("agents.pem", &format!("{}{}", old.pem, new.pem))
        .file("agents.crl", &old.crl(1, &[], DAY))
        .file("partner.pem", &partner.pem)
        .tls_listener(&servers.server(&[HOST]), "required")
        .run(&text);
    let seen = [old.spiffe(BOT), new.spiffe(BOT), partner.spiffe(by_partner)];
    let seen = seen.map(|identity| status(&gateway, &servers, &identity));
    assert_eq!(seen, [Some(200), None, Some(200)], "{}", gateway.stderr());
}
