//! A stage for whole conversations in virtual time: a human who speaks recorded sentences, providers that do as the script says, a
//! loudspeaker that remembers.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use listenkit_session::llm::{ChatChunk, ChatStream, Llm};
use listenkit_session::providers::instant::ToneTts;
use listenkit_session::stt::{
    RecognizeOptions, Stt, SttCapabilities, SttEvent, SttInput, SttStream, Transcript,
};
use listenkit_session::transport::TransportError;
use listenkit_session::tts::AudioSink;
use listenkit_session::voice::{
    Agent, AgentSessionBuilder, AudioInput, EventStream, SessionEvent, SessionIo, Vad,
};
use listenkit_session::{
    AgentSession, AudioFrame, ChatContext, ErrorKind, ProviderError, RetryPolicy, Role,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) const RATE: u32 = 16_000;

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The sentences of `fixtures/conversation-en`, as its manifest names them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Line {
    /// "I'm sorry, I did not understand your response." 2.7 s.
    Sorry,
    /// "The number I have is" 1.6 s.
    Number,
    /// "Thank you for your patience." 1.4 s.
    Thanks,
    /// "Goodbye!" 0.75 s.
    Bye,
}

impl Line {
    /// Samples at 16 kHz.
    pub(crate) fn audio(self) -> Vec<i16> {
        let (start, end) = match self {
            Self::Sorry => (24_000, 153_600),
            Self::Number => (225_600, 303_840),
            Self::Thanks => (655_200, 723_360),
            Self::Bye => (735_360, 771_360),
        };
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/conversation-en/audio.wav");
        let mut wav = hound::WavReader::open(path).expect("the fixture is in the repository");
        assert_eq!(wav.spec().sample_rate, 48_000);
        let samples: Vec<i16> = wav.samples().map(|s| s.expect("whole")).collect();
        // The voice has nothing above 8 kHz, so every third sample is a clean 16 kHz.
        samples[start..end].iter().step_by(3).copied().collect()
    }
}

/// A human with a microphone. Frames of 10 ms come for as long as it lives.
pub(crate) struct Human {
    wishes: mpsc::UnboundedSender<Wish>,
}

enum Wish {
    Say(Vec<i16>, tokio::sync::oneshot::Sender<Instant>),
    Mute(bool),
    Freeze,
    Leave,
}

impl Human {
    fn new() -> (Self, mpsc::Receiver<AudioInput>) {
        let (wishes, mut inbox) = mpsc::unbounded_channel();
        let (audio, receiver) = mpsc::channel(100);
        tokio::spawn(async move {
            let mut said: VecDeque<i16> = VecDeque::new();
            let mut done = Vec::new();
            let (mut muted, mut frozen) = (false, false);
            let mut ticks = tokio::time::interval(ms(10));
            let frame = RATE as usize / 100;
            'live: loop {
                ticks.tick().await;
                loop {
                    match inbox.try_recv() {
                        Ok(Wish::Say(samples, over)) => {
                            said.extend(samples);
                            done.push(over);
                        }
                        Ok(Wish::Mute(on)) => muted = on,
                        Ok(Wish::Freeze) => frozen = true,
                        Ok(Wish::Leave) | Err(mpsc::error::TryRecvError::Disconnected) => {
                            break 'live;
                        }
                        Err(mpsc::error::TryRecvError::Empty) => break,
                    }
                }
                if frozen {
                    continue;
                }
                let mut block: Vec<i16> = said.drain(..said.len().min(frame)).collect();
                // A quiet room: noise of one bit, because digital silence is not what microphones give.
                block.resize_with(frame, || fastrand::i16(-1..=1));
                let input = if muted {
                    AudioInput::Gap(ms(10))
                } else {
                    AudioInput::Frame(AudioFrame::new(block, RATE, 1).expect("a format"))
                };
                if said.is_empty() {
                    for over in done.drain(..) {
                        let _ = over.send(Instant::now());
                    }
                }
                if audio.send(input).await.is_err() {
                    break;
                }
            }
        });
        (Self { wishes }, receiver)
    }

    /// Says something and gives the time of its last sample.
    pub(crate) async fn says(&self, line: Line) -> Instant {
        self.says_samples(line.audio()).await
    }

    /// Says only the beginning of it.
    pub(crate) async fn says_part(&self, line: Line, length: Duration) -> Instant {
        let mut samples = line.audio();
        samples.truncate((length.as_secs_f64() * f64::from(RATE)) as usize);
        self.says_samples(samples).await
    }

    pub(crate) async fn says_samples(&self, samples: Vec<i16>) -> Instant {
        let (over, said) = tokio::sync::oneshot::channel();
        let _ = self.wishes.send(Wish::Say(samples, over));
        said.await.expect("the human lives")
    }

    /// Begins to say something and does not wait.
    pub(crate) fn begins(&self, line: Line) {
        let (over, _) = tokio::sync::oneshot::channel();
        let _ = self.wishes.send(Wish::Say(line.audio(), over));
    }

    pub(crate) fn mute(&self, on: bool) {
        let _ = self.wishes.send(Wish::Mute(on));
    }

    /// The network is gone: no frames, and nobody says so.
    pub(crate) fn freezes(&self) {
        let _ = self.wishes.send(Wish::Freeze);
    }

    pub(crate) fn leaves(&self) {
        let _ = self.wishes.send(Wish::Leave);
    }
}

/// A loudspeaker in virtual time.
#[derive(Default)]
pub(crate) struct Speaker(Mutex<Played>);

#[derive(Default)]
struct Played {
    /// When what waits will have been played.
    until: Option<Instant>,
    /// What was played when.
    frames: Vec<(Instant, Duration)>,
}

impl Speaker {
    /// When sound began and ended, pauses below 50 ms bridged.
    pub(crate) fn sounds(&self) -> Vec<(Instant, Instant)> {
        let mut sounds: Vec<(Instant, Instant)> = Vec::new();
        for &(at, length) in &self.0.lock().expect("whole").frames {
            match sounds.last_mut() {
                Some(last) if at <= last.1 + ms(50) => last.1 = at + length,
                _ => sounds.push((at, at + length)),
            }
        }
        sounds
    }

    /// How long it has sounded.
    pub(crate) fn length(&self) -> Duration {
        let played = self.0.lock().expect("whole");
        played.frames.iter().map(|(_, length)| *length).sum()
    }
}

#[async_trait::async_trait]
impl AudioSink for Speaker {
    fn sample_rate(&self) -> u32 {
        24_000
    }

    fn channels(&self) -> u32 {
        1
    }

    async fn capture(&self, frame: &AudioFrame) -> Result<(), TransportError> {
        let mut played = self.0.lock().expect("whole");
        let now = Instant::now();
        let at = played.until.map_or(now, |until| until.max(now));
        played.frames.push((at, frame.duration()));
        played.until = Some(at + frame.duration());
        Ok(())
    }

    fn queued(&self) -> Duration {
        let played = self.0.lock().expect("whole");
        played.until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    fn clear(&self) {
        let mut played = self.0.lock().expect("whole");
        let now = Instant::now();
        played.frames.retain(|(at, _)| *at < now);
        if let Some((at, length)) = played.frames.last_mut() {
            *length = (*length).min(now.duration_since(*at));
        }
        played.until = Some(now);
    }
}

/// Recognises utterances as the script says, in the order in which it is asked.
pub(crate) struct ScriptedStt {
    answers: Mutex<VecDeque<(Duration, Result<String, ErrorKind>)>>,
    pub(crate) heard: Mutex<Vec<Duration>>,
}

impl ScriptedStt {
    pub(crate) fn new<'a>(answers: impl IntoIterator<Item = &'a str>) -> Arc<Self> {
        Self::timed(answers.into_iter().map(|text| (Duration::ZERO, Ok(text))))
    }

    pub(crate) fn timed<'a>(
        answers: impl IntoIterator<Item = (Duration, Result<&'a str, ErrorKind>)>,
    ) -> Arc<Self> {
        let answers = answers
            .into_iter()
            .map(|(delay, answer)| (delay, answer.map(str::to_owned)));
        Arc::new(Self {
            answers: Mutex::new(answers.collect()),
            heard: Mutex::default(),
        })
    }
}

#[async_trait::async_trait]
impl Stt for ScriptedStt {
    fn label(&self) -> &str {
        "scripted.stt"
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::default()
    }

    async fn recognize(
        &self,
        audio: &AudioFrame,
        _: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        self.heard.lock().expect("whole").push(audio.duration());
        let answer = self.answers.lock().expect("whole").pop_front();
        let (delay, answer) = answer.unwrap_or_else(|| (Duration::ZERO, Ok(String::new())));
        tokio::time::sleep(delay).await;
        match answer {
            Ok(text) => Ok(Transcript {
                text,
                ..Transcript::default()
            }),
            Err(kind) => Err(ProviderError::new(
                "scripted.stt",
                kind,
                "as the script says",
            )),
        }
    }
}

/// A streaming recogniser that says what the test says.
#[derive(Default)]
pub(crate) struct StreamingStt {
    streams: Mutex<Vec<mpsc::Sender<SttEvent>>>,
    pub(crate) opened: std::sync::atomic::AtomicUsize,
}

impl StreamingStt {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) async fn says(&self, event: SttEvent) {
        let stream = self.streams.lock().expect("whole").last().cloned();
        let stream = stream.expect("a stream is open");
        stream.send(event).await.expect("somebody reads");
    }

    pub(crate) async fn final_words(&self, text: &str) {
        self.says(SttEvent::Final(transcript(text))).await;
    }

    pub(crate) async fn interim_words(&self, text: &str) {
        self.says(SttEvent::Interim(transcript(text))).await;
    }

    /// The connection breaks.
    pub(crate) fn breaks(&self) {
        self.streams.lock().expect("whole").clear();
    }
}

pub(crate) fn transcript(text: &str) -> Transcript {
    Transcript {
        text: text.to_owned(),
        ..Transcript::default()
    }
}

#[async_trait::async_trait]
impl Stt for StreamingStt {
    fn label(&self) -> &str {
        "streaming.stt"
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities {
            streaming: true,
            interim_results: true,
        }
    }

    async fn stream(&self, _: &RecognizeOptions) -> Result<SttStream, ProviderError> {
        let (input, mut commands) = SttInput::channel(64);
        let (sender, events) = mpsc::channel(64);
        let strong = sender.clone();
        self.streams.lock().expect("whole").push(sender);
        self.opened
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        drop(strong);
        tokio::spawn(async move { while commands.recv().await.is_some() {} });
        Ok(SttStream { input, events })
    }
}

/// What the language model does when it is asked.
#[derive(Clone)]
pub(crate) enum Reply {
    Says(&'static str),
    /// After so long.
    Slowly(Duration, &'static str),
    /// Says something and then fails.
    Breaks(&'static str),
    Fails(ErrorKind),
}

/// A language model that follows a script and remembers what it was asked.
pub(crate) struct ScriptedLlm {
    replies: Mutex<VecDeque<Reply>>,
    pub(crate) asked: Mutex<Vec<(Instant, ChatContext)>>,
}

impl ScriptedLlm {
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Arc<Self> {
        Arc::new(Self {
            replies: Mutex::new(replies.into_iter().collect()),
            asked: Mutex::default(),
        })
    }

    pub(crate) fn says(replies: impl IntoIterator<Item = &'static str>) -> Arc<Self> {
        Self::new(replies.into_iter().map(Reply::Says))
    }

    /// The messages it saw each time, "user: hello".
    pub(crate) fn asked(&self) -> Vec<Vec<String>> {
        let asked = self.asked.lock().expect("whole");
        asked.iter().map(|(_, context)| lines(context)).collect()
    }
}

pub(crate) fn lines(context: &ChatContext) -> Vec<String> {
    context
        .messages()
        .map(|m| {
            let cut = if m.interrupted { " (cut)" } else { "" };
            format!("{}: {}{cut}", m.role.as_str(), m.text)
        })
        .collect()
}

#[async_trait::async_trait]
impl Llm for ScriptedLlm {
    fn label(&self) -> &str {
        "scripted.llm"
    }

    async fn chat(&self, context: &ChatContext) -> Result<ChatStream, ProviderError> {
        self.asked
            .lock()
            .expect("whole")
            .push((Instant::now(), context.clone()));
        let reply = self.replies.lock().expect("whole").pop_front();
        let error = |kind| ProviderError::new("scripted.llm", kind, "as the script says");
        let (delay, text, end) = match reply.unwrap_or(Reply::Says("And so on.")) {
            Reply::Says(text) => (Duration::ZERO, text, None),
            Reply::Slowly(delay, text) => (delay, text, None),
            Reply::Breaks(text) => (Duration::ZERO, text, Some(error(ErrorKind::Connection))),
            Reply::Fails(kind) => return Err(error(kind)),
        };
        let pieces: Vec<_> = text
            .split_inclusive(' ')
            .map(|text| {
                Ok(ChatChunk {
                    text: text.to_owned(),
                    usage: None,
                })
            })
            .chain(end.map(Err))
            .collect();
        Ok(futures_util::stream::once(tokio::time::sleep(delay))
            .filter_map(|()| std::future::ready(None))
            .chain(futures_util::stream::iter(pieces))
            .boxed())
    }
}

/// A session on stage.
pub(crate) struct Stage {
    pub(crate) session: AgentSession,
    pub(crate) human: Human,
    pub(crate) speaker: Arc<Speaker>,
    events: EventStream,
    pub(crate) log: Vec<(Instant, SessionEvent)>,
    pub(crate) began: Instant,
}

pub(crate) struct Plain;
impl Agent for Plain {}

/// The usual parts: a VAD, a voice that hums 60 ms for each character.
pub(crate) fn parts() -> AgentSessionBuilder {
    AgentSession::builder()
        .vad(Vad::silero())
        .tts(Arc::new(ToneTts::new()))
        .retry(RetryPolicy {
            max_retries: 1,
            ..RetryPolicy::default()
        })
}

impl Stage {
    pub(crate) async fn open(builder: AgentSessionBuilder) -> Self {
        Self::open_with(builder, Plain).await
    }

    pub(crate) async fn open_with(
        builder: AgentSessionBuilder,
        agent: impl Agent + 'static,
    ) -> Self {
        let session = builder.build().expect("a session");
        let (human, audio) = Human::new();
        let speaker = Arc::new(Speaker::default());
        let events = session.events();
        let began = Instant::now();
        session
            .start(agent, SessionIo::new(audio, speaker.clone()))
            .await
            .expect("it starts");
        let mut stage = Self {
            session,
            human,
            speaker,
            events,
            log: Vec::new(),
            began,
        };
        // A moment of silence: microphones are open before anybody speaks.
        stage.passes(ms(500)).await;
        stage
    }

    /// Time goes by.
    pub(crate) async fn passes(&mut self, duration: Duration) {
        let until = Instant::now() + duration;
        while let Ok(Some(event)) = tokio::time::timeout_at(until, self.events.recv()).await {
            self.log.push((Instant::now(), event));
        }
        tokio::time::sleep_until(until).await;
    }

    /// Waits for an event; gives when it came.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        wanted: impl Fn(&SessionEvent) -> bool,
    ) -> Instant {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let event = tokio::time::timeout_at(limit, self.events.recv()).await;
            let Ok(Some(event)) = event else {
                panic!("no {what} within 60 s; {}", self.story());
            };
            let now = Instant::now();
            let found = wanted(&event);
            self.log.push((now, event));
            if found {
                return now;
            }
        }
    }

    pub(crate) async fn until_agent_speaks(&mut self) -> Instant {
        use listenkit_session::voice::AgentState::Speaking;
        self.until("speaking agent", |event| {
            matches!(event, SessionEvent::AgentStateChanged { new, .. } if *new == Speaking)
        })
        .await
    }

    pub(crate) async fn until_agent_listens(&mut self) -> Instant {
        use listenkit_session::voice::AgentState::Listening;
        self.until("listening agent", |event| {
            matches!(event, SessionEvent::AgentStateChanged { new, .. } if *new == Listening)
        })
        .await
    }

    pub(crate) async fn until_message(&mut self, role: Role) -> Instant {
        self.until(
            "message",
            |event| matches!(event, SessionEvent::ConversationItemAdded(m) if m.role == role),
        )
        .await
    }

    /// The history, "user: hello".
    pub(crate) fn history(&self) -> Vec<String> {
        lines(&self.session.history())
    }

    pub(crate) fn count(&self, wanted: impl Fn(&SessionEvent) -> bool) -> usize {
        self.log.iter().filter(|(_, event)| wanted(event)).count()
    }

    /// Everything that happened, for failures.
    pub(crate) fn story(&self) -> String {
        let line = |(at, event): &(Instant, SessionEvent)| {
            format!("\n{:8.3} {event:?}", (*at - self.began).as_secs_f64())
        };
        self.log.iter().map(line).collect()
    }
}
