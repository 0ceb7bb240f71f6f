//! What every transport does, on a server. By default that is the double of this workspace; `LIVEKIT_SERVER_BIN` or `LIVEKIT_URL` name a real one.

#[macro_use]
#[path = "common/rooms.rs"]
mod rooms;

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::path::Path;
use std::time::{Duration, Instant};

use listenkit_session::AudioFrame;
use listenkit_session::transport::ffi::LivekitTransport;
use listenkit_session::transport::{
    AutoSubscribe, ConnectOptions, DataOptions, DisconnectReason, RoomEvent, RoomTransport,
    RpcError, TextOptions, TrackKind, TrackSource, TransportError,
};
use rooms::{
    RATE, SOON, Server, Speaker, amplitude_at, arrived, event, fresh, pair, pair_with, subscribed,
    tone, voice,
};
use tokio::time::timeout;

async fn a_tone_arrives_with_its_frequency_and_amplitude(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (alice, mut bob) = pair(&server, transport, &fresh("tone")).await;
    let track = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    assert!(!track.sid().is_empty());
    assert_eq!(alice.room.local_participant().tracks.len(), 1);
    let _speaker = Speaker::start(track, 440.0);
    let sid = subscribed(&mut bob, "alice").await;
    let seen = bob.room.participant("alice").expect("she is there");
    assert_eq!(seen.tracks.len(), 1);
    assert!(seen.tracks[0].subscribed && seen.tracks[0].sid == sid);
    assert_eq!(seen.tracks[0].source, TrackSource::Microphone);
    assert_eq!(seen.tracks[0].kind, TrackKind::Audio);

    // Two formats at once, as recognition and a recorder would have.
    for (rate, channels) in [(16_000, 1), (24_000, 2)] {
        let mut frames = bob
            .room
            .open_audio(&sid, rate, channels)
            .await
            .expect("heard");
        let mut samples: Vec<i16> = Vec::new();
        let enough = rate as usize * 3;
        while samples.len() < enough {
            let frame = timeout(SOON, frames.recv())
                .await
                .expect("in time")
                .expect("the track goes on");
            assert_eq!((frame.sample_rate(), frame.channels()), (rate, channels));
            assert_eq!(frame.duration(), Duration::from_millis(10));
            samples.extend(frame.samples().iter().step_by(channels as usize));
        }
        // The first second may have the start of the encoder in it.
        let steady = &samples[rate as usize * 2..];
        let at_440 = amplitude_at(steady, rate, 440.0);
        let beside = amplitude_at(steady, rate, 480.0);
        // Opus at its default rate keeps a sine within some percent; 5 % is also what tells 16-bit scaling errors.
        assert!((at_440 - 8_000.0).abs() < 400.0, "{at_440} at {rate} Hz");
        assert!(beside < 400.0, "{beside} beside the tone at {rate} Hz");
    }
}

async fn data_goes_both_ways_with_its_topic(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (mut alice, mut bob) = pair(&server, transport, &fresh("data")).await;
    let options = |topic: Option<&str>, to: &[&str]| DataOptions {
        topic: topic.map(str::to_owned),
        to: to.iter().map(|s| (*s).to_owned()).collect(),
        ..DataOptions::default()
    };
    let bytes: Vec<u8> = (0..=255).collect();
    alice
        .room
        .publish_data(&bytes, &options(Some("mcp_message"), &["bob"]))
        .await
        .expect("sent");
    bob.room
        .publish_data(b"", &options(None, &[]))
        .await
        .expect("an empty packet may be sent");
    bob.room
        .publish_data(b"for nobody here", &options(Some("x"), &["carol"]))
        .await
        .expect("sent");
    bob.room
        .publish_data(b"answer", &options(Some("answers"), &[]))
        .await
        .expect("sent");

    let data = |e| match e {
        RoomEvent::Data(packet) => Some(packet),
        _ => None,
    };
    let at_bob = event(&mut bob.events, "data", data).await;
    assert_eq!(at_bob.payload, bytes);
    assert_eq!(at_bob.topic.as_deref(), Some("mcp_message"));
    assert_eq!(at_bob.identity.as_deref(), Some("alice"));
    loop {
        let at_alice = event(&mut alice.events, "data", data).await;
        assert_ne!(at_alice.topic.as_deref(), Some("x"), "it was for carol");
        assert_eq!(at_alice.identity.as_deref(), Some("bob"));
        if at_alice.topic.as_deref() == Some("answers") {
            assert_eq!(at_alice.payload, b"answer");
            break;
        }
    }
}

async fn texts_arrive_whole_with_topic_and_attributes(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (mut alice, mut bob) = pair(&server, transport, &fresh("text")).await;
    let text = |e| match e {
        RoomEvent::Text(message) => Some(message),
        _ => None,
    };
    let attributes = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    let id = bob
        .room
        .send_text(
            "grüß dich, 你好",
            &TextOptions {
                topic: "lk.chat".to_owned(),
                attributes: attributes(&[("a", "1")]),
                ..TextOptions::default()
            },
        )
        .await
        .expect("sent");
    let got = event(&mut alice.events, "text", text).await;
    assert_eq!(
        (got.text.as_str(), got.topic.as_str()),
        ("grüß dich, 你好", "lk.chat")
    );
    assert_eq!((got.identity.as_str(), &got.id), ("bob", &id));
    assert_eq!(got.attributes.get("a").map(String::as_str), Some("1"));

    // Longer than one packet of the transport, in pieces, with an id of ours.
    let mut writer = alice
        .room
        .stream_text(&TextOptions {
            topic: "lk.transcription".to_owned(),
            attributes: attributes(&[("lk.transcription_final", "false")]),
            id: Some("segment-1".to_owned()),
            ..TextOptions::default()
        })
        .await
        .expect("opened");
    assert_eq!(writer.id(), "segment-1");
    let mut all = String::new();
    for nth in 0..200 {
        let piece = format!("{nth} × und so weiter, {}", "ä".repeat(100));
        writer.write(&piece).await.expect("written");
        all.push_str(&piece);
    }
    writer
        .close(attributes(&[("lk.transcription_final", "true")]))
        .await
        .expect("closed");
    let got = event(&mut bob.events, "text", text).await;
    assert_eq!(got.text, all);
    assert_eq!(
        (got.id.as_str(), got.topic.as_str()),
        ("segment-1", "lk.transcription")
    );
    assert_eq!(
        got.attributes
            .get("lk.transcription_final")
            .map(String::as_str),
        Some("true")
    );

    let mut writer = alice
        .room
        .stream_text(&TextOptions {
            topic: "dropped".to_owned(),
            ..TextOptions::default()
        })
        .await
        .expect("opened");
    writer.write("what was said").await.expect("written");
    drop(writer);
    let got = event(
        &mut bob.events,
        "the text of a writer that was dropped",
        text,
    )
    .await;
    assert_eq!(
        (got.text.as_str(), got.topic.as_str()),
        ("what was said", "dropped")
    );
}

async fn attributes_are_in_the_snapshot_before_their_event(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (alice, mut bob) = pair(&server, transport, &fresh("attributes")).await;
    assert_eq!(
        bob.room.participant("alice").expect("there").name,
        "name of alice"
    );
    for state in ["listening", "thinking"] {
        let set = HashMap::from([("lk.agent.state".to_owned(), state.to_owned())]);
        alice.room.set_attributes(set).await.expect("set");
        let changed = event(&mut bob.events, "attributes", |e| match e {
            RoomEvent::AttributesChanged { identity, changed } if identity == "alice" => {
                Some(changed)
            }
            _ => None,
        })
        .await;
        assert_eq!(
            changed.get("lk.agent.state").map(String::as_str),
            Some(state)
        );
        let seen = bob.room.participant("alice").expect("there").attributes;
        assert_eq!(seen.get("lk.agent.state").map(String::as_str), Some(state));
    }
    let own = alice.room.local_participant().attributes;
    assert_eq!(
        own.get("lk.agent.state").map(String::as_str),
        Some("thinking")
    );
}

async fn procedures_are_called_both_ways(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (alice, mut bob) = pair(&server, transport, &fresh("rpc")).await;
    bob.room.register_rpc("greet").expect("registered");
    let bob_room = bob.room.clone();
    let answering = tokio::spawn(async move {
        while let Some(e) = bob.events.recv().await {
            let RoomEvent::Rpc(call) = e else { continue };
            assert_eq!(
                (call.identity.as_str(), call.method.as_str()),
                ("alice", "greet")
            );
            match call.payload.as_str() {
                "ignore" => drop(call.reply),
                "refuse" => {
                    let _ = call.reply.send(Err(RpcError {
                        code: 7,
                        message: "no".to_owned(),
                        data: "details".to_owned(),
                    }));
                }
                "sleep" => std::mem::forget(call.reply),
                name => {
                    let _ = call.reply.send(Ok(format!("hello {name}")));
                }
            }
        }
    });
    let call = |payload: &'static str| {
        let room = alice.room.clone();
        async move {
            room.perform_rpc("bob", "greet", payload, Duration::from_secs(3))
                .await
        }
    };
    assert_eq!(call("alice").await.expect("answered"), "hello alice");
    let refused = call("refuse").await.expect_err("refused");
    assert_eq!(
        (
            refused.code,
            refused.message.as_str(),
            refused.data.as_str()
        ),
        (7, "no", "details")
    );
    assert_eq!(call("ignore").await.expect_err("dropped").code, 1500);
    let asked = Instant::now();
    assert_eq!(call("sleep").await.expect_err("too late").code, 1502);
    assert!(asked.elapsed() < SOON);
    let unknown = alice
        .room
        .perform_rpc("bob", "nothing", "", Duration::from_secs(3))
        .await;
    assert_eq!(unknown.expect_err("not registered").code, 1400);
    let nobody = alice
        .room
        .perform_rpc("carol", "greet", "", Duration::from_secs(2))
        .await;
    assert!((1400..1600).contains(&nobody.expect_err("nobody").code));
    drop(bob_room);
    answering.abort();
}

async fn muting_is_seen_by_the_others(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (alice, mut bob) = pair(&server, transport, &fresh("mute")).await;
    let track = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    let sid = subscribed(&mut bob, "alice").await;
    for muted in [true, false] {
        track.set_muted(muted).await.expect("muted");
        let seen = event(&mut bob.events, "muting", |e| match e {
            RoomEvent::TrackMuted { identity, sid } if identity == "alice" => Some((true, sid)),
            RoomEvent::TrackUnmuted { identity, sid } if identity == "alice" => Some((false, sid)),
            _ => None,
        })
        .await;
        assert_eq!(seen, (muted, sid.clone()));
        assert_eq!(
            bob.room.participant("alice").expect("there").tracks[0].muted,
            muted
        );
    }
}

async fn a_participant_that_leaves_takes_its_audio_along(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (alice, mut bob) = pair(&server, transport, &fresh("leave")).await;
    let speaker = Speaker::voice_of(&alice).await;
    let sid = subscribed(&mut bob, "alice").await;
    let mut frames = bob.room.open_audio(&sid, 16_000, 1).await.expect("heard");
    timeout(SOON, frames.recv())
        .await
        .expect("in time")
        .expect("a frame");
    alice.room.close().await;
    let (gone, reason) = event(&mut bob.events, "leave", |e| match e {
        RoomEvent::ParticipantDisconnected {
            participant,
            reason,
        } => Some((participant, reason)),
        _ => None,
    })
    .await;
    assert_eq!(gone.identity, "alice");
    assert_eq!(reason, DisconnectReason::ClientInitiated);
    assert!(bob.room.participants().is_empty());
    let rest = async { while frames.recv().await.is_some() {} };
    timeout(SOON, rest)
        .await
        .expect("the frames end with the track");
    let refused = bob.room.open_audio(&sid, 16_000, 1).await;
    assert!(
        matches!(refused, Err(TransportError::Refused { .. })),
        "{refused:?}"
    );
    drop(speaker);
}

async fn an_unpublished_track_is_gone(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (alice, mut bob) = pair(&server, transport, &fresh("unpublish")).await;
    let track = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    let sid = subscribed(&mut bob, "alice").await;
    assert_eq!(track.sid(), sid);
    drop(track);
    event(&mut bob.events, "unpublishing", |e| match e {
        RoomEvent::TrackUnpublished {
            identity,
            sid: gone,
        } => {
            assert_eq!((identity.as_str(), &gone), ("alice", &sid));
            Some(())
        }
        _ => None,
    })
    .await;
    assert!(
        bob.room
            .participant("alice")
            .expect("there")
            .tracks
            .is_empty()
    );
    assert!(alice.room.local_participant().tracks.is_empty());
}

/// A server uses the place of a track that is gone for the next one.
async fn tracks_that_follow_each_other_are_all_heard(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (alice, mut bob) = pair(&server, transport, &fresh("again")).await;
    for frequency in [400.0, 600.0, 800.0] {
        let published = alice.room.publish_audio(&voice(50)).await;
        let speaker = Speaker::start(published.expect("published"), frequency);
        let sid = subscribed(&mut bob, "alice").await;
        let mut frames = bob.room.open_audio(&sid, 16_000, 1).await.expect("heard");
        let heard = async {
            let mut samples: Vec<i16> = Vec::new();
            // 200 ms of it: an agent's first words may be that short.
            while samples.len() < 3_200 || amplitude_at(&samples, 16_000, frequency) < 6_000.0 {
                let frame = frames.recv().await.expect("the track goes on");
                samples.extend(frame.samples());
                samples.drain(..samples.len().saturating_sub(3_200));
            }
        };
        timeout(SOON, heard).await.expect("the tone in time");
        drop(speaker);
        event(&mut bob.events, "unpublishing", |e| match e {
            RoomEvent::TrackUnpublished { sid: gone, .. } => (gone == sid).then_some(()),
            _ => None,
        })
        .await;
        let ended = async { while frames.recv().await.is_some() {} };
        timeout(SOON, ended)
            .await
            .expect("the frames end with the track");
    }
}

async fn one_who_comes_later_finds_everything(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let room = fresh("late");
    let alice = server.join(transport, "alice", &room).await;
    let track = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    alice
        .room
        .set_attributes(HashMap::from([("role".to_owned(), "host".to_owned())]))
        .await
        .expect("set");
    server.lists_track(&room, "alice").await;
    let mut bob = server.join(transport, "bob", &room).await;
    let seen = bob.room.participant("alice").expect("she was there before");
    assert_eq!(seen.tracks.len(), 1);
    assert_eq!(seen.tracks[0].sid, track.sid());
    assert_eq!(
        seen.attributes.get("role").map(String::as_str),
        Some("host")
    );
    assert_eq!(bob.room.name(), room);
    assert!(bob.room.is_connected());
    assert_eq!(subscribed(&mut bob, "alice").await, track.sid());
    assert_eq!(bob.room.local_participant().identity, "bob");
}

async fn subscriptions_come_as_asked_for(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let room = fresh("subscribe");
    let alice = server.join(transport, "alice", &room).await;
    let track = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    let join = |who: &'static str, auto_subscribe| {
        let (server, room) = (&server, &room);
        let options = ConnectOptions::default().auto_subscribe(auto_subscribe);
        async move {
            server
                .join_with(transport, who, room, &options)
                .await
                .expect("joined")
        }
    };
    let mut audio = join("audio", AutoSubscribe::AudioOnly).await;
    assert_eq!(subscribed(&mut audio, "alice").await, track.sid());
    let mut video = join("video", AutoSubscribe::VideoOnly).await;
    let mut none = join("none", AutoSubscribe::None).await;
    for connection in [&mut video, &mut none] {
        let unasked = timeout(Duration::from_millis(800), subscribed(connection, "alice")).await;
        assert!(unasked.is_err(), "nobody asked for it");
        connection
            .room
            .set_subscribed("alice", &track.sid(), true)
            .await
            .expect("asked");
        assert_eq!(subscribed(connection, "alice").await, track.sid());
    }
    none.room
        .set_subscribed("alice", &track.sid(), false)
        .await
        .expect("asked");
    event(&mut none.events, "end of the subscription", |e| match e {
        RoomEvent::TrackUnsubscribed { sid, .. } if sid == track.sid() => Some(()),
        _ => None,
    })
    .await;
    // A track that is published later, too.
    let second = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    assert_eq!(subscribed(&mut audio, "alice").await, second.sid());
}

async fn the_queue_paces_the_sender_and_is_cleared_at_once(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let alice = server.join(transport, "alice", &fresh("queue")).await;
    let track = alice
        .room
        .publish_audio(&voice(100))
        .await
        .expect("published");
    let begun = Instant::now();
    for nth in 0..100 {
        track
            .capture(&tone(nth, 440.0, 1_000.0))
            .await
            .expect("taken");
        // The library lets a queue be filled once over before it makes the sender wait.
        assert!(
            track.queued() <= Duration::from_millis(220),
            "{:?}",
            track.queued()
        );
    }
    let took = begun.elapsed();
    // One second of audio less what may wait; the upper bound is for a loaded machine.
    assert!(
        took > Duration::from_millis(700) && took < Duration::from_secs(3),
        "{took:?}"
    );
    assert!(track.queued() > Duration::from_millis(30));
    track.clear();
    assert_eq!(track.queued(), Duration::ZERO);
    // One frame that is longer than the queue, given up in the middle: the next sender is not refused.
    let long = AudioFrame::new(vec![0i16; 48_000], RATE, 1).expect("a good format");
    assert!(
        timeout(Duration::from_millis(100), track.capture(&long))
            .await
            .is_err()
    );
    track.clear();
    timeout(SOON, track.capture(&tone(0, 440.0, 1_000.0)))
        .await
        .expect("in time")
        .expect("taken");
    let wrong = AudioFrame::new(vec![0i16; 160], 16_000, 1).expect("a good format");
    assert!(matches!(
        track.capture(&wrong).await,
        Err(TransportError::Refused { .. })
    ));
}

async fn without_a_queue_nothing_waits(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (alice, mut bob) = pair(&server, transport, &fresh("direct")).await;
    let track = alice
        .room
        .publish_audio(&voice(0))
        .await
        .expect("published");
    let sid = subscribed(&mut bob, "alice").await;
    let mut frames = bob.room.open_audio(&sid, 16_000, 1).await.expect("heard");
    let speaking = tokio::spawn(async move {
        let mut clock = tokio::time::interval(Duration::from_millis(25));
        // Frames of 25 ms, which are no whole blocks of 10.
        for nth in 0..120u64 {
            clock.tick().await;
            let samples: Vec<i16> = (nth * 1_200..(nth + 1) * 1_200)
                .map(|at| (8_000.0 * (TAU * 440.0 * at as f64 / f64::from(RATE)).sin()) as i16)
                .collect();
            let frame = AudioFrame::new(samples, RATE, 1).expect("a good format");
            track.capture(&frame).await.expect("taken");
            assert_eq!(track.queued(), Duration::ZERO);
        }
        track
    });
    let mut samples: Vec<i16> = Vec::new();
    while samples.len() < 2 * 16_000 {
        let frame = timeout(SOON, frames.recv())
            .await
            .expect("in time")
            .expect("a frame");
        samples.extend(frame.samples());
    }
    // Cut and put together again without a seam: the tone has its amplitude. A busy machine's jitter takes some of it.
    let heard = amplitude_at(&samples[16_000..16_000 + 8_000], 16_000, 440.0);
    assert!((heard - 8_000.0).abs() < 1_200.0, "{heard}");
    speaking.await.expect("everything was taken");
}

async fn what_cannot_be_joined_is_an_error_in_time(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let options = ConnectOptions::default();
    let begun = Instant::now();
    let forged =
        server.token_signed_with("alice", "room", "another-secret-of-at-least-32-characters");
    let denied = transport
        .connect(&server.url, &forged, &options)
        .await
        .err();
    assert!(
        matches!(denied, Some(TransportError::Connect { .. })),
        "{denied:?}"
    );
    let token = server.token("alice", "room");
    let dead = transport
        .connect("ws://127.0.0.1:1", &token, &options)
        .await
        .err();
    assert!(
        matches!(dead, Some(TransportError::Connect { .. })),
        "{dead:?}"
    );
    assert!(
        dead.expect("an error")
            .to_string()
            .contains("ws://127.0.0.1:1")
    );
    let nonsense = transport
        .connect("no address", &token, &options)
        .await
        .err();
    assert!(nonsense.is_some());
    assert!(begun.elapsed() < 3 * SOON);

    // A server that takes the connection and says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", mute.local_addr().expect("bound"));
    let short = ConnectOptions::default().timeout(Duration::from_secs(1));
    let begun = Instant::now();
    let silent = transport.connect(&url, &token, &short).await.err();
    assert!(silent.is_some());
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}: {silent:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_library_says_where_it_was_looked_for() {
    let error =
        LivekitTransport::open(Some(Path::new("/nowhere/at/all"))).expect_err("there is none");
    let message = error.to_string();
    assert!(matches!(error, TransportError::Library(_)));
    assert!(
        message.contains("/nowhere/at/all") && message.contains("pip install livekit"),
        "{message}"
    );
}

async fn waits_may_be_without_end(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let room = fresh("patience");
    let options = ConnectOptions::default().timeout(Duration::MAX);
    let joined = server.join_with(transport, "alice", &room, &options).await;
    let mut alice = joined.expect("the room is joined");
    let mut bob = server.join(transport, "bob", &room).await;
    bob.room.register_rpc("greet").expect("registered");
    arrived(&mut alice, "bob").await;
    arrived(&mut bob, "alice").await;
    let caller = alice.room.clone();
    let calling = tokio::spawn(async move {
        let call = caller.perform_rpc("bob", "greet", "", Duration::MAX);
        call.await
    });
    let asked = event(&mut bob.events, "call", |e| match e {
        RoomEvent::Rpc(invocation) => Some(invocation),
        _ => None,
    })
    .await;
    // Long enough for the acknowledgement to be there.
    tokio::time::sleep(Duration::from_millis(300)).await;
    asked.reply.send(Ok("hello".to_owned())).expect("awaited");
    let answer = timeout(SOON, calling).await.expect("in time");
    assert_eq!(answer.expect("it ended").as_deref(), Ok("hello"));
}

async fn closing_ends_everything_and_may_be_repeated(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (mut alice, mut bob) = pair(&server, transport, &fresh("close")).await;
    let track = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    let begun = Instant::now();
    tokio::join!(alice.room.close(), alice.room.close());
    alice.room.close().await;
    assert!(begun.elapsed() < SOON);
    assert!(!alice.room.is_connected());
    let reason = event(&mut alice.events, "end", |e| match e {
        RoomEvent::Disconnected(reason) => Some(reason),
        _ => None,
    })
    .await;
    assert_eq!(reason, DisconnectReason::ClientInitiated);
    assert!(
        alice.events.recv().await.is_none(),
        "that was the last event"
    );
    let closed =
        |e: Result<(), TransportError>| assert!(matches!(e, Err(TransportError::Closed)), "{e:?}");
    closed(alice.room.publish_data(b"x", &DataOptions::default()).await);
    closed(alice.room.set_attributes(HashMap::new()).await);
    closed(track.capture(&tone(0, 440.0, 1.0)).await);
    closed(alice.room.publish_audio(&voice(50)).await.map(drop));
    closed(
        alice
            .room
            .send_text("x", &TextOptions::default())
            .await
            .map(drop),
    );
    // The server knows.
    event(&mut bob.events, "leave", |e| match e {
        RoomEvent::ParticipantDisconnected { participant, .. } => {
            assert_eq!(participant.identity, "alice");
            Some(())
        }
        _ => None,
    })
    .await;
}

async fn dropping_a_room_leaves_it(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let (alice, mut bob) = pair(&server, transport, &fresh("drop")).await;
    let track = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    let begun = Instant::now();
    drop(alice);
    event(&mut bob.events, "leave", |e| match e {
        RoomEvent::ParticipantDisconnected { participant, .. } => {
            assert_eq!(participant.identity, "alice");
            Some(())
        }
        _ => None,
    })
    .await;
    // Sooner than the server finds out by itself that a participant is gone.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    drop(track);
}

async fn giving_up_joining_leaves_nobody_behind(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let room = fresh("give-up");
    let mut alice = server.join(transport, "alice", &room).await;
    let joining = server.join(transport, "bob", &room);
    let _ = timeout(Duration::from_millis(30), joining).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let gone = async {
        while alice.room.participant("bob").is_some() {
            let _ = alice.events.recv().await;
        }
    };
    timeout(SOON, gone).await.expect("bob is gone again");
}

async fn a_server_that_dies_ends_the_room_in_the_time_it_was_given(transport: &dyn RoomTransport) {
    let mut server = Server::start_own().await;
    let given = Duration::from_secs(4);
    let options = ConnectOptions::default().reconnect_timeout(given);
    let (mut alice, mut bob) = pair_with(&server, transport, &fresh("dies"), &options).await;
    let track = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    let sid = subscribed(&mut bob, "alice").await;
    let mut frames = bob.room.open_audio(&sid, 16_000, 1).await.expect("heard");
    let begun = Instant::now();
    assert!(server.kill().await);
    event(&mut alice.events, "reconnecting", |e| {
        matches!(e, RoomEvent::Reconnecting).then_some(())
    })
    .await;
    assert!(!alice.room.is_connected());
    println!("reconnecting after {:?}", begun.elapsed());
    let end = async {
        loop {
            match alice.events.recv().await {
                Some(RoomEvent::Disconnected(reason)) => return reason,
                Some(_) => {}
                None => panic!("the events ended without a reason"),
            }
        }
    };
    let broken = Instant::now();
    let reason = timeout(given * 3, end).await.expect("an end");
    println!("disconnected ({reason:?}) after {:?}", begun.elapsed());
    assert_eq!(reason, DisconnectReason::ConnectionLost);
    // Its clock began when it saw the break, which is a moment before we were told.
    assert!(broken.elapsed() > given - Duration::from_millis(500));
    assert!(alice.events.recv().await.is_none());
    assert!(matches!(
        track.capture(&tone(0, 440.0, 1.0)).await,
        Err(TransportError::Closed)
    ));
    let begun = Instant::now();
    alice.room.close().await;
    assert!(begun.elapsed() < SOON);
    let rest = async { while frames.recv().await.is_some() {} };
    timeout(given * 3, rest).await.expect("the frames end");
    drop(bob);
}

async fn ten_rooms_live_in_one_process(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let base = fresh("ten");
    let pairs = (0..10).map(|nth| {
        let (server, room) = (&server, format!("{base}-{nth}"));
        async move {
            let (alice, mut bob) = pair(server, transport, &room).await;
            let payload = format!("room {nth}");
            let options = DataOptions {
                topic: Some(room.clone()),
                ..DataOptions::default()
            };
            alice
                .room
                .publish_data(payload.as_bytes(), &options)
                .await
                .expect("sent");
            let got = event(&mut bob.events, "data", |e| match e {
                RoomEvent::Data(packet) => Some(packet),
                _ => None,
            })
            .await;
            // No room hears another.
            assert_eq!((got.payload, got.topic), (payload.into_bytes(), Some(room)));
            alice.room.close().await;
            bob.room.close().await;
        }
    });
    futures_util::future::join_all(pairs).await;
}

on_each_transport! {
    a_tone_arrives_with_its_frequency_and_amplitude,
    data_goes_both_ways_with_its_topic,
    texts_arrive_whole_with_topic_and_attributes,
    attributes_are_in_the_snapshot_before_their_event,
    procedures_are_called_both_ways,
    muting_is_seen_by_the_others,
    a_participant_that_leaves_takes_its_audio_along,
    an_unpublished_track_is_gone,
    tracks_that_follow_each_other_are_all_heard,
    one_who_comes_later_finds_everything,
    subscriptions_come_as_asked_for,
    the_queue_paces_the_sender_and_is_cleared_at_once,
    without_a_queue_nothing_waits,
    what_cannot_be_joined_is_an_error_in_time,
    waits_may_be_without_end,
    closing_ends_everything_and_may_be_repeated,
    dropping_a_room_leaves_it,
    giving_up_joining_leaves_nobody_behind,
    a_server_that_dies_ends_the_room_in_the_time_it_was_given,
    ten_rooms_live_in_one_process,
}
