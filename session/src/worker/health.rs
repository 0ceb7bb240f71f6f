//! The health endpoint: `GET /` for whoever restarts workers, `GET /worker` for whoever counts them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Sleep;

use super::options::WorkerOptions;
use super::{WorkerError, WorkerInfo};

/// Without a connection for longer than this, the worker is not well: more than the tries that a restart of the server takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections at the same time, and how long each may last. Whoever asks has an answer at once; whoever only holds connections would use up the
/// files that the jobs' processes need.
const VISITS: usize = 64;
const VISIT: Duration = Duration::from_secs(5);

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
        result = async { axum::serve(Door::new(listener), app).await } => {
            if let Err(error) = result {
                tracing::error!(%error, "the health endpoint failed");
            }
        }
        () = watch_connection => {}
    }
}

/// The listener, which lets in only so many.
struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Door {
    fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(VISITS)),
        }
    }
}

impl Listener for Door {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("nobody closes the semaphore");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let visit = Visit {
            stream,
            end: Box::pin(tokio::time::sleep(VISIT)),
            _place: place,
        };
        (visit, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends after its time.
struct Visit {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Visit {
    /// The stream, as long as there is time.
    fn stream(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl AsyncRead for Visit {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().stream(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().stream(context)?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream(context)?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn connections_that_ask_nothing_are_closed_and_the_others_answered() {
        let mut options = WorkerOptions::new(|_| async { Ok(()) });
        options.host = "127.0.0.1".to_owned();
        options.port = Some(0);
        let (listener, address) = bind(&options).await.expect("a free port");
        let (info, watched) = watch::channel(WorkerInfo {
            connected: true,
            ..WorkerInfo::default()
        });
        let server = tokio::spawn(async move { serve(listener, watched, &options).await });
        let mut idle = Vec::new();
        for _ in 0..VISITS {
            idle.push(TcpStream::connect(address).await.expect("it listens"));
        }
        // Later than all of these; it waits for their end, and not for ever.
        let mut asking = TcpStream::connect(address).await.expect("it listens");
        let request = b"GET / HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n";
        asking.write_all(request).await.expect("it listens");
        let mut answer = String::new();
        let patience = VISIT + Duration::from_secs(60);
        tokio::time::timeout(patience, asking.read_to_string(&mut answer))
            .await
            .expect("the idle ones are sent away")
            .expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let mut nothing = Vec::new();
        let ended = idle[0].read_to_end(&mut nothing);
        let ended = tokio::time::timeout(patience, ended).await;
        let _ = ended.expect("it is closed");
        drop(info);
        server.abort();
    }
}
