//! The paths of the endpoint, and the answer to each.

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, VARY},
    },
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use super::{
    Access, Health, Site, accept, changes, health, page,
    request_check::{Door, check_request},
};
use crate::{metrics, printable, snapshot::Snapshot};

/// How long a snapshot may take. After this time the endpoint answers that the
/// daemon hangs.
const SNAPSHOT_TIME: Duration = Duration::from_secs(10);

/// Returns a router with all paths. `get` answers GET and HEAD, and refuses other
/// methods. Answers that do not end by themselves end when `stopped` is true.
pub(super) fn routes(site: Site, access: Access, stopped: watch::Receiver<bool>) -> Router {
    let door = Door {
        access,
        login: site.login.clone(),
    };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .with_state(site.clone())
        .merge(page::routes(site, stopped))
        .merge(changes::routes(door.login.clone()))
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(door, check_request))
}

/// The reason why a request gets no data.
pub(super) enum Failure {
    /// The counters cannot be read.
    Read(String),
    /// Reading the counters takes longer than [`SNAPSHOT_TIME`].
    Hangs,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Read(why) => {
                let why = printable::text(&why).into_owned() + "\n";
                (StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
            }
            Self::Hangs => {
                let seconds = SNAPSHOT_TIME.as_secs();
                let text = format!(
                    "The daemon hangs: its counters could not be read within {seconds} s. The filter keeps working. `monitor status` reads its counters from the kernel.\n"
                );
                (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
            }
        }
    }
}

async fn metrics(State(site): State<Site>, headers: HeaderMap) -> Result<Response, Failure> {
    let format = accept::format(&headers);
    let text = read(site, move |snapshot, _, labels| {
        metrics::encode_as(format, snapshot, labels)
    })
    .await?;
    let text = text.map_err(|error| Failure::Read(error.to_string()))?;
    let headers = [(CONTENT_TYPE, format.content_type()), (VARY, "accept")];
    Ok((headers, text).into_response())
}

async fn healthz(State(site): State<Site>) -> Result<(StatusCode, String), Failure> {
    let health = read(site, |_, health, _| health.clone()).await?;
    let is_ok = health.is_ok();
    let Health {
        hang,
        problems,
        notes,
    } = health;
    let (status, first) = if is_ok {
        (StatusCode::OK, vec!["ok".to_owned()])
    } else {
        let hang = hang.into_iter();
        (
            StatusCode::SERVICE_UNAVAILABLE,
            hang.chain(problems).collect(),
        )
    };
    let lines = [first, notes].concat();
    let lines: Vec<_> = lines.iter().map(|line| printable::block(line)).collect();
    Ok((status, lines.join("\n") + "\n"))
}

async fn not_found() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "This endpoint has the paths /, /metrics and /healthz; the links of / lead to the other pages.\n",
    )
}

/// Takes a snapshot and returns what `show` makes of it. Fails after
/// [`SNAPSHOT_TIME`].
pub(super) async fn read<T: Send + 'static>(
    site: Site,
    show: impl FnOnce(&Snapshot, &Health, &metrics::DeviceLabels) -> T + Send + 'static,
) -> Result<T, Failure> {
    let shown = timeout(SNAPSHOT_TIME, read_in_turn(site, show)).await;
    shown.unwrap_or(Err(Failure::Hangs))
}

/// Takes a snapshot under the lock of the labels, and returns what `show` makes of
/// it.
///
/// The lock lets one request at a time use a blocking thread, and makes devices
/// get labels in the order of the snapshots. A request whose snapshot hangs keeps
/// the lock, so the requests behind it do not use up the threads.
async fn read_in_turn<T: Send + 'static>(
    site: Site,
    show: impl FnOnce(&Snapshot, &Health, &metrics::DeviceLabels) -> T + Send + 'static,
) -> Result<T, Failure> {
    let mut labels = site.labels.lock_owned().await;
    let shown = spawn_blocking(move || {
        let snapshot = (site.read_snapshot)()?;
        labels.admit(&snapshot);
        Ok(show(
            &snapshot,
            &health(&snapshot, &(site.interfaces)()),
            &labels,
        ))
    });
    match shown.await {
        Ok(shown) => shown.map_err(Failure::Read),
        Err(error) => Err(Failure::Read(format!("read the snapshot: {error}"))),
    }
}
