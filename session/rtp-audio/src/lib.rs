//! Opus in RTP to blocks of PCM and back, for a listener that cares about delay and CPU.
//!
//! No socket, no thread, no clock: datagrams and instants are given, blocks are taken. A packet that is next in order is decoded and given at once;
//! only a hole waits, for a bounded time. While the sender is silent and sends nothing the listener's time goes on all the same.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use listenkit_rtp_audio::{Kind, Receiver, ReceiverOptions, Sender, SenderOptions};
//!
//! let mut sender = Sender::new(&SenderOptions::default())?; // 24 kHz, 20 ms
//! let mut receiver = Receiver::new(&ReceiverOptions::default())?; // 16 kHz
//! let tone: Vec<i16> = (0..480).map(|at| (8_000.0 * (at as f32 * 0.1).sin()) as i16).collect();
//! let begun = Instant::now();
//! let mut blocks = 0;
//! for nth in 0..50_u32 {
//!     let now = begun + Duration::from_millis(20) * nth;
//!     let payload = sender.encode(&tone)?; // empty: nothing to send
//!     receiver.push(u64::from(nth), nth * 960, now, payload);
//!     while let Some(block) = receiver.poll(now) {
//!         assert_eq!((block.samples.len(), block.kind), (160, Kind::Heard));
//!         blocks += 1;
//!     }
//! }
//! assert_eq!(blocks, 100);
//! # Ok::<(), listenkit_rtp_audio::Error>(())
//! ```

mod decoder;
mod packet;
mod queue;
mod rates;
mod receiver;
mod sender;

pub use receiver::{Block, Counts, Kind, Receiver, ReceiverOptions};
pub use sender::{Sender, SenderOptions};

/// Ticks of RTP time in a second, whatever the audio's rate (RFC 7587, section 4.1).
pub const CLOCK_RATE: u32 = 48_000;

/// What cannot be built or encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A format that is not offered.
    #[error(
        "{sample_rate} Hz with {channels} channels is not offered: give 4000 to 192000 Hz, 1 or 2 channels"
    )]
    Format {
        /// In Hz.
        sample_rate: u32,
        /// How many.
        channels: u32,
    },
    /// A packet length that is not offered.
    #[error(
        "packets of {micros} us at {sample_rate} Hz are not offered: give 10 or 20 ms, with a whole number of samples"
    )]
    Packet {
        /// Length, in microseconds.
        micros: u64,
        /// In Hz.
        sample_rate: u32,
    },
    /// PCM that is not one packet long.
    #[error("{given} values were given for a packet of {expected}")]
    Length {
        /// Values that came, all channels together.
        given: usize,
        /// Values that a packet has.
        expected: usize,
    },
    /// The codec failed.
    #[error("the Opus encoder failed: {0}")]
    Codec(&'static str),
}
