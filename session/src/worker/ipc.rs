//! What a worker and a job's process say to each other: length-prefixed protocol buffers over a Unix socket.

use std::io;

use livekit_protocol as proto;
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::options::AgentIdentity;

/// Longest message. A job with its room and metadata takes some kilobytes; more is a stream out of step.
const MAX_LEN: u32 = 16 << 20;

/// A job, as it is handed to whoever runs it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct JobInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) job: Option<proto::Job>,
    #[prost(string, tag = "2")]
    pub(crate) url: String,
    #[prost(string, tag = "3")]
    pub(crate) token: String,
    #[prost(string, tag = "4")]
    pub(crate) worker_id: String,
    #[prost(string, tag = "5")]
    pub(crate) identity: String,
    #[prost(string, tag = "6")]
    pub(crate) name: String,
    #[prost(string, tag = "7")]
    pub(crate) metadata: String,
    #[prost(map = "string, string", tag = "8")]
    pub(crate) attributes: std::collections::HashMap<String, String>,
}

impl JobInfo {
    pub(crate) fn id(&self) -> &str {
        self.job.as_ref().map_or("", |job| &job.id)
    }

    pub(crate) fn room(&self) -> &str {
        self.job
            .as_ref()
            .and_then(|job| job.room.as_ref())
            .map_or("", |room| &room.name)
    }

    pub(crate) fn agent(&self) -> AgentIdentity {
        AgentIdentity {
            identity: self.identity.clone(),
            name: self.name.clone(),
            metadata: self.metadata.clone(),
            attributes: self.attributes.clone(),
        }
    }
}

/// How a job ended: without an error if `error` is absent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct JobEnd {
    #[prost(string, optional, tag = "1")]
    pub(crate) error: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(oneof = "Frame", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9")]
    frame: Option<Frame>,
}

/// One message. The first three go to the process, the others come from it.
// The derive knows no boxes, and one of these lives for a moment only.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Frame {
    #[prost(message, tag = "1")]
    Start(JobInfo),
    #[prost(uint64, tag = "2")]
    Ping(u64),
    #[prost(string, tag = "3")]
    Shutdown(String),
    #[prost(bool, tag = "4")]
    Ready(bool),
    #[prost(string, tag = "5")]
    InitializeFailed(String),
    #[prost(uint64, tag = "6")]
    Pong(u64),
    #[prost(bool, tag = "7")]
    Started(bool),
    #[prost(bool, tag = "8")]
    ShuttingDown(bool),
    #[prost(message, tag = "9")]
    Ended(JobEnd),
}

pub(crate) async fn write_frame(
    writer: &mut (impl AsyncWrite + Unpin),
    frame: Frame,
) -> io::Result<()> {
    let envelope = Envelope { frame: Some(frame) };
    let mut bytes = Vec::with_capacity(4 + envelope.encoded_len());
    bytes.extend_from_slice(&(envelope.encoded_len() as u32).to_be_bytes());
    envelope
        .encode(&mut bytes)
        .expect("a vector grows as needed");
    writer.write_all(&bytes).await?;
    writer.flush().await
}

/// The next message, or `None` when the other end is gone. Not cancel-safe: whoever reads, reads in a task of its own.
pub(crate) async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    loop {
        let len = match reader.read_u32().await {
            Ok(len) if len <= MAX_LEN => len,
            Ok(len) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a message of {len} bytes, where at most {MAX_LEN} are possible"),
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = vec![0; len as usize];
        reader.read_exact(&mut bytes).await?;
        let envelope = Envelope::decode(bytes.as_slice())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        // A message without a body that we know is from another version of this program; it is passed over.
        if let Some(frame) = envelope.frame {
            return Ok(Some(frame));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_arrive_as_they_were_sent_and_the_end_is_seen() {
        let (mut a, mut b) = tokio::io::duplex(16);
        let job = JobInfo {
            job: Some(proto::Job {
                id: "AJ_1".into(),
                ..Default::default()
            }),
            token: "t".repeat(1000),
            ..Default::default()
        };
        let sent = [
            Frame::Start(job),
            Frame::Ping(7),
            Frame::Ended(JobEnd {
                error: Some("why".into()),
            }),
            Frame::Shutdown(String::new()),
        ];
        let copy = sent.clone();
        let writer = tokio::spawn(async move {
            for frame in copy {
                write_frame(&mut a, frame).await.expect("the reader reads");
            }
        });
        for frame in sent {
            assert_eq!(read_frame(&mut b).await.expect("well-formed"), Some(frame));
        }
        writer.await.expect("it writes");
        assert_eq!(read_frame(&mut b).await.expect("an end is no error"), None);
    }

    #[tokio::test]
    async fn a_length_out_of_range_is_an_error() {
        let mut bytes: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0];
        assert!(read_frame(&mut bytes).await.is_err());
    }
}
