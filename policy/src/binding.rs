//! What a token is bound to: a key that its holder shows beside it, so that the token alone is of no use to a thief.

use crate::model::Binding;

/// A set of bindings: what a proof needs, or what was shown to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bindings(u8);

impl Bindings {
    pub const NONE: Self = Self(0);
    pub const CERTIFICATE: Self = Self(1);
    pub const DPOP: Self = Self(2);

    /// The sets there are.
    pub const ALL: [Self; 4] = [Self(0), Self(1), Self(2), Self(3)];

    pub const fn of(binding: Option<Binding>) -> Self {
        match binding {
            None => Self::NONE,
            Some(Binding::Certificate) => Self::CERTIFICATE,
            Some(Binding::Dpop) => Self::DPOP,
        }
    }

    /// The set with these bits; others are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 3)
    }

    /// Two bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether nothing of `needed` is missing here.
    pub const fn hold(self, needed: Self) -> bool {
        needed.0 & !self.0 == 0
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members, in the order of [`Binding`].
    pub fn iter(self) -> impl Iterator<Item = Binding> {
        Binding::ALL.into_iter().filter(move |binding| self.hold(Self::of(Some(*binding))))
    }

    /// As records and reports say it: one or more names with a space between them; none for the empty set.
    pub const fn text(self) -> Option<&'static str> {
        match self.0 {
            1 => Some("certificate"),
            2 => Some("dpop"),
            3 => Some("certificate dpop"),
            _ => None,
        }
    }

    /// The set that [`Bindings::text`] gives as this text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.text() == Some(text))
    }
}

impl From<Option<Binding>> for Bindings {
    fn from(binding: Option<Binding>) -> Self {
        Self::of(binding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_they_contain_and_their_texts_come_back() {
        for held in Bindings::ALL {
            for needed in Bindings::ALL {
                assert_eq!(held.hold(needed), needed.iter().all(|binding| held.iter().any(|it| it == binding)));
                assert!(held.and(needed).hold(held) && held.and(needed).hold(needed));
            }
            assert_eq!(held.text().and_then(Bindings::from_text).unwrap_or_default(), held);
            assert_eq!(Bindings::from_bits(held.bits()), held);
            assert_eq!(held.iter().fold(Bindings::NONE, |set, it| set.and(Some(it).into())), held);
        }
    }
}
