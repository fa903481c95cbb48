//! `serve`: the HTTP service and the scheduled jobs, until a signal. A database without keys gets one admin key, which is
//! printed once, with a line that works as it stands.

use super::{Failure, Outcome};
use crate::config::{ServeFlags, Settings};
use crate::flow::Farthing;
use crate::flow::access::{KeyWish, Scope};
use crate::flow::deliver::all_jobs;
use crate::flow::intake::Intake;
use crate::flow::report::definitions;
use crate::http::{self, Service};
use crate::jobs;
use crate::scratch;
use crate::store::without_password;
use axum::serve::ListenerExt;
use clap::Args;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    pub flags: ServeFlags,
}

/// How long requests that are under way may take to end after a signal.
const FAREWELL: Duration = Duration::from_secs(30);
/// How long the others leave the first key to one process.
const FIRST_KEY: Duration = Duration::from_secs(5);

impl Serve {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let definitions = definitions(settings.reports.as_deref()).map_err(|e| Failure::Usage(e.to_string()))?;
        let jobs = all_jobs(&definitions);
        let farthing = Farthing::open(&settings.store, &settings.catalogs).await?;
        farthing.store.know_keys().await?;
        let farthing = Arc::new(farthing.with_segments(settings.segments.clone()).with_signer(settings.signer.clone()));
        let listener = TcpListener::bind(settings.listen).await;
        let listener = listener.map_err(|e| Failure::Io(format!("cannot listen on {}: {e}", settings.listen)))?;
        let address = listener.local_addr().map_err(|e| Failure::Io(e.to_string()))?;
        println!("farthing {} serves http://{address} with {}", env!("CARGO_PKG_VERSION"), without_password(&settings.store.url));
        greet(&farthing, settings, address).await?;

        tokio::task::spawn_blocking(clear_scratch);

        let intake = Intake::start(farthing.clone(), settings.queue_bytes);
        let (recurring, mut at_work) = jobs::start(&farthing, settings.jobs.clone(), &jobs);
        let work = http::Work { reports: definitions.reports, jobs, recurring };
        let service = Service::new(farthing.clone(), intake, settings.limits, work);
        tracing::info!(%address, database = %without_password(&settings.store.url), "serving");
        log_heads(&farthing).await?;

        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let leaving = leave_on_signal(service.clone());
        let (told, gone) = tokio::sync::oneshot::channel();
        let server = axum::serve(listener, http::router(service.clone())).with_graceful_shutdown(async move {
            leaving.await;
            let _ = told.send(());
        });
        tokio::select! {
            ended = server => ended.map_err(|e| Failure::Io(format!("the service ended: {e}")))?,
            () = async { let _ = gone.await; tokio::time::sleep(FAREWELL).await } => {
                tracing::warn!("some requests did not end in time and are cut off");
            }
        }
        service.intake.drain().await;
        // None of them loses anything where it stops; what it did last would fail once the database is closed.
        at_work.shutdown().await;
        log_heads(&farthing).await?;
        farthing.store.close().await;
        tracing::info!("stopped; everything that was acknowledged is in the book");
        Ok(())
    }
}

/// What processes left behind that were killed while they wrote.
fn clear_scratch() {
    match scratch::clear_abandoned() {
        Ok(0) => {}
        Ok(cleared) => tracing::info!(cleared, "removed directories of processes that were killed"),
        Err(error) => tracing::warn!(%error, "the directory for temporary files cannot be looked through"),
    }
}

/// On a database without keys: the admin key, once, and a first event to try.
async fn greet(farthing: &Farthing, settings: &Settings, address: SocketAddr) -> Outcome {
    // Of several processes that start at once one makes the key. Whoever gets the lease late looks once more.
    if farthing.store.has_keys().await?
        || !jobs::leased(farthing, "first key", FIRST_KEY).await
        || farthing.store.has_keys().await?
    {
        return Ok(());
    }
    let org = farthing.store.org(&settings.org).await?;
    let wish = KeyWish { scopes: vec![Scope::Admin], note: Some("first key".to_owned()), ..KeyWish::default() };
    let key = farthing.create_key(org, &wish).await?;
    let event = r#"{"id":"first","source":"curl","provider":"openai","model":"gpt-4o-mini","usage":{"input":1000,"output":200}}"#;
    println!("\nThis is the admin key; it is shown this once:\n\n  {key}\n\nA first event:\n");
    println!("  curl -s http://{address}/v1/events -H 'Authorization: Bearer {key}' -d '{event}'\n");
    println!("and what it cost:\n");
    println!("  curl -s 'http://{address}/v1/reports/spend?group_by=model' -H 'Authorization: Bearer {key}'\n");
    Ok(())
}

/// Writes where every book stands into the log: a log kept elsewhere then bears witness to heads that nobody who can
/// write the database can change.
async fn log_heads(farthing: &Farthing) -> Outcome {
    for (org, name) in farthing.store.orgs().await? {
        let head = farthing.store.head(org).await?;
        tracing::info!(org = %name, block = %head.block, hash = %head.hash, "the head of the book");
    }
    Ok(())
}

/// Resolves at the first signal to end; a second one ends the process where it stands, which loses nothing that was
/// acknowledged.
async fn leave_on_signal(service: Arc<Service>) {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        _ => return std::future::pending().await,
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: requests under way are answered, nothing new is taken");
    service.closing.store(true, Ordering::Relaxed);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
}
