//! Playout against a sink that plays in virtual time.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use listenkit_session::providers::instant::ToneTts;
use listenkit_session::transport::TransportError;
use listenkit_session::tts::{AudioSink, Playout, PlayoutOptions, Tts, TtsEvent, Utterance};
use listenkit_session::{AudioFrame, ErrorKind, ProviderError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

const RATE: u32 = 48_000;

type Item = Result<TtsEvent, ProviderError>;

/// A sound card: what was handed over is played at its rate, and kept for looking at.
struct Card {
    capacity: Duration,
    state: Mutex<CardState>,
}

#[derive(Default)]
struct CardState {
    /// Samples that were played, and when.
    heard: Vec<(Instant, i16)>,
    waiting: Vec<i16>,
    /// When the first of `waiting` is due.
    next: Option<Instant>,
    fails: bool,
    stuck: bool,
}

fn time(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(RATE))
}

impl Card {
    fn new(capacity_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            capacity: ms(capacity_ms),
            state: Mutex::default(),
        })
    }

    fn run(&self) -> MutexGuard<'_, CardState> {
        let mut state = self.state.lock().unwrap();
        let now = Instant::now();
        if let Some(start) = state.next
            && !state.stuck
        {
            let due = (now - start).as_nanos() * u128::from(RATE) / 1_000_000_000;
            let due = (due as usize).min(state.waiting.len());
            let played: Vec<i16> = state.waiting.drain(..due).collect();
            for (at, sample) in played.into_iter().enumerate() {
                state.heard.push((start + time(at), sample));
            }
            state.next = (!state.waiting.is_empty()).then(|| start + time(due));
        }
        state
    }

    fn heard(&self) -> Vec<i16> {
        self.run().heard.iter().map(|&(_, sample)| sample).collect()
    }

    fn first(&self) -> Option<Instant> {
        self.run().heard.first().map(|&(at, _)| at)
    }
}

#[async_trait::async_trait]
impl AudioSink for Card {
    fn sample_rate(&self) -> u32 {
        RATE
    }

    fn channels(&self) -> u32 {
        1
    }

    async fn capture(&self, frame: &AudioFrame) -> Result<(), TransportError> {
        assert_eq!((frame.sample_rate(), frame.channels()), (RATE, 1));
        assert_eq!(frame.samples().len() % 480, 0);
        if self.run().fails {
            return Err(TransportError::Closed);
        }
        while self.queued() + frame.duration() > self.capacity {
            sleep(ms(1)).await;
        }
        let mut state = self.run();
        state.waiting.extend(frame.samples());
        state.next.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn queued(&self) -> Duration {
        time(self.run().waiting.len())
    }

    fn clear(&self) {
        let mut state = self.run();
        state.waiting.clear();
        state.next = None;
    }
}

/// Samples that tell their own position.
fn ramp(start: usize, len: usize) -> Vec<i16> {
    (start..start + len)
        .map(|at| (at % 20_000) as i16 + 1_000)
        .collect()
}

/// Whether these are the first samples of the ramp, and so many.
#[track_caller]
fn assert_ramp(heard: &[i16], len: usize) {
    assert_eq!(heard.len(), len);
    let wrong = heard.iter().zip(ramp(0, len)).position(|(&a, b)| a != b);
    assert_eq!(wrong, None);
}

fn audio(samples: Vec<i16>) -> Item {
    Ok(TtsEvent::Audio(AudioFrame::new(samples, RATE, 1).unwrap()))
}

fn text(text: &str) -> Item {
    Ok(TtsEvent::Text(text.into()))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Samples in so many milliseconds.
const fn of_ms(ms: usize) -> usize {
    ms * 48
}

fn play(card: &Arc<Card>, items: Vec<Item>) -> (Playout, Utterance) {
    let playout = Playout::new(card.clone(), PlayoutOptions::default());
    let (sender, receiver) = mpsc::channel(items.len().max(1));
    for item in items {
        sender.try_send(item).unwrap();
    }
    let utterance = playout.play(receiver);
    (playout, utterance)
}

#[tokio::test(start_paused = true)]
async fn all_is_played_once_in_order_and_then_it_is_finished() {
    let card = Card::new(1_000);
    let began = Instant::now();
    let items = vec![
        text("First. "),
        audio(ramp(0, of_ms(700))),
        text("Second."),
        audio(ramp(of_ms(700), of_ms(333) + 7)),
    ];
    let (_playout, utterance) = play(&card, items);
    let played = utterance.finished().await;
    let len = of_ms(1_033) + 7;
    let heard = card.heard();
    assert_ramp(&heard[..len], len);
    // Filled up with silence to whole 10 ms.
    assert_eq!(heard.len(), of_ms(1_040));
    assert!(heard[len..].iter().all(|&sample| sample == 0));
    assert_eq!(played.heard, "First. Second.");
    assert_eq!(played.position, time(len));
    assert_eq!(played.dropped, Duration::ZERO);
    assert!(!played.interrupted && played.error.is_none());
    assert_eq!(played.underruns, 0);
    // No gap: it took as long as it is. Timers round up to a millisecond.
    assert!(began.elapsed() <= ms(1_042), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_first_frame_goes_out_in_the_moment_it_comes() {
    let card = Card::new(1_000);
    let playout = Playout::new(card.clone(), PlayoutOptions::default());
    let (sender, receiver) = mpsc::channel(4);
    let utterance = playout.play(receiver);
    sleep(ms(123)).await;
    assert!(card.first().is_none());
    let pushed = Instant::now();
    sender.send(audio(ramp(0, of_ms(10)))).await.unwrap();
    assert!(utterance.started().await);
    // In virtual time any timer on the way would show.
    assert_eq!(Instant::now(), pushed);
    sleep(ms(20)).await;
    assert_eq!(card.first(), Some(pushed));
    assert_eq!(utterance.position(), ms(10));
}

#[tokio::test(start_paused = true)]
async fn stop_drops_what_waits_and_accounts_for_it() {
    let card = Card::new(1_000);
    let items = vec![text("one two three four"), audio(ramp(0, of_ms(4_000)))];
    let (_playout, utterance) = play(&card, items);
    sleep(ms(1_700)).await;
    utterance.stop();
    let played = utterance.finished().await;
    assert!(played.interrupted);
    assert_eq!(card.heard().len(), of_ms(1_700));
    assert_eq!(played.position, ms(1_700));
    assert_eq!(played.dropped, ms(2_300));
    // 15 letters in 4 s: at 1.7 s six were said, "one two".
    assert_eq!(played.heard, "one two");
    // For good.
    utterance.resume();
    sleep(ms(1_000)).await;
    assert_eq!(card.heard().len(), of_ms(1_700));
    assert_eq!(utterance.position(), ms(1_700));
}

#[tokio::test(start_paused = true)]
async fn pause_takes_back_the_queue_and_resume_goes_on_with_the_same_sample() {
    let card = Card::new(1_000);
    let (_playout, utterance) = play(&card, vec![text("a b"), audio(ramp(0, of_ms(3_000)))]);
    for (at, pause) in [(455, 2_000), (700, 30), (701, 7_000)] {
        while utterance.position() < ms(at) {
            sleep(ms(1)).await;
        }
        utterance.pause();
        sleep(ms(1)).await;
        let stands = utterance.position();
        assert!(stands <= ms(at + 2), "{stands:?}");
        assert_eq!(card.queued(), Duration::ZERO);
        sleep(ms(pause)).await;
        assert_eq!(utterance.position(), stands);
        utterance.resume();
    }
    let played = utterance.finished().await;
    // A pause may fall inside the 10 ms of a frame; then the end is filled up.
    let heard = card.heard();
    assert_ramp(&heard[..of_ms(3_000)], of_ms(3_000));
    assert!(heard.len() < of_ms(3_010) && heard[of_ms(3_000)..].iter().all(|&s| s == 0));
    assert_eq!(played.position, ms(3_000));
    assert_eq!(played.dropped, Duration::ZERO);
    assert!(!played.interrupted && played.error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slow_voice_makes_gaps_and_loses_nothing() {
    let card = Card::new(1_000);
    let playout = Playout::new(card.clone(), PlayoutOptions::default());
    let (sender, receiver) = mpsc::channel(1);
    let utterance = playout.play(receiver);
    sender.send(text("slow")).await.unwrap();
    for part in 0..5 {
        // 13.3 ms at a time: no whole frame.
        sender.send(audio(ramp(part * 640, 640))).await.unwrap();
        sleep(ms(300)).await;
    }
    drop(sender);
    let played = utterance.finished().await;
    assert_ramp(&card.heard()[..3_200], 3_200);
    assert_eq!(played.position, time(3_200));
    // Four gaps between five parts, and one before the rest that was kept for a whole frame.
    assert!((4..=5).contains(&played.underruns), "{}", played.underruns);
    assert!(!played.interrupted);
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_middle_ends_it_behind_what_came_before() {
    let card = Card::new(1_000);
    let error = ProviderError::new("voice", ErrorKind::Connection, "cut");
    // 28 letters are 2 s at the pace that is assumed of an unknown voice.
    let words = text("abcdefg abcdefg abcdefg abcdefg");
    let items = vec![words, audio(ramp(0, of_ms(1_000))), Err(error)];
    let (_playout, utterance) = play(&card, items);
    let played = utterance.finished().await;
    assert_eq!(played.position, ms(1_000));
    assert_eq!(played.heard, "abcdefg abcdefg");
    assert!(!played.interrupted);
    assert_eq!(played.error.unwrap().kind, ErrorKind::Connection);
}

#[tokio::test(start_paused = true)]
async fn no_audio_is_an_end_without_a_start() {
    let card = Card::new(1_000);
    let (_playout, utterance) = play(&card, vec![text("...")]);
    assert!(!utterance.started().await);
    let played = utterance.finished().await;
    assert_eq!(played.position, Duration::ZERO);
    assert!(!played.interrupted && played.error.is_none());
    assert!(utterance.is_finished());
}

#[tokio::test(start_paused = true)]
async fn utterances_follow_each_other_and_one_that_waits_can_be_stopped() {
    let card = Card::new(1_000);
    let playout = Playout::new(card.clone(), PlayoutOptions::default());
    let say = |start: usize, len: usize| {
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(audio(ramp(start, len))).unwrap();
        playout.play(receiver)
    };
    let began = Instant::now();
    let first = say(0, of_ms(500));
    let second = say(of_ms(500), of_ms(500));
    let third = say(of_ms(500), of_ms(500));
    sleep(ms(100)).await;
    second.stop();
    let played = second.finished().await;
    assert_eq!(began.elapsed(), ms(100));
    assert!(played.interrupted);
    assert_eq!(played.position, Duration::ZERO);
    assert!(!second.started().await);
    assert_eq!(third.position(), Duration::ZERO);
    assert_eq!(first.finished().await.position, ms(500));
    assert_eq!(third.finished().await.position, ms(500));
    assert_ramp(&card.heard(), of_ms(1_000));
}

#[tokio::test(start_paused = true)]
async fn other_formats_are_converted() {
    let card = Card::new(1_000);
    let playout = Playout::new(card.clone(), PlayoutOptions::default());
    let (sender, receiver) = mpsc::channel(300);
    let mut voice = ToneTts::new();
    voice.sample_rate = 22_050;
    voice.per_character = ms(50);
    let mut frames = voice.synthesize("twenty characters ok").await.unwrap();
    let utterance = playout.play(receiver);
    while let Some(frame) = frames.recv().await {
        sender.send(frame.map(TtsEvent::Audio)).await.unwrap();
    }
    drop(sender);
    let played = utterance.finished().await;
    assert_eq!(played.position, ms(1_000));
    let heard = card.heard();
    // 440 Hz: 880 changes of sign a second.
    let changes = heard.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0));
    let changes = changes.count();
    assert!((878..=882).contains(&changes), "{changes}");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_or_stands_still_ends_it() {
    let card = Card::new(1_000);
    let (_playout, utterance) = play(&card, vec![audio(ramp(0, of_ms(2_000)))]);
    sleep(ms(500)).await;
    card.run().fails = true;
    let played = utterance.finished().await;
    assert_eq!(played.error.unwrap().kind, ErrorKind::Closed);
    assert!(!played.interrupted);
    assert_eq!(played.position + played.dropped, ms(2_000));
    assert!(played.position >= ms(500) && played.position < ms(720));

    for capacity in [1_000, 100] {
        let card = Card::new(capacity);
        let (_playout, utterance) = play(&card, vec![audio(ramp(0, of_ms(2_000)))]);
        sleep(ms(500)).await;
        drop(card.run());
        card.state.lock().unwrap().stuck = true;
        let began = Instant::now();
        let played = utterance.finished().await;
        assert_eq!(played.error.unwrap().kind, ErrorKind::Timeout);
        assert!(began.elapsed() < ms(6_500), "{:?}", began.elapsed());
        assert_eq!(played.position, ms(500));
        assert_eq!(played.dropped, ms(1_500));
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_or_the_playout_stops_it() {
    let card = Card::new(1_000);
    let (playout, utterance) = play(&card, vec![audio(ramp(0, of_ms(2_000)))]);
    sleep(ms(500)).await;
    drop(playout);
    let played = utterance.finished().await;
    assert!(played.interrupted);
    assert_eq!(played.position, ms(500));
    let (_playout, utterance) = play(&card, vec![audio(ramp(0, of_ms(2_000)))]);
    sleep(ms(500)).await;
    drop(utterance);
    sleep(ms(500)).await;
    assert_eq!(card.heard().len(), of_ms(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_the_sink_takes_nothing_is_still_exact() {
    // The queue is shorter than the lead: handing over always waits.
    let card = Card::new(50);
    let (_playout, utterance) = play(&card, vec![audio(ramp(0, of_ms(2_000)))]);
    sleep(ms(500)).await;
    utterance.stop();
    let played = utterance.finished().await;
    let heard = card.heard();
    assert_ramp(&heard, of_ms(500));
    assert_eq!(played.position, ms(500));
    assert_eq!(played.dropped, ms(1_500));
    assert_eq!(card.queued(), Duration::ZERO);
}

/// Any sequence of pushes, pauses and stops: what the card played is what the position says, in order, and nothing is unaccounted.
#[tokio::test(start_paused = true)]
async fn position_and_dropped_are_all_that_came() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let card = Card::new(random.u64(30..600));
        let playout = Playout::new(card.clone(), PlayoutOptions::default());
        let (sender, receiver) = mpsc::channel(64);
        let utterance = playout.play(receiver);
        let mut pushed = 0;
        let mut last = Duration::ZERO;
        let stop_at = random.usize(0..80);
        let mut taken = 0;
        for step in 0..40 {
            match random.u8(0..6) {
                0 => utterance.pause(),
                1 | 2 => utterance.resume(),
                _ => {
                    let len = random.usize(1..of_ms(300));
                    if sender.try_send(audio(ramp(pushed, len))).is_ok() {
                        pushed += len;
                    }
                }
            }
            if step == stop_at {
                // Nothing is left in the channel, so that all that was pushed has come.
                while sender.capacity() < 64 && !sender.is_closed() {
                    sleep(ms(1)).await;
                }
                taken = pushed;
                utterance.stop();
            }
            sleep(ms(random.u64(0..200))).await;
            let position = utterance.position();
            assert!(position >= last, "seed {seed}");
            last = position;
        }
        drop(sender);
        utterance.resume();
        let played = utterance.finished().await;
        let heard = card.heard();
        let len = (played.position.as_secs_f64() * 48_000.0).round() as usize;
        let dropped = (played.dropped.as_secs_f64() * 48_000.0).round() as usize;
        assert!(
            (len..len + 480).contains(&heard.len()),
            "seed {seed}: {len} of {}",
            heard.len()
        );
        assert_ramp(&heard[..len], len);
        if played.interrupted {
            assert!(stop_at < 40);
            assert_eq!(len + dropped, taken, "seed {seed}");
        } else {
            assert_eq!((len, dropped), (pushed, 0), "seed {seed}");
        }
    }
}

/// A sink that cannot even fail.
struct Crashing;

#[async_trait::async_trait]
impl AudioSink for Crashing {
    fn sample_rate(&self) -> u32 {
        RATE
    }

    fn channels(&self) -> u32 {
        1
    }

    async fn capture(&self, _: &AudioFrame) -> Result<(), TransportError> {
        panic!("a sink that panics")
    }

    fn queued(&self) -> Duration {
        Duration::ZERO
    }

    fn clear(&self) {}
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_ends_its_utterance() {
    let playout = Playout::new(Arc::new(Crashing), PlayoutOptions::default());
    let (sender, receiver) = mpsc::channel(4);
    sender.try_send(audio(ramp(0, of_ms(100)))).unwrap();
    let utterance = playout.play(receiver);
    let played = tokio::time::timeout(ms(1_000), utterance.finished())
        .await
        .expect("it ends");
    assert!(played.interrupted);
    assert_eq!(played.position, Duration::ZERO);
    assert!(!utterance.started().await);
}

#[tokio::test(start_paused = true)]
async fn any_read_ahead_plays_all() {
    for read_ahead in [Duration::ZERO, ms(5), Duration::MAX] {
        let card = Card::new(1_000);
        let mut options = PlayoutOptions::default();
        options.read_ahead = read_ahead;
        let playout = Playout::new(card.clone(), options);
        let (sender, receiver) = mpsc::channel(1);
        let utterance = playout.play(receiver);
        let speak = async {
            for part in 0..50 {
                // 6.7 ms at a time: less than a frame, more than nothing.
                let part = audio(ramp(part * 320, 320));
                sender.send(part).await.unwrap();
            }
            drop(sender);
        };
        let played = tokio::time::timeout(ms(5_000), async {
            tokio::join!(speak, utterance.finished()).1
        });
        let played = played.await.expect("it ends");
        assert_eq!(played.position, time(16_000), "{read_ahead:?}");
        assert_ramp(&card.heard()[..16_000], 16_000);
    }
}

/// A sink whose queue falls by whole packets.
struct Packets(Arc<Card>);

#[async_trait::async_trait]
impl AudioSink for Packets {
    fn sample_rate(&self) -> u32 {
        RATE
    }

    fn channels(&self) -> u32 {
        1
    }

    async fn capture(&self, frame: &AudioFrame) -> Result<(), TransportError> {
        self.0.capture(frame).await
    }

    fn queued(&self) -> Duration {
        let packet = of_ms(20);
        time(self.0.run().waiting.len().next_multiple_of(packet))
    }

    fn clear(&self) {
        self.0.clear();
    }
}

#[tokio::test(start_paused = true)]
async fn asking_for_the_position_is_no_stall() {
    let mut options = PlayoutOptions::default();
    options.stall = ms(250);
    let playout = Playout::new(Arc::new(Packets(Card::new(1_000))), options);
    let (sender, receiver) = mpsc::channel(1);
    let utterance = playout.play(receiver);
    sender.send(audio(ramp(0, of_ms(10_000)))).await.unwrap();
    drop(sender);
    // Far more often than packets leave.
    while !utterance.is_finished() {
        let _ = utterance.position();
        sleep(ms(1)).await;
    }
    let played = utterance.finished().await;
    assert!(played.error.is_none(), "{:?}", played.error);
    assert_eq!(played.position, ms(10_000));
}
