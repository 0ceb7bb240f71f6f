//! What every transport makes of a cut between it and the server's signalling, whatever the server: the double, or a real one that the environment names.

#[macro_use]
#[path = "common/rooms.rs"]
mod rooms;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use listenkit_session::transport::native::NativeTransport;
use listenkit_session::transport::{Connection, DataOptions, RoomEvent, RoomTransport};
use rooms::{RATE, SOON, Server, Speaker, amplitude_at, arrived, event, fresh, subscribed};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// A way to the server that can be cut.
struct Way {
    url: String,
    cuts: watch::Sender<u32>,
    closed: Arc<AtomicBool>,
}

impl Way {
    async fn to(url: &str) -> Self {
        let server = url.trim_start_matches("ws://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        let (cuts, cut) = watch::channel(0);
        let closed = Arc::new(AtomicBool::new(false));
        let is_closed = Arc::clone(&closed);
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                if is_closed.load(Ordering::Relaxed) {
                    continue;
                }
                let (server, mut cut) = (server.clone(), cut.clone());
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut there) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { url, cuts, closed }
    }

    /// Cuts what is open.
    fn cut(&self) {
        self.cuts.send_modify(|n| *n += 1);
    }

    /// Lets nothing through, or everything again.
    fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::Relaxed);
        if closed {
            self.cut();
        }
    }
}

async fn happens(connection: &mut Connection, what: &str, limit: Duration) -> Duration {
    let begun = Instant::now();
    let search = async {
        loop {
            match connection.events.recv().await {
                Some(RoomEvent::Reconnecting) if what == "reconnecting" => return,
                Some(RoomEvent::Reconnected) if what == "reconnected" => return,
                Some(RoomEvent::Disconnected(reason)) => panic!("no {what}, but {reason:?}"),
                Some(_) => {}
                None => panic!("no {what}, and the events ended"),
            }
        }
    };
    timeout(limit, search)
        .await
        .unwrap_or_else(|_| panic!("no {what} within {limit:?}"));
    begun.elapsed()
}

/// The tone is heard at this moment: half a second of it.
async fn hears(bob: &mut Connection, sid: &str) {
    let mut frames = bob.room.open_audio(sid, 16_000, 1).await.expect("heard");
    let search = async {
        loop {
            let mut samples: Vec<i16> = Vec::new();
            while samples.len() < 8_000 {
                samples.extend(frames.recv().await.expect("the track goes on").samples());
            }
            if (amplitude_at(&samples, 16_000, 440.0) - 8_000.0).abs() < 1_200.0 {
                return;
            }
        }
    };
    timeout(SOON, search).await.expect("the tone is heard");
}

async fn says(from: &Connection, to: &mut Connection, what: &str) {
    from.room
        .publish_data(what.as_bytes(), &DataOptions::default())
        .await
        .expect("sent");
    event(&mut to.events, "data", |e| match e {
        RoomEvent::Data(packet) if packet.payload == what.as_bytes() => Some(()),
        _ => None,
    })
    .await;
}

async fn both_go_on_after_a_cut(transport: &dyn RoomTransport) {
    let mut server = Server::start().await;
    let way = Way::to(&server.url).await;
    server.url = way.url.clone();
    assert_eq!(RATE, 48_000);
    let room = fresh("way");
    let mut alice = server.join(transport, "alice", &room).await;
    let mut bob = server.join(transport, "bob", &room).await;
    arrived(&mut alice, "bob").await;
    arrived(&mut bob, "alice").await;
    let speaker = Speaker::voice_of(&alice).await;
    let sid = subscribed(&mut bob, "alice").await;
    hears(&mut bob, &sid).await;
    let before = alice.room.local_participant().sid;
    for nth in 0..3 {
        let cut = Instant::now();
        way.cut();
        tokio::join!(
            happens(&mut alice, "reconnecting", SOON),
            happens(&mut bob, "reconnecting", SOON)
        );
        tokio::join!(
            happens(&mut alice, "reconnected", SOON),
            happens(&mut bob, "reconnected", SOON)
        );
        println!("back after {:?}", cut.elapsed());
        hears(&mut bob, &sid).await;
        says(&alice, &mut bob, &format!("to bob {nth}")).await;
        says(&bob, &mut alice, &format!("to alice {nth}")).await;
    }
    assert_eq!(alice.room.local_participant().sid, before, "it was resumed");
    // What needs the signalling.
    drop(speaker);
    event(&mut bob.events, "unpublishing", |e| {
        matches!(e, RoomEvent::TrackUnpublished { .. }).then_some(())
    })
    .await;
    let _speaker = Speaker::voice_of(&bob).await;
    let sid = subscribed(&mut alice, "bob").await;
    hears(&mut alice, &sid).await;
}

/// LiveKit's library gives up after 19.5 s (measured).
#[tokio::test]
async fn both_come_back_after_a_long_cut() {
    let transport = &NativeTransport::new();
    let mut server = Server::start().await;
    let way = Way::to(&server.url).await;
    server.url = way.url.clone();
    let room = fresh("long-way");
    let mut alice = server.join(transport, "alice", &room).await;
    let mut bob = server.join(transport, "bob", &room).await;
    arrived(&mut alice, "bob").await;
    arrived(&mut bob, "alice").await;
    let _speaker = Speaker::voice_of(&alice).await;
    let sid = subscribed(&mut bob, "alice").await;
    hears(&mut bob, &sid).await;
    way.close(true);
    happens(&mut alice, "reconnecting", SOON).await;
    happens(&mut bob, "reconnecting", SOON).await;
    // Longer than a server keeps a place: 20 s by default.
    sleep(Duration::from_secs(30)).await;
    way.close(false);
    let back = Instant::now();
    happens(&mut alice, "reconnected", 2 * SOON).await;
    happens(&mut bob, "reconnected", 2 * SOON).await;
    println!("back after {:?}", back.elapsed());
    let track = async {
        loop {
            let seen = bob.room.participant("alice");
            if let Some(track) = seen.and_then(|p| p.tracks.into_iter().find(|t| t.subscribed))
                && track.sid != sid
            {
                return track.sid;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let sid = timeout(SOON, track).await.expect("her track is back");
    hears(&mut bob, &sid).await;
    says(&alice, &mut bob, "to bob").await;
    says(&bob, &mut alice, "to alice").await;
}

on_each_transport! {
    both_go_on_after_a_cut,
}
