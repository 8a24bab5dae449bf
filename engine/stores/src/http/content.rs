//! The content of an answer, gathered.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use zeroize::Zeroize as _;

/// Bytes for which there is room at first, where the length is not told.
const BYTES_FIRST: usize = 16 << 10;

/// The content in one piece, so that it costs no more than its length however small the pieces are in which it comes; no error
/// where it is longer than `bytes_max`. What is left behind where it grows is wiped: it may be a secret.
///
/// # Errors
/// None where it is too long; else why it ends before.
pub async fn gathered<B>(mut body: B, bytes_max: usize) -> Result<Bytes, Option<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let told = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let mut content = BytesMut::with_capacity(told.unwrap_or(BYTES_FIRST).min(bytes_max));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Some)?.into_data() else { continue };
        let length = content.len().saturating_add(data.len());
        if length > bytes_max {
            return Err(None);
        }
        if length > content.capacity() {
            let mut larger = BytesMut::with_capacity(length.saturating_mul(2).min(bytes_max));
            larger.extend_from_slice(&content);
            content.as_mut().zeroize();
            content = larger;
        }
        content.extend_from_slice(&data);
    }
    Ok(content.freeze())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;

    use super::*;

    /// As many pieces of one byte.
    struct Pieces(usize);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let next = self.0.checked_sub(1);
            self.0 = next.unwrap_or_default();
            Poll::Ready(next.map(|_| Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test]
    async fn small_pieces_cost_no_more_than_their_length() {
        let many = 5 * BYTES_FIRST + 7;
        let content = gathered(Pieces(many), many).await.unwrap().try_into_mut().unwrap();
        assert_eq!((&*content, content.capacity()), (&*vec![b'x'; many], many));
        assert_eq!(gathered(Pieces(many), many - 1).await, Err(None));
        assert!(gathered(Pieces(0), 0).await.unwrap().is_empty());
    }
}
