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
use std::time::{Duration, Instant};
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

/// How large a piece is.
const PIECE: usize = 256 << 10;
const RETRY_AFTER: u32 = 10;
/// Whoever takes nothing for so long keeps a place from others, and loses it.
const PATIENCE: Duration = Duration::from_secs(120);
/// And so does whoever takes less than this a second in the long run: a gigabyte would keep a place for days.
const SLOWEST: u64 = 64 << 10;

/// How long whoever takes pieces kept others waiting, and for how much.
#[derive(Clone, Copy, Default)]
struct Pace {
    waited: Duration,
    taken: u64,
}

impl Pace {
    /// How long the next piece may take.
    fn patience(self) -> Duration {
        let at_least = PATIENCE + Duration::from_secs(self.taken / SLOWEST);
        at_least.saturating_sub(self.waited).min(PATIENCE)
    }

    fn took(&mut self, bytes: usize, long: Duration) {
        self.waited += long;
        self.taken += bytes as u64;
    }
}

/// Where pieces go.
pub struct Taker {
    to: mpsc::Sender<io::Result<Bytes>>,
    pace: Pace,
}

impl Taker {
    /// Hands a piece on.
    pub async fn hand_on(&mut self, piece: Bytes) -> Result<(), String> {
        let (length, patience, began) = (piece.len(), self.pace.patience(), Instant::now());
        let sent = tokio::time::timeout(patience, self.to.send(Ok(piece))).await;
        self.pace.took(length, began.elapsed());
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("whoever asked for it hung up".to_owned()),
            Err(_) if patience == PATIENCE => {
                Err(format!("whoever asked for it took nothing for {} seconds", PATIENCE.as_secs()))
            }
            Err(_) => Err(format!("whoever asked for it took less than {} kB a second", SLOWEST >> 10)),
        }
    }

    /// Says that this was all, or why it is not.
    pub async fn end(self, end: io::Result<()>) {
        // An empty piece is the end. Whoever does not take even that is not waited for.
        let _ = tokio::time::timeout(self.pace.patience(), self.to.send(end.map(|()| Bytes::new()))).await;
    }
}

/// The pieces of a body as they are made, up to an empty one. If there is none, whoever made them is gone: an error ends it.
pub struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Pieces {
    /// A body, and where its pieces go; whoever sends them waits for whoever reads them.
    pub fn body() -> (Taker, Body) {
        let (to, pieces) = mpsc::channel(4);
        (Taker { to, pace: Pace::default() }, Body::new(Pieces(pieces)))
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
            let (mut taker, body) = Pieces::body();
            for piece in pieces {
                taker.hand_on(Bytes::from(*piece)).await.unwrap();
            }
            drop(taker);
            let collected = body.collect().await.ok().map(|body| body.to_bytes());
            assert_eq!(collected.as_deref(), expected.map(str::as_bytes));
        }
    }

    #[test]
    fn whoever_takes_little_for_long_loses_the_place() {
        // Pieces that are taken, each after so many seconds, before one comes too late.
        let taken = |seconds: u64| {
            let (mut pace, pause) = (Pace::default(), Duration::from_secs(seconds));
            let in_time = |pace: &mut Pace| {
                let is_in_time = pause <= pace.patience();
                pace.took(PIECE, pause);
                is_in_time
            };
            (0..10_000).take_while(|_| in_time(&mut pace)).count()
        };
        assert_eq!(taken(4), 10_000, "four seconds for 256 kB are the slowest pace");
        assert_eq!(taken(5), 116, "one second too slow each time, until less than five of the two minutes are left");
        assert_eq!((taken(120), taken(121)), (1, 0));
    }
}
