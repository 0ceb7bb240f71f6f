//! Joining, and what goes over a client's WebSocket, without media.

mod support;

use std::time::{Duration, Instant};

use listenkit_test_server::proto;
use listenkit_test_server::{Options, TestServer};
use proto::DisconnectReason;
use proto::leave_request::Action;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use support::{DEADLINE, Socket, open};

async fn server() -> TestServer {
    TestServer::start(Options::default()).await.expect("starts")
}

fn leave(response: Response) -> Option<proto::LeaveRequest> {
    match response {
        Response::Leave(leave) => Some(leave),
        _ => None,
    }
}

#[tokio::test]
async fn tokens_are_refused_with_the_statuses_of_a_real_server() {
    // The statuses were read from livekit-server 1.13.5 with the same tokens.
    let server = server().await;
    let token = || server.new_token().join("alice", "kitchen");
    let minute = Duration::from_secs(60);
    let cases = [
        ("good", token().build(), None),
        (
            "expired half a minute ago: clocks differ",
            token().expired(minute / 2).build(),
            None,
        ),
        ("expired", token().expired(minute * 2).build(), Some(401)),
        (
            "another secret",
            token()
                .signed_with("another-secret-of-32-characters-or-more")
                .build(),
            Some(401),
        ),
        ("no token at all", "no token".into(), Some(401)),
        ("no grant", server.new_token().build(), Some(401)),
        (
            "an agent's grant",
            server.new_token().grants(|g| g.agent = true).build(),
            Some(401),
        ),
    ];
    for (what, token, status) in cases {
        assert_eq!(open(&server, "/rtc", &token).await.err(), status, "{what}");
    }
    server.faults().set_refuse_tokens(true);
    assert_eq!(
        open(&server, "/rtc", &token().build()).await.err(),
        Some(401)
    );
    server.faults().set_refuse_tokens(false);
    // Clients that try the newer path first fall back on this status.
    assert_eq!(
        open(&server, "/rtc/v1", &server.token("alice", "kitchen"))
            .await
            .err(),
        Some(404)
    );
}

#[tokio::test]
async fn a_join_is_answered_with_the_room_then_a_token_an_offer_and_a_candidate() {
    let server = server().await;
    let token = server
        .new_token()
        .join("alice", "kitchen")
        .name("Alice")
        .metadata("meta")
        .kind("sip");
    let token = token.attributes([("colour", "red")]).build();
    let mut alice = open(&server, "/rtc?client_protocol=2", &token)
        .await
        .expect("joins");

    let join = alice
        .until(|r| {
            if let Response::Join(join) = r {
                Some(join)
            } else {
                None
            }
        })
        .await;
    let room = join.room.expect("a room");
    assert_eq!((room.name.as_str(), &room.sid[..3]), ("kitchen", "RM_"));
    assert!(
        join.subscriber_primary && join.ping_interval > 0 && join.other_participants.is_empty()
    );
    let me = join.participant.expect("a participant");
    assert_eq!(
        (me.identity.as_str(), me.name.as_str(), me.metadata.as_str()),
        ("alice", "Alice", "meta")
    );
    assert_eq!(
        (me.kind(), me.attributes["colour"].as_str()),
        (proto::participant_info::Kind::Sip, "red")
    );

    let refreshed = alice
        .until(|r| {
            if let Response::RefreshToken(token) = r {
                Some(token)
            } else {
                None
            }
        })
        .await;
    let offer = alice
        .until(|r| {
            if let Response::Offer(offer) = r {
                Some(offer)
            } else {
                None
            }
        })
        .await;
    assert!(
        offer.sdp.contains("m=application") && !offer.sdp.contains("a=candidate"),
        "{}",
        offer.sdp
    );
    let trickle = alice
        .until(|r| {
            if let Response::Trickle(trickle) = r {
                Some(trickle)
            } else {
                None
            }
        })
        .await;
    assert_eq!(trickle.target(), proto::SignalTarget::Subscriber);
    let init: serde_json::Value = serde_json::from_str(&trickle.candidate_init).expect("JSON");
    assert!(
        init["candidate"]
            .as_str()
            .expect("a line")
            .contains(" 127.0.0.1 "),
        "{init}"
    );
    assert!(offer.sdp.contains(&format!(
        "a=mid:{}\r\n",
        init["sdpMid"].as_str().expect("a line's name")
    )));

    // The new token is good, and for the same participant: it replaces the first.
    let _second = open(&server, "/rtc", &refreshed).await.expect("joins");
    assert_eq!(
        alice.until(leave).await.reason(),
        DisconnectReason::DuplicateIdentity
    );
}

#[tokio::test]
async fn tracks_are_announced_and_muted_pings_answered() {
    let server = server().await;
    let mut alice = Socket::join(&server, "alice", "kitchen").await;
    alice
        .ask(Request::AddTrack(proto::AddTrackRequest {
            cid: "one".into(),
            name: "mic".into(),
            ..Default::default()
        }))
        .await;
    let published = alice
        .until(|r| {
            if let Response::TrackPublished(p) = r {
                Some(p)
            } else {
                None
            }
        })
        .await;
    assert_eq!(published.cid, "one");
    assert!(published.track.expect("a track").sid.starts_with("TR_"));

    alice
        .ask(Request::PingReq(proto::Ping {
            timestamp: 7,
            rtt: 0,
        }))
        .await;
    let pong = alice
        .until(|r| {
            if let Response::PongResp(pong) = r {
                Some(pong)
            } else {
                None
            }
        })
        .await;
    assert_eq!(pong.last_ping_timestamp, 7);

    // Who may not publish is told so.
    let token = server
        .new_token()
        .join("bob", "kitchen")
        .grants(|g| g.can_publish = Some(false))
        .build();
    let mut bob = open(&server, "/rtc", &token).await.expect("joins");
    bob.ask(Request::AddTrack(proto::AddTrackRequest {
        cid: "two".into(),
        ..Default::default()
    }))
    .await;
    let refusal = bob
        .until(|r| {
            if let Response::RequestResponse(r) = r {
                Some(r)
            } else {
                None
            }
        })
        .await;
    assert_eq!(
        refusal.reason(),
        proto::request_response::Reason::NotAllowed
    );
}

#[tokio::test]
async fn participants_change_themselves_if_their_token_allows_it() {
    let server = server().await;
    let update = |request_id| {
        Request::UpdateMetadata(proto::UpdateParticipantMetadata {
            metadata: "new".into(),
            attributes: [
                ("a".to_owned(), "1".to_owned()),
                ("colour".to_owned(), String::new()),
            ]
            .into(),
            request_id,
            ..Default::default()
        })
    };
    let answer = |r| {
        if let Response::RequestResponse(r) = r {
            Some(r)
        } else {
            None
        }
    };
    let token = server
        .new_token()
        .join("alice", "kitchen")
        .name("Alice")
        .attributes([("colour", "red")]);
    let mut alice = open(&server, "/rtc", &token.clone().build())
        .await
        .expect("joins");
    alice.ask(update(5)).await;
    let answered = alice.until(answer).await;
    assert_eq!(
        (answered.request_id, answered.reason()),
        (5, proto::request_response::Reason::Ok)
    );
    let room = server.room("kitchen").expect("open");
    let info = room.participant("alice").expect("in the room");
    assert_eq!(
        (info.name.as_str(), info.metadata.as_str()),
        ("Alice", "new")
    );
    assert_eq!(
        info.attributes,
        [("a".to_owned(), "1".to_owned())].into(),
        "without a value an attribute is taken away"
    );

    let mut bob = open(
        &server,
        "/rtc",
        &token.grants(|g| g.can_update_own_metadata = None).build(),
    )
    .await
    .expect("joins");
    bob.ask(update(6)).await;
    assert_eq!(
        bob.until(answer).await.reason(),
        proto::request_response::Reason::NotAllowed
    );
}

#[tokio::test]
async fn a_room_ends_when_its_last_participant_has_left() {
    let options = Options {
        departure_timeout: Duration::ZERO,
        ..Default::default()
    };
    let server = TestServer::start(options).await.expect("starts");
    let mut alice = Socket::join(&server, "alice", "kitchen").await;
    let token = server
        .new_token()
        .join("helper", "kitchen")
        .kind("agent")
        .build();
    let mut agent = open(&server, "/rtc", &token).await.expect("joins");
    server
        .wait_for_room("kitchen", "two participants", DEADLINE, |r| {
            r.participants.len() == 2
        })
        .await
        .expect("both");

    alice
        .ask(Request::Leave(proto::LeaveRequest::default()))
        .await;
    // The agent alone does not keep the room open.
    assert_eq!(
        agent.until(leave).await.reason(),
        DisconnectReason::RoomClosed
    );
    server
        .wait_for_no_room("kitchen", DEADLINE)
        .await
        .expect("closed");
    assert_eq!(agent.bytes().await, None);
}

#[tokio::test]
async fn lost_signalling_can_be_resumed_and_is_given_up_after_the_window() {
    let options = Options {
        resume_window: Duration::from_millis(300),
        ..Default::default()
    };
    let server = TestServer::start(options).await.expect("starts");
    let mut alice = Socket::join(&server, "alice", "kitchen").await;
    let join = alice
        .until(|r| {
            if let Response::Join(join) = r {
                Some(join)
            } else {
                None
            }
        })
        .await;
    let sid = join.participant.expect("a participant").sid;

    server.cut_signal("kitchen", "alice").await;
    while alice.bytes().await.is_some() {}
    let path = format!("/rtc?reconnect=1&sid={sid}");
    let mut back = open(&server, &path, &server.token("alice", "kitchen"))
        .await
        .expect("connects");
    let is_first = back
        .until(|r| Some(matches!(r, Response::Reconnect(_))))
        .await;
    assert!(
        is_first,
        "the first message is the answer to the reconnection"
    );
    assert_eq!(
        server.room("kitchen").expect("open").participants[0].sid,
        sid
    );

    drop(back);
    server
        .wait_for_leave("kitchen", "alice", DEADLINE)
        .await
        .expect("given up");
    // Who is not known any more is told to join anew.
    let mut late = open(&server, &path, &server.token("alice", "kitchen"))
        .await
        .expect("connects");
    assert_eq!(late.until(leave).await.action(), Action::Reconnect);
    assert_eq!(late.bytes().await, None);
}

#[tokio::test]
async fn a_killed_server_drops_its_clients_and_starts_again_on_the_same_port() {
    let mut server = server().await;
    let mut alice = Socket::join(&server, "alice", "kitchen").await;
    let port = server.port();
    server.kill().await;
    while alice.bytes().await.is_some() {}
    assert!(
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err(),
        "nobody listens"
    );
    assert!(server.room("kitchen").is_none());

    server.restart().await.expect("starts again");
    assert_eq!(server.port(), port);
    let _alice = Socket::join(&server, "alice", "kitchen").await;
}

#[tokio::test]
async fn a_silent_server_answers_nothing_until_it_speaks_again() {
    let server = server().await;
    let mut alice = Socket::join(&server, "alice", "kitchen").await;
    alice
        .until(|r| matches!(r, Response::Trickle(_)).then_some(()))
        .await;
    server.faults().set_silent(true);
    alice
        .ask(Request::PingReq(proto::Ping {
            timestamp: 7,
            rtt: 0,
        }))
        .await;
    // Half a second without an answer that otherwise takes a millisecond.
    let silent_for = Duration::from_millis(500);
    assert!(
        tokio::time::timeout(silent_for, alice.bytes())
            .await
            .is_err()
    );
    assert!(
        tokio::time::timeout(silent_for, Socket::join(&server, "bob", "kitchen"))
            .await
            .is_err()
    );
    server.faults().set_silent(false);
    alice
        .until(|r| matches!(r, Response::PongResp(_)).then_some(()))
        .await;
}

#[tokio::test]
async fn a_wait_that_fails_says_what_was_there_instead() {
    let server = server().await;
    let _alice = Socket::join(&server, "alice", "kitchen").await;
    let started = Instant::now();
    let error = server
        .wait_for_participant("kitchen", "bob", Duration::from_millis(50))
        .await
        .expect_err("nobody");
    assert!(started.elapsed() >= Duration::from_millis(50));
    let text = error.to_string();
    assert!(
        text.contains("participant bob") && text.contains("alice"),
        "{text}"
    );
}
