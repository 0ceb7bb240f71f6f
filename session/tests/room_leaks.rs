//! What the library gives is given back. One test in a program of its own, because the count is of the whole process.

#[path = "common/rooms.rs"]
mod rooms;

use std::time::Duration;

use listenkit_livekit_ffi::Handle;
use listenkit_session::AudioFrame;
use listenkit_session::transport::{
    DataOptions, PublishOptions, RoomEvent, TextOptions, TrackSource,
};
use rooms::{SOON, Server, event, ffi, fresh};

#[tokio::test(flavor = "multi_thread")]
async fn no_handle_is_left_after_a_room() {
    let Some(transport) = ffi("counting handles") else {
        return;
    };
    assert_eq!(Handle::live(), 0);
    let server = Server::start().await;
    for dropped in [false, true] {
        let room = fresh("leak");
        let mut alice = server.join(&transport, "alice", &room).await;
        let mut bob = server.join(&transport, "bob", &room).await;
        let voice = PublishOptions {
            name: "voice".to_owned(),
            sample_rate: 24_000,
            channels: 1,
            source: TrackSource::Microphone,
            queue: Duration::from_millis(50),
        };
        let track = alice.room.publish_audio(&voice).await.expect("published");
        let sid = event(&mut bob.events, "subscription", |e| match e {
            RoomEvent::TrackSubscribed { track, .. } => Some(track.sid),
            _ => None,
        })
        .await;
        let mut frames = bob.room.open_audio(&sid, 16_000, 1).await.expect("heard");
        let unread = bob.room.open_audio(&sid, 16_000, 1).await.expect("heard");
        drop(unread);
        for _ in 0..20 {
            track
                .capture(&AudioFrame::new(vec![100i16; 240], 24_000, 1).expect("a good format"))
                .await
                .expect("taken");
        }
        tokio::time::timeout(SOON, frames.recv())
            .await
            .expect("in time")
            .expect("a frame");
        bob.room
            .publish_data(b"data", &DataOptions::default())
            .await
            .expect("sent");
        event(&mut alice.events, "data", |e| {
            matches!(e, RoomEvent::Data(_)).then_some(())
        })
        .await;
        bob.room
            .send_text("text", &TextOptions::default())
            .await
            .expect("sent");
        event(&mut alice.events, "text", |e| {
            matches!(e, RoomEvent::Text(_)).then_some(())
        })
        .await;
        let writer = alice
            .room
            .stream_text(&TextOptions::default())
            .await
            .expect("opened");
        assert!(Handle::live() > 6, "rooms, participants, tracks");
        if !dropped {
            alice.room.close().await;
            bob.room.close().await;
        }
        drop((alice, bob, track, frames, writer));
        let gone = async {
            while Handle::live() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let all = tokio::time::timeout(SOON, gone).await;
        assert!(
            all.is_ok(),
            "{} handles are left (dropped: {dropped})",
            Handle::live()
        );
    }
}
