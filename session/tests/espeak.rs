//! The voice of the Debian package.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "common/script.rs"]
mod script;

use std::time::Duration;

use listenkit_session::providers::espeak::{EspeakNg, EspeakOptions};
use listenkit_session::tts::Tts;
use listenkit_session::{ErrorKind, ProviderError};
use tokio::time::Instant;

fn is_installed() -> bool {
    let found = std::process::Command::new("espeak-ng")
        .arg("--version")
        .output()
        .is_ok();
    if !found {
        println!("skipped: needs the Debian package espeak-ng");
    }
    found
}

fn voice(change: impl FnOnce(&mut EspeakOptions)) -> EspeakNg {
    let mut options = EspeakOptions::default();
    change(&mut options);
    EspeakNg::new(options)
}

async fn say(voice: &EspeakNg, text: &str) -> Result<(Vec<i16>, u32), ProviderError> {
    let mut frames = voice.synthesize(text).await?;
    let (mut samples, mut rate) = (Vec::new(), 0);
    while let Some(frame) = frames.recv().await {
        let frame = frame?;
        rate = frame.sample_rate();
        samples.extend_from_slice(frame.samples());
    }
    Ok((samples, rate))
}

#[tokio::test]
async fn it_gives_the_samples_that_the_program_writes() {
    if !is_installed() {
        return;
    }
    let text = "--help me, please: it costs \"5\" $, naïve?\nYes.";
    let (samples, rate) = say(&voice(|_| {}), text).await.unwrap();
    let mut command = std::process::Command::new("espeak-ng");
    let path = std::env::temp_dir().join(format!("listenkit-espeak-{}.wav", std::process::id()));
    command
        .args(["-v", "en", "-w"])
        .arg(&path)
        .args(["--", text]);
    assert!(command.status().unwrap().success());
    let mut file = hound::WavReader::open(&path).unwrap();
    assert_eq!(rate, file.spec().sample_rate);
    let expected: Vec<i16> = file.samples().map(Result::unwrap).collect();
    std::fs::remove_file(path).unwrap();
    assert!(samples.len() > 22_050);
    assert_eq!(samples.len(), expected.len());
    assert!(samples == expected);
}

#[tokio::test]
async fn rate_and_pitch_and_voice_are_heard() {
    if !is_installed() {
        return;
    }
    let text = "This is a sentence of some length.";
    let (normal, _) = say(&voice(|_| {}), text).await.unwrap();
    let (slow, _) = say(&voice(|o| o.words_per_minute = 100), text)
        .await
        .unwrap();
    let (high, _) = say(&voice(|o| o.pitch = 99), text).await.unwrap();
    let (german, _) = say(&voice(|o| o.voice = "de".into()), text).await.unwrap();
    assert!(slow.len() as f64 > 1.4 * normal.len() as f64);
    assert!(high != normal && german != normal);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let missing = voice(|options| options.program = "no-such-espeak".into());
    let error = missing.synthesize("x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert!(
        error
            .to_string()
            .contains("install the Debian package espeak-ng"),
        "{error}"
    );
    if !is_installed() {
        return;
    }
    let error = say(&voice(|options| options.voice = "xx-klingon".into()), "x")
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
    assert!(error.to_string().contains("voice"), "{error}");
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_in_time_and_with_its_reader() {
    let sleeper = std::env::temp_dir().join(format!("listenkit-sleeper-{}", std::process::id()));
    let mark = sleeper.with_extension("pid");
    let script = format!("#!/bin/sh\necho $$ > {}\nexec sleep 60\n", mark.display());
    script::write(&sleeper, &script);
    let voice = voice(|options| {
        options.program = sleeper.clone();
        options.deadline = Duration::from_millis(300);
    });
    let began = Instant::now();
    let error = say(&voice, "x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(is_gone(&mark).await);

    let _ = std::fs::remove_file(&mark);
    let reader = voice.synthesize("x").await.unwrap();
    while !mark.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(reader);
    assert!(is_gone(&mark).await);
    std::fs::remove_file(sleeper).unwrap();
    std::fs::remove_file(mark).unwrap();
}

/// Whether the process of this file ends within ten seconds.
async fn is_gone(mark: &std::path::Path) -> bool {
    for _ in 0..500 {
        let pid = std::fs::read_to_string(mark).unwrap_or_default();
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        if !pid.trim().is_empty() && state.map_or(true, |state| state.contains(") Z ")) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// A program that says this, and then neither more nor ends.
#[cfg(unix)]
fn stuck(says: &str) -> (EspeakNg, std::path::PathBuf) {
    let name = format!("listenkit-stuck-{}-{}", std::process::id(), says.len());
    let path = std::env::temp_dir().join(name);
    let lines = format!("#!/bin/sh\nprintf '{says}'\nexec sleep 30\n");
    script::write(&path, &lines);
    let voice = voice(|options| {
        options.program = path.clone();
        options.deadline = Duration::from_millis(300);
    });
    (voice, path)
}

#[cfg(unix)]
#[tokio::test]
async fn a_program_that_stands_still_is_given_up_in_time() {
    for (says, kind) in [
        ("", ErrorKind::Timeout),
        ("no WAV at all", ErrorKind::Malformed),
    ] {
        let (voice, program) = stuck(says);
        let began = Instant::now();
        let error = say(&voice, "Hello.").await.unwrap_err();
        std::fs::remove_file(program).unwrap();
        assert_eq!(error.kind, kind, "{error}");
        // The program sleeps for 30 s, and 60 deadlines are 18 s.
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
