//! The library as one object: requests, calls, audio.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prost::Message;
use tokio::sync::{mpsc, oneshot};

use crate::handle::{Handle, Incoming, owned_by_response};
use crate::library::{Functions, Opened};
use crate::locate::{LIBRARY_PATH_VARIABLE, find, library_file_name};
use crate::messages::{
    AudioFrameBufferInfo, CaptureAudioFrameRequest, Event, FfiRequest, FfiResponse,
    PublishDataRequest, Request, Response, TextStreamReaderReadIncrementalRequest,
};
use crate::router::{Keep, Pcm, RoomInput, Router, callback};

/// Oldest library whose messages are these: the first with `ReadyForRoomEvent`, after the numbers of `ParticipantInfo` had changed.
const OLDEST: Version = Version(0, 12, 74);
/// First minor version that was not looked at.
const UNKNOWN: Version = Version(0, 14, 0);

/// First number of our calls. A request without a number gets the library's next one for its callback, counted from 1 together with the handles: ours are
/// far from those, so that no such callback is taken for the answer to a call.
const FIRST_CALL: u64 = 1 << 32;

static CLIENT: OnceLock<Client> = OnceLock::new();

/// Why the library is not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is nowhere.
    #[error(
        "LiveKit's media library ({}) was not found; looked at: {}. Install it with `pip install livekit` into a Python on PATH, or set {} to its path",
        library_file_name(),
        listed(tried),
        LIBRARY_PATH_VARIABLE
    )]
    NotFound {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The system's loader refuses the file.
    #[error("{} cannot be opened: {reason}; it must be LiveKit's media library for this system (`pip install livekit`)", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// It is older than what can be used.
    #[error("{} is LiveKit's media library {}, and 0.12.74 or newer is needed: `pip install -U livekit` (1.1.21 and 1.2.1 are known to be good)", path.display(), version.as_deref().unwrap_or("of an unknown, old version"))]
    TooOld {
        /// The file.
        path: PathBuf,
        /// What it says its version is.
        version: Option<String>,
    },
    /// Another library is open, and there can be only one.
    #[error("LiveKit's media library is already open from {}, and a process can have only one; {} was asked for", open.display(), asked.display())]
    Another {
        /// The one that is open.
        open: PathBuf,
        /// The one that was asked for.
        asked: PathBuf,
    },
}

fn listed(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "no Python on PATH".to_owned();
    }
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    paths.join(", ")
}

/// A request that the library refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It did not answer. Its reason is in its log.
    #[error("the media library refused {request} (its log says why)")]
    Refused {
        /// The name of the request.
        request: &'static str,
    },
    /// It answered something else.
    #[error("the media library gave no answer to {request} that this program understands")]
    Misunderstood {
        /// The name of the request.
        request: &'static str,
    },
    /// The process was forked after the library had been opened.
    #[error("the media library was opened before fork(), and cannot be used after it")]
    Forked,
}

/// A call whose callback did not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Not within the time.
    #[error("the media library did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// It never will.
    #[error("the media library dropped the call")]
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    /// From `0.13.2` and the like; what follows the third number does not count.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().trim_start_matches('v').splitn(3, '.');
        let mut next = || {
            let part = parts.next()?;
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            part[..digits].parse().ok()
        };
        Some(Self(next()?, next()?, next()?))
    }
}

/// The media library, open. There is one in a process, from [`Client::open`] to its end.
#[derive(Debug)]
pub struct Client {
    functions: Functions,
    path: PathBuf,
    version: String,
    process: u32,
    next_call: AtomicU64,
}

impl Client {
    /// Opens the library, or gives the one that is open.
    ///
    /// It is looked for at `path`; without one, at `LIVEKIT_LIB_PATH` (either a file or the directory it is in); without that, in the `livekit` package of
    /// the virtual environment and of the Pythons on `PATH`. Versions 0.12.74 to 0.13 are known; a newer one is taken with a warning. Takes some milliseconds.
    ///
    /// # Errors
    /// [`OpenError`]. Another path can be tried afterwards.
    pub fn open(path: Option<&Path>) -> Result<&'static Self, OpenError> {
        static OPENING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(client), None) = (CLIENT.get(), path) {
            return Ok(client);
        }
        let file = find(path)?;
        let file = std::fs::canonicalize(&file).unwrap_or(file);
        if let Some(client) = CLIENT.get() {
            return if client.path == file {
                Ok(client)
            } else {
                Err(OpenError::Another {
                    open: client.path.clone(),
                    asked: file,
                })
            };
        }
        let refused = |error: libloading::Error| OpenError::Refused {
            path: file.clone(),
            reason: error.to_string(),
        };
        let opened = Opened::open(&file).map_err(refused)?;
        let version = opened.version.clone();
        match version.as_deref().and_then(Version::parse) {
            Some(v) if v >= UNKNOWN => {
                let known = "0.12.74 to 0.13";
                tracing::warn!(
                    "LiveKit's media library is of version {}, newer than those that are known ({known})",
                    version.as_deref().unwrap_or_default()
                );
            }
            Some(v) if v >= OLDEST => {}
            _ => {
                return Err(OpenError::TooOld {
                    path: file,
                    version,
                });
            }
        }
        let functions = opened.functions().map_err(refused)?;
        functions.initialize(callback, true, "rust", env!("CARGO_PKG_VERSION"));
        let client = Self {
            functions,
            path: file,
            version: version.unwrap_or_default(),
            process: std::process::id(),
            next_call: AtomicU64::new(FIRST_CALL),
        };
        Ok(CLIENT.get_or_init(|| client))
    }

    /// The library, if it is open.
    pub fn opened() -> Option<&'static Self> {
        CLIENT.get()
    }

    /// The library's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says its version is: `0.13.2`.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn drop_handle(&self, id: u64) {
        if self.process == std::process::id() {
            self.functions.drop_handle(id);
        }
    }

    /// Sends a request that has no callback and no answer but that it was taken.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn send(&self, request: Request) -> Result<(), RequestError> {
        self.exchange(request).map(drop)
    }

    /// Sends a request whose answer comes at once.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn ask(&self, request: Request) -> Result<Incoming<Response>, RequestError> {
        let name = name_of(&request);
        let answer = self.exchange(request)?;
        let response = FfiResponse::decode(answer.as_slice())
            .ok()
            .and_then(|r| r.message)
            .ok_or(RequestError::Misunderstood { request: name })?;
        Ok(Incoming::new(response, owned_by_response))
    }

    /// Sends a request whose answer comes later. `request` is given the number that it must carry as its `request_async_id`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn call(&self, request: impl FnOnce(u64) -> Request) -> Result<Call, RequestError> {
        let id = self.next_call.fetch_add(1, Ordering::Relaxed);
        let reply = Router::the().expect(id, None);
        if let Err(error) = self.exchange(request(id)) {
            Router::the().forget(id);
            return Err(error);
        }
        Ok(Call { reply })
    }

    /// Sends what carries no pointers: those have methods of their own, which know how long the memory lives.
    fn exchange(&self, request: Request) -> Result<Vec<u8>, RequestError> {
        if matches!(
            request,
            Request::CaptureAudioFrame(_) | Request::PublishData(_)
        ) {
            return Err(RequestError::Refused {
                request: name_of(&request),
            });
        }
        // SAFETY: the two requests that carry pointers were refused.
        unsafe { self.exchange_any(request) }
    }

    /// # Safety
    /// A pointer in the request must be readable over its length until the request's callback has come.
    unsafe fn exchange_any(&self, request: Request) -> Result<Vec<u8>, RequestError> {
        if self.process != std::process::id() {
            return Err(RequestError::Forked);
        }
        let name = name_of(&request);
        let bytes = FfiRequest {
            message: Some(request),
        }
        .encode_to_vec();
        // SAFETY: the caller's promise.
        unsafe { self.functions.request(&bytes) }.ok_or(RequestError::Refused { request: name })
    }

    /// A call whose request points into `keep`, which is held until the callback has come.
    fn call_with(
        &self,
        keep: Arc<dyn Keep>,
        request: impl FnOnce(u64) -> Request,
    ) -> Result<Call, RequestError> {
        let id = self.next_call.fetch_add(1, Ordering::Relaxed);
        let reply = Router::the().expect(id, Some(keep));
        // SAFETY: both callers point to memory that `keep` owns, and the router holds `keep` until the callback.
        if let Err(error) = unsafe { self.exchange_any(request(id)) } {
            Router::the().forget(id);
            return Err(error);
        }
        Ok(Call { reply })
    }

    /// Gives audio to a source. The call is answered when the source can take more. One at a time per source: the library refuses a second.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn capture(
        &self,
        source: &Handle,
        samples: &Arc<[i16]>,
        sample_rate: u32,
        channels: u32,
    ) -> Result<Call, RequestError> {
        let data_ptr = samples.as_ptr().expose_provenance() as u64;
        let per_channel = samples.len() / (channels.max(1) as usize);
        let samples_per_channel =
            u32::try_from(per_channel).map_err(|_| RequestError::Refused {
                request: "CaptureAudioFrame",
            })?;
        self.call_with(Arc::new(Arc::clone(samples)), |id| {
            Request::CaptureAudioFrame(CaptureAudioFrameRequest {
                source_handle: source.id(),
                buffer: AudioFrameBufferInfo {
                    data_ptr,
                    num_channels: channels,
                    sample_rate,
                    samples_per_channel,
                },
                request_async_id: Some(id),
            })
        })
    }

    /// Sends a data packet.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn publish_data(
        &self,
        local_participant: &Handle,
        payload: &[u8],
        topic: Option<&str>,
        reliable: bool,
        to: &[String],
    ) -> Result<Call, RequestError> {
        let payload: Arc<[u8]> = payload.into();
        let data_ptr = payload.as_ptr().expose_provenance() as u64;
        let data_len = payload.len() as u64;
        self.call_with(Arc::new(payload), |id| {
            Request::PublishData(PublishDataRequest {
                local_participant_handle: local_participant.id(),
                data_ptr,
                data_len,
                reliable,
                topic: topic.map(str::to_owned),
                destination_identities: to.to_vec(),
                request_async_id: Some(id),
            })
        })
    }

    /// What comes for a room that was joined, from its first event on. It can be claimed once, after the callback of `Connect`.
    pub fn room_inputs(&self, room: &Handle) -> Option<mpsc::UnboundedReceiver<RoomInput>> {
        Router::the().claim_room(room.id())
    }

    /// Nothing more is wanted of a room.
    pub fn forget_room(&self, room: &Handle) {
        Router::the().forget_room(room.id());
    }

    /// Starts to read a text stream: its parts come as [`RoomInput::Text`] to `room`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn read_text(&self, reader: Handle, room: &Handle) -> Result<(), RequestError> {
        let reader_handle = reader.consumed();
        Router::the().read_text(reader_handle, room.id());
        self.send(Request::TextReadIncremental(
            TextStreamReaderReadIncrementalRequest { reader_handle },
        ))
    }

    /// Hands the audio of a stream to `listener`, on the library's thread: it must not wait. Both are dropped when the stream ends, when the listener gives
    /// `false`, or by [`forget_audio`](Self::forget_audio) with the stream's id. Frames that came before this call are not heard.
    pub fn listen(&self, stream: Handle, listener: impl FnMut(Pcm) -> bool + Send + 'static) {
        Router::the().listen(stream, Box::new(listener));
    }

    /// Closes a stream that is listened to.
    pub fn forget_audio(&self, stream: u64) {
        Router::the().forget_audio(stream);
    }
}

/// A request whose callback is awaited. Dropping it is safe at any time.
#[derive(Debug)]
pub struct Call {
    reply: oneshot::Receiver<Incoming<Event>>,
}

impl Call {
    /// The callback, if it comes within `limit`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn within(self, limit: Duration) -> Result<Incoming<Event>, CallError> {
        match tokio::time::timeout(limit, self.reply).await {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(_)) => Err(CallError::Dropped),
            Err(_) => Err(CallError::Timeout(limit)),
        }
    }

    /// The same, for a call that is kept when it takes longer.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn wait(&mut self, limit: Duration) -> Result<Incoming<Event>, CallError> {
        match tokio::time::timeout(limit, &mut self.reply).await {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(_)) => Err(CallError::Dropped),
            Err(_) => Err(CallError::Timeout(limit)),
        }
    }
}

const fn name_of(request: &Request) -> &'static str {
    match request {
        Request::Connect(_) => "Connect",
        Request::Disconnect(_) => "Disconnect",
        Request::PublishTrack(_) => "PublishTrack",
        Request::UnpublishTrack(_) => "UnpublishTrack",
        Request::PublishData(_) => "PublishData",
        Request::SetSubscribed(_) => "SetSubscribed",
        Request::SetLocalAttributes(_) => "SetLocalAttributes",
        Request::CreateAudioTrack(_) => "CreateAudioTrack",
        Request::LocalTrackMute(_) => "LocalTrackMute",
        Request::GetStats(_) => "GetStats",
        Request::NewAudioStream(_) => "NewAudioStream",
        Request::NewAudioSource(_) => "NewAudioSource",
        Request::CaptureAudioFrame(_) => "CaptureAudioFrame",
        Request::ClearAudioBuffer(_) => "ClearAudioBuffer",
        Request::PerformRpc(_) => "PerformRpc",
        Request::RegisterRpcMethod(_) => "RegisterRpcMethod",
        Request::UnregisterRpcMethod(_) => "UnregisterRpcMethod",
        Request::RpcMethodInvocationResponse(_) => "RpcMethodInvocationResponse",
        Request::TextReadIncremental(_) => "TextReadIncremental",
        Request::SendText(_) => "SendText",
        Request::TextStreamOpen(_) => "TextStreamOpen",
        Request::TextStreamWrite(_) => "TextStreamWrite",
        Request::TextStreamClose(_) => "TextStreamClose",
        Request::SimulateScenario(_) => "SimulateScenario",
        Request::ReadyForRoomEvent(_) => "ReadyForRoomEvent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let v = |text| Version::parse(text).expect("a version");
        assert_eq!(v("0.13.2"), Version(0, 13, 2));
        assert_eq!(v("0.12.74-rc.1"), Version(0, 12, 74));
        assert!(v("0.12.8") < OLDEST && v("0.12.74") >= OLDEST && v("0.12.80") >= OLDEST);
        assert!(v("0.13.99") < UNKNOWN && v("0.14.0") >= UNKNOWN && v("1.0.0") >= UNKNOWN);
        assert_eq!(Version::parse("0.13"), None);
        assert_eq!(Version::parse("latest"), None);
    }
}
