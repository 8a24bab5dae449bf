//! Room that many share and nobody has a fixed part of: who holds as much as is free gets no more. One alone gets half of
//! it, two that ask in turns a third each, and so on; so a newcomer finds room beside a few, however much they want. Each
//! can halve what is left by those before it: as many as the room has bits fill it.

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// It holds its share.
    Own,
    /// It holds nothing: others have it all.
    Others,
}

/// Whether one who holds `own` of the `held` places gets another one, of `room` altogether.
///
/// # Errors
/// There is no room.
pub const fn room_for(own: usize, held: usize, room: usize) -> Result<(), NoRoom> {
    match own {
        _ if own < room.saturating_sub(held) => Ok(()),
        0 => Err(NoRoom::Others),
        _ => Err(NoRoom::Own),
    }
}

/// The same where places are shared by groups first, and within a group by its members: `own` of the `of_group` places of
/// its group. One member alone of one group alone gets a quarter.
///
/// # Errors
/// There is no room.
pub const fn room_within(own: usize, of_group: usize, held: usize, room: usize) -> Result<(), NoRoom> {
    let left_by_others = room.saturating_sub(held.saturating_sub(of_group));
    room_for(own, of_group, left_by_others.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of `greedy` gets, where all want as much as there is.
    fn shares(greedy: usize, room: usize) -> Vec<usize> {
        let mut own = vec![0; greedy];
        for _ in 0..room {
            for index in 0..greedy {
                let held = own.iter().sum();
                own[index] += usize::from(room_for(own[index], held, room).is_ok());
            }
        }
        own
    }

    #[test]
    fn one_alone_gets_half_and_many_leave_room_for_another() {
        assert_eq!(shares(1, 512), [256]);
        assert!(shares(2, 512).iter().all(|own| (170..=171).contains(own)));
        let seven = shares(7, 512);
        assert!(seven.iter().all(|own| *own == 64), "{seven:?}");
        assert!(shares(100, 512).iter().sum::<usize>() < 512);
    }

    #[test]
    fn how_many_fill_it_one_after_the_other() {
        let mut held = 0;
        let fill = |held: &mut usize| {
            let own = (0..).find(|own| room_for(*own, *held + own, 512).is_err()).unwrap();
            *held += own;
            own
        };
        let owned: Vec<_> = std::iter::repeat_with(|| fill(&mut held)).take_while(|own| *own > 0).collect();
        assert_eq!(owned, [256, 128, 64, 32, 16, 8, 4, 2, 1, 1]);
        assert_eq!(room_for(0, held, 512), Err(NoRoom::Others));
    }

    #[test]
    fn a_group_leaves_room_for_others_and_each_member_for_members() {
        let fill = |of_group: usize, held: usize| {
            (0..).find(|own| room_within(*own, of_group + own, held + own, 128).is_err()).unwrap()
        };
        assert_eq!((fill(0, 0), fill(32, 32)), (32, 16));
        assert_eq!(fill(63, 63), 1, "a newcomer finds room in a group that has nearly all of its own");
        assert_eq!(fill(64, 64), 0);
        assert_eq!(fill(0, 64), 16, "another group");
    }

    #[test]
    fn whose_fault_it_is() {
        assert_eq!(room_for(256, 256, 512), Err(NoRoom::Own));
        assert_eq!(room_for(0, 511, 512), Ok(()));
        assert_eq!(room_for(1, 511, 512), Err(NoRoom::Own));
        assert_eq!(room_for(0, 512, 512), Err(NoRoom::Others));
        assert_eq!(room_for(0, 9, 0), Err(NoRoom::Others));
    }
}
