//! Exports: what the book holds, sent while it is read. An export that breaks off ends its body without the end that HTTP asks
//! for, so that nobody takes a part for the whole.

pub mod entries;
pub mod focus;

use axum::body::{Body, Bytes};
use http_body::Frame;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The pieces of a body as they are made, up to an empty one. If there is none, whoever made them is gone: an error ends it.
pub struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Pieces {
    /// A body, and where its pieces go; whoever sends them waits for whoever reads them.
    pub fn body() -> (mpsc::Sender<io::Result<Bytes>>, Body) {
        let (to, pieces) = mpsc::channel(4);
        (to, Body::new(Pieces(pieces)))
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| match piece {
            Some(Ok(piece)) if piece.is_empty() => None,
            Some(piece) => Some(piece.map(Frame::data)),
            None => Some(Err(io::Error::other("the export broke off"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_body_without_an_end_is_an_error() {
        for (pieces, expected) in [(&["a", "b", ""][..], Some("ab")), (&["a"], None), (&[], None)] {
            let (to, body) = Pieces::body();
            for piece in pieces {
                to.send(Ok(Bytes::from(*piece))).await.unwrap();
            }
            drop(to);
            let collected = body.collect().await.ok().map(|body| body.to_bytes());
            assert_eq!(collected.as_deref(), expected.map(str::as_bytes));
        }
    }
}
