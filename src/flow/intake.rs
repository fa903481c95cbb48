//! Intake: bodies are cut into events, and one committer takes whatever has queued up into its next commit. While one
//! commit waits for the disk the next one gathers, so the batches grow with the load and there is no timer. The queue is
//! bounded in bytes; a request waits for room before its body is even read.

use crate::flow::ingest::{NotCommitted, Outcome, Prepared};
use crate::flow::rejected::id_of;
use crate::flow::{Farthing, FlowError};
use crate::id::Org;
use crate::store::{OnceKey, RejectedBody};
use crate::usage::dialect::{Context, Dialect, Piece, Told};
use crate::usage::reading::{Problem, Rejected};
use crate::usage::{Claimed, Text, otlp};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// A piece of a body, and what it tells.
#[derive(Debug)]
pub struct Received<'a> {
    pub index: usize,
    /// The line it is on, where lines are what separates events.
    pub line: Option<usize>,
    pub piece: Piece<'a>,
    pub told: Result<Told, Rejected>,
}

/// A piece with what became of it.
#[derive(Debug)]
pub struct Taken {
    pub index: usize,
    pub line: Option<usize>,
    pub id: Option<String>,
    /// What its gateway computed by itself.
    pub claimed: Option<Claimed>,
    pub outcome: Outcome,
}

/// A body's pieces, sorted into events that are ready to be committed and what needs no commit.
#[derive(Debug)]
pub struct Sorted {
    taken: Vec<Taken>,
    prepared: Vec<Prepared>,
    /// Where in `taken` each prepared event's answer goes.
    places: Vec<usize>,
}

/// A body that cannot be cut into events at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at line {line}, column {column}")]
pub struct Unreadable {
    pub what: String,
    pub line: usize,
    pub column: usize,
}

/// How the events of a body are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One object, or an array of them: all of it is JSON or none of it counts.
    Json,
    /// One object a line; a broken line is one rejected event.
    Lines,
    /// A trace export in protobuf.
    Protobuf,
}

/// Cuts a body into events and reads each of them. A bad event never stops the others.
pub fn read<'a>(body: &'a [u8], framing: Framing, dialect: Dialect, context: &Context) -> Result<Vec<Received<'a>>, Unreadable> {
    match framing {
        Framing::Json => read_json(text(body)?, dialect, context),
        Framing::Lines => Ok(read_lines(body, dialect, context)),
        Framing::Protobuf => read_protobuf(body, dialect, context),
    }
}

fn read_protobuf<'a>(body: &'a [u8], dialect: Dialect, context: &Context) -> Result<Vec<Received<'a>>, Unreadable> {
    // A body without lines is one long line.
    let spans = otlp::protobuf::cut(body).map_err(|e| Unreadable {
        what: format!("broken protobuf: {}", e.what),
        line: 1,
        column: e.at + 1,
    })?;
    let read = |(index, span)| {
        let piece = Piece::Span(span);
        let told = dialect.read(&piece, context);
        Received { index, line: None, piece, told }
    };
    Ok(spans.into_iter().enumerate().map(read).collect())
}

fn read_json<'a>(text: &'a str, dialect: Dialect, context: &Context) -> Result<Vec<Received<'a>>, Unreadable> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|e| {
        let said = e.to_string();
        let what = said.split(" at line ").next().unwrap_or_default();
        Unreadable { what: format!("broken JSON: {what}"), line: e.line(), column: e.column() }
    })?;
    let mut received = Vec::new();
    read_pieces(whole.get(), None, dialect, context, &mut received);
    Ok(received)
}

fn read_lines<'a>(body: &'a [u8], dialect: Dialect, context: &Context) -> Vec<Received<'a>> {
    let lines = body.split(|byte| *byte == b'\n').zip(1..).filter(|(line, _)| !line.trim_ascii().is_empty());
    let mut received = Vec::new();
    lines.for_each(|(line, number)| read_line(number, line.trim_ascii(), dialect, context, &mut received));
    received
}

/// One line of a body of lines.
pub fn read_line<'a>(number: usize, line: &'a [u8], dialect: Dialect, context: &Context, received: &mut Vec<Received<'a>>) {
    let broken = |what: String| Err(Rejected::new(format!("line {number}"), Problem::Syntax(what)));
    let (json, told) = match std::str::from_utf8(line) {
        Err(e) => ("", broken(format!("not UTF-8 at byte {}", e.valid_up_to() + 1))),
        Ok(json) => match serde_json::from_str::<&RawValue>(json) {
            Err(e) => (json, broken(format!("column {}: {e}", e.column()))),
            Ok(whole) => return read_pieces(whole.get(), Some(number), dialect, context, received),
        },
    };
    received.push(Received { index: received.len(), line: Some(number), piece: Piece::Json(json), told });
}

/// All that a JSON text tells of. One that cannot be cut is one piece that tells nothing.
fn read_pieces<'a>(json: &'a str, line: Option<usize>, dialect: Dialect, context: &Context, received: &mut Vec<Received<'a>>) {
    let mut add = |piece: Piece<'a>, told| received.push(Received { index: received.len(), line, piece, told });
    match dialect.cut(json) {
        Ok(pieces) => pieces.into_iter().for_each(|piece| {
            let told = dialect.read(&piece, context);
            add(piece, told);
        }),
        Err(why) => add(Piece::Json(json), Err(why)),
    }
}

fn text(body: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(body).map_err(|e| {
        let before = &body[..e.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Unreadable { what: "not UTF-8".to_owned(), line, column }
    })
}

/// Different events under one id that a body may have. Each but the first is a conflict that a person has to look at.
const MOST_CONTENTS: usize = 64;

impl Farthing {
    /// Rates what is an event and keeps what is not, without its content. A caller that is bound to a source cannot speak
    /// for another.
    pub async fn sort(
        &self,
        org: Org,
        received: Vec<Received<'_>>,
        dialect: Dialect,
        context: &Context,
        bound_to: Option<&Text>,
    ) -> Result<Sorted, FlowError> {
        let in_force = self.in_force(org).await?;
        let (mut taken, mut prepared) = (Vec::with_capacity(received.len()), Vec::with_capacity(received.len()));
        let (mut places, mut kept) = (Vec::with_capacity(received.len()), Vec::new());
        let mut said: HashSet<(OnceKey, [u8; 16])> = HashSet::with_capacity(received.len());
        let mut contents: HashMap<OnceKey, usize> = HashMap::with_capacity(received.len());
        for Received { index, line, piece, told } in received {
            // A large body must not keep the others from being served.
            if index % 256 == 255 {
                tokio::task::yield_now().await;
            }
            let ready = match told.and_then(|told| from_own_source(told, bound_to)) {
                Ok(Told::Event(event)) => self.prepare(org, &in_force, *event),
                Ok(Told::Update(event)) => self.prepare_update(org, &in_force, *event),
                Ok(Told::Nothing(why)) => {
                    taken.push(Taken { index, line, id: None, claimed: None, outcome: Outcome::Ignored(why) });
                    continue;
                }
                Err(why) => {
                    kept.push(RejectedBody::of(dialect, &piece, &why, context));
                    taken.push(Taken { index, line, id: id_of(&piece), claimed: None, outcome: Outcome::Rejected(why) });
                    continue;
                }
            };
            let contents = contents.entry(ready.key).or_default();
            *contents += usize::from(said.insert((ready.key, ready.content)));
            if *contents > MOST_CONTENTS {
                let why = format!("one id for more than {MOST_CONTENTS} different events of a body is no id");
                let why = Rejected::new("id", Problem::Contradiction(why));
                kept.push(RejectedBody::of(dialect, &piece, &why, context));
                let (id, claimed) = (id_of(&piece), None);
                taken.push(Taken { index, line, id, claimed, outcome: Outcome::Rejected(why) });
                continue;
            }
            places.push(taken.len());
            let (id, claimed) = (Some(ready.event.id.to_string()), ready.event.claimed);
            taken.push(Taken { index, line, id, claimed, outcome: Outcome::AlreadyPresent });
            prepared.push(ready);
        }
        if !kept.is_empty() {
            self.store.keep_rejected(org, &kept).await?;
        }
        Ok(Sorted { taken, prepared, places })
    }
}

fn from_own_source(told: Told, bound_to: Option<&Text>) -> Result<Told, Rejected> {
    match (&told, bound_to) {
        (Told::Event(event) | Told::Update(event), Some(own)) if event.source != *own => {
            let why = format!("this key sends as {own}, not as {}", event.source);
            Err(Rejected::new("source", Problem::Contradiction(why)))
        }
        _ => Ok(told),
    }
}

impl Sorted {
    /// Commits without the queue, for whoever brings events one page after the other.
    pub async fn commit_by(mut self, farthing: &Farthing) -> Result<Vec<Taken>, NotCommitted> {
        let outcomes = farthing.commit_events(&self.prepared, || false).await?;
        for (place, outcome) in self.places.into_iter().zip(outcomes) {
            self.taken[place].outcome = outcome;
        }
        Ok(self.taken)
    }

    /// Commits what is to be committed; the answers are in the order of the body.
    pub async fn commit(mut self, intake: &Intake, room: Room) -> Result<Vec<Taken>, NotTaken> {
        for (place, outcome) in self.places.into_iter().zip(intake.submit(self.prepared, room).await?) {
            self.taken[place].outcome = outcome;
        }
        Ok(self.taken)
    }
}

/// The queue in front of the committer.
pub struct Intake {
    queue: mpsc::UnboundedSender<Submission>,
    room: Arc<Semaphore>,
    /// All the room there is, in blocks.
    all_room: u32,
    closing: Arc<AtomicBool>,
    pub figures: Arc<Figures>,
}

/// What the committer has done so far.
#[derive(Default)]
pub struct Figures {
    pub commits: AtomicU64,
    pub events: AtomicU64,
    pub failures: AtomicU64,
}

/// Room in the queue for the bytes of one body; it is given back when the body's events are answered.
pub struct Room(OwnedSemaphorePermit);

struct Submission {
    events: Vec<Prepared>,
    reply: oneshot::Sender<Result<Vec<Outcome>, NotCommitted>>,
    _room: Room,
}

/// Why events were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    #[error("the queue is full; send again later")]
    Full,
    #[error("the service is shutting down; send again")]
    Closing,
    #[error("the events could not be committed: {0}")]
    NotCommitted(String),
}

/// Events of one commit; beyond this a commit only gets longer, not cheaper.
const MOST_EVENTS: usize = 10_000;
/// Room is counted in blocks of this many bytes.
const ROOM_BLOCK: usize = 1_024;
/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(5);

impl Intake {
    /// Starts the committer. `room` is how many bytes of bodies may be in memory at once.
    pub fn start(farthing: Arc<Farthing>, room: usize) -> Intake {
        let (queue, submissions) = mpsc::unbounded_channel();
        let closing = Arc::new(AtomicBool::new(false));
        let figures = Arc::new(Figures::default());
        let committer = tokio::spawn(commit_all(farthing, submissions, closing.clone(), figures.clone()));
        tokio::spawn(async move {
            // Without a committer nothing can be taken; whoever watches this process starts it again, and nothing that was
            // answered is lost.
            if committer.await.is_err_and(|e| e.is_panic()) {
                tracing::error!("the committer broke down; the process ends");
                std::process::exit(70);
            }
        });
        let all_room = u32::try_from(room / ROOM_BLOCK).unwrap_or(u32::MAX);
        Intake { queue, room: Arc::new(Semaphore::new(all_room as usize)), all_room, closing, figures }
    }

    /// Waits for room for a body.
    pub async fn room(&self, bytes: usize) -> Result<Room, NotTaken> {
        let blocks = u32::try_from(bytes.div_ceil(ROOM_BLOCK).max(1)).map_err(|_| NotTaken::Full)?;
        match tokio::time::timeout(PATIENCE, self.room.clone().acquire_many_owned(blocks)).await {
            Ok(Ok(permit)) => Ok(Room(permit)),
            Ok(Err(_)) => Err(NotTaken::Closing),
            Err(_) => Err(NotTaken::Full),
        }
    }

    /// Bytes of bodies that may still come.
    pub fn free_room(&self) -> usize {
        self.room.available_permits() * ROOM_BLOCK
    }

    /// Commits events; the answer comes when they are on disk.
    pub async fn submit(&self, events: Vec<Prepared>, room: Room) -> Result<Vec<Outcome>, NotTaken> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        self.queue.send(Submission { events, reply, _room: room }).map_err(|_| NotTaken::Closing)?;
        match answer.await {
            Ok(Ok(outcomes)) => Ok(outcomes),
            Ok(Err(NotCommitted::Data(why) | NotCommitted::Away(why) | NotCommitted::Lasting(why))) => {
                Err(NotTaken::NotCommitted(why))
            }
            Err(_) => Err(NotTaken::Closing),
        }
    }

    /// Commits what has queued; nothing new is taken from now on. All room is free again when everything is answered.
    pub async fn drain(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let everything = self.room.acquire_many(self.all_room).await;
        self.room.close();
        drop(everything);
    }
}

impl Room {
    /// A body turned out larger than it said: the further room is part of this one.
    pub fn merge(&mut self, other: Room) {
        self.0.merge(other.0);
    }
}

async fn commit_all(
    farthing: Arc<Farthing>,
    mut submissions: mpsc::UnboundedReceiver<Submission>,
    closing: Arc<AtomicBool>,
    figures: Arc<Figures>,
) {
    while let Some(first) = submissions.recv().await {
        let mut batch = vec![first];
        let mut count = batch[0].events.len();
        while count < MOST_EVENTS {
            let Ok(next) = submissions.try_recv() else { break };
            count += next.events.len();
            batch.push(next);
        }
        let mut events = Vec::with_capacity(count);
        let mut replies = Vec::with_capacity(batch.len());
        for Submission { events: of_one, reply, _room } in batch {
            replies.push((of_one.len(), reply, _room));
            events.extend(of_one);
        }
        // While the service runs an absent database is waited for; a service that shuts down gives up.
        let outcomes = farthing.commit_events(&events, || !closing.load(Ordering::Relaxed)).await;
        figures.commits.fetch_add(1, Ordering::Relaxed);
        figures.events.fetch_add(count as u64, Ordering::Relaxed);
        match outcomes {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                for (of_one, reply, _room) in replies {
                    // Whoever is gone already can ask again; the answer is the same.
                    let _ = reply.send(Ok(outcomes.by_ref().take(of_one).collect()));
                }
            }
            Err(e) => {
                figures.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(error = ?e, events = count, "events could not be committed");
                for (_, reply, _room) in replies {
                    let _ = reply.send(Err(e.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    fn context() -> Context {
        Context { received_at: Instant::parse("2026-02-03T12:00:00Z").unwrap(), source: None, strict: false }
    }

    const GOOD: &str = r#"{"id":"a","source":"s","provider":"p","model":"m","usage":{"input":1}}"#;

    #[test]
    fn a_broken_array_says_where_and_gives_nothing() {
        let body = format!("[{GOOD},\n {{\"id\": }}]");
        let unreadable = read(body.as_bytes(), Framing::Json, Dialect::Native, &context()).unwrap_err();
        assert_eq!((unreadable.line, unreadable.column), (2, 9));
        assert_eq!(unreadable.to_string(), "broken JSON: expected value at line 2, column 9");
        let latin1 = read(b"{\"id\":\"a\",\n\"x\":\"\xe9\"}", Framing::Json, Dialect::Native, &context()).unwrap_err();
        assert_eq!(latin1.to_string(), "not UTF-8 at line 2, column 6");
    }

    #[test]
    fn a_broken_line_is_one_rejected_event() {
        let body = format!("{GOOD}\n\n{{oops\n{GOOD}\r\n");
        let received = read(body.as_bytes(), Framing::Lines, Dialect::Native, &context()).unwrap();
        let outcomes: Vec<_> = received.iter().map(|piece| (piece.index, piece.line, piece.told.is_ok())).collect();
        assert_eq!(outcomes, [(0, Some(1), true), (1, Some(3), false), (2, Some(4), true)]);
        let why = received[1].told.as_ref().unwrap_err().to_string();
        assert!(why.starts_with("line 3: broken JSON: column 2: key must be a string"), "{why}");
    }

    #[test]
    fn one_bad_event_does_not_stop_the_others() {
        let body = format!("[{GOOD}, 7, {GOOD}]");
        let received = read(body.as_bytes(), Framing::Json, Dialect::Native, &context()).unwrap();
        let ok: Vec<_> = received.iter().map(|piece| piece.told.is_ok()).collect();
        assert_eq!(ok, [true, false, true]);
    }

    #[test]
    fn absurd_nesting_is_an_event_that_is_no_object() {
        let body = "[".repeat(100_000) + &"]".repeat(100_000);
        let received = read(body.as_bytes(), Framing::Json, Dialect::Native, &context()).unwrap();
        assert_eq!(received[0].told.as_ref().unwrap_err().to_string(), "event: expected an object, found an array");
    }
}
