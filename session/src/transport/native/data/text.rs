//! Text streams: a header, chunks of at most 15 kB, a trailer; or all of it in the header.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::Value;
use proto::data_stream::header::ContentHeader;
use proto::data_stream::{Chunk, CompressionType, Header, TextHeader, Trailer};

use crate::transport::{TextMessage, TextOptions, TransportError};

/// Bytes of a chunk, and of a header packet: LiveKit's clients use this value, which a packet of 16 kB, the safe size of a data channel's message
/// everywhere, holds with its header.
const CHUNK: usize = 15_000;
/// Longest text that is read, in bytes. A sender that goes on is not heard, so that nobody can fill our memory. The other transport has the same.
const LONGEST_TEXT: usize = 4 << 20;
/// Bytes of all unfinished texts of one sender.
const LONGEST_TEXTS: usize = 16 << 20;
/// Unfinished texts of one sender. An agent has one for each transcript that is being spoken.
const MOST_TEXTS: usize = 128;
/// How long an unfinished text is kept though nothing comes. Only memory is at stake, so it is far longer than a speaker's pause.
const IDLE: Duration = Duration::from_secs(600);

/// An id as UUID version 4 has it.
pub(super) fn fresh_id() -> String {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

fn header_of(options: &TextOptions, id: String, total: Option<usize>, at: SystemTime) -> Header {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Header {
        stream_id: id,
        timestamp: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        topic: options.topic.clone(),
        mime_type: "text/plain".to_owned(),
        total_length: total.map(|len| len as u64),
        attributes: options.attributes.clone(),
        content_header: Some(ContentHeader::TextHeader(TextHeader::default())),
        ..Default::default()
    }
}

fn packet(options_to: &[String], sender: Option<&String>, value: Value) -> proto::DataPacket {
    proto::DataPacket {
        participant_identity: sender.cloned().unwrap_or_default(),
        destination_identities: options_to.to_vec(),
        value: Some(value),
        ..Default::default()
    }
}

/// The whole text in one packet, with the id of its stream; `None` if it is too long for that.
pub(super) fn inline(
    text: &str,
    options: &TextOptions,
    at: SystemTime,
) -> Option<(String, proto::DataPacket)> {
    if text.len() > CHUNK {
        return None;
    }
    let id = options.id.clone().unwrap_or_else(fresh_id);
    let mut header = header_of(options, id.clone(), Some(text.len()), at);
    header.inline_content = Some(text.as_bytes().to_vec());
    let packet = packet(
        &options.to,
        options.sender.as_ref(),
        Value::StreamHeader(header),
    );
    (packet.encoded_len() <= CHUNK).then_some((id, packet))
}

/// The sending end of a text stream: makes its packets, which go out in the order they were made.
pub(crate) struct TextOut {
    id: String,
    to: Vec<String>,
    sender: Option<String>,
    next: u64,
}

impl TextOut {
    /// The stream and its first packet.
    ///
    /// # Errors
    /// [`TransportError::Refused`] if topic, attributes and receivers are too long for one packet.
    pub(crate) fn open(
        options: &TextOptions,
        total: Option<usize>,
        at: SystemTime,
    ) -> Result<(Self, proto::DataPacket), TransportError> {
        let out = Self {
            id: options.id.clone().unwrap_or_else(fresh_id),
            to: options.to.clone(),
            sender: options.sender.clone(),
            next: 0,
        };
        let header = header_of(options, out.id.clone(), total, at);
        let packet = out.packet(Value::StreamHeader(header));
        let len = packet.encoded_len();
        if len > CHUNK {
            return Err(TransportError::Refused {
                what: "cannot send text",
                message: format!(
                    "topic, attributes and receivers take {len} bytes, where {CHUNK} may travel"
                ),
            });
        }
        Ok((out, packet))
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Packets with this text; none for an empty one. They are cut between characters: some receivers look at each by itself.
    pub(crate) fn write(&mut self, text: &str) -> Vec<proto::DataPacket> {
        let mut packets = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let mut end = rest.len().min(CHUNK);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (piece, after) = rest.split_at(end);
            rest = after;
            let chunk = Chunk {
                stream_id: self.id.clone(),
                chunk_index: self.next,
                content: piece.as_bytes().to_vec(),
                ..Default::default()
            };
            self.next += 1;
            packets.push(self.packet(Value::StreamChunk(chunk)));
        }
        packets
    }

    /// The last packet; these attributes are added to those of the first.
    pub(crate) fn close(self, attributes: HashMap<String, String>) -> proto::DataPacket {
        let trailer = Trailer {
            stream_id: self.id.clone(),
            reason: String::new(),
            attributes,
        };
        self.packet(Value::StreamTrailer(trailer))
    }

    fn packet(&self, value: Value) -> proto::DataPacket {
        packet(&self.to, self.sender.as_ref(), value)
    }
}

/// What came of a packet of a stream.
#[derive(Debug)]
pub(super) enum Heard {
    Nothing,
    Whole(TextMessage),
    /// The stream was given up.
    Broken(TextMessage),
}

struct Unfinished {
    message: TextMessage,
    bytes: Vec<u8>,
    next: u64,
    total: Option<u64>,
    expires: Instant,
}

impl Unfinished {
    fn broken(self, why: &str) -> Heard {
        let TextMessage {
            identity, topic, ..
        } = &self.message;
        tracing::warn!(identity, topic, "a text stream broke off: {why}");
        Heard::Broken(self.message)
    }

    fn whole(mut self) -> Heard {
        if self.total.is_some_and(|t| t != self.bytes.len() as u64) {
            return self.broken("it is not as long as was announced");
        }
        match String::from_utf8(std::mem::take(&mut self.bytes)) {
            Ok(text) => {
                self.message.text = text;
                Heard::Whole(self.message)
            }
            Err(_) => self.broken("it is not UTF-8"),
        }
    }
}

/// Streams of others of which the end has not come: by the sender's id, which the server fills in, and the stream's.
#[derive(Default)]
pub(super) struct Incoming(HashMap<String, HashMap<String, Unfinished>>);

impl Incoming {
    pub(super) fn header(
        &mut self,
        sid: &str,
        identity: String,
        mut header: Header,
        now: Instant,
    ) -> Heard {
        // Files and other bytes have no reader here.
        if !matches!(header.content_header, Some(ContentHeader::TextHeader(_))) {
            return Heard::Nothing;
        }
        let id = std::mem::take(&mut header.stream_id);
        let message = super::message(id.clone(), identity, &mut header);
        let mut stream = Unfinished {
            message,
            bytes: Vec::new(),
            next: 0,
            total: header.total_length,
            expires: now + IDLE,
        };
        if header.compression != i32::from(CompressionType::None) {
            return stream.broken("it is compressed, which we never said that we understand");
        }
        if stream.total.is_some_and(|t| t > LONGEST_TEXT as u64) {
            return stream.broken("it is too long");
        }
        if let Some(content) = header.inline_content {
            stream.bytes = content;
            return stream.whole();
        }
        let streams = self.0.entry(sid.to_owned()).or_default();
        if streams.contains_key(&id) {
            tracing::warn!(
                identity = stream.message.identity,
                id,
                "a text stream is opened twice"
            );
            return Heard::Nothing;
        }
        if streams.len() >= MOST_TEXTS {
            return stream.broken("its sender has too many open");
        }
        streams.insert(id, stream);
        Heard::Nothing
    }

    pub(super) fn chunk(&mut self, sid: &str, chunk: Chunk, now: Instant) -> Heard {
        let Some(streams) = self.0.get_mut(sid) else {
            return Heard::Nothing;
        };
        let all: usize = streams.values().map(|s| s.bytes.len()).sum();
        let Some(stream) = streams.get_mut(&chunk.stream_id) else {
            return Heard::Nothing;
        };
        // Said twice, after a resumed connection.
        if chunk.chunk_index < stream.next {
            return Heard::Nothing;
        }
        let len = chunk.content.len();
        let why = if chunk.chunk_index > stream.next {
            "a part is missing"
        } else if stream.bytes.len() + len > LONGEST_TEXT || all + len > LONGEST_TEXTS {
            "it is too long"
        } else {
            stream.next += 1;
            stream.expires = now + IDLE;
            stream.bytes.extend_from_slice(&chunk.content);
            return Heard::Nothing;
        };
        self.take(sid, &chunk.stream_id)
            .map_or(Heard::Nothing, |stream| stream.broken(why))
    }

    pub(super) fn trailer(&mut self, sid: &str, trailer: Trailer) -> Heard {
        let Some(mut stream) = self.take(sid, &trailer.stream_id) else {
            return Heard::Nothing;
        };
        if !trailer.reason.is_empty() {
            return stream.broken(&trailer.reason);
        }
        stream.message.attributes.extend(trailer.attributes);
        stream.whole()
    }

    fn take(&mut self, sid: &str, id: &str) -> Option<Unfinished> {
        let streams = self.0.get_mut(sid)?;
        let stream = streams.remove(id);
        if streams.is_empty() {
            self.0.remove(sid);
        }
        stream
    }

    /// A sender left.
    pub(super) fn abort(&mut self, sid: &str) {
        for stream in self.0.remove(sid).into_iter().flatten() {
            stream.1.broken("its sender left");
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let streams = self.0.values().flat_map(HashMap::values);
        streams.map(|s| s.expires).min()
    }

    pub(super) fn handle_time(&mut self, now: Instant) {
        for streams in self.0.values_mut() {
            for (_, stream) in streams.extract_if(|_, s| s.expires <= now) {
                stream.broken("nothing came for long");
            }
        }
        self.0.retain(|_, streams| !streams.is_empty());
    }
}
