//! Runs the audio turn model beside the conversation: one question at a time, the newest waits.

use std::sync::OnceLock;
use std::time::Duration;

use listenkit::{
    Outputs, Probability, SmartTurn, SmartTurnSession, TurnContext, TurnModel, TurnQuery,
    TurnSnapshot,
};
use tokio::sync::{Semaphore, mpsc};

use super::message::Message;

/// Memory of the model and a copy of the turn's audio: 6 MB, made when the first question comes.
pub(super) struct Job {
    model: SmartTurnSession,
    snapshot: TurnSnapshot,
}

pub(super) struct Judge {
    model: SmartTurn,
    timeout: Duration,
    free: Option<Box<Job>>,
    started: bool,
    waiting: Option<(TurnQuery, TurnSnapshot)>,
    language: Option<String>,
    messages: mpsc::WeakUnboundedSender<Message>,
}

/// As many models run at once in a process as there are cores; more would make all of them late.
fn cores() -> &'static Semaphore {
    static CORES: OnceLock<Semaphore> = OnceLock::new();
    CORES
        .get_or_init(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)))
}

impl Judge {
    pub(super) fn new(
        model: SmartTurn,
        timeout: Duration,
        messages: &mpsc::UnboundedSender<Message>,
    ) -> Self {
        Self {
            model,
            timeout,
            free: None,
            started: false,
            waiting: None,
            language: None,
            messages: messages.downgrade(),
        }
    }

    pub(super) fn set_language(&mut self, language: Option<&str>) {
        if self.language.as_deref() != language {
            self.language = language.map(str::to_owned);
        }
    }

    /// The core asks. Its audio is copied now, because the core's memory goes on.
    pub(super) fn ask(&mut self, query: TurnQuery, outputs: &Outputs<'_, '_>) {
        if !self.started {
            self.started = true;
            self.free = Some(Box::new(Job {
                model: self.model.session(),
                snapshot: TurnSnapshot::new(),
            }));
        }
        match self.free.take() {
            Some(mut job) => {
                outputs.turn_audio(&query).copy_to(&mut job.snapshot);
                self.run(query, job);
            }
            None => {
                let (_, mut snapshot) = self
                    .waiting
                    .take()
                    .unwrap_or_else(|| (query, TurnSnapshot::new()));
                outputs.turn_audio(&query).copy_to(&mut snapshot);
                self.waiting = Some((query, snapshot));
            }
        }
    }

    /// Nobody waits for answers up to `id` any more.
    pub(super) fn cancel(&mut self, id: u64) {
        if self
            .waiting
            .as_ref()
            .is_some_and(|(query, _)| query.id <= id)
        {
            self.waiting = None;
        }
    }

    /// A job is back.
    pub(super) fn done(&mut self, mut job: Box<Job>) {
        match self.waiting.take() {
            Some((query, snapshot)) => {
                job.snapshot = snapshot;
                self.run(query, job);
            }
            None => self.free = Some(job),
        }
    }

    fn run(&self, query: TurnQuery, mut job: Box<Job>) {
        let (messages, timeout) = (self.messages.clone(), self.timeout);
        let language = self.language.clone();
        // Ends by itself: within its time to wait, and the model's.
        tokio::spawn(async move {
            let permit = tokio::time::timeout(timeout, cores().acquire()).await;
            let (probability, job) = if matches!(permit, Ok(Ok(_))) {
                let run = tokio::task::spawn_blocking(move || {
                    let context = TurnContext {
                        query,
                        audio: job.snapshot.audio(),
                        transcript: None,
                        history: &[],
                        language: language.as_deref(),
                    };
                    let probability: Option<Probability> =
                        job.model.end_of_turn(&context).ok().flatten();
                    (probability, job)
                });
                match run.await {
                    Ok(done) => done,
                    Err(_) => return,
                }
            } else {
                (None, job)
            };
            drop(permit);
            if let Some(messages) = messages.upgrade() {
                let id = query.id;
                let _ = messages.send(Message::TurnAnswer {
                    id,
                    probability,
                    job,
                });
            }
        });
    }
}
