//! Publishing audio.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use listenkit_livekit_ffi::messages::{
    AudioSourceOptions, AudioSourceType, ClearAudioBufferRequest, CreateAudioTrackRequest, Event,
    LocalTrackMuteRequest, NewAudioSourceRequest, OwnedTrack, PublishTrackRequest, Request,
    Response, TrackPublishOptions, UnpublishTrackRequest,
};
use listenkit_livekit_ffi::{Call, Client, Handle};
use tokio::sync::Mutex;

use super::room::Shared;
use super::{ANSWER, answer, convert, objection, refused, unanswered};
use crate::AudioFrame;
use crate::transport::{AudioTrack, PublishOptions, TransportError};

const PUBLISHING: &str = "cannot publish the track";
const CAPTURING: &str = "cannot send audio";

/// How long the library may take for a frame, on top of the time until its queue has room.
const CAPTURE_SLACK: Duration = Duration::from_secs(2);

/// What the room's task knows of a track of ours.
pub(super) struct Published {
    sid: StdMutex<String>,
}

impl Published {
    pub(super) fn sid(&self) -> String {
        self.sid
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_sid(&self, sid: &str) {
        sid.clone_into(&mut self.sid.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The library counts in steps of 10 ms. Without a queue it sends what it is given at once.
fn queue_ms(queue: Duration) -> u32 {
    let steps = queue.as_micros().div_ceil(10_000).min(6_000);
    u32::try_from(steps * 10).unwrap_or(60_000)
}

pub(super) async fn publish(
    shared: &Arc<Shared>,
    options: &PublishOptions,
) -> Result<LocalAudioTrack, TransportError> {
    let known = (1..=2).contains(&options.channels)
        && (8_000..=48_000).contains(&options.sample_rate)
        && options.sample_rate.is_multiple_of(100);
    if !known {
        return Err(TransportError::Refused {
            what: PUBLISHING,
            message: format!(
                "{} Hz with {} channels cannot be sent: 8000 to 48000 Hz in steps of 100, 1 or 2 channels",
                options.sample_rate, options.channels
            ),
        });
    }
    let client = shared.client;
    let source = new_source(client, options)?;
    let track = new_track(client, options, &source)?;
    let call = client
        .call(|id| {
            Request::PublishTrack(PublishTrackRequest {
                local_participant_handle: shared.local.id(),
                track_handle: track.id(),
                options: TrackPublishOptions {
                    source: Some(convert::source(options.source) as i32),
                    ..TrackPublishOptions::default()
                },
                request_async_id: Some(id),
            })
        })
        .map_err(refused(PUBLISHING))?;
    let incoming = answer(PUBLISHING, call, ANSWER).await?;
    let Event::PublishTrack(callback) = &incoming.message else {
        return Err(TransportError::Closed);
    };
    objection(PUBLISHING, callback.error.clone())?;
    let publication = callback
        .publication
        .as_ref()
        .ok_or(TransportError::Closed)?;
    let mut published = convert::track(&publication.info);
    published.source = options.source;
    let name = Arc::new(Published {
        sid: StdMutex::new(published.sid.clone()),
    });
    {
        let mut state = shared.state();
        state.local.tracks.retain(|t| t.sid != published.sid);
        state.local.tracks.push(published);
        state.published.push(Arc::clone(&name));
    }
    Ok(LocalAudioTrack {
        shared: Arc::clone(shared),
        source,
        track,
        name,
        sample_rate: options.sample_rate,
        channels: options.channels,
        direct: options.queue.is_zero(),
        sending: Mutex::new(Sending::default()),
        empty_at: StdMutex::new(None),
    })
}

fn new_source(client: &Client, options: &PublishOptions) -> Result<Handle, TransportError> {
    let mut incoming = client
        .ask(Request::NewAudioSource(NewAudioSourceRequest {
            r#type: AudioSourceType::AudioSourceNative as i32,
            // An agent's voice is clean: nothing that a microphone needs.
            options: Some(AudioSourceOptions::default()),
            sample_rate: Some(options.sample_rate),
            num_channels: Some(options.channels),
            queue_size_ms: Some(queue_ms(options.queue)),
        }))
        .map_err(refused(PUBLISHING))?;
    let owned = match &incoming.message {
        Response::NewAudioSource(answer) => answer.source.handle.clone(),
        _ => return Err(TransportError::Closed),
    };
    incoming.take(&owned).ok_or(TransportError::Closed)
}

fn new_track(
    client: &Client,
    options: &PublishOptions,
    source: &Handle,
) -> Result<Handle, TransportError> {
    let mut incoming = client
        .ask(Request::CreateAudioTrack(CreateAudioTrackRequest {
            name: options.name.clone(),
            source_handle: source.id(),
        }))
        .map_err(refused(PUBLISHING))?;
    let owned = match &incoming.message {
        Response::CreateAudioTrack(answer) => OwnedTrack::clone(&answer.track).handle,
        _ => return Err(TransportError::Closed),
    };
    incoming.take(&owned).ok_or(TransportError::Closed)
}

#[derive(Default)]
struct Sending {
    /// A frame that the library has and has not confirmed. It refuses another one meanwhile, so the next sender waits for it first.
    pending: Option<Call>,
    /// Without a queue the library takes blocks of 10 ms only: what is left of the last frame.
    rest: Vec<i16>,
}

/// A track of ours.
pub(super) struct LocalAudioTrack {
    shared: Arc<Shared>,
    source: Handle,
    track: Handle,
    name: Arc<Published>,
    sample_rate: u32,
    channels: u32,
    /// Published without a queue: the sender keeps the time.
    direct: bool,
    sending: Mutex<Sending>,
    /// When the library's queue will be empty. It takes 10 ms out of it every 10 ms.
    empty_at: StdMutex<Option<Instant>>,
}

impl LocalAudioTrack {
    /// Counts a frame into the queue.
    fn add(&self, duration: Duration) {
        let now = Instant::now();
        let mut empty_at = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        *empty_at = Some(empty_at.map_or(now, |at| at.max(now)) + duration);
    }

    async fn send(
        &self,
        sending: &mut Sending,
        samples: &Arc<[i16]>,
    ) -> Result<(), TransportError> {
        let call = self
            .shared
            .client
            .capture(&self.source, samples, self.sample_rate, self.channels)
            .map_err(refused(CAPTURING))?;
        sending.pending = Some(call);
        if !self.direct {
            let len = samples.len() as u64 / u64::from(self.channels);
            self.add(Duration::from_nanos(
                len * 1_000_000_000 / u64::from(self.sample_rate),
            ));
        }
        self.confirm(&mut sending.pending)
            .await
            .map_err(|e| self.shared.explain(e))
    }

    async fn confirm(&self, pending: &mut Option<Call>) -> Result<(), TransportError> {
        let Some(call) = pending.as_mut() else {
            return Ok(());
        };
        let limit = self.queued() + CAPTURE_SLACK;
        let event = match call.wait(limit).await {
            Ok(event) => event.message,
            Err(error) => {
                *pending = None;
                return Err(unanswered(CAPTURING, error));
            }
        };
        *pending = None;
        match event {
            Event::CaptureAudioFrame(callback) => objection(CAPTURING, callback.error),
            _ => Err(TransportError::Closed),
        }
    }
}

#[async_trait::async_trait]
impl AudioTrack for LocalAudioTrack {
    fn sid(&self) -> String {
        self.name.sid()
    }

    async fn capture(&self, frame: &AudioFrame) -> Result<(), TransportError> {
        if frame.sample_rate() != self.sample_rate || frame.channels() != self.channels {
            return Err(TransportError::Refused {
                what: CAPTURING,
                message: format!(
                    "the track was published with {} Hz and {} channels, and the frame has {} Hz and {}",
                    self.sample_rate,
                    self.channels,
                    frame.sample_rate(),
                    frame.channels()
                ),
            });
        }
        if self.shared.state().over {
            return Err(TransportError::Closed);
        }
        if frame.samples().is_empty() {
            return Ok(());
        }
        let mut sending = self.sending.lock().await;
        // Of a sender that gave up waiting.
        self.confirm(&mut sending.pending).await?;
        if !self.direct {
            return self.send(&mut sending, frame.shared()).await;
        }
        let block = (self.sample_rate / 100 * self.channels) as usize;
        if sending.rest.is_empty() && frame.samples().len() == block {
            return self.send(&mut sending, frame.shared()).await;
        }
        sending.rest.extend_from_slice(frame.samples());
        while sending.rest.len() >= block {
            let samples: Arc<[i16]> = sending.rest.drain(..block).collect();
            self.send(&mut sending, &samples).await?;
        }
        Ok(())
    }

    fn queued(&self) -> Duration {
        self.empty_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .map_or(Duration::ZERO, |at| {
                at.saturating_duration_since(Instant::now())
            })
    }

    fn clear(&self) {
        if let Ok(mut sending) = self.sending.try_lock() {
            sending.rest.clear();
        }
        if self.direct {
            return;
        }
        *self.empty_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self
            .shared
            .client
            .send(Request::ClearAudioBuffer(ClearAudioBufferRequest {
                source_handle: self.source.id(),
            }));
    }

    async fn set_muted(&self, muted: bool) -> Result<(), TransportError> {
        const WHAT: &str = "cannot mute the track";
        self.shared
            .client
            .ask(Request::LocalTrackMute(LocalTrackMuteRequest {
                track_handle: self.track.id(),
                mute: muted,
            }))
            .map_err(refused(WHAT))
            .map(drop)
            .map_err(|e| self.shared.explain(e))
    }
}

impl Drop for LocalAudioTrack {
    fn drop(&mut self) {
        let sid = self.name.sid();
        {
            let mut state = self.shared.state();
            state.local.tracks.retain(|t| t.sid != sid);
            state.published.retain(|p| !Arc::ptr_eq(p, &self.name));
            if state.over {
                return;
            }
        }
        let _ = self
            .shared
            .client
            .send(Request::UnpublishTrack(UnpublishTrackRequest {
                local_participant_handle: self.shared.local.id(),
                track_sid: sid,
                stop_on_unpublish: true,
                request_async_id: None,
            }));
    }
}
