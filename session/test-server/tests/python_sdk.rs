//! The official Python SDK as the clients: two people in a room, with audio and data.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use listenkit_test_server::{Options, TestServer};
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
        .arg(server.url())
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
async fn clients_come_back_after_faults() {
    let server = TestServer::start(Options::default()).await.expect("starts");
    let tokens = ["alice", "bob"].map(|who| server.token(who, "kitchen"));
    let script = run("faults.py", &server, &tokens);
    let faults = async {
        if python().is_none() {
            return;
        }
        let both = |room: &listenkit_test_server::RoomView| {
            room.hears("bob", "alice") && room.hears("alice", "bob")
        };
        server
            .wait_for_room("kitchen", "both hear", DEADLINE, both)
            .await
            .expect("both hear");
        let before = server
            .room("kitchen")
            .and_then(|r| r.participant("bob").cloned())
            .expect("bob");
        server.cut_signal("kitchen", "bob").await;
        let renamed = |room: &listenkit_test_server::RoomView| {
            room.participant("bob")
                .is_some_and(|p| p.metadata == "back")
        };
        let room = server
            .wait_for_room("kitchen", "bob to be back", DEADLINE, renamed)
            .await
            .expect("bob is back");
        assert_eq!(
            room.participant("bob").expect("bob").sid,
            before.sid,
            "resumed, not joined anew"
        );
    };
    tokio::join!(script, faults);
}
