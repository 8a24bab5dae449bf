//! Two futures, until the first is done.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Which was done first; the other is dropped.
pub(super) enum First<A, B> {
    Left(A),
    Right(B),
}

pub(super) async fn first<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| {
        if let Poll::Ready(value) = left.as_mut().poll(context) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(context).map(First::Right)
    })
    .await
}
