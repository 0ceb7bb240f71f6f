//! What the transport costs: opening the library, memory, an idle room, and the way of audio through a server on loopback.
//!
//! Figures, not a check: `cargo test --release -p listenkit-session --test room_figures -- --ignored --nocapture
//! of_the_library`, and with `--features native` and `of_the_native_transport`; each in a process of its own. `LIVEKIT_URL=... of_a_listener` counts what one
//! participant costs that hears another, which speaks in a process of its own.

#[path = "common/rooms.rs"]
mod rooms;

use std::time::{Duration, Instant};

use listenkit_session::AudioFrame;
use listenkit_session::transport::{
    AudioTrack, Connection, PublishOptions, RoomEvent, RoomTransport, TrackSource,
};
use rooms::{Server, event, fresh};
use tokio::sync::mpsc::Receiver;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Resident memory of this process, in MB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kb: f64 = line
        .and_then(|l| l.split_whitespace().next())
        .and_then(|v| v.parse().ok())
        .unwrap_or(f64::NAN);
    kb / 1024.0
}

/// Processor time of this process so far: user and system, in ticks of 10 ms.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    // After the name come the state, ppid, ...; utime and stime are the 12th and 13th.
    let tick = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
    let ticks = tick(11).unwrap_or(0) + tick(12).unwrap_or(0);
    Duration::from_millis(ticks * 10)
}

async fn busy(what: &str, seconds: u64) {
    let before = processor();
    sleep(Duration::from_secs(seconds)).await;
    let used = processor() - before;
    println!(
        "{what}: {:.2} % of a core",
        used.as_secs_f64() * 100.0 / seconds as f64
    );
}

async fn subscription(connection: &mut Connection) -> String {
    event(&mut connection.events, "subscription", |e| match e {
        RoomEvent::TrackSubscribed { track, .. } => Some(track.sid),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures: takes a minute"]
async fn of_the_library() {
    println!("memory at the start: {:.1} MB", resident());
    let begun = Instant::now();
    let Some(transport) = rooms::ffi("figures") else {
        return;
    };
    println!(
        "library {} opened and started in {:.1} ms, then {:.1} MB",
        transport.version(),
        begun.elapsed().as_secs_f64() * 1e3,
        resident()
    );
    figures(&transport).await;
}

#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures: takes a minute"]
async fn of_the_native_transport() {
    println!("memory at the start: {:.1} MB", resident());
    if let Some(transport) = rooms::native("figures") {
        figures(&transport).await;
    }
}

/// The other participant of [`of_a_listener`], in a process of its own; ends when that one leaves.
#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "no test of its own"]
async fn one_who_speaks() {
    let Ok(room) = std::env::var("LISTENKIT_FIGURES_ROOM") else {
        return;
    };
    let Some(transport) = rooms::native("figures") else {
        return;
    };
    let server = Server::start().await;
    let mut alice = server.join(&transport, "alice", &room).await;
    let options = PublishOptions {
        name: "voice".to_owned(),
        sample_rate: 48_000,
        channels: 1,
        source: TrackSource::Microphone,
        queue: Duration::from_millis(100),
    };
    let track = alice.room.publish_audio(&options).await.expect("published");
    // Speaks, then says nothing, as told by the listener.
    let mut speaks = false;
    loop {
        let sample = || fastrand::i16(-3_000..3_000);
        let noise: Vec<i16> = (0..480).map(|_| sample()).collect();
        let frame = AudioFrame::new(noise, 48_000, 1).expect("a good format");
        tokio::select! {
            event = alice.events.recv() => match event {
                Some(RoomEvent::Data(_)) => speaks = !speaks,
                Some(RoomEvent::ParticipantDisconnected { .. }) | None => return,
                Some(_) => {}
            },
            sent = track.capture(&frame), if speaks => sent.expect("sent"),
        }
    }
}

/// What a participant costs that hears one voice: with nothing said, spoken to, and speaking itself.
#[cfg(feature = "native")]
#[tokio::test(flavor = "current_thread")]
#[ignore = "figures: takes two minutes, and needs a server in another process"]
async fn of_a_listener() {
    if std::env::var("LIVEKIT_URL").is_err() {
        println!("skipped: needs a server in another process, as LIVEKIT_URL");
        return;
    }
    let room = fresh("listener");
    let mut speaker = tokio::process::Command::new(std::env::current_exe().expect("it runs"))
        .args(["--ignored", "--exact", "one_who_speaks"])
        .env("LISTENKIT_FIGURES_ROOM", &room)
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let server = Server::start().await;
    let transport = match std::env::var("LISTENKIT_TRANSPORT").as_deref() {
        Ok("ffi") => rooms::ffi("figures").map(|t| Box::new(t) as Box<dyn RoomTransport>),
        _ => rooms::native("figures").map(|t| Box::new(t) as Box<dyn RoomTransport>),
    };
    let Some(transport) = transport else { return };
    let mut bob = server.join(&*transport, "bob", &room).await;
    let sid = subscription(&mut bob).await;
    busy("joined, one silent track that nobody reads", 15).await;
    let mut frames = bob.room.open_audio(&sid, 16_000, 1).await.expect("heard");
    let reading = tokio::spawn(async move {
        let mut count = 0u32;
        while frames.recv().await.is_some() {
            count += 1;
        }
        count
    });
    busy("one reader, nothing said yet", 15).await;
    let reliable = listenkit_session::transport::DataOptions::default();
    let turn = || bob.room.publish_data(b"turn", &reliable);
    turn().await.expect("sent");
    sleep(Duration::from_secs(2)).await;
    busy("one reader at 16 kHz of 50 packets a second", 30).await;
    let age = bob.room.audio_age(&sid).await.expect("heard");
    println!("age of the audio: {age:?}");
    turn().await.expect("sent");
    sleep(Duration::from_secs(2)).await;
    busy("one reader of a pause", 15).await;
    let options = PublishOptions {
        name: "voice".to_owned(),
        sample_rate: 24_000,
        channels: 1,
        source: TrackSource::Microphone,
        queue: Duration::from_millis(400),
    };
    let track = bob.room.publish_audio(&options).await.expect("published");
    busy("the same, with a track of ours in a pause", 15).await;
    let talking = tokio::spawn(async move {
        loop {
            let noise: Vec<i16> = (0..480).map(|_| fastrand::i16(-3_000..3_000)).collect();
            let frame = AudioFrame::new(noise, 24_000, 1).expect("a good format");
            if track.capture(&frame).await.is_err() {
                return;
            }
        }
    });
    busy("the same, and we speak (24 kHz)", 15).await;
    bob.room.close().await;
    talking.await.expect("it ends");
    println!("{} frames read", reading.await.expect("it ends"));
    let _ = speaker.wait().await;
}

async fn figures(transport: &dyn RoomTransport) {
    // In another process, so that its memory and its work are not counted: set LIVEKIT_URL or LIVEKIT_SERVER_BIN.
    let server = Server::start().await;
    println!("server {}: {:.1} MB", server.url, resident());
    let room = fresh("figures");
    let begun = Instant::now();
    let alice = server.join(transport, "alice", &room).await;
    println!(
        "joined in {:.0} ms, then {:.1} MB",
        begun.elapsed().as_secs_f64() * 1e3,
        resident()
    );
    let mut bob = server.join(transport, "bob", &room).await;
    println!("second room: {:.1} MB", resident());
    busy("two rooms without tracks", 5).await;

    for (queue, frame) in [
        (0, 10),
        (0, 20),
        (10, 10),
        (20, 10),
        (50, 10),
        (50, 20),
        (100, 10),
        (100, 20),
        (200, 20),
        (1000, 20),
    ] {
        let options = PublishOptions {
            name: "voice".to_owned(),
            sample_rate: 48_000,
            channels: 1,
            source: TrackSource::Microphone,
            queue: Duration::from_millis(queue),
        };
        let track = alice.room.publish_audio(&options).await.expect("published");
        let sid = subscription(&mut bob).await;
        let frames = bob.room.open_audio(&sid, 16_000, 1).await.expect("heard");
        if queue == 50 && frame == 10 {
            busy("two rooms, one track that is silent and listened to", 10).await;
        }
        let (delays, gaps) = way(track.as_ref(), frames, frame, queue == 0).await;
        println!(
            "queue {queue:>4} ms, frames {frame} ms: capture to frame {:.0} / {:.0} / {:.0} ms (least, median, most of {}), {gaps} gaps in the steady tone",
            delays[0],
            delays[delays.len() / 2],
            delays[delays.len() - 1],
            delays.len()
        );
        drop(track);
        sleep(Duration::from_millis(300)).await;
    }
    alice.room.close().await;
    bob.room.close().await;
    println!("after closing: {:.1} MB", resident());
}

/// The time from the capture of the first loud frame to the first loud frame received, in ms, sorted; and how often a steady tone was heard to break.
async fn way(
    track: &dyn AudioTrack,
    mut frames: Receiver<AudioFrame>,
    frame_ms: u64,
    keeps_time: bool,
) -> (Vec<f64>, usize) {
    let len = 48 * frame_ms as usize;
    let loud: Vec<i16> = (0..len)
        .map(|i| if i / 24 % 2 == 0 { 8_000 } else { -8_000 })
        .collect();
    let loud = AudioFrame::new(loud, 48_000, 1).expect("a good format");
    let silence = AudioFrame::new(vec![0i16; len], 48_000, 1).expect("a good format");
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let listening = tokio::spawn(async move {
        let (mut onsets, mut gaps, mut quiet_for) = (Vec::new(), 0, 100);
        loop {
            let frame = tokio::select! {
                frame = frames.recv() => frame,
                _ = &mut stopped => None,
            };
            let Some(frame) = frame else {
                return (onsets, gaps);
            };
            let is_loud = frame.samples().iter().any(|s| s.unsigned_abs() > 2_000);
            if is_loud && quiet_for >= 20 {
                onsets.push(Instant::now());
            } else if is_loud && quiet_for > 0 {
                gaps += 1;
            }
            quiet_for = if is_loud { 0 } else { quiet_for + 1 };
        }
    });
    let mut begun = Vec::new();
    for _ in 0..12 {
        // Utterances of 400 ms after pauses, sent as by a playout with a short lead: paced by a clock.
        let mut clock = interval(Duration::from_millis(frame_ms));
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        begun.push(Instant::now());
        for _ in 0..400 / frame_ms {
            clock.tick().await;
            if track.capture(&loud).await.is_err() {
                break;
            }
        }
        let pause = 600 + fastrand::u64(0..20);
        if keeps_time {
            // Without a queue nobody else sends silence, and a receiver takes a pause of the clock for a delay.
            for _ in 0..pause / frame_ms {
                clock.tick().await;
                if track.capture(&silence).await.is_err() {
                    break;
                }
            }
        } else {
            sleep(Duration::from_millis(pause)).await;
        }
    }
    let _ = stop.send(());
    let (onsets, gaps) = listening.await.expect("it ends");
    let mut delays: Vec<f64> = begun
        .iter()
        .filter_map(|b| {
            onsets
                .iter()
                .find(|o| *o > b)
                .map(|o| (*o - *b).as_secs_f64() * 1e3)
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    if delays.is_empty() {
        delays.push(f64::NAN);
    }
    (delays, gaps)
}
