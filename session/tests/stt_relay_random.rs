//! Recognisers that break, go deaf, hang and answer late at random: each utterance is told once, in order, and where it belongs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use listenkit_session::stt::{
    FallbackAdapter, FallbackOptions, RecognizeOptions, SharedStt, Stt, SttCapabilities,
    SttCommand, SttEvent, SttInput, SttStream, Transcript,
};
use listenkit_session::{AudioFrame, ErrorKind, ProviderError, RetryPolicy};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// An utterance, in ms of the user's time.
type Said = (u64, u64);

/// Audio whose samples say where they lie: each is the number of its 10 ms.
fn audio(from_ms: u64, len_ms: u64) -> AudioFrame {
    let samples: Vec<i16> = (from_ms * 16..(from_ms + len_ms) * 16)
        .map(|sample| i16::try_from(sample / 160).expect("5 minutes at most"))
        .collect();
    AudioFrame::new(samples, 16_000, 1).expect("mono")
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A recogniser that knows from its audio what is said in it, and tells it a while after it has heard it.
struct Random {
    said: Arc<Vec<Said>>,
    random: Mutex<fastrand::Rng>,
    /// Without spans in its transcripts.
    bare: bool,
    /// Faults that are left.
    faults: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Takes audio and tells nothing, for so long; then the error.
    Deaf(u64),
    /// Takes nothing.
    Stuck,
    /// Ends without a word.
    Ends,
}

/// One stream of it.
struct Ear {
    said: Arc<Vec<Said>>,
    random: fastrand::Rng,
    bare: bool,
    fault: Option<(u64, Fault)>,
    /// Where its audio begins and ends, in ms of the user's time.
    from: Option<u64>,
    to: u64,
    /// What it will tell when it has heard so far.
    due: Vec<(u64, SttEvent)>,
    next: usize,
    /// When the newest transcript is due.
    answered: u64,
}

impl Ear {
    /// What it has to say of what it has heard.
    fn hear(&mut self, frame: &AudioFrame) {
        let first = u64::try_from(frame.samples()[0]).expect("positive") * 10;
        let from = *self.from.get_or_insert_with(|| {
            // A frame may be cut inside its first 10 ms.
            let rest = frame
                .samples()
                .iter()
                .take_while(|&&v| v == frame.samples()[0]);
            first + 10 - (rest.count() as u64 / 16).min(10)
        });
        self.to = from.max(first + frame.duration().as_millis() as u64);
        while let Some(&(start, end)) = self.said.get(self.next)
            && start + 100 <= self.to
        {
            let number = self.next;
            self.next += 1;
            // The tail of a word is no word.
            if from + 300 >= end {
                continue;
            }
            let text = match from <= start {
                true => format!("{number}"),
                false => format!("the end of {number}, from {from}"),
            };
            let local = |at: u64| ms(at.saturating_sub(from));
            let start = local(start);
            let short = self.random.u64(0..=250);
            let span = (!self.bare).then(|| (start, local(end - short)));
            let transcript = Transcript {
                text,
                span,
                ..Transcript::default()
            };
            // With a span it may come before the end was told.
            let told = end + 300;
            let answered = match self.bare {
                true => told + self.random.u64(0..3_000),
                false => end + self.random.u64(0..3_000),
            };
            // In the order of what was said.
            self.answered = self.answered.max(answered);
            let start = SttEvent::StartOfSpeech { at: start };
            let end = SttEvent::EndOfSpeech { at: local(end) };
            self.due.push((self.to, start));
            self.due.push((told, end));
            self.due.push((self.answered, SttEvent::Final(transcript)));
            self.due.sort_by_key(|&(at, _)| at);
        }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<SttCommand>, out: mpsc::Sender<SttEvent>) {
        let mut heard = 0;
        let last = self.said.last().map_or(0, |&(_, end)| end);
        while let Some(command) = commands.recv().await {
            let SttCommand::Frame(frame) = command else {
                continue;
            };
            heard += frame.duration().as_millis() as u64;
            match self.fault {
                Some((at, Fault::Stuck)) if heard > at => {
                    out.closed().await;
                    return;
                }
                // Behind the end of the input that would be no fault.
                Some((at, Fault::Ends)) if heard > at && self.to + 10_000 < last => return,
                Some((at, Fault::Deaf(time))) if heard > at + time => return broken(&out).await,
                Some((at, Fault::Deaf(_))) if heard > at => continue,
                _ => {}
            }
            self.hear(&frame);
            self.tell(self.to, &out).await;
        }
        if matches!(self.fault, Some((at, Fault::Deaf(_))) if heard > at) {
            return broken(&out).await;
        }
        self.tell(u64::MAX, &out).await;
    }

    async fn tell(&mut self, until: u64, out: &mpsc::Sender<SttEvent>) {
        let count = self.due.iter().take_while(|&&(at, _)| at <= until).count();
        for (_, event) in self.due.drain(..count) {
            let _ = out.send(event).await;
        }
    }
}

async fn broken(out: &mpsc::Sender<SttEvent>) {
    let error = ProviderError::new("random", ErrorKind::Connection, "broken");
    let recoverable = false;
    let _ = out.send(SttEvent::Error { error, recoverable }).await;
}

#[async_trait::async_trait]
impl Stt for Random {
    fn label(&self) -> &str {
        "random"
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::STREAMING
    }

    async fn stream(&self, _: &RecognizeOptions) -> Result<SttStream, ProviderError> {
        let mut random = self.random.lock().expect("sound").fork();
        let left = self
            .faults
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        let fault = left.is_ok().then(|| {
            let fault = match random.u8(0..4) {
                0 => Fault::Stuck,
                1 => Fault::Ends,
                2 => Fault::Deaf(0),
                _ => Fault::Deaf(random.u64(0..12_000)),
            };
            (random.u64(0..20_000), fault)
        });
        if fault.is_some() && random.u8(0..5) == 0 {
            // It does not open; sometimes that takes its time.
            sleep(ms(random.u64(0..12_000))).await;
            return Err(ProviderError::new(
                "random",
                ErrorKind::Connection,
                "closed",
            ));
        }
        let (input, commands) = SttInput::channel(16);
        let (out, events) = mpsc::channel(16);
        let ear = Ear {
            said: self.said.clone(),
            random,
            bare: self.bare,
            fault,
            from: None,
            to: 0,
            due: Vec::new(),
            next: 0,
            answered: 0,
        };
        tokio::spawn(ear.run(commands, out));
        Ok(SttStream { input, events })
    }
}

fn conversation(random: &mut fastrand::Rng) -> Vec<Said> {
    let mut at = 0;
    let mut said = Vec::new();
    for _ in 0..12 {
        let start = at + 10 * random.u64(40..700);
        let end = start + 10 * random.u64(40..500);
        said.push((start, end));
        at = end;
    }
    said
}

async fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let said = Arc::new(conversation(&mut random));
    let faults = Arc::new(AtomicU64::new(random.u64(0..15)));
    let stts = (0..3).map(|_| {
        let stt: SharedStt = Arc::new(Random {
            said: said.clone(),
            random: Mutex::new(random.fork()),
            bare: random.bool(),
            faults: faults.clone(),
        });
        stt
    });
    let options = FallbackOptions {
        // However often they fail.
        retry: RetryPolicy {
            max_retries: 50,
            ..RetryPolicy::default()
        },
        // Faults may follow each other for longer than the minute of the default.
        max_replay: Duration::from_secs(300),
        ..FallbackOptions::default()
    };
    let stt = FallbackAdapter::new(stts.collect(), options).expect("sound");
    let stream = stt.stream(&RecognizeOptions::default()).await;
    let SttStream { input, mut events } = stream.expect("it streams");
    let len = [10, 20, 100, 500][random.usize(0..4)];
    let end = (said.last().expect("12").1 + 2_000).next_multiple_of(len);
    let push = async move {
        for at in (0..end).step_by(len as usize) {
            sleep(ms(len)).await;
            let frame = SttCommand::Frame(audio(at, len));
            assert!(
                input.try_send(frame).is_ok(),
                "seed {seed}: refused at {at} ms"
            );
        }
    };
    let take = async {
        let mut all = Vec::new();
        while let Some(event) = events.recv().await {
            all.push(event);
        }
        all
    };
    let all = tokio::join!(push, take).1;

    let near = |ours: Duration, theirs: u64| {
        // A word may be dated by 0.25 s too early.
        ours <= ms(theirs + 10) && ours + ms(260) >= ms(theirs)
    };
    let (mut starts, mut ends, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for event in &all {
        match event {
            SttEvent::StartOfSpeech { at } => starts.push(*at),
            SttEvent::EndOfSpeech { at } => ends.push(*at),
            SttEvent::Final(transcript) => {
                let number = texts.len();
                texts.push(transcript.text.as_str());
                if let (Some((from, to)), Some(&(start, end))) = (transcript.span, said.get(number))
                {
                    let fits = near(from, start) && near(to, end);
                    assert!(
                        fits,
                        "seed {seed}: {number}: {from:?} {to:?}, said {start} {end}"
                    );
                }
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    let wanted: Vec<_> = (0..said.len()).map(|number| number.to_string()).collect();
    assert_eq!(texts, wanted, "seed {seed}: {said:?}");
    let fit = |ours: &[Duration], theirs: Vec<u64>| {
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(&a, b)| near(a, b))
    };
    let starts_fit = fit(&starts, said.iter().map(|&(start, _)| start).collect());
    let ends_fit = fit(&ends, said.iter().map(|&(_, end)| end).collect());
    assert!(
        starts_fit && ends_fit,
        "seed {seed}: {starts:?} {ends:?}, {said:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_utterance_is_told_once_whatever_fails() {
    let seeds = std::env::var("LISTENKIT_SEEDS").map_or(60, |n| n.parse().expect("a number"));
    for seed in 0..seeds {
        run(seed).await;
    }
}
