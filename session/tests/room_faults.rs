//! What every transport makes of a server and a network that fail. Signalling is cut on its way to any server; other faults need the double, which can
//! be told to have them.

#[path = "common/lossy.rs"]
mod lossy;
#[macro_use]
#[path = "common/rooms.rs"]
mod rooms;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use listenkit_session::AudioFrame;
use listenkit_session::transport::native::NativeTransport;
use listenkit_session::transport::{
    ConnectOptions, Connection, DataOptions, DisconnectReason, PublishOptions, RoomEvent,
    RoomTransport, TextOptions, Token,
};
use listenkit_test_server::{Faults, Network, Options, RoomView};
use lossy::Lossy;
use rooms::{
    RATE, SOON, Server, Speaker, Wire, amplitude_at, arrived, event, fresh, pair, subscribed, voice,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// A connection that is restored takes longer than an answer: a client waits between its tries, and finds out about lost media by silence.
const RESTORED: Duration = Duration::from_secs(60);

async fn until_within<T>(
    connection: &mut Connection,
    what: &str,
    limit: Duration,
    mut pick: impl FnMut(RoomEvent) -> Option<T>,
) -> T {
    let search = async {
        loop {
            match connection.events.recv().await {
                Some(event) => {
                    if let Some(found) = pick(event) {
                        return found;
                    }
                }
                None => panic!("no {what}, and the events ended"),
            }
        }
    };
    timeout(limit, search)
        .await
        .unwrap_or_else(|_| panic!("no {what} within {limit:?}"))
}

async fn reconnecting(connection: &mut Connection) {
    until_within(connection, "reconnecting", RESTORED, |e| match e {
        RoomEvent::Reconnecting => Some(()),
        RoomEvent::Disconnected(reason) => panic!("disconnected: {reason:?}"),
        _ => None,
    })
    .await;
}

async fn reconnected(connection: &mut Connection) {
    until_within(connection, "reconnected", RESTORED, |e| match e {
        RoomEvent::Reconnected => Some(()),
        RoomEvent::Disconnected(reason) => panic!("disconnected: {reason:?}"),
        _ => None,
    })
    .await;
    assert!(connection.room.is_connected());
}

/// Whether the tone of 440 Hz is heard in these frames before they end.
async fn until_heard_or_over(frames: &mut mpsc::Receiver<AudioFrame>, rate: u32) -> bool {
    loop {
        let mut samples: Vec<i16> = Vec::new();
        while samples.len() < rate as usize / 2 {
            let Some(frame) = frames.recv().await else {
                return false;
            };
            samples.extend(frame.samples());
        }
        if amplitude_at(&samples, rate, 440.0) > 6_000.0 {
            return true;
        }
    }
}

async fn until_heard(frames: &mut mpsc::Receiver<AudioFrame>, rate: u32) {
    let heard = timeout(RESTORED, until_heard_or_over(frames, rate)).await;
    assert_eq!(heard, Ok(true), "the track goes on, and its tone is heard");
}

/// Opens the track, and gives what comes behind the first of its tone.
async fn heard(by: &Connection, sid: &str, rate: u32) -> mpsc::Receiver<AudioFrame> {
    let frames = by.room.open_audio(sid, rate, 1).await;
    let mut frames = frames.expect("there is such a track");
    until_heard(&mut frames, rate).await;
    frames
}

fn numbered() -> DataOptions {
    DataOptions {
        topic: Some("numbers".to_owned()),
        ..DataOptions::default()
    }
}

/// The numbers that come, until `last`.
async fn numbers(connection: &mut Connection, last: u32) -> Vec<u32> {
    let mut numbers = Vec::new();
    until_within(connection, "the last number", RESTORED, |e| {
        if let RoomEvent::Data(packet) = e {
            let bytes = packet.payload.try_into().expect("four bytes");
            numbers.push(u32::from_le_bytes(bytes));
        }
        numbers.contains(&last).then_some(())
    })
    .await;
    numbers
}

async fn a_cut_signal_is_resumed_and_costs_nothing(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let wires = (Wire::to(&server).await, Wire::to(&server).await);
    let room = fresh("cut");
    let mut alice = wires.0.join(&server, transport, "alice", &room).await;
    let mut bob = wires.1.join(&server, transport, "bob", &room).await;
    arrived(&mut alice, "bob").await;
    arrived(&mut bob, "alice").await;
    let _speaker = Speaker::voice_of(&alice).await;
    let sid = subscribed(&mut bob, "alice").await;
    let mut frames = heard(&bob, &sid, 16_000).await;
    let before = alice.room.local_participant().sid;
    let mut writer = alice
        .room
        .stream_text(&TextOptions {
            topic: "across".to_owned(),
            ..TextOptions::default()
        })
        .await
        .expect("opened");
    writer.write("before ").await.expect("written");

    let sender = alice.room.clone();
    let sending = tokio::spawn(async move {
        for number in 0..200u32 {
            let sent = sender
                .publish_data(&number.to_le_bytes(), &numbered())
                .await;
            sent.expect("data may be sent meanwhile");
            sleep(Duration::from_millis(5)).await;
        }
    });
    sleep(Duration::from_millis(100)).await;
    let cut = Instant::now();
    wires.0.cut();
    reconnecting(&mut alice).await;
    reconnected(&mut alice).await;
    println!("resumed after {:?}", cut.elapsed());
    assert_eq!(numbers(&mut bob, 199).await, (0..200).collect::<Vec<_>>());
    sending.await.expect("sent");
    writer.write("and after").await.expect("written");
    writer.close(HashMap::new()).await.expect("closed");
    let text = event(&mut bob.events, "text", |e| match e {
        RoomEvent::Text(message) => Some(message.text),
        _ => None,
    })
    .await;
    assert_eq!(text, "before and after");
    // The same participant, and to the others nothing happened.
    assert_eq!(alice.room.local_participant().sid, before);
    assert_eq!(bob.room.participant("alice").expect("there").sid, before);
    until_heard(&mut frames, 16_000).await;

    // The listener's turn: its track goes on under the same id.
    wires.1.cut();
    reconnecting(&mut bob).await;
    reconnected(&mut bob).await;
    until_heard(&mut frames, 16_000).await;
    // And what was said to it in the room meanwhile is known.
    alice
        .room
        .set_attributes(HashMap::from([("after".to_owned(), "1".to_owned())]))
        .await
        .expect("set");
    event(&mut bob.events, "attributes", |e| match e {
        RoomEvent::AttributesChanged { changed, .. } => changed.get("after").cloned(),
        _ => None,
    })
    .await;
}

async fn cuts_again_and_again_cost_nothing(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let wires = [Wire::to(&server).await, Wire::to(&server).await];
    let room = fresh("cuts");
    let mut alice = wires[0].join(&server, transport, "alice", &room).await;
    let mut bob = wires[1].join(&server, transport, "bob", &room).await;
    arrived(&mut alice, "bob").await;
    arrived(&mut bob, "alice").await;
    let _speaker = Speaker::voice_of(&alice).await;
    let sid = subscribed(&mut bob, "alice").await;
    let mut frames = bob.room.open_audio(&sid, 16_000, 1).await.expect("heard");
    let mut random = fastrand::Rng::with_seed(11);
    let mut next = 0u32;
    for _ in 0..6 {
        let (who, both) = (random.usize(..2), random.bool());
        for (nth, wire) in wires.iter().enumerate() {
            if nth == who || both {
                wire.cut();
            }
        }
        let first = next;
        for _ in 0..20 {
            for connection in [&alice, &bob] {
                let sent = connection
                    .room
                    .publish_data(&next.to_le_bytes(), &numbered())
                    .await;
                sent.expect("data may be sent meanwhile");
            }
            next += 1;
            sleep(Duration::from_millis(random.u64(..60))).await;
        }
        let all: Vec<_> = (first..next).collect();
        for connection in [&mut alice, &mut bob] {
            assert_eq!(numbers(connection, next - 1).await, all);
        }
        let back = async {
            while !(alice.room.is_connected() && bob.room.is_connected()) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(RESTORED, back).await.expect("both are back");
        while frames.try_recv().is_ok() {}
        until_heard(&mut frames, 16_000).await;
    }
}

async fn what_changed_during_a_cut_is_known_after_it(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let wire = Wire::to(&server).await;
    let room = fresh("missed");
    let mut alice = server.join(transport, "alice", &room).await;
    let mut bob = wire.join(&server, transport, "bob", &room).await;
    arrived(&mut alice, "bob").await;
    arrived(&mut bob, "alice").await;
    wire.refuse(true);
    wire.cut();
    reconnecting(&mut bob).await;
    alice
        .room
        .set_attributes(HashMap::from([("k".to_owned(), "v".to_owned())]))
        .await
        .expect("set");
    let _speaker = Speaker::voice_of(&alice).await;
    sleep(Duration::from_millis(500)).await;
    wire.refuse(false);
    let (mut sid, mut is_back) = (None, false);
    until_within(&mut bob, "return and subscription", RESTORED, |e| {
        match e {
            RoomEvent::Reconnected => is_back = true,
            RoomEvent::TrackSubscribed { track, .. } => sid = Some(track.sid),
            RoomEvent::Disconnected(reason) => panic!("disconnected: {reason:?}"),
            _ => {}
        }
        (is_back && sid.is_some()).then_some(())
    })
    .await;
    let known = async {
        while bob
            .room
            .participant("alice")
            .is_none_or(|p| p.attributes.get("k").map(String::as_str) != Some("v"))
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, known).await.expect("the attribute is known");
    let sid = sid.expect("it was subscribed to");
    heard(&bob, &sid, 16_000).await;
}

async fn a_cut_longer_than_the_resume_window_is_a_new_session(transport: &dyn RoomTransport) {
    // A real server's window begins when the media is gone, too, and no client of ours gives that up by itself.
    let options = Options {
        resume_window: Duration::from_millis(300),
        ..Options::default()
    };
    let server = Server::start_double(options).await;
    let wire = Wire::to(&server).await;
    let room = fresh("window");
    let mut alice = wire.join(&server, transport, "alice", &room).await;
    let mut bob = server.join(transport, "bob", &room).await;
    arrived(&mut alice, "bob").await;
    arrived(&mut bob, "alice").await;
    let speaker = Speaker::voice_of(&alice).await;
    subscribed(&mut bob, "alice").await;
    let before = alice.room.local_participant().sid;
    wire.refuse(true);
    wire.cut();
    reconnecting(&mut alice).await;
    assert!(!alice.room.is_connected());
    until_within(&mut bob, "leave", RESTORED, |e| match e {
        RoomEvent::ParticipantDisconnected { participant, .. } => Some(participant.identity),
        _ => None,
    })
    .await;
    wire.refuse(false);
    reconnected(&mut alice).await;
    // Another participant to the server, the same to the application: its tracks are published again, its events go on.
    let sid = subscribed(&mut bob, "alice").await;
    let after = bob.room.participant("alice").expect("there").sid;
    assert_ne!(after, before);
    let known = async {
        while alice.room.local_participant().sid != after {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, known).await.expect("its own new id is known");
    heard(&bob, &sid, 16_000).await;
    assert!(alice.room.participant("bob").is_some());
    bob.room
        .publish_data(&7u32.to_le_bytes(), &numbered())
        .await
        .expect("sent");
    assert_eq!(numbers(&mut alice, 7).await, [7]);
    alice
        .room
        .publish_data(&8u32.to_le_bytes(), &numbered())
        .await
        .expect("sent");
    assert_eq!(numbers(&mut bob, 8).await, [8]);
    drop(speaker);
    event(&mut bob.events, "unpublishing", |e| {
        matches!(e, RoomEvent::TrackUnpublished { .. }).then_some(())
    })
    .await;
}

async fn a_server_that_starts_again_finds_everybody_again(transport: &dyn RoomTransport) {
    let mut server = Server::start_own().await;
    let (mut alice, mut bob) = pair(&server, transport, &fresh("again")).await;
    let _speaker = Speaker::voice_of(&alice).await;
    let sid = subscribed(&mut bob, "alice").await;
    let _frames = heard(&bob, &sid, 16_000).await;
    assert!(server.kill().await);
    reconnecting(&mut alice).await;
    sleep(Duration::from_millis(500)).await;
    server.restart().await;
    reconnected(&mut alice).await;
    let sid = alice.room.local_participant().tracks[0].sid.clone();
    let is_hers =
        |e| matches!(e, RoomEvent::TrackSubscribed { track, .. } if track.sid == sid).then_some(());
    until_within(&mut bob, "her track", RESTORED, is_hers).await;
    heard(&bob, &sid, 16_000).await;
    bob.room
        .publish_data(&7u32.to_le_bytes(), &numbered())
        .await
        .expect("sent");
    assert_eq!(numbers(&mut alice, 7).await, [7]);
}

/// A token is for coming in, and the server renews it: one that expires during a call does not end it, not even when the connection breaks.
async fn a_call_outlives_its_token(transport: &dyn RoomTransport) {
    let server = Server::start_double(Options::default()).await;
    // Servers allow for a minute.
    let token = server
        .double()
        .new_token()
        .join("alice", &fresh("expiry"))
        .expired(Duration::from_secs(50))
        .build();
    let wire = Wire::to(&server).await;
    let options = ConnectOptions::default().timeout(SOON);
    let mut alice = wire
        .connect(transport, &token, &options)
        .await
        .expect("joined in time");
    sleep(Duration::from_secs(12)).await;
    wire.cut();
    reconnecting(&mut alice).await;
    reconnected(&mut alice).await;
    let error = wire.connect(transport, &token, &options).await.err();
    let error = error.expect("too late").to_string();
    assert!(error.contains("token"), "{error}");
}

async fn a_server_that_says_nothing_is_noticed(transport: &dyn RoomTransport) {
    let server = Server::start_double(Options::default()).await;
    let (mut alice, _bob) = pair(&server, transport, &fresh("silent")).await;
    let begun = Instant::now();
    server.double().faults().set_silent(true);
    reconnecting(&mut alice).await;
    println!("noticed after {:?}", begun.elapsed());
    server.double().faults().set_silent(false);
    reconnected(&mut alice).await;
}

async fn media_breaks_and_comes_back(
    transport: &dyn RoomTransport,
    break_it: impl Fn(&Faults),
    mend_it: impl Fn(&Faults),
) {
    let server = Server::start_double(Options::default()).await;
    let room = fresh("media");
    let (mut alice, mut bob) = pair(&server, transport, &room).await;
    let _speaker = Speaker::voice_of(&alice).await;
    let sid = subscribed(&mut bob, "alice").await;
    let _frames = heard(&bob, &sid, 16_000).await;
    let begun = Instant::now();
    break_it(server.double().faults());
    reconnecting(&mut alice).await;
    println!("noticed after {:?}", begun.elapsed());
    mend_it(server.double().faults());
    reconnected(&mut alice).await;
    // Where it took long both began anew, with a track of another id.
    let mut sid = sid;
    let again = async {
        loop {
            if let Ok(mut frames) = bob.room.open_audio(&sid, 16_000, 1).await
                && until_heard_or_over(&mut frames, 16_000).await
            {
                return;
            }
            sid = subscribed(&mut bob, "alice").await;
        }
    };
    timeout(RESTORED, again).await.expect("the tone is heard");
}

async fn media_that_breaks_one_way_comes_back(transport: &dyn RoomTransport) {
    let refuse = |on| move |faults: &Faults| faults.set_refuse_media(on);
    media_breaks_and_comes_back(transport, refuse(true), refuse(false)).await;
}

async fn a_network_that_is_gone_comes_back(transport: &dyn RoomTransport) {
    let dead = Network {
        loss: 1.0,
        ..Network::default()
    };
    let kill = |faults: &Faults| faults.set_network(Some(dead.clone()));
    let mend = |faults: &Faults| faults.set_network(None);
    media_breaks_and_comes_back(transport, kill, mend).await;
}

fn renewed(event: RoomEvent) -> Option<Token> {
    match event {
        RoomEvent::TokenRefreshed(token) => Some(token),
        _ => None,
    }
}

/// A listener to bob's tone, whose datagrams go through a relay.
#[cfg(feature = "native")]
async fn listener(server: &Server, lossy: &Lossy) -> (Connection, Connection, Speaker, String) {
    let transport = rooms::native("a listener").expect("it is built in");
    let room = fresh("datagrams");
    let mut alice = lossy.join(server, &transport, "alice", &room).await;
    let mut bob = server.join(&transport, "bob", &room).await;
    let speaker = Speaker::voice_of(&bob).await;
    let sid = subscribed(&mut alice, "bob").await;
    hears_again(&alice, &sid).await;
    // Both of her connections stand.
    let said = alice
        .room
        .publish_data(&1u32.to_le_bytes(), &numbered())
        .await;
    said.expect("sent");
    numbers(&mut bob, 1).await;
    (alice, bob, speaker, sid)
}

#[cfg(feature = "native")]
async fn hears_again(alice: &Connection, sid: &str) {
    let again = async {
        loop {
            if let Ok(mut frames) = alice.room.open_audio(sid, 16_000, 1).await
                && until_heard_or_over(&mut frames, 16_000).await
            {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, again).await.expect("the tone is heard");
}

#[cfg(feature = "native")]
fn nothing_comes_through() -> Option<Network> {
    Some(Network {
        loss: 1.0,
        ..Network::default()
    })
}

/// A server that is asked for the way back gives it, whether anything else comes through or not.
#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_media_is_not_said_to_be_back() {
    let server = Server::start_double(Options::default()).await;
    let lossy = Lossy::to(&server).await;
    let (mut alice, _bob, _speaker, sid) = listener(&server, &lossy).await;
    lossy.set(nothing_comes_through());
    server
        .double()
        .cut_signal(&alice.room.name(), "alice")
        .await;
    reconnecting(&mut alice).await;
    let early = timeout(Duration::from_secs(5), reconnected(&mut alice)).await;
    assert!(early.is_err(), "nothing is back");
    assert!(!alice.room.is_connected());
    lossy.set(None);
    reconnected(&mut alice).await;
    hears_again(&alice, &sid).await;
}

/// A firewall that changes its mind in the middle of a call. LiveKit's server notices first, and then offers TCP only.
#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
async fn where_datagrams_come_no_more_media_changes_to_tcp() {
    let Some(server) = Server::start_with_tcp().await else {
        return;
    };
    let lossy = Lossy::to(&server).await;
    let (mut alice, mut bob, _speaker, sid) = listener(&server, &lossy).await;
    let before = alice.room.local_participant().sid;
    lossy.set(nothing_comes_through());
    reconnecting(&mut alice).await;
    let begun = Instant::now();
    reconnected(&mut alice).await;
    hears_again(&alice, &sid).await;
    println!("heard over TCP after {:?}", begun.elapsed());
    assert_eq!(alice.room.local_participant().sid, before, "it was resumed");
    let said = alice
        .room
        .publish_data(&2u32.to_le_bytes(), &numbered())
        .await;
    said.expect("sent");
    numbers(&mut bob, 2).await;
}

/// The signalling goes on meanwhile, so LiveKit's server, which notices it after 15 s, could think that UDP is of no use to this client, and offer TCP only.
#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
async fn datagrams_that_were_lost_for_long_come_back_at_once() {
    let server = Server::start().await;
    let lossy = Lossy::to(&server).await;
    let (mut alice, _bob, _speaker, sid) = listener(&server, &lossy).await;
    lossy.set(nothing_comes_through());
    reconnecting(&mut alice).await;
    sleep(Duration::from_secs(1)).await;
    lossy.set(None);
    let begun = Instant::now();
    reconnected(&mut alice).await;
    hears_again(&alice, &sid).await;
    println!("back after {:?}", begun.elapsed());
    // Checks are repeated after some seconds at most.
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

async fn a_renewed_token_joins_again(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let room = fresh("token");
    let wire = Wire::to(&server).await;
    let mut alice = wire.join(&server, transport, "alice", &room).await;
    alice
        .room
        .set_attributes(HashMap::from([("role".to_owned(), "host".to_owned())]))
        .await
        .expect("set");
    // The server renews a token when what it says of its owner changes, and gives one to everybody who joins.
    let mut newest = event(&mut alice.events, "token", renewed).await;
    while let Ok(Some(e)) = timeout(Duration::from_secs(1), alice.events.recv()).await {
        newest = renewed(e).unwrap_or(newest);
    }
    // What she is told comes behind the end of her media.
    wire.delay(Duration::from_millis(200));
    let mut again = transport
        .connect(
            &server.url,
            newest.as_str(),
            &ConnectOptions::default().timeout(SOON),
        )
        .await
        .expect("joined with it");
    let local = again.room.local_participant();
    assert_eq!(
        (local.identity.as_str(), again.room.name()),
        ("alice", room)
    );
    assert_eq!(
        local.attributes.get("role").map(String::as_str),
        Some("host")
    );
    // Two with one name: the older one goes, and is told.
    let reason = event(&mut alice.events, "end", |e| match e {
        RoomEvent::Disconnected(reason) => Some(reason),
        _ => None,
    })
    .await;
    assert_eq!(reason, DisconnectReason::DuplicateIdentity);
    // And does not come back in place of the newer one.
    let fight = async {
        while let Some(e) = again.events.recv().await {
            if matches!(e, RoomEvent::Reconnecting | RoomEvent::Disconnected(_)) {
                return e;
            }
        }
        panic!("the events ended")
    };
    let fought = timeout(Duration::from_secs(2), fight).await;
    assert!(fought.is_err(), "{fought:?}");
    assert!(again.room.is_connected());
}

async fn one_who_is_sent_away_is_told_why(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    // Media ends by another way than the word about it comes, so it may be the first to arrive.
    for late in [0, 200, 1_200] {
        let wires = (Wire::to(&server).await, Wire::to(&server).await);
        let room = fresh("away");
        let mut alice = wires.0.join(&server, transport, "alice", &room).await;
        let mut bob = wires.1.join(&server, transport, "bob", &room).await;
        arrived(&mut alice, "bob").await;
        arrived(&mut bob, "alice").await;
        wires.0.delay(Duration::from_millis(late));
        server.remove(&room, "alice").await;
        let ended = |e| match e {
            RoomEvent::Disconnected(reason) => Some(reason),
            RoomEvent::Reconnecting => panic!("there is nothing to come back to ({late} ms)"),
            _ => None,
        };
        let reason = event(&mut alice.events, "end", ended).await;
        assert_eq!(reason, DisconnectReason::ParticipantRemoved, "{late} ms");
        assert!(alice.events.recv().await.is_none());
        assert!(!alice.room.is_connected());
        event(&mut bob.events, "leave", |e| match e {
            RoomEvent::ParticipantDisconnected {
                participant,
                reason,
            } => {
                assert_eq!(participant.identity, "alice");
                assert_eq!(reason, DisconnectReason::ParticipantRemoved);
                Some(())
            }
            _ => None,
        })
        .await;
    }
}

/// The same while the way for media is not agreed on again: its end is not taken for a reason to join anew.
#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
async fn one_who_is_coming_back_can_be_sent_away() {
    let server = Server::start().await;
    let transport = rooms::native("farewell").expect("it is built in");
    let wire = Wire::to(&server).await;
    let room = fresh("back");
    let mut alice = wire.join(&server, &transport, "alice", &room).await;
    wire.used(1).await;
    wire.delay(Duration::from_millis(500));
    wire.cut();
    wire.used(2).await;
    server.remove(&room, "alice").await;
    let reason = event(&mut alice.events, "end", |e| match e {
        RoomEvent::Disconnected(reason) => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, DisconnectReason::ParticipantRemoved);
    assert!(alice.events.recv().await.is_none());
}

/// Decoded as they are, such packets would be noise in the ears of a recogniser.
#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_encrypted_end_to_end_is_not_taken_for_audio() {
    let server = Server::start_double(Options::default()).await;
    let transport = rooms::native("encryption").expect("it is built in");
    let (alice, mut bob) = pair(&server, &transport, &fresh("encrypted")).await;
    server.double().faults().set_encrypted(true);
    let hidden = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    server.double().faults().set_encrypted(false);
    let open = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    // The second one comes, and the first has not come before it.
    assert_eq!(subscribed(&mut bob, "alice").await, open.sid());
    let tracks = bob.room.participant("alice").expect("there").tracks;
    assert_eq!(tracks.len(), 2);
    let refused = bob.room.set_subscribed("alice", &hidden.sid(), true).await;
    let error = refused.expect_err("it cannot be heard").to_string();
    assert!(error.contains("encrypted"), "{error}");
    let told = bob.room.set_subscribed("alice", &hidden.sid(), false).await;
    told.expect("nothing is asked for");
}

#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_told_of_two_channels() {
    let server = Server::start_double(Options::default()).await;
    let transport = rooms::native("stereo").expect("it is built in");
    let room = fresh("stereo");
    let alice = server.join(&transport, "alice", &room).await;
    for channels in [1, 2] {
        let options = PublishOptions {
            channels,
            ..voice(50)
        };
        let track = alice.room.publish_audio(&options).await.expect("published");
        let is_told = |view: &RoomView| {
            let tracks = view.participant("alice").map(|p| p.tracks.as_slice());
            let mut told = tracks.unwrap_or_default().iter();
            told.any(|t| t.sid == track.sid() && t.audio_features.len() as u32 == channels - 1)
        };
        let double = server.double();
        let told = double.wait_for_room(&room, "the track as it is", SOON, is_told);
        told.await.expect("in time");
    }
}

/// Worse than a mobile network at the edge of its cell.
fn bad(seed: u64) -> Network {
    Network {
        seed,
        loss: 0.05,
        doubled: 0.02,
        late: 0.05,
        late_by: Duration::from_millis(30),
        delay: Duration::from_millis(15),
    }
}

async fn lossy_pair(
    lossy: &Lossy,
    server: &Server,
    transport: &dyn RoomTransport,
    room: &str,
) -> (Connection, Connection) {
    let mut alice = lossy.join(server, transport, "alice", room).await;
    let mut bob = lossy.join(server, transport, "bob", room).await;
    arrived(&mut alice, "bob").await;
    arrived(&mut bob, "alice").await;
    (alice, bob)
}

async fn a_bad_network_costs_reliable_data_nothing(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let lossy = Lossy::to(&server).await;
    lossy.set(Some(bad(1)));
    let (alice, mut bob) = lossy_pair(&lossy, &server, transport, &fresh("bad")).await;
    bob.room.register_rpc("echo").expect("registered");
    for number in 0..200u32 {
        alice
            .room
            .publish_data(&number.to_le_bytes(), &numbered())
            .await
            .expect("sent");
    }
    let text = "grüß dich, 你好 ".repeat(5_000);
    let options = TextOptions {
        topic: "long".to_owned(),
        ..TextOptions::default()
    };
    alice.room.send_text(&text, &options).await.expect("sent");
    let (mut heard, mut texts) = (Vec::new(), Vec::new());
    until_within(&mut bob, "the text", RESTORED, |e| {
        match e {
            RoomEvent::Data(packet) => {
                let bytes = packet.payload.try_into().expect("four bytes");
                heard.push(u32::from_le_bytes(bytes));
            }
            RoomEvent::Text(message) => texts.push(message.text),
            _ => {}
        }
        (!texts.is_empty()).then_some(())
    })
    .await;
    assert_eq!(heard, (0..200).collect::<Vec<_>>());
    assert!(texts[0] == text, "the text is whole");

    let caller = alice.room.clone();
    let calling = tokio::spawn(async move {
        for nth in 0..10 {
            let payload = format!("call {nth}");
            let answer = caller
                .perform_rpc("bob", "echo", &payload, SOON)
                .await
                .expect("answered");
            assert_eq!(answer, payload);
        }
    });
    for _ in 0..10 {
        let call = event(&mut bob.events, "call", |e| match e {
            RoomEvent::Rpc(call) => Some(call),
            _ => None,
        })
        .await;
        _ = call.reply.send(Ok(call.payload));
    }
    calling.await.expect("all answered");
}

async fn a_bad_network_costs_audio_some_of_its_tone_and_none_of_its_pace(
    transport: &dyn RoomTransport,
) {
    let server = Server::start().await;
    let lossy = Lossy::to(&server).await;
    let room = fresh("bad-audio");
    let (alice, mut bob) = lossy_pair(&lossy, &server, transport, &room).await;
    let _speaker = Speaker::voice_of(&alice).await;
    let sid = subscribed(&mut bob, "alice").await;
    let mut frames = heard(&bob, &sid, RATE).await;
    lossy.set(Some(bad(2)));
    sleep(Duration::from_secs(1)).await;
    while frames.try_recv().is_ok() {}
    let begun = Instant::now();
    let mut samples: Vec<i16> = Vec::new();
    while begun.elapsed() < Duration::from_secs(6) {
        let frame = timeout(SOON, frames.recv())
            .await
            .expect("in time")
            .expect("the track goes on");
        samples.extend(frame.samples());
    }
    let (took, came) = (
        begun.elapsed().as_secs_f64(),
        samples.len() as f64 / f64::from(RATE),
    );
    println!("{came:.2} s of audio in {took:.2} s");
    // A jitter buffer may be filled or emptied by some packets.
    assert!((took - came).abs() < 0.4, "{came} s of audio in {took} s");
    // In each half second: one packet in 14 is lost or late, twice on the way, and concealed.
    let windows: Vec<f64> = samples
        .chunks_exact(RATE as usize / 2)
        .map(|w| {
            // Phase may jump where something was concealed, so the loudness is measured, not one frequency.
            let square: f64 = w.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
            (2.0 * square / w.len() as f64).sqrt()
        })
        .collect();
    println!("amplitudes: {windows:.0?}");
    let mean = windows.iter().sum::<f64>() / windows.len() as f64;
    assert!((5_500.0..9_000.0).contains(&mean), "{windows:?}");
    let loudest = samples.iter().map(|s| s.unsigned_abs()).max();
    assert!(loudest < Some(20_000), "{loudest:?}");
    // And all is well again with the network.
    lossy.set(None);
    until_heard(&mut frames, RATE).await;
}

async fn where_no_datagram_comes_through_media_takes_tcp(transport: &dyn RoomTransport) {
    let Some(server) = Server::start_with_tcp().await else {
        return;
    };
    let lossy = Lossy::to(&server).await;
    lossy.set(Some(Network {
        loss: 1.0,
        ..Network::default()
    }));
    let (alice, mut bob) = lossy_pair(&lossy, &server, transport, &fresh("tcp")).await;
    let _speaker = Speaker::voice_of(&alice).await;
    let sid = subscribed(&mut bob, "alice").await;
    let _frames = heard(&bob, &sid, RATE).await;
    // Larger than what waits for the network at most.
    let text = "grüß dich, 你好 ".repeat(20_000);
    let options = TextOptions {
        topic: "long".to_owned(),
        ..TextOptions::default()
    };
    alice.room.send_text(&text, &options).await.expect("sent");
    let came = event(&mut bob.events, "text", |e| match e {
        RoomEvent::Text(message) => Some(message.text),
        _ => None,
    })
    .await;
    assert!(came == text, "the text is whole");
}

#[tokio::test]
async fn a_server_whose_media_cannot_be_reached_is_named_as_such() {
    let server = Server::start().await;
    let lossy = Lossy::to(&server).await;
    lossy.set(Some(Network {
        loss: 1.0,
        ..Network::default()
    }));
    let options = ConnectOptions::default().timeout(Duration::from_secs(4));
    let error = lossy
        .try_join(
            &server,
            &NativeTransport::new(),
            "alice",
            &fresh("deaf"),
            &options,
        )
        .await
        .err()
        .expect("no way for media");
    let text = error.to_string();
    assert!(
        text.contains("media") && text.contains("UDP") && text.contains("LISTENKIT_TRANSPORT=ffi"),
        "{text}"
    );
}

/// As while a server is replaced by another. LiveKit's library has tries of its own, the last of which may come before the moment is over.
#[cfg(feature = "native")]
#[tokio::test]
async fn a_server_that_refuses_for_a_moment_is_joined() {
    let server = Server::start_double(Options::default()).await;
    server.double().faults().set_refuse_signal(true);
    let transport = NativeTransport::new();
    let joining = server.join(&transport, "alice", "moment");
    let opening = async {
        sleep(Duration::from_millis(150)).await;
        server.double().faults().set_refuse_signal(false);
    };
    let (alice, ()) = tokio::join!(joining, opening);
    assert!(alice.room.is_connected());
}

on_each_transport! {
    where_no_datagram_comes_through_media_takes_tcp,
    a_bad_network_costs_audio_some_of_its_tone_and_none_of_its_pace,
    a_bad_network_costs_reliable_data_nothing,
    a_cut_longer_than_the_resume_window_is_a_new_session,
    a_call_outlives_its_token,
    a_cut_signal_is_resumed_and_costs_nothing,
    a_renewed_token_joins_again,
    a_server_that_says_nothing_is_noticed,
    a_server_that_starts_again_finds_everybody_again,
    a_network_that_is_gone_comes_back,
    cuts_again_and_again_cost_nothing,
    media_that_breaks_one_way_comes_back,
    one_who_is_sent_away_is_told_why,
    what_changed_during_a_cut_is_known_after_it,
}
