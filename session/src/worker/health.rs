//! The health endpoint: `GET /` for whoever restarts workers, `GET /worker` for whoever counts them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::options::WorkerOptions;
use super::{WorkerError, WorkerInfo};

/// Without a connection for longer than this, the worker is not well: more than the tries that a restart of the server takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Health {
    info: watch::Receiver<WorkerInfo>,
    /// When the connection was last seen.
    connected: watch::Receiver<Instant>,
    agent_name: String,
    worker_type: &'static str,
}

/// Opens the port.
pub(crate) async fn bind(
    options: &WorkerOptions,
) -> Result<(TcpListener, SocketAddr), WorkerError> {
    let (host, port) = (options.host.as_str(), options.health_port());
    let fail = |error| {
        WorkerError::Start(format!(
            "cannot open the health endpoint at {host}:{port}: {error}; set another port, or 0 for a free one"
        ))
    };
    let listener = TcpListener::bind((host, port)).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    tracing::info!(%address, "health endpoint");
    Ok((listener, address))
}

/// Answers until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    info: watch::Receiver<WorkerInfo>,
    options: &WorkerOptions,
) {
    let (seen, connected) = watch::channel(Instant::now());
    let health = Health {
        info: info.clone(),
        connected,
        agent_name: options.agent_name.clone(),
        worker_type: options.worker_type.job_type().as_str_name(),
    };
    let watch_connection = async {
        let mut info = info;
        let mut was_connected = false;
        loop {
            let is_connected = info.borrow_and_update().connected;
            if is_connected || was_connected {
                seen.send_replace(Instant::now());
            }
            was_connected = is_connected;
            if info.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let app = Router::new()
        .route("/", get(health_check))
        .route("/worker", get(worker))
        .with_state(health);
    tokio::select! {
        result = async { axum::serve(listener, app).await } => {
            if let Err(error) = result {
                tracing::error!(%error, "the health endpoint failed");
            }
        }
        () = watch_connection => {}
    }
}

async fn health_check(State(health): State<Health>) -> (StatusCode, String) {
    let info = health.info.borrow().clone();
    if info.connected {
        return (StatusCode::OK, "OK".to_owned());
    }
    let error = info
        .connection_error
        .unwrap_or_else(|| "connecting".to_owned());
    if info.worker_id.is_empty() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not registered yet: {error}"),
        );
    }
    let silence = health.connected.borrow().elapsed();
    if silence > PATIENCE {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "failed to connect to livekit for {} s: {error}",
                silence.as_secs()
            ),
        );
    }
    (StatusCode::OK, "OK".to_owned())
}

async fn worker(State(health): State<Health>) -> Json<serde_json::Value> {
    let info = health.info.borrow().clone();
    Json(serde_json::json!({
        "agent_name": health.agent_name,
        "worker_type": health.worker_type,
        "active_jobs": info.active_jobs,
        "sdk_version": env!("CARGO_PKG_VERSION"),
        "worker_load": info.load,
        "protocol_version": 1,
        "worker_id": info.worker_id,
        "connected": info.connected,
        "draining": info.draining,
        "reserved_jobs": info.reserved_jobs,
        "failed_jobs": info.failed_jobs,
        "idle_processes": info.idle_processes,
        "processes": info.processes.iter().map(|process| serde_json::json!({
            "pid": process.pid,
            "job_id": process.job_id,
            "memory_mb": process.memory_mb,
        })).collect::<Vec<_>>(),
    }))
}
