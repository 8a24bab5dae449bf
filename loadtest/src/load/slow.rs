//! A connection that reads slowly: what a target keeps for such a one is the target's cost, and the others must not
//! notice.

use std::rc::Rc;
use std::time::Duration;

use super::connection::Slot;
use super::first::first;
use super::plan::Requests;
use super::response::{LastHead, Reader};
use super::worker::Shared;

/// How often it reads.
const TICK: Duration = Duration::from_millis(20);
/// Kernel's receive buffer: small, or the kernel would read for it.
const RECEIVE_BYTES: usize = 4 << 10;

/// Until the slice is over: requests one after the other, each response read at `bytes_per_second`. Errors end the
/// connection and are counted; the next is opened a tick later.
pub(super) async fn read(shared: Rc<Shared>, requests: Rc<Requests>) {
    // A target that does not even accept must not hold up the end of the slice.
    first(read_on(&shared, &requests), over(&shared)).await;
}

async fn over(shared: &Shared) {
    while shared.goes_on(shared.now_ns()) {
        monoio::time::sleep(TICK).await;
    }
}

async fn read_on(shared: &Shared, requests: &Requests) {
    while shared.goes_on(shared.now_ns()) {
        if one(shared, requests).await.is_none() && shared.goes_on(shared.now_ns()) {
            shared.failed(|| "a slow reader's connection broke".to_owned(), |errors| &mut errors.reset);
            monoio::time::sleep(TICK).await;
        }
    }
}

/// One response, or as much of it as the slice has time for; none when it broke.
async fn one(shared: &Shared, requests: &Requests) -> Option<()> {
    let slow = shared.plan.slow_readers?;
    let mut stream = Slot::default().connect(shared, Some(RECEIVE_BYTES)).await.ok()?;
    let request = shared.next(requests)?;
    let mut rest = request.bytes();
    while !rest.is_empty() {
        match stream.send(rest) {
            Ok(count) => rest = rest.get(count..)?,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => stream.ready().await.ok()?,
            Err(_) => return None,
        }
    }
    let (mut reader, mut last) = (Reader::default(), LastHead::default());
    let started_ns = shared.now_ns();
    let mut taken = 0_u64;
    loop {
        monoio::time::sleep(TICK).await;
        let now_ns = shared.now_ns();
        if !shared.goes_on(now_ns) {
            return Some(());
        }
        let passed_ns = u128::from(now_ns.saturating_sub(started_ns));
        let allowed = u64::try_from(passed_ns * u128::from(slow.bytes_per_second) / 1_000_000_000).unwrap_or(u64::MAX);
        while taken < allowed {
            let most = usize::try_from(allowed - taken).unwrap_or(usize::MAX);
            let mut block = shared.block.borrow_mut();
            let length = most.min(block.len());
            let into = block.get_mut(..length)?;
            let count = match stream.receive(into) {
                Ok(0) => return reader.close().map(drop),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return None,
            };
            taken += count as u64;
            shared.slice.borrow_mut().slow_bytes += count as u64;
            if reader.take(into.get(..count)?, request.head_only(), &mut last).ok()?.is_some() {
                shared.slice.borrow_mut().slow_requests += 1;
                return Some(());
            }
        }
    }
}
