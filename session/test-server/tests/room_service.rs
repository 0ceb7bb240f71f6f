//! The room service as server libraries call it.

mod support;

use listenkit_test_server::proto;
use listenkit_test_server::{Options, TestServer};
use prost::Message as _;
use proto::DisconnectReason;
use proto::signal_response::Message as Response;
use support::{Socket, post, twirp};

#[tokio::test]
async fn rooms_are_made_listed_and_deleted() {
    let server = TestServer::start(Options::default()).await.expect("starts");
    let token = server
        .new_token()
        .grants(|g| (g.room_create, g.room_list) = (true, true))
        .build();
    let body = r#"{"name": "kitchen", "empty_timeout": 7, "metadata": "tiles"}"#;
    let (status, room) = twirp(&server, &token, "RoomService/CreateRoom", body).await;
    assert_eq!(
        (status, room["name"].as_str(), room["emptyTimeout"].as_i64()),
        (200, Some("kitchen"), Some(7))
    );

    // The same in protocol buffers, which is what server libraries send.
    let request = proto::ListRoomsRequest {
        names: vec!["kitchen".into(), "cellar".into()],
    };
    let (status, body) = post(
        &server,
        &token,
        "RoomService/ListRooms",
        "application/protobuf",
        &request.encode_to_vec(),
    )
    .await;
    let listed = proto::ListRoomsResponse::decode(&*body)
        .expect("a ListRoomsResponse")
        .rooms;
    assert_eq!(
        (status, listed.len(), listed[0].metadata.as_str()),
        (200, 1, "tiles")
    );

    let mut alice = Socket::join(&server, "alice", "kitchen").await;
    let (status, _) = twirp(
        &server,
        &token,
        "RoomService/DeleteRoom",
        r#"{"room": "kitchen"}"#,
    )
    .await;
    assert_eq!(status, 200);
    let leave = alice
        .until(|r| {
            if let Response::Leave(leave) = r {
                Some(leave)
            } else {
                None
            }
        })
        .await;
    assert_eq!(leave.reason(), DisconnectReason::RoomDeleted);
    let (status, error) = twirp(
        &server,
        &token,
        "RoomService/DeleteRoom",
        r#"{"room": "kitchen"}"#,
    )
    .await;
    assert_eq!((status, error["code"].as_str()), (404, Some("not_found")));
}

#[tokio::test]
async fn participants_are_listed_changed_and_removed() {
    let server = TestServer::start(Options::default()).await.expect("starts");
    let mut alice = Socket::join(&server, "alice", "kitchen").await;
    let token = server
        .new_token()
        .grants(|g| (g.room_admin, g.room) = (true, "kitchen".into()))
        .build();
    let (_, list) = twirp(
        &server,
        &token,
        "RoomService/ListParticipants",
        r#"{"room": "kitchen"}"#,
    )
    .await;
    assert_eq!(list["participants"][0]["identity"], "alice");

    let body =
        r#"{"room": "kitchen", "identity": "alice", "name": "Alice", "attributes": {"a": "1"}}"#;
    let (status, _) = twirp(&server, &token, "RoomService/UpdateParticipant", body).await;
    assert_eq!(status, 200);
    let update = alice
        .until(|r| {
            if let Response::Update(update) = r {
                Some(update)
            } else {
                None
            }
        })
        .await;
    assert_eq!(
        (
            update.participants[0].name.as_str(),
            update.participants[0].attributes["a"].as_str()
        ),
        ("Alice", "1")
    );

    let body = r#"{"room": "kitchen", "identity": "alice"}"#;
    let (_, info) = twirp(&server, &token, "RoomService/GetParticipant", body).await;
    assert_eq!(info["name"], "Alice");
    let (status, _) = twirp(&server, &token, "RoomService/RemoveParticipant", body).await;
    assert_eq!(status, 200);
    let leave = alice
        .until(|r| {
            if let Response::Leave(leave) = r {
                Some(leave)
            } else {
                None
            }
        })
        .await;
    assert_eq!(leave.reason(), DisconnectReason::ParticipantRemoved);
    let (status, error) = twirp(&server, &token, "RoomService/GetParticipant", body).await;
    assert_eq!((status, error["code"].as_str()), (404, Some("not_found")));
}

#[tokio::test]
async fn every_method_wants_its_grant() {
    let server = TestServer::start(Options::default()).await.expect("starts");
    let of_kitchen = server
        .new_token()
        .grants(|g| (g.room_admin, g.room) = (true, "kitchen".into()))
        .build();
    let cellar = r#"{"room": "cellar", "identity": "x"}"#;
    let methods = [
        ("RoomService/CreateRoom", r#"{"name": "x"}"#),
        ("RoomService/ListRooms", "{}"),
        ("RoomService/DeleteRoom", r#"{"room": "kitchen"}"#),
        ("RoomService/ListParticipants", r#"{"room": "cellar"}"#),
        ("RoomService/GetParticipant", cellar),
        ("RoomService/RemoveParticipant", cellar),
        ("RoomService/UpdateParticipant", cellar),
        ("RoomService/MutePublishedTrack", cellar),
        ("RoomService/SendData", r#"{"room": "cellar"}"#),
        ("RoomService/UpdateRoomMetadata", r#"{"room": "cellar"}"#),
        (
            "AgentDispatchService/CreateDispatch",
            r#"{"room": "cellar"}"#,
        ),
        ("AgentDispatchService/ListDispatch", r#"{"room": "cellar"}"#),
        (
            "AgentDispatchService/DeleteDispatch",
            r#"{"room": "cellar"}"#,
        ),
    ];
    for (method, body) in methods {
        let (status, error) = twirp(&server, &of_kitchen, method, body).await;
        assert_eq!(
            (status, error["code"].as_str()),
            (401, Some("unauthenticated")),
            "{method}"
        );
    }
    let (status, error) = twirp(&server, &of_kitchen, "RoomService/Nothing", "{}").await;
    assert_eq!((status, error["code"].as_str()), (404, Some("bad_route")));
}
