//! Which path shows what.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    middleware,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use tokio::task::spawn_blocking;

use super::{Health, Site, guard::guard, health, page};
use crate::{metrics, printable, snapshot::Snapshot};

/// All routes. `get` answers GET and HEAD, and refuses other methods.
pub(super) fn routes(site: Site) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .with_state(site)
        .fallback(not_found)
        .layer(middleware::from_fn(guard))
}

/// The text says why no answer can be given.
struct Failure(String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            printable::text(&self.0).into_owned() + "\n",
        )
            .into_response()
    }
}

async fn metrics(State(site): State<Site>) -> Result<Response, Failure> {
    let text = read(site, |snapshot, _, labels| {
        metrics::encode(snapshot, labels)
    })
    .await?;
    let text = text.map_err(|error| Failure(error.to_string()))?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

async fn healthz(State(site): State<Site>) -> Result<(StatusCode, String), Failure> {
    let Health { problems, notes } = read(site, |_, health, _| health.clone()).await?;
    let (status, lines) = if problems.is_empty() {
        (StatusCode::OK, [vec!["ok".to_owned()], notes].concat())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, [problems, notes].concat())
    };
    let lines: Vec<_> = lines.iter().map(|line| printable::block(line)).collect();
    Ok((status, lines.join("\n") + "\n"))
}

async fn page(State(site): State<Site>) -> Result<Html<String>, Failure> {
    read(site, page::render).await.map(Html)
}

async fn not_found() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "There are /, /metrics and /healthz.\n",
    )
}

/// Takes a snapshot and shows it. The lock makes readers queue before they
/// take a thread, and admits devices in the order of the snapshots.
async fn read<T: Send + 'static>(
    site: Site,
    show: impl FnOnce(&Snapshot, &Health, &metrics::DeviceLabels) -> T + Send + 'static,
) -> Result<T, Failure> {
    let mut labels = site.labels.lock_owned().await;
    let shown = spawn_blocking(move || {
        let snapshot = (site.read_snapshot)()?;
        labels.admit(&snapshot);
        Ok(show(
            &snapshot,
            &health(&snapshot, &site.interfaces),
            &labels,
        ))
    });
    match shown.await {
        Ok(shown) => shown.map_err(Failure),
        Err(error) => Err(Failure(format!("read the snapshot: {error}"))),
    }
}
