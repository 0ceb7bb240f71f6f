//! The examples as a newcomer runs them: programs of their own, on the server double, with a scripted human in the room and providers that answer at once.
//!
//! Each test looks at what is printed, at the exit code, and at who is in the room afterwards. The programs are those that `cargo test` builds; a run of this
//! file alone (`--test examples`) takes those that `cargo build --examples` has left.
#![cfg(feature = "native")]

#[path = "common/rooms.rs"]
mod rooms;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use listenkit_session::AudioFrame;
use listenkit_session::transport::native::NativeTransport;
use listenkit_session::transport::{AudioTrack, Connection, DataPacket, Room, RoomEvent};
use listenkit_test_server::{Options, proto};
use rooms::{RATE, SOON, Server, amplitude_at, voice};
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

const ROOM: &str = "lobby";
const HUMAN: &str = "alice";

/// Much less than the 20 s that the double, like the real server, keeps somebody who went without a word.
const GONE: Duration = Duration::from_secs(3);

/// The server, with one room.
struct Scene {
    server: Server,
}

impl Scene {
    async fn new() -> Self {
        let server = Server::start_double(Options::default()).await;
        Self { server }
    }

    async fn human(&self) -> Human {
        let connection = self.server.join(&NativeTransport::new(), HUMAN, ROOM).await;
        Human::new(connection).await
    }

    /// An example on this server, with instant providers.
    fn example(&self, name: &str, arguments: &[&str]) -> Command {
        let program = built(name);
        let mut command = Command::new(program);
        for variable in [
            "OPENAI_BASE_URL",
            "OPENAI_API_KEY",
            "RUST_LOG",
            "LIVEKIT_AGENT_NAME",
        ] {
            command.env_remove(variable);
        }
        let double = self.server.double();
        command
            .args(arguments)
            .env("LIVEKIT_URL", double.url())
            .env("LIVEKIT_API_KEY", double.api_key())
            .env("LIVEKIT_API_SECRET", double.api_secret())
            .env("LISTENKIT_TRANSPORT", "native")
            .env("LISTENKIT_STT", "instant")
            .env("LISTENKIT_LLM", "instant")
            .env("LISTENKIT_TTS", "instant")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Waits until the example is in the room, as what it is.
    async fn has_agent(&self, identity: &str) {
        let double = self.server.double();
        let agent = double.wait_for_participant(ROOM, identity, SOON).await;
        let agent = agent.expect("it joins");
        assert_eq!(agent.kind(), proto::participant_info::Kind::Agent);
    }

    /// Whether the example said goodbye.
    async fn is_left_by(&self, identity: &str) {
        let double = self.server.double();
        let left = double.wait_for_leave(ROOM, identity, GONE).await;
        left.expect("an example leaves its room");
    }
}

/// Beside this test's own program.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let profile = test.parent().and_then(Path::parent).expect("target/x/deps");
    let program = profile
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is missing: cargo build -p listenkit-session --examples",
        program.display()
    );
    program
}

/// Waits for the end of a program.
async fn end(child: Child) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(SOON, child.wait_with_output()).await;
    let Output {
        status,
        stdout,
        stderr,
    } = output.expect("it ends").expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// How often the agent began to speak, and how often it fell silent.
#[derive(Clone, Copy, Default)]
struct Heard {
    begun: u32,
    ended: u32,
}

/// Somebody with a microphone and an ear for the tone of [`ToneTts`](listenkit_session::providers::instant::ToneTts).
struct Human {
    room: Arc<dyn Room>,
    speak: mpsc::UnboundedSender<()>,
    heard: watch::Receiver<Heard>,
    data: mpsc::UnboundedReceiver<DataPacket>,
    /// End with the human.
    _tasks: JoinSet<()>,
}

impl Human {
    async fn new(connection: Connection) -> Self {
        let Connection { room, mut events } = connection;
        let track = room.publish_audio(&voice(100)).await.expect("a microphone");
        let (speak, said) = mpsc::unbounded_channel();
        let (hears, heard) = watch::channel(Heard::default());
        let (received, data) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(microphone(track, said));
        let ears = room.clone();
        tasks.spawn(async move {
            let mut listening = JoinSet::new();
            while let Some(event) = events.recv().await {
                match event {
                    RoomEvent::TrackSubscribed { track, .. } => {
                        let frames = ears.open_audio(&track.sid, RATE, 1).await;
                        let frames = frames.expect("a track that is subscribed to");
                        listening.spawn(listen(frames, hears.clone()));
                    }
                    RoomEvent::Data(packet) => {
                        let _ = received.send(packet);
                    }
                    _ => {}
                }
            }
        });
        Self {
            room,
            speak,
            heard,
            data,
            _tasks: tasks,
        }
    }

    /// Says the end of a sentence, a second long.
    fn speak(&self) {
        self.speak.send(()).expect("the microphone is there");
    }

    async fn hears(&mut self, what: &str, is_enough: impl FnMut(&Heard) -> bool) {
        let heard = tokio::time::timeout(SOON, self.heard.wait_for(is_enough)).await;
        let heard = heard.unwrap_or_else(|_| panic!("the human does not hear {what}"));
        heard.expect("the ears are there");
    }

    async fn hears_begin_of(&mut self, nth: u32) {
        let what = format!("speech {nth} of the agent");
        self.hears(&what, |heard| heard.begun >= nth).await;
    }

    async fn hears_end_of(&mut self, nth: u32) {
        let what = format!("the end of speech {nth} of the agent");
        self.hears(&what, |heard| heard.ended >= nth).await;
    }
}

/// Silence, and the words whenever they are asked for: real speech, which the VAD has to find.
async fn microphone(track: Box<dyn AudioTrack>, mut said: mpsc::UnboundedReceiver<()>) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../fixtures/conversation-en/audio.wav"
    );
    let mut wav = hound::WavReader::open(path).expect("a fixture");
    assert_eq!((wav.spec().sample_rate, wav.spec().channels), (RATE, 1));
    // The end of the first sentence.
    let (from, to) = (RATE as usize * 22 / 10, RATE as usize * 34 / 10);
    let sentence: Vec<i16> = wav
        .samples()
        .take(to)
        .skip(from)
        .collect::<Result<_, _>>()
        .expect("a fixture");
    let frame = |samples: &[i16]| AudioFrame::new(samples, RATE, 1).expect("a good format");
    loop {
        let frames = match said.try_recv() {
            Ok(()) => sentence.chunks(RATE as usize / 100).map(frame).collect(),
            Err(_) => vec![frame(&[0; RATE as usize / 100])],
        };
        for frame in frames {
            if track.capture(&frame).await.is_err() {
                return;
            }
        }
    }
}

/// Counts the pieces of tone. A gap of 0.2 s ends one: the agent pauses between sentences no longer than that.
async fn listen(mut frames: mpsc::Receiver<AudioFrame>, heard: watch::Sender<Heard>) {
    let (mut is_on, mut quiet) = (false, Duration::ZERO);
    while let Some(frame) = frames.recv().await {
        // The tone has an amplitude of 8,000.
        if amplitude_at(frame.samples(), RATE, 440.0) > 2_000.0 {
            quiet = Duration::ZERO;
            if !std::mem::replace(&mut is_on, true) {
                heard.send_modify(|heard| heard.begun += 1);
            }
        } else {
            quiet += frame.duration();
            if quiet >= Duration::from_millis(200) && std::mem::take(&mut is_on) {
                heard.send_modify(|heard| heard.ended += 1);
            }
        }
    }
    // The agent left with its last word.
    if is_on {
        heard.send_modify(|heard| heard.ended += 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_room_finds_the_room_and_prints_the_answer() {
    let scene = Scene::new().await;
    let mut human = scene.human().await;
    let asking = scene.example("ask_room", &["Shall we begin?"]).spawn();
    let asking = asking.expect("it starts");
    scene.has_agent("ask-room").await;
    human.hears_end_of(1).await;
    human.speak();
    let (code, out, errors) = end(asking).await;
    assert_eq!((code, &*out, &*errors), (Some(0), "something.\n", ""));
    scene.is_left_by("ask-room").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_room_ends_in_time_without_an_answer_and_says_so() {
    let scene = Scene::new().await;
    let mut human = scene.human().await;
    let arguments = ["Why?", "--room", ROOM, "--within", "1"];
    let asking = scene.example("ask_room", &arguments).spawn();
    let asking = asking.expect("it starts");
    human.hears_end_of(1).await;
    let (code, out, errors) = end(asking).await;
    assert_eq!(
        (code, &*out, &*errors),
        (Some(1), "", "Error: no answer within 1 s\n")
    );
    scene.is_left_by("ask-room").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_room_says_that_they_hung_up() {
    let scene = Scene::new().await;
    let mut human = scene.human().await;
    let asking = scene.example("ask_room", &["Is anybody there?"]).spawn();
    let asking = asking.expect("it starts");
    human.hears_begin_of(1).await;
    human.room.close().await;
    let (code, out, errors) = end(asking).await;
    assert_eq!((code, &*out), (Some(1), ""));
    assert_eq!(errors, "Error: no answer: they have left\n");
    scene.is_left_by("ask-room").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_that_fails_is_the_error_of_the_program() {
    let scene = Scene::new().await;
    let _human = scene.human().await;
    // Nothing listens there.
    let mut asking = scene.example("ask_room", &["Why?", "--room", ROOM, "--within", "5"]);
    asking.env("LISTENKIT_TTS", "openai");
    asking.env("OPENAI_BASE_URL", "http://127.0.0.1:9/v1");
    let (code, out, errors) = end(asking.spawn().expect("it starts")).await;
    assert_eq!((code, &*out), (Some(1), ""));
    let last = errors.lines().last().unwrap_or_default();
    assert!(
        last.contains("openai.tts") && last.contains("127.0.0.1:9"),
        "{errors}"
    );
    scene.is_left_by("ask-room").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_installed_is_named_before_anybody_is_bothered() {
    let scene = Scene::new().await;
    let _human = scene.human().await;
    let named = [
        ("ask_room", vec!["Why?", "--room", ROOM]),
        ("speaker_bot", vec!["--room", ROOM]),
        ("manual_speak_listen", vec!["--room", ROOM]),
        ("direct_room", vec!["--room", ROOM]),
        ("voice_agent", vec![]),
    ];
    for (name, arguments) in named {
        let mut command = scene.example(name, &arguments);
        // Empty is not set.
        for variable in ["LISTENKIT_STT", "LISTENKIT_LLM", "LISTENKIT_TTS", "PATH"] {
            command.env(variable, "");
        }
        let (code, _, errors) = end(command.spawn().expect("it starts")).await;
        assert_eq!(code, Some(1), "{name}");
        for hint in ["OPENAI_BASE_URL", "pocketsphinx", "LISTENKIT_STT=instant"] {
            assert!(errors.contains(hint), "{name}, {hint}: {errors}");
        }
    }
    let room = scene.server.double().room(ROOM).expect("the human's room");
    let joined = room.room.num_participants;
    assert_eq!((room.participants.len(), joined), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn speaker_bot_speaks_prints_what_is_said_and_says_goodbye() {
    let scene = Scene::new().await;
    let mut human = scene.human().await;
    let arguments = ["--room", ROOM, "--say", "Hello.", "--listen", "4"];
    let bot = scene.example("speaker_bot", &arguments).spawn();
    let bot = bot.expect("it starts");
    scene.has_agent("speaker-bot").await;
    human.hears_end_of(1).await;
    human.speak();
    human.hears_end_of(2).await;
    let (code, out, errors) = end(bot).await;
    let expected = "waiting for somebody in room lobby\nalice is here\nheard: something.\n";
    assert_eq!((code, &*out, &*errors), (Some(0), expected, ""));
    scene.is_left_by("speaker-bot").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn speaker_bot_leaves_when_they_hang_up() {
    let scene = Scene::new().await;
    let mut human = scene.human().await;
    let arguments = ["--room", ROOM, "--say", "Hello."];
    let bot = scene.example("speaker_bot", &arguments).spawn();
    let bot = bot.expect("it starts");
    human.hears_end_of(1).await;
    human.room.close().await;
    let (code, _, errors) = end(bot).await;
    assert_eq!((code, &*errors), (Some(0), "they have left\n"));
    scene.is_left_by("speaker-bot").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn manual_speak_listen_says_each_line_and_prints_each_answer() {
    let scene = Scene::new().await;
    let mut human = scene.human().await;
    let mut manual = scene.example("manual_speak_listen", &["--room", ROOM, "--within", "10"]);
    let mut manual = manual.stdin(Stdio::piped()).spawn().expect("it starts");
    let mut input = manual.stdin.take().expect("it is piped");
    scene.has_agent("speak-listen").await;
    for nth in 1..=2 {
        input.write_all(b"Well?\n").await.expect("it reads");
        human.hears_end_of(nth).await;
        human.speak();
    }
    drop(input);
    let (code, out, errors) = end(manual).await;
    assert_eq!((code, &*out), (Some(0), "something.\nsomething.\n"));
    let expected = "waiting for somebody in room lobby\nalice is here; write what is to be said\n";
    assert_eq!(errors, expected);
    scene.is_left_by("speak-listen").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_room_greets_who_comes_answers_and_ends_when_they_hang_up() {
    let scene = Scene::new().await;
    let arguments = ["--room", ROOM, "--identity", "ada"];
    let agent = scene.example("direct_room", &arguments).spawn();
    let agent = agent.expect("it starts");
    scene.has_agent("ada").await;
    // Nobody was there when the session began.
    let mut human = scene.human().await;
    human.hears_end_of(1).await;
    human.speak();
    human.hears_end_of(2).await;
    human.room.close().await;
    let (code, out, errors) = end(agent).await;
    let expected = "in room lobby\nassistant: Hello! Say something.\nuser: something.\nassistant: You said: something.\nover: ParticipantDisconnected\n";
    assert_eq!((code, &*out, &*errors), (Some(0), expected, ""));
    scene.is_left_by("ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_room_does_not_wait_for_ever_for_who_did_not_hang_up() {
    let scene = Scene::new().await;
    let mut human = scene.human().await;
    let arguments = ["--room", ROOM, "--identity", "ada", "--alone", "1"];
    let agent = scene.example("direct_room", &arguments).spawn();
    let agent = agent.expect("it starts");
    human.hears_begin_of(1).await;
    // To the session they may come back, as after a lost connection.
    let double = scene.server.double();
    double.remove_participant(ROOM, HUMAN).await;
    let (code, out, _) = end(agent).await;
    assert_eq!(code, Some(0));
    assert!(out.contains("nobody has been here for 1 s"), "{out}");
    scene.is_left_by("ada").await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn voice_agent_greets_where_it_is_sent_and_answers() {
    let scene = Scene::new().await;
    let mut human = scene.human().await;
    // As at a desk: a machine that builds is no reason to refuse a call.
    let arguments = ["--agent-name", "ada", "--dev"];
    let worker = scene.example("voice_agent", &arguments).spawn();
    let worker = worker.expect("it starts");
    let double = scene.server.double();
    let registered = double.wait_for_workers(1, SOON).await;
    registered.expect("the worker registers");
    double.dispatch(ROOM, "ada", "").await.expect("it is sent");
    human.hears_end_of(1).await;
    human.speak();
    human.hears_end_of(2).await;
    human.room.close().await;
    let left = double.wait_for_room(ROOM, "empty", GONE, |room| room.participants.is_empty());
    left.await.expect("the agent leaves with its user");
    signal(&worker, Signal::TERM);
    let (code, out, errors) = end(worker).await;
    assert_eq!(code, Some(0), "{out}{errors}");
    assert!(out.contains("ParticipantDisconnected"), "{out}");
}

#[cfg(unix)]
fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id().expect("it runs")).expect("a pid");
    let pid = Pid::from_raw(pid).expect("a pid");
    kill_process(pid, signal).expect("it runs");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_stopped_at_the_keyboard_leaves_the_room() {
    let examples: [(&str, &str, &[&str]); 2] = [
        ("direct_room", "ada", &["--room", ROOM, "--identity", "ada"]),
        ("speaker_bot", "speaker-bot", &["--room", ROOM]),
    ];
    for (name, identity, arguments) in examples {
        let scene = Scene::new().await;
        let mut child = scene.example(name, arguments);
        let child = child.spawn().expect("it starts");
        scene.has_agent(identity).await;
        // It is in the room some moments before it waits for the signal.
        tokio::time::sleep(Duration::from_millis(500)).await;
        signal(&child, Signal::INT);
        let (code, ..) = end(child).await;
        assert!(code.is_some(), "{name} was killed by the signal");
        scene.is_left_by(identity).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn send_message_is_heard_on_its_topic_and_by_the_one_it_is_for() {
    let scene = Scene::new().await;
    let mut human = scene.human().await;
    let sending = scene
        .example("send_message", &["Hello", "--to", HUMAN])
        .spawn();
    let (code, out, errors) = end(sending.expect("it starts")).await;
    assert_eq!((code, &*out, &*errors), (Some(0), "sent to lobby\n", ""));
    let packet = tokio::time::timeout(SOON, human.data.recv()).await;
    let packet = packet.expect("it comes").expect("the ears are there");
    assert_eq!(packet.payload, b"Hello");
    assert_eq!(packet.topic.as_deref(), Some("mcp_message"));

    let nowhere = Scene::new().await;
    let sending = nowhere.example("send_message", &["Hello"]).spawn();
    let (code, out, errors) = end(sending.expect("it starts")).await;
    assert_eq!((code, &*out), (Some(1), ""));
    assert!(errors.contains("room"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_waited_for_without_end() {
    let scene = Scene::new().await;
    let arguments = ["Why?", "--room", ROOM, "--within", "1"];
    let asking = scene.example("ask_room", &arguments).spawn();
    let (code, out, errors) = end(asking.expect("it starts")).await;
    assert_eq!((code, &*out), (Some(1), ""));
    assert_eq!(errors, "Error: nobody came into room lobby within 1 s\n");
    scene.is_left_by("ask-room").await;
}
