//! The official Python SDK as the clients: two people in a room, with audio and data.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use listenkit_test_server::{Faults, Options, RoomView, TestServer};
use tokio::process::Command;

/// The script takes ten seconds on a quiet machine; it has deadlines of its own for each step.
const DEADLINE: Duration = Duration::from_secs(120);

/// A Python that has the SDK: `LIVEKIT_PYTHON`, or the one on the path.
fn python() -> Option<PathBuf> {
    let candidates = [
        std::env::var_os("LIVEKIT_PYTHON").map(PathBuf::from),
        Some("python3".into()),
    ];
    let has_sdk = |python: &PathBuf| {
        let check = ["-c", "import numpy, livekit.rtc"];
        std::process::Command::new(python)
            .args(check)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    candidates.into_iter().flatten().find(has_sdk)
}

async fn run(script: &str, server: &TestServer, arguments: &[String]) {
    run_at(script, &server.url(), arguments).await;
}

async fn run_at(script: &str, url: &str, arguments: &[String]) {
    let Some(python) = python() else {
        println!(
            "skipped: {script} needs a Python with the packages livekit and numpy (set LIVEKIT_PYTHON)"
        );
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/python")
        .join(script);
    let child = Command::new(python)
        .arg(script)
        .arg(url)
        .args(arguments)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(DEADLINE, child)
        .await
        .expect("the script ends")
        .expect("the script runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

#[tokio::test]
async fn two_people_hear_read_and_see_each_other() {
    let server = TestServer::start(Options::default()).await.expect("starts");
    let tokens = ["alice", "bob", "bob"].map(|who| server.token(who, "kitchen"));
    run("two_people.py", &server, &tokens).await;
}

#[tokio::test]
async fn clients_live_through_what_tests_break() {
    let mut server = TestServer::start(Options::default()).await.expect("starts");
    if python().is_none() {
        return run("faults.py", &server, &[]).await;
    }
    let tokens = ["alice", "bob"].map(|who| server.token(who, "kitchen"));
    let url = server.url();
    let script = tokio::spawn(async move { run_at("faults.py", &url, &tokens).await });

    wait_until_bob_hears(&server, 50).await;
    let before = server
        .room("kitchen")
        .and_then(|r| r.participant("bob").cloned())
        .expect("bob");

    // His signalling is cut: he resumes, as the same participant, and audio goes on.
    server.cut_signal("kitchen", "bob").await;
    wait_until_bob_hears(&server, heard(&server) + 200).await;
    let after = server
        .room("kitchen")
        .and_then(|r| r.participant("bob").cloned())
        .expect("bob");
    assert_eq!(after.sid, before.sid, "resumed, not joined anew");

    // Every packet is lost, then every packet is late: he hears nothing but what was on its way, and then again.
    let lose_all = |faults: &Faults, on| faults.set_loss(if on { 1.0 } else { 0.0 });
    let delay_all =
        |faults: &Faults, on| faults.set_delay(Duration::from_secs(if on { 3600 } else { 0 }));
    for set in [lose_all, delay_all] {
        set(server.faults(), true);
        // What is buffered in the client, and a decoder's concealment, last less than a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let at_first = heard(&server);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let later = heard(&server);
        assert!(
            later < at_first + 50,
            "200 frames would have come in two seconds; {at_first} then {later}"
        );
        set(server.faults(), false);
        wait_until_bob_hears(&server, later + 100).await;
    }

    // The server dies: everybody joins anew once it is back.
    server.kill().await;
    server.restart().await.expect("starts again");
    wait_until_bob_hears(&server, 1).await;
    let after = server
        .room("kitchen")
        .and_then(|r| r.participant("bob").cloned())
        .expect("bob");
    assert_ne!(after.sid, before.sid);

    server.remove_participant("kitchen", "alice").await;
    script.await.expect("the script was content");
}

/// Waits until bob has said that he heard so many loud frames of 10 ms, and both hear each other.
async fn wait_until_bob_hears(server: &TestServer, frames: u32) {
    let hears = |room: &RoomView| {
        room.hears("bob", "alice") && room.hears("alice", "bob") && heard_in(room) >= frames
    };
    server
        .wait_for_room("kitchen", "bob to hear alice", DEADLINE, hears)
        .await
        .expect("he hears");
}

fn heard(server: &TestServer) -> u32 {
    server
        .room("kitchen")
        .map(|room| heard_in(&room))
        .unwrap_or_default()
}

fn heard_in(room: &RoomView) -> u32 {
    room.participant("bob")
        .and_then(|bob| bob.attributes.get("heard")?.parse().ok())
        .unwrap_or_default()
}
