//! HTTP: health, metrics, and the API of operators ([`api`]). One router, on TCP where configured and always on the Unix
//! socket `<data>/headwater.sock` (mode 0600). What TCP lets in is in [`guard`].

pub(crate) mod api;
mod guard;
mod host;
mod peer;
mod unix;

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::{
    Router,
    extract::{self, State},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
    serve::Listener,
};
use headwater_capture::postgres::SourceState;
use hyper::{Request, body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tracing::debug;

use self::peer::Peer;
pub(crate) use self::unix::SOCKET_NAME;
use crate::{
    clock::Clock,
    group_service::GroupService,
    http::api::entry::Entry,
    instance::InstanceView,
    limits::{HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES, HTTP_HEAD_TIMEOUT},
    metrics::{self, GroupsNow},
};

/// What the routes read.
#[derive(Debug)]
pub(crate) struct HttpState {
    pub(crate) registry: Registry,
    pub(crate) instances: Vec<InstanceView>,
    pub(crate) groups: Arc<GroupService>,
    pub(crate) groups_now: GroupsNow,
    pub(crate) clock: Clock,
    /// Where Kafka clients connect, for the settings that they are told.
    pub(crate) entries: Vec<Entry>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// The bound sockets.
#[derive(Debug)]
pub(crate) struct HttpServer {
    unix: tokio::net::UnixListener,
    tcp: Option<TcpListener>,
}

impl HttpServer {
    /// Binds the Unix socket in `data_dir`, which must be locked, and TCP where asked.
    pub(crate) async fn bind(data_dir: &Path, tcp: Option<SocketAddr>) -> Result<Self, String> {
        let path = data_dir.join(SOCKET_NAME);
        let unix = unix::bind(&path)
            .map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
        let tcp = match tcp {
            None => None,
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|error| format!("cannot listen on http {address}: {error}; end what listens there, or choose another address"))?)
            }
        };
        Ok(Self { unix, tcp })
    }

    /// The TCP address, with the port that was taken where 0 was asked for.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(self, state: HttpState) {
        let permits = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
        let router = router(Arc::new(state));
        let guarded = router
            .clone()
            .layer(middleware::from_fn(guard::only_loopback));
        let unix = serve_on(self.unix, router, Arc::clone(&permits));
        match self.tcp {
            Some(tcp) => {
                tokio::join!(unix, serve_on(tcp, guarded, permits));
            }
            None => unix.await,
        }
    }
}

fn router(state: Arc<HttpState>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/healthz/instances/{name}", get(instance))
        .route("/metrics", get(metrics))
        .merge(api::router())
        .with_state(state)
}

/// The store is open and the listeners accept before this is served at all, so only the stop is left to tell.
async fn ready(State(state): State<Arc<HttpState>>) -> (StatusCode, &'static str) {
    if *state.stop.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    (StatusCode::OK, "ready\n")
}

async fn instance(
    State(state): State<Arc<HttpState>>,
    extract::Path(name): extract::Path<String>,
) -> Response {
    let Some(instance) = state
        .instances
        .iter()
        .find(|instance| instance.name == name)
    else {
        let problem = json!({ "error": "no such instance" });
        return as_json(StatusCode::NOT_FOUND, &problem);
    };
    let status = instance.status_now();
    let runs = status.state == SourceState::Running;
    let code = if runs {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "instance": instance.name,
        "state": status.state.name(),
        "reason": status.state.reason(),
        "fix": status.state.fix(),
        "since_ms": status.since_ms,
        "warnings": status.all_warnings(),
    });
    as_json(code, &body)
}

async fn metrics(State(state): State<Arc<HttpState>>) -> Response {
    match state.groups.figures().await {
        Ok(figures) => state.groups_now.set(figures),
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    }
    match metrics::text(&state.registry) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn as_json(code: StatusCode, body: &serde_json::Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (code, kind, format!("{body}\n")).into_response()
}

async fn serve_on<L>(mut listener: L, router: Router, permits: Arc<Semaphore>)
where
    L: Listener,
    L::Io: Peer + AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        // Beyond the bound clients wait in the backlog. The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let (stream, _peer) = listener.accept().await;
        while connections.try_join_next().is_some() {}
        let who = stream.who();
        let router = TowerToHyperService::new(router.clone());
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(who.clone());
            router.call(request)
        });
        connections.spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HTTP_HEAD_TIMEOUT)
                .max_buf_size(HTTP_HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                debug!(%error, "http connection ended");
            }
            drop(permit);
        });
    }
}
