//! Noise is taken out before anybody hears it, if that is asked for.

use std::sync::{Arc, Mutex};

use listenkit_session::stt::{RecognizeOptions, Stt, SttCapabilities, Transcript};
use listenkit_session::voice::{AudioInput, SessionIo};
use listenkit_session::{AudioFrame, ProviderError};
use tokio::sync::mpsc;

use crate::stage::{Line, Plain, RATE, ScriptedLlm, ms, parts};

/// Keeps what it is to recognise.
#[derive(Default)]
struct Recorder(Mutex<Vec<AudioFrame>>);

#[async_trait::async_trait]
impl Stt for Recorder {
    fn label(&self) -> &str {
        "recorder.stt"
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::default()
    }

    async fn recognize(
        &self,
        audio: &AudioFrame,
        _: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        self.0.lock().expect("whole").push(audio.clone());
        Ok(Transcript::default())
    }
}

/// The power of the quietest tenth of what the recogniser was given, in dB.
async fn floor_of_what_is_recognised(noise_cancellation: bool) -> f64 {
    let recorder = Arc::new(Recorder::default());
    let session = parts()
        .stt(recorder.clone())
        .llm(ScriptedLlm::says([]))
        .build()
        .expect("a session");
    let (sender, audio) = mpsc::channel(100);
    let io = SessionIo::text_only(audio).noise_cancellation(noise_cancellation);
    session.start(Plain, io).await.expect("it starts");
    let mut random = fastrand::Rng::with_seed(1);
    let silence = vec![0; RATE as usize];
    let samples = [&silence[..], &Line::Sorry.audio(), &silence].concat();
    for part in samples.chunks(RATE as usize / 100) {
        // White noise at -40 dBFS.
        let noisy: Vec<i16> = part
            .iter()
            .map(|&sample| sample.saturating_add(random.i16(-560..=560)))
            .collect();
        let frame = AudioFrame::new(noisy, RATE, 1).expect("whole");
        sender.send(AudioInput::Frame(frame)).await.expect("heard");
        tokio::time::sleep(ms(10)).await;
    }
    drop(sender);
    tokio::time::sleep(ms(3_000)).await;
    let heard = recorder.0.lock().expect("whole");
    let mut powers: Vec<f64> = heard
        .iter()
        .flat_map(|frame| frame.samples().chunks_exact(160))
        .map(|block| block.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / 160.0)
        .collect();
    assert!(powers.len() > 100, "{}", powers.len());
    powers.sort_by(f64::total_cmp);
    10.0 * powers[powers.len() / 10].max(1e-3).log10()
}

#[tokio::test(start_paused = true)]
async fn the_recogniser_is_given_less_noise() {
    let with = floor_of_what_is_recognised(true).await;
    let without = floor_of_what_is_recognised(false).await;
    assert!(with < without - 10.0, "{with} dB instead of {without} dB");
}
