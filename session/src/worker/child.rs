//! A job's process, from the inside: prewarm, wait for the job, run it, end.

use std::sync::Arc;
use std::time::Duration;

use super::WorkerError;
#[cfg(unix)]
use super::ipc::{Frame, JobEnd, read_frame, write_frame};
use super::job::JobSetup;
#[cfg(unix)]
use super::job::{ProcessData, panic_message, run_job};
use super::options::WorkerOptions;

/// Set in the environment of a job's process.
pub(crate) const JOB_PROCESS_VARIABLE: &str = "LISTENKIT_JOB_PROCESS";

/// Whether this process was started by a worker to run a job. A program that does more than to call [`run`](super::run) leaves it out then.
pub fn is_job_process() -> bool {
    std::env::var_os(JOB_PROCESS_VARIABLE).is_some()
}

/// Threads of a job's process: a job is one conversation, which one thread carries; a second one keeps pings answered beside code that blocks.
const THREADS: usize = 2;

/// For a blocking task that outlives its job.
const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(1);

#[cfg(unix)]
pub(crate) fn run_child(options: WorkerOptions) -> Result<(), WorkerError> {
    let socket = take_socket().map_err(|error| {
        WorkerError::Start(format!(
            "{JOB_PROCESS_VARIABLE} is set, but standard input is no worker's socket: {error}"
        ))
    })?;
    let credentials = options.credentials()?;
    let setup = Arc::new(JobSetup::new(&options, credentials));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| WorkerError::Start(format!("cannot start tokio: {error}")))?;
    let ended = runtime.block_on(serve(options, setup, socket));
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
    if let Err(error) = ended {
        tracing::error!(%error, "the connection to the worker broke");
    }
    // The media library's threads, and whatever `main` does after, would only keep the worker waiting.
    std::process::exit(0);
}

#[cfg(not(unix))]
pub(crate) fn run_child(_: WorkerOptions) -> Result<(), WorkerError> {
    let _ = (THREADS, RUNTIME_SHUTDOWN);
    Err(WorkerError::Start(format!(
        "{JOB_PROCESS_VARIABLE} is set, but jobs have no processes of their own on this system"
    )))
}

/// Takes the socket that the worker has put in the place of standard input, and puts nothing there, so that neither the agent's code nor a program
/// that it starts reads from it.
#[cfg(unix)]
fn take_socket() -> std::io::Result<std::os::unix::net::UnixStream> {
    use std::os::fd::AsFd;
    let stdin = std::io::stdin();
    let socket = stdin.as_fd().try_clone_to_owned()?;
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    let socket = std::os::unix::net::UnixStream::from(socket);
    // Fails if it is no socket.
    socket.peer_addr()?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(unix)]
async fn serve(
    options: WorkerOptions,
    setup: Arc<JobSetup>,
    socket: std::os::unix::net::UnixStream,
) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    use tokio::sync::{mpsc, oneshot};

    // The worker decides when a job ends; taking these signals and doing nothing keeps a service manager from ending it first.
    let _ignored = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    ];
    let (mut reader, mut writer) = tokio::net::UnixStream::from_std(socket)?.into_split();
    let (outgoing, mut to_write) = mpsc::channel::<Frame>(64);
    let writing = tokio::spawn(async move {
        while let Some(frame) = to_write.recv().await {
            write_frame(&mut writer, frame).await?;
        }
        std::io::Result::Ok(())
    });
    let (incoming, mut frames) = mpsc::channel::<Frame>(64);
    let pongs = outgoing.clone();
    let reading = tokio::spawn(async move {
        while let Some(frame) = read_frame(&mut reader).await? {
            // Answered here, so that a job that is slow to end does not look dead.
            let gone = match frame {
                Frame::Ping(time) => pongs.send(Frame::Pong(time)).await.is_err(),
                frame => incoming.send(frame).await.is_err(),
            };
            if gone {
                break;
            }
        }
        std::io::Result::Ok(())
    });
    let say = async |frame| {
        // The end of the connection is seen by the reading side.
        let _ = outgoing.send(frame).await;
    };

    let process = ProcessData::default();
    if let Some(prewarm) = options.prewarm.clone() {
        let data = process.clone();
        let warming = tokio::task::spawn_blocking(move || prewarm(&data));
        let warmed = tokio::select! {
            warmed = warming => warmed,
            // It may take for ever, and nobody is left to kill this process then.
            () = dismissed(&mut frames) => return Ok(()),
        };
        let error = match warmed {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(crate::api::with_sources(&*error)),
            Err(error) => Some(match error.try_into_panic() {
                Ok(panic) => format!("panicked: {}", panic_message(&*panic)),
                Err(error) => error.to_string(),
            }),
        };
        if let Some(error) = error {
            say(Frame::InitializeFailed(format!("prewarm failed: {error}"))).await;
            reading.abort();
            let _ = reading.await;
            drop(outgoing);
            return flush(writing).await;
        }
    }
    say(Frame::Ready(true)).await;

    let job = loop {
        match frames.recv().await {
            Some(Frame::Start(info)) => break Some(info),
            Some(Frame::Shutdown(_)) | None => break None,
            Some(_) => {}
        }
    };
    if let Some(info) = job {
        say(Frame::Started(true)).await;
        let (ask, asked) = oneshot::channel();
        let shutting_down = outgoing.clone();
        let listening = tokio::spawn(async move {
            let reason = loop {
                match frames.recv().await {
                    Some(Frame::Shutdown(reason)) => break reason,
                    // A job does not outlive its worker: no one would know of it.
                    None => break "the worker is gone".to_owned(),
                    Some(_) => {}
                }
            };
            let _ = shutting_down.send(Frame::ShuttingDown(true)).await;
            let _ = ask.send(reason);
            while frames.recv().await.is_some() {}
        });
        let asked = async {
            match asked.await {
                Ok(reason) => reason,
                Err(_) => std::future::pending().await,
            }
        };
        let outcome = run_job(&setup, info, process, asked).await;
        listening.abort();
        say(Frame::Ended(JobEnd {
            error: outcome.err(),
        }))
        .await;
    }
    reading.abort();
    let _ = reading.await;
    drop(outgoing);
    flush(writing).await
}

/// Waits until the worker wants this process to end, or is gone.
#[cfg(unix)]
async fn dismissed(frames: &mut tokio::sync::mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        if let Frame::Shutdown(_) = frame {
            return;
        }
    }
}

/// Everything that was said is written, or the worker is gone.
#[cfg(unix)]
async fn flush(writing: tokio::task::JoinHandle<std::io::Result<()>>) -> std::io::Result<()> {
    match tokio::time::timeout(RUNTIME_SHUTDOWN, writing).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) | Err(_) => Ok(()),
    }
}
