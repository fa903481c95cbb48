//! The HTTP service: the router on one screen. Each resource has a file with its bodies, its replies and its handlers;
//! what they do is a flow's business. `openapi.yaml` describes the same routes, and a test holds the two together.

mod accounts;
mod adjustments;
mod answer;
mod caller;
mod catalog;
mod conflicts;
mod dialects;
mod docs;
mod entries;
mod events;
mod exports;
mod held;
mod jobs;
mod keys;
mod metrics;
mod names;
mod notices;
mod periods;
mod problem;
mod quote;
mod receive;
mod reconciliations;
mod rejected;
mod reports;
mod rerate;
mod service;
mod suspects;
mod traces;
pub mod wire;

pub use metrics::Metrics;
pub use problem::Problem;

use crate::flow::Farthing;
use crate::flow::deliver::Job;
use crate::flow::intake::Intake;
use crate::flow::runs::Recurring;
use crate::report::named::Named;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{delete, get, post};
use caller::Callers;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What every handler has at hand.
pub struct Service {
    pub farthing: Arc<Farthing>,
    pub intake: Intake,
    pub limits: Limits,
    pub work: Work,
    pub metrics: Metrics,
    callers: Callers,
    /// A place for each export that may be written at once.
    exports: Arc<Semaphore>,
    /// Set when the service begins to shut down: it is not ready any more.
    pub closing: AtomicBool,
}

/// What can be asked by name, and what happens by itself.
pub struct Work {
    pub reports: Vec<Named>,
    pub jobs: Vec<Job>,
    pub recurring: Vec<Recurring>,
}

/// How much one request may bring and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a body, before and after decompression.
    pub body: usize,
    pub body_timeout: Duration,
    /// Exports that are written at once.
    pub exports: usize,
}

type App = axum::extract::State<Arc<Service>>;

impl Service {
    pub fn new(farthing: Arc<Farthing>, intake: Intake, limits: Limits, work: Work) -> Arc<Service> {
        let (metrics, callers) = (Metrics::default(), Callers::default());
        let exports = Arc::new(Semaphore::new(limits.exports));
        Arc::new(Service { farthing, intake, limits, work, metrics, callers, exports, closing: AtomicBool::new(false) })
    }
}

pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/events", post(events::create))
        .route("/v1/events/{source}/{id}", get(events::show))
        .route("/v1/ingest/{dialect}", post(dialects::create).put(dialects::create))
        .route("/v1/spend/log", post(dialects::spend))
        .route("/api/v1/sessions/{session}/provider-calls", post(dialects::provider_calls))
        .route("/api/v1/provider-usage", post(dialects::provider_usage))
        .route("/v1/traces", post(traces::create).put(traces::create))
        .route("/api/public/otel/v1/traces", post(traces::create))
        .route("/api/public/ingestion", post(dialects::langfuse))
        .route("/api/v1/events", post(dialects::openmeter))
        .route("/custom/v1/log", post(dialects::helicone))
        .route("/v1/quote", post(quote::create))
        .route("/v1/entries", get(entries::list))
        .route("/v1/entries/{id}", get(entries::show))
        .route("/v1/held", get(held::list))
        .route("/v1/held/retry", post(held::retry))
        .route("/v1/conflicts", get(conflicts::list))
        .route("/v1/conflicts/{id}/accept", post(conflicts::accept))
        .route("/v1/conflicts/{id}/dismiss", post(conflicts::dismiss))
        .route("/v1/suspects", get(suspects::list))
        .route("/v1/suspects/{id}/accept", post(suspects::accept))
        .route("/v1/suspects/{id}/dismiss", post(suspects::dismiss))
        .route("/v1/rejected", get(rejected::list))
        .route("/v1/rejected/retry", post(rejected::retry))
        .route("/v1/reports", get(reports::list))
        .route("/v1/reports/{name}", get(reports::show))
        .route("/v1/exports/focus", get(exports::focus::show))
        .route("/v1/sheets", get(reports::sheet))
        .route("/v1/exports/entries", get(exports::entries::show))
        .route("/v1/catalog/versions", get(catalog::versions).post(catalog::publish))
        .route("/v1/catalog/versions/{version}", get(catalog::version))
        .route("/v1/catalog/versions/{version}/parts/{part}", get(catalog::part))
        .route("/v1/catalog/diff", get(catalog::diff))
        .route("/v1/catalog/price", get(catalog::price_of))
        .route("/v1/catalog/import/{source}", post(catalog::import))
        .route("/v1/catalog/rollback/{version}", post(catalog::roll_back))
        .route("/v1/catalog/fetches", get(notices::fetches))
        .route("/v1/rerate", post(rerate::create))
        .route("/v1/accounts", get(accounts::list))
        .route("/v1/balances", get(accounts::list))
        .route("/v1/adjustments", get(adjustments::list).post(adjustments::create))
        .route("/v1/periods", get(periods::list))
        .route("/v1/periods/{period}/close", post(periods::close))
        .route("/v1/periods/{period}/reopen", post(periods::reopen))
        .route("/v1/statements", get(reconciliations::statements).post(reconciliations::import))
        .route("/v1/statements/{id}", get(reconciliations::statement))
        .route("/v1/reconciliations", get(reconciliations::list).post(reconciliations::create))
        .route("/v1/reconciliations/page", get(reconciliations::page::show))
        .route("/v1/reconciliations/{id}", get(reconciliations::show))
        .route("/v1/reconciliations/{id}/variances", get(reconciliations::variances))
        .route("/v1/reconciliations/{id}/proposals", get(reconciliations::proposals))
        .route("/v1/reconciliations/{id}/true-ups", post(reconciliations::true_ups))
        .route("/v1/notices", get(notices::list))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/names/{kind}/{text}", delete(names::erase))
        .route("/v1/verify", get(service::verify))
        .route("/healthz", get(service::healthz))
        .route("/readyz", get(service::readyz))
        .route("/metrics", get(metrics::show))
        .route("/openapi.json", get(service::openapi))
        .route("/docs", get(docs::show))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        // Bodies are read by hand, so that a request waits for room before it brings anything.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(service.clone(), metrics::measure))
        .with_state(service)
}
