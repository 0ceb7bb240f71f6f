//! The room service and the dispatch service: what server libraries call over HTTP (Twirp), in protocol buffers or JSON.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use livekit_protocol as proto;
use livekit_token::{Claims, VideoGrants};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::agents::Event;
use crate::room::{Command, Reason, RoomConfig, RoomHandle};
use crate::{Shared, tokens};

/// An error as Twirp has them.
struct Failure(StatusCode, &'static str, String);

impl Failure {
    fn denied() -> Self {
        Self(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "permissions denied".into(),
        )
    }

    fn not_found(what: &str) -> Self {
        Self(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("requested {what} does not exist"),
        )
    }

    /// As livekit-server 1.13.5 answers for a room that none of its nodes has.
    fn no_node() -> Self {
        Self(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "no response from servers".into(),
        )
    }

    fn malformed() -> Self {
        Self(
            StatusCode::BAD_REQUEST,
            "malformed",
            "the request's body is not the message of this method".into(),
        )
    }

    fn internal() -> Self {
        Self(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server could not do it".into(),
        )
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(status, code, msg) = self;
        let body = serde_json::json!({ "code": code, "msg": msg }).to_string();
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// One call: who makes it, in which encoding.
struct Call {
    shared: Arc<Shared>,
    claims: Claims,
    is_json: bool,
    body: Bytes,
}

/// `POST /twirp/{service}/{method}`.
pub(crate) async fn call(
    State(shared): State<Arc<Shared>>,
    Path((service, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let claims = match tokens::verify(&shared, &headers, None) {
        Ok(claims) => claims,
        Err(refused) => return refused.into_response(),
    };
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let is_json = kind.is_some_and(|kind| kind.starts_with("application/json"));
    let call = Call {
        shared,
        claims,
        is_json,
        body,
    };
    let result = match (service.as_str(), method.as_str()) {
        ("livekit.RoomService", "CreateRoom") => call.create_room().await,
        ("livekit.RoomService", "ListRooms") => call.list_rooms(),
        ("livekit.RoomService", "DeleteRoom") => call.delete_room().await,
        ("livekit.RoomService", "ListParticipants") => call.list_participants(),
        ("livekit.RoomService", "GetParticipant") => call.participant(),
        ("livekit.RoomService", "RemoveParticipant") => call.remove_participant().await,
        ("livekit.RoomService", "UpdateParticipant") => call.update_participant().await,
        ("livekit.RoomService", "MutePublishedTrack") => call.mute_track().await,
        ("livekit.RoomService", "SendData") => call.send_data().await,
        ("livekit.RoomService", "UpdateRoomMetadata") => call.update_room().await,
        ("livekit.AgentDispatchService", "CreateDispatch") => call.create_dispatch().await,
        ("livekit.AgentDispatchService", "ListDispatch") => call.list_dispatches().await,
        ("livekit.AgentDispatchService", "DeleteDispatch") => call.delete_dispatch().await,
        _ => Err(Failure(
            StatusCode::NOT_FOUND,
            "bad_route",
            format!("no handler for {service}/{method}"),
        )),
    };
    result.unwrap_or_else(IntoResponse::into_response)
}

impl Call {
    fn request<T: Message + Default + DeserializeOwned>(&self) -> Result<T, Failure> {
        if self.is_json {
            serde_json::from_slice(&self.body).map_err(|_| Failure::malformed())
        } else {
            T::decode(self.body.clone()).map_err(|_| Failure::malformed())
        }
    }

    fn reply<T: Message + Serialize>(&self, message: &T) -> Result<Response, Failure> {
        let (kind, body) = if self.is_json {
            (
                "application/json",
                serde_json::to_vec(message).map_err(|_| Failure::internal())?,
            )
        } else {
            ("application/protobuf", message.encode_to_vec())
        };
        Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
    }

    fn check(&self, may: impl FnOnce(&VideoGrants) -> bool) -> Result<(), Failure> {
        may(&self.claims.video)
            .then_some(())
            .ok_or_else(Failure::denied)
    }

    fn check_admin(&self, room: &str) -> Result<(), Failure> {
        self.check(|grants| grants.room_admin && grants.room == room)
    }

    fn room(&self, name: &str) -> Result<RoomHandle, Failure> {
        self.shared
            .find_room(name)
            .ok_or_else(|| Failure::not_found("room"))
    }

    /// Sends a room a command, and waits for what comes back. A room that closes meanwhile does not exist.
    async fn ask<T>(
        &self,
        room: &str,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        let gone = || Failure::not_found("room");
        self.room(room)?
            .commands
            .send(command(reply))
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    async fn ask_dispatcher<T>(
        &self,
        event: impl FnOnce(oneshot::Sender<T>) -> Event,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        self.shared.tell_dispatcher(event(reply));
        answer.await.map_err(|_| Failure::internal())
    }

    async fn create_room(&self) -> Result<Response, Failure> {
        let request: proto::CreateRoomRequest = self.request()?;
        self.check(|grants| grants.room_create)?;
        let config = RoomConfig::from(proto::RoomConfiguration {
            empty_timeout: request.empty_timeout,
            departure_timeout: request.departure_timeout,
            max_participants: request.max_participants,
            metadata: request.metadata,
            agents: request.agents,
            ..Default::default()
        });
        let room = self
            .shared
            .room_or_new(&request.name, config)
            .map_err(|_| Failure::internal())?;
        let view = room.view.borrow().room.clone();
        self.reply(&view)
    }

    fn list_rooms(&self) -> Result<Response, Failure> {
        let request: proto::ListRoomsRequest = self.request()?;
        self.check(|grants| grants.room_list)?;
        let is_asked =
            |room: &proto::Room| request.names.is_empty() || request.names.contains(&room.name);
        let views = self
            .shared
            .open_rooms()
            .into_iter()
            .map(|room| room.view.borrow().clone());
        let rooms = views
            .filter(|view| !view.is_closed)
            .map(|view| view.room)
            .filter(is_asked)
            .collect();
        self.reply(&proto::ListRoomsResponse { rooms })
    }

    async fn delete_room(&self) -> Result<Response, Failure> {
        let request: proto::DeleteRoomRequest = self.request()?;
        self.check(|grants| grants.room_create)?;
        self.ask(&request.room, |reply| Command::Close {
            reason: Reason::RoomDeleted,
            reply,
        })
        .await?;
        self.reply(&proto::DeleteRoomResponse::default())
    }

    fn list_participants(&self) -> Result<Response, Failure> {
        let request: proto::ListParticipantsRequest = self.request()?;
        self.check_admin(&request.room)?;
        // A room that is not there has nobody in it: no error, as with a real server.
        let participants = self
            .room(&request.room)
            .map(|room| room.view.borrow().participants.clone())
            .unwrap_or_default();
        self.reply(&proto::ListParticipantsResponse { participants })
    }

    fn participant(&self) -> Result<Response, Failure> {
        let request: proto::RoomParticipantIdentity = self.request()?;
        self.check_admin(&request.room)?;
        let missing = || Failure::not_found("participant");
        let view = self
            .room(&request.room)
            .map_err(|_| missing())?
            .view
            .borrow()
            .clone();
        self.reply(view.participant(&request.identity).ok_or_else(missing)?)
    }

    async fn remove_participant(&self) -> Result<Response, Failure> {
        let request: proto::RoomParticipantIdentity = self.request()?;
        self.check_admin(&request.room)?;
        let identity = request.identity.clone();
        let remove = |reply| Command::Remove {
            identity,
            reason: Reason::ParticipantRemoved,
            reply,
        };
        let was_there = self.ask(&request.room, remove).await.unwrap_or(false);
        was_there
            .then_some(())
            .ok_or_else(|| Failure::not_found("participant"))?;
        self.reply(&proto::RemoveParticipantResponse::default())
    }

    async fn update_participant(&self) -> Result<Response, Failure> {
        let request: proto::UpdateParticipantRequest = self.request()?;
        self.check_admin(&request.room)?;
        let room = request.room.clone();
        let update = |reply| Command::Update {
            request: Box::new(request),
            reply,
        };
        let info = self
            .ask(&room, update)
            .await?
            .ok_or_else(|| Failure::not_found("participant"))?;
        self.reply(&info)
    }

    async fn mute_track(&self) -> Result<Response, Failure> {
        let request: proto::MuteRoomTrackRequest = self.request()?;
        self.check_admin(&request.room)?;
        let proto::MuteRoomTrackRequest {
            room,
            identity,
            track_sid,
            muted,
        } = request;
        let mute = |reply| Command::Mute {
            identity,
            track: track_sid,
            muted,
            reply,
        };
        let track = self
            .ask(&room, mute)
            .await?
            .ok_or_else(|| Failure::not_found("track"))?;
        self.reply(&proto::MuteRoomTrackResponse { track: Some(track) })
    }

    async fn send_data(&self) -> Result<Response, Failure> {
        let request: proto::SendDataRequest = self.request()?;
        self.check_admin(&request.room)?;
        let room = self.room(&request.room).map_err(|_| Failure::no_node())?;
        let command = Command::SendData {
            request: Box::new(request),
        };
        room.commands
            .send(command)
            .await
            .map_err(|_| Failure::no_node())?;
        self.reply(&proto::SendDataResponse::default())
    }

    async fn update_room(&self) -> Result<Response, Failure> {
        let request: proto::UpdateRoomMetadataRequest = self.request()?;
        self.check_admin(&request.room)?;
        let metadata = request.metadata;
        let room = self
            .ask(&request.room, |reply| Command::SetMetadata {
                metadata,
                reply,
            })
            .await?;
        self.reply(&room)
    }

    async fn create_dispatch(&self) -> Result<Response, Failure> {
        let request: proto::CreateAgentDispatchRequest = self.request()?;
        self.check_admin(&request.room)?;
        // A room that is not there is made, with what a room has of its own: one dispatch for workers without a name.
        self.shared
            .room_or_new(&request.room, RoomConfig::default())
            .map_err(|_| Failure::internal())?;
        let create = |reply| Event::CreateDispatch {
            request: Box::new(request),
            reply,
        };
        let dispatch = self
            .ask_dispatcher(create)
            .await?
            .ok_or_else(|| Failure::not_found("room"))?;
        self.reply(&dispatch)
    }

    async fn list_dispatches(&self) -> Result<Response, Failure> {
        let request: proto::ListAgentDispatchRequest = self.request()?;
        self.check_admin(&request.room)?;
        let (room, id) = (request.room, request.dispatch_id);
        let agent_dispatches = self
            .ask_dispatcher(|reply| Event::ListDispatches { room, id, reply })
            .await?;
        self.reply(&proto::ListAgentDispatchResponse { agent_dispatches })
    }

    async fn delete_dispatch(&self) -> Result<Response, Failure> {
        let request: proto::DeleteAgentDispatchRequest = self.request()?;
        self.check_admin(&request.room)?;
        let (room, id) = (request.room, request.dispatch_id);
        let deleted = self
            .ask_dispatcher(|reply| Event::DeleteDispatch { room, id, reply })
            .await?;
        self.reply(&deleted.ok_or_else(|| Failure::not_found("agent dispatch"))?)
    }
}
