//! Who runs the jobs: processes that are kept warm, or tasks.
//!
//! The pool decides, and owns no clock and no socket: it is told what happens in its slots and starts, fills and ends them. A slot is one process or
//! one task; a task of its own watches it and reports through events.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ipc::JobInfo;
use super::job::{JobSetup, ProcessData, panic_message, run_job};
use super::options::{JobExecutor, Prewarm, WorkerOptions, after, processors};
#[cfg(unix)]
use super::process::{ProcessConfig, supervise};

/// Slots that a job is tried in before it fails: the peer's value.
const ATTEMPTS: u32 = 3;
/// Processes that are prewarmed at the same time, at most; the peer's value.
const MAX_INITIALIZING: usize = 4;
/// Longest wait before another process is started after one that could not be prewarmed.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// What the pool tells a slot.
pub(crate) enum SlotCommand {
    Start(Box<JobInfo>),
    Shutdown(String),
    Kill(String),
}

/// What happened in a slot. The last one is always `Gone`.
#[derive(Debug)]
pub(crate) enum SlotEvent {
    /// It has a process.
    Spawned(u32),
    /// It can take a job.
    Ready,
    /// It will never take one.
    Failed(String),
    /// Its job runs.
    Started,
    /// Its job has ended.
    Ended(Result<(), String>),
    /// Megabytes it uses.
    Memory(f64),
    /// It is over.
    Gone,
}

/// What the pool tells the worker.
#[derive(Debug)]
pub(crate) enum PoolEvent {
    /// A slot runs the job.
    Launched(String),
    /// The job has ended.
    Ended(String, Result<(), String>),
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Starting,
    Idle,
    /// Kept until the slot says that it runs, for another try elsewhere.
    Launching,
    Running,
    Ending,
}

struct Slot {
    state: State,
    commands: mpsc::UnboundedSender<SlotCommand>,
    job: Option<(JobInfo, u32)>,
    pid: Option<u32>,
    memory_mb: f64,
}

/// A process of the worker, as its health endpoint and its handle tell it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Of the system.
    pub pid: u32,
    /// The job that it runs.
    pub job_id: Option<String>,
    /// Memory at the last look, in MB.
    pub memory_mb: f64,
}

pub(crate) struct Pool {
    kind: Kind,
    slots: HashMap<u64, Slot>,
    next_id: u64,
    /// Jobs that no slot is free for, with the tries that failed.
    waiting: VecDeque<(JobInfo, u32)>,
    idle_target: usize,
    /// Failed starts in a row, and when the next one may be.
    failures: u32,
    not_before: Instant,
    closed: bool,
    events: mpsc::UnboundedSender<(u64, SlotEvent)>,
    /// Watch the slots; the pool's end is theirs.
    watchers: JoinSet<()>,
}

enum Kind {
    #[cfg(unix)]
    Process(Arc<ProcessConfig>),
    Task {
        setup: Arc<JobSetup>,
        prewarm: Option<Prewarm>,
        data: ProcessData,
        /// Whether `data` is filled; the first slot fills it.
        warm: bool,
    },
}

impl Pool {
    pub(crate) fn new(
        options: &WorkerOptions,
        setup: Arc<JobSetup>,
        events: mpsc::UnboundedSender<(u64, SlotEvent)>,
    ) -> std::io::Result<Self> {
        let kind = match options.executor {
            #[cfg(unix)]
            JobExecutor::Process => Kind::Process(Arc::new(ProcessConfig::new(options)?)),
            _ => {
                if options.executor == JobExecutor::Process {
                    tracing::warn!(
                        "jobs run as tasks: on this system they have no processes of their own"
                    );
                }
                Kind::Task {
                    setup,
                    prewarm: options.prewarm.clone(),
                    data: ProcessData::default(),
                    warm: options.prewarm.is_none(),
                }
            }
        };
        Ok(Self {
            kind,
            slots: HashMap::new(),
            next_id: 0,
            waiting: VecDeque::new(),
            idle_target: 0,
            failures: 0,
            not_before: Instant::now(),
            closed: false,
            events,
            watchers: JoinSet::new(),
        })
    }

    /// Runs a job, in a slot that is free or in the next one that will be.
    pub(crate) fn launch(&mut self, info: JobInfo) {
        self.waiting.push_back((info, 0));
        self.fill();
    }

    /// How many idle slots there shall be.
    pub(crate) fn set_idle_target(&mut self, target: usize) {
        self.idle_target = target;
        self.fill();
    }

    /// Starts slots as they are needed, and gives waiting jobs to those that are idle. To be called now and then, for starts that wait.
    pub(crate) fn fill(&mut self) {
        while let Some(id) = self.find(&State::Idle) {
            let Some((info, attempts)) = self.waiting.pop_front() else {
                break;
            };
            let slot = self.slots.get_mut(&id).expect("it was just found");
            slot.state = State::Launching;
            // A slot that has ended meanwhile reports it, and the job is tried elsewhere.
            let _ = slot
                .commands
                .send(SlotCommand::Start(Box::new(info.clone())));
            slot.job = Some((info, attempts));
        }
        if self.closed || Instant::now() < self.not_before {
            return;
        }
        let wanted = match self.kind {
            #[cfg(unix)]
            Kind::Process(_) => self.idle_target.max(self.waiting.len()),
            Kind::Task { .. } => self.waiting.len(),
        };
        let (starting, idle) = (self.count(&State::Starting), self.count(&State::Idle));
        let most = match self.kind {
            // The one that prewarms for all.
            Kind::Task { warm: false, .. } => 1,
            _ => MAX_INITIALIZING.min(processors()),
        };
        let room = most.saturating_sub(starting);
        for _ in 0..wanted.saturating_sub(starting + idle).min(room) {
            self.start();
        }
    }

    fn start(&mut self) {
        let id = self.next_id;
        self.next_id += 1;
        let (commands, inbox) = mpsc::unbounded_channel();
        self.slots.insert(
            id,
            Slot {
                state: State::Starting,
                commands,
                job: None,
                pid: None,
                memory_mb: 0.0,
            },
        );
        let sender = self.events.clone();
        let events = move |event| {
            // The worker is gone, and with it all slots.
            let _ = sender.send((id, event));
        };
        while self.watchers.try_join_next().is_some() {}
        match &self.kind {
            #[cfg(unix)]
            Kind::Process(config) => {
                self.watchers
                    .spawn(supervise(config.clone(), inbox, events));
            }
            Kind::Task {
                setup,
                prewarm,
                data,
                warm,
            } => {
                let prewarm = prewarm.clone().filter(|_| !warm);
                self.watchers.spawn(run_task(
                    setup.clone(),
                    prewarm,
                    data.clone(),
                    inbox,
                    events,
                ));
            }
        }
    }

    fn find(&self, state: &State) -> Option<u64> {
        let mut ids = self.slots.iter().filter(|(_, slot)| slot.state == *state);
        ids.next().map(|(id, _)| *id)
    }

    fn count(&self, state: &State) -> usize {
        self.slots
            .values()
            .filter(|slot| slot.state == *state)
            .count()
    }

    pub(crate) fn idle(&self) -> usize {
        self.count(&State::Idle)
    }

    /// Takes notice of what happened in a slot.
    pub(crate) fn on_event(&mut self, id: u64, event: SlotEvent) -> Option<PoolEvent> {
        let slot = self.slots.get_mut(&id)?;
        let mut told = None;
        match event {
            SlotEvent::Spawned(pid) => slot.pid = Some(pid),
            SlotEvent::Memory(mb) => slot.memory_mb = mb,
            SlotEvent::Ready => {
                self.failures = 0;
                if let Kind::Task { warm, .. } = &mut self.kind {
                    *warm = true;
                }
                if slot.state == State::Starting {
                    slot.state = State::Idle;
                }
            }
            SlotEvent::Failed(why) => {
                slot.state = State::Ending;
                tracing::error!(why, "a process for jobs is not ready");
                self.back_off();
                if let Some((info, attempts)) = self.waiting.pop_front() {
                    told = self.again(info, attempts + 1, why);
                }
            }
            SlotEvent::Started => {
                if slot.state == State::Launching {
                    slot.state = State::Running;
                    let job = slot.job.as_ref().map(|(info, _)| info.id().to_owned());
                    told = job.map(PoolEvent::Launched);
                }
            }
            SlotEvent::Ended(result) => {
                let launching = slot.state == State::Launching;
                slot.state = State::Ending;
                if let Some((info, attempts)) = slot.job.take() {
                    told = match result {
                        Err(why) if launching => self.again(info, attempts + 1, why),
                        result => Some(PoolEvent::Ended(info.id().to_owned(), result)),
                    };
                }
            }
            SlotEvent::Gone => {
                let slot = self.slots.remove(&id)?;
                // A job that it was given as it ended has not begun.
                let launching = slot.state == State::Launching;
                if (launching || slot.state == State::Idle) && !self.closed {
                    tracing::error!(pid = slot.pid, "a process for jobs ended while it was idle");
                    self.back_off();
                }
                told = slot.job.and_then(|(info, attempts)| {
                    let why = "its process ended".to_owned();
                    if launching {
                        self.again(info, attempts + 1, why)
                    } else {
                        Some(PoolEvent::Ended(info.id().to_owned(), Err(why)))
                    }
                });
            }
        }
        self.fill();
        told
    }

    /// Starts no slot for a while: what failed may fail again.
    fn back_off(&mut self) {
        self.failures += 1;
        let wait = Duration::from_millis(250 << self.failures.min(7)).min(MAX_BACKOFF);
        self.not_before = Instant::now() + wait;
    }

    /// Another try for a job whose slot failed before the job ran.
    fn again(&mut self, info: JobInfo, attempts: u32, why: String) -> Option<PoolEvent> {
        if attempts < ATTEMPTS && !self.closed {
            self.waiting.push_front((info, attempts));
            return None;
        }
        let why = format!("the job could not be started in {attempts} tries: {why}");
        Some(PoolEvent::Ended(info.id().to_owned(), Err(why)))
    }

    /// Asks the job to end. A job that no slot has yet has ended by that.
    pub(crate) fn terminate(&mut self, job_id: &str, reason: &str) -> Option<PoolEvent> {
        if let Some(at) = self
            .waiting
            .iter()
            .position(|(info, _)| info.id() == job_id)
        {
            self.waiting.remove(at);
            return Some(PoolEvent::Ended(job_id.to_owned(), Ok(())));
        }
        let slot = self.slots.values_mut().find(|slot| {
            slot.job
                .as_ref()
                .is_some_and(|(info, _)| info.id() == job_id)
        })?;
        if slot.state == State::Launching {
            // If this slot fails, no other one is to begin a job that is over.
            slot.state = State::Ending;
        }
        let _ = slot.commands.send(SlotCommand::Shutdown(reason.to_owned()));
        None
    }

    /// Asks all slots to end, and starts none any more. Gives the jobs that had none.
    pub(crate) fn close(&mut self, reason: &str) -> Vec<PoolEvent> {
        self.closed = true;
        for slot in self.slots.values() {
            let _ = slot.commands.send(SlotCommand::Shutdown(reason.to_owned()));
        }
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .map(|(info, _)| PoolEvent::Ended(info.id().to_owned(), Err(reason.to_owned())))
            .collect()
    }

    /// Ends all slots at once.
    pub(crate) fn kill(&mut self, why: &str) {
        self.closed = true;
        for slot in self.slots.values() {
            let _ = slot.commands.send(SlotCommand::Kill(why.to_owned()));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn processes(&self) -> Vec<ProcessInfo> {
        let mut processes: Vec<_> = self
            .slots
            .values()
            .filter_map(|slot| {
                Some(ProcessInfo {
                    pid: slot.pid?,
                    job_id: slot.job.as_ref().map(|(info, _)| info.id().to_owned()),
                    memory_mb: slot.memory_mb,
                })
            })
            .collect();
        processes.sort_by_key(|process| process.pid);
        processes
    }
}

/// A slot without a process: one job as a task.
async fn run_task(
    setup: Arc<JobSetup>,
    prewarm: Option<Prewarm>,
    data: ProcessData,
    mut commands: mpsc::UnboundedReceiver<SlotCommand>,
    events: impl Fn(SlotEvent),
) {
    if let Some(prewarm) = prewarm {
        let limit = setup.timing.initialize_process_timeout;
        let warming = {
            let data = data.clone();
            tokio::task::spawn_blocking(move || prewarm(&data).map_err(|e| e.to_string()))
        };
        let failed = match tokio::time::timeout(limit, warming).await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => Some(error),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("it took longer than {limit:?}")),
        };
        if let Some(error) = failed {
            events(SlotEvent::Failed(format!("prewarm failed: {error}")));
            events(SlotEvent::Gone);
            return;
        }
    }
    events(SlotEvent::Ready);
    if let Some(SlotCommand::Start(info)) = commands.recv().await {
        events(SlotEvent::Started);
        let (ask, asked) = oneshot::channel();
        let mut ask = Some(ask);
        // A task of its own, so that a panic in our own code ends this job alone.
        let mut job = JoinSet::new();
        let job_setup = setup.clone();
        job.spawn(async move {
            let asked = async {
                match asked.await {
                    Ok(reason) => reason,
                    Err(_) => std::future::pending().await,
                }
            };
            run_job(&job_setup, *info, data, asked).await
        });
        let mut deadline = None;
        let result = loop {
            let limit = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(result) = job.join_next() => break match result {
                    Ok(result) => result,
                    Err(error) => Err(match error.try_into_panic() {
                        Ok(panic) => format!("panicked: {}", panic_message(&*panic)),
                        Err(error) => error.to_string(),
                    }),
                },
                command = commands.recv() => match command {
                    Some(SlotCommand::Shutdown(reason)) => {
                        if let Some(ask) = ask.take() {
                            let _ = ask.send(reason);
                            deadline = Some(after(setup.timing.shutdown_budget()));
                        }
                    }
                    Some(SlotCommand::Start(_)) => {}
                    Some(SlotCommand::Kill(why)) => break Err(why),
                    None => break Err("the worker ended".to_owned()),
                },
                () = limit => break Err("its shutdown did not end in time".to_owned()),
            }
        };
        events(SlotEvent::Ended(result));
    }
    events(SlotEvent::Gone);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Credentials;
    use livekit_protocol as proto;

    /// A pool whose slots do nothing: what happens in them is what the test says.
    fn pool() -> Pool {
        let mut options = WorkerOptions::new(|_| async { Ok(()) });
        options.executor = JobExecutor::Task;
        let credentials = Credentials {
            url: "ws://127.0.0.1:1".to_owned(),
            api_key: "key".to_owned(),
            api_secret: "secret".to_owned(),
        };
        let setup = Arc::new(JobSetup::new(&options, credentials));
        let (events, _) = mpsc::unbounded_channel();
        Pool::new(&options, setup, events).expect("tasks need no program")
    }

    fn job(id: &str) -> JobInfo {
        JobInfo {
            job: Some(proto::Job {
                id: id.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// Starts a slot, has it take the job that waits, and gives the slot's number.
    fn give_the_job_away(pool: &mut Pool) -> u64 {
        pool.not_before = Instant::now();
        pool.fill();
        let id = pool.find(&State::Starting).expect("a slot for the job");
        assert!(pool.on_event(id, SlotEvent::Ready).is_none());
        assert_eq!(pool.slots[&id].state, State::Launching);
        id
    }

    #[tokio::test]
    async fn a_job_given_to_a_slot_that_had_just_ended_is_tried_elsewhere() {
        let mut pool = pool();
        pool.launch(job("AJ_1"));
        for attempt in 1..ATTEMPTS {
            let id = give_the_job_away(&mut pool);
            let told = pool.on_event(id, SlotEvent::Gone);
            assert!(told.is_none(), "after try {attempt}: {told:?}");
        }
        let id = give_the_job_away(&mut pool);
        match pool.on_event(id, SlotEvent::Gone) {
            Some(PoolEvent::Ended(job, Err(why))) => {
                assert_eq!(job, "AJ_1");
                assert!(why.contains("3 tries"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_job_that_is_terminated_while_it_starts_is_not_tried_again() {
        for end in [
            SlotEvent::Ended(Err("killed: it took no notice".to_owned())),
            SlotEvent::Gone,
        ] {
            let mut pool = pool();
            pool.launch(job("AJ_1"));
            let id = give_the_job_away(&mut pool);
            assert!(pool.terminate("AJ_1", "the room is closed").is_none());
            let told = pool.on_event(id, end);
            assert!(
                matches!(&told, Some(PoolEvent::Ended(job, Err(_))) if job == "AJ_1"),
                "{told:?}"
            );
            assert!(pool.waiting.is_empty());
        }
    }
}
