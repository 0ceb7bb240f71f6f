//! The readers of remote tracks: each has a decoder of its own, at its own rate.

use std::time::{Duration, Instant};

use listenkit_rtp_audio::{Receiver, ReceiverOptions};
use tokio::sync::mpsc;

use super::red::Heard;
use crate::AudioFrame;
use crate::transport::TransportError;

/// Received frames of 10 ms that may wait for a reader: two seconds.
const FRAMES_WAITING: usize = 200;

pub(super) const HEARING: &str = "cannot hear the track";

pub(super) struct Reader {
    sid: String,
    receiver: Receiver,
    sample_rate: u32,
    channels: u32,
    /// Of the stream that is read; another one begins anew.
    ssrc: Option<u32>,
    frames: mpsc::Sender<AudioFrame>,
    /// Frames that the reader did not make room for, since it last did.
    lost: u32,
}

impl Reader {
    pub(super) fn open(
        sid: String,
        sample_rate: u32,
        channels: u32,
    ) -> Result<(Self, mpsc::Receiver<AudioFrame>), TransportError> {
        let receiver =
            Receiver::new(&ReceiverOptions::new(sample_rate, channels)).map_err(|error| {
                TransportError::Refused {
                    what: HEARING,
                    message: error.to_string(),
                }
            })?;
        let (frames, output) = mpsc::channel(FRAMES_WAITING);
        let reader = Self {
            sid,
            receiver,
            sample_rate,
            channels,
            ssrc: None,
            frames,
            lost: 0,
        };
        Ok((reader, output))
    }

    fn take(&mut self, packet: &Heard, now: Instant) {
        let ssrc = packet.ssrc;
        if self.ssrc.replace(ssrc).is_some_and(|before| before != ssrc) {
            self.receiver.restart();
        }
        self.receiver.push(
            packet.sequence,
            packet.time,
            packet.arrived,
            &packet.payload,
        );
        self.give(now);
    }

    /// Gives the reader what is due.
    fn give(&mut self, now: Instant) {
        while let Some(block) = self.receiver.poll(now) {
            let frame = AudioFrame::new(block.samples, self.sample_rate, self.channels);
            let Ok(frame) = frame else {
                continue;
            };
            // A reader that is two seconds late loses it.
            match self.frames.try_send(frame) {
                Ok(()) if self.lost > 0 => {
                    let lost = std::mem::take(&mut self.lost);
                    tracing::warn!(
                        track = self.sid,
                        frames = lost,
                        "audio was not read in time and is lost"
                    );
                }
                Err(mpsc::error::TrySendError::Full(_)) => {
                    if self.lost == 0 {
                        tracing::warn!(
                            track = self.sid,
                            "a reader of audio is two seconds late and loses what comes"
                        );
                    }
                    self.lost += 1;
                }
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        tracing::debug!(track = self.sid, counts = ?self.receiver.counts(), "not read any more");
    }
}

/// All readers of a room.
#[derive(Default)]
pub(super) struct Readers(Vec<Reader>);

impl Readers {
    pub(super) fn add(&mut self, reader: Reader) {
        self.0.push(reader);
    }

    /// A packet of this track came.
    pub(super) fn take(&mut self, sid: &str, packet: &Heard, now: Instant) {
        for reader in self.0.iter_mut().filter(|r| r.sid == sid) {
            reader.take(packet, now);
        }
        self.0.retain(|r| !r.frames.is_closed());
    }

    /// The track is gone, and with it its readers' channels.
    pub(super) fn end(&mut self, sid: &str) {
        self.0.retain(|r| r.sid != sid);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|r| r.receiver.deadline()).min()
    }

    pub(super) fn handle_time(&mut self, now: Instant) {
        for reader in &mut self.0 {
            if reader.receiver.deadline().is_some_and(|at| at <= now) {
                reader.give(now);
            }
        }
        self.0.retain(|r| !r.frames.is_closed());
    }

    /// Age of what was given of this track since the last call, but for the way of the packets.
    pub(super) fn take_age(&mut self, sid: &str) -> Option<Duration> {
        let ages = self.0.iter_mut().filter(|r| r.sid == sid);
        ages.filter_map(|r| r.receiver.take_age()).max()
    }
}
