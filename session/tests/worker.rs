//! The agent protocol, as a server sees it, with jobs as tasks.

// The lint's exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

mod worker_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use listenkit_session::api::TokenVerifier;
use listenkit_session::llm::{ChatStream, Llm};
use listenkit_session::transport::{AutoSubscribe, DisconnectReason, Participant, ParticipantKind};
use listenkit_session::voice::{ReplyOptions, RoomInputOptions, RoomOutputOptions, SessionEvent};
use listenkit_session::worker::{
    AgentIdentity, JobAnswer, JobContext, JobError, JobExecutor, Mode, ParticipantFilter, Worker,
    WorkerError, WorkerHandle, WorkerOptions,
};
use listenkit_session::{Agent, AgentSession, ChatContext, ErrorKind, ProviderError};
use livekit_protocol as proto;
use proto::{JobStatus, WorkerStatus};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use worker_support::{
    FakeServer, FakeTransport, FakeWorkerConnection, FromWorker, PATIENCE, SECRET, ToWorker, reach,
};

const MS: Duration = Duration::from_millis(1);

/// A worker whose jobs are tasks, with short times, and never full.
fn task_options<F, Fut>(url: &str, entrypoint: F) -> WorkerOptions
where
    F: Fn(JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let mut options = reach(WorkerOptions::new(entrypoint), url);
    options.executor = JobExecutor::Task;
    options.load_threshold = Some(f64::INFINITY);
    options.timing.status_interval = 50 * MS;
    options.timing.load_interval = 20 * MS;
    options.timing.retry_step = 20 * MS;
    options.timing.retry_max = 50 * MS;
    options
}

async fn until_ended(job: JobContext) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    job.ended().await;
    Ok(())
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
}

#[tokio::test]
async fn registers_first_and_reports_its_load_then() {
    let mut server = FakeServer::start().await;
    let mut options = task_options(&format!("{}/base/", server.url()), until_ended);
    options.agent_name = "ada".to_owned();
    options.permissions.hidden = true;
    options = options.load_fn(|| 0.25);
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    assert_eq!(worker.path, "/base/agent");
    let token = worker.authorization.strip_prefix("Bearer ").unwrap();
    let claims = TokenVerifier::with_api_key("devkey", SECRET)
        .verify(token)
        .unwrap();
    assert!(claims.video.agent && !claims.video.room_join);
    let registration = worker.registration.clone().unwrap();
    assert_eq!(registration.agent_name, "ada");
    assert_eq!(registration.r#type(), proto::JobType::JtRoom);
    let permissions = registration.allowed_permissions.unwrap();
    assert!(permissions.can_publish && permissions.can_subscribe && permissions.hidden);
    assert!(permissions.can_publish_data && permissions.can_update_metadata);
    let mut loads = Vec::new();
    for _ in 0..4 {
        let status = worker.next_status().await;
        assert_eq!(status.status(), WorkerStatus::WsAvailable);
        assert_eq!(status.job_count, 0);
        loads.push(status.load);
    }
    assert_eq!(loads.last(), Some(&0.25));
    let info = handle.wait_for(|info| info.connected).await.unwrap();
    assert_eq!(info.worker_id, "AW_1");
    end(&handle, running).await;
}

#[tokio::test]
async fn a_job_runs_from_the_offer_to_its_end_with_what_it_was_given() {
    let mut server = FakeServer::start().await;
    let room = FakeTransport::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut options = task_options(&server.url(), move |job: JobContext| {
        let tell = tell.clone();
        async move {
            assert_eq!(job.room_name(), "room-AJ_1");
            assert_eq!(job.worker_id(), "AW_1");
            assert_eq!(job.process().get::<u32>().as_deref(), Some(&42));
            assert_eq!(job.job().metadata, "meta");
            assert_eq!(job.agent().identity, "agent-AJ_1");
            assert!(job.room().is_none());
            let connection = job.connect(AutoSubscribe::AudioOnly).await?;
            assert_eq!(connection.room.name(), "fake");
            assert!(matches!(
                job.connect(AutoSubscribe::All).await,
                Err(JobError::AlreadyConnected)
            ));
            let later = tell.clone();
            let closing = tell.clone();
            job.add_shutdown_callback(async move |reason| drop(later.send(("callback", reason))));
            job.add_session_close(async move |reason| drop(closing.send(("session", reason))));
            tell.send(("joined", String::new())).unwrap();
            Ok(())
        }
    });
    options.agent_name = "ada".to_owned();
    let transport = room.clone();
    let options = options
        .transport(move || Ok(Arc::new(transport.clone())))
        .prewarm(|process| {
            process.insert(42_u32);
            Ok(())
        });
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.offer("AJ_1", "meta");
    let answer = worker.availability().await;
    assert!(answer.available && !answer.terminate);
    assert_eq!(answer.participant_identity, "agent-AJ_1");
    assert_eq!(answer.participant_attributes["lk.agent.name"], "ada");
    worker.assign("AJ_1", "meta");
    let (id, status, _) = worker.job_status().await;
    assert_eq!((id.as_str(), status), ("AJ_1", JobStatus::JsRunning));
    assert_eq!(told.recv().await.unwrap().0, "joined");
    // Our own address, as the server gave none; and the token that it gave.
    assert_eq!(room.joined(), [(server.url(), "token-AJ_1".to_owned())]);
    while worker.next_status().await.job_count != 1 {}

    // The room is left from outside: the job ends, and is done.
    room.disconnect(DisconnectReason::RoomDeleted);
    let (session, reason) = told.recv().await.unwrap();
    assert_eq!(session, "session");
    assert!(reason.contains("RoomDeleted"), "{reason}");
    assert_eq!(told.recv().await.unwrap().0, "callback");
    let (id, status, error) = worker.job_status().await;
    assert_eq!(
        (id.as_str(), status),
        ("AJ_1", JobStatus::JsSuccess),
        "{error}"
    );
    end(&handle, running).await;
}

#[tokio::test]
async fn the_request_function_names_the_agent_or_refuses() {
    let mut server = FakeServer::start().await;
    let options = task_options(&server.url(), until_ended).request(async |request| {
        match request.job.metadata.as_str() {
            "accept" => JobAnswer::Accept(AgentIdentity {
                identity: "me".into(),
                name: "My name".into(),
                metadata: "m".into(),
                attributes: [("k".into(), "v".into())].into(),
            }),
            "terminate" => JobAnswer::Reject { terminate: true },
            "next" => JobAnswer::Reject { terminate: false },
            "panic" => panic!("in the request function"),
            _ => std::future::pending().await,
        }
    });
    let mut options = options;
    options.timing.request_timeout = 100 * MS;
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.offer("AJ_1", "accept");
    let answer = worker.availability().await;
    assert_eq!(answer.participant_identity, "me");
    assert_eq!(answer.participant_name, "My name");
    assert_eq!(answer.participant_metadata, "m");
    assert_eq!(answer.participant_attributes["k"], "v");
    for (metadata, terminate) in [
        ("terminate", true),
        ("next", false),
        ("panic", false),
        ("hang", false),
    ] {
        worker.offer("AJ_2", metadata);
        let answer = worker.availability().await;
        assert_eq!(
            (answer.available, answer.terminate),
            (false, terminate),
            "{metadata}"
        );
        assert_eq!(answer.job_id, "AJ_2");
    }
    end(&handle, running).await;
}

#[tokio::test]
async fn an_offer_that_waited_for_the_load_has_less_time_for_its_answer() {
    let mut server = FakeServer::start().await;
    let options = task_options(&server.url(), until_ended).load_fn(|| {
        std::thread::sleep(300 * MS);
        0.0
    });
    let mut options = options.request(async |_| {
        tokio::time::sleep(250 * MS).await;
        JobAnswer::Accept(AgentIdentity::default())
    });
    options.timing.request_timeout = 400 * MS;
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.offer("AJ_1", "");
    assert!(!worker.availability().await.available);
    end(&handle, running).await;
}

#[tokio::test]
async fn a_full_worker_refuses_and_says_so() {
    let mut server = FakeServer::start().await;
    let load = Arc::new(AtomicU64::new(90));
    let told = load.clone();
    let mut options = task_options(&server.url(), until_ended)
        .load_fn(move || told.load(Ordering::Relaxed) as f64 / 100.0);
    options.load_threshold = None;
    options.mode = Mode::Production;
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    while worker.next_status().await.status() != WorkerStatus::WsFull {}
    worker.offer("AJ_1", "");
    assert!(!worker.availability().await.available);
    load.store(10, Ordering::Relaxed);
    while worker.next_status().await.status() != WorkerStatus::WsAvailable {}
    worker.offer("AJ_1", "");
    assert!(worker.availability().await.available);
    end(&handle, running).await;
}

#[tokio::test]
async fn offers_that_come_together_see_each_others_reserved_load() {
    let mut server = FakeServer::start().await;
    let mut options = task_options(&server.url(), until_ended).load_fn(|| 0.0);
    // Each of two slots is half of the threshold: the third offer finds the worker full though nothing runs yet.
    options.load_threshold = Some(0.7);
    options.num_idle_processes = Some(2);
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    for id in ["AJ_1", "AJ_2", "AJ_3", "AJ_4"] {
        worker.offer(id, "");
    }
    let mut taken = 0;
    for _ in 0..4 {
        taken += usize::from(worker.availability().await.available);
    }
    assert_eq!(taken, 2);
    end(&handle, running).await;
}

#[tokio::test]
async fn an_assignment_that_never_comes_frees_its_slot() {
    let mut server = FakeServer::start().await;
    let mut options = task_options(&server.url(), until_ended).load_fn(|| 0.0);
    options.load_threshold = Some(0.7);
    options.num_idle_processes = Some(1);
    options.timing.assignment_timeout = 200 * MS;
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.offer("AJ_1", "");
    assert!(worker.availability().await.available);
    worker.offer("AJ_2", "");
    assert!(
        !worker.availability().await.available,
        "the slot is reserved"
    );
    handle
        .wait_for(|info| info.reserved_jobs == 0)
        .await
        .unwrap();
    worker.offer("AJ_2", "");
    assert!(
        worker.availability().await.available,
        "the slot is free again"
    );
    // One that comes too late is answered, so that the server does not take the job for running.
    worker.assign("AJ_1", "");
    let (id, status, error) = worker.job_status().await;
    assert_eq!((id.as_str(), status), ("AJ_1", JobStatus::JsFailed));
    assert!(error.contains("not expect"), "{error}");
    end(&handle, running).await;
}

#[tokio::test]
async fn after_a_break_it_registers_again_and_migrates_the_jobs_that_run() {
    let mut server = FakeServer::start().await;
    let (handle, running) = start(task_options(&server.url(), until_ended));
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "").await;
    worker.break_off();
    let mut worker = server.register().await;
    assert!(worker.registration.is_some());
    // Before any report of the load.
    match worker.next().await {
        FromWorker::MigrateJob(migrate) => assert_eq!(migrate.job_ids, ["AJ_1"]),
        other => panic!("no migration: {other:?}"),
    }
    assert_eq!(
        handle.wait_for(|i| i.connected).await.unwrap().worker_id,
        "AW_2"
    );
    assert_eq!(worker.next_status().await.job_count, 1);
    worker.terminate("AJ_1");
    let (id, status, _) = worker.job_status().await;
    assert_eq!((id.as_str(), status), ("AJ_1", JobStatus::JsSuccess));
    worker.run_job("AJ_2", "").await;
    end(&handle, running).await;
}

#[tokio::test]
async fn what_happens_while_disconnected_is_told_after_the_next_registration() {
    let mut server = FakeServer::start().await;
    let (tell, mut told) = mpsc::unbounded_channel::<JobContext>();
    let options = task_options(&server.url(), move |job: JobContext| {
        tell.send(job.clone()).unwrap();
        until_ended(job)
    });
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "").await;
    let job = told.recv().await.unwrap();
    worker.break_off();
    // The next connection is taken, and its worker not yet registered, while the job ends.
    let mut worker = server.accept().await;
    assert!(matches!(worker.next().await, FromWorker::Register(_)));
    job.shutdown("done");
    handle.wait_for(|info| info.active_jobs == 0).await.unwrap();
    tokio::time::sleep(200 * MS).await;
    worker.send(ToWorker::Register(proto::RegisterWorkerResponse {
        worker_id: "AW_2".into(),
        ..Default::default()
    }));
    // The end of the job comes first, and no report of the load from the time between.
    match worker.next().await {
        FromWorker::UpdateJob(update) => {
            assert_eq!(
                (update.job_id.as_str(), update.status()),
                ("AJ_1", JobStatus::JsSuccess)
            );
        }
        other => panic!("{other:?}"),
    }
    end(&handle, running).await;
}

#[tokio::test]
async fn what_a_dead_connection_does_not_take_is_told_on_the_next_one() {
    // More than the system's buffers take, less than a message may have.
    let words = "w".repeat(15 << 20);
    let mut server = FakeServer::start().await;
    let (tell, mut told) = mpsc::unbounded_channel::<JobContext>();
    let last = words.clone();
    let mut options = task_options(&server.url(), move |job: JobContext| {
        tell.send(job.clone()).unwrap();
        let last = last.clone();
        async move {
            job.ended().await;
            Err(last.into())
        }
    });
    options.timing.heartbeat = Duration::from_secs(3);
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "").await;
    let job = told.recv().await.unwrap();
    worker.fall_silent();
    tokio::time::sleep(200 * MS).await;
    job.shutdown("done");
    handle.wait_for(|info| info.active_jobs == 0).await.unwrap();
    let mut next = server.register().await;
    let (id, status, error) = next.job_status().await;
    assert_eq!((id.as_str(), status), ("AJ_1", JobStatus::JsFailed));
    assert!(error == words, "{} bytes", error.len());
    end(&handle, running).await;
}

#[tokio::test]
async fn a_first_message_that_is_no_registration_is_a_failed_try() {
    let mut server = FakeServer::start().await;
    let (handle, running) = start(task_options(&server.url(), until_ended));
    let worker = server.accept().await;
    worker.send(ToWorker::Pong(proto::WorkerPong::default()));
    let _worker = server.register().await;
    handle.wait_for(|info| info.connected).await.unwrap();
    end(&handle, running).await;
}

#[tokio::test]
async fn it_gives_up_after_as_many_tries_as_allowed() {
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("ws://{}", listener.local_addr().unwrap())
    };
    let mut options = task_options(&url, until_ended);
    options.max_retry = 3;
    let (_, running) = start(options);
    let ended = tokio::time::timeout(PATIENCE, running).await.unwrap();
    let error = ended.unwrap().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("3 tries") && text.contains(&url), "{text}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left_and_found_again() {
    let mut server = FakeServer::start().await;
    let mut options = task_options(&server.url(), until_ended);
    options.timing.heartbeat = 100 * MS;
    options.timing.heartbeat_timeout = 100 * MS;
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    // As long as the server's WebSocket answers pings, the connection stands.
    loop {
        if let FromWorker::Ping(ping) = worker.next().await {
            assert!(
                ping.timestamp > 1_700_000_000_000,
                "milliseconds since 1970"
            );
            break;
        }
    }
    tokio::time::sleep(500 * MS).await;
    assert!(handle.info().connected);
    worker.fall_silent();
    let mut again = server.register().await;
    again.run_job("AJ_1", "").await;
    end(&handle, running).await;
}

#[tokio::test]
async fn an_entrypoint_that_fails_or_panics_is_a_failed_job_and_not_a_dead_worker() {
    let mut server = FakeServer::start().await;
    let (handle, running) = start(task_options(
        &server.url(),
        async |job: JobContext| match job.job().metadata.as_str() {
            "error" => Err("the words of the error".into()),
            "panic" => panic!("the words of the panic"),
            _ => Ok(()),
        },
    ));
    let mut worker = server.register().await;
    for what in ["error", "panic"] {
        let id = format!("AJ_{what}");
        worker.run_job(&id, what).await;
        let (ended, status, error) = worker.job_status().await;
        assert_eq!((ended, status), (id, JobStatus::JsFailed));
        assert!(
            error.contains(&format!("the words of the {what}")),
            "{error}"
        );
    }
    // One that returns without having joined has nothing to wait for.
    worker.run_job("AJ_ok", "ok").await;
    let (_, status, _) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess);
    assert_eq!(handle.info().failed_jobs, 2);
    end(&handle, running).await;
}

#[tokio::test]
async fn a_drain_refuses_jobs_and_ends_with_the_last_one() {
    let mut server = FakeServer::start().await;
    let (handle, running) = start(task_options(&server.url(), until_ended));
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "").await;
    handle.drain();
    let status = loop {
        let status = worker.next_status().await;
        if status.status() == WorkerStatus::WsFull {
            break status;
        }
    };
    // The peer leaves the load out while it drains.
    assert_eq!((status.load, status.job_count), (0.0, 1));
    worker.offer("AJ_2", "");
    assert!(!worker.availability().await.available);
    assert!(!running.is_finished());
    worker.terminate("AJ_1");
    let (_, status, _) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess);
    tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_drain_that_takes_too_long_ends_the_jobs() {
    let mut server = FakeServer::start().await;
    let mut options = task_options(&server.url(), until_ended);
    options.drain_timeout = 200 * MS;
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "").await;
    handle.drain();
    let error = tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(error, WorkerError::DrainTimeout { jobs: 1, .. }),
        "{error}"
    );
    let (_, status, _) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess, "it was asked, and ended");
}

#[tokio::test]
async fn the_shutdown_waits_for_each_stage_no_longer_than_allowed() {
    let mut server = FakeServer::start().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let room = FakeTransport::default();
    let transport = room.clone();
    let late = tell.clone();
    let mut options = task_options(&server.url(), move |job: JobContext| {
        let tell = tell.clone();
        async move {
            let _connection = job.connect(AutoSubscribe::All).await?;
            job.add_session_close(async |_| std::future::pending().await);
            job.add_shutdown_callback(async |_| panic!("in a callback"));
            job.add_shutdown_callback(|reason| {
                assert!(reason.is_empty(), "before a callback's future");
                async {}
            });
            job.add_shutdown_callback(async |_| std::future::pending().await);
            job.add_shutdown_callback(async move |reason| drop(tell.send(reason)));
            std::future::pending().await
        }
    })
    .session_end(move |job: JobContext| {
        let late = late.clone();
        async move {
            late.send(format!("session end of {}", job.job().id))
                .unwrap();
            std::future::pending().await
        }
    })
    .transport(move || Ok(Arc::new(transport.clone())));
    options.timing.entrypoint_timeout = 50 * MS;
    options.timing.session_close_timeout = 50 * MS;
    options.timing.session_end_timeout = 50 * MS;
    options.timing.shutdown_process_timeout = 50 * MS;
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "").await;
    while room.joined().is_empty() {
        tokio::time::sleep(MS).await;
    }
    tokio::time::sleep(20 * MS).await;
    worker.terminate("AJ_1");
    assert_eq!(told.recv().await.unwrap(), "session end of AJ_1");
    assert_eq!(told.recv().await.unwrap(), "terminated by the server");
    assert!(
        room.is_closed(),
        "the room is left before the callbacks run"
    );
    let (_, status, _) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess);
    end(&handle, running).await;
}

#[tokio::test]
async fn a_join_that_was_given_up_can_be_tried_again_and_keeps_no_job_open() {
    let mut server = FakeServer::start().await;
    let room = FakeTransport::default();
    room.hang(2);
    let transport = room.clone();
    let options = task_options(&server.url(), |job: JobContext| async move {
        let join = || tokio::time::timeout(50 * MS, job.connect(AutoSubscribe::All));
        assert!(join().await.is_err(), "the first join hangs");
        if job.job().metadata == "again" {
            assert!(join().await.is_err(), "the second join hangs");
            join().await??;
            job.shutdown("joined in the end");
        }
        // Otherwise there is no room, and the job ends with its entrypoint.
        Ok(())
    })
    .transport(move || Ok(Arc::new(transport.clone())));
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "again").await;
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess, "{error}");
    assert_eq!(room.joined().len(), 1);
    room.hang(1);
    worker.run_job("AJ_2", "once").await;
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess, "{error}");
    end(&handle, running).await;
}

#[tokio::test]
async fn a_job_that_waits_for_its_slot_when_the_worker_is_killed_has_failed() {
    let mut server = FakeServer::start().await;
    // The prewarm goes on until the test is over, so no slot is ever ready.
    let (over, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let options = task_options(&server.url(), until_ended).prewarm(move |_| {
        let _ = wait.lock().unwrap().recv();
        Ok(())
    });
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.offer("AJ_1", "");
    assert!(worker.availability().await.available);
    worker.assign("AJ_1", "");
    handle.wait_for(|info| info.active_jobs == 1).await.unwrap();
    handle.kill();
    let (id, status, error) = worker.job_status().await;
    assert_eq!((id.as_str(), status), ("AJ_1", JobStatus::JsFailed));
    assert!(error.contains("killed"), "{error}");
    drop(over);
    let ended = tokio::time::timeout(PATIENCE, running).await;
    ended.expect("it ends").unwrap().unwrap();
}

#[tokio::test]
async fn ten_jobs_at_once_run_beside_each_other() {
    let mut server = FakeServer::start().await;
    let room = Arc::new(tokio::sync::Barrier::new(10));
    let options = task_options(&server.url(), move |_| {
        let room = room.clone();
        async move {
            // Ends only if all ten are here.
            room.wait().await;
            Ok(())
        }
    });
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    for n in 0..10 {
        worker.offer(&format!("AJ_{n}"), "");
    }
    let mut done = 0;
    while done < 10 {
        match worker.next_deed().await {
            FromWorker::Availability(answer) => {
                assert!(answer.available);
                worker.assign(&answer.job_id, "");
            }
            FromWorker::UpdateJob(update) if update.status() == JobStatus::JsSuccess => done += 1,
            FromWorker::UpdateJob(update) => assert_eq!(update.status(), JobStatus::JsRunning),
            other => panic!("{other:?}"),
        }
    }
    end(&handle, running).await;
}

fn participant(identity: &str, kind: ParticipantKind) -> Participant {
    Participant {
        sid: format!("PA_{identity}"),
        identity: identity.to_owned(),
        kind,
        ..Default::default()
    }
}

#[tokio::test]
async fn participants_are_waited_for_and_taken_to_the_entrypoints_once_each() {
    let mut server = FakeServer::start().await;
    let room = FakeTransport::default();
    room.come(participant("early", ParticipantKind::Standard));
    room.come(participant("robot", ParticipantKind::Agent));
    room.fail(1);
    let (tell, mut told) = mpsc::unbounded_channel();
    let transport = room.clone();
    let options = task_options(&server.url(), move |job: JobContext| {
        let tell = tell.clone();
        async move {
            let seen = tell.clone();
            job.add_participant_entrypoint(ParticipantFilter::default(), move |_, participant| {
                let _ = seen.send(format!("entry {}", participant.identity));
                async { Err("is logged, and no more".into()) }
            });
            assert!(matches!(
                job.wait_for_participant(&ParticipantFilter::default(), PATIENCE)
                    .await,
                Err(JobError::NotConnected)
            ));
            // The first try fails; the second may follow.
            assert!(matches!(
                job.connect(AutoSubscribe::All).await,
                Err(JobError::Transport(_))
            ));
            job.connect(AutoSubscribe::All).await?;
            let first = job
                .wait_for_participant(&ParticipantFilter::default(), PATIENCE)
                .await?;
            assert_eq!(first.identity, "early");
            let agents = ParticipantFilter::kinds([ParticipantKind::Agent]);
            assert_eq!(
                job.wait_for_participant(&agents, PATIENCE).await?.identity,
                "robot"
            );
            let late = ParticipantFilter::identity("late");
            let error = job.wait_for_participant(&late, 30 * MS).await.unwrap_err();
            assert!(matches!(error, JobError::NoParticipant { .. }));
            assert!(error.to_string().contains("late"), "{error}");
            tell.send("waiting".to_owned()).unwrap();
            assert_eq!(
                job.wait_for_participant(&late, PATIENCE).await?.identity,
                "late"
            );
            tell.send("found".to_owned()).unwrap();
            let never = ParticipantFilter::identity("never");
            let error = job
                .wait_for_participant(&never, PATIENCE)
                .await
                .unwrap_err();
            assert!(matches!(error, JobError::Left), "{error}");
            tell.send("left".to_owned()).unwrap();
            Ok(())
        }
    });
    let options = options.transport(move || Ok(Arc::new(transport.clone())));
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    worker.run_job("AJ_1", "").await;
    assert_eq!(told.recv().await.unwrap(), "entry early");
    assert_eq!(told.recv().await.unwrap(), "waiting");
    room.come(participant("late", ParticipantKind::Sip));
    let mut both = [told.recv().await.unwrap(), told.recv().await.unwrap()];
    both.sort();
    assert_eq!(both, ["entry late", "found"]);
    room.go("late");
    room.come(participant("late", ParticipantKind::Sip));
    assert_eq!(
        told.recv().await.unwrap(),
        "entry late",
        "who comes again is new"
    );
    room.disconnect(DisconnectReason::ConnectionLost);
    assert_eq!(told.recv().await.unwrap(), "left");
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess, "{error}");
    end(&handle, running).await;
}

/// A language model that is not there.
struct Missing;

#[async_trait::async_trait]
impl Llm for Missing {
    fn label(&self) -> &str {
        "missing"
    }

    async fn chat(&self, _: &ChatContext) -> Result<ChatStream, ProviderError> {
        Err(ProviderError::new(
            "missing",
            ErrorKind::Rejected,
            "no such model",
        ))
    }
}

/// Tells what it goes through, and asks the language model if its name says so.
struct Witness(mpsc::UnboundedSender<String>, bool);

#[async_trait::async_trait]
impl Agent for Witness {
    async fn on_enter(&self, session: &AgentSession) {
        let _ = self.0.send("enters".to_owned());
        if self.1 {
            let _ = session.generate_reply(ReplyOptions::default());
        }
    }

    async fn on_exit(&self, session: &AgentSession) {
        let room = session.room().unwrap();
        let _ = self
            .0
            .send(format!("exits, in room: {}", room.is_connected()));
    }
}

#[tokio::test]
async fn a_job_that_is_a_conversation_ends_with_it_and_fails_with_it() {
    let mut server = FakeServer::start().await;
    let room = FakeTransport::default();
    room.come(participant("anna", ParticipantKind::Standard));
    let (tell, mut told) = mpsc::unbounded_channel();
    let transport = room.clone();
    let options = task_options(&server.url(), move |job: JobContext| {
        let tell = tell.clone();
        async move {
            let fails = job.job().metadata == "fails";
            let session = AgentSession::builder()
                .llm(Arc::new(Missing))
                .max_unrecoverable_errors(1)
                .build()?;
            let (mut events, tells) = (session.events(), tell.clone());
            tokio::spawn(async move {
                while let Some(event) = events.recv().await {
                    if let SessionEvent::Close { reason, .. } = event {
                        let _ = tells.send(format!("closes: {reason:?}"));
                    }
                }
            });
            let (input, output) = (RoomInputOptions::default(), RoomOutputOptions::default());
            job.run_session(&session, Witness(tell, fails), input, output)
                .await
        }
    });
    let options = options.transport(move || Ok(Arc::new(transport.clone())));
    let (handle, running) = start(options);
    let mut worker = server.register().await;

    worker.run_job("AJ_hangs up", "").await;
    assert_eq!(told.recv().await.unwrap(), "enters");
    room.go("anna");
    assert_eq!(told.recv().await.unwrap(), "exits, in room: true");
    assert_eq!(
        told.recv().await.unwrap(),
        "closes: ParticipantDisconnected"
    );
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess, "{error}");
    assert!(room.is_closed());

    room.come(participant("anna", ParticipantKind::Standard));
    worker.run_job("AJ_is ended", "").await;
    assert_eq!(told.recv().await.unwrap(), "enters");
    worker.terminate("AJ_is ended");
    assert_eq!(told.recv().await.unwrap(), "exits, in room: true");
    assert_eq!(told.recv().await.unwrap(), "closes: JobShutdown");
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsSuccess, "{error}");

    worker.run_job("AJ_fails", "fails").await;
    assert_eq!(told.recv().await.unwrap(), "enters");
    assert_eq!(told.recv().await.unwrap(), "exits, in room: true");
    assert_eq!(told.recv().await.unwrap(), "closes: Error");
    let (_, status, error) = worker.job_status().await;
    assert_eq!(status, JobStatus::JsFailed);
    assert!(error.contains("no such model"), "{error}");
    end(&handle, running).await;
}

#[tokio::test]
async fn a_load_function_without_sense_leaves_the_load_as_it_was() {
    let mut server = FakeServer::start().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let options = task_options(&server.url(), until_ended).load_fn(move || {
        match counted.fetch_add(1, Ordering::Relaxed) {
            0 => 0.5,
            1 => f64::NAN,
            2 => -1.0,
            _ => panic!("in the load function"),
        }
    });
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    while worker.next_status().await.load != 0.5 {}
    while calls.load(Ordering::Relaxed) < 6 {
        assert_eq!(worker.next_status().await.load, 0.5);
    }
    end(&handle, running).await;
}

#[tokio::test]
async fn a_job_is_simulated_in_a_room_of_the_servers() {
    let mut server = FakeServer::start().await;
    let (handle, running) = start(task_options(&server.url(), until_ended));
    let mut worker: FakeWorkerConnection = server.register().await;
    let api = listenkit_session::api::ServerApi::new(listenkit_session::api::Credentials {
        url: "ws://127.0.0.1:1".into(),
        api_key: "k".into(),
        api_secret: SECRET.into(),
    });
    // The server's API is not there; nothing is asked of the worker's connection then.
    assert!(handle.simulate(&api, "kitchen").await.is_err());
    worker.run_job("AJ_1", "").await;
    end(&handle, running).await;
}

async fn http(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", address.port()))
        .await
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[tokio::test]
async fn the_health_endpoint_tells_whether_it_is_well_and_what_it_does() {
    let mut server = FakeServer::start().await;
    let mut options = task_options(&server.url(), until_ended);
    options.agent_name = "ada".into();
    options.health_endpoint = true;
    options.host = "127.0.0.1".into();
    options.port = Some(0);
    let (handle, running) = start(options);
    let info = handle
        .wait_for(|info| info.health_address.is_some())
        .await
        .unwrap();
    let address = info.health_address.unwrap();
    let (status, text) = http(address, "/").await;
    assert_eq!(status, 503);
    assert!(text.contains("not registered yet"), "{text}");
    let mut worker = server.register().await;
    handle.wait_for(|info| info.connected).await.unwrap();
    assert_eq!(http(address, "/").await, (200, "OK".to_owned()));
    worker.run_job("AJ_1", "").await;
    let (status, text) = http(address, "/worker").await;
    assert_eq!(status, 200);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["agent_name"], "ada");
    assert_eq!(told["worker_type"], "JT_ROOM");
    assert_eq!(told["active_jobs"], 1);
    assert_eq!(told["worker_id"], "AW_1");
    assert_eq!(told["protocol_version"], 1);
    // A restart of the server is no reason to restart the worker, with its job.
    worker.break_off();
    handle.wait_for(|info| !info.connected).await.unwrap();
    assert_eq!(http(address, "/").await.0, 200);
    end(&handle, running).await;
}

#[tokio::test]
async fn a_server_that_sends_it_away_is_registered_at_anew() {
    let mut server = FakeServer::start().await;
    let mut options = task_options(&server.url(), until_ended);
    options.worker_token = "a token & more".into();
    let (handle, running) = start(options);
    let mut worker = server.register().await;
    assert_eq!(
        worker.query.as_deref(),
        Some("worker_token=a+token+%26+more")
    );
    worker.run_job("AJ_1", "").await;
    worker.send(ToWorker::GoAway(Default::default()));
    let mut worker = server.register().await;
    assert!(matches!(worker.next().await, FromWorker::MigrateJob(_)));
    end(&handle, running).await;
}
