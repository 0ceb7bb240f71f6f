//! Where audio goes.

use std::time::Duration;

use crate::AudioFrame;
use crate::transport::{AudioTrack, TransportError};

/// A queue of audio that is played in real time: a published track, a sound card, a WAV file.
#[async_trait::async_trait]
pub trait AudioSink: Send + Sync {
    /// Of the frames it takes, in Hz.
    fn sample_rate(&self) -> u32;

    /// Of the frames it takes.
    fn channels(&self) -> u32;

    /// Waits until somebody can hear it; [`Playout`](super::Playout) begins then. By default at once. Losing the call's future loses nothing.
    async fn ready(&self) {}

    /// Queues a frame in this format; waits while the queue is full.
    ///
    /// # Errors
    /// [`TransportError`] if it is over.
    async fn capture(&self, frame: &AudioFrame) -> Result<(), TransportError>;

    /// Audio that waits to be played. [`Playout`](super::Playout) takes its positions from this.
    fn queued(&self) -> Duration;

    /// Drops what waits.
    fn clear(&self);
}

/// A published track as a sink.
pub struct TrackSink {
    track: Box<dyn AudioTrack>,
    sample_rate: u32,
    channels: u32,
}

impl TrackSink {
    /// A sink for a track that was published with this format.
    pub fn new(track: Box<dyn AudioTrack>, sample_rate: u32, channels: u32) -> Self {
        Self {
            track,
            sample_rate,
            channels,
        }
    }

    /// The track.
    pub fn track(&self) -> &dyn AudioTrack {
        &*self.track
    }
}

#[async_trait::async_trait]
impl AudioSink for TrackSink {
    fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    fn channels(&self) -> u32 {
        self.channels
    }

    async fn capture(&self, frame: &AudioFrame) -> Result<(), TransportError> {
        self.track.capture(frame).await
    }

    fn queued(&self) -> Duration {
        self.track.queued()
    }

    fn clear(&self) {
        self.track.clear();
    }
}
