//! Jobs in processes of their own, and what can happen to them.
#![cfg(unix)]
// The lint's exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

mod worker_support;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use listenkit_session::transport::AutoSubscribe;
use listenkit_session::worker::{
    self, JobContext, ProcessCommand, Worker, WorkerError, WorkerHandle, WorkerOptions,
};
use livekit_protocol as proto;
use proto::JobStatus;
use rustix::process::Signal;
use tokio::task::JoinHandle;
use worker_support::{
    FakeServer, FakeTransport, FakeWorkerConnection, FromWorker, PATIENCE, processes, reach, signal,
};

const MS: Duration = Duration::from_millis(1);

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// What a job does is its metadata.
async fn agent(job: JobContext) -> Outcome {
    match job.job().metadata.as_str() {
        "join" => {
            job.connect(AutoSubscribe::All).await?;
            Ok(())
        }
        "wait" => {
            job.ended().await;
            Ok(())
        }
        "warm" => {
            let pid = job.process().get::<u32>().ok_or("not prewarmed")?;
            if *pid == std::process::id() {
                Ok(())
            } else {
                Err("prewarmed in another process".into())
            }
        }
        "panic" => panic!("the words of the panic"),
        "abort" => {
            eprintln!("about to abort");
            std::process::abort();
        }
        "exit" => std::process::exit(7),
        "grandchild" => {
            std::process::Command::new("sleep").arg("61.25").spawn()?;
            std::process::abort();
        }
        // No thread is left for the pings.
        "stall" => {
            for _ in 0..8 {
                tokio::spawn(async { std::thread::sleep(Duration::from_secs(600)) });
            }
            std::thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        // One thread is left for the pings and for the job's end.
        "block" => {
            std::thread::spawn({
                let job = job.clone();
                move || {
                    std::thread::sleep(300 * MS);
                    job.shutdown("the room is empty");
                }
            });
            std::thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        "eat" => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(vec![1_u8; 8 << 20]);
                tokio::time::sleep(5 * MS).await;
            }
        }
        "stubborn" => std::future::pending().await,
        "print" => {
            // The test harness has begun a line.
            println!("\na line on standard output");
            println!("{{\"a\": \"line of JSON\"}}");
            eprintln!("a line on standard error");
            Ok(())
        }
        what => Err(format!("unknown: {what}").into()),
    }
}

fn options(url: &str) -> WorkerOptions {
    let room = FakeTransport::default();
    let options = WorkerOptions::new(agent)
        .transport(move || Ok(Arc::new(room.clone())))
        .prewarm(|process| {
            if std::env::var_os("FAIL_PREWARM").is_some() {
                return Err("the words of the prewarm".into());
            }
            if std::env::var_os("HANG_PREWARM").is_some() {
                std::thread::sleep(Duration::from_secs(600));
            }
            process.insert(std::process::id());
            Ok(())
        });
    let mut options = reach(options, url);
    options.load_threshold = Some(f64::INFINITY);
    options.num_idle_processes = Some(0);
    options.timing.status_interval = 100 * MS;
    options.timing.retry_step = 20 * MS;
    options.timing.ping_interval = 100 * MS;
    options.timing.memory_interval = 50 * MS;
    // This test program again, with the one test that runs a job.
    options.process_command = Some(ProcessCommand {
        program: std::env::current_exe().unwrap(),
        args: ["job_process", "--exact", "--nocapture", "--test-threads=1"]
            .map(OsString::from)
            .to_vec(),
        env: Vec::new(),
    });
    options
}

/// Not a test: the job's process.
#[test]
fn job_process() {
    if worker::is_job_process() {
        let mut options = options("ws://127.0.0.1:1");
        if let Some(ms) = std::env::var_os("ENTRYPOINT_MS") {
            options.timing.entrypoint_timeout = ms.to_str().unwrap().parse::<u32>().unwrap() * MS;
        }
        worker::run(options).unwrap();
    }
}

/// Not a test: a worker, for tests that send it signals.
#[test]
fn worker_process() {
    if let Ok(url) = std::env::var("WORKER_FOR_SIGNALS") {
        let result = worker::run(options(&url));
        println!("the worker ended: {result:?}");
        std::process::exit(i32::from(result.is_err()));
    }
}

fn start(options: WorkerOptions) -> (WorkerHandle, JoinHandle<Result<(), WorkerError>>) {
    let worker = Worker::new(options).unwrap();
    let handle = worker.handle();
    (handle, tokio::spawn(worker.run()))
}

async fn end(handle: &WorkerHandle, running: JoinHandle<Result<(), WorkerError>>) {
    handle.shutdown("test over");
    let ended = tokio::time::timeout(PATIENCE, running).await;
    ended.expect("it ends").unwrap().unwrap();
    assert!(handle.info().processes.is_empty());
}

/// Runs a job that ends by itself, and gives the end.
async fn outcome(worker: &mut FakeWorkerConnection, id: &str, what: &str) -> (JobStatus, String) {
    worker.run_job(id, what).await;
    let (ended, status, error) = worker.job_status().await;
    assert_eq!(ended, id);
    (status, error)
}

#[tokio::test]
async fn a_job_runs_in_a_process_that_was_prewarmed_for_it() {
    let mut server = FakeServer::start().await;
    let mut options = options(&server.url());
    options.num_idle_processes = Some(2);
    options.load_threshold = None;
    let options = options.load_fn(|| 0.0);
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    let info = handle
        .wait_for(|info| info.idle_processes == 2)
        .await
        .unwrap();
    let pids: Vec<_> = info.processes.iter().map(|process| process.pid).collect();
    assert_eq!(pids.len(), 2);
    assert!(!pids.contains(&std::process::id()));
    let (status, error) = outcome(&mut worker, "AJ_1", "warm").await;
    assert_eq!(status, JobStatus::JsSuccess, "{error}");
    // The one that ran it is gone, and another takes its place.
    let info = handle
        .wait_for(|info| info.idle_processes == 2 && info.processes.len() == 2)
        .await
        .unwrap();
    let same = info
        .processes
        .iter()
        .filter(|p| pids.contains(&p.pid))
        .count();
    assert_eq!(same, 1);
    worker.run_job("AJ_2", "join").await;
    handle
        .wait_for(|info| {
            info.processes
                .iter()
                .any(|p| p.job_id.as_deref() == Some("AJ_2"))
        })
        .await
        .unwrap();
    worker.terminate("AJ_2");
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess, "{error}");
    end(&handle, running).await;
}

#[tokio::test]
async fn the_death_of_a_process_fails_its_job_alone_and_says_how() {
    let mut server = FakeServer::start().await;
    let (handle, running) = start(options(&server.url()));
    let mut worker = server.register().await;
    worker.run_job("AJ_other", "wait").await;
    for (what, words) in [
        ("panic", "the words of the panic"),
        ("abort", "SIGABRT"),
        ("exit", "code 7"),
    ] {
        let (status, error) = outcome(&mut worker, &format!("AJ_{what}"), what).await;
        assert_eq!(status, JobStatus::JsFailed, "{what}");
        assert!(error.contains(words), "{what}: {error}");
    }
    let (_, error) = outcome(&mut worker, "AJ_abort", "abort").await;
    assert!(error.contains("about to abort"), "the last words: {error}");

    worker.run_job("AJ_killed", "wait").await;
    let info = handle
        .wait_for(|info| {
            info.processes
                .iter()
                .any(|p| p.job_id.as_deref() == Some("AJ_killed"))
        })
        .await
        .unwrap();
    let process = info
        .processes
        .iter()
        .find(|p| p.job_id.as_deref() == Some("AJ_killed"));
    signal(process.unwrap().pid, Signal::KILL);
    let (id, status, error) = worker.job_status().await;
    assert_eq!((id.as_str(), status), ("AJ_killed", JobStatus::JsFailed));
    assert!(error.contains("SIGKILL"), "{error}");

    worker.terminate("AJ_other");
    let (id, status, _) = worker.job_status().await;
    assert_eq!((id.as_str(), status), ("AJ_other", JobStatus::JsSuccess));
    end(&handle, running).await;
}

#[tokio::test]
async fn what_a_job_started_ends_with_its_process() {
    let mut server = FakeServer::start().await;
    let (handle, running) = start(options(&server.url()));
    let mut worker = server.register().await;
    let (status, _) = outcome(&mut worker, "AJ_1", "grandchild").await;
    assert_eq!(status, JobStatus::JsFailed);
    let left = processes(|_, command| command.trim() == "sleep 61.25");
    assert!(left.is_empty(), "{left:?}");
    end(&handle, running).await;
}

#[tokio::test]
async fn a_process_that_stalls_is_killed() {
    let mut server = FakeServer::start().await;
    let mut options = options(&server.url());
    options.timing.ping_timeout = 2500 * MS;
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    let (status, error) = outcome(&mut worker, "AJ_1", "stall").await;
    assert_eq!(status, JobStatus::JsFailed);
    assert!(error.contains("has not answered"), "{error}");

    // Stopped from outside, it cannot even take notice of a signal.
    worker.run_job("AJ_2", "wait").await;
    let info = handle
        .wait_for(|info| info.processes.iter().any(|p| p.job_id.is_some()))
        .await
        .unwrap();
    let process = info.processes.iter().find(|p| p.job_id.is_some()).unwrap();
    signal(process.pid, Signal::STOP);
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsFailed);
    assert!(error.contains("has not answered"), "{error}");
    end(&handle, running).await;
}

#[tokio::test]
async fn a_process_that_eats_memory_is_killed_at_the_limit() {
    let mut server = FakeServer::start().await;
    let mut options = options(&server.url());
    options.job_memory_warn_mb = 100.0;
    options.job_memory_limit_mb = 200.0;
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    let (status, error) = outcome(&mut worker, "AJ_1", "eat").await;
    assert_eq!(status, JobStatus::JsFailed);
    assert!(error.contains("where 200 MB are allowed"), "{error}");
    end(&handle, running).await;
}

#[tokio::test]
async fn a_job_that_does_not_end_is_cancelled_and_one_that_does_not_listen_is_killed() {
    let mut server = FakeServer::start().await;
    let mut options = options(&server.url());
    // The process's own time for its entrypoint; the worker's is for taking notice.
    options.process_command.as_mut().unwrap().env = vec![("ENTRYPOINT_MS".into(), "100".into())];
    options.timing.shutdown_process_timeout = 500 * MS;
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "stubborn").await;
    worker.terminate("AJ_1");
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess, "{error}");

    worker.run_job("AJ_2", "stall").await;
    tokio::time::sleep(300 * MS).await;
    worker.terminate("AJ_2");
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsFailed);
    assert!(error.contains("took no notice of the shutdown"), "{error}");
    end(&handle, running).await;
}

#[tokio::test]
async fn a_job_ends_beside_an_entrypoint_that_blocks_its_thread() {
    let mut server = FakeServer::start().await;
    let mut options = options(&server.url());
    options.process_command.as_mut().unwrap().env = vec![("ENTRYPOINT_MS".into(), "100".into())];
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    // It ends by itself, so the worker has set no deadline; and its process answers pings.
    let (status, error) = outcome(&mut worker, "AJ_1", "block").await;
    assert_eq!(status, JobStatus::JsSuccess, "{error}");
    end(&handle, running).await;
}

#[tokio::test]
async fn a_prewarm_that_fails_fails_the_job_with_its_words() {
    let mut server = FakeServer::start().await;
    let mut options = options(&server.url());
    options.process_command.as_mut().unwrap().env = vec![("FAIL_PREWARM".into(), "1".into())];
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.offer("AJ_1", "wait");
    assert!(worker.availability().await.available);
    worker.assign("AJ_1", "wait");
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsFailed);
    assert!(
        error.contains("3 tries") && error.contains("the words of the prewarm"),
        "{error}"
    );
    end(&handle, running).await;
}

#[tokio::test]
async fn a_program_that_cannot_be_started_fails_the_job() {
    let mut server = FakeServer::start().await;
    let mut options = options(&server.url());
    options.process_command = Some(ProcessCommand {
        program: PathBuf::from("/dev/null"),
        ..Default::default()
    });
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.offer("AJ_1", "wait");
    assert!(worker.availability().await.available);
    worker.assign("AJ_1", "wait");
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsFailed);
    assert!(error.contains("/dev/null"), "{error}");
    end(&handle, running).await;
}

#[tokio::test]
async fn ten_jobs_at_once_have_ten_processes() {
    let mut server = FakeServer::start().await;
    let (handle, running) = start(options(&server.url()));
    let mut worker = server.register().await;
    for n in 0..10 {
        worker.offer(&format!("AJ_{n}"), "wait");
    }
    let (mut running_jobs, mut ended) = (0, 0);
    while ended < 10 {
        match worker.next_deed().await {
            FromWorker::Availability(answer) => worker.assign(&answer.job_id, "wait"),
            FromWorker::UpdateJob(update) => match update.status() {
                JobStatus::JsRunning => {
                    running_jobs += 1;
                    if running_jobs == 10 {
                        let pids: Vec<_> = handle.info().processes.iter().map(|p| p.pid).collect();
                        assert_eq!(pids.len(), 10);
                        for n in 0..10 {
                            worker.terminate(&format!("AJ_{n}"));
                        }
                    }
                }
                status => {
                    assert_eq!(status, JobStatus::JsSuccess, "{}", update.error);
                    ended += 1;
                }
            },
            other => panic!("{other:?}"),
        }
    }
    end(&handle, running).await;
}

/// A worker in a process of its own, and what it prints.
struct WorkerProcess {
    child: std::process::Child,
    output: std::thread::JoinHandle<String>,
}

impl WorkerProcess {
    fn start(url: &str) -> Self {
        Self::start_with(url, &[])
    }

    fn start_with(url: &str, env: &[(&str, &str)]) -> Self {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "worker_process",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("WORKER_FOR_SIGNALS", url)
            .envs(env.iter().copied())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let output = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What came before an error is what there is.
            let _ = std::io::Read::read_to_end(&mut stdout, &mut text);
            let text = String::from_utf8_lossy(&text).into_owned();
            let _ = std::io::stdout().write_all(text.as_bytes());
            text
        });
        Self { child, output }
    }

    async fn end(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "the worker ends");
            tokio::time::sleep(10 * MS).await;
        };
        (status.code(), self.output.join().unwrap())
    }
}

#[tokio::test]
async fn the_first_signal_drains() {
    let mut server = FakeServer::start().await;
    let process = WorkerProcess::start(&server.url());
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "wait").await;
    signal(process.child.id(), Signal::TERM);
    while worker.next_status().await.status() != proto::WorkerStatus::WsFull {}
    worker.offer("AJ_2", "wait");
    assert!(!worker.availability().await.available);
    worker.terminate("AJ_1");
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess, "{error}");
    let (code, output) = process.end().await;
    assert_eq!(code, Some(0));
    assert!(output.contains("the worker ended: Ok"), "{output}");
}

#[tokio::test]
async fn the_second_signal_ends_at_once_and_leaves_no_process() {
    let mut server = FakeServer::start().await;
    let process = WorkerProcess::start(&server.url());
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "stubborn").await;
    signal(process.child.id(), Signal::INT);
    while worker.next_status().await.status() != proto::WorkerStatus::WsFull {}
    signal(process.child.id(), Signal::TERM);
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsFailed);
    assert!(error.contains("the worker is killed"), "{error}");
    let parent = process.child.id();
    process.end().await;
    let left = processes(|of, _| of == parent);
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn jobs_end_when_their_worker_is_killed() {
    let mut server = FakeServer::start().await;
    let process = WorkerProcess::start(&server.url());
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "wait").await;
    let jobs = processes_of(&process);
    assert!(!jobs.is_empty() || !cfg!(target_os = "linux"));
    kill_and_wait_for_the_end_of(process, &jobs).await;
}

#[tokio::test]
async fn a_process_that_prewarms_for_ever_ends_when_its_worker_is_killed() {
    let mut server = FakeServer::start().await;
    let process = WorkerProcess::start_with(&server.url(), &[("HANG_PREWARM", "1")]);
    let mut worker = server.register().await;
    worker.offer("AJ_1", "wait");
    assert!(worker.availability().await.available);
    worker.assign("AJ_1", "wait");
    let start = Instant::now();
    let mut jobs = Vec::new();
    while jobs.is_empty() && cfg!(target_os = "linux") {
        assert!(start.elapsed() < PATIENCE, "a process for the job starts");
        tokio::time::sleep(20 * MS).await;
        jobs = processes_of(&process);
    }
    // Until it has reached its prewarm; the worker kills it after ten seconds only.
    tokio::time::sleep(1000 * MS).await;
    kill_and_wait_for_the_end_of(process, &jobs).await;
}

fn processes_of(worker: &WorkerProcess) -> Vec<u32> {
    let parent = worker.child.id();
    processes(|of, _| of == parent)
}

async fn kill_and_wait_for_the_end_of(worker: WorkerProcess, jobs: &[u32]) {
    signal(worker.child.id(), Signal::KILL);
    worker.end().await;
    let start = Instant::now();
    while !processes(|_, command| command.contains("job_process"))
        .iter()
        .all(|pid| !jobs.contains(pid))
    {
        assert!(
            start.elapsed() < PATIENCE,
            "the jobs' processes {jobs:?} end"
        );
        tokio::time::sleep(20 * MS).await;
    }
}

#[tokio::test]
async fn the_output_of_a_job_is_passed_on_with_its_id() {
    let mut server = FakeServer::start().await;
    let process = WorkerProcess::start(&server.url());
    let mut worker = server.register().await;
    let (status, error) = outcome(&mut worker, "AJ_print", "print").await;
    assert_eq!(status, JobStatus::JsSuccess, "{error}");
    signal(process.child.id(), Signal::TERM);
    let (_, output) = process.end().await;
    assert!(
        output.contains("[AJ_print] a line on standard output"),
        "{output}"
    );
    assert!(output.contains("\n{\"a\": \"line of JSON\"}"), "{output}");
}
