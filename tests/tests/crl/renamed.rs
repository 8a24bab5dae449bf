//! What was revoked stays revoked, whatever a release calls the client CA and whichever certificates it has beside it.

use std::path::Path;

use tests::certificates::is_kept;
use tests::store::{World, served};

use super::rotated::{status, world};
use super::*;

/// A client CA of a release: its name, its certificates, and its file of lists where it has one.
type Ca<'a> = (&'a str, &'a [&'a Authority], Option<&'a str>);

/// Publishes a release with these client CAs, each of which vouches for the agent; signed by `by`.
fn publish(world: &World, version: u64, cas: &[Ca<'_>], by: &[u8]) -> String {
    let mut policy = PolicyText::new()
        .origin("origin", &[world.origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"]);
    for (name, authorities, crl) in cas {
        let pems: String = authorities.iter().map(|authority| authority.pem.as_str()).collect();
        let file = format!("{name}-{version}.pem");
        world.write(&file, pems.as_bytes());
        policy = policy.client_ca(name, &file);
        if let Some(crl) = crl {
            policy = policy.with(&format!("crl = {{ watch = \"{crl}\" }}"));
        }
    }
    let proofs = cas.iter().map(|(name, ..)| format!("{{ certificate = \"{BOT}\", ca = \"{name}\" }}"));
    let policy = policy.agent("bot", &proofs.collect::<Vec<_>>().join(", "), &["all"], &[]);
    let built = world.build(version, &policy);
    world.put_release(&built, by);
    match by {
        [_] => world.point(version, &built.digest),
        _ => world.point_anywhere(version, &built.digest),
    }
    built.digest
}

/// One signature of `release-narrower`.
const NARROWER: &[u8] = &[1];
const WIDER: &[u8] = &[1, 2];

fn put(world: &World, file: &str, list: &str) {
    world.replace(&world.path(file), list.as_bytes());
}

fn kept(world: &World, list: &str) {
    assert!(eventually(SOON, || is_kept(&world.path("state"), list)));
}

fn serves(gateway: &Gateway, release: &str) {
    assert!(eventually(SOON, || served(gateway) == release), "{}", gateway.stderr());
}

#[test]
fn a_release_that_gives_a_ca_another_name_takes_no_older_list() {
    let (world, servers) = world();
    let (agents, other) = (Authority::new("agents"), Authority::new("other"));
    let (good, lost) = (agents.spiffe(BOT), agents.spiffe(BOT));
    put(&world, "agents.crl", &agents.crl(2, &[&lost], DAY));
    publish(&world, 1, &[("agents", &[&agents], Some("agents.crl"))], WIDER);
    let gateway = world.start();
    let seen = || [&good, &lost].map(|identity| status(&gateway, &servers, identity));
    assert_eq!(seen(), [Some(200), None]);
    put(&world, "agents.crl", &agents.crl(1, &[], DAY));
    let told = || gateway.stderr().contains("it is older than the one in force");
    assert!(eventually(SOON, told), "{}", gateway.stderr());

    // Nothing changes by it, so that one of them may sign.
    let renamed = publish(&world, 2, &[("agents-2", &[&agents], Some("agents.crl"))], NARROWER);
    serves(&gateway, &renamed);
    assert_eq!(seen(), [Some(200), None], "{}", gateway.stderr());
    gateway.tells("client CA \"agents-2\": crl:");
    gateway.tells("that were in force last stay in force");
    // Nor with another certificate beside it, under a third name; and with that alone gone again.
    let grown = publish(&world, 3, &[("agents-3", &[&other, &agents], Some("agents.crl"))], WIDER);
    serves(&gateway, &grown);
    assert_eq!(seen(), [Some(200), None], "{}", gateway.stderr());
    let shrunk = publish(&world, 4, &[("agents-4", &[&agents], Some("other.crl"))], WIDER);
    serves(&gateway, &shrunk);
    assert_eq!(seen(), [Some(200), None], "{}", gateway.stderr());
    // What the CA itself says later counts.
    put(&world, "other.crl", &agents.crl(3, &[&good], DAY));
    assert!(eventually(SOON, || seen() == [None, Some(200)]), "{}", gateway.stderr());
}

#[test]
fn over_a_restart_neither_another_name_nor_a_file_that_is_gone_brings_anybody_back() {
    let variants = |put_back: Option<&str>, name: &str, beside: bool| {
        let (world, servers) = world();
        let (agents, other) = (Authority::new("agents"), Authority::new("other"));
        let (good, lost) = (agents.spiffe(BOT), agents.spiffe(BOT));
        let list = agents.crl(2, &[&lost], DAY);
        put(&world, "agents.crl", &list);
        publish(&world, 1, &[("agents", &[&agents], Some("agents.crl"))], WIDER);
        let gateway = world.start();
        kept(&world, &list);
        drop(gateway);
        match put_back {
            Some("older") => put(&world, "agents.crl", &agents.crl(1, &[], DAY)),
            Some(text) => put(&world, "agents.crl", text),
            None => fs::remove_file(world.path("agents.crl")).unwrap(),
        }
        let authorities: &[&Authority] = if beside { &[&agents, &other] } else { &[&agents] };
        let by = if beside { WIDER } else { NARROWER };
        let renamed = publish(&world, 2, &[(name, authorities, Some("agents.crl"))], by);
        for _ in 0..2 {
            let gateway = world.start();
            serves(&gateway, &renamed);
            let seen = [&good, &lost].map(|identity| status(&gateway, &servers, identity));
            assert_eq!(seen, [Some(200), None], "{put_back:?} {name}: {}", gateway.stderr());
            gateway.tells("that were in force last stay in force");
        }
    };
    std::thread::scope(|scope| {
        for (put_back, name, beside) in [
            (Some("older"), "agents-2", false),
            (Some("garbage"), "agents-2", false),
            (None, "agents-2", false),
            (Some("older"), "agents-2", true),
        ] {
            scope.spawn(move || variants(put_back, name, beside));
        }
    });
}

#[test]
fn two_cas_that_exchange_their_names_keep_their_own_lists() {
    let (world, servers) = world();
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let all = [&one, &two].map(|of| [of.spiffe(BOT), of.spiffe(BOT)]);
    let seen = |gateway: &Gateway| all.each_ref().map(|of| of.each_ref().map(|it| status(gateway, &servers, it)));
    let held = [[Some(200), None], [Some(200), None]];
    let lists = [one.crl(2, &[&all[0][1]], DAY), two.crl(2, &[&all[1][1]], DAY)];
    put(&world, "x.crl", &lists[0]);
    put(&world, "y.crl", &lists[1]);
    publish(&world, 1, &[("x", &[&one], Some("x.crl")), ("y", &[&two], Some("y.crl"))], WIDER);
    let gateway = world.start();
    assert_eq!(seen(&gateway), held);
    lists.iter().for_each(|list| kept(&world, list));
    // Hot, and with it older lists in the files that are theirs now.
    put(&world, "x.crl", &two.crl(1, &[], DAY));
    put(&world, "y.crl", &one.crl(1, &[], DAY));
    let swapped = publish(&world, 2, &[("x", &[&two], Some("x.crl")), ("y", &[&one], Some("y.crl"))], WIDER);
    serves(&gateway, &swapped);
    assert_eq!(seen(&gateway), held, "{}", gateway.stderr());
    drop(gateway);
    // And back, over a restart.
    put(&world, "x.crl", &one.crl(1, &[], DAY));
    put(&world, "y.crl", &two.crl(1, &[], DAY));
    let back = publish(&world, 3, &[("x", &[&one], Some("x.crl")), ("y", &[&two], Some("y.crl"))], WIDER);
    let gateway = world.start();
    serves(&gateway, &back);
    assert_eq!(seen(&gateway), held, "{}", gateway.stderr());
}

#[test]
fn a_ca_whose_lists_a_release_took_away_has_them_again_when_they_come_back() {
    let (world, servers) = world();
    let agents = Authority::new("agents");
    let (good, lost) = (agents.spiffe(BOT), agents.spiffe(BOT));
    let list = agents.crl(2, &[&lost], DAY);
    put(&world, "agents.crl", &list);
    publish(&world, 1, &[("agents", &[&agents], Some("agents.crl"))], WIDER);
    let gateway = world.start();
    let seen = |gateway: &Gateway| [&good, &lost].map(|identity| status(gateway, &servers, identity));
    kept(&world, &list);
    let without = publish(&world, 2, &[("agents-2", &[&agents], None)], WIDER);
    serves(&gateway, &without);
    assert_eq!(seen(&gateway), [Some(200), Some(200)], "nobody asks for lists");
    put(&world, "agents.crl", &agents.crl(1, &[], DAY));
    let again = publish(&world, 3, &[("agents-2", &[&agents], Some("agents.crl"))], NARROWER);
    serves(&gateway, &again);
    assert_eq!(seen(&gateway), [Some(200), None], "{}", gateway.stderr());
    // The same with restarts between, the CA gone altogether.
    let gone = publish(&world, 4, &[("others", &[&Authority::new("others")], None)], WIDER);
    serves(&gateway, &gone);
    drop(gateway);
    drop(world.start());
    let last = publish(&world, 5, &[("agents-3", &[&agents], Some("agents.crl"))], WIDER);
    let gateway = world.start();
    serves(&gateway, &last);
    assert_eq!(seen(&gateway), [Some(200), None], "{}", gateway.stderr());
}

/// Takes what is kept away, and puts lists there as they were kept by the name of the CA.
fn keep_by_name(state: &Path, lists: &str, proven: Option<&str>) {
    let moving = state.join("moving");
    fs::read_dir(&moving).unwrap().for_each(|entry| fs::remove_file(entry.unwrap().path()).unwrap());
    fs::write(moving.join("client-ca.agents.crl"), lists).unwrap();
    if let Some(proven) = proven {
        fs::write(moving.join("client-ca-proven.agents.crl"), tests::certificates::crl_der(proven)).unwrap();
    }
}

#[test]
fn lists_that_were_kept_by_the_name_of_their_ca_count_after_an_upgrade() {
    let (world, servers) = world();
    let agents = Authority::new("agents");
    let middle = agents.intermediate("middle");
    let issued = |by: &Authority| {
        let leaf = by.spiffe(BOT);
        Identity { certificate: leaf.certificate.clone() + &by.pem, ..leaf }
    };
    let (good, lost, through, not_through) = (agents.spiffe(BOT), agents.spiffe(BOT), issued(&middle), issued(&middle));
    let all = [&good, &lost, &through, &not_through];
    let seen = |gateway: &Gateway| all.map(|identity| status(gateway, &servers, identity));
    let first = agents.crl(1, &[], DAY) + &middle.crl(1, &[], DAY);
    put(&world, "agents.crl", &first);
    publish(&world, 1, &[("agents", &[&agents], Some("agents.crl"))], WIDER);
    let gateway = world.start();
    assert_eq!(seen(&gateway), [Some(200); 4]);
    kept(&world, &first);
    drop(gateway);
    keep_by_name(
        &world.path("state"),
        &(agents.crl(5, &[&lost], DAY) + &middle.crl(1, &[], DAY)),
        Some(&middle.crl(5, &[&not_through], DAY)),
    );
    let renamed = publish(&world, 2, &[("agents-2", &[&agents], Some("agents.crl"))], NARROWER);
    let held = [Some(200), None, Some(200), None];
    let gateway = world.start();
    serves(&gateway, &renamed);
    assert_eq!(seen(&gateway), held, "{}", gateway.stderr());
    // Lists of both kinds are there now: the later one counts, whichever has it.
    let later = agents.crl(6, &[&lost], DAY);
    put(&world, "agents.crl", &(later.clone() + &middle.crl(6, &[&not_through], DAY)));
    kept(&world, &later);
    drop(gateway);
    put(&world, "agents.crl", &(agents.crl(5, &[], DAY) + &middle.crl(5, &[], DAY)));
    let gateway = world.start();
    assert_eq!(seen(&gateway), held, "{}", gateway.stderr());
}
