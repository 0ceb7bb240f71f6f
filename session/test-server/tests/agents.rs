//! Workers and jobs, with workers that speak the protocol by hand.

mod support;

use std::time::Duration;

use listenkit_test_server::proto;
use listenkit_test_server::{AgentTraffic, Options, TestServer};
use proto::server_message::Message as ToWorker;
use proto::signal_request::Message as Request;
use proto::worker_message::Message as FromWorker;
use proto::{JobStatus, JobType, WorkerStatus};
use support::{DEADLINE, Socket, open, twirp};

/// A worker that has registered, with its identifier.
struct Worker {
    socket: Socket,
    id: String,
}

impl Worker {
    async fn register(server: &TestServer, agent_name: &str) -> Self {
        let mut socket = Socket::worker(server).await;
        let register = proto::RegisterWorkerRequest {
            r#type: JobType::JtRoom.into(),
            agent_name: agent_name.to_owned(),
            version: "test".into(),
            ..Default::default()
        };
        socket.tell(FromWorker::Register(register)).await;
        let ToWorker::Register(answer) = socket.order().await else {
            panic!("the first message is the registration's")
        };
        assert!(answer.worker_id.starts_with("AW_") && answer.server_info.is_some());
        Self {
            socket,
            id: answer.worker_id,
        }
    }

    async fn say_load(&mut self, load: f32, status: WorkerStatus) {
        let update = proto::UpdateWorkerStatus {
            status: Some(status.into()),
            load,
            ..Default::default()
        };
        self.socket.tell(FromWorker::UpdateWorker(update)).await;
    }

    /// Answers the next question about a job.
    async fn answer(&mut self, available: bool) -> proto::Job {
        let ToWorker::Availability(request) = self.socket.order().await else {
            panic!("a question about a job")
        };
        let job = request.job.expect("a job");
        let answer = proto::AvailabilityResponse {
            job_id: job.id.clone(),
            available,
            participant_identity: format!("agent-{}", job.id),
            participant_name: "Agent".into(),
            participant_attributes: [("lk.agent.name".to_owned(), job.agent_name.clone())].into(),
            ..Default::default()
        };
        self.socket.tell(FromWorker::Availability(answer)).await;
        job
    }

    async fn assignment(&mut self) -> proto::JobAssignment {
        let ToWorker::Assignment(assignment) = self.socket.order().await else {
            panic!("an assignment")
        };
        assignment
    }

    async fn termination(&mut self) -> String {
        let ToWorker::Termination(termination) = self.socket.order().await else {
            panic!("a termination")
        };
        termination.job_id
    }
}

async fn server() -> TestServer {
    TestServer::start(Options::default()).await.expect("starts")
}

#[tokio::test]
async fn a_worker_without_a_name_gets_a_job_for_every_room() {
    let server = server().await;
    let mut worker = Worker::register(&server, "").await;
    let _alice = Socket::join(&server, "alice", "kitchen").await;
    let asked = worker.answer(true).await;
    assert_eq!(
        (
            asked.room.as_ref().expect("a room").name.as_str(),
            asked.r#type()
        ),
        ("kitchen", JobType::JtRoom)
    );

    let assignment = worker.assignment().await;
    let job = assignment.job.expect("a job");
    assert_eq!(job.id, asked.id);
    assert_eq!(job.state.expect("a state").status(), JobStatus::JsRunning);
    // The token lets the agent in, as the worker called it.
    let mut agent = open(&server, "/rtc", &assignment.token)
        .await
        .expect("joins");
    let room = server.room("kitchen").expect("open");
    let info = room
        .participant(&format!("agent-{}", asked.id))
        .expect("in the room");
    assert_eq!(
        (info.name.as_str(), info.kind()),
        ("Agent", proto::participant_info::Kind::Agent)
    );
    assert!(
        info.attributes.contains_key("lk.agent_name")
            && info.attributes.contains_key("lk.agent.name")
    );
    assert!(
        info.permission
            .as_ref()
            .expect("permissions")
            .can_update_metadata,
        "all, as the worker named none"
    );

    // An agent that leaves has ended its job.
    agent
        .ask(Request::Leave(proto::LeaveRequest::default()))
        .await;
    assert_eq!(worker.termination().await, asked.id);
}

#[tokio::test]
async fn a_named_worker_is_dispatched_explicitly_only() {
    let server = server().await;
    let mut worker = Worker::register(&server, "cook").await;
    let _alice = Socket::join(&server, "alice", "kitchen").await;
    let token = server
        .new_token()
        .grants(|g| (g.room_admin, g.room) = (true, "kitchen".into()))
        .build();
    let body = r#"{"room": "kitchen", "agent_name": "cook", "metadata": "soup"}"#;
    let (status, dispatch) =
        twirp(&server, &token, "AgentDispatchService/CreateDispatch", body).await;
    assert_eq!(status, 200);
    let id = dispatch["id"].as_str().expect("an identifier").to_owned();
    // The first question is this one: the room's own dispatch was not for this worker.
    let job = worker.answer(true).await;
    assert_eq!(
        (job.dispatch_id.as_str(), job.metadata.as_str()),
        (id.as_str(), "soup")
    );
    worker.assignment().await;

    let body = format!(r#"{{"room": "kitchen", "dispatch_id": "{id}"}}"#);
    let (_, listed) = twirp(&server, &token, "AgentDispatchService/ListDispatch", &body).await;
    assert_eq!(
        listed["agentDispatches"][0]["state"]["jobs"][0]["id"],
        job.id
    );
    let (status, _) = twirp(
        &server,
        &token,
        "AgentDispatchService/DeleteDispatch",
        &body,
    )
    .await;
    assert_eq!((status, worker.termination().await), (200, job.id));
    let (status, _) = twirp(
        &server,
        &token,
        "AgentDispatchService/DeleteDispatch",
        &body,
    )
    .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_token_brings_agents_into_the_room_it_makes() {
    let server = server().await;
    let mut cook = Worker::register(&server, "cook").await;
    let mut unnamed = Worker::register(&server, "").await;
    let agent = proto::RoomAgentDispatch {
        agent_name: "cook".into(),
        metadata: "soup".into(),
        ..Default::default()
    };
    let config = proto::RoomConfiguration {
        agents: vec![agent],
        ..Default::default()
    };
    let token = server
        .new_token()
        .join("alice", "kitchen")
        .room_config(config)
        .build();
    let _alice = open(&server, "/rtc", &token).await.expect("joins");
    assert_eq!(cook.answer(true).await.metadata, "soup");
    // Named agents take the place of those without a name: the next room is the first that this worker hears of.
    let _bob = Socket::join(&server, "bob", "cellar").await;
    assert_eq!(
        unnamed.answer(true).await.room.expect("a room").name,
        "cellar"
    );
}

#[tokio::test]
async fn the_worker_with_the_most_room_is_asked_first_then_the_others() {
    let server = server().await;
    let mut busy = Worker::register(&server, "cook").await;
    let mut idle = Worker::register(&server, "cook").await;
    let mut full = Worker::register(&server, "cook").await;
    busy.say_load(0.6, WorkerStatus::WsAvailable).await;
    idle.say_load(0.1, WorkerStatus::WsAvailable).await;
    full.say_load(0.0, WorkerStatus::WsFull).await;
    let has_all = |log: &[listenkit_test_server::AgentEntry]| {
        let is_update = |t: &AgentTraffic| matches!(t, AgentTraffic::FromWorker(m) if matches!(**m, FromWorker::UpdateWorker(_)));
        (log.iter().filter(|entry| is_update(&entry.traffic)).count() == 3).then_some(())
    };
    server
        .wait_for_agent_log("three updates", DEADLINE, has_all)
        .await
        .expect("they arrive");

    server
        .dispatch("kitchen", "cook", "")
        .await
        .expect("dispatched");
    let job = idle.answer(false).await;
    assert_eq!(
        busy.answer(false).await.id,
        job.id,
        "the same job, to the next one"
    );
    // Nobody else: the next question is about the next job.
    server
        .dispatch("kitchen", "cook", "second")
        .await
        .expect("dispatched");
    assert_eq!(idle.answer(true).await.metadata, "second");
    idle.assignment().await;
    let workers = server.workers().await;
    let jobs = |id: &str| {
        workers
            .iter()
            .find(|w| w.id == id)
            .expect("registered")
            .jobs
            .len()
    };
    assert_eq!((jobs(&idle.id), jobs(&busy.id), jobs(&full.id)), (1, 0, 0));
}

#[tokio::test]
async fn a_job_whose_worker_vanishes_before_it_answers_goes_to_another() {
    let server = server().await;
    let mut first = Worker::register(&server, "cook").await;
    server
        .dispatch("kitchen", "cook", "")
        .await
        .expect("dispatched");
    let ToWorker::Availability(asked) = first.socket.order().await else {
        panic!("a question about a job")
    };
    let mut second = Worker::register(&server, "cook").await;
    drop(first);
    assert_eq!(second.answer(true).await.id, asked.job.expect("a job").id);
}

#[tokio::test]
async fn a_worker_can_simulate_a_job_for_itself() {
    let server = server().await;
    let mut other = Worker::register(&server, "").await;
    let mut worker = Worker::register(&server, "cook").await;
    let room = proto::Room {
        name: "kitchen".into(),
        ..Default::default()
    };
    let simulate = proto::SimulateJobRequest {
        room: Some(room),
        ..Default::default()
    };
    worker.socket.tell(FromWorker::SimulateJob(simulate)).await;
    assert_eq!(worker.answer(true).await.agent_name, "cook");
    assert_eq!(
        worker
            .assignment()
            .await
            .job
            .expect("a job")
            .room
            .expect("a room")
            .name,
        "kitchen"
    );

    worker
        .socket
        .tell(FromWorker::Ping(proto::WorkerPing { timestamp: 7 }))
        .await;
    let ToWorker::Pong(pong) = worker.socket.order().await else {
        panic!("a pong")
    };
    assert_eq!(pong.last_timestamp, 7);
    other
        .socket
        .tell(FromWorker::Ping(proto::WorkerPing { timestamp: 8 }))
        .await;
    assert!(
        matches!(other.socket.order().await, ToWorker::Pong(_)),
        "the other worker was asked nothing"
    );
}

#[tokio::test]
async fn who_does_not_register_or_may_not_is_sent_away() {
    let server = server().await;
    let mut hasty = Socket::worker(&server).await;
    hasty
        .tell(FromWorker::Ping(proto::WorkerPing { timestamp: 7 }))
        .await;
    assert_eq!(
        hasty.bytes().await,
        None,
        "closed, as the first message must be the registration"
    );
    assert_eq!(
        open(&server, "/agent", &server.token("alice", "kitchen"))
            .await
            .err(),
        Some(401)
    );
    assert!(server.workers().await.is_empty());
}

#[tokio::test]
async fn everything_between_workers_and_server_is_logged_as_it_went() {
    let file = std::env::temp_dir().join(format!("listenkit-agents-{}.jsonl", std::process::id()));
    let options = Options {
        agent_log_file: Some(file.clone()),
        ..Default::default()
    };
    let server = TestServer::start(options).await.expect("starts");
    let worker = Worker::register(&server, "cook").await;
    let id = worker.id.clone();
    drop(worker);
    let closed = |log: &[listenkit_test_server::AgentEntry]| {
        log.iter()
            .any(|entry| entry.traffic == AgentTraffic::Closed)
            .then_some(())
    };
    server
        .wait_for_agent_log("the end", Duration::from_secs(20), closed)
        .await
        .expect("closed");
    server
        .wait_for_workers(0, DEADLINE)
        .await
        .expect("forgotten");

    let text = std::fs::read_to_string(&file).expect("written");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let events: Vec<_> = lines
        .iter()
        .map(|line| line["event"].as_str().expect("an event"))
        .collect();
    assert_eq!(events, ["opened", "from_worker", "to_worker", "closed"]);
    assert_eq!(lines[1]["message"]["register"]["agentName"], "cook");
    assert_eq!(
        (
            lines[2]["message"]["register"]["workerId"].as_str(),
            lines[2]["worker"].as_str()
        ),
        (Some(&*id), Some(&*id))
    );
    _ = std::fs::remove_file(file);
}
