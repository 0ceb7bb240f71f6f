//! Which filters there are, and what the audio side and the reading side of each share.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{Input, TurnSnapshot};
use serde_json::Value;

use crate::event::listenkit_event;
use crate::status::Text;

/// Filters that have ended or were refused, and that nobody reads, beyond this number are forgotten, the oldest first.
const KEPT: usize = 32;

/// The filter hears audio.
pub const LISTENKIT_AUDIO_FILTER_STATE_LIVE: u32 = 0;
/// Its stream is over.
pub const LISTENKIT_AUDIO_FILTER_STATE_ENDED: u32 = 1;
/// It was never made: the options cannot be used, `LISTENKIT_AUDIO_FILTER_ERROR` says why. The stream goes on without it.
pub const LISTENKIT_AUDIO_FILTER_STATE_REFUSED: u32 = 2;
/// It stopped listening, `LISTENKIT_AUDIO_FILTER_ERROR` says why. The stream goes on, the audio passes.
pub const LISTENKIT_AUDIO_FILTER_STATE_FAILED: u32 = 3;

/// What is known about a stream.
#[derive(Default)]
pub(super) struct StreamInfo {
    pub(super) json: String,
    pub(super) url: String,
    pub(super) room_id: String,
    pub(super) room_name: String,
    pub(super) participant_identity: String,
    pub(super) participant_id: String,
    pub(super) track_id: String,
}

impl StreamInfo {
    /// Takes what is there: an SDK may say less, or more.
    pub(super) fn parse(json: &str) -> Self {
        let value = serde_json::from_str(json).unwrap_or(Value::Null);
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Self {
            json: json.to_owned(),
            url: text("url"),
            room_id: text("roomId"),
            room_name: text("roomName"),
            participant_identity: text("participantIdentity"),
            participant_id: text("participantId"),
            track_id: text("trackId"),
        }
    }
}

/// An event on its way to a reader; a question to a turn model takes the audio along.
pub(super) struct Letter {
    pub(super) event: listenkit_event,
    pub(super) turn: Option<Box<TurnSnapshot>>,
}

/// The reading side of a filter.
pub(super) struct Reader {
    pub(super) letters: Receiver<Letter>,
    /// Gives buffers for the audio of turns back to the audio side.
    pub(super) used: SyncSender<Box<TurnSnapshot>>,
    /// The last question that was read, and its audio.
    pub(super) question: Option<(u64, Box<TurnSnapshot>)>,
    pub(super) inputs: SyncSender<Input>,
}

/// What both sides of a filter know.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) sample_rate: u32,
    pub(super) event_queue: u32,
    pub(super) options: String,
    pub(super) label: String,
    pub(super) channels: AtomicU32,
    pub(super) state: AtomicU32,
    pub(super) samples_in: AtomicU64,
    pub(super) fingerprint: AtomicU64,
    pub(super) events_dropped: AtomicU64,
    pub(super) blocks_lost: AtomicU64,
    pub(super) turns_without_audio: AtomicU64,
    /// Held for as long as it takes to copy a pointer: `audio_filter_update_stream_info` comes on the SDK's audio thread,
    /// though once a stream at most.
    info: Mutex<Arc<StreamInfo>>,
    error: Mutex<Option<Text>>,
    /// Readers lock each other out; the audio side does not come here. `None` if there never was a detector.
    reader: Mutex<Option<Reader>>,
}

/// A lock is never held across code that could panic, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(id: u64, sample_rate: u32) -> Self {
        Self {
            id,
            sample_rate,
            ..Self::default()
        }
    }

    pub(super) fn info(&self) -> Arc<StreamInfo> {
        Arc::clone(&lock(&self.info))
    }

    pub(super) fn describe(&self, info: StreamInfo) {
        let info = Arc::new(info);
        let old = std::mem::replace(&mut *lock(&self.info), info);
        // Freed when the lock is gone.
        drop(old);
    }

    pub(super) fn reader(&self) -> MutexGuard<'_, Option<Reader>> {
        lock(&self.reader)
    }

    pub(super) fn set_reader(&self, reader: Reader) {
        *lock(&self.reader) = Some(reader);
    }

    pub(super) fn error(&self) -> Option<Text> {
        *lock(&self.error)
    }

    /// Says why it does not listen. Only the first reason counts.
    pub(super) fn fail(&self, state: u32, text: Text) {
        lock(&self.error).get_or_insert(text);
        self.state.store(state, Ordering::Release);
    }

    pub(super) fn is_live(&self) -> bool {
        self.state.load(Ordering::Acquire) == LISTENKIT_AUDIO_FILTER_STATE_LIVE
    }
}

struct Registry {
    made: u64,
    filters: Vec<Arc<Shared>>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    made: 0,
    filters: Vec::new(),
});

/// A number no filter had before. They begin with 1.
pub(super) fn next_id() -> u64 {
    let mut registry = lock(&REGISTRY);
    registry.made += 1;
    registry.made
}

/// Lists a filter.
pub(super) fn add(filter: Arc<Shared>) {
    lock(&REGISTRY).filters.push(filter);
    prune();
}

/// Forgets the oldest of too many that are over.
pub(super) fn prune() {
    let mut forgotten = Vec::new();
    let mut registry = lock(&REGISTRY);
    let over = |filter: &Arc<Shared>| {
        matches!(
            filter.state.load(Ordering::Acquire),
            LISTENKIT_AUDIO_FILTER_STATE_ENDED | LISTENKIT_AUDIO_FILTER_STATE_REFUSED
        )
    };
    let mut excess = registry
        .filters
        .iter()
        .filter(|f| over(f))
        .count()
        .saturating_sub(KEPT);
    registry.filters.retain(|filter| {
        let stays = excess == 0 || !over(filter);
        if !stays {
            excess -= 1;
            forgotten.push(Arc::clone(filter));
        }
        stays
    });
    drop(registry);
}

pub(super) fn forget(id: u64) {
    let mut registry = lock(&REGISTRY);
    let at = registry.filters.iter().position(|filter| filter.id == id);
    let filter = at.map(|at| registry.filters.remove(at));
    drop(registry);
    drop(filter);
}

/// All filters, in the order they were made.
pub(super) fn all() -> Vec<Arc<Shared>> {
    lock(&REGISTRY).filters.clone()
}

pub(super) fn find(id: u64) -> Option<Arc<Shared>> {
    let registry = lock(&REGISTRY);
    registry
        .filters
        .iter()
        .find(|filter| filter.id == id)
        .cloned()
}
