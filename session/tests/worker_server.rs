//! A worker at a server: the test double, and a real one if the environment names it.

// The lint's exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

#[path = "common/rooms.rs"]
mod rooms;
mod worker_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use listenkit_session::api::{Credentials, RoomOptions, ServerApi};
use listenkit_session::transport::AutoSubscribe;
use listenkit_session::transport::ffi::LivekitTransport;
use listenkit_session::worker::{JobContext, JobExecutor, Worker, WorkerOptions};
use listenkit_test_server::{Options, TestServer};
use rooms::Server;
use tokio::sync::mpsc;
use worker_support::{FakeTransport, PATIENCE, reach};

fn unique(name: &str) -> String {
    format!("worker-{name}-{:08x}", fastrand::u32(..))
}

/// A worker under a name of its own, whose jobs are tasks.
fn options(api: &ServerApi, name: &str, tell: mpsc::UnboundedSender<String>) -> WorkerOptions {
    let options = WorkerOptions::new(move |job: JobContext| {
        let tell = tell.clone();
        async move {
            tell.send(format!("started {}", job.job().metadata))?;
            let connection = job.connect(AutoSubscribe::All).await?;
            tell.send(format!("joined {}", connection.room.name()))?;
            let ended = job.ended().await;
            tell.send(format!("ended: {}", ended.reason))?;
            Ok(())
        }
    });
    let credentials = api.credentials();
    reach(options, &credentials.url)
        .load_fn(|| 0.0)
        .api_key(&credentials.api_key)
        .api_secret(&credentials.api_secret)
        .agent_name(name)
        .executor(JobExecutor::Task)
}

async fn next(told: &mut mpsc::UnboundedReceiver<String>) -> String {
    let told = tokio::time::timeout(PATIENCE, told.recv()).await;
    told.expect("the job says something").unwrap()
}

#[tokio::test]
async fn a_dispatched_job_runs_until_its_dispatch_is_taken_back() {
    for server in Server::all().await {
        let api = server.api();
        let name = unique("agent");
        let (tell, mut told) = mpsc::unbounded_channel();
        let room = FakeTransport::default();
        let options = options(&api, &name, tell).transport(move || Ok(Arc::new(room.clone())));
        let worker = Worker::new(options).unwrap();
        let handle = worker.handle();
        let running = tokio::spawn(worker.run());
        handle.wait_for(|info| info.connected).await.unwrap();

        let room = unique("room");
        api.create_room(&room, RoomOptions::default())
            .await
            .unwrap();
        let dispatch = api.create_dispatch(&room, &name, "first").await.unwrap();
        assert_eq!(next(&mut told).await, "started first");
        assert_eq!(next(&mut told).await, "joined fake");
        handle.wait_for(|info| info.active_jobs == 1).await.unwrap();
        api.delete_dispatch(&room, &dispatch.id).await.unwrap();
        assert_eq!(next(&mut told).await, "ended: terminated by the server");
        handle.wait_for(|info| info.active_jobs == 0).await.unwrap();

        handle.simulate(&api, &unique("simulated")).await.unwrap();
        assert_eq!(next(&mut told).await, "started ");
        api.delete_room(&room).await.unwrap();
        handle.shutdown("test over");
        tokio::time::timeout(PATIENCE, running)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn a_job_joins_its_room_and_ends_with_it() {
    let library = match LivekitTransport::open(None) {
        Ok(library) => Arc::new(library),
        Err(error) => {
            eprintln!("skipped: needs LiveKit's media library: {error}");
            return;
        }
    };
    for server in Server::all().await {
        let api = server.api();
        let name = unique("agent");
        let (tell, mut told) = mpsc::unbounded_channel();
        let transport = library.clone();
        let options = options(&api, &name, tell).transport(move || Ok(transport.clone()));
        let worker = Worker::new(options).unwrap();
        let handle = worker.handle();
        let running = tokio::spawn(worker.run());
        handle.wait_for(|info| info.connected).await.unwrap();

        let room = unique("room");
        let start = Instant::now();
        api.create_dispatch(&room, &name, "").await.unwrap();
        assert_eq!(next(&mut told).await, "started ");
        let started = start.elapsed();
        assert_eq!(next(&mut told).await, format!("joined {room}"));
        eprintln!(
            "from dispatch to start {started:?}, to joined {:?}",
            start.elapsed()
        );
        let there = api.list_participants(&room).await.unwrap();
        assert_eq!(there.len(), 1);
        assert!(
            there[0].identity.starts_with("agent-AJ_"),
            "{}",
            there[0].identity
        );
        assert_eq!(there[0].attributes["lk.agent.name"], name);
        // An agent alone is found if there is no one else, in a server of its own.
        if server.is_double() {
            assert_eq!(api.discover_active_room().await.unwrap().name, room);
        }
        api.delete_room(&room).await.unwrap();
        let ended = next(&mut told).await;
        assert!(
            ended.contains("RoomDeleted") || ended.contains("terminated"),
            "{ended}"
        );
        handle.wait_for(|info| info.active_jobs == 0).await.unwrap();
        assert_eq!(handle.info().failed_jobs, 0);
        handle.drain();
        tokio::time::timeout(PATIENCE, running)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn a_worker_finds_its_server_again_after_a_restart() {
    let mut double = TestServer::start(Options::default()).await.unwrap();
    let api = ServerApi::new(Credentials {
        url: double.url(),
        api_key: double.api_key().to_owned(),
        api_secret: double.api_secret().to_owned(),
    });
    let name = unique("agent");
    let (tell, mut told) = mpsc::unbounded_channel();
    let room = FakeTransport::default();
    let mut options = options(&api, &name, tell).transport(move || Ok(Arc::new(room.clone())));
    options.timing.retry_step = Duration::from_millis(50);
    let worker = Worker::new(options).unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    let first = handle
        .wait_for(|info| info.connected)
        .await
        .unwrap()
        .worker_id;
    double.kill().await;
    handle.wait_for(|info| !info.connected).await.unwrap();
    double.restart().await.unwrap();
    let again = handle
        .wait_for(|info| info.connected)
        .await
        .unwrap()
        .worker_id;
    assert_ne!(first, again);
    double.dispatch("kitchen", &name, "after").await.unwrap();
    assert_eq!(next(&mut told).await, "started after");
    handle.shutdown("test over");
    tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
