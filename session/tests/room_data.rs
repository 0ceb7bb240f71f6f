//! Data, texts and procedure calls between two participants, each on a transport of its own: what one says the other understands.

#[path = "common/rooms.rs"]
mod rooms;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use listenkit_session::transport::{
    Connection, DataOptions, DataPacket, RoomEvent, RoomTransport, RpcError, TextMessage,
    TextOptions, TransportError,
};
use rooms::{SOON, Server, arrived, event, fresh};

fn attributes(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

async fn packet(connection: &mut Connection) -> DataPacket {
    event(&mut connection.events, "data", |e| match e {
        RoomEvent::Data(packet) => Some(packet),
        _ => None,
    })
    .await
}

async fn text(connection: &mut Connection) -> TextMessage {
    event(&mut connection.events, "text", |e| match e {
        RoomEvent::Text(message) => Some(message),
        _ => None,
    })
    .await
}

/// What one says in data packets.
async fn data(from: &Connection, to: &mut Connection) {
    let receiver = to.room.local_participant().identity;
    let sender = from.room.local_participant().identity;
    let cases: [(&[u8], Option<&str>, bool, bool); 6] = [
        (&[0, 159, 146, 150], Some("binary"), true, true),
        (b"", Some("empty"), true, true),
        (b"no topic", None, true, false),
        (b"lossy", Some("lossy"), false, true),
        (&[7; 14_000], Some("large"), true, true),
        (&[8; 60_000], Some("largest"), true, true),
    ];
    for (payload, topic, reliable, is_addressed) in cases {
        let options = DataOptions {
            topic: topic.map(str::to_owned),
            reliable,
            to: if is_addressed {
                vec![receiver.clone()]
            } else {
                Vec::new()
            },
        };
        from.room
            .publish_data(payload, &options)
            .await
            .expect("sent");
        let got = packet(to).await;
        assert_eq!(got.payload, payload, "{topic:?}");
        // No topic and an empty one are the same to some clients.
        assert_eq!(got.topic.filter(|t| !t.is_empty()).as_deref(), topic);
        assert_eq!(got.identity.as_deref(), Some(sender.as_str()));
    }
    // What data channels carry is 64 000 bytes, the packet around the payload counted.
    let refused = from
        .room
        .publish_data(&[9; 64_000], &DataOptions::default())
        .await;
    assert!(matches!(refused, Err(TransportError::Refused { .. })));
}

/// What one says in texts.
async fn texts(from: &Connection, to: &mut Connection) {
    let sender = from.room.local_participant().identity;
    // Characters of one to four bytes, so that borders of chunks fall into some: 100 kB are seven chunks.
    let long: String = "aß你🎧".chars().cycle().take(40_000).collect();
    assert_eq!(long.len(), 100_000);
    // Noise does not get shorter by being compressed.
    let noise: String = {
        let mut random = fastrand::Rng::with_seed(3);
        std::iter::repeat_with(|| random.char(..))
            .take(20_000)
            .collect()
    };
    for (nth, said) in ["", "grüß dich, 你好", &long, &noise]
        .into_iter()
        .enumerate()
    {
        let options = TextOptions {
            topic: "lk.chat".to_owned(),
            attributes: attributes(&[("nth", &nth.to_string()), ("ö", "ß")]),
            to: if nth % 2 == 1 {
                vec![to.room.local_participant().identity]
            } else {
                Vec::new()
            },
            ..TextOptions::default()
        };
        let id = from.room.send_text(said, &options).await.expect("sent");
        let got = text(to).await;
        assert!(got.text == said, "text {nth} of {} bytes", said.len());
        assert_eq!((got.id, &got.identity), (id, &sender));
        assert_eq!(
            (got.topic, got.attributes),
            (options.topic, options.attributes)
        );
    }
    // In pieces, two at once.
    let open = |id: &str| {
        let options = TextOptions {
            topic: "lk.transcription".to_owned(),
            attributes: attributes(&[("final", "false"), ("id", id)]),
            id: Some(id.to_owned()),
            ..TextOptions::default()
        };
        let room = from.room.clone();
        async move { room.stream_text(&options).await.expect("opened") }
    };
    let (mut one, mut two) = (open("one").await, open("two").await);
    for piece in ["grüß ", "", "dich ", &long] {
        one.write(piece).await.expect("written");
        two.write("你").await.expect("written");
    }
    two.close(HashMap::new()).await.expect("closed");
    let got = text(to).await;
    assert_eq!((got.id.as_str(), got.text.as_str()), ("two", "你你你你"));
    assert_eq!(
        got.attributes,
        attributes(&[("final", "false"), ("id", "two")])
    );
    one.close(attributes(&[("final", "true"), ("more", "1")]))
        .await
        .expect("closed");
    let got = text(to).await;
    assert_eq!(got.id, "one");
    assert!(got.text == format!("grüß dich {long}"));
    assert_eq!(
        got.attributes,
        attributes(&[("final", "true"), ("id", "one"), ("more", "1")])
    );
}

/// Answers calls as their payloads ask.
async fn answer(mut connection: Connection) {
    while let Some(e) = connection.events.recv().await {
        let RoomEvent::Rpc(call) = e else { continue };
        let result = match call.payload.as_str() {
            "drop" => continue,
            "sleep" => {
                std::mem::forget(call.reply);
                continue;
            }
            "refuse" => Err(RpcError {
                code: 42,
                message: "nein, ß".to_owned(),
                data: "{\"why\": \"你好\"}".to_owned(),
            }),
            "long" => Ok("ü".repeat(20_000)),
            "timeout" => Ok(call.timeout.as_millis().to_string()),
            said => Ok(format!("{}: {said}", call.identity)),
        };
        let _ = call.reply.send(result);
    }
}

/// What one calls of the other.
async fn calls(from: &Connection, to: Connection) {
    let identity = to.room.local_participant().identity;
    let own = from.room.local_participant().identity;
    to.room.register_rpc("method").expect("registered");
    let answering = tokio::spawn(answer(to));
    let call = |method: &'static str, payload: String, timeout: Duration| {
        let (room, identity) = (from.room.clone(), identity.clone());
        async move { room.perform_rpc(&identity, method, &payload, timeout).await }
    };
    let short = Duration::from_secs(2);
    let good = |payload: &str| call("method", payload.to_owned(), SOON);
    assert_eq!(good("").await.expect("answered"), format!("{own}: "));
    assert_eq!(
        good("你好").await.expect("answered"),
        format!("{own}: 你好")
    );
    // More than fits into a packet, there and back.
    let long = "ä".repeat(20_000);
    assert!(good(&long).await.expect("answered") == format!("{own}: {long}"));
    assert_eq!(good("long").await.expect("answered").len(), 40_000);
    // What the other side is given is what is left of the caller's patience: LiveKit's library takes 7 s off for the way there and back.
    let given: u64 = good("timeout")
        .await
        .expect("answered")
        .parse()
        .expect("a number");
    assert_eq!(u128::from(given), SOON.as_millis() - 7_000);
    let refused = good("refuse").await.expect_err("refused");
    assert_eq!((refused.code, refused.message.as_str()), (42, "nein, ß"));
    assert_eq!(refused.data, "{\"why\": \"你好\"}");
    assert_eq!(good("drop").await.expect_err("dropped").code, 1500);
    let unknown = call("unknown", String::new(), SOON).await;
    assert_eq!(unknown.expect_err("not registered").code, 1400);
    let begun = Instant::now();
    let late = call("method", "sleep".to_owned(), short).await;
    assert_eq!(late.expect_err("too late").code, 1502);
    assert!(
        begun.elapsed() < short + Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    // Many at once find their answers.
    let many = (0..50).map(|n| async move { (n, good(&format!("call {n}")).await) });
    for (n, answer) in futures_util::future::join_all(many).await {
        assert_eq!(answer.expect("answered"), format!("{own}: call {n}"));
    }
    answering.abort();
}

async fn joined(
    one: &dyn RoomTransport,
    two: &dyn RoomTransport,
    name: &str,
) -> (Server, Connection, Connection) {
    let server = Server::start().await;
    let room = fresh(name);
    let mut alice = server.join(one, "alice", &room).await;
    let mut bob = server.join(two, "bob", &room).await;
    arrived(&mut alice, "bob").await;
    arrived(&mut bob, "alice").await;
    (server, alice, bob)
}

async fn all(one: &dyn RoomTransport, two: &dyn RoomTransport) {
    let (_server, mut alice, mut bob) = joined(one, two, "data").await;
    data(&alice, &mut bob).await;
    data(&bob, &mut alice).await;
    texts(&alice, &mut bob).await;
    texts(&bob, &mut alice).await;
    calls(&alice, bob).await;
    let (_server, alice, bob) = joined(one, two, "calls").await;
    calls(&bob, alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_understands_itself() {
    if let Some(transport) = rooms::ffi("data") {
        all(&transport, &transport).await;
    }
}

#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
async fn the_native_transport_understands_itself() {
    if let Some(transport) = rooms::native("data") {
        all(&transport, &transport).await;
    }
}

#[cfg(feature = "native")]
#[tokio::test(flavor = "multi_thread")]
async fn the_native_transport_and_the_library_understand_each_other() {
    if let (Some(library), Some(native)) = (rooms::ffi("data"), rooms::native("data")) {
        all(&library, &native).await;
    }
}
