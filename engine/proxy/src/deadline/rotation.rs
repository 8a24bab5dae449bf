//! Where a sweep begins: what one has not come to is first in the next. Else, with a new list every moment, the last slots would
//! never be looked at.

use std::cell::Cell;

/// Where the next sweep begins.
#[derive(Default)]
pub struct Rotation(Cell<usize>);

impl Rotation {
    /// Calls `look` once with each of `all`. It says whether it may look at more; the next round begins behind the first of
    /// which it says that it may not.
    pub fn each<T>(&self, all: &[T], mut look: impl FnMut(&T) -> bool) {
        let begin = self.0.get().min(all.len());
        let (before, from) = all.split_at(begin);
        let mut last = None;
        for (index, one) in (begin..).zip(from).chain((0..).zip(before)) {
            if !look(one) && last.is_none() {
                last = Some(index);
            }
        }
        if let Some(last) = last {
            self.0.set(last + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_round_has_not_come_to_is_first_in_the_next() {
        let (rotation, slots) = (Rotation::default(), vec![Cell::new(0); 10]);
        let round = |mut left: usize| {
            let mut calls = 0;
            rotation.each(&slots, |looked| {
                calls += 1;
                if left > 0 {
                    left -= 1;
                    looked.set(looked.get() + 1);
                }
                left > 0
            });
            assert_eq!(calls, slots.len(), "each once");
        };
        let looked = || slots.iter().map(Cell::get).collect::<Vec<usize>>();
        (0..5).for_each(|_| round(4));
        assert_eq!(looked(), [2; 10], "in turn");
        round(20);
        assert_eq!(looked(), [3; 10]);
        round(3);
        assert_eq!(looked(), [4, 4, 4, 3, 3, 3, 3, 3, 3, 3], "on from the end is from the beginning");
    }
}
