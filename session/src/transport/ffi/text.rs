//! Sending text streams.

use std::collections::HashMap;
use std::sync::Arc;

use listenkit_livekit_ffi::Handle;
use listenkit_livekit_ffi::messages::{
    Event, Request, StreamSendTextRequest, StreamTextOptions, TextStreamOpenRequest,
    TextStreamWriterCloseRequest, TextStreamWriterWriteRequest,
};

use super::room::Shared;
use super::{ANSWER, answer, objection, refused};
use crate::transport::{TextOptions, TextWriter, TransportError};

const WHAT: &str = "cannot send text";

fn stream_options(options: &TextOptions) -> StreamTextOptions {
    StreamTextOptions {
        topic: options.topic.clone(),
        attributes: options.attributes.clone(),
        destination_identities: options.to.clone(),
        id: options.id.clone(),
        sender_identity: options.sender.clone(),
    }
}

pub(super) async fn send(
    shared: &Shared,
    text: &str,
    options: &TextOptions,
) -> Result<String, TransportError> {
    let call = shared
        .client
        .call(|id| {
            Request::SendText(StreamSendTextRequest {
                local_participant_handle: shared.local.id(),
                options: stream_options(options),
                text: text.to_owned(),
                request_async_id: Some(id),
            })
        })
        .map_err(refused(WHAT))?;
    match answer(WHAT, call, ANSWER).await?.message {
        Event::SendText(callback) => {
            objection(WHAT, callback.error.map(|e| e.description))?;
            Ok(callback.info.map(|i| i.stream_id).unwrap_or_default())
        }
        _ => Err(TransportError::Closed),
    }
}

pub(super) async fn open(
    shared: &Arc<Shared>,
    options: &TextOptions,
) -> Result<Writer, TransportError> {
    let call = shared
        .client
        .call(|id| {
            Request::TextStreamOpen(TextStreamOpenRequest {
                local_participant_handle: shared.local.id(),
                options: stream_options(options),
                request_async_id: Some(id),
            })
        })
        .map_err(refused(WHAT))?;
    let mut incoming = answer(WHAT, call, ANSWER).await?;
    let Event::TextStreamOpen(callback) = incoming.message.clone() else {
        return Err(TransportError::Closed);
    };
    objection(WHAT, callback.error.map(|e| e.description))?;
    let opened = callback.writer.ok_or(TransportError::Closed)?;
    let handle = incoming
        .take(&opened.handle)
        .ok_or(TransportError::Closed)?;
    Ok(Writer {
        shared: Arc::clone(shared),
        handle: Some(handle),
        id: opened.info.stream_id,
    })
}

/// The sending end of a text stream.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Taken over by the request that closes it.
    handle: Option<Handle>,
    id: String,
}

impl Writer {
    fn close_request(
        handle: Handle,
        attributes: HashMap<String, String>,
        id: Option<u64>,
    ) -> Request {
        Request::TextStreamClose(TextStreamWriterCloseRequest {
            writer_handle: handle.consumed(),
            reason: None,
            request_async_id: id,
            attributes,
        })
    }
}

#[async_trait::async_trait]
impl TextWriter for Writer {
    fn id(&self) -> &str {
        &self.id
    }

    async fn write(&mut self, text: &str) -> Result<(), TransportError> {
        let writer_handle = self.handle.as_ref().ok_or(TransportError::Closed)?.id();
        let call = self
            .shared
            .client
            .call(|id| {
                Request::TextStreamWrite(TextStreamWriterWriteRequest {
                    writer_handle,
                    text: text.to_owned(),
                    request_async_id: Some(id),
                })
            })
            .map_err(refused(WHAT))
            .map_err(|e| self.shared.explain(e))?;
        match answer(WHAT, call, ANSWER).await?.message {
            Event::TextStreamWriterWrite(callback) => {
                objection(WHAT, callback.error.map(|e| e.description))
            }
            _ => Err(TransportError::Closed),
        }
        .map_err(|e| self.shared.explain(e))
    }

    async fn close(
        mut self: Box<Self>,
        attributes: HashMap<String, String>,
    ) -> Result<(), TransportError> {
        let handle = self.handle.take().ok_or(TransportError::Closed)?;
        let call = self
            .shared
            .client
            .call(|id| Self::close_request(handle, attributes, Some(id)))
            .map_err(refused(WHAT))
            .map_err(|e| self.shared.explain(e))?;
        match answer(WHAT, call, ANSWER).await?.message {
            Event::TextStreamWriterClose(callback) => {
                objection(WHAT, callback.error.map(|e| e.description))
            }
            _ => Err(TransportError::Closed),
        }
        .map_err(|e| self.shared.explain(e))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let request = Self::close_request(handle, HashMap::new(), None);
            let _ = self.shared.client.send(request);
        }
    }
}
