//! Media that have no room: the reserve holds what could not be written down.

use std::fs;

use super::*;

impl Scene {
    /// While no list can be written down as a file.
    fn without_room(&mut self, act: impl FnOnce(&mut Self)) {
        let (folder, aside) = ["revocations", "aside"].map(|name| self.directory.path().join(name)).into();
        let had_some = fs::rename(&folder, &aside).is_ok();
        fs::write(&folder, b"").unwrap();
        act(self);
        fs::remove_file(&folder).unwrap();
        if had_some {
            fs::rename(&aside, &folder).unwrap();
        }
    }

    /// `bytes` are in force, and marked in the reserve alone.
    fn take_without_room(&mut self, bytes: Vec<u8>) {
        self.without_room(|scene| {
            assert!(scene.look(bytes).unwrap());
            let is_kept_later = scene.in_force().root > 1;
            let refused = scene.lists.keep().err().map(|refusal| refusal.check);
            assert_eq!(refused, (!is_kept_later).then_some(Check::State));
            assert_eq!((scene.lists.reserved, scene.in_force().kept), (Some(scene.lists.turn), false));
        });
    }

    /// As if the reserve had had no room for the list in it.
    fn forget_envelopes(&self) {
        let reserve = self.lists.memory.reserve(Shelf::Revocations, "production");
        let list = reserve.read().unwrap().unwrap().list;
        fs::remove_file(reserve.path()).unwrap();
        reserve.write(list.as_ref(), &[]).unwrap();
    }

    /// As a start of a gateway. What it refuses, or why it does not come up.
    fn start(&mut self) -> Result<usize, String> {
        let told = |failure: Failure| format!("{failure:?}");
        let mut lists = open(self.directory.path(), &self.shelf).map_err(told)?;
        let refused = lists.begin(&self.shelf, now()).map_err(told)?;
        self.lists = lists;
        Ok(refused.len())
    }

    fn refuses_to_start(&mut self) {
        let told = self.start().unwrap_err();
        assert!(
            told.contains("in force last") && told.contains("release-wider") && told.contains("reserve/production"),
            "{told}"
        );
    }
}

/// List 1 of `a` is kept.
fn scene() -> Scene {
    let mut scene = Scene::new();
    assert!(scene.look(list(1, &["a"], &[1])).unwrap());
    scene.lists.keep().unwrap();
    scene
}

#[test]
fn room_is_set_aside_before_there_is_a_list_and_an_old_one_is_ignored() {
    let mut scene = Scene::new();
    scene.shelf.list = None;
    assert_eq!(scene.start(), Ok(0));
    assert_eq!((scene.lists.reserved, scene.lists.note().is_none()), (Some(0), true));
    assert!(scene.look(list(1, &["a"], &[1])).unwrap());
    scene.lists.keep().unwrap();
    let path = scene.lists.memory.reserve(Shelf::Revocations, "production").path().to_owned();
    let old = fs::read(&path).unwrap();
    assert!(scene.look(list(2, &["a", "b"], &[1])).unwrap());
    scene.lists.keep().unwrap();
    assert_eq!(scene.lists.reserved, Some(2));
    // From a backup.
    fs::write(&path, old).unwrap();
    assert_eq!((scene.start(), scene.agents()), (Ok(0), vec!["agent a".to_owned(), "agent b".to_owned()]));
    assert_eq!((scene.lists.reserved, scene.lists.turn), (Some(2), 2), "it is written anew");
    fs::remove_file(&path).unwrap();
    assert_eq!((scene.start(), scene.lists.reserved), (Ok(0), Some(2)));
}

#[test]
fn what_had_no_room_is_in_force_after_a_restart_and_written_down_then() {
    let old = list(1, &["a"], &[1]);
    let mut scene = scene();
    scene.take_without_room(list(2, &["a", "b"], &[1]));
    for store in [None, Some(old.clone()), Some(b"garbage".to_vec()), Some(list(2, &["a"], &[1]))] {
        scene.shelf.list = store;
        scene.without_room(|scene| {
            assert_eq!((scene.start(), scene.agents()), (Ok(2), vec!["agent a".to_owned(), "agent b".to_owned()]));
        });
    }
    assert_eq!((scene.start(), scene.kept(), scene.in_force().kept), (Ok(1), Some(2), true));
    // What a thief of the key alone leaves out stays in force, although the list that held it was never written down.
    let mut scene = self::scene();
    scene.take_without_room(list(2, &["a", "b"], &[1]));
    scene.shelf.list = Some(list(3, &["a"], &[1]));
    assert_eq!((scene.start(), scene.agents()), (Ok(0), vec!["agent a".to_owned(), "agent b".to_owned()]));
    assert_eq!((scene.kept(), scene.lists.turn), (Some(3), 3));
}

#[test]
fn what_lists_may_not_lift_has_its_place_in_the_reserve_too() {
    let mut scene = scene();
    scene.take_without_room(list(2, &["b"], &[1]));
    scene.shelf.list = Some(list(1, &["a"], &[1]));
    assert_eq!((scene.start(), scene.agents()), (Ok(1), vec!["agent a".to_owned(), "agent b".to_owned()]));
    assert!(scene.in_force().whole.is_some() && scene.in_force().kept);
}

/// A kill while a long list is being written stops no gateway, where the store has a newer one.
#[test]
fn a_list_that_was_being_written_is_passed_over_for_a_newer_one() {
    let mut scene = scene();
    scene.take_without_room(list(2, &["a", "b"], &[1]));
    let reserve = scene.lists.memory.reserve(Shelf::Revocations, "production");
    let two = reserve.read().unwrap().unwrap().list;
    fs::remove_file(reserve.path()).unwrap();
    reserve.write(None, &[]).unwrap();
    reserve.begin(two.as_ref());
    for store in [None, Some(list(1, &["a"], &[1])), Some(list(2, &["a"], &[1]))] {
        scene.shelf.list = store;
        scene.refuses_to_start();
    }
    scene.shelf.list = Some(list(3, &["c"], &[1]));
    assert_eq!((scene.start(), scene.agents()), (Ok(1), vec!["agent a".to_owned(), "agent c".to_owned()]));
    assert_eq!((scene.start(), scene.kept(), scene.lists.reserved), (Ok(0), Some(3), Some(3)), "it is told once");
}

/// What was found in the store has its place whole from then on, though it cannot be kept as a file.
#[test]
fn nothing_but_the_first_list_that_is_not_written_down_is_passed_over() {
    let mut scene = scene();
    let two = list(2, &["a", "b"], &[1]);
    scene.take_without_room(two.clone());
    let reserve = scene.lists.memory.reserve(Shelf::Revocations, "production");
    let marked = reserve.read().unwrap().unwrap().list;
    reserve.begin(marked.as_ref());
    scene.shelf.list = Some(two);
    scene.without_room(|scene| assert_eq!(scene.start(), Ok(1)));
    let held = reserve.read().unwrap().unwrap();
    assert!(!held.unfinished && held.envelope(&held.list.as_ref().unwrap().digest).is_some());
    // List 3 was being written while list 2 stood in the reserve alone: who would take list 4 would lose that one too.
    scene.take_without_room(list(3, &["a", "b", "c"], &[1]));
    let marked = reserve.read().unwrap().unwrap().list;
    fs::remove_file(reserve.path()).unwrap();
    reserve.write(None, &[]).unwrap();
    reserve.begin(marked.as_ref());
    scene.shelf.list = Some(list(4, &["d"], &[1]));
    scene.refuses_to_start();
}

#[test]
fn a_list_of_which_the_digest_alone_is_left_must_be_found() {
    let mut scene = scene();
    let (one, two) = (list(1, &["a"], &[1]), list(2, &["a", "b"], &[1]));
    scene.take_without_room(two.clone());
    scene.forget_envelopes();
    // The last ones do not say what the lost one revoked.
    for store in [None, Some(one), Some(b"garbage".to_vec()), Some(list(2, &["a"], &[1])), Some(list(3, &["a"], &[1]))]
    {
        scene.shelf.list = store;
        scene.refuses_to_start();
    }
    assert_eq!(scene.kept(), Some(1), "what is refused changes nothing");
    scene.shelf.list = Some(two);
    assert_eq!((scene.start(), scene.kept()), (Ok(0), Some(2)));
    assert_eq!(scene.lists.turn, 2);
}

#[test]
fn or_one_by_those_who_may_lift() {
    let mut scene = scene();
    scene.take_without_room(list(3, &["a", "b"], &[1]));
    scene.forget_envelopes();
    scene.shelf.list = Some(list(2, &["a"], &[1, 2]));
    scene.refuses_to_start();
    scene.shelf.list = Some(list(4, &["a"], &[1, 2]));
    assert_eq!((scene.start(), scene.kept(), scene.lists.turn), (Ok(0), Some(4), 3));
    assert_eq!(scene.start(), Ok(0));
}

#[test]
fn a_serial_of_a_thief_in_the_reserve_does_not_lock_the_gateway() {
    let mut scene = scene();
    scene.take_without_room(list(LAST, &["a", "b"], &[1]));
    scene.forget_envelopes();
    scene.shelf.roots.insert(2, root(2, 3));
    scene.shelf.list = Some(list(2, &["a"], &[3]));
    scene.refuses_to_start();
    scene.shelf.list = Some(list(2, &["a"], &[1, 2, 3]));
    // Written down once that root is accepted.
    assert_eq!((scene.start(), scene.kept(), scene.lists.reserved), (Ok(0), Some(1), Some(3)));
    scene.shelf.list = None;
    assert_eq!((scene.start(), scene.agents(), scene.in_force().list.serial), (Ok(1), vec!["agent a".to_owned()], 2));
}

/// While the medium is full no trust root is accepted either.
#[test]
fn a_list_by_a_root_that_is_not_accepted_yet_needs_that_root() {
    let mut scene = scene();
    scene.shelf.roots.insert(2, root(2, 3));
    scene.take_without_room(list(2, &["a", "b"], &[3]));
    scene.shelf.list = None;
    assert_eq!((scene.start(), scene.agents().len(), scene.kept()), (Ok(1), 2, Some(1)));
    let roots = std::mem::take(&mut scene.shelf.roots);
    scene.refuses_to_start();
    scene.shelf.roots = roots;
    assert_eq!((scene.start(), scene.agents().len()), (Ok(1), 2));
}

#[test]
fn a_new_list_does_not_wait_for_the_next_try_of_the_last_one() {
    let mut scene = scene();
    let memory = scene.lists.memory.clone();
    let mut writer = Writer::spawn("kept".into(), vec![], move |note: &Note| note.write(&memory)).unwrap();
    scene.without_room(|scene| {
        for serial in 2..=9 {
            assert!(scene.look(list(serial, &["a", "b"], &[1])).unwrap());
            let _ = writer.keep(&mut scene.lists);
            assert!(writer.is_busy());
            while writer.is_busy() {
                let _ = writer.keep(&mut scene.lists);
            }
            assert_eq!((scene.lists.reserved, scene.in_force().kept), (Some(serial), false));
        }
    });
}

#[test]
fn what_the_reserve_does_not_take_is_written_down_all_the_same() {
    let mut scene = scene();
    let path = scene.lists.memory.reserve(Shelf::Revocations, "production").path().to_owned();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(scene.look(list(2, &["a", "b"], &[1])).unwrap());
    let refusal = scene.lists.keep().unwrap_err();
    assert!(refusal.found.contains("reserve/production") && !refusal.remedy.contains("a start"), "{refusal}");
    assert_eq!((scene.kept(), scene.in_force().kept, scene.lists.reserved), (Some(2), true, Some(1)));
    scene.without_room(|scene| {
        assert!(scene.look(list(3, &["a", "b", "c"], &[1])).unwrap());
        let refusal = scene.lists.keep().unwrap_err();
        assert!(refusal.remedy.contains("a start would not know this list"), "{refusal}");
    });
    fs::remove_dir(&path).unwrap();
    scene.lists.keep().unwrap();
    assert_eq!((scene.kept(), scene.lists.reserved, scene.lists.note().is_none()), (Some(3), Some(3), true));
}

#[test]
fn what_is_damaged_or_of_another_engine_is_refused() {
    let mut scene = scene();
    let path = scene.lists.memory.reserve(Shelf::Revocations, "production").path().to_owned();
    fs::write(&path, b"damaged").unwrap();
    assert!(scene.start().unwrap_err().contains("remove it"));
    fs::write(&path, "{\"head\":{\"type\":\"adamant.reserve.v2\"}}\n".repeat(2)).unwrap();
    assert!(scene.start().unwrap_err().contains("adamant.reserve.v2"));
    fs::remove_file(&path).unwrap();
    assert_eq!(scene.start(), Ok(0));
}
