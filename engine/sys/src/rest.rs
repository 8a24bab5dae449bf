//! Memory that its owner keeps but does not need for a while.

/// Zeroes the whole pages in `bytes` by giving them back to the kernel, until somebody writes there again. What lies before
/// the first whole page and after the last one stays as it is.
pub fn give_back(bytes: &mut [u8]) {
    let page = crate::huge::page_bytes();
    let before = bytes.as_ptr().align_offset(page);
    let Some(pages) = bytes.get_mut(before..) else { return };
    let length = pages.len() / page * page;
    if length == 0 {
        return;
    }
    // JUSTIFICATION: advice on memory has no safe interface.
    // SAFETY: the pages lie within memory that we borrow mutably, and any bytes are valid there afterwards. A kernel that
    // refuses leaves them as they are.
    let _ = unsafe { libc::madvise(pages.as_mut_ptr().cast(), length, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pages_become_zero_and_their_neighbours_stay() {
        let page = crate::huge::page_bytes();
        let mut bytes = vec![7_u8; 4 * page];
        let first = bytes.as_ptr().align_offset(page);
        let part = bytes.get_mut(first + 1..first + 2 * page + 1).unwrap();
        give_back(part);
        let zeroed = first + page..first + 2 * page;
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == if zeroed.contains(&at) { 0 } else { 7 }));
        give_back(bytes.get_mut(first..first + page - 1).unwrap());
        assert_eq!(bytes.get(first), Some(&7), "less than a page is nothing to give back");
        give_back(&mut []);
    }
}
