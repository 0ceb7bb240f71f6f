//! The messages that this crate exchanges with the library, written by hand.
//!
//! Names and numbers are LiveKit's; what is not used here is left out, and stays unread when it comes. A message that LiveKit nests in another has
//! both names joined: `ConnectCallbackResult`. `tests/schema.rs` compares every name, number, type and label with the descriptors in an installed
//! Python package, which is why the attributes are written out and on one line each.
//!
//! Numbers did change between library 0.12.44 and 0.12.80 (`ParticipantInfo`), so an older library is refused when it is opened.
#![expect(
    missing_docs,
    reason = "the names are LiveKit's, and they are the documentation"
)]

use std::collections::HashMap;

use prost::{Enumeration, Message, Oneof};

// What the library is asked.

#[derive(Clone, PartialEq, Message)]
pub struct FfiRequest {
    #[prost(
        oneof = "Request",
        tags = "3, 4, 5, 6, 7, 8, 11, 16, 17, 19, 25, 26, 27, 28, 38, 39, 40, 41, 57, 60, 64, 65, 66, 76, 83"
    )]
    pub message: Option<Request>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Request {
    #[prost(message, tag = "3")]
    Connect(ConnectRequest),
    #[prost(message, tag = "4")]
    Disconnect(DisconnectRequest),
    #[prost(message, tag = "5")]
    PublishTrack(PublishTrackRequest),
    #[prost(message, tag = "6")]
    UnpublishTrack(UnpublishTrackRequest),
    #[prost(message, tag = "7")]
    PublishData(PublishDataRequest),
    #[prost(message, tag = "8")]
    SetSubscribed(SetSubscribedRequest),
    #[prost(message, tag = "11")]
    SetLocalAttributes(SetLocalAttributesRequest),
    #[prost(message, tag = "16")]
    CreateAudioTrack(CreateAudioTrackRequest),
    #[prost(message, tag = "17")]
    LocalTrackMute(LocalTrackMuteRequest),
    #[prost(message, tag = "19")]
    GetStats(GetStatsRequest),
    #[prost(message, tag = "25")]
    NewAudioStream(NewAudioStreamRequest),
    #[prost(message, tag = "26")]
    NewAudioSource(NewAudioSourceRequest),
    #[prost(message, tag = "27")]
    CaptureAudioFrame(CaptureAudioFrameRequest),
    #[prost(message, tag = "28")]
    ClearAudioBuffer(ClearAudioBufferRequest),
    #[prost(message, tag = "38")]
    PerformRpc(PerformRpcRequest),
    #[prost(message, tag = "39")]
    RegisterRpcMethod(RegisterRpcMethodRequest),
    #[prost(message, tag = "40")]
    UnregisterRpcMethod(UnregisterRpcMethodRequest),
    #[prost(message, tag = "41")]
    RpcMethodInvocationResponse(RpcMethodInvocationResponseRequest),
    #[prost(message, tag = "57")]
    TextReadIncremental(TextStreamReaderReadIncrementalRequest),
    #[prost(message, tag = "60")]
    SendText(StreamSendTextRequest),
    #[prost(message, tag = "64")]
    TextStreamOpen(TextStreamOpenRequest),
    #[prost(message, tag = "65")]
    TextStreamWrite(TextStreamWriterWriteRequest),
    #[prost(message, tag = "66")]
    TextStreamClose(TextStreamWriterCloseRequest),
    #[prost(message, tag = "76")]
    SimulateScenario(SimulateScenarioRequest),
    #[prost(message, tag = "83")]
    ReadyForRoomEvent(ReadyForRoomEventRequest),
}

// What it answers at once. Answers that only repeat the number of the call are not read.

#[derive(Clone, PartialEq, Message)]
pub struct FfiResponse {
    #[prost(oneof = "Response", tags = "16, 17, 25, 26, 40")]
    pub message: Option<Response>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Response {
    #[prost(message, tag = "16")]
    CreateAudioTrack(CreateAudioTrackResponse),
    #[prost(message, tag = "17")]
    LocalTrackMute(LocalTrackMuteResponse),
    #[prost(message, tag = "25")]
    NewAudioStream(NewAudioStreamResponse),
    #[prost(message, tag = "26")]
    NewAudioSource(NewAudioSourceResponse),
    #[prost(message, tag = "40")]
    RpcMethodInvocationResponse(RpcMethodInvocationResponseResponse),
}

// What it tells later.

#[derive(Clone, PartialEq, Message)]
pub struct FfiEvent {
    #[prost(
        oneof = "Event",
        tags = "1, 4, 5, 7, 9, 10, 11, 13, 16, 17, 18, 20, 23, 24, 35, 37, 38, 39, 40, 44"
    )]
    pub message: Option<Event>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Event {
    #[prost(message, tag = "1")]
    RoomEvent(RoomEvent),
    #[prost(message, tag = "4")]
    AudioStreamEvent(AudioStreamEvent),
    #[prost(message, tag = "5")]
    Connect(ConnectCallback),
    #[prost(message, tag = "7")]
    Disconnect(DisconnectCallback),
    #[prost(message, tag = "9")]
    PublishTrack(PublishTrackCallback),
    #[prost(message, tag = "10")]
    UnpublishTrack(UnpublishTrackCallback),
    #[prost(message, tag = "11")]
    PublishData(PublishDataCallback),
    #[prost(message, tag = "13")]
    CaptureAudioFrame(CaptureAudioFrameCallback),
    #[prost(message, tag = "16")]
    SetLocalAttributes(SetLocalAttributesCallback),
    #[prost(message, tag = "17")]
    GetStats(GetStatsCallback),
    #[prost(message, tag = "18")]
    Logs(LogBatch),
    #[prost(message, tag = "20")]
    Panic(Panic),
    #[prost(message, tag = "23")]
    PerformRpc(PerformRpcCallback),
    #[prost(message, tag = "24")]
    RpcMethodInvocation(RpcMethodInvocationEvent),
    #[prost(message, tag = "35")]
    TextStreamReaderEvent(TextStreamReaderEvent),
    #[prost(message, tag = "37")]
    TextStreamOpen(TextStreamOpenCallback),
    #[prost(message, tag = "38")]
    TextStreamWriterWrite(TextStreamWriterWriteCallback),
    #[prost(message, tag = "39")]
    TextStreamWriterClose(TextStreamWriterCloseCallback),
    #[prost(message, tag = "40")]
    SendText(StreamSendTextCallback),
    #[prost(message, tag = "44")]
    SimulateScenario(SimulateScenarioCallback),
}

#[derive(Clone, PartialEq, Message)]
pub struct FfiOwnedHandle {
    #[prost(uint64, required, tag = "1")]
    pub id: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct LogRecord {
    #[prost(enumeration = "LogLevel", required, tag = "1")]
    pub level: i32,
    #[prost(string, required, tag = "2")]
    pub target: String,
    #[prost(string, required, tag = "6")]
    pub message: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct LogBatch {
    #[prost(message, repeated, tag = "1")]
    pub records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Panic {
    #[prost(string, required, tag = "1")]
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum LogLevel {
    LogError = 0,
    LogWarn = 1,
    LogInfo = 2,
    LogDebug = 3,
    LogTrace = 4,
}

// Joining and leaving.

#[derive(Clone, PartialEq, Message)]
pub struct ConnectRequest {
    #[prost(string, required, tag = "1")]
    pub url: String,
    #[prost(string, required, tag = "2")]
    pub token: String,
    #[prost(message, required, tag = "3")]
    pub options: RoomOptions,
    #[prost(uint64, optional, tag = "4")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RoomOptions {
    #[prost(bool, optional, tag = "1")]
    pub auto_subscribe: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    pub adaptive_stream: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub dynacast: Option<bool>,
    #[prost(uint32, optional, tag = "6")]
    pub join_retries: Option<u32>,
    #[prost(uint64, optional, tag = "9")]
    pub connect_timeout_ms: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ConnectCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(string, optional, tag = "2")]
    pub error: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub result: Option<ConnectCallbackResult>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ConnectCallbackResult {
    #[prost(message, required, tag = "1")]
    pub room: OwnedRoom,
    #[prost(message, required, tag = "2")]
    pub local_participant: OwnedParticipant,
    #[prost(message, repeated, tag = "3")]
    pub participants: Vec<ConnectCallbackParticipantWithTracks>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ConnectCallbackParticipantWithTracks {
    #[prost(message, required, tag = "1")]
    pub participant: OwnedParticipant,
    #[prost(message, repeated, tag = "2")]
    pub publications: Vec<OwnedTrackPublication>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReadyForRoomEventRequest {
    #[prost(uint64, required, tag = "1")]
    pub room_handle: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct DisconnectRequest {
    #[prost(uint64, required, tag = "1")]
    pub room_handle: u64,
    #[prost(uint64, optional, tag = "2")]
    pub request_async_id: Option<u64>,
    #[prost(enumeration = "DisconnectReason", optional, tag = "3")]
    pub reason: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DisconnectCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct SimulateScenarioRequest {
    #[prost(uint64, required, tag = "1")]
    pub room_handle: u64,
    #[prost(enumeration = "SimulateScenarioKind", required, tag = "2")]
    pub scenario: i32,
    #[prost(uint64, optional, tag = "3")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SimulateScenarioCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(string, optional, tag = "2")]
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum SimulateScenarioKind {
    SimulateSignalReconnect = 0,
    SimulateFullReconnect = 7,
}

#[derive(Clone, PartialEq, Message)]
pub struct OwnedRoom {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
    #[prost(message, required, tag = "2")]
    pub info: RoomInfo,
}

#[derive(Clone, PartialEq, Message)]
pub struct RoomInfo {
    #[prost(string, optional, tag = "1")]
    pub sid: Option<String>,
    #[prost(string, required, tag = "2")]
    pub name: String,
    #[prost(string, required, tag = "3")]
    pub metadata: String,
}

// Participants and tracks.

#[derive(Clone, PartialEq, Message)]
pub struct OwnedParticipant {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
    #[prost(message, required, tag = "2")]
    pub info: ParticipantInfo,
}

#[derive(Clone, PartialEq, Message)]
pub struct ParticipantInfo {
    #[prost(string, required, tag = "1")]
    pub sid: String,
    #[prost(string, required, tag = "2")]
    pub name: String,
    #[prost(string, required, tag = "3")]
    pub identity: String,
    #[prost(string, required, tag = "5")]
    pub metadata: String,
    #[prost(map = "string, string", tag = "6")]
    pub attributes: HashMap<String, String>,
    #[prost(enumeration = "ParticipantKind", required, tag = "7")]
    pub kind: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ParticipantKind {
    Standard = 0,
    Ingress = 1,
    Egress = 2,
    Sip = 3,
    Agent = 4,
    Connector = 5,
    Bridge = 6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum DisconnectReason {
    UnknownReason = 0,
    ClientInitiated = 1,
    DuplicateIdentity = 2,
    ServerShutdown = 3,
    ParticipantRemoved = 4,
    RoomDeleted = 5,
    StateMismatch = 6,
    JoinFailure = 7,
    Migration = 8,
    SignalClose = 9,
    RoomClosed = 10,
    UserUnavailable = 11,
    UserRejected = 12,
    SipTrunkFailure = 13,
    ConnectionTimeout = 14,
    MediaFailure = 15,
    AgentError = 16,
}

#[derive(Clone, PartialEq, Message)]
pub struct OwnedTrackPublication {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
    #[prost(message, required, tag = "2")]
    pub info: TrackPublicationInfo,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrackPublicationInfo {
    #[prost(string, required, tag = "1")]
    pub sid: String,
    #[prost(string, required, tag = "2")]
    pub name: String,
    #[prost(enumeration = "TrackKind", required, tag = "3")]
    pub kind: i32,
    #[prost(enumeration = "TrackSource", required, tag = "4")]
    pub source: i32,
    #[prost(bool, required, tag = "9")]
    pub muted: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct OwnedTrack {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
    #[prost(message, required, tag = "2")]
    pub info: TrackInfo,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrackInfo {
    #[prost(string, required, tag = "1")]
    pub sid: String,
    #[prost(string, required, tag = "2")]
    pub name: String,
    #[prost(enumeration = "TrackKind", required, tag = "3")]
    pub kind: i32,
    #[prost(bool, required, tag = "5")]
    pub muted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum TrackKind {
    KindUnknown = 0,
    KindAudio = 1,
    KindVideo = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum TrackSource {
    SourceUnknown = 0,
    SourceCamera = 1,
    SourceMicrophone = 2,
    SourceScreenshare = 3,
    SourceScreenshareAudio = 4,
}

#[derive(Clone, PartialEq, Message)]
pub struct SetSubscribedRequest {
    #[prost(bool, required, tag = "1")]
    pub subscribe: bool,
    #[prost(uint64, required, tag = "2")]
    pub publication_handle: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct AttributesEntry {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(string, required, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct SetLocalAttributesRequest {
    #[prost(uint64, required, tag = "1")]
    pub local_participant_handle: u64,
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<AttributesEntry>,
    #[prost(uint64, optional, tag = "3")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SetLocalAttributesCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(string, optional, tag = "2")]
    pub error: Option<String>,
}

// What happens in a room.

#[derive(Clone, PartialEq, Message)]
pub struct RoomEvent {
    #[prost(uint64, required, tag = "1")]
    pub room_handle: u64,
    #[prost(
        oneof = "RoomMessage",
        tags = "2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18, 19, 22, 23, 24, 26, 27, 34, 35, 36, 37, 38, 40, 43, 45"
    )]
    pub message: Option<RoomMessage>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum RoomMessage {
    #[prost(message, tag = "2")]
    ParticipantConnected(ParticipantConnected),
    #[prost(message, tag = "3")]
    ParticipantDisconnected(ParticipantDisconnected),
    #[prost(message, tag = "6")]
    LocalTrackSubscribed(LocalTrackSubscribed),
    #[prost(message, tag = "7")]
    TrackPublished(TrackPublished),
    #[prost(message, tag = "8")]
    TrackUnpublished(TrackUnpublished),
    #[prost(message, tag = "9")]
    TrackSubscribed(TrackSubscribed),
    #[prost(message, tag = "10")]
    TrackUnsubscribed(TrackUnsubscribed),
    #[prost(message, tag = "11")]
    TrackSubscriptionFailed(TrackSubscriptionFailed),
    #[prost(message, tag = "12")]
    TrackMuted(TrackMuted),
    #[prost(message, tag = "13")]
    TrackUnmuted(TrackUnmuted),
    #[prost(message, tag = "16")]
    RoomSidChanged(RoomSidChanged),
    #[prost(message, tag = "17")]
    ParticipantMetadataChanged(ParticipantMetadataChanged),
    #[prost(message, tag = "18")]
    ParticipantNameChanged(ParticipantNameChanged),
    #[prost(message, tag = "19")]
    ParticipantAttributesChanged(ParticipantAttributesChanged),
    #[prost(message, tag = "22")]
    Disconnected(Disconnected),
    #[prost(message, tag = "23")]
    Reconnecting(Reconnecting),
    #[prost(message, tag = "24")]
    Reconnected(Reconnected),
    #[prost(message, tag = "26")]
    Eos(RoomEOS),
    #[prost(message, tag = "27")]
    DataPacketReceived(DataPacketReceived),
    #[prost(message, tag = "34")]
    ByteStreamOpened(ByteStreamOpened),
    #[prost(message, tag = "35")]
    TextStreamOpened(TextStreamOpened),
    #[prost(message, tag = "36")]
    RoomUpdated(RoomInfo),
    #[prost(message, tag = "37")]
    Moved(RoomInfo),
    #[prost(message, tag = "38")]
    ParticipantsUpdated(ParticipantsUpdated),
    #[prost(message, tag = "40")]
    TokenRefreshed(TokenRefreshed),
    #[prost(message, tag = "43")]
    DataTrackPublished(DataTrackPublished),
    #[prost(message, tag = "45")]
    LocalTrackRepublished(LocalTrackRepublished),
}

#[derive(Clone, PartialEq, Message)]
pub struct ParticipantConnected {
    #[prost(message, required, tag = "1")]
    pub info: OwnedParticipant,
}

#[derive(Clone, PartialEq, Message)]
pub struct ParticipantDisconnected {
    #[prost(string, required, tag = "1")]
    pub participant_identity: String,
    #[prost(enumeration = "DisconnectReason", required, tag = "2")]
    pub disconnect_reason: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ParticipantsUpdated {
    #[prost(message, repeated, tag = "1")]
    pub participants: Vec<ParticipantInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LocalTrackSubscribed {
    #[prost(string, required, tag = "2")]
    pub track_sid: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct LocalTrackRepublished {
    #[prost(uint64, required, tag = "1")]
    pub publication_handle: u64,
    #[prost(string, required, tag = "2")]
    pub previous_sid: String,
    #[prost(message, required, tag = "3")]
    pub info: TrackPublicationInfo,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrackPublished {
    #[prost(string, required, tag = "1")]
    pub participant_identity: String,
    #[prost(message, required, tag = "2")]
    pub publication: OwnedTrackPublication,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrackUnpublished {
    #[prost(string, required, tag = "1")]
    pub participant_identity: String,
    #[prost(string, required, tag = "2")]
    pub publication_sid: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrackSubscribed {
    #[prost(string, required, tag = "1")]
    pub participant_identity: String,
    #[prost(message, required, tag = "2")]
    pub track: OwnedTrack,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrackUnsubscribed {
    #[prost(string, required, tag = "1")]
    pub participant_identity: String,
    #[prost(string, required, tag = "2")]
    pub track_sid: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrackSubscriptionFailed {
    #[prost(string, required, tag = "1")]
    pub participant_identity: String,
    #[prost(string, required, tag = "2")]
    pub track_sid: String,
    #[prost(string, required, tag = "3")]
    pub error: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrackMuted {
    #[prost(string, required, tag = "1")]
    pub participant_identity: String,
    #[prost(string, required, tag = "2")]
    pub track_sid: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrackUnmuted {
    #[prost(string, required, tag = "1")]
    pub participant_identity: String,
    #[prost(string, required, tag = "2")]
    pub track_sid: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct RoomSidChanged {
    #[prost(string, required, tag = "1")]
    pub sid: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ParticipantMetadataChanged {
    #[prost(string, required, tag = "1")]
    pub participant_identity: String,
    #[prost(string, required, tag = "2")]
    pub metadata: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ParticipantNameChanged {
    #[prost(string, required, tag = "1")]
    pub participant_identity: String,
    #[prost(string, required, tag = "2")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ParticipantAttributesChanged {
    #[prost(string, required, tag = "1")]
    pub participant_identity: String,
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<AttributesEntry>,
    #[prost(message, repeated, tag = "3")]
    pub changed_attributes: Vec<AttributesEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Disconnected {
    #[prost(enumeration = "DisconnectReason", required, tag = "1")]
    pub reason: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Reconnecting {}

#[derive(Clone, PartialEq, Message)]
pub struct Reconnected {}

#[derive(Clone, PartialEq, Message)]
pub struct RoomEOS {}

#[derive(Clone, PartialEq, Message)]
pub struct TokenRefreshed {
    #[prost(string, required, tag = "1")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct DataPacketReceived {
    #[prost(string, required, tag = "2")]
    pub participant_identity: String,
    #[prost(message, optional, tag = "4")]
    pub user: Option<UserPacket>,
}

#[derive(Clone, PartialEq, Message)]
pub struct UserPacket {
    #[prost(message, required, tag = "1")]
    pub data: OwnedBuffer,
    #[prost(string, optional, tag = "2")]
    pub topic: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OwnedBuffer {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
    #[prost(message, required, tag = "2")]
    pub data: BufferInfo,
}

#[derive(Clone, PartialEq, Message)]
pub struct BufferInfo {
    #[prost(uint64, required, tag = "1")]
    pub data_ptr: u64,
    #[prost(uint64, required, tag = "2")]
    pub data_len: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamOpened {
    #[prost(message, required, tag = "1")]
    pub reader: OwnedTextStreamReader,
    #[prost(string, required, tag = "2")]
    pub participant_identity: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ByteStreamOpened {
    #[prost(message, required, tag = "1")]
    pub reader: OwnedByteStreamReader,
    #[prost(string, required, tag = "2")]
    pub participant_identity: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct DataTrackPublished {
    #[prost(message, required, tag = "1")]
    pub track: OwnedRemoteDataTrack,
}

#[derive(Clone, PartialEq, Message)]
pub struct OwnedRemoteDataTrack {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
}

// Sending data packets.

#[derive(Clone, PartialEq, Message)]
pub struct PublishDataRequest {
    #[prost(uint64, required, tag = "1")]
    pub local_participant_handle: u64,
    #[prost(uint64, required, tag = "2")]
    pub data_ptr: u64,
    #[prost(uint64, required, tag = "3")]
    pub data_len: u64,
    #[prost(bool, required, tag = "4")]
    pub reliable: bool,
    #[prost(string, optional, tag = "6")]
    pub topic: Option<String>,
    #[prost(string, repeated, tag = "7")]
    pub destination_identities: Vec<String>,
    #[prost(uint64, optional, tag = "8")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PublishDataCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(string, optional, tag = "2")]
    pub error: Option<String>,
}

// Audio of others.

#[derive(Clone, PartialEq, Message)]
pub struct NewAudioStreamRequest {
    #[prost(uint64, required, tag = "1")]
    pub track_handle: u64,
    #[prost(enumeration = "AudioStreamType", required, tag = "2")]
    pub r#type: i32,
    #[prost(uint32, optional, tag = "3")]
    pub sample_rate: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub num_channels: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub frame_size_ms: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    pub queue_size_frames: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NewAudioStreamResponse {
    #[prost(message, required, tag = "1")]
    pub stream: OwnedAudioStream,
}

#[derive(Clone, PartialEq, Message)]
pub struct OwnedAudioStream {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum AudioStreamType {
    AudioStreamNative = 0,
}

#[derive(Clone, PartialEq, Message)]
pub struct AudioStreamEvent {
    #[prost(uint64, required, tag = "1")]
    pub stream_handle: u64,
    #[prost(message, optional, tag = "2")]
    pub frame_received: Option<AudioFrameReceived>,
    #[prost(message, optional, tag = "3")]
    pub eos: Option<AudioStreamEOS>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AudioFrameReceived {
    #[prost(message, required, tag = "1")]
    pub frame: OwnedAudioFrameBuffer,
}

#[derive(Clone, PartialEq, Message)]
pub struct AudioStreamEOS {}

#[derive(Clone, PartialEq, Message)]
pub struct OwnedAudioFrameBuffer {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
    #[prost(message, required, tag = "2")]
    pub info: AudioFrameBufferInfo,
}

#[derive(Clone, PartialEq, Message)]
pub struct AudioFrameBufferInfo {
    #[prost(uint64, required, tag = "1")]
    pub data_ptr: u64,
    #[prost(uint32, required, tag = "2")]
    pub num_channels: u32,
    #[prost(uint32, required, tag = "3")]
    pub sample_rate: u32,
    #[prost(uint32, required, tag = "4")]
    pub samples_per_channel: u32,
}

// Audio of ours.

#[derive(Clone, PartialEq, Message)]
pub struct NewAudioSourceRequest {
    #[prost(enumeration = "AudioSourceType", required, tag = "1")]
    pub r#type: i32,
    #[prost(message, optional, tag = "2")]
    pub options: Option<AudioSourceOptions>,
    #[prost(uint32, optional, tag = "3")]
    pub sample_rate: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub num_channels: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    pub queue_size_ms: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum AudioSourceType {
    AudioSourceNative = 0,
}

#[derive(Clone, PartialEq, Message)]
pub struct AudioSourceOptions {
    #[prost(bool, required, tag = "1")]
    pub echo_cancellation: bool,
    #[prost(bool, required, tag = "2")]
    pub noise_suppression: bool,
    #[prost(bool, required, tag = "3")]
    pub auto_gain_control: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct NewAudioSourceResponse {
    #[prost(message, required, tag = "1")]
    pub source: OwnedAudioSource,
}

#[derive(Clone, PartialEq, Message)]
pub struct OwnedAudioSource {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
}

#[derive(Clone, PartialEq, Message)]
pub struct CaptureAudioFrameRequest {
    #[prost(uint64, required, tag = "1")]
    pub source_handle: u64,
    #[prost(message, required, tag = "2")]
    pub buffer: AudioFrameBufferInfo,
    #[prost(uint64, optional, tag = "3")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CaptureAudioFrameCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(string, optional, tag = "2")]
    pub error: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ClearAudioBufferRequest {
    #[prost(uint64, required, tag = "1")]
    pub source_handle: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateAudioTrackRequest {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(uint64, required, tag = "2")]
    pub source_handle: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateAudioTrackResponse {
    #[prost(message, required, tag = "1")]
    pub track: OwnedTrack,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetStatsRequest {
    #[prost(uint64, required, tag = "1")]
    pub track_handle: u64,
    #[prost(uint64, optional, tag = "2")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetStatsCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(string, optional, tag = "2")]
    pub error: Option<String>,
    #[prost(message, repeated, tag = "3")]
    pub stats: Vec<RtcStats>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RtcStats {
    #[prost(oneof = "Stats", tags = "4, 13")]
    pub stats: Option<Stats>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Stats {
    #[prost(message, tag = "4")]
    InboundRtp(RtcStatsInboundRtp),
    #[prost(message, tag = "13")]
    CandidatePair(RtcStatsCandidatePair),
}

#[derive(Clone, PartialEq, Message)]
pub struct RtcStatsInboundRtp {
    #[prost(message, required, tag = "4")]
    pub inbound: InboundRtpStreamStats,
}

#[derive(Clone, PartialEq, Message)]
pub struct InboundRtpStreamStats {
    #[prost(double, required, tag = "31")]
    pub jitter_buffer_delay: f64,
    #[prost(uint64, required, tag = "33")]
    pub jitter_buffer_emitted_count: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct RtcStatsCandidatePair {
    #[prost(message, required, tag = "2")]
    pub candidate_pair: CandidatePairStats,
}

#[derive(Clone, PartialEq, Message)]
pub struct CandidatePairStats {
    #[prost(bool, required, tag = "5")]
    pub nominated: bool,
    #[prost(double, required, tag = "13")]
    pub current_round_trip_time: f64,
}

#[derive(Clone, PartialEq, Message)]
pub struct LocalTrackMuteRequest {
    #[prost(uint64, required, tag = "1")]
    pub track_handle: u64,
    #[prost(bool, required, tag = "2")]
    pub mute: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct LocalTrackMuteResponse {
    #[prost(bool, required, tag = "1")]
    pub muted: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrackPublishOptions {
    #[prost(message, optional, tag = "2")]
    pub audio_encoding: Option<AudioEncoding>,
    #[prost(bool, optional, tag = "4")]
    pub dtx: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    pub red: Option<bool>,
    #[prost(enumeration = "TrackSource", optional, tag = "7")]
    pub source: Option<i32>,
    #[prost(string, optional, tag = "8")]
    pub stream: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AudioEncoding {
    #[prost(uint64, required, tag = "1")]
    pub max_bitrate: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct PublishTrackRequest {
    #[prost(uint64, required, tag = "1")]
    pub local_participant_handle: u64,
    #[prost(uint64, required, tag = "2")]
    pub track_handle: u64,
    #[prost(message, required, tag = "3")]
    pub options: TrackPublishOptions,
    #[prost(uint64, optional, tag = "4")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PublishTrackCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(string, optional, tag = "2")]
    pub error: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub publication: Option<OwnedTrackPublication>,
}

#[derive(Clone, PartialEq, Message)]
pub struct UnpublishTrackRequest {
    #[prost(uint64, required, tag = "1")]
    pub local_participant_handle: u64,
    #[prost(string, required, tag = "2")]
    pub track_sid: String,
    #[prost(bool, required, tag = "3")]
    pub stop_on_unpublish: bool,
    #[prost(uint64, optional, tag = "4")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct UnpublishTrackCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(string, optional, tag = "2")]
    pub error: Option<String>,
}

// Text streams.

#[derive(Clone, PartialEq, Message)]
pub struct OwnedTextStreamReader {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
    #[prost(message, required, tag = "2")]
    pub info: TextStreamInfo,
}

#[derive(Clone, PartialEq, Message)]
pub struct OwnedByteStreamReader {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
}

#[derive(Clone, PartialEq, Message)]
pub struct OwnedTextStreamWriter {
    #[prost(message, required, tag = "1")]
    pub handle: FfiOwnedHandle,
    #[prost(message, required, tag = "2")]
    pub info: TextStreamInfo,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamInfo {
    #[prost(string, required, tag = "1")]
    pub stream_id: String,
    #[prost(string, required, tag = "4")]
    pub topic: String,
    #[prost(map = "string, string", tag = "6")]
    pub attributes: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StreamTextOptions {
    #[prost(string, required, tag = "1")]
    pub topic: String,
    #[prost(map = "string, string", tag = "2")]
    pub attributes: HashMap<String, String>,
    #[prost(string, repeated, tag = "3")]
    pub destination_identities: Vec<String>,
    #[prost(string, optional, tag = "4")]
    pub id: Option<String>,
    #[prost(string, optional, tag = "11")]
    pub sender_identity: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StreamError {
    #[prost(string, required, tag = "1")]
    pub description: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamReaderReadIncrementalRequest {
    #[prost(uint64, required, tag = "1")]
    pub reader_handle: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamReaderEvent {
    #[prost(uint64, required, tag = "1")]
    pub reader_handle: u64,
    #[prost(message, optional, tag = "2")]
    pub chunk_received: Option<TextStreamReaderChunkReceived>,
    #[prost(message, optional, tag = "3")]
    pub eos: Option<TextStreamReaderEOS>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamReaderChunkReceived {
    #[prost(string, required, tag = "1")]
    pub content: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamReaderEOS {
    #[prost(message, optional, tag = "1")]
    pub error: Option<StreamError>,
    #[prost(map = "string, string", tag = "2")]
    pub attributes: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StreamSendTextRequest {
    #[prost(uint64, required, tag = "1")]
    pub local_participant_handle: u64,
    #[prost(message, required, tag = "2")]
    pub options: StreamTextOptions,
    #[prost(string, required, tag = "3")]
    pub text: String,
    #[prost(uint64, optional, tag = "4")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StreamSendTextCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(message, optional, tag = "2")]
    pub info: Option<TextStreamInfo>,
    #[prost(message, optional, tag = "3")]
    pub error: Option<StreamError>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamOpenRequest {
    #[prost(uint64, required, tag = "1")]
    pub local_participant_handle: u64,
    #[prost(message, required, tag = "2")]
    pub options: StreamTextOptions,
    #[prost(uint64, optional, tag = "3")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamOpenCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(message, optional, tag = "2")]
    pub writer: Option<OwnedTextStreamWriter>,
    #[prost(message, optional, tag = "3")]
    pub error: Option<StreamError>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamWriterWriteRequest {
    #[prost(uint64, required, tag = "1")]
    pub writer_handle: u64,
    #[prost(string, required, tag = "2")]
    pub text: String,
    #[prost(uint64, optional, tag = "3")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamWriterWriteCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(message, optional, tag = "2")]
    pub error: Option<StreamError>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamWriterCloseRequest {
    #[prost(uint64, required, tag = "1")]
    pub writer_handle: u64,
    #[prost(string, optional, tag = "2")]
    pub reason: Option<String>,
    #[prost(uint64, optional, tag = "3")]
    pub request_async_id: Option<u64>,
    #[prost(map = "string, string", tag = "4")]
    pub attributes: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TextStreamWriterCloseCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(message, optional, tag = "2")]
    pub error: Option<StreamError>,
}

// Procedure calls.

#[derive(Clone, PartialEq, Message)]
pub struct RpcError {
    #[prost(uint32, required, tag = "1")]
    pub code: u32,
    #[prost(string, required, tag = "2")]
    pub message: String,
    #[prost(string, optional, tag = "3")]
    pub data: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PerformRpcRequest {
    #[prost(uint64, required, tag = "1")]
    pub local_participant_handle: u64,
    #[prost(string, required, tag = "2")]
    pub destination_identity: String,
    #[prost(string, required, tag = "3")]
    pub method: String,
    #[prost(string, required, tag = "4")]
    pub payload: String,
    #[prost(uint32, optional, tag = "5")]
    pub response_timeout_ms: Option<u32>,
    #[prost(uint64, optional, tag = "6")]
    pub request_async_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PerformRpcCallback {
    #[prost(uint64, required, tag = "1")]
    pub async_id: u64,
    #[prost(string, optional, tag = "2")]
    pub payload: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub error: Option<RpcError>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RegisterRpcMethodRequest {
    #[prost(uint64, required, tag = "1")]
    pub local_participant_handle: u64,
    #[prost(string, required, tag = "2")]
    pub method: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct UnregisterRpcMethodRequest {
    #[prost(uint64, required, tag = "1")]
    pub local_participant_handle: u64,
    #[prost(string, required, tag = "2")]
    pub method: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct RpcMethodInvocationEvent {
    #[prost(uint64, required, tag = "1")]
    pub local_participant_handle: u64,
    #[prost(uint64, required, tag = "2")]
    pub invocation_id: u64,
    #[prost(string, required, tag = "3")]
    pub method: String,
    #[prost(string, required, tag = "5")]
    pub caller_identity: String,
    #[prost(string, required, tag = "6")]
    pub payload: String,
    #[prost(uint32, required, tag = "7")]
    pub response_timeout_ms: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct RpcMethodInvocationResponseRequest {
    #[prost(uint64, required, tag = "1")]
    pub local_participant_handle: u64,
    #[prost(uint64, required, tag = "2")]
    pub invocation_id: u64,
    #[prost(string, optional, tag = "3")]
    pub payload: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub error: Option<RpcError>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RpcMethodInvocationResponseResponse {
    #[prost(string, optional, tag = "1")]
    pub error: Option<String>,
}
