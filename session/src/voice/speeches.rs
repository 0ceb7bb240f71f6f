//! What the agent says: the speech that is heard, and those that wait.

use std::collections::VecDeque;
use std::time::Duration;

use listenkit::SamplePos;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::event::SpeechSource;
use super::generation::{Generation, Source};
use super::message::Message;
use super::speech::SpeechHandle;
use crate::ProviderError;
use crate::tts::{Playout, SentenceOptions, SharedTts, TtsCommand, TtsEvent, TtsInput, Utterance};

/// After this a speech that was stopped counts as over, whatever the playout does. LiveKit Agents 1.8.9: 5 s.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How often the words that are being heard are reported: a word of speech lasts 0.3 s.
const SPOKEN: Duration = Duration::from_millis(200);

/// Pieces of a written reply on their way.
const WRITTEN_CAPACITY: usize = 64;

/// A speech that waits, is made, or is heard.
pub(super) struct Speech {
    pub(super) handle: SpeechHandle,
    pub(super) source: SpeechSource,
    /// The turn of the user's that it answers, and that turn's last sample.
    pub(super) answers: Option<(u64, Option<SamplePos>)>,
    pub(super) add_to_history: bool,
    /// It was begun before the turn was over.
    pub(super) preemptive: bool,
    pub(super) plan: Plan,
    pub(super) generation: Option<Generation>,
    pub(super) utterance: Option<Utterance>,
    watcher: Option<JoinHandle<()>>,
    /// What has been written of it, in a session without a voice.
    pub(super) written: String,
    /// When the voice was opened.
    pub(super) voiced_at: Option<Instant>,
    /// When its first frame left.
    pub(super) audible_at: Option<Instant>,
    /// How long the history was then: what the user says meanwhile comes behind it.
    pub(super) history_at: usize,
    pub(super) pause: Pause,
    /// When it was stopped.
    pub(super) stopped_at: Option<Instant>,
}

/// What it will be made of, when it is its turn.
pub(super) enum Plan {
    Text(futures_util::stream::BoxStream<'static, String>),
    Reply {
        /// The context that a hook made for this reply, with the message.
        context: Option<crate::ChatContext>,
        instructions: Option<String>,
    },
    /// It is being made.
    Started,
}

/// Whether and why nothing is heard of a speech that could be heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pause {
    #[default]
    No,
    /// The user began to speak before its first frame.
    Held,
    /// The user interrupted it with this turn; words will show whether that was meant.
    Claimed {
        turn: u64,
        /// The core says that it was not meant; words are still on their way.
        is_false: bool,
    },
}

impl Speech {
    pub(super) const fn new(handle: SpeechHandle, source: SpeechSource, plan: Plan) -> Self {
        Self {
            handle,
            source,
            answers: None,
            add_to_history: true,
            preemptive: false,
            plan,
            generation: None,
            utterance: None,
            watcher: None,
            written: String::new(),
            voiced_at: None,
            audible_at: None,
            history_at: usize::MAX,
            pause: Pause::No,
            stopped_at: None,
        }
    }

    pub(super) fn interruptible(&self) -> bool {
        self.handle.allow_interruptions()
    }

    /// Whether it is heard at this moment.
    pub(super) fn is_audible(&self) -> bool {
        self.audible_at.is_some() && self.pause == Pause::No && self.stopped_at.is_none()
    }

    pub(super) const fn is_claimed(&self) -> bool {
        matches!(self.pause, Pause::Claimed { .. })
    }

    /// Whether it answers the user's words; others are the program's own wish.
    pub(super) const fn is_reply(&self) -> bool {
        matches!(self.source, SpeechSource::UserTurn)
    }
}

impl Drop for Speech {
    fn drop(&mut self) {
        if let Some(watcher) = &self.watcher {
            watcher.abort();
        }
        if let Some(utterance) = &self.utterance {
            utterance.stop();
        }
        // Whoever waits for it must not wait for ever, whatever became of the session.
        if !self.handle.is_done() {
            self.handle.finish(true);
        }
    }
}

/// The agent's mouth: makes speeches audible, one at a time.
pub(super) struct Mouth {
    tts: Option<SharedTts>,
    playout: Option<Playout>,
    sentences: SentenceOptions,
    messages: mpsc::WeakUnboundedSender<Message>,
    pub(super) current: Option<Speech>,
    pub(super) queue: VecDeque<Speech>,
    next_number: u64,
}

impl Mouth {
    pub(super) fn new(
        tts: Option<SharedTts>,
        playout: Option<Playout>,
        sentences: SentenceOptions,
        messages: mpsc::WeakUnboundedSender<Message>,
    ) -> Self {
        Self {
            tts,
            playout,
            sentences,
            messages,
            current: None,
            queue: VecDeque::new(),
            next_number: 0,
        }
    }

    /// Whether speeches are heard, not only written.
    pub(super) const fn has_voice(&self) -> bool {
        self.tts.is_some() && self.playout.is_some()
    }

    pub(super) fn generate(&mut self, source: Source) -> Generation {
        self.next_number += 1;
        Generation::start(self.next_number, source, self.messages.clone())
    }

    /// Opens the voice for a generation: its first sentences are spoken into memory.
    pub(super) fn open_voice(&self, generation: &mut Generation) {
        let Some(tts) = self.tts.as_ref().filter(|_| !generation.has_voice()) else {
            return;
        };
        let stream = super::sentences::open(tts.clone(), self.sentences.clone());
        generation.audio = Some(stream.events);
        generation.speak(stream.input);
    }

    /// Makes the current speech audible.
    pub(super) fn voice(&mut self) {
        let Some(mut speech) = self.current.take() else {
            return;
        };
        if let Some(mut generation) = speech.generation.take() {
            speech.voiced_at = Some(Instant::now());
            // A voice that nobody reads would end the text, too.
            if self.has_voice() {
                self.open_voice(&mut generation);
                if let Some(audio) = generation.audio.take() {
                    self.play(&mut speech, audio);
                }
            } else {
                self.write(&mut speech, &mut generation);
            }
            speech.generation = Some(generation);
        }
        self.current = Some(speech);
    }

    /// Without a voice the text goes where the voice would be.
    fn write(&self, speech: &mut Speech, generation: &mut Generation) {
        let (input, mut pieces) = TtsInput::channel(WRITTEN_CAPACITY);
        generation.speak(input);
        let (handle, messages) = (speech.handle.clone(), self.messages.clone());
        speech.watcher = Some(tokio::spawn(async move {
            while let Some(piece) = pieces.recv().await {
                let (TtsCommand::Text(text), Some(messages)) = (piece, messages.upgrade()) else {
                    continue;
                };
                let _ = messages.send(Message::Spoken(handle.clone(), text));
            }
        }));
    }

    fn play(&self, speech: &mut Speech, audio: mpsc::Receiver<Result<TtsEvent, ProviderError>>) {
        let Some(playout) = &self.playout else {
            return;
        };
        let utterance = playout.play(audio);
        speech.utterance = Some(utterance.clone());
        let (handle, messages) = (speech.handle.clone(), self.messages.clone());
        let send = move |message| {
            if let Some(messages) = messages.upgrade() {
                let _ = messages.send(message);
            }
        };
        speech.watcher = Some(tokio::spawn(async move {
            if utterance.started().await {
                send(Message::Audible(handle.clone()));
            }
            let mut told = 0;
            let played = loop {
                match tokio::time::timeout(SPOKEN, utterance.finished()).await {
                    Ok(played) => break played,
                    Err(_) => {
                        let heard = utterance.heard();
                        if let Some(more) = heard.get(told..).filter(|more| !more.is_empty()) {
                            send(Message::Spoken(handle.clone(), more.to_owned()));
                            told = heard.len();
                        }
                    }
                }
            };
            send(Message::Played(handle, played));
        }));
    }

    /// Queued speeches and the current one.
    pub(super) fn is_idle(&self) -> bool {
        self.current.is_none() && self.queue.is_empty()
    }

    /// Takes everything that waits out of the queue, up to the first that may not be interrupted; `force` takes all.
    pub(super) fn clear_queue(&mut self, force: bool) -> bool {
        while let Some(speech) = self.queue.front() {
            if !force && !speech.interruptible() {
                return false;
            }
            if let Some(speech) = self.queue.pop_front() {
                speech.handle.finish(true);
            }
        }
        true
    }
}
