//! Conversations on stdin, what a text model says of them on stdout, as JSON lines: the model alone, for the parity script.
//!
//! `text_turn_raw --onnx FILE --tokenizer FILE [--languages FILE] [--format multilingual|english|causal] [--ort FILE]`
//!
//! The ONNX Runtime library is that of `--ort`, or else of the environment variable ORT_DYLIB_PATH. A line of input is
//! `{"messages": [["user", "so I"], ...], "language": "en"}`; each line begins a conversation of its own unless it has
//! `"goes_on": true`.

use listenkit::text::{LanguageThresholds, OnnxRuntime, TextFormat, TextModel};
use listenkit::{ChatMessage, ChatRole, Probability};
use serde_json::{Value, json};
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = [
        None,
        None,
        None,
        std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from),
    ];
    let mut format = "multilingual".to_owned();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(format!("{arg} needs a value"))?;
        let names = ["--onnx", "--tokenizer", "--languages", "--ort"];
        match names.iter().position(|name| *name == arg) {
            Some(which) => files[which] = Some(PathBuf::from(value)),
            None if arg == "--format" => format = value,
            None => return Err(format!("unknown option {arg}").into()),
        }
    }
    let [onnx, tokenizer, languages, ort] = files;
    let thresholds = match languages {
        Some(path) => LanguageThresholds::parse(&std::fs::read(path)?)?,
        None => LanguageThresholds::uniform(Probability::new(0.5)?),
    };
    let format = match format.as_str() {
        "multilingual" => TextFormat::livekit_multilingual(thresholds),
        "english" => TextFormat::livekit_english(thresholds),
        "causal" => TextFormat::causal(thresholds),
        _ => return Err("the format is multilingual, english or causal".into()),
    };
    let runtime = OnnxRuntime::load(&ort.ok_or("needs --ort or ORT_DYLIB_PATH")?)?;
    let onnx = onnx.ok_or("needs --onnx")?;
    let tokenizer = std::fs::read(tokenizer.ok_or("needs --tokenizer")?)?;
    let model = TextModel::load(&runtime, &onnx, &tokenizer, format)?;

    let mut turn = model.conversation();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let messages = line["messages"].as_array().ok_or("needs messages")?;
        let messages: Vec<ChatMessage<'_>> = messages
            .iter()
            .map(|message| {
                Some(ChatMessage {
                    role: match message[0].as_str()? {
                        "user" => ChatRole::User,
                        "assistant" => ChatRole::Assistant,
                        "system" => ChatRole::System,
                        _ => ChatRole::Tool,
                    },
                    content: message[1].as_str()?,
                })
            })
            .collect::<Option<_>>()
            .ok_or("a message is [role, content]")?;
        if line["goes_on"] != true {
            turn = model.conversation();
        }
        let before = Instant::now();
        let verdict = turn.end_of_turn(&messages, line["language"].as_str())?;
        let seconds = before.elapsed().as_secs_f64();
        let prompt = turn.prompt(&messages)?;
        let answer = json!({
            "text": prompt.text,
            "tokens": prompt.tokens,
            "probability": verdict.probability.map(Probability::value),
            "threshold": verdict.threshold.map(Probability::value),
            "seconds": seconds,
            "notice": verdict.notice.map(|notice| notice.to_string()),
        });
        writeln!(out, "{answer}")?;
    }
    Ok(())
}
