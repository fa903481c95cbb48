//! Exports: what the book holds, sent while it is read. An export that breaks off ends its body without the end that HTTP asks
//! for, so that nobody takes a part for the whole.

pub mod entries;
pub mod focus;

use super::{Problem, Service};
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use http_body::Frame;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// A place among the exports that are written at once, until it is dropped. Each reads the book for as long as it takes, so whoever
/// comes when all places are taken is told to come again and does not wait: nobody could say for how long.
pub fn place(service: &Service) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&service.exports).try_acquire_owned().map_err(|_| {
        let detail = format!("{} exports are being written, which is as many as there may be at once", service.limits.exports);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "exports-busy", "Too many exports are being written", detail)
            .hint("ask again later; --max-exports says how many there may be")
            .retry_after(RETRY_AFTER)
    })
}

const RETRY_AFTER: u32 = 10;
/// Whoever takes nothing for so long keeps a place from others, and loses it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Hands a piece on to whoever takes it.
pub async fn hand_on(to: &mpsc::Sender<io::Result<Bytes>>, piece: Bytes) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, to.send(Ok(piece))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err("whoever asked for it hung up".to_owned()),
        Err(_) => Err(format!("whoever asked for it took nothing for {} seconds", PATIENCE.as_secs())),
    }
}

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
