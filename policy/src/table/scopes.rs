//! Sets of scopes: those of an agent or route (rows of the table) and those that a token narrows to.

use super::format::{LINE_BYTES, Name, SCOPES, Section};
use super::{ScopeId, Table, trace};
use crate::bounds::SCOPES_IN_BITMAP_MAX;

const WORDS: usize = SCOPES_IN_BITMAP_MAX / 64;

/// What a token narrows a caller's scopes to. Valid for the table that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenScopes(Narrowing);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Narrowing {
    Everything,
    Bitmap([u64; WORDS]),
    Sorted(Box<[u16]>),
}

impl TokenScopes {
    /// No token was presented, or its issuer has no `scope_claim`: nothing is narrowed.
    pub const fn everything() -> Self {
        Self(Narrowing::Everything)
    }

    fn word(&self, index: usize) -> u64 {
        match &self.0 {
            Narrowing::Everything => u64::MAX,
            Narrowing::Bitmap(words) => words.get(index).copied().unwrap_or(0),
            Narrowing::Sorted(_) => 0,
        }
    }

    fn contains(&self, scope: u16) -> bool {
        match &self.0 {
            Narrowing::Everything => true,
            Narrowing::Bitmap(_) => false,
            Narrowing::Sorted(scopes) => {
                let order = |other: &u16| {
                    trace::row_words(1);
                    other.cmp(&scope)
                };
                scopes.binary_search_by(order).is_ok()
            }
        }
    }
}

/// Where a row stands: its number (bitmaps) or its first entry (sorted lists), and how many scopes it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowRef {
    pub start: u32,
    pub count: u16,
}

impl<B: AsRef<[u8]>> Table<B> {
    /// The scope with this name.
    pub fn scope(&self, name: &[u8]) -> Option<ScopeId> {
        self.edge(SCOPES, name).and_then(|id| u16::try_from(id).ok()).map(ScopeId)
    }

    /// The scopes of a token, by name; names that the policy does not know are passed over. Allocates only above
    /// 512 scopes.
    pub fn token_scopes<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> TokenScopes {
        let scopes = names.filter_map(|name| self.scope(name));
        if self.scopes_are_bitmaps() {
            let mut words = [0_u64; WORDS];
            for scope in scopes {
                if let Some(word) = words.get_mut(scope.index() / 64) {
                    *word |= 1 << (scope.index() % 64);
                }
            }
            return TokenScopes(Narrowing::Bitmap(words));
        }
        let mut sorted: Vec<u16> = scopes.map(|scope| scope.0).collect();
        sorted.sort_unstable();
        sorted.dedup();
        TokenScopes(Narrowing::Sorted(sorted.into_boxed_slice()))
    }

    pub(crate) fn scopes_are_bitmaps(&self) -> bool {
        self.count::<Name>(Section::Scopes) as usize <= SCOPES_IN_BITMAP_MAX
    }

    /// The lowest scope that both rows and the token hold.
    pub(crate) fn common_scope(&self, first: RowRef, second: RowRef, token: &TokenScopes) -> Option<ScopeId> {
        if self.scopes_are_bitmaps() {
            self.common_bit(first, second, token)
        } else {
            self.common_entry(first, second, token)
        }
    }

    fn common_bit(&self, first: RowRef, second: RowRef, token: &TokenScopes) -> Option<ScopeId> {
        let (first, _) = self.line(Section::ScopeRows, first.start)?.as_chunks::<8>();
        let (second, _) = self.line(Section::ScopeRows, second.start)?.as_chunks::<8>();
        first.iter().zip(second).enumerate().find_map(|(index, (first, second))| {
            trace::row_words(1);
            let common = u64::from_le_bytes(*first) & u64::from_le_bytes(*second) & token.word(index);
            (common != 0).then(|| ScopeId((index * 64) as u16 + common.trailing_zeros() as u16))
        })
    }

    /// Goes through the shorter row and looks each entry up in the longer: a route is in few scopes.
    fn common_entry(&self, first: RowRef, second: RowRef, token: &TokenScopes) -> Option<ScopeId> {
        let (shorter, longer) = if first.count <= second.count { (first, second) } else { (second, first) };
        let (shorter, longer) = (self.sorted_row(shorter)?, self.sorted_row(longer)?);
        let common = shorter.iter().map(|entry| u16::from_le_bytes(*entry)).find(|scope| {
            let stands = |entry: &[u8; 2]| {
                trace::row_words(1);
                u16::from_le_bytes(*entry)
            };
            token.contains(*scope) && longer.binary_search_by_key(scope, stands).is_ok()
        })?;
        Some(ScopeId(common))
    }

    pub(crate) fn sorted_row(&self, row: RowRef) -> Option<&[[u8; 2]]> {
        trace::bytes(Section::ScopeRows, row.start as usize * 2, usize::from(row.count) * 2);
        let (entries, _) = self.section(Section::ScopeRows).as_chunks::<2>();
        entries.get(row.start as usize..)?.get(..usize::from(row.count))
    }

    /// Whether a row lies inside its section.
    pub(crate) fn row_is_inside(&self, row: RowRef) -> bool {
        if self.scopes_are_bitmaps() {
            (row.start as usize) < self.section(Section::ScopeRows).len() / LINE_BYTES
        } else {
            self.sorted_row(row).is_some()
        }
    }
}
