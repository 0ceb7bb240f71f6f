//! A recogniser of utterances that does what a script says, and remembers what it was asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use listenkit_session::stt::{RecognizeOptions, Stt, SttCapabilities, Transcript};
use listenkit_session::{AudioFrame, ErrorKind, ProviderError};

/// What one request does: after the delay, this.
pub(crate) type Step = (Duration, Result<String, ErrorKind>);

type Script = dyn Fn(usize, &AudioFrame) -> Step + Send + Sync;

/// See the module.
pub(crate) struct ScriptedStt {
    script: Box<Script>,
    clips: Mutex<Vec<AudioFrame>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

#[allow(dead_code, reason = "not every test asks for everything")]
impl ScriptedStt {
    /// `script` gets the number of the request, from 0, and its clip.
    pub(crate) fn new(script: impl Fn(usize, &AudioFrame) -> Step + Send + Sync + 'static) -> Self {
        Self {
            script: Box::new(script),
            clips: Mutex::new(Vec::new()),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
        }
    }

    /// All clips it was asked about, in order of the requests.
    pub(crate) fn clips(&self) -> Vec<AudioFrame> {
        self.clips.lock().expect("no test panics with it").clone()
    }

    /// Most requests at the same time.
    pub(crate) fn most_running(&self) -> usize {
        self.most_running.load(Ordering::SeqCst)
    }

    /// Requests at this moment.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

/// Counts down however the request ends.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Stt for ScriptedStt {
    fn label(&self) -> &str {
        "scripted"
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::default()
    }

    async fn recognize(
        &self,
        audio: &AudioFrame,
        _: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        let number = {
            let mut clips = self.clips.lock().expect("no test panics with it");
            clips.push(audio.clone());
            clips.len() - 1
        };
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _running = Running(&self.running);
        self.most_running.fetch_max(running, Ordering::SeqCst);
        let (delay, outcome) = (self.script)(number, audio);
        tokio::time::sleep(delay).await;
        match outcome {
            Ok(text) => Ok(Transcript {
                text,
                request_id: Some(format!("request-{number}")),
                ..Transcript::default()
            }),
            Err(kind) => Err(ProviderError::new("scripted", kind, "as the script says")),
        }
    }
}
