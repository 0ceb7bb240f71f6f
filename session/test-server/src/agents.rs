//! Workers and their jobs: one task that knows every worker, dispatch and job.
//!
//! A room starts its dispatches: those it was made with, or one for workers without a name. Each dispatch becomes a job
//! for one worker: it is asked first, and the next one is asked when it says no. Nothing in here waits for anybody; a
//! worker that does not answer in time has lost the job.

mod log;
mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use livekit_token::{Claims, VideoGrants};
use proto::server_message::Message as ToWorker;
use proto::worker_message::Message as FromWorker;
use proto::{JobStatus, JobType, WorkerStatus};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub use log::{AgentEntry, AgentLog, AgentTraffic};
pub(crate) use worker::connect;

use crate::{Shared, ids, tokens};

/// How long a worker may think about a job.
const AVAILABILITY_DEADLINE: Duration = Duration::from_secs(10);

/// A worker as the server sees it.
#[derive(Clone, Debug)]
pub struct WorkerView {
    /// Identifier given at registration, `AW_...`.
    pub id: String,
    /// Empty for workers that are dispatched automatically.
    pub agent_name: String,
    /// What it takes jobs for.
    pub job_type: JobType,
    /// Whether it takes more.
    pub status: WorkerStatus,
    /// 0 to 1, as the worker said last.
    pub load: f32,
    /// Jobs that were assigned and have not ended, by identifier.
    pub jobs: Vec<String>,
}

/// What rooms tell the dispatcher.
pub(crate) enum Notice {
    RoomStarted {
        room: proto::Room,
        agents: Vec<proto::RoomAgentDispatch>,
    },
    ParticipantActive {
        room: proto::Room,
        participant: proto::ParticipantInfo,
    },
    Published {
        room: proto::Room,
        participant: proto::ParticipantInfo,
    },
    ParticipantLeft {
        room: String,
        participant: proto::ParticipantInfo,
    },
    RoomClosed {
        room: String,
    },
}

/// Everything that happens to the dispatcher.
pub(crate) enum Event {
    Notice(Box<Notice>),
    Registered {
        worker: Box<Registration>,
    },
    Message {
        worker: String,
        message: Box<FromWorker>,
    },
    Closed {
        worker: String,
    },
    CreateDispatch {
        request: Box<proto::CreateAgentDispatchRequest>,
        reply: oneshot::Sender<Option<proto::AgentDispatch>>,
    },
    ListDispatches {
        room: String,
        id: String,
        reply: oneshot::Sender<Vec<proto::AgentDispatch>>,
    },
    DeleteDispatch {
        room: String,
        id: String,
        reply: oneshot::Sender<Option<proto::AgentDispatch>>,
    },
    TerminateJob {
        job: String,
    },
    ListWorkers {
        reply: oneshot::Sender<Vec<WorkerView>>,
    },
}

/// A worker that has said what it is.
pub(crate) struct Registration {
    pub(crate) id: String,
    pub(crate) request: proto::RegisterWorkerRequest,
    pub(crate) outbox: mpsc::Sender<proto::ServerMessage>,
}

struct Worker {
    registration: Registration,
    status: WorkerStatus,
    load: f32,
    jobs: Vec<String>,
}

/// A job that a worker is asked to take.
struct Offer {
    job: proto::Job,
    worker: String,
    refused: HashSet<String>,
    deadline: Instant,
}

struct Dispatcher {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    rooms: HashMap<String, KnownRoom>,
    offers: Vec<Offer>,
    running: Vec<proto::Job>,
}

struct KnownRoom {
    room: proto::Room,
    participants: Vec<proto::ParticipantInfo>,
    dispatches: Vec<proto::AgentDispatch>,
}

/// The dispatcher's task.
pub(crate) async fn run(shared: Arc<Shared>, mut events: mpsc::UnboundedReceiver<Event>) {
    let mut dispatcher = Dispatcher {
        shared,
        workers: Vec::new(),
        rooms: HashMap::new(),
        offers: Vec::new(),
        running: Vec::new(),
    };
    loop {
        let far = Instant::now() + Duration::from_secs(3600);
        let next = dispatcher
            .offers
            .iter()
            .map(|offer| offer.deadline)
            .min()
            .unwrap_or(far);
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => {
                    // A look changes nothing: it must not wake those who wait for a change and look again.
                    let is_look = matches!(event, Event::ListWorkers { .. } | Event::ListDispatches { .. });
                    dispatcher.handle(event);
                    if !is_look {
                        dispatcher.shared.changed();
                    }
                }
                None => return,
            },
            () = tokio::time::sleep_until(next) => dispatcher.drop_overdue(),
        }
    }
}

impl Dispatcher {
    fn handle(&mut self, event: Event) {
        match event {
            Event::Notice(notice) => self.handle_notice(*notice),
            Event::Registered { worker } => self.register(*worker),
            Event::Message { worker, message } => self.handle_message(&worker, *message),
            Event::Closed { worker } => self.forget(&worker),
            Event::CreateDispatch { request, reply } => {
                let proto::CreateAgentDispatchRequest {
                    agent_name,
                    room,
                    metadata,
                    restart_policy,
                    deployment,
                    attributes,
                } = *request;
                let agent = proto::RoomAgentDispatch {
                    agent_name,
                    metadata,
                    restart_policy,
                    deployment,
                    attributes,
                };
                _ = reply.send(self.dispatch(&room, agent));
            }
            Event::ListDispatches { room, id, reply } => {
                let all = self
                    .rooms
                    .get(&room)
                    .map(|r| r.dispatches.clone())
                    .unwrap_or_default();
                _ = reply.send(
                    all.into_iter()
                        .filter(|d| id.is_empty() || d.id == id)
                        .collect(),
                );
            }
            Event::DeleteDispatch { room, id, reply } => {
                _ = reply.send(self.delete_dispatch(&room, &id));
            }
            Event::TerminateJob { job } => self.terminate(&job),
            Event::ListWorkers { reply } => {
                let view = |w: &Worker| WorkerView {
                    id: w.registration.id.clone(),
                    agent_name: w.registration.request.agent_name.clone(),
                    job_type: w.registration.request.r#type(),
                    status: w.status,
                    load: w.load,
                    jobs: w.jobs.clone(),
                };
                _ = reply.send(self.workers.iter().map(view).collect());
            }
        }
    }

    fn handle_notice(&mut self, notice: Notice) {
        match notice {
            Notice::RoomStarted { room, agents } => {
                let name = room.name.clone();
                self.rooms.insert(
                    name.clone(),
                    KnownRoom {
                        room,
                        participants: Vec::new(),
                        dispatches: Vec::new(),
                    },
                );
                let agents = if agents.is_empty() {
                    vec![proto::RoomAgentDispatch::default()]
                } else {
                    agents
                };
                for agent in agents {
                    self.dispatch(&name, agent);
                }
            }
            Notice::ParticipantActive { room, participant } => {
                self.note_participant(&room, &participant);
                self.launch_for(&room.name, &participant, JobType::JtParticipant);
            }
            Notice::Published { room, participant } => {
                self.note_participant(&room, &participant);
                self.launch_for(&room.name, &participant, JobType::JtPublisher);
            }
            Notice::ParticipantLeft { room, participant } => {
                if let Some(known) = self.rooms.get_mut(&room) {
                    known.participants.retain(|p| p.sid != participant.sid);
                }
                // The agent of a job that leaves its room has ended it.
                let is_its = |job: &&proto::Job| {
                    let agent = job.state.as_ref().map(|s| s.participant_identity.as_str());
                    room_of(job) == room && agent == Some(participant.identity.as_str())
                };
                let ended: Vec<_> = self
                    .running
                    .iter()
                    .filter(is_its)
                    .map(|job| job.id.clone())
                    .collect();
                for job in ended {
                    self.terminate(&job);
                }
            }
            Notice::RoomClosed { room } => {
                self.offers.retain(|offer| room_of(&offer.job) != room);
                let ended: Vec<_> = self
                    .running
                    .iter()
                    .filter(|j| room_of(j) == room)
                    .map(|j| j.id.clone())
                    .collect();
                for job in ended {
                    self.terminate(&job);
                }
                self.rooms.remove(&room);
            }
        }
    }

    fn note_participant(&mut self, room: &proto::Room, participant: &proto::ParticipantInfo) {
        let Some(known) = self.rooms.get_mut(&room.name) else {
            return;
        };
        known.room = room.clone();
        known.participants.retain(|p| p.sid != participant.sid);
        known.participants.push(participant.clone());
    }

    /// Starts agents in a room: for the room at once, and for those who are there already.
    fn dispatch(
        &mut self,
        room: &str,
        agent: proto::RoomAgentDispatch,
    ) -> Option<proto::AgentDispatch> {
        let known = self.rooms.get_mut(room)?;
        let dispatch = proto::AgentDispatch {
            id: ids::new("AD_"),
            agent_name: agent.agent_name,
            room: room.to_owned(),
            metadata: agent.metadata,
            state: Some(proto::AgentDispatchState {
                created_at: ids::now_ms() * 1_000_000,
                ..Default::default()
            }),
            restart_policy: agent.restart_policy,
            deployment: agent.deployment,
            attributes: agent.attributes,
        };
        known.dispatches.push(dispatch.clone());
        let (info, participants) = (known.room.clone(), known.participants.clone());
        self.launch(&dispatch, JobType::JtRoom, &info, None);
        for participant in participants.iter().filter(|p| !is_agent(p)) {
            if participant.is_publisher {
                self.launch(&dispatch, JobType::JtPublisher, &info, Some(participant));
            }
            self.launch(&dispatch, JobType::JtParticipant, &info, Some(participant));
        }
        Some(dispatch)
    }

    fn delete_dispatch(&mut self, room: &str, id: &str) -> Option<proto::AgentDispatch> {
        let known = self.rooms.get_mut(room)?;
        let index = known.dispatches.iter().position(|d| d.id == id)?;
        let mut dispatch = known.dispatches.remove(index);
        self.offers.retain(|offer| offer.job.dispatch_id != id);
        let ended: Vec<_> = self
            .running
            .iter()
            .filter(|j| j.dispatch_id == id)
            .map(|j| j.id.clone())
            .collect();
        for job in ended {
            self.terminate(&job);
        }
        if let Some(state) = &mut dispatch.state {
            state.deleted_at = ids::now_ms() * 1_000_000;
        }
        Some(dispatch)
    }

    fn launch_for(&mut self, room: &str, participant: &proto::ParticipantInfo, job_type: JobType) {
        let Some(known) = self.rooms.get(room).filter(|_| !is_agent(participant)) else {
            return;
        };
        let (dispatches, info) = (known.dispatches.clone(), known.room.clone());
        for dispatch in dispatches {
            self.launch(&dispatch, job_type, &info, Some(participant));
        }
    }

    fn launch(
        &mut self,
        dispatch: &proto::AgentDispatch,
        job_type: JobType,
        room: &proto::Room,
        participant: Option<&proto::ParticipantInfo>,
    ) {
        let job = proto::Job {
            id: ids::new("AJ_"),
            dispatch_id: dispatch.id.clone(),
            r#type: job_type.into(),
            room: Some(room.clone()),
            participant: participant.cloned(),
            metadata: dispatch.metadata.clone(),
            agent_name: dispatch.agent_name.clone(),
            deployment: dispatch.deployment.clone(),
            attributes: dispatch.attributes.clone(),
            ..Default::default()
        };
        self.offer(job, HashSet::new());
    }

    /// Asks the worker with the most room that has not refused yet. Without one the job is gone, as on a real server.
    fn offer(&mut self, job: proto::Job, refused: HashSet<String>) {
        let fits = |w: &&Worker| {
            let request = &w.registration.request;
            request.agent_name == job.agent_name
                && request.r#type == job.r#type
                && request.deployment == job.deployment
                && w.status == WorkerStatus::WsAvailable
                && !refused.contains(&w.registration.id)
        };
        // A real server picks at random, weighted by the room left. Always the one with most makes tests repeatable.
        let room = |w: &&Worker| (w.load, w.jobs.len());
        let chosen = self.workers.iter().filter(fits).min_by(|a, b| {
            room(a)
                .partial_cmp(&room(b))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        let Some(worker) = chosen.map(|w| w.registration.id.clone()) else {
            tracing::debug!(job = job.id, agent = job.agent_name, "no worker for a job");
            return;
        };
        self.ask(job, worker, refused);
    }

    fn ask(&mut self, mut job: proto::Job, worker: String, refused: HashSet<String>) {
        let now = ids::now_ms() * 1_000_000;
        job.state = Some(proto::JobState {
            status: JobStatus::JsRunning.into(),
            started_at: now,
            updated_at: now,
            worker_id: worker.clone(),
            ..Default::default()
        });
        self.tell(
            &worker,
            ToWorker::Availability(proto::AvailabilityRequest {
                job: Some(job.clone()),
                resuming: false,
            }),
        );
        self.offers.push(Offer {
            job,
            worker,
            refused,
            deadline: Instant::now() + AVAILABILITY_DEADLINE,
        });
    }

    fn drop_overdue(&mut self) {
        let now = Instant::now();
        for offer in self.offers.extract_if(.., |offer| offer.deadline <= now) {
            tracing::warn!(
                job = offer.job.id,
                worker = offer.worker,
                "a worker did not say whether it takes a job"
            );
        }
    }

    fn register(&mut self, registration: Registration) {
        tracing::info!(
            worker = registration.id,
            agent = registration.request.agent_name,
            "worker registered"
        );
        let response = proto::RegisterWorkerResponse {
            worker_id: registration.id.clone(),
            server_info: Some(crate::room::server_info(&self.shared.node)),
            ..Default::default()
        };
        let id = registration.id.clone();
        self.workers.push(Worker {
            registration,
            status: WorkerStatus::WsAvailable,
            load: 0.0,
            jobs: Vec::new(),
        });
        self.tell(&id, ToWorker::Register(response));
    }

    fn forget(&mut self, worker: &str) {
        self.workers.retain(|w| w.registration.id != worker);
        let worked_by =
            |job: &proto::Job| job.state.as_ref().is_some_and(|s| s.worker_id == worker);
        self.running.retain(|job| !worked_by(job));
        let open: Vec<_> = self
            .offers
            .extract_if(.., |offer| offer.worker == worker)
            .collect();
        for mut offer in open {
            offer.refused.insert(offer.worker);
            self.offer(offer.job, offer.refused);
        }
    }

    fn handle_message(&mut self, worker: &str, message: FromWorker) {
        match message {
            FromWorker::Availability(answer) => self.handle_availability(worker, answer),
            FromWorker::UpdateWorker(update) => {
                if let Some(worker) = self
                    .workers
                    .iter_mut()
                    .find(|w| w.registration.id == worker)
                {
                    worker.load = update.load;
                    if update.status.is_some() {
                        worker.status = update.status();
                    }
                }
            }
            FromWorker::UpdateJob(update) => {
                self.note_job(&update.job_id, update.status(), &update.error)
            }
            FromWorker::Ping(ping) => self.tell(
                worker,
                ToWorker::Pong(proto::WorkerPong {
                    last_timestamp: ping.timestamp,
                    timestamp: ids::now_ms(),
                }),
            ),
            FromWorker::SimulateJob(simulated) => {
                let job_type = if simulated.participant.is_some() {
                    JobType::JtPublisher
                } else {
                    JobType::JtRoom
                };
                let Some(known) = self.workers.iter().find(|w| w.registration.id == worker) else {
                    return;
                };
                let job = proto::Job {
                    id: ids::new("AJ_"),
                    r#type: job_type.into(),
                    room: simulated.room,
                    participant: simulated.participant,
                    agent_name: known.registration.request.agent_name.clone(),
                    ..Default::default()
                };
                self.ask(
                    job,
                    worker.to_owned(),
                    self.workers
                        .iter()
                        .map(|w| w.registration.id.clone())
                        .collect(),
                );
            }
            // The open source server does nothing with either.
            FromWorker::MigrateJob(_) | FromWorker::Register(_) => {}
        }
    }

    fn handle_availability(&mut self, worker: &str, answer: proto::AvailabilityResponse) {
        let Some(index) = self
            .offers
            .iter()
            .position(|o| o.job.id == answer.job_id && o.worker == worker)
        else {
            return;
        };
        let Offer {
            mut job,
            mut refused,
            ..
        } = self.offers.remove(index);
        if answer.terminate {
            return;
        }
        if !answer.available {
            refused.insert(worker.to_owned());
            self.offer(job, refused);
            return;
        }
        let Some(worker) = self
            .workers
            .iter_mut()
            .find(|w| w.registration.id == worker)
        else {
            return;
        };
        if let Some(state) = &mut job.state {
            state
                .participant_identity
                .clone_from(&answer.participant_identity);
        }
        let token = token_for(&self.shared, &worker.registration.request, &job, answer);
        worker.jobs.push(job.id.clone());
        let worker = worker.registration.id.clone();
        self.running.push(job.clone());
        self.note_in_dispatch(&job);
        self.tell(
            &worker,
            ToWorker::Assignment(proto::JobAssignment {
                job: Some(job),
                url: None,
                token,
            }),
        );
    }

    /// A job's state as its worker tells it. Jobs that nobody knows are ignored.
    fn note_job(&mut self, id: &str, status: JobStatus, error: &str) {
        let Some(index) = self.running.iter().position(|job| job.id == id) else {
            return;
        };
        let job = &mut self.running[index];
        let has_ended = matches!(status, JobStatus::JsSuccess | JobStatus::JsFailed);
        if let Some(state) = &mut job.state {
            state.status = status.into();
            state.error = error.to_owned();
            state.updated_at = ids::now_ms() * 1_000_000;
            if has_ended {
                state.ended_at = state.updated_at;
            }
        }
        let job = job.clone();
        self.note_in_dispatch(&job);
        if has_ended {
            self.running.remove(index);
            for worker in &mut self.workers {
                worker.jobs.retain(|other| other != id);
            }
        }
    }

    fn note_in_dispatch(&mut self, job: &proto::Job) {
        let Some(known) = self.rooms.get_mut(room_of(job)) else {
            return;
        };
        let dispatch = known
            .dispatches
            .iter_mut()
            .find(|d| d.id == job.dispatch_id);
        let Some(state) = dispatch.and_then(|d| d.state.as_mut()) else {
            return;
        };
        state.jobs.retain(|other| other.id != job.id);
        state.jobs.push(job.clone());
    }

    /// Tells a job's worker that it is over.
    fn terminate(&mut self, id: &str) {
        let Some(job) = self.running.iter().find(|job| job.id == id) else {
            return;
        };
        let worker = job
            .state
            .as_ref()
            .map(|s| s.worker_id.clone())
            .unwrap_or_default();
        self.tell(
            &worker,
            ToWorker::Termination(proto::JobTermination {
                job_id: id.to_owned(),
            }),
        );
        self.note_job(id, JobStatus::JsSuccess, "");
    }

    fn tell(&self, worker: &str, message: ToWorker) {
        let Some(worker) = self.workers.iter().find(|w| w.registration.id == worker) else {
            return;
        };
        let message = proto::ServerMessage {
            message: Some(message),
        };
        if worker.registration.outbox.try_send(message).is_err() {
            tracing::warn!(
                worker = worker.registration.id,
                "a message was dropped: the worker does not read"
            );
        }
    }
}

fn room_of(job: &proto::Job) -> &str {
    job.room
        .as_ref()
        .map(|room| room.name.as_str())
        .unwrap_or_default()
}

fn is_agent(participant: &proto::ParticipantInfo) -> bool {
    participant.kind() == proto::participant_info::Kind::Agent
}

/// The token with which the job joins its room: as the worker wants to be called, and with the permissions of its registration.
fn token_for(
    shared: &Shared,
    worker: &proto::RegisterWorkerRequest,
    job: &proto::Job,
    answer: proto::AvailabilityResponse,
) -> String {
    let all = proto::ParticipantPermission {
        can_subscribe: true,
        can_publish: true,
        can_publish_data: true,
        can_update_metadata: true,
        ..Default::default()
    };
    let permission = worker.allowed_permissions.clone().unwrap_or(all);
    let mut attributes = answer.participant_attributes;
    attributes.insert("lk.agent_name".into(), worker.agent_name.clone());
    let video = VideoGrants {
        room_join: true,
        agent: true,
        room: room_of(job).to_owned(),
        can_subscribe: Some(permission.can_subscribe),
        can_publish: Some(permission.can_publish),
        can_publish_data: Some(permission.can_publish_data),
        can_update_own_metadata: Some(permission.can_update_metadata),
        hidden: permission.hidden,
        ..Default::default()
    };
    let claims = Claims {
        sub: answer.participant_identity,
        name: answer.participant_name,
        metadata: answer.participant_metadata,
        attributes,
        kind: "agent".into(),
        video,
        ..Default::default()
    };
    tokens::for_agent(&shared.options.api_key, &shared.options.api_secret, claims)
}
