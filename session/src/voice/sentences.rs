//! Opens a voice as a stream of text.

use tokio::sync::mpsc;
use unicode_segmentation::UnicodeSegmentation;

use crate::tts::{SharedTts, TtsCommand, TtsEvent, TtsInput, TtsStream};
use crate::{ProviderError, RetryPolicy};

/// A stream into `tts`; a voice that takes whole texts is given sentence after sentence.
pub(super) fn open(tts: SharedTts, retry: RetryPolicy) -> TtsStream {
    let (input, commands) = TtsInput::channel(64);
    let (out, events) = mpsc::channel(8);
    // Ends with its input, or when nobody reads.
    tokio::spawn(async move {
        if let Err(error) = speak(&tts, retry, commands, &out).await {
            let _ = out.send(Err(error)).await;
        }
    });
    TtsStream { input, events }
}

async fn speak(
    tts: &SharedTts,
    retry: RetryPolicy,
    mut commands: mpsc::Receiver<TtsCommand>,
    out: &mpsc::Sender<Result<TtsEvent, ProviderError>>,
) -> Result<(), ProviderError> {
    let mut text = String::new();
    loop {
        let command = commands.recv().await;
        let over = match &command {
            Some(TtsCommand::Text(more)) => {
                text.push_str(more);
                false
            }
            _ => true,
        };
        loop {
            let mut sentences = text.unicode_sentences();
            let (Some(first), next) = (sentences.next(), sentences.next()) else {
                break;
            };
            if next.is_none() && !over {
                break;
            }
            let sentence = first.to_owned();
            text.drain(..sentence.len());
            let (audio, _) = retry
                .run_for(tts.label(), |_| tts.synthesize(sentence.trim()))
                .await;
            let mut audio = audio?;
            if out.send(Ok(TtsEvent::Text(sentence))).await.is_err() {
                return Ok(());
            }
            while let Some(frame) = audio.recv().await {
                if out.send(Ok(TtsEvent::Audio(frame?))).await.is_err() {
                    return Ok(());
                }
            }
        }
        if command.is_none() {
            return Ok(());
        }
    }
}
