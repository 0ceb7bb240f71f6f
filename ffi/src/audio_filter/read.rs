//! The reading side: which filters there are, whose they are, what they have heard.

use std::ffi::c_char;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::TryRecvError;

use engine::{Input, Probability};

use super::registry::{
    self, LISTENKIT_AUDIO_FILTER_STATE_ENDED, LISTENKIT_AUDIO_FILTER_STATE_REFUSED, Shared,
};
use crate::event::listenkit_event;
use crate::handle;
use crate::options::probability;
use crate::pointer::{self, Out, SizedOut, Versioned};
use crate::status::{
    Failure, LISTENKIT_BUSY, LISTENKIT_EMPTY, LISTENKIT_ENDED, LISTENKIT_OVERWRITTEN,
    LISTENKIT_WRONG_HANDLE, listenkit_status,
};
use crate::turn::listenkit_turn_audio;

/// The options as they were given, JSON.
pub const LISTENKIT_AUDIO_FILTER_OPTIONS: u32 = 1;
/// The name the options give the filter, `"label"`.
pub const LISTENKIT_AUDIO_FILTER_LABEL: u32 = 2;
/// Why it was refused or stopped listening.
pub const LISTENKIT_AUDIO_FILTER_ERROR: u32 = 3;
/// All that the SDK says about the stream, JSON.
pub const LISTENKIT_AUDIO_FILTER_STREAM_INFO: u32 = 4;
/// Address of the server.
pub const LISTENKIT_AUDIO_FILTER_URL: u32 = 5;
/// The room's identifier; may be empty at first.
pub const LISTENKIT_AUDIO_FILTER_ROOM_ID: u32 = 6;
/// The room's name.
pub const LISTENKIT_AUDIO_FILTER_ROOM_NAME: u32 = 7;
/// Who is heard. For a stream made from a track instead of a participant, the SDKs name the local participant here: use the track.
pub const LISTENKIT_AUDIO_FILTER_PARTICIPANT_IDENTITY: u32 = 8;
/// The participant's identifier.
pub const LISTENKIT_AUDIO_FILTER_PARTICIPANT_ID: u32 = 9;
/// The track's identifier.
pub const LISTENKIT_AUDIO_FILTER_TRACK_ID: u32 = 10;

/// How a filter does.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct listenkit_audio_filter_info {
    /// `sizeof` this struct, set by the caller.
    pub struct_size: u32,
    /// `LISTENKIT_AUDIO_FILTER_STATE_LIVE`, `_ENDED`, `_REFUSED` or `_FAILED`.
    pub state: u32,
    /// Hz: of all positions in its events.
    pub sample_rate: u32,
    /// Interleaved channels; 0 before the first block.
    pub channels: u32,
    /// Events that find room while nobody reads.
    pub event_queue: u32,
    /// 0.
    pub reserved: u32,
    /// Samples heard.
    pub samples_in: u64,
    /// Digest of all that was heard and said, as of `listenkit_detector_fingerprint`.
    pub fingerprint: u64,
    /// Events that nobody read in time: the newest, not the oldest, are lost.
    pub events_dropped: u64,
    /// Blocks that were passed on unheard, because the SDK gave two at a time.
    pub blocks_lost: u64,
    /// Turn queries without audio, because earlier ones were not read in time.
    pub turns_without_audio: u64,
}

const _: () = assert!(
    size_of::<listenkit_audio_filter_info>() == 4 * 6 + 8 * 5,
    "listenkit_audio_filter_info has padding, which would be written uninitialised"
);

// SAFETY: `repr(C)`, `struct_size` first, numbers only, and no padding: checked above.
unsafe impl Versioned for listenkit_audio_filter_info {
    const FIRST: usize = 64;

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            state: 0,
            sample_rate: 0,
            channels: 0,
            event_queue: 0,
            reserved: 0,
            samples_in: 0,
            fingerprint: 0,
            events_dropped: 0,
            blocks_lost: 0,
            turns_without_audio: 0,
        }
    }
}

fn known(id: u64) -> Result<Arc<Shared>, Failure> {
    registry::find(id).ok_or_else(|| {
        let text = format_args!("there is no audio filter {id}");
        Failure::new(LISTENKIT_WRONG_HANDLE, text)
    })
}

fn error_of(filter: &Shared) -> String {
    let text = filter
        .error()
        .map(|text| text.to_c().map(|byte| byte as u8));
    let text = text.iter().flatten().take_while(|&&byte| byte != 0);
    String::from_utf8(text.copied().collect()).unwrap_or_default()
}

fn text_of(filter: &Shared, which: u32) -> Result<String, Failure> {
    let info = filter.info();
    Ok(match which {
        LISTENKIT_AUDIO_FILTER_OPTIONS => filter.options.clone(),
        LISTENKIT_AUDIO_FILTER_LABEL => filter.label.clone(),
        LISTENKIT_AUDIO_FILTER_ERROR => error_of(filter),
        LISTENKIT_AUDIO_FILTER_STREAM_INFO => info.json.clone(),
        LISTENKIT_AUDIO_FILTER_URL => info.url.clone(),
        LISTENKIT_AUDIO_FILTER_ROOM_ID => info.room_id.clone(),
        LISTENKIT_AUDIO_FILTER_ROOM_NAME => info.room_name.clone(),
        LISTENKIT_AUDIO_FILTER_PARTICIPANT_IDENTITY => info.participant_identity.clone(),
        LISTENKIT_AUDIO_FILTER_PARTICIPANT_ID => info.participant_id.clone(),
        LISTENKIT_AUDIO_FILTER_TRACK_ID => info.track_id.clone(),
        other => {
            let choices = "LISTENKIT_AUDIO_FILTER_OPTIONS (1) to _TRACK_ID (10)";
            return Err(Failure::value("which", other, choices));
        }
    })
}

/// The filters there are, in the order they were made: live ones, refused ones, and ended ones whose events have not all been
/// taken. `*len` says how many; with `ids` NULL and `capacity` 0 that is all it does.
///
/// # Safety
/// `ids` has room for `capacity` numbers; `len` has room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_audio_filter_list(
    ids: *mut u64,
    capacity: usize,
    len: *mut usize,
) -> listenkit_status {
    handle::call(|| {
        let filters = registry::all();
        // SAFETY: the caller's promise.
        unsafe {
            pointer::fill((ids, capacity), len, filters.len(), |ids| {
                for (id, filter) in ids.iter_mut().zip(&filters) {
                    *id = filter.id;
                }
            })
        }
    })
}

/// The newest filter of which a text (`LISTENKIT_AUDIO_FILTER_LABEL`, `_TRACK_ID` and so on) is `value`. `LISTENKIT_EMPTY` if there
/// is none: an SDK makes the filter when the stream begins.
///
/// # Safety
/// `value` ends with a NUL; `id` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_audio_filter_find(
    which: u32,
    value: *const c_char,
    id: *mut u64,
) -> listenkit_status {
    handle::call(|| {
        // SAFETY: the caller's promise.
        let (value, id) = unsafe { (pointer::text("value", value)?, Out::new("id", id)?) };
        let value = value.ok_or_else(|| Failure::null("value"))?;
        // Also when there is no filter to look at.
        text_of(&Shared::default(), which)?;
        for filter in registry::all().iter().rev() {
            if text_of(filter, which)? == value {
                id.write(filter.id);
                return Ok(());
            }
        }
        Err(Failure::new(LISTENKIT_EMPTY, "no filter has that text"))
    })
}

/// How a filter does.
///
/// # Safety
/// `info` has room for as many bytes as its `struct_size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_audio_filter_describe(
    id: u64,
    info: *mut listenkit_audio_filter_info,
) -> listenkit_status {
    handle::call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { SizedOut::new("info", info)? };
        let filter = known(id)?;
        out.write(&listenkit_audio_filter_info {
            state: filter.state.load(Ordering::Acquire),
            sample_rate: filter.sample_rate,
            channels: filter.channels.load(Ordering::Relaxed),
            event_queue: filter.event_queue,
            samples_in: filter.samples_in.load(Ordering::Relaxed),
            fingerprint: filter.fingerprint.load(Ordering::Relaxed),
            events_dropped: filter.events_dropped.load(Ordering::Relaxed),
            blocks_lost: filter.blocks_lost.load(Ordering::Relaxed),
            turns_without_audio: filter.turns_without_audio.load(Ordering::Relaxed),
            ..Versioned::defaults()
        });
        Ok(())
    })
}

/// A text about a filter, UTF-8 and ended by a NUL. `*len` counts its bytes with the NUL; with `out` NULL and `capacity` 0 that is
/// all it does. What is not known is empty.
///
/// # Safety
/// `out` has room for `capacity` bytes; `len` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_audio_filter_text(
    id: u64,
    which: u32,
    out: *mut c_char,
    capacity: usize,
    len: *mut usize,
) -> listenkit_status {
    handle::call(|| {
        let text = text_of(&*known(id)?, which)?;
        let bytes = text.as_bytes();
        // SAFETY: the caller's promise.
        unsafe {
            pointer::fill((out.cast::<u8>(), capacity), len, bytes.len() + 1, |out| {
                out[..bytes.len()].copy_from_slice(bytes);
                out[bytes.len()] = 0;
            })
        }
    })
}

/// The next event of a filter. `LISTENKIT_EMPTY`: none is waiting. `LISTENKIT_ENDED`: there will be no more, and the filter is now
/// forgotten. Any thread may poll; the audio never waits for it.
///
/// # Safety
/// `event` has room for as many bytes as its `struct_size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_audio_filter_poll(
    id: u64,
    event: *mut listenkit_event,
) -> listenkit_status {
    handle::call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { SizedOut::new("event", event)? };
        let filter = known(id)?;
        // Before the queue is looked at: what was posted before the end is there by then.
        let over = matches!(
            filter.state.load(Ordering::Acquire),
            LISTENKIT_AUDIO_FILTER_STATE_ENDED | LISTENKIT_AUDIO_FILTER_STATE_REFUSED
        );
        let mut reader = filter.reader();
        let letter = reader
            .as_mut()
            .map(|reader| match reader.letters.try_recv() {
                Ok(letter) => {
                    if let Some(audio) = letter.turn {
                        let old = reader.question.replace((letter.event.query, audio));
                        if let Some((_, audio)) = old {
                            // There is room for all buffers.
                            let _ = reader.used.try_send(audio);
                        }
                    }
                    Ok(letter.event)
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => Err(()),
            });
        drop(reader);
        match letter {
            Some(Ok(event)) => {
                out.write(&event);
                Ok(())
            }
            _ if over => {
                registry::forget(id);
                Err(Failure::new(LISTENKIT_ENDED, "its stream is over"))
            }
            _ => Err(Failure::new(LISTENKIT_EMPTY, "no event is waiting")),
        }
    })
}

/// The audio of the turn query that was polled last, `query` by number: for `listenkit_turn_model_probability`. It can be taken once.
/// `LISTENKIT_OVERWRITTEN` if another query was polled since, it was taken, or it came without audio.
///
/// # Safety
/// `audio` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_audio_filter_turn_audio(
    id: u64,
    query: u64,
    audio: *mut listenkit_turn_audio,
) -> listenkit_status {
    let mut filter = None;
    let found = handle::call(|| {
        filter = Some(known(id)?);
        Ok(())
    });
    let Some(filter) = filter else {
        return found;
    };
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(audio, |snapshot| {
            let mut reader = filter.reader();
            let reader = reader.as_mut();
            let waiting = reader.filter(|reader| {
                reader
                    .question
                    .as_ref()
                    .is_some_and(|(asked, _)| *asked == query)
            });
            let Some((reader, (_, mut copy))) =
                waiting.and_then(|reader| reader.question.take().map(|asked| (reader, asked)))
            else {
                let text = format_args!("the audio of turn query {query} is not kept any more");
                return Err(Failure::new(LISTENKIT_OVERWRITTEN, text));
            };
            std::mem::swap(snapshot, &mut copy);
            let _ = reader.used.try_send(copy);
            Ok(())
        })
    }
}

/// The answer of a turn model to a query: the probability that the user is finished. It counts from the next block of audio on; one that comes too
/// late does no harm. `LISTENKIT_BUSY` if many answers wait because no audio comes.
#[unsafe(no_mangle)]
pub extern "C" fn listenkit_audio_filter_answer_turn(
    id: u64,
    query: u64,
    answer: f32,
) -> listenkit_status {
    handle::call(|| {
        let probability: Probability = probability("answer", answer)?;
        let filter = known(id)?;
        let mut reader = filter.reader();
        let Some(reader) = reader.as_mut() else {
            return Err(Failure::new(LISTENKIT_ENDED, "it never heard anything"));
        };
        let input = Input::TurnAnswer {
            id: query,
            probability,
        };
        reader.inputs.try_send(input).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(_) => {
                Failure::new(LISTENKIT_BUSY, "many answers wait for audio")
            }
            std::sync::mpsc::TrySendError::Disconnected(_) => {
                Failure::new(LISTENKIT_ENDED, "its stream is over")
            }
        })
    })
}
