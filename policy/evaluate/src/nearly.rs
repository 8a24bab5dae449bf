//! What is spelt almost the same.

/// The candidate that differs least from `wanted`, if one is near.
pub(crate) fn nearest<'c>(wanted: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let bound = wanted.chars().count() / 3 + 1;
    let distances = candidates.map(|candidate| (distance(wanted, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= bound).min().map(|(_, candidate)| candidate)
}

/// Edits of one character that lead from one text to the other (Levenshtein).
pub(crate) fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, left) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        for (place, right) in row.iter_mut().skip(1).zip(&other) {
            let changed = diagonal + usize::from(left != *right);
            diagonal = *place;
            before = changed.min(before + 1).min(*place + 1);
            *place = before;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
