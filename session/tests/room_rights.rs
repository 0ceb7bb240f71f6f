//! What every transport makes of tokens and permissions that do not allow everything, on the double or on the server that `LIVEKIT_SERVER_BIN` names.
#![cfg_attr(
    not(feature = "native"),
    allow(
        dead_code,
        unused_imports,
        reason = "some are about that transport only"
    )
)]

#[macro_use]
#[path = "common/rooms.rs"]
mod rooms;

use std::time::Duration;

use listenkit_session::transport::{
    ConnectOptions, Connection, DataOptions, RoomEvent, RoomTransport, TransportError,
};
use listenkit_test_server::proto::ParticipantPermission;
use rooms::{SOON, Server, Speaker, arrived, event, fresh, subscribed, tone, voice};
use tokio::time::{sleep, timeout};

async fn join(transport: &dyn RoomTransport, server: &Server, token: &str) -> Connection {
    transport
        .connect(&server.url, token, &ConnectOptions::default())
        .await
        .expect("the room is joined")
}

async fn hears(connection: &mut Connection, from: &str) {
    let sid = subscribed(connection, from).await;
    let room = &connection.room;
    let mut frames = room.open_audio(&sid, 16_000, 1).await.expect("heard");
    let loud = async {
        while let Some(frame) = frames.recv().await {
            if frame.samples().iter().any(|s| s.unsigned_abs() > 1_000) {
                return;
            }
        }
        panic!("the track ended in silence");
    };
    timeout(SOON, loud).await.expect("a sound in time");
}

async fn data_arrives(from: &Connection, to: &mut Connection) {
    let options = DataOptions {
        topic: Some("note".to_owned()),
        ..DataOptions::default()
    };
    from.room.publish_data(b"x", &options).await.expect("sent");
    event(&mut to.events, "data", |e| match e {
        RoomEvent::Data(data) => data.topic.filter(|t| t == "note"),
        _ => None,
    })
    .await;
}

/// The server then opens no connection for what we hear: joining must not wait for it.
async fn one_who_may_not_hear_joins_and_speaks(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let room = fresh("deaf");
    let token = server.token_granting("alice", &room, |g| g.can_subscribe = Some(false));
    let mut alice = join(transport, &server, &token).await;
    let mut bob = server.join(transport, "bob", &room).await;
    arrived(&mut alice, "bob").await;
    let _speaker = Speaker::voice_of(&alice).await;
    hears(&mut bob, "alice").await;
    data_arrives(&alice, &mut bob).await;
    data_arrives(&bob, &mut alice).await;
    assert!(alice.room.is_connected());
}

async fn one_who_may_not_speak_joins_and_hears(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let room = fresh("mute");
    let token = server.token_granting("alice", &room, |g| {
        g.can_publish = Some(false);
        g.can_publish_data = Some(false);
    });
    let mut alice = join(transport, &server, &token).await;
    let bob = server.join(transport, "bob", &room).await;
    let _speaker = Speaker::voice_of(&bob).await;
    hears(&mut alice, "bob").await;
    data_arrives(&bob, &mut alice).await;
    let refused = alice.room.publish_audio(&voice(50)).await.err();
    assert!(
        matches!(
            refused,
            Some(TransportError::Refused { .. } | TransportError::Timeout { .. })
        ),
        "{refused:?}"
    );
}

/// What others hear no longer must not be taken for ever as if they did.
async fn a_track_that_is_taken_back_says_so_to_its_sender(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let room = fresh("revoked");
    let alice = server.join(transport, "alice", &room).await;
    let mut bob = server.join(transport, "bob", &room).await;
    let track = alice
        .room
        .publish_audio(&voice(50))
        .await
        .expect("published");
    subscribed(&mut bob, "alice").await;
    let listener = ParticipantPermission {
        can_subscribe: true,
        can_publish_data: true,
        ..ParticipantPermission::default()
    };
    server.permit(&room, "alice", listener).await;
    event(&mut bob.events, "unpublishing", |e| match e {
        RoomEvent::TrackUnpublished { .. } => Some(()),
        _ => None,
    })
    .await;
    let speaking = async {
        for nth in 0.. {
            if let Err(error) = track.capture(&tone(nth, 440.0, 8_000.0)).await {
                return error;
            }
        }
        unreachable!("the track never ends")
    };
    let error = timeout(SOON, speaking).await.expect("an error in time");
    assert!(error.to_string().contains("took the track back"), "{error}");
    assert!(alice.room.local_participant().tracks.is_empty());
    // The room goes on.
    data_arrives(&alice, &mut bob).await;
}

/// A participant that may hear nothing for a while hears again afterwards.
async fn a_right_to_hear_comes_and_goes(transport: &dyn RoomTransport) {
    let server = Server::start().await;
    let room = fresh("regained");
    let mut alice = server.join(transport, "alice", &room).await;
    let bob = server.join(transport, "bob", &room).await;
    let _speaker = Speaker::voice_of(&bob).await;
    hears(&mut alice, "bob").await;
    let all = ParticipantPermission {
        can_subscribe: true,
        can_publish: true,
        can_publish_data: true,
        can_update_metadata: true,
        ..ParticipantPermission::default()
    };
    let deaf = ParticipantPermission {
        can_subscribe: false,
        ..all.clone()
    };
    server.permit(&room, "alice", deaf).await;
    event(&mut alice.events, "unsubscription", |e| match e {
        RoomEvent::TrackUnsubscribed { .. } => Some(()),
        _ => None,
    })
    .await;
    sleep(Duration::from_millis(200)).await;
    server.permit(&room, "alice", all).await;
    hears(&mut alice, "bob").await;
}

on_each_transport! {
    one_who_may_not_hear_joins_and_speaks,
    one_who_may_not_speak_joins_and_hears,
}

/// LiveKit's library does not say that a track is heard no longer.
#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_hear_that_comes_back_is_used() {
    let transport = rooms::native("a right to hear").expect("it is built in");
    a_right_to_hear_comes_and_goes(&transport).await;
}

/// LiveKit's library goes on taking audio that nobody hears.
#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_the_server_takes_back_takes_no_more_audio() {
    let transport = rooms::native("a track that the server takes back").expect("it is built in");
    a_track_that_is_taken_back_says_so_to_its_sender(&transport).await;
}
