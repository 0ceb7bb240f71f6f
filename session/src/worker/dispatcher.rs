//! The worker itself: one task that owns all it knows, answers the server, and has jobs run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use proto::server_message::Message as FromServer;
use proto::worker_message::Message as ToServer;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::connection::{Connection, ConnectionEvent};
use super::ipc::JobInfo;
use super::job::JobSetup;
use super::load::CpuLoad;
use super::options::{AgentIdentity, JobAnswer, JobRequest, LoadFn, WorkerOptions, after};
use super::pool::{Pool, PoolEvent, SlotEvent};
use super::{WorkerError, WorkerInfo};
use crate::api::Credentials;

/// Attribute by which an agent's participant tells its name.
const AGENT_NAME_ATTRIBUTE: &str = "lk.agent.name";
/// For a load function that blocks; the last load counts then.
const LOAD_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls of the load function at one time. One that hangs keeps its thread, and the runtime has 512 of these for everything that blocks.
const LOAD_CALLS: usize = 8;
/// For the last messages to the server.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a [`WorkerHandle`](super::WorkerHandle) asks.
pub(crate) enum Control {
    /// No new jobs; end when those that run have ended.
    Drain,
    /// Ask the jobs to end, and end.
    Shutdown(String),
    /// End at once.
    Kill,
    /// Have the server send this worker a job.
    Simulate(Box<proto::SimulateJobRequest>),
}

/// What the worker's own tasks tell it.
enum Event {
    Load(f64),
    Offer {
        request: Box<JobRequest>,
        load: Option<f64>,
        came: Instant,
    },
    Answer {
        job_id: String,
        offer: u64,
        answer: Option<JobAnswer>,
    },
}

/// A job, from the offer to its end.
struct Job {
    /// Counts offers, so that the answer to an old one is known as such.
    offer: u64,
    job: proto::Job,
    stage: Stage,
}

enum Stage {
    /// The request function thinks.
    Offered,
    /// Accepted; the server is to assign it.
    Accepted {
        agent: AgentIdentity,
        until: Instant,
    },
    /// Assigned; a process takes it.
    Launching,
    /// It runs.
    Running,
}

/// Why the worker's loop ends.
enum End {
    /// The jobs are done.
    Drained,
    /// They were not in time.
    DrainTimeout(usize),
    /// It was asked to end, for this reason.
    Shutdown(String),
    /// It was asked to end at once.
    Killed,
    /// The server is out of reach.
    Fatal(String),
}

pub(crate) struct Dispatcher {
    options: WorkerOptions,
    credentials: Credentials,
    pool: Pool,
    slot_events: mpsc::UnboundedReceiver<(u64, SlotEvent)>,
    outgoing: mpsc::UnboundedSender<ToServer>,
    connection: mpsc::Receiver<ConnectionEvent>,
    control: mpsc::UnboundedReceiver<Control>,
    info: watch::Sender<WorkerInfo>,
    events: mpsc::UnboundedReceiver<Event>,
    report: mpsc::UnboundedSender<Event>,
    /// Request functions, load functions, and the connection.
    tasks: JoinSet<()>,
    jobs: HashMap<String, Job>,
    offers: u64,
    worker_id: String,
    connected: bool,
    load: f64,
    meter: Option<CpuLoad>,
    load_pending: bool,
    load_calls: Arc<Semaphore>,
    was_full: bool,
    /// When a drain gives up.
    draining: Option<Instant>,
}

impl Dispatcher {
    pub(crate) fn new(
        options: WorkerOptions,
        credentials: Credentials,
        control: mpsc::UnboundedReceiver<Control>,
        info: watch::Sender<WorkerInfo>,
    ) -> Result<Self, WorkerError> {
        let setup = Arc::new(JobSetup::new(&options, credentials.clone()));
        let (slots, slot_events) = mpsc::unbounded_channel();
        let pool = Pool::new(&options, setup, slots).map_err(|error| {
            WorkerError::Start(format!(
                "cannot find the program of the jobs' processes: {error}"
            ))
        })?;
        let (outgoing, to_send) = mpsc::unbounded_channel();
        let (told, connection) = mpsc::channel(256);
        let (report, events) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(Connection::new(&options, credentials.clone(), told).run(to_send));
        Ok(Self {
            meter: options.load_fn.is_none().then(CpuLoad::new),
            options,
            credentials,
            pool,
            slot_events,
            outgoing,
            connection,
            control,
            info,
            events,
            report,
            tasks,
            jobs: HashMap::new(),
            offers: 0,
            worker_id: String::new(),
            connected: false,
            load: 0.0,
            load_pending: false,
            load_calls: Arc::new(Semaphore::new(LOAD_CALLS)),
            was_full: false,
            draining: None,
        })
    }

    pub(crate) async fn run(mut self) -> Result<(), WorkerError> {
        self.pool.set_idle_target(self.options.idle_processes());
        let end = self.serve().await;
        self.finish(end).await
    }

    async fn serve(&mut self) -> End {
        let timing = self.options.timing;
        let mut status = tokio::time::interval(timing.status_interval);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut load = tokio::time::interval(timing.load_interval);
        load.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let late = self.next_assignment_deadline();
            tokio::select! {
                event = self.connection.recv() => match event {
                    None => return End::Fatal("the connection's task has failed".to_owned()),
                    Some(ConnectionEvent::Registered(response)) => {
                        self.on_registered(&response);
                        status.reset();
                    }
                    Some(ConnectionEvent::Message(message)) => self.on_message(*message),
                    Some(ConnectionEvent::Lost(why)) => {
                        self.connected = false;
                        self.info.send_modify(|info| info.connection_error = Some(why));
                    }
                    Some(ConnectionEvent::Fatal(why)) => return End::Fatal(why),
                },
                Some((id, event)) = self.slot_events.recv() => {
                    let told = self.pool.on_event(id, event);
                    self.on_pool(told);
                }
                Some(event) = self.events.recv() => self.on_event(event),
                Some(control) = self.control.recv() => match control {
                    Control::Drain => self.start_drain(),
                    Control::Shutdown(reason) => return End::Shutdown(reason),
                    Control::Kill => return End::Killed,
                    Control::Simulate(request) => self.send(ToServer::SimulateJob(*request)),
                },
                _ = status.tick() => self.send_status(),
                _ = load.tick() => self.refresh_load(),
                () = until(late) => self.give_up_late_assignments(),
                () = until(self.draining) => return End::DrainTimeout(self.jobs.len()),
            }
            self.publish();
            if self.draining.is_some() && self.jobs.is_empty() {
                return End::Drained;
            }
        }
    }

    /// Ends what still runs, in the order: jobs, processes, connection.
    async fn finish(mut self, end: End) -> Result<(), WorkerError> {
        let timing = self.options.timing;
        let reason = match &end {
            End::Shutdown(reason) => reason.clone(),
            End::Killed => "the worker is killed".to_owned(),
            End::Fatal(why) => why.clone(),
            End::Drained | End::DrainTimeout(_) => "the worker ends".to_owned(),
        };
        if self.draining.is_none() {
            self.draining = Some(Instant::now());
            self.send_status();
        }
        tracing::info!(
            worker_id = self.worker_id,
            jobs = self.jobs.len(),
            reason,
            "the worker ends"
        );
        let limit = match end {
            End::Killed => {
                self.pool.kill(&reason);
                FAREWELL
            }
            _ => {
                for told in self.pool.close(&reason) {
                    self.on_pool(Some(told));
                }
                timing
                    .shutdown_process_timeout
                    .saturating_add(timing.shutdown_budget())
            }
        };
        let deadline = after(limit);
        while !self.pool.is_empty() {
            tokio::select! {
                Some((id, event)) = self.slot_events.recv() => {
                    let told = self.pool.on_event(id, event);
                    self.on_pool(told);
                }
                Some(control) = self.control.recv() => {
                    if let Control::Kill = control {
                        self.pool.kill("the worker is killed");
                    }
                }
                Some(_) = self.connection.recv() => {}
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        // What has not ended by now ends with the worker.
        let left: Vec<_> = self.running().map(|(id, _)| id.clone()).collect();
        for job_id in left {
            self.on_pool(Some(PoolEvent::Ended(job_id, Err(reason.clone()))));
        }
        self.publish();
        let Self {
            outgoing,
            mut tasks,
            mut connection,
            pool,
            ..
        } = self;
        // The connection sends what waits, and closes.
        drop((outgoing, pool));
        connection.close();
        let farewell = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tasks.shutdown().await;
        }
        match end {
            End::Fatal(why) => Err(WorkerError::Connection(why)),
            End::DrainTimeout(jobs) => Err(WorkerError::DrainTimeout {
                jobs,
                after: self.options.drain_timeout,
            }),
            _ => Ok(()),
        }
    }

    fn send(&self, message: ToServer) {
        // Its receiver lives as long as the connection, whose end ends the worker.
        let _ = self.outgoing.send(message);
    }

    fn on_registered(&mut self, response: &proto::RegisterWorkerResponse) {
        self.worker_id.clone_from(&response.worker_id);
        self.connected = true;
        let server = response.server_info.clone().unwrap_or_default();
        tracing::info!(
            worker_id = self.worker_id,
            agent_name = self.options.agent_name,
            url = self.credentials.url,
            server = server.version,
            region = server.region,
            "registered worker"
        );
        self.info.send_modify(|info| info.connection_error = None);
        let job_ids: Vec<_> = self.running().map(|(id, _)| id.clone()).collect();
        if !job_ids.is_empty() {
            self.send(ToServer::MigrateJob(proto::MigrateJobRequest { job_ids }));
        }
        self.send_status();
    }

    fn on_message(&mut self, message: FromServer) {
        match message {
            FromServer::Availability(offer) => self.on_offer(offer),
            FromServer::Assignment(assignment) => self.on_assignment(assignment),
            FromServer::Termination(termination) => self.on_termination(&termination.job_id),
            FromServer::Pong(pong) => {
                tracing::trace!(sent = pong.last_timestamp, "the server answers");
            }
            // The connection ends by it, and is made again.
            FromServer::GoAway(_) => {}
            FromServer::Register(_) => tracing::debug!("a second registration"),
        }
    }

    fn on_offer(&mut self, offer: proto::AvailabilityRequest) {
        let Some(job) = offer.job else { return };
        let request = Box::new(JobRequest {
            job,
            resuming: offer.resuming,
        });
        let came = Instant::now();
        match &self.options.load_fn {
            None => self.decide(request, came),
            // The load of this moment counts: of many offers at once, each is to see the load of those before.
            Some(load) => {
                let (load, report) = (load.clone(), self.report.clone());
                let calls = self.load_calls.clone();
                self.tasks.spawn(async move {
                    let load = call_load(load, calls).await;
                    let _ = report.send(Event::Offer {
                        request,
                        load,
                        came,
                    });
                });
            }
        }
    }

    fn decide(&mut self, request: Box<JobRequest>, came: Instant) {
        let job_id = request.job.id.clone();
        let known = self.jobs.get(&job_id);
        let runs = known.is_some_and(|job| matches!(job.stage, Stage::Launching | Stage::Running));
        if self.draining.is_some() || runs || self.is_full() {
            tracing::info!(
                job_id,
                load = self.effective_load(),
                draining = self.draining.is_some(),
                "job refused: the worker is full"
            );
            self.answer_no(job_id, false);
            return;
        }
        tracing::info!(
            job_id,
            room = request.room(),
            resuming = request.resuming,
            "job offered"
        );
        self.offers += 1;
        let offer = self.offers;
        self.jobs.insert(
            job_id.clone(),
            Job {
                offer,
                job: request.job.clone(),
                stage: Stage::Offered,
            },
        );
        let (ask, report) = (self.options.request.clone(), self.report.clone());
        // The load function has taken some of it.
        let limit = self.options.timing.request_timeout;
        let limit = limit.saturating_sub(came.elapsed());
        self.tasks.spawn(async move {
            // A task of its own, so that a panic is no answer, and not the end of the worker.
            let mut asked = JoinSet::new();
            asked.spawn(async move { ask(*request).await });
            let answer = match tokio::time::timeout(limit, asked.join_next()).await {
                Ok(Some(Ok(answer))) => Some(answer),
                Ok(Some(Err(error))) => {
                    tracing::error!(job_id, %error, "the request function failed; the job is left to another worker");
                    None
                }
                Ok(None) => None,
                Err(_) => {
                    tracing::error!(job_id, "the request function took longer than {limit:?}; the job is left to another worker");
                    None
                }
            };
            let _ = report.send(Event::Answer { job_id, offer, answer });
        });
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Load(load) => {
                self.load_pending = false;
                self.set_load(Some(load));
            }
            Event::Offer {
                request,
                load,
                came,
            } => {
                self.set_load(load);
                self.decide(request, came);
            }
            Event::Answer {
                job_id,
                offer,
                answer,
            } => self.on_answer(job_id, offer, answer),
        }
    }

    fn on_answer(&mut self, job_id: String, offer: u64, answer: Option<JobAnswer>) {
        let Some(job) = self.jobs.get_mut(&job_id) else {
            return;
        };
        if job.offer != offer {
            return;
        }
        match answer {
            Some(JobAnswer::Accept(mut agent)) => {
                if agent.identity.is_empty() {
                    agent.identity = format!("agent-{job_id}");
                }
                let name = self.options.agent_name.clone();
                agent
                    .attributes
                    .entry(AGENT_NAME_ATTRIBUTE.to_owned())
                    .or_insert(name);
                job.stage = Stage::Accepted {
                    agent: agent.clone(),
                    until: after(self.options.timing.assignment_timeout),
                };
                self.send(ToServer::Availability(proto::AvailabilityResponse {
                    job_id,
                    available: true,
                    participant_identity: agent.identity,
                    participant_name: agent.name,
                    participant_metadata: agent.metadata,
                    participant_attributes: agent.attributes,
                    ..Default::default()
                }));
            }
            Some(JobAnswer::Reject { terminate }) => {
                self.jobs.remove(&job_id);
                self.answer_no(job_id, terminate);
            }
            None => {
                self.jobs.remove(&job_id);
                self.answer_no(job_id, false);
            }
        }
    }

    fn answer_no(&self, job_id: String, terminate: bool) {
        self.send(ToServer::Availability(proto::AvailabilityResponse {
            job_id,
            available: false,
            terminate,
            ..Default::default()
        }));
    }

    fn on_assignment(&mut self, assignment: proto::JobAssignment) {
        let job_id = assignment.job.as_ref().map_or("", |job| &job.id).to_owned();
        let Some(job) = self.jobs.get_mut(&job_id) else {
            // The server believes that the job runs here; without a word, its room would wait for an agent for ever.
            tracing::warn!(
                job_id,
                "an assignment of a job that this worker does not expect"
            );
            self.send_job(
                job_id,
                proto::JobStatus::JsFailed,
                "the worker does not expect this job, or no more".to_owned(),
            );
            return;
        };
        let Stage::Accepted { agent, .. } = &job.stage else {
            tracing::warn!(job_id, "a second assignment of the same job");
            return;
        };
        let url = assignment.url.filter(|url| !url.is_empty());
        let info = JobInfo {
            job: Some(job.job.clone()),
            url: url.unwrap_or_else(|| self.credentials.ws_url()),
            token: assignment.token,
            worker_id: self.worker_id.clone(),
            identity: agent.identity.clone(),
            name: agent.name.clone(),
            metadata: agent.metadata.clone(),
            attributes: agent.attributes.clone(),
        };
        job.stage = Stage::Launching;
        tracing::debug!(job_id, "job assigned");
        self.pool.launch(info);
    }

    fn on_termination(&mut self, job_id: &str) {
        tracing::info!(job_id, "job terminated by the server");
        if self
            .jobs
            .get(job_id)
            .is_some_and(|job| matches!(job.stage, Stage::Offered | Stage::Accepted { .. }))
        {
            self.jobs.remove(job_id);
            return;
        }
        let told = self.pool.terminate(job_id, "terminated by the server");
        self.on_pool(told);
    }

    fn on_pool(&mut self, told: Option<PoolEvent>) {
        match told {
            Some(PoolEvent::Launched(job_id)) => {
                if let Some(job) = self.jobs.get_mut(&job_id) {
                    job.stage = Stage::Running;
                }
                self.send_job(job_id, proto::JobStatus::JsRunning, String::new());
            }
            Some(PoolEvent::Ended(job_id, result)) => {
                self.jobs.remove(&job_id);
                match result {
                    Ok(()) => {
                        tracing::info!(job_id, "job done");
                        self.send_job(job_id, proto::JobStatus::JsSuccess, String::new());
                    }
                    Err(error) => {
                        tracing::error!(job_id, error, "job failed");
                        self.info.send_modify(|info| info.failed_jobs += 1);
                        self.send_job(job_id, proto::JobStatus::JsFailed, error);
                    }
                }
            }
            None => {}
        }
    }

    fn send_job(&self, job_id: String, status: proto::JobStatus, error: String) {
        self.send(ToServer::UpdateJob(proto::UpdateJobStatus {
            job_id,
            status: status.into(),
            error,
        }));
    }

    fn next_assignment_deadline(&self) -> Option<Instant> {
        let deadlines = self.jobs.values().filter_map(|job| match &job.stage {
            Stage::Accepted { until, .. } => Some(*until),
            _ => None,
        });
        deadlines.min()
    }

    fn give_up_late_assignments(&mut self) {
        let now = Instant::now();
        let timeout = self.options.timing.assignment_timeout;
        self.jobs.retain(|job_id, job| {
            let late = matches!(&job.stage, Stage::Accepted { until, .. } if *until <= now);
            if late {
                tracing::error!(
                    job_id,
                    "the server did not assign an accepted job within {timeout:?}; it is given up"
                );
            }
            !late
        });
    }

    fn running(&self) -> impl Iterator<Item = (&String, &Job)> {
        self.jobs
            .iter()
            .filter(|(_, job)| matches!(job.stage, Stage::Running | Stage::Launching))
    }

    /// Jobs that were offered and are not running: their load does not show yet.
    fn reserved(&self) -> usize {
        self.jobs.len() - self.running().count()
    }

    /// The load, with what the reserved jobs will add: as much as each that runs, or a share of what there is room for.
    fn effective_load(&self) -> f64 {
        let threshold = self.options.threshold();
        let active = self.running().count();
        let each = if active > 0 {
            self.load / active as f64
        } else if threshold.is_infinite() {
            0.0
        } else {
            threshold / self.options.idle_processes().max(1) as f64
        };
        self.load + self.reserved() as f64 * each
    }

    fn is_full(&self) -> bool {
        self.effective_load() >= self.options.threshold()
    }

    fn send_status(&mut self) {
        if !self.connected {
            return;
        }
        let job_count = self.running().count() as u32;
        if self.draining.is_some() {
            self.send(ToServer::UpdateWorker(proto::UpdateWorkerStatus {
                status: Some(proto::WorkerStatus::WsFull.into()),
                job_count,
                ..Default::default()
            }));
            return;
        }
        let full = self.is_full();
        if full != std::mem::replace(&mut self.was_full, full) {
            tracing::info!(
                full,
                load = self.effective_load(),
                threshold = self.options.threshold(),
                "the worker's state"
            );
        }
        let status = if full {
            proto::WorkerStatus::WsFull
        } else {
            proto::WorkerStatus::WsAvailable
        };
        self.send(ToServer::UpdateWorker(proto::UpdateWorkerStatus {
            status: Some(status.into()),
            load: self.load as f32,
            job_count,
            ..Default::default()
        }));
    }

    fn refresh_load(&mut self) {
        // Those that have ended; the connection's end is told by its events.
        while self.tasks.try_join_next().is_some() {}
        if let Some(meter) = &mut self.meter {
            meter.sample();
            let load = meter.mean();
            self.set_load(Some(load));
        } else if let Some(load) = self.options.load_fn.clone()
            && !std::mem::replace(&mut self.load_pending, true)
        {
            let report = self.report.clone();
            let last = self.load;
            let calls = self.load_calls.clone();
            self.tasks.spawn(async move {
                let load = call_load(load, calls).await.unwrap_or(last);
                let _ = report.send(Event::Load(load));
            });
        }
    }

    /// Takes a new load, and keeps as many processes warm as there is load for.
    fn set_load(&mut self, load: Option<f64>) {
        if let Some(load) = load {
            self.load = load;
        }
        let idle = self.options.idle_processes();
        let threshold = self.options.threshold();
        let active = self.running().count();
        let each = self.load / active.max(1) as f64;
        let target = if self.draining.is_some() {
            0
        } else if threshold.is_finite() && active > 0 && each > 0.0 {
            (((threshold - self.load).max(0.0) / each).ceil() as usize).min(idle)
        } else {
            idle
        };
        self.pool.set_idle_target(target);
    }

    fn start_drain(&mut self) {
        if self.draining.is_some() {
            return;
        }
        tracing::info!(worker_id = self.worker_id, jobs = self.jobs.len(), timeout = ?self.options.drain_timeout, "draining");
        self.draining = Some(after(self.options.drain_timeout));
        self.pool.set_idle_target(0);
        self.send_status();
    }

    fn publish(&mut self) {
        let active = self.running().count();
        let info = WorkerInfo {
            worker_id: self.worker_id.clone(),
            connected: self.connected,
            draining: self.draining.is_some(),
            load: self.load,
            active_jobs: active,
            reserved_jobs: self.jobs.len() - active,
            idle_processes: self.pool.idle(),
            processes: self.pool.processes(),
            ..self.info.borrow().clone()
        };
        self.info.send_if_modified(|before| {
            let changed = *before != info;
            *before = info;
            changed
        });
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Calls the user's load function where it may block. `None` if there is no use in what it says.
async fn call_load(load: LoadFn, calls: Arc<Semaphore>) -> Option<f64> {
    let Ok(permit) = calls.try_acquire_owned() else {
        tracing::error!(
            "{LOAD_CALLS} calls of the load function have not returned; the load before counts"
        );
        return None;
    };
    let call = tokio::task::spawn_blocking(move || {
        let _until_it_returns = permit;
        load()
    });
    match tokio::time::timeout(LOAD_TIMEOUT, call).await {
        Ok(Ok(load)) if load >= 0.0 => Some(load),
        Ok(Ok(load)) => {
            tracing::error!(
                load,
                "the load function gave no load; the one before counts"
            );
            None
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the load function failed; the load before counts");
            None
        }
        Err(_) => {
            tracing::error!(
                "the load function took longer than {LOAD_TIMEOUT:?}; the load before counts"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_load_function_that_hangs_keeps_few_threads() {
        let called = Arc::new(AtomicUsize::new(0));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let count = called.clone();
        let load: LoadFn = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let held = held.lock().unwrap_or_else(|held| held.into_inner());
            // Until the sender is gone.
            let _ = held.recv();
            0.5
        });
        let calls = Arc::new(Semaphore::new(LOAD_CALLS));
        let all = (0..3 * LOAD_CALLS).map(|_| call_load(load.clone(), calls.clone()));
        let loads = futures_util::future::join_all(all).await;
        assert!(loads.iter().all(Option::is_none), "{loads:?}");
        assert_eq!(called.load(Ordering::SeqCst), LOAD_CALLS);
        drop(release);
        // They return, and the next is called.
        let returned = calls.acquire_many(LOAD_CALLS as u32).await;
        drop(returned);
        assert_eq!(call_load(load, calls).await, Some(0.5));
    }
}
