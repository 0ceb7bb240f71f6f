//! Voices that take text as it comes.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use listenkit_session::tts::{
    SentenceOptions, TextFilter, Tts, TtsCapabilities, TtsCommand, TtsEvent, TtsInput, TtsStream,
};
use listenkit_session::voice::{ReplyOptions, SayOptions};
use listenkit_session::{AudioFrame, ProviderError};
use tokio::sync::mpsc;

use crate::stage::{ScriptedLlm, Stage, ms, parts};

/// Says what it gets, a letter in 50 ms, at once; and which text that is, if it `names` it.
#[derive(Default)]
struct Streaming {
    names: bool,
    got: Arc<Mutex<String>>,
}

#[async_trait::async_trait]
impl Tts for Streaming {
    fn label(&self) -> &str {
        "streaming"
    }

    fn capabilities(&self) -> TtsCapabilities {
        TtsCapabilities {
            streaming: true,
            sample_rate: 24_000,
            channels: 1,
        }
    }

    async fn stream(&self) -> Result<TtsStream, ProviderError> {
        let (input, mut commands) = TtsInput::channel(8);
        let (sender, events) = mpsc::channel(8);
        let (names, got) = (self.names, self.got.clone());
        tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                let TtsCommand::Text(text) = command else {
                    continue;
                };
                got.lock().expect("whole").push_str(&text);
                let letters = text.chars().filter(|c| c.is_alphanumeric()).count();
                let audio = AudioFrame::new(vec![1_000; letters * 1_200], 24_000, 1);
                let audio = audio.expect("a format");
                let name = names.then_some(TtsEvent::Text(text));
                for event in name.into_iter().chain([TtsEvent::Audio(audio)]) {
                    if sender.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(TtsStream { input, events })
    }
}

const REPLY: &str =
    "**One** two [three](https://x.y/z) four five six seven eight nine ten. 👋\n- Eleven twelve.";
const SPOKEN: &str = "One two three four five six seven eight nine ten. \nEleven twelve.";

#[tokio::test(start_paused = true)]
async fn marks_are_not_read_aloud_by_any_voice_and_stay_in_the_history() {
    for (filter, spoken) in [(TextFilter::default(), SPOKEN), (TextFilter::NONE, REPLY)] {
        let voice = Streaming::default();
        let got = voice.got.clone();
        let builder = parts()
            .tts(Arc::new(voice))
            .llm(ScriptedLlm::says([REPLY]))
            .sentences(SentenceOptions::default().filter(filter));
        let stage = Stage::open(builder).await;
        let reply = stage.session.generate_reply(ReplyOptions::default());
        reply.expect("it runs").wait().await;
        assert_eq!(*got.lock().expect("whole"), spoken);
        assert_eq!(stage.history(), [format!("assistant: {REPLY}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_cut_where_it_was_heard_whether_the_voice_names_its_words_or_not() {
    for names in [true, false] {
        let voice = Streaming {
            names,
            ..Streaming::default()
        };
        let builder = parts().tts(Arc::new(voice)).llm(ScriptedLlm::says([REPLY]));
        let mut stage = Stage::open(builder).await;
        let reply = stage.session.generate_reply(ReplyOptions::default());
        let reply = reply.expect("it runs");
        stage.until_agent_speaks().await;
        // 20 letters of it.
        stage.passes(ms(1_000)).await;
        reply.interrupt().expect("it may be");
        reply.wait().await;
        let heard = "assistant: One two three four five (cut)";
        assert_eq!(stage.history(), [heard], "{names}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_word_before_a_pause_is_not_kept_from_the_voice() {
    let voice = Streaming::default();
    let got = voice.got.clone();
    let mut stage = Stage::open(parts().tts(Arc::new(voice))).await;
    let (text, pieces) = mpsc::unbounded_channel();
    let pieces = futures_util::stream::unfold(pieces, |mut pieces| async {
        pieces
            .recv()
            .await
            .map(|piece: &str| (piece.to_owned(), pieces))
    });
    let reply = stage
        .session
        .say_stream(pieces.boxed(), SayOptions::default())
        .expect("it runs");
    text.send("One moment.").expect("it is read");
    stage.passes(ms(1_000)).await;
    assert_eq!(*got.lock().expect("whole"), "One moment.");
    text.send(" Here it is.").expect("it is read");
    drop(text);
    reply.wait().await;
    assert_eq!(*got.lock().expect("whole"), "One moment. Here it is.");
}
