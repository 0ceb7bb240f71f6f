//! How old received audio is, from what the library counts.

use std::sync::Arc;
use std::time::Duration;

use listenkit_livekit_ffi::messages::{Event, GetStatsRequest, Request, Stats};

use super::room::Shared;
use super::{ANSWER, answer, objection, refused};
use crate::transport::TransportError;

const ASKING: &str = "cannot ask how old the audio is";

/// What a sample waits for before it can leave the speaker and after it has left the jitter buffer: its packet of 20 ms to be full (10 ms on average), Opus's
/// look-ahead (6.5 ms, RFC 6716, section 2), and its frame of 10 ms to be complete here (5 ms on average).
const PACKING: Duration = Duration::from_micros(21_500);

/// More is no age but a broken count.
const OLDEST: Duration = Duration::from_secs(5);

/// What a jitter buffer has counted since the track began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct JitterBuffer {
    /// Of all samples together, in seconds.
    delay: f64,
    /// Samples.
    emitted: u64,
}

impl JitterBuffer {
    /// Mean delay of the samples since `earlier`; `None` if there were none.
    fn since(self, earlier: Self) -> Option<Duration> {
        // A buffer that was made anew counts from 0.
        let earlier = if self.emitted < earlier.emitted {
            Self::default()
        } else {
            earlier
        };
        let samples = self.emitted - earlier.emitted;
        let mean = (self.delay - earlier.delay) / samples as f64;
        (samples > 0)
            .then(|| Duration::try_from_secs_f64(mean).ok())
            .flatten()
    }
}

pub(super) async fn of(
    shared: &Arc<Shared>,
    sid: &str,
    track: u64,
) -> Result<Option<Duration>, TransportError> {
    let call = shared
        .client
        .call(|id| {
            Request::GetStats(GetStatsRequest {
                track_handle: track,
                request_async_id: Some(id),
            })
        })
        .map_err(refused(ASKING))?;
    let Event::GetStats(callback) = answer(ASKING, call, ANSWER).await?.message else {
        return Err(TransportError::Closed);
    };
    objection(ASKING, callback.error)?;
    let mut now = None;
    let mut round_trip = 0.0_f64;
    for stats in callback.stats.into_iter().filter_map(|s| s.stats) {
        match stats {
            Stats::InboundRtp(rtp) => {
                now = Some(JitterBuffer {
                    delay: rtp.inbound.jitter_buffer_delay,
                    emitted: rtp.inbound.jitter_buffer_emitted_count,
                });
            }
            Stats::CandidatePair(pair) if pair.candidate_pair.nominated => {
                round_trip = pair.candidate_pair.current_round_trip_time;
            }
            Stats::CandidatePair(_) => {}
        }
    }
    let Some(now) = now else {
        return Ok(None);
    };
    let before = {
        let mut state = shared.state();
        state.ages.insert(sid.to_owned(), now).unwrap_or_default()
    };
    let way = Duration::try_from_secs_f64(round_trip / 2.0).unwrap_or_default();
    Ok(now
        .since(before)
        .map(|buffered| (PACKING + buffered + way).min(OLDEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counted(delay: f64, emitted: u64) -> JitterBuffer {
        JitterBuffer { delay, emitted }
    }

    #[test]
    fn a_mean_is_of_the_samples_since_the_last_question() {
        // 48,000 samples of 30 ms each, then as many of 50 ms.
        let first = counted(1440.0, 48_000);
        let second = counted(3840.0, 96_000);
        let ms = Duration::from_millis;
        assert_eq!(first.since(JitterBuffer::default()), Some(ms(30)));
        assert_eq!(second.since(first), Some(ms(50)));
    }

    #[test]
    fn a_buffer_that_counts_nothing_backwards_or_nonsense_has_no_age() {
        let some = counted(1440.0, 48_000);
        assert_eq!(some.since(some), None);
        assert_eq!(JitterBuffer::default().since(JitterBuffer::default()), None);
        assert_eq!(counted(f64::NAN, 96_000).since(some), None);
        assert_eq!(counted(-5.0, 96_000).since(some), None);
        // Made anew: counted from its own beginning.
        let anew = counted(24.0, 480).since(some);
        assert_eq!(anew, Some(Duration::from_millis(50)));
    }
}
