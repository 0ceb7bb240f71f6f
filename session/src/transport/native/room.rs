//! A room that was joined: what can be asked of it. Everything is answered by its task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use tokio::sync::{mpsc, oneshot, watch};

use super::data::TextOut;
use super::hear::HEARING;
use super::model::Shared;
use super::publish::{self, Published};
use super::{ANSWER, task};
use crate::AudioFrame;
use crate::transport::{
    AudioTrack, ConnectOptions, Connection, DataOptions, Participant, PublishOptions, Room,
    RpcError, TextOptions, TextWriter, TrackKind, TransportError,
};

/// How long leaving may take.
const LEAVING: Duration = Duration::from_secs(5);

/// What a call from one participant to another may take on top of the answer's own time: the way there, as long as LiveKit's clients allow it.
const RPC_WAY: Duration = Duration::from_secs(8);

pub(super) type Reply<T> = oneshot::Sender<Result<T, TransportError>>;

/// What the task is asked.
pub(super) enum Command {
    Subscribe {
        sid: String,
        subscribed: bool,
    },
    Open {
        sid: String,
        sample_rate: u32,
        channels: u32,
        reply: Reply<mpsc::Receiver<AudioFrame>>,
    },
    Age {
        sid: String,
        reply: Reply<Option<Duration>>,
    },
    Publish {
        published: Box<Published>,
        reply: Reply<()>,
    },
    /// Audio waits in the queue of a track of ours.
    Wake {
        cid: String,
    },
    Mute {
        cid: String,
        muted: bool,
    },
    Unpublish {
        cid: String,
    },
    Data {
        payload: Vec<u8>,
        options: DataOptions,
        reply: Reply<()>,
    },
    Text {
        text: String,
        options: TextOptions,
        reply: Reply<String>,
    },
    OpenText {
        options: TextOptions,
        reply: Reply<TextOut>,
    },
    Packets {
        packets: Vec<proto::DataPacket>,
        reply: Option<Reply<()>>,
    },
    Attributes {
        attributes: HashMap<String, String>,
        reply: Reply<()>,
    },
    Call {
        identity: String,
        method: String,
        payload: String,
        timeout: Duration,
        reply: oneshot::Sender<Result<String, RpcError>>,
    },
    Register(String),
    Leave,
}

pub(super) async fn connect(
    url: &str,
    token: &str,
    options: &ConnectOptions,
) -> Result<Connection, TransportError> {
    let (commands, inbox) = mpsc::unbounded_channel();
    let (events, receiver) = mpsc::unbounded_channel();
    let (ended, has_ended) = watch::channel(false);
    let shared = Arc::new(Shared::new(commands, has_ended));
    let (reply, joined) = oneshot::channel();
    let joining = task::Joining {
        url: url.to_owned(),
        token: token.to_owned(),
        options: options.clone(),
        shared,
        events,
        commands: inbox,
        joined: reply,
    };
    // In a task of its own, so that a caller who gives up leaves nobody behind.
    tokio::spawn(async move {
        task::run(joining).await;
        let _ = ended.send(true);
    });
    let room = joined.await.unwrap_or(Err(TransportError::Closed))?;
    Ok(Connection {
        room: Arc::new(room),
        events: receiver,
    })
}

/// A joined room.
pub(super) struct NativeRoom {
    shared: Arc<Shared>,
}

impl NativeRoom {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn open(&self) -> Result<(), TransportError> {
        if self.shared.state().over {
            Err(TransportError::Closed)
        } else {
            Ok(())
        }
    }

    async fn ask<T>(
        &self,
        what: &'static str,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, TransportError> {
        self.open()?;
        let (reply, answer) = oneshot::channel();
        self.shared.tell(command(reply));
        wait(what, answer).await
    }
}

async fn wait<T>(
    what: &'static str,
    answer: oneshot::Receiver<Result<T, TransportError>>,
) -> Result<T, TransportError> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(TransportError::Closed),
        Err(_) => Err(TransportError::Timeout {
            what,
            after: ANSWER,
        }),
    }
}

impl Drop for NativeRoom {
    fn drop(&mut self) {
        self.shared.tell(Command::Leave);
    }
}

#[async_trait::async_trait]
impl Room for NativeRoom {
    fn name(&self) -> String {
        self.shared.state().name.clone()
    }

    fn sid(&self) -> String {
        self.shared.state().sid.clone()
    }

    fn local_participant(&self) -> Participant {
        self.shared.state().local.clone()
    }

    fn participants(&self) -> Vec<Participant> {
        let state = self.shared.state();
        state.others.iter().map(|r| r.participant.clone()).collect()
    }

    fn participant(&self, identity: &str) -> Option<Participant> {
        self.shared.state().other(identity).cloned()
    }

    fn is_connected(&self) -> bool {
        self.shared.state().connected
    }

    async fn set_subscribed(
        &self,
        identity: &str,
        sid: &str,
        subscribed: bool,
    ) -> Result<(), TransportError> {
        const WHAT: &str = "cannot change a subscription";
        self.open()?;
        let refused = |message: String| TransportError::Refused {
            what: WHAT,
            message,
        };
        let found = {
            let state = self.shared.state();
            let mut others = state.others.iter();
            let owner = others.find(|r| r.participant.identity == identity);
            owner.and_then(|r| {
                let track = r.participant.tracks.iter().find(|t| t.sid == sid)?;
                Some((track.kind, r.encrypted.contains(sid)))
            })
        };
        match found {
            None => return Err(refused(format!("{identity} has no track {sid}"))),
            Some((TrackKind::Video, _)) if subscribed => {
                return Err(refused("this transport carries no video".to_owned()));
            }
            Some((_, true)) if subscribed => {
                return Err(refused(
                    "it is encrypted end to end, which this transport cannot decrypt".to_owned(),
                ));
            }
            Some(_) => {}
        }
        self.shared.tell(Command::Subscribe {
            sid: sid.to_owned(),
            subscribed,
        });
        Ok(())
    }

    async fn open_audio(
        &self,
        sid: &str,
        sample_rate: u32,
        channels: u32,
    ) -> Result<mpsc::Receiver<AudioFrame>, TransportError> {
        let sid = sid.to_owned();
        self.ask(HEARING, |reply| Command::Open {
            sid,
            sample_rate,
            channels,
            reply,
        })
        .await
    }

    async fn audio_age(&self, sid: &str) -> Result<Option<Duration>, TransportError> {
        let sid = sid.to_owned();
        self.ask(HEARING, |reply| Command::Age { sid, reply }).await
    }

    async fn publish_audio(
        &self,
        options: &PublishOptions,
    ) -> Result<Box<dyn AudioTrack>, TransportError> {
        self.open()?;
        let track = publish::publish(&self.shared, options).await?;
        Ok(Box::new(track))
    }

    async fn publish_data(
        &self,
        payload: &[u8],
        options: &DataOptions,
    ) -> Result<(), TransportError> {
        let (payload, options) = (payload.to_vec(), options.clone());
        self.ask("sending data", |reply| Command::Data {
            payload,
            options,
            reply,
        })
        .await
    }

    async fn send_text(&self, text: &str, options: &TextOptions) -> Result<String, TransportError> {
        let (text, options) = (text.to_owned(), options.clone());
        self.ask("sending text", |reply| Command::Text {
            text,
            options,
            reply,
        })
        .await
    }

    async fn stream_text(
        &self,
        options: &TextOptions,
    ) -> Result<Box<dyn TextWriter>, TransportError> {
        let options = options.clone();
        let out = self
            .ask("opening a text stream", |reply| Command::OpenText {
                options,
                reply,
            })
            .await?;
        Ok(Box::new(Writer {
            id: out.id().to_owned(),
            shared: Arc::clone(&self.shared),
            out: Some(out),
        }))
    }

    async fn set_attributes(
        &self,
        attributes: HashMap<String, String>,
    ) -> Result<(), TransportError> {
        self.ask("setting attributes", |reply| Command::Attributes {
            attributes,
            reply,
        })
        .await
    }

    async fn perform_rpc(
        &self,
        identity: &str,
        method: &str,
        payload: &str,
        timeout: Duration,
    ) -> Result<String, RpcError> {
        let failed = |code: u32, message: String| RpcError {
            code,
            message,
            data: String::new(),
        };
        // 1505: sending failed. 1501: connection timeout.
        self.open().map_err(|e| failed(1505, e.to_string()))?;
        let (reply, answer) = oneshot::channel();
        self.shared.tell(Command::Call {
            identity: identity.to_owned(),
            method: method.to_owned(),
            payload: payload.to_owned(),
            timeout,
            reply,
        });
        match tokio::time::timeout(timeout.saturating_add(RPC_WAY), answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(failed(1505, TransportError::Closed.to_string())),
            Err(_) => Err(failed(1501, "the call was not answered".to_owned())),
        }
    }

    fn register_rpc(&self, method: &str) -> Result<(), TransportError> {
        self.open()?;
        self.shared.tell(Command::Register(method.to_owned()));
        Ok(())
    }

    async fn close(&self) {
        self.shared.tell(Command::Leave);
        let mut ended = self.shared.ended.clone();
        let _ = tokio::time::timeout(LEAVING, ended.wait_for(|ended| *ended)).await;
    }
}

/// The sending end of a text stream.
struct Writer {
    shared: Arc<Shared>,
    id: String,
    /// Until it is closed.
    out: Option<TextOut>,
}

impl Writer {
    async fn send(&self, packets: Vec<proto::DataPacket>) -> Result<(), TransportError> {
        if packets.is_empty() {
            return Ok(());
        }
        if self.shared.state().over {
            return Err(TransportError::Closed);
        }
        let (reply, answer) = oneshot::channel();
        let reply = Some(reply);
        self.shared.tell(Command::Packets { packets, reply });
        wait("sending text", answer).await
    }
}

#[async_trait::async_trait]
impl TextWriter for Writer {
    fn id(&self) -> &str {
        &self.id
    }

    async fn write(&mut self, text: &str) -> Result<(), TransportError> {
        let packets = match &mut self.out {
            Some(out) => out.write(text),
            None => return Err(TransportError::Closed),
        };
        self.send(packets).await
    }

    async fn close(
        mut self: Box<Self>,
        attributes: HashMap<String, String>,
    ) -> Result<(), TransportError> {
        match self.out.take() {
            Some(out) => self.send(vec![out.close(attributes)]).await,
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(out) = self.out.take() {
            self.shared.tell(Command::Packets {
                packets: vec![out.close(HashMap::new())],
                reply: None,
            });
        }
    }
}
