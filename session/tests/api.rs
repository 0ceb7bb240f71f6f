//! The server's API against servers that misbehave, the test double, and a real server if there is one.

// The lint's exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

#[path = "common/rooms.rs"]
mod rooms;

use std::time::{Duration, Instant};

use listenkit_session::api::{ApiError, Credentials, RoomOptions, ServerApi, TokenVerifier};
use listenkit_test_server::Options;
use rooms::Server;

const SECRET: &str = "at-least-32-characters-long-secret-00";

fn credentials(url: &str) -> Credentials {
    Credentials {
        url: url.to_owned(),
        api_key: "devkey".to_owned(),
        api_secret: SECRET.to_owned(),
    }
}

fn unique(name: &str) -> String {
    format!("worker-api-{name}-{:08x}", fastrand::u32(..))
}

#[test]
fn missing_credentials_are_all_named() {
    // The names of the variables cannot be set or unset safely in a test, so empty values stand for them.
    let error = Credentials::resolve(Some("ws://localhost"), Some(""), Some("")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("LIVEKIT_API_KEY"), "{text}");
    assert!(text.contains("LIVEKIT_API_SECRET"), "{text}");
    assert!(!text.contains("LIVEKIT_URL,"), "{text}");
}

#[test]
fn an_address_without_scheme_or_host_is_refused() {
    for url in ["localhost:7880", "ftp://host", "ws://", "host"] {
        let error = Credentials::resolve(Some(url), Some("k"), Some(SECRET)).unwrap_err();
        assert!(matches!(error, ApiError::Config(_)), "{url}: {error}");
        assert!(error.to_string().contains(url), "{error}");
    }
    for url in ["ws://h", "wss://h/path", "http://h:1", "https://h"] {
        assert!(Credentials::resolve(Some(url), Some("k"), Some(SECRET)).is_ok());
    }
}

#[test]
fn the_secret_is_never_printed() {
    let credentials = credentials("ws://h");
    let api = ServerApi::new(credentials.clone());
    for text in [format!("{credentials:?}"), format!("{api:?}")] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_join_token_carries_identity_room_and_signature() {
    let credentials = credentials("ws://h");
    let token = credentials.join_token("ada", "kitchen").unwrap();
    let claims = TokenVerifier::with_api_key("devkey", SECRET)
        .verify(&token)
        .unwrap();
    assert_eq!(
        (claims.sub.as_str(), claims.video.room.as_str()),
        ("ada", "kitchen")
    );
    assert!(claims.video.room_join && !claims.video.agent && !claims.video.room_admin);
    let other = TokenVerifier::with_api_key("devkey", "another-secret-of-32-characters-00");
    assert!(other.verify(&token).is_err());
    assert!(credentials.join_token("", "kitchen").is_err());
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    // The socket takes the connection and stays silent.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let api = ServerApi::new(credentials(&url)).with_deadline(Duration::from_millis(200));
    let start = Instant::now();
    let error = api.list_rooms(&[]).await.unwrap_err();
    assert!(
        matches!(
            error,
            ApiError::Timeout {
                call: "ListRooms",
                ..
            }
        ),
        "{error}"
    );
    // 0.2 s and what a busy machine adds.
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_may_be_longer_than_that_of_the_client() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let deadline = Duration::from_secs(30);
    let api = ServerApi::new(credentials(&url)).with_deadline(deadline);
    let start = tokio::time::Instant::now();
    let error = api.list_rooms(&[]).await.unwrap_err();
    assert!(matches!(error, ApiError::Timeout { after, .. } if after == deadline));
    assert!(start.elapsed() >= deadline, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_says_so() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let api = ServerApi::new(credentials(&format!("ws://127.0.0.1:{port}")));
    let error = api.discover_active_room().await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&port.to_string()) && text.contains("refused"),
        "{text}"
    );
}

#[tokio::test]
async fn rooms_dispatches_and_data() {
    for server in Server::all().await {
        let api = server.api();
        rooms_dispatches_and_data_on(&api).await;
    }
}

async fn rooms_dispatches_and_data_on(api: &ServerApi) {
    let name = unique("room");
    let options = RoomOptions {
        metadata: "m".into(),
        ..Default::default()
    };
    let room = api.create_room(&name, options).await.unwrap();
    assert_eq!(
        (room.name.as_str(), room.metadata.as_str()),
        (name.as_str(), "m")
    );
    let listed = api.list_rooms(&[&name]).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(api.list_participants(&name).await.unwrap().is_empty());
    let nobody = api.participant(&name, "nobody").await.unwrap_err();
    assert!(nobody.is_not_found(), "{nobody}");
    api.send_data(&name, b"x", Some("t"), &[]).await.unwrap();

    let dispatch = api
        .create_dispatch(&name, &unique("agent"), "meta")
        .await
        .unwrap();
    // A real server lists one of its own beside it, for agents without a name.
    let ours = async || {
        let mut dispatches = api.list_dispatches(&name).await.unwrap();
        dispatches.retain(|d| d.id == dispatch.id);
        dispatches
    };
    assert_eq!(ours().await[0].metadata, "meta");
    api.delete_dispatch(&name, &dispatch.id).await.unwrap();
    assert!(ours().await.is_empty());

    api.delete_room(&name).await.unwrap();
    assert!(api.list_rooms(&[&name]).await.unwrap().is_empty());
    let gone = api.send_data(&name, b"x", None, &[]).await.unwrap_err();
    assert!(gone.is_not_found(), "{gone}");
    assert!(gone.to_string().contains(&name), "{gone}");
}

#[tokio::test]
async fn without_anyone_in_a_room_there_is_none_to_discover_and_the_error_says_what_there_is() {
    let server = Server::start_double(Options::default()).await;
    let api = server.api();
    let error = api.discover_active_room().await.unwrap_err();
    assert!(error.to_string().contains("no room is open"), "{error}");
    api.create_room("kitchen", RoomOptions::default())
        .await
        .unwrap();
    let error = api.discover_active_room().await.unwrap_err();
    assert!(matches!(error, ApiError::NoActiveRoom { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("kitchen") && text.contains("Join a room"),
        "{text}"
    );
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    for server in Server::all().await {
        let api = server.api();
        let wrong = Credentials {
            api_secret: "wrong-secret-of-at-least-32-characters".into(),
            ..api.credentials().clone()
        };
        let error = ServerApi::new(wrong).list_rooms(&[]).await.unwrap_err();
        assert!(matches!(error, ApiError::Refused { .. }), "{error:?}");
    }
}
