//! What our worker says to its server, beside what LiveKit's own Python worker says in the same course of events.
#![cfg(unix)]
// The lint's exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

mod worker_support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use listenkit_session::worker::{
    self, AgentIdentity, JobAnswer, JobContext, Mode, ProcessCommand, WorkerOptions,
};
use livekit_protocol as proto;
use worker_support::{FakeServer, FakeWorkerConnection, FromWorker, KEY, SECRET, reach, signal};

/// Not a test: our worker, and the processes of its jobs.
#[test]
fn our_worker() {
    let Ok(url) = std::env::var("WIRE_URL") else {
        return;
    };
    let options = WorkerOptions::new(async |job: JobContext| {
        job.ended().await;
        Ok(())
    });
    let mut options = reach(options, &url).load_fn(|| 0.25).request(async |_| {
        JobAnswer::Accept(AgentIdentity {
            name: "wire".into(),
            metadata: "of the test".into(),
            attributes: [("k".into(), "v".into())].into(),
            ..Default::default()
        })
    });
    options.agent_name = "wire".into();
    options.mode = Mode::Production;
    options.num_idle_processes = Some(1);
    options.process_command = Some(ProcessCommand {
        program: std::env::current_exe().unwrap(),
        args: arguments(),
        env: Vec::new(),
    });
    worker::run(options).unwrap();
    std::process::exit(0);
}

fn arguments() -> Vec<OsString> {
    ["our_worker", "--exact", "--nocapture", "--test-threads=1"]
        .map(OsString::from)
        .to_vec()
}

fn ours(url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(arguments())
        .env("WIRE_URL", url)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The peer, if there is a Python that has it.
fn peer(url: &str) -> Option<Child> {
    let python = std::env::var("PEER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/wire_worker.py");
    let has = Command::new(&python)
        .args([
            "-c",
            "import livekit.agents as a; assert a.__version__ == '1.8.9', a.__version__",
        ])
        .stderr(Stdio::null())
        .status();
    if !has.is_ok_and(|status| status.success()) {
        eprintln!("skipped: needs a Python with livekit-agents==1.8.9 (set PEER_PYTHON)");
        return None;
    }
    let child = Command::new(python)
        .args([script, "start"])
        .env("LIVEKIT_URL", url)
        .env("LIVEKIT_API_KEY", KEY)
        .env("LIVEKIT_API_SECRET", SECRET)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Some(child.unwrap())
}

/// A message with what must not differ.
fn told(message: FromWorker) -> String {
    match message {
        FromWorker::Register(mut register) => {
            register.version.clear();
            format!("{register:?}")
        }
        // A map prints in any order.
        FromWorker::Availability(mut answer) => {
            let attributes: BTreeMap<_, _> = answer.participant_attributes.drain().collect();
            format!("{answer:?} {attributes:?}")
        }
        FromWorker::UpdateWorker(status) => {
            format!(
                "{:?} load {} jobs {}",
                status.status(),
                status.load,
                status.job_count
            )
        }
        other => format!("{other:?}"),
    }
}

/// Takes messages until one is a report as `condition` wants it; deeds are told, reports only if they are new.
async fn until_status(
    log: &mut Vec<String>,
    worker: &mut FakeWorkerConnection,
    condition: impl Fn(&proto::UpdateWorkerStatus) -> bool,
) {
    loop {
        let message = worker.next().await;
        let done = matches!(&message, FromWorker::UpdateWorker(status) if condition(status));
        if done || !matches!(message, FromWorker::UpdateWorker(_) | FromWorker::Ping(_)) {
            log.push(told(message));
        }
        if done {
            return;
        }
    }
}

/// Registration, a job, a broken connection, the job's termination, another job, a drain.
async fn record(mut server: FakeServer, child: Child) -> Vec<String> {
    let mut log = Vec::new();
    let mut worker = server.register().await;
    let path = worker.path.clone();
    log.push(path);
    log.push(told(FromWorker::Register(
        worker.registration.clone().unwrap(),
    )));
    until_status(&mut log, &mut worker, |status| status.load > 0.0).await;

    worker.offer("AJ_1", "");
    log.push(told(worker.next_deed().await));
    worker.assign("AJ_1", "");
    log.push(told(worker.next_deed().await));
    until_status(&mut log, &mut worker, |status| status.job_count == 1).await;

    worker.break_off();
    let mut worker = server.register().await;
    log.push(told(FromWorker::Register(
        worker.registration.clone().unwrap(),
    )));
    // The migration, and in which order the first report comes.
    log.push(told(worker.next().await));
    log.push(told(worker.next().await));

    worker.terminate("AJ_1");
    log.push(told(worker.next_deed().await));
    until_status(&mut log, &mut worker, |status| status.job_count == 0).await;
    // Unknown jobs are passed over.
    worker.terminate("AJ_never");

    worker.offer("AJ_2", "");
    log.push(told(worker.next_deed().await));
    worker.assign("AJ_2", "");
    log.push(told(worker.next_deed().await));

    signal(child.id(), rustix::process::Signal::TERM);
    until_status(&mut log, &mut worker, |s| {
        s.status() == proto::WorkerStatus::WsFull
    })
    .await;
    worker.offer("AJ_3", "");
    log.push(told(worker.next_deed().await));
    worker.terminate("AJ_2");
    // Whether the last word is heard is in doubt with the peer, which closes its connection at once.
    let mut child = child;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        assert!(std::time::Instant::now() < deadline, "the worker ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    log
}

#[tokio::test]
async fn our_worker_says_what_the_peer_says() {
    let server = FakeServer::start().await;
    let Some(child) = peer(&server.url()) else {
        return;
    };
    let theirs = record(server, child).await;
    let server = FakeServer::start().await;
    let child = ours(&server.url());
    let ours = record(server, child).await;
    for line in &theirs {
        eprintln!("{line}");
    }
    assert_eq!(ours, theirs);
}
