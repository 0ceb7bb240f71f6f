//! A session in a room that is made of memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use listenkit_session::transport::{
    AudioTrack, Connection, DataOptions, DataPacket, DisconnectReason, Participant,
    ParticipantKind, PublishOptions, Room, RoomEvent, RpcError, RpcInvocation, TextMessage,
    TextOptions, TextWriter, Track, TrackKind, TrackSource, TransportError,
};
use listenkit_session::tts::AudioSink;
use listenkit_session::voice::{
    AgentSessionBuilder, CloseReason, Dialogue, EventStream, RoomInputOptions, RoomOutputOptions,
    SessionEvent,
};
use listenkit_session::{Agent, AgentSession, AudioFrame, Role};
use tokio::sync::mpsc;

use crate::stage::{Line, Plain, RATE, ScriptedLlm, ScriptedStt, Speaker, lines, ms, parts};

/// What was said to the room.
#[derive(Clone, Debug, PartialEq)]
struct Text {
    text: String,
    topic: String,
    attributes: HashMap<String, String>,
    sender: Option<String>,
}

#[derive(Default)]
struct State {
    participants: Vec<Participant>,
    microphones: HashMap<String, mpsc::Sender<AudioFrame>>,
    texts: Vec<Text>,
    attributes: Vec<(String, String)>,
    subscribed: Vec<String>,
    published: Vec<PublishOptions>,
    closed: bool,
}

struct MemoryRoom {
    state: Arc<Mutex<State>>,
    speaker: Arc<Speaker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("whole")
}

struct MemoryTrack(Arc<Speaker>);

#[async_trait::async_trait]
impl AudioTrack for MemoryTrack {
    fn sid(&self) -> String {
        "TR_agent".into()
    }
    async fn capture(&self, frame: &AudioFrame) -> Result<(), TransportError> {
        self.0.capture(frame).await
    }
    fn queued(&self) -> Duration {
        self.0.queued()
    }
    fn clear(&self) {
        self.0.clear();
    }
}

struct MemoryWriter {
    text: Text,
    state: Arc<Mutex<State>>,
}

#[async_trait::async_trait]
impl TextWriter for MemoryWriter {
    fn id(&self) -> &str {
        "stream"
    }
    async fn write(&mut self, text: &str) -> Result<(), TransportError> {
        self.text.text.push_str(text);
        Ok(())
    }
    async fn close(
        mut self: Box<Self>,
        attributes: HashMap<String, String>,
    ) -> Result<(), TransportError> {
        self.text.attributes.extend(attributes);
        lock(&self.state).texts.push(self.text);
        Ok(())
    }
}

#[async_trait::async_trait]
impl Room for MemoryRoom {
    fn name(&self) -> String {
        "memory".into()
    }
    fn sid(&self) -> String {
        "RM_memory".into()
    }
    fn local_participant(&self) -> Participant {
        Participant {
            identity: "agent".into(),
            kind: ParticipantKind::Agent,
            ..Participant::default()
        }
    }
    fn participants(&self) -> Vec<Participant> {
        lock(&self.state).participants.clone()
    }
    fn is_connected(&self) -> bool {
        true
    }
    async fn set_subscribed(&self, _: &str, sid: &str, _: bool) -> Result<(), TransportError> {
        lock(&self.state).subscribed.push(sid.to_owned());
        Ok(())
    }
    async fn open_audio(
        &self,
        sid: &str,
        rate: u32,
        _: u32,
    ) -> Result<mpsc::Receiver<AudioFrame>, TransportError> {
        assert_eq!(rate, RATE);
        let (sender, receiver) = mpsc::channel(100);
        lock(&self.state).microphones.insert(sid.to_owned(), sender);
        Ok(receiver)
    }
    async fn publish_audio(
        &self,
        options: &PublishOptions,
    ) -> Result<Box<dyn AudioTrack>, TransportError> {
        lock(&self.state).published.push(options.clone());
        Ok(Box::new(MemoryTrack(self.speaker.clone())))
    }
    async fn publish_data(&self, _: &[u8], _: &DataOptions) -> Result<(), TransportError> {
        Ok(())
    }
    async fn send_text(&self, text: &str, options: &TextOptions) -> Result<String, TransportError> {
        lock(&self.state).texts.push(Text {
            text: text.to_owned(),
            topic: options.topic.clone(),
            attributes: options.attributes.clone(),
            sender: options.sender.clone(),
        });
        Ok("stream".into())
    }
    async fn stream_text(
        &self,
        options: &TextOptions,
    ) -> Result<Box<dyn TextWriter>, TransportError> {
        Ok(Box::new(MemoryWriter {
            text: Text {
                text: String::new(),
                topic: options.topic.clone(),
                attributes: options.attributes.clone(),
                sender: options.sender.clone(),
            },
            state: self.state.clone(),
        }))
    }
    async fn set_attributes(
        &self,
        attributes: HashMap<String, String>,
    ) -> Result<(), TransportError> {
        lock(&self.state).attributes.extend(attributes);
        Ok(())
    }
    async fn perform_rpc(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: Duration,
    ) -> Result<String, RpcError> {
        unreachable!("nobody calls")
    }
    fn register_rpc(&self, _: &str) -> Result<(), TransportError> {
        Ok(())
    }
    async fn close(&self) {
        lock(&self.state).closed = true;
    }
}

/// A session in a room.
struct Call {
    session: AgentSession,
    events: EventStream,
    room: mpsc::UnboundedSender<RoomEvent>,
    state: Arc<Mutex<State>>,
    speaker: Arc<Speaker>,
}

fn track(sid: &str) -> Track {
    Track {
        sid: sid.into(),
        name: "microphone".into(),
        kind: TrackKind::Audio,
        source: TrackSource::Microphone,
        muted: false,
        subscribed: true,
    }
}

fn person(identity: &str) -> Participant {
    Participant {
        identity: identity.into(),
        tracks: vec![track(&format!("TR_{identity}"))],
        ..Participant::default()
    }
}

impl Call {
    async fn open(builder: AgentSessionBuilder, there: Vec<Participant>) -> Self {
        Self::open_with(builder, there, RoomInputOptions::default()).await
    }

    async fn open_with(
        builder: AgentSessionBuilder,
        there: Vec<Participant>,
        input: RoomInputOptions,
    ) -> Self {
        let call = Self::open_unheard(Plain, builder, there, input).await;
        call.is_subscribed();
        tokio::time::sleep(ms(10)).await;
        call
    }

    /// Nobody has subscribed to the agent's voice.
    async fn open_unheard(
        agent: impl Agent + 'static,
        builder: AgentSessionBuilder,
        there: Vec<Participant>,
        input: RoomInputOptions,
    ) -> Self {
        let session = builder.build().expect("a session");
        let events = session.events();
        let state = Arc::new(Mutex::new(State {
            participants: there,
            ..State::default()
        }));
        // The track is published at 48 kHz, which the loudspeaker does not look at.
        let speaker = Arc::new(Speaker::default());
        let (room, room_events) = mpsc::unbounded_channel();
        let connection = Connection {
            room: Arc::new(MemoryRoom {
                state: state.clone(),
                speaker: speaker.clone(),
            }),
            events: room_events,
        };
        session
            .start_in_room(agent, connection, input, RoomOutputOptions::default())
            .await
            .expect("it starts");
        tokio::time::sleep(ms(10)).await;
        Self {
            session,
            events,
            room,
            state,
            speaker,
        }
    }

    fn is_subscribed(&self) {
        let sid = "TR_agent".to_owned();
        self.happens(RoomEvent::LocalTrackSubscribed { sid });
    }

    fn happens(&self, event: RoomEvent) {
        self.room.send(event).expect("somebody follows the room");
    }

    /// Speaks into a microphone, and half a second of silence behind it.
    async fn says(&self, sid: &str, line: Line, silence: Duration) {
        let mut samples = line.audio();
        let quiet = (silence.as_secs_f64() * f64::from(RATE)) as usize;
        samples.extend(std::iter::repeat_with(|| fastrand::i16(-1..=1)).take(quiet));
        let microphone = lock(&self.state).microphones.get(sid).cloned();
        let microphone = microphone.expect("somebody listens");
        let mut ticks = tokio::time::interval(ms(10));
        for block in samples.chunks(160) {
            ticks.tick().await;
            let frame = AudioFrame::new(block, RATE, 1).expect("a format");
            if microphone.send(frame).await.is_err() {
                return;
            }
        }
    }

    async fn until(&mut self, wanted: impl Fn(&SessionEvent) -> bool) -> SessionEvent {
        let found = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                let event = self.events.recv().await.expect("it came before the end");
                if wanted(&event) {
                    return event;
                }
            }
        });
        found.await.expect("it came in time")
    }

    async fn until_message(&mut self, role: Role) {
        self.until(
            |event| matches!(event, SessionEvent::ConversationItemAdded(m) if m.role == role),
        )
        .await;
    }

    fn texts(&self) -> Vec<Text> {
        lock(&self.state).texts.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_heard_answered_and_written() {
    let builder = parts()
        .stt(ScriptedStt::new(["Hello there."]))
        .llm(ScriptedLlm::says(["Good morning to you."]));
    let mut call = Call::open(builder, vec![person("anna")]).await;
    call.says("TR_anna", Line::Thanks, ms(1000)).await;
    call.until_message(Role::Assistant).await;
    tokio::time::sleep(ms(100)).await;
    assert!(call.speaker.length() > ms(1000), "the agent was heard");
    let texts = call.texts();
    let user = &texts[0];
    assert_eq!(
        (user.text.as_str(), user.topic.as_str()),
        ("Hello there.", "lk.transcription")
    );
    assert_eq!(user.sender.as_deref(), Some("anna"));
    assert_eq!(user.attributes["lk.transcription_final"], "true");
    assert_eq!(user.attributes["lk.transcribed_track_id"], "TR_anna");
    assert!(user.attributes["lk.segment_id"].starts_with("SG_"));
    let agent = &texts[1];
    assert_eq!(agent.text, "Good morning to you.");
    assert_eq!(agent.sender, None);
    assert_eq!(agent.attributes["lk.transcription_final"], "true");
    assert_eq!(agent.attributes["lk.transcribed_track_id"], "TR_agent");
    assert_ne!(
        agent.attributes["lk.segment_id"],
        user.attributes["lk.segment_id"]
    );
    let states: Vec<_> = lock(&call.state).attributes.clone();
    let states: Vec<_> = states
        .iter()
        .map(|(name, value)| {
            assert_eq!(name, "lk.agent.state");
            value.as_str()
        })
        .collect();
    assert_eq!(states, ["listening", "thinking", "speaking", "listening"]);
    let published = lock(&call.state).published.clone();
    assert_eq!(published[0].source, TrackSource::Microphone);
}

#[tokio::test(start_paused = true)]
async fn a_participant_who_leaves_in_mid_turn_ends_the_session_with_their_words_stored() {
    let builder = parts()
        .stt(ScriptedStt::timed([(ms(500), Ok("I have to go."))]))
        .llm(ScriptedLlm::says([]));
    let mut call = Call::open(builder, vec![person("anna")]).await;
    call.says("TR_anna", Line::Thanks, ms(0)).await;
    lock(&call.state).participants.clear();
    call.happens(RoomEvent::ParticipantDisconnected {
        participant: person("anna"),
        reason: DisconnectReason::ClientInitiated,
    });
    let close = call
        .until(|event| matches!(event, SessionEvent::Close { .. }))
        .await;
    assert!(
        matches!(
            close,
            SessionEvent::Close {
                reason: CloseReason::ParticipantDisconnected,
                ..
            }
        ),
        "{close:?}"
    );
    assert_eq!(lines(&call.session.history()), ["user: I have to go."]);
}

#[tokio::test(start_paused = true)]
async fn one_who_is_lost_is_followed_by_the_next() {
    let builder = parts()
        .stt(ScriptedStt::new(["Bert here."]))
        .llm(ScriptedLlm::says(["Hello Bert."]));
    let mut call = Call::open(builder, vec![person("anna")]).await;
    lock(&call.state).participants = vec![person("bert")];
    call.happens(RoomEvent::ParticipantConnected(person("bert")));
    tokio::time::sleep(ms(10)).await;
    assert!(
        !lock(&call.state).microphones.contains_key("TR_bert"),
        "one at a time"
    );
    call.happens(RoomEvent::ParticipantDisconnected {
        participant: person("anna"),
        reason: DisconnectReason::ConnectionLost,
    });
    tokio::time::sleep(ms(10)).await;
    call.says("TR_bert", Line::Thanks, ms(1000)).await;
    call.until_message(Role::Assistant).await;
    assert_eq!(
        lines(&call.session.history()),
        ["user: Bert here.", "assistant: Hello Bert."]
    );
}

#[tokio::test(start_paused = true)]
async fn only_acceptable_participants_are_heard() {
    let mut agent = person("other-agent");
    agent.kind = ParticipantKind::Agent;
    let mut avatar = person("avatar");
    avatar
        .attributes
        .insert("lk.publish_on_behalf".into(), "agent".into());
    let builder = parts().stt(ScriptedStt::new([])).llm(ScriptedLlm::says([]));
    let input = RoomInputOptions::default().participant_identity("carl");
    let call = Call::open_with(builder, vec![agent, avatar, person("anna")], input).await;
    assert!(lock(&call.state).microphones.is_empty());
    // Carl has not subscribed tracks yet: they are asked for, and heard when they come.
    let mut carl = person("carl");
    carl.tracks[0].subscribed = false;
    call.happens(RoomEvent::ParticipantConnected(carl));
    tokio::time::sleep(ms(10)).await;
    assert_eq!(lock(&call.state).subscribed, ["TR_carl"]);
    call.happens(RoomEvent::TrackSubscribed {
        identity: "carl".into(),
        track: track("TR_carl"),
    });
    tokio::time::sleep(ms(10)).await;
    assert!(lock(&call.state).microphones.contains_key("TR_carl"));
}

#[tokio::test(start_paused = true)]
async fn a_chat_message_interrupts_and_is_answered() {
    let builder = parts()
        .stt(ScriptedStt::new([]))
        .llm(ScriptedLlm::says(["In writing, too."]));
    let mut call = Call::open(builder, vec![person("anna")]).await;
    let speech = call
        .session
        .say("A very long speech that goes on and on.")
        .expect("a voice");
    tokio::time::sleep(ms(500)).await;
    call.happens(RoomEvent::Text(TextMessage {
        id: "1".into(),
        identity: "anna".into(),
        topic: "lk.chat".into(),
        text: "Can you read?".into(),
        attributes: HashMap::new(),
    }));
    call.until_message(Role::User).await;
    call.until(|event| {
        matches!(event, SessionEvent::ConversationItemAdded(m) if m.text == "In writing, too.")
    })
    .await;
    assert!(speech.interrupted());
    let history = lines(&call.session.history());
    assert_eq!(history.len(), 3, "{history:?}");
    assert_eq!(
        &history[1..],
        ["user: Can you read?", "assistant: In writing, too."]
    );
}

#[tokio::test(start_paused = true)]
async fn a_muted_track_ends_the_turn_though_frames_go_on() {
    let builder = parts()
        .stt(ScriptedStt::new(["Half a sentence."]))
        .llm(ScriptedLlm::says(["Go on?"]));
    let mut call = Call::open(builder, vec![person("anna")]).await;
    let speaks = call.says("TR_anna", Line::Sorry, ms(0));
    let mutes = async {
        tokio::time::sleep(ms(1500)).await;
        call.happens(RoomEvent::TrackMuted {
            identity: "anna".into(),
            sid: "TR_anna".into(),
        });
    };
    // The library goes on giving frames of a muted track, here with the rest of the sentence.
    futures_util::future::join(speaks, mutes).await;
    call.until_message(Role::User).await;
    assert_eq!(lines(&call.session.history())[0], "user: Half a sentence.");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_room_is_the_end_of_the_session() {
    let builder = parts().stt(ScriptedStt::new([])).llm(ScriptedLlm::says([]));
    let mut call = Call::open(builder, vec![person("anna")]).await;
    call.happens(RoomEvent::Disconnected(DisconnectReason::ServerShutdown));
    let close = call
        .until(|event| matches!(event, SessionEvent::Close { .. }))
        .await;
    assert!(matches!(
        close,
        SessionEvent::Close {
            reason: CloseReason::RoomDisconnected,
            ..
        }
    ));
}

/// An agent that remembers who came.
#[derive(Clone, Default)]
struct Porter(Arc<Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl Agent for Porter {
    async fn on_participant_connected(&self, _: &AgentSession, participant: &Participant) {
        lock(&self.0).push(participant.identity.clone());
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_joins_before_the_start_is_met_once() {
    let state = Arc::new(Mutex::new(State {
        participants: vec![person("anna")],
        ..State::default()
    }));
    let (room, events) = mpsc::unbounded_channel();
    let joins = || RoomEvent::ParticipantConnected(person("anna"));
    room.send(joins()).expect("it is open");
    let connection = Connection {
        room: Arc::new(MemoryRoom {
            state,
            speaker: Arc::default(),
        }),
        events,
    };
    let session = parts().build().expect("a session");
    let porter = Porter::default();
    let (input, output) = (RoomInputOptions::default(), RoomOutputOptions::default());
    session
        .start_in_room(porter.clone(), connection, input, output)
        .await
        .expect("it starts");
    tokio::time::sleep(ms(10)).await;
    assert_eq!(*lock(&porter.0), ["anna"]);
    let leaves = RoomEvent::ParticipantDisconnected {
        participant: person("anna"),
        reason: DisconnectReason::ConnectionLost,
    };
    for event in [leaves, joins()] {
        room.send(event).expect("it is open");
    }
    tokio::time::sleep(ms(10)).await;
    assert_eq!(*lock(&porter.0), ["anna", "anna"]);
}

/// An agent that greets.
struct Greeter;

#[async_trait::async_trait]
impl Agent for Greeter {
    async fn on_enter(&self, session: &AgentSession) {
        session.say("Good morning to you.").expect("a voice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_greeting_is_heard_by_who_comes_later() {
    let input = RoomInputOptions::default();
    let mut call = Call::open_unheard(Greeter, parts(), vec![], input).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(call.speaker.length(), ms(0), "nobody would have heard it");
    assert_eq!(lines(&call.session.history()), Vec::<String>::new());
    call.is_subscribed();
    call.until_message(Role::Assistant).await;
    assert_eq!(
        lines(&call.session.history()),
        ["assistant: Good morning to you."]
    );
    assert!(call.speaker.length() > ms(500));
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_nobody_came_for_holds_nothing_up() {
    let input = RoomInputOptions::default();
    let call = Call::open_unheard(Greeter, parts(), vec![], input).await;
    let speech = call.session.say("And again.").expect("a voice");
    tokio::time::sleep(ms(1000)).await;
    let _ = call.session.interrupt();
    tokio::time::timeout(ms(100), speech.wait())
        .await
        .expect("it is over");
    tokio::time::timeout(ms(3000), call.session.aclose())
        .await
        .expect("it is over");
    assert_eq!(call.speaker.length(), ms(0));
}

#[tokio::test(start_paused = true)]
async fn a_session_in_a_room_lives_without_a_handle_and_leaves_at_its_end() {
    let builder = parts()
        .stt(ScriptedStt::new(["Hello there."]))
        .llm(ScriptedLlm::says(["Good morning to you."]));
    let Call {
        session,
        mut events,
        room,
        state,
        speaker,
    } = Call::open(builder, vec![person("anna")]).await;
    let microphone = lock(&state).microphones["TR_anna"].clone();
    drop(session);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!lock(&state).closed, "it is in its room");
    let mut samples = Line::Thanks.audio();
    samples.resize(samples.len() + 16_000, 0);
    for block in samples.chunks(160) {
        let frame = AudioFrame::new(block, RATE, 1).expect("a format");
        microphone.send(frame).await.expect("it is heard");
        tokio::time::sleep(ms(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(speaker.length() > ms(1000), "it was answered");
    let leaves = RoomEvent::ParticipantDisconnected {
        participant: person("anna"),
        reason: DisconnectReason::ClientInitiated,
    };
    lock(&state).participants.clear();
    room.send(leaves).expect("somebody follows the room");
    while let Some(event) = events.recv().await {
        if let SessionEvent::Close { reason, .. } = event {
            assert_eq!(reason, CloseReason::ParticipantDisconnected);
        }
    }
    tokio::time::sleep(ms(10)).await;
    assert!(lock(&state).closed, "it has left");
    assert!(room.is_closed(), "and follows it no more");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_told_when_the_room_is_left_and_the_last_words_are_written() {
    let builder = parts()
        .stt(ScriptedStt::timed([(ms(300), Ok("One more thing."))]))
        .llm(ScriptedLlm::says([]));
    let call = Call::open(builder, vec![person("anna")]).await;
    call.says("TR_anna", Line::Thanks, ms(0)).await;
    let waiting = call.session.clone();
    let waiting = tokio::spawn(async move { waiting.closed().await });
    call.session.aclose().await;
    assert!(lock(&call.state).closed);
    let last = call.texts().pop().expect("a transcript");
    assert_eq!(last.text, "One more thing.");
    let end = waiting.await.expect("no panic");
    assert_eq!(end.expect("no error"), CloseReason::UserInitiated);
}

#[tokio::test(start_paused = true)]
async fn a_room_may_outlive_its_session() {
    let mut input = RoomInputOptions::default();
    input.leave_on_close = false;
    let call = Call::open_with(parts(), vec![person("anna")], input).await;
    let room = call.session.room().expect("it is in one");
    call.session.aclose().await;
    assert!(!lock(&call.state).closed);
    assert_eq!(room.name(), "memory");
}

/// An agent that answers data and calls, slowly.
#[derive(Clone, Default)]
struct Clerk(Arc<Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl Agent for Clerk {
    async fn on_room_event(&self, _: &AgentSession, event: RoomEvent) {
        tokio::time::sleep(ms(50)).await;
        match event {
            RoomEvent::Data(packet) => {
                let text = String::from_utf8(packet.payload).expect("a text");
                assert_ne!(text, "panic");
                lock(&self.0).push(text);
            }
            RoomEvent::Rpc(call) => {
                let _ = call.reply.send(Ok(format!("{} done", call.method)));
            }
            RoomEvent::Text(text) => lock(&self.0).push(text.topic),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_agent_is_told_what_else_happens_in_the_room() {
    let clerk = Clerk::default();
    let input = RoomInputOptions::default();
    let mut call = Call::open_unheard(clerk.clone(), parts(), vec![person("anna")], input).await;
    let text = |topic: &str| {
        RoomEvent::Text(TextMessage {
            topic: topic.into(),
            text: "Hello.".into(),
            identity: "anna".into(),
            id: String::new(),
            attributes: HashMap::new(),
        })
    };
    let data = |payload: &str| {
        RoomEvent::Data(DataPacket {
            payload: payload.into(),
            identity: None,
            topic: None,
        })
    };
    let (reply, answer) = tokio::sync::oneshot::channel();
    call.happens(data("first"));
    call.happens(data("panic"));
    call.happens(RoomEvent::Rpc(RpcInvocation {
        identity: "anna".into(),
        method: "book".into(),
        payload: String::new(),
        timeout: ms(1000),
        reply,
    }));
    call.happens(text("lk.chat"));
    call.happens(text("orders"));
    call.happens(data("last"));
    assert_eq!(answer.await.expect("an answer"), Ok("book done".into()));
    call.until(
        |event| matches!(event, SessionEvent::Error { error, .. } if error.to_string().contains("on_room_event panicked")),
    )
    .await;
    tokio::time::sleep(ms(200)).await;
    // What was written in the chat goes to the hook for it alone.
    assert_eq!(*lock(&clerk.0), ["first", "orders", "last"]);
    // What it was told before the end it may still do.
    for _ in 0..5 {
        call.happens(data("behind"));
    }
    tokio::time::sleep(ms(1)).await;
    call.session.aclose().await;
    assert_eq!(
        *lock(&clerk.0),
        [
            "first", "orders", "last", "behind", "behind", "behind", "behind", "behind"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_audio_is_taken_off_the_wait_unless_that_is_off() {
    for (compensate, waited) in [(true, 300), (false, 500)] {
        let mut input = RoomInputOptions::default();
        input.audio_age = ms(200);
        input.compensate_age = compensate;
        let builder = parts().stt(ScriptedStt::new(["Hello there."]));
        let mut call = Call::open_with(builder, vec![person("anna")], input).await;
        call.says("TR_anna", Line::Thanks, ms(1000)).await;
        let ended = call
            .until(|event| matches!(event, SessionEvent::UserTurnEnded(_)))
            .await;
        let SessionEvent::UserTurnEnded(ended) = ended else {
            unreachable!("it was asked for");
        };
        let decision = ended.decision.expect("the core decided");
        let delay = decision.delay().0 * 1000 / u64::from(RATE);
        // Windows are 32 ms.
        assert!(
            (waited..waited + 33).contains(&delay),
            "{compensate}: {delay}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_dialogue_waits_for_people() {
    let session = parts().build().expect("a session");
    let (mut dialogue, agent) = Dialogue::new(&session);
    let robot = Participant {
        kind: ParticipantKind::Agent,
        ..person("robot")
    };
    let state = Arc::new(Mutex::new(State::default()));
    let (room, events) = mpsc::unbounded_channel();
    let connection = Connection {
        room: Arc::new(MemoryRoom {
            state,
            speaker: Arc::default(),
        }),
        events,
    };
    let (input, output) = (RoomInputOptions::default(), RoomOutputOptions::default());
    session
        .start_in_room(agent, connection, input, output)
        .await
        .expect("it starts");
    for who in [robot, person("anna")] {
        let joins = RoomEvent::ParticipantConnected(who);
        room.send(joins).expect("it is open");
    }
    let met = dialogue.wait_for_participant(ms(1000)).await;
    assert_eq!(met.expect("it runs").expect("somebody").identity, "anna");
    let met = dialogue.wait_for_participant(ms(1000)).await;
    assert!(met.expect("it runs").is_none());
}
