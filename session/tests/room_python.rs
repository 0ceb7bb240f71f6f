//! Data, texts and procedure calls with LiveKit's own Python SDK at the other end, for every transport.

#[macro_use]
#[path = "common/rooms.rs"]
mod rooms;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use listenkit_session::transport::{
    Connection, DataOptions, Room, RoomEvent, RoomTransport, RpcError, TextMessage, TextOptions,
};
use rooms::{SOON, Server, event, fresh};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A Python that has the SDK: `LIVEKIT_PYTHON`, or the one on the path.
fn python() -> Option<PathBuf> {
    let candidates = [
        std::env::var_os("LIVEKIT_PYTHON").map(PathBuf::from),
        Some("python3".into()),
    ];
    let has_sdk = |python: &PathBuf| {
        std::process::Command::new(python)
            .args(["-c", "import livekit.rtc"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    candidates.into_iter().flatten().find(has_sdk)
}

fn start(python: &Path, server: &Server, room: &str) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/data_peer.py");
    Command::new(python)
        .arg(script)
        .args([&server.url, &server.token("python", room)])
        .kill_on_drop(true)
        .spawn()
        .expect("it starts")
}

fn to_python(topic: &str, attributes: &[(&str, &str)]) -> TextOptions {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    TextOptions {
        topic: topic.to_owned(),
        attributes: attributes.iter().map(owned).collect(),
        to: vec!["python".to_owned()],
        ..TextOptions::default()
    }
}

async fn text(connection: &mut Connection) -> TextMessage {
    let message = event(&mut connection.events, "text", |e| match e {
        RoomEvent::Text(message) => Some(message),
        _ => None,
    })
    .await;
    assert_eq!(message.identity, "python");
    message
}

async fn data_and_texts(rust: &mut Connection) {
    for (payload, reliable) in [
        (&b"\0\xff"[..], true),
        (b"lossy", false),
        (&[9; 14_000], true),
    ] {
        let options = DataOptions {
            topic: Some("there".to_owned()),
            reliable,
            to: Vec::new(),
        };
        rust.room
            .publish_data(payload, &options)
            .await
            .expect("sent");
        let back = event(&mut rust.events, "data", |e| match e {
            RoomEvent::Data(packet) => Some(packet),
            _ => None,
        })
        .await;
        assert_eq!(back.payload, payload);
        assert_eq!(back.topic.as_deref(), Some("back there"));
        assert_eq!(back.identity.as_deref(), Some("python"));
    }

    // Characters of one to four bytes, so that borders of chunks fall into some.
    let long: String = "aß你🎧".chars().cycle().take(40_000).collect();
    assert_eq!(long.len(), 100_000);
    for said in ["", "grüß dich, 你好", &long] {
        // Once whole, once in pieces with attributes at the end.
        for is_whole in [true, false] {
            let options = to_python("there", &[("a", "1"), ("b", "1")]);
            let last = HashMap::from([("b".to_owned(), "2".to_owned())]);
            let mut attributes = options.attributes.clone();
            let id = if is_whole {
                rust.room.send_text(said, &options).await.expect("sent")
            } else {
                let mut writer = rust.room.stream_text(&options).await.expect("opened");
                let id = writer.id().to_owned();
                let middle = said.char_indices().nth(said.chars().count() / 3);
                let (one, two) = said.split_at(middle.map_or(0, |(at, _)| at));
                writer.write(one).await.expect("written");
                writer.write(two).await.expect("written");
                writer.close(last.clone()).await.expect("closed");
                attributes.extend(last);
                id
            };
            let mut whole = text(rust).await;
            let mut back = text(rust).await;
            if whole.topic == "back" {
                std::mem::swap(&mut whole, &mut back);
            }
            assert_eq!(
                (whole.topic.as_str(), back.topic.as_str()),
                ("whole", "back")
            );
            assert!(
                back.text == said && whole.text == said,
                "{} bytes",
                said.len()
            );
            assert_eq!(whole.attributes, attributes);
            attributes.insert("id".to_owned(), id);
            assert_eq!(back.attributes, attributes);
        }
    }
}

async fn calls_there(rust: &Connection) {
    let call = |method: &'static str, payload: String, timeout: Duration| {
        let room = rust.room.clone();
        async move { room.perform_rpc("python", method, &payload, timeout).await }
    };
    let long = "aß你🎧".repeat(4_000);
    for payload in ["", "grüß", &long] {
        let answer = call("reverse", payload.to_owned(), SOON).await;
        assert!(answer.expect("answered") == payload.chars().rev().collect::<String>());
    }
    let refused = call("refuse", String::new(), SOON)
        .await
        .expect_err("refused");
    assert_eq!(
        (
            refused.code,
            refused.message.as_str(),
            refused.data.as_str()
        ),
        (42, "nein, ß", "details")
    );
    let crashed = call("refuse", "crash".to_owned(), SOON).await;
    assert_eq!(crashed.expect_err("crashed").code, 1500);
    let unknown = call("unknown", String::new(), SOON).await;
    assert_eq!(unknown.expect_err("not registered").code, 1400);
    let begun = Instant::now();
    let late = call("sleep", String::new(), Duration::from_secs(2)).await;
    assert_eq!(late.expect_err("too late").code, 1502);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

async fn calls_here(rust: &mut Connection) {
    rust.room.register_rpc("ours").expect("registered");
    let long = "aß你🎧".repeat(4_000);
    for (payload, method, timeout, result) in [
        ("", "ours", "20", Ok("you said ")),
        ("grüß", "ours", "20", Ok("you said grüß")),
        (long.as_str(), "ours", "20", Ok("you said")),
        ("refuse", "ours", "20", Err(("42", "details"))),
        ("drop", "ours", "20", Err(("1500", ""))),
        ("sleep", "ours", "2", Err(("1502", ""))),
        ("x", "unknown", "20", Err(("1400", ""))),
    ] {
        let options = to_python("call", &[("method", method), ("timeout", timeout)]);
        rust.room.send_text(payload, &options).await.expect("sent");
        let mut kept = None;
        if method == "ours" {
            let call = event(&mut rust.events, "call", |e| match e {
                RoomEvent::Rpc(call) => Some(call),
                _ => None,
            })
            .await;
            assert_eq!(
                (call.identity.as_str(), call.method.as_str()),
                ("python", "ours")
            );
            assert!(call.payload == payload, "{}", call.payload);
            let said = call.payload;
            match payload {
                "drop" => drop(call.reply),
                "sleep" => kept = Some(call.reply),
                "refuse" => {
                    let error = RpcError {
                        code: 42,
                        message: "nein, ß".to_owned(),
                        data: "details".to_owned(),
                    };
                    let _ = call.reply.send(Err(error));
                }
                _ => _ = call.reply.send(Ok(format!("you said {said}"))),
            }
        }
        let called = text(rust).await;
        assert_eq!(called.topic, "called");
        match result {
            Ok(answer) => {
                assert_eq!(
                    called.attributes.get("answer").map(String::as_str),
                    Some("yes")
                );
                assert!(called.text.starts_with(answer));
                assert_eq!(called.text.len(), "you said ".len() + payload.len());
            }
            Err((code, data)) => {
                let attribute = |name| called.attributes.get(name).map(String::as_str);
                assert_eq!(
                    (attribute("code"), attribute("data")),
                    (Some(code), Some(data))
                );
            }
        }
        drop(kept);
    }
}

async fn livekits_python_understands_and_is_understood(transport: &dyn RoomTransport) {
    let Some(python) = python() else {
        println!(
            "skipped: data_peer.py needs a Python with the package livekit (set LIVEKIT_PYTHON)"
        );
        return;
    };
    let server = Server::start().await;
    let room = fresh("python");
    let mut rust = server.join(transport, "rust", &room).await;
    let mut peer = start(&python, &server, &room);
    let ready = async {
        let is_ready = |room: &dyn Room| {
            room.participant("python")
                .is_some_and(|p| p.attributes.contains_key("ready"))
        };
        while !is_ready(rust.room.as_ref()) {
            rust.events.recv().await.expect("the room goes on");
        }
    };
    timeout(SOON, ready).await.expect("the script joins");
    data_and_texts(&mut rust).await;
    calls_there(&rust).await;
    calls_here(&mut rust).await;
    rust.room.close().await;
    let status = timeout(SOON, peer.wait()).await;
    assert!(status.expect("it ends").expect("it ran").success());
}

on_each_transport! {
    livekits_python_understands_and_is_understood,
}
