//! The OpenAI-compatible providers against a server that plays back what such servers send.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use futures_util::{StreamExt, stream};
use listenkit_session::llm::{ChatChunk, Llm, Usage};
use listenkit_session::providers::openai::{
    OpenAi, OpenAiLlmOptions, OpenAiOptions, OpenAiSttOptions, OpenAiTtsOptions, SpeechFormat,
};
use listenkit_session::stt::{RecognizeOptions, Stt};
use listenkit_session::tts::Tts;
use listenkit_session::{
    AudioFrame, ChatContext, ChatMessage, ErrorKind, ProviderError, RetryPolicy, Role,
};
use tokio::time::Instant;

/// An answer of the server: status, headers, and the pieces of the body.
#[derive(Clone)]
struct Play {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: Vec<Vec<u8>>,
    end: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Close,
    /// The connection breaks.
    Cut,
    /// Nothing comes any more.
    Hang,
    /// Not even the head comes.
    Deaf,
}

fn play(status: u16, kind: &str, pieces: &[&[u8]]) -> Play {
    Play {
        status,
        headers: vec![("content-type", kind.to_owned())],
        pieces: pieces.iter().map(|piece| piece.to_vec()).collect(),
        end: End::Close,
    }
}

fn events(pieces: &[&str]) -> Play {
    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
    play(200, "text/event-stream", &pieces)
}

fn json(status: u16, body: &str) -> Play {
    play(status, "application/json", &[body.as_bytes()])
}

impl Play {
    fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

#[derive(Clone, Default)]
struct Server {
    plays: Arc<Mutex<Vec<Play>>>,
    requests: Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>,
    url: String,
}

impl Server {
    /// Answers with these, one after the other.
    async fn start(plays: impl IntoIterator<Item = Play>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            plays: Arc::new(Mutex::new(plays.into_iter().collect())),
            url: format!("http://{}/v1/", listener.local_addr().unwrap()),
            ..Self::default()
        };
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    fn client(&self) -> OpenAi {
        OpenAi::new(OpenAiOptions {
            base_url: Some(self.url.clone()),
            api_key: Some("sk-test-key".into()),
            first_byte_timeout: Duration::from_millis(600),
            chunk_timeout: Duration::from_millis(600),
            ..OpenAiOptions::default()
        })
        .unwrap()
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn request(&self, number: usize) -> (String, HeaderMap, Bytes) {
        self.requests.lock().unwrap()[number].clone()
    }
}

async fn answer(
    State(server): State<Server>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    server
        .requests
        .lock()
        .unwrap()
        .push((uri.path().into(), headers, body));
    let play = server.plays.lock().unwrap().remove(0);
    if play.end == End::Deaf {
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(play.status);
    for (name, value) in &play.headers {
        response = response.header(*name, value);
    }
    let pieces = stream::iter(play.pieces).then(|piece| async move {
        // Each is a packet of its own.
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok::<_, std::io::Error>(piece)
    });
    let body = match play.end {
        End::Cut => Body::from_stream(pieces.chain(stream::once(async {
            // What was sent before has left by then.
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err(std::io::Error::other("cut"))
        }))),
        End::Hang => Body::from_stream(pieces.chain(stream::pending())),
        End::Close | End::Deaf => Body::from_stream(pieces),
    };
    response.body(body).unwrap()
}

fn context() -> ChatContext {
    let mut context = ChatContext::new();
    context.push(ChatMessage::new(Role::System, "Be brief."));
    context.push(ChatMessage::new(Role::User, "Hi \"you\" 👋"));
    context
}

async fn chat(server: &Server) -> Result<Vec<ChatChunk>, ProviderError> {
    let llm = server.client().llm(OpenAiLlmOptions {
        model: "test-model".into(),
        ..OpenAiLlmOptions::default()
    });
    let mut chunks = Vec::new();
    let mut stream = llm.chat(&context()).await?;
    while let Some(chunk) = stream.next().await {
        chunks.push(chunk?);
    }
    assert!(stream.next().await.is_none());
    Ok(chunks)
}

fn text(chunks: &[ChatChunk]) -> String {
    chunks.iter().map(|chunk| chunk.text.as_str()).collect()
}

const HELLO: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const PIECE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Héllo 👋\"}}]}\n\n";
const STOP: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[tokio::test]
async fn a_streamed_answer_comes_in_pieces_and_with_its_usage() {
    let server = Server::start([events(&[
        HELLO,
        ": keep-alive\n\n",
        PIECE,
        PIECE,
        STOP,
        USAGE,
        DONE,
    ])])
    .await;
    let chunks = chat(&server).await.unwrap();
    assert_eq!(text(&chunks), "Héllo 👋Héllo 👋");
    assert_eq!(chunks.len(), 3);
    let usage = Usage {
        prompt_tokens: 9,
        completion_tokens: 3,
    };
    assert_eq!(chunks[2].usage, Some(usage));

    let (path, headers, body) = server.request(0);
    assert_eq!(path, "/v1/chat/completions");
    assert_eq!(headers["authorization"], "Bearer sk-test-key");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let expected = serde_json::json!({
        "model": "test-model",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi \"you\" 👋"}],
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn packets_may_split_characters_and_line_ends() {
    let stream = format!("{HELLO}{PIECE}{STOP}{DONE}").replace('\n', "\r\n");
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    let server = Server::start([play(200, "text/event-stream", &bytes)]).await;
    assert_eq!(text(&chat(&server).await.unwrap()), "Héllo 👋");
}

#[tokio::test]
async fn a_server_that_does_not_stream_or_forgets_done_is_understood() {
    let whole = "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"All.\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";
    let server = Server::start([json(200, whole), events(&[PIECE, STOP])]).await;
    assert_eq!(text(&chat(&server).await.unwrap()), "All.");
    assert_eq!(text(&chat(&server).await.unwrap()), "Héllo 👋");
}

#[tokio::test]
async fn null_means_absent_and_text_may_come_in_parts() {
    // The last chunk of Azure; usage of a server that does not count.
    const NULL: &str =
        "data: {\"choices\":[{\"index\":0,\"delta\":null,\"finish_reason\":\"stop\"}]}\n\n";
    const NO_CHOICES: &str = "data: {\"choices\":null,\"error\":null,\"usage\":{\"prompt_tokens\":null,\"completion_tokens\":3}}\n\n";
    // Mistral's reasoning models, and its answers with references.
    const PARTS: &str = "data: {\"choices\":[{\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}]},{\"type\":\"text\",\"text\":\"Hi\"},{\"type\":\"reference\",\"reference_ids\":[1]},{\"type\":\"text\",\"text\":\" you\"}]}}]}\n\n";
    let server = Server::start([
        events(&[PIECE, NULL, NO_CHOICES, DONE]),
        events(&[PARTS, STOP, DONE]),
        json(
            200,
            "{\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"All.\"}]},\"delta\":null,\"finish_reason\":\"stop\"}],\"usage\":null}",
        ),
    ])
    .await;
    let chunks = chat(&server).await.unwrap();
    assert_eq!(text(&chunks), "Héllo 👋");
    let usage = chunks.last().unwrap().usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (0, 3));
    assert_eq!(text(&chat(&server).await.unwrap()), "Hi you");
    assert_eq!(text(&chat(&server).await.unwrap()), "All.");
}

#[tokio::test]
async fn an_empty_reason_is_no_end() {
    const PIECE: &str =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Half\"},\"finish_reason\":\"\"}]}\n\n";
    let server = Server::start([events(&[PIECE]), events(&[PIECE, STOP])]).await;
    let error = chat(&server).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Connection, "{error}");
    assert_eq!(text(&chat(&server).await.unwrap()), "Half");
}

#[tokio::test]
async fn a_stream_that_ends_early_breaks_hangs_or_lies_is_an_error() {
    for (play, kind) in [
        (events(&[PIECE]), ErrorKind::Connection),
        (events(&[PIECE]).end(End::Cut), ErrorKind::Connection),
        (events(&[PIECE]).end(End::Hang), ErrorKind::Timeout),
        (events(&[PIECE]).end(End::Deaf), ErrorKind::Timeout),
        (
            events(&[PIECE, "data: {\"choices\": [\n\n"]),
            ErrorKind::Malformed,
        ),
        (
            events(&[
                PIECE,
                "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n",
            ]),
            ErrorKind::Server,
        ),
        (
            events(&[
                PIECE,
                "data: {\"error\":{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}\n\n",
            ]),
            ErrorKind::RateLimited,
        ),
        (
            events(&[
                PIECE,
                "data: {\"error\":{\"message\":\"no\",\"code\":400}}\n\n",
            ]),
            ErrorKind::Rejected,
        ),
        (
            json(200, "{\"error\":\"model is loading\"}"),
            ErrorKind::Server,
        ),
        (json(200, "{}"), ErrorKind::Malformed),
    ] {
        let server = Server::start([play]).await;
        let began = Instant::now();
        let error = chat(&server).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

#[tokio::test]
async fn a_status_says_whether_to_try_again() {
    use ErrorKind::{RateLimited, Rejected, Server as Failed, Timeout};
    for (status, kind) in [
        (400, Rejected),
        (401, Rejected),
        (403, Rejected),
        (404, Rejected),
        (408, Timeout),
        (409, Failed),
        (413, Rejected),
        (422, Rejected),
        (429, RateLimited),
        (499, Failed),
        (500, Failed),
        (502, Failed),
        (503, Failed),
        (504, Failed),
        (529, Failed),
    ] {
        let body = "{\"error\":{\"message\":\"because of sk-test-key\",\"type\":\"x\"}}";
        let server = Server::start([json(status, body).header("retry-after", "2")]).await;
        let error = chat(&server).await.unwrap_err();
        assert_eq!(error.kind, kind, "{status}");
        assert_eq!(error.retry_after, Some(Duration::from_secs(2)));
        let message = error.to_string();
        assert!(
            message.contains(&format!("HTTP {status}: because of ***")),
            "{message}"
        );
    }
    let quota = json(
        429,
        "{\"error\":{\"message\":\"pay\",\"code\":\"insufficient_quota\"}}",
    );
    let told = json(503, "down for good").header("x-should-retry", "false");
    let server = Server::start([quota, told]).await;
    for _ in 0..2 {
        assert_eq!(chat(&server).await.unwrap_err().kind, Rejected);
    }
    let nobody = Server {
        url: "http://127.0.0.1:9/v1".into(),
        ..Server::default()
    };
    assert_eq!(chat(&nobody).await.unwrap_err().kind, ErrorKind::Connection);
}

#[tokio::test]
async fn a_policy_waits_as_long_as_it_is_asked_and_then_succeeds() {
    let busy = json(429, "{}").header("retry-after-ms", "300");
    let server = Server::start([busy, json(500, "oops"), events(&[PIECE, STOP, DONE])]).await;
    let began = Instant::now();
    let (result, attempts) = RetryPolicy::default().run(|_| chat(&server)).await;
    assert_eq!(text(&result.unwrap()), "Héllo 👋");
    assert_eq!((attempts, server.count()), (3, 3));
    assert!(began.elapsed() >= Duration::from_millis(300));
}

fn clip() -> AudioFrame {
    let samples: Vec<i16> = (0..48_000).flat_map(|n| [n as i16, n as i16]).collect();
    AudioFrame::new(samples, 48_000, 2).unwrap()
}

/// The parts of a form: by name, their heads and their bodies.
fn form(headers: &HeaderMap, body: &[u8]) -> HashMap<String, (String, Vec<u8>)> {
    let kind = headers["content-type"].to_str().unwrap();
    let boundary = format!("--{}", kind.split_once("boundary=").unwrap().1);
    let find = |from: usize, what: &[u8]| {
        let at = body[from..]
            .windows(what.len())
            .position(|window| window == what);
        at.map(|at| from + at)
    };
    let mut parts = HashMap::new();
    let mut at = find(0, boundary.as_bytes()).unwrap() + boundary.len();
    while let Some(end) = find(at, boundary.as_bytes()) {
        let middle = find(at, b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&body[at..middle]).into_owned();
        let name = head
            .split("name=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned();
        parts.insert(name, (head, body[middle + 4..end - 2].to_vec()));
        at = end + boundary.len();
    }
    parts
}

#[tokio::test]
async fn an_utterance_is_sent_as_a_wav_and_comes_back_as_text() {
    let server = Server::start([json(
        200,
        "{\"text\":\" Hello there. \",\"usage\":{\"seconds\":1}}",
    )])
    .await;
    let stt = server.client().stt(OpenAiSttOptions {
        model: "whisper-1".into(),
        prompt: Some("names".into()),
        temperature: Some(0.0),
    });
    let options = RecognizeOptions {
        language: Some("pt-BR".into()),
    };
    let transcript = stt.recognize(&clip(), &options).await.unwrap();
    assert_eq!(transcript.text, "Hello there.");
    assert_eq!(transcript.language.as_deref(), Some("pt-BR"));
    let (path, headers, body) = server.request(0);
    assert_eq!(path, "/v1/audio/transcriptions");
    let parts = form(&headers, &body);
    for (name, value) in [
        ("model", "whisper-1"),
        ("language", "pt"),
        ("prompt", "names"),
        ("temperature", "0"),
        ("response_format", "json"),
    ] {
        assert_eq!(parts[name].1, value.as_bytes(), "{name}");
    }
    let (head, file) = &parts["file"];
    assert!(
        head.contains("filename=\"audio.wav\"") && head.contains("audio/wav"),
        "{head}"
    );
    let reader = hound::WavReader::new(file.as_slice()).unwrap();
    assert_eq!(
        (reader.spec().sample_rate, reader.spec().channels),
        (16_000, 1)
    );
    assert_eq!(reader.duration(), 16_000);
}

#[tokio::test]
async fn an_answer_without_text_is_no_transcript() {
    for (play, kind) in [
        (json(200, "{\"segments\":[]}"), ErrorKind::Malformed),
        (json(200, "Hello"), ErrorKind::Malformed),
        (
            json(200, "{\"error\":{\"message\":\"busy\"}}"),
            ErrorKind::Server,
        ),
        (json(413, "{\"detail\":\"too long\"}"), ErrorKind::Rejected),
        (
            json(200, "{\"text\":\"x").end(End::Hang),
            ErrorKind::Timeout,
        ),
    ] {
        let server = Server::start([play]).await;
        let stt = server.client().stt(OpenAiSttOptions::default());
        let error = stt
            .recognize(&clip(), &RecognizeOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
}

async fn say(server: &Server, format: SpeechFormat) -> (Vec<i16>, Option<ProviderError>) {
    let options = OpenAiTtsOptions {
        model: "tts-1".into(),
        voice: "alloy".into(),
        format,
        ..OpenAiTtsOptions::default()
    };
    let mut frames = match server.client().tts(options).synthesize("Say it.").await {
        Ok(frames) => frames,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut samples = Vec::new();
    while let Some(frame) = frames.recv().await {
        match frame {
            Ok(frame) => {
                assert_eq!((frame.sample_rate(), frame.channels()), (24_000, 1));
                samples.extend_from_slice(frame.samples());
            }
            Err(error) => return (samples, Some(error)),
        }
    }
    (samples, None)
}

const RAW: SpeechFormat = SpeechFormat::Pcm {
    sample_rate: 24_000,
};

#[tokio::test]
async fn speech_comes_as_it_is_made_whatever_the_packets() {
    let expected: Vec<i16> = (-700..700).collect();
    let bytes: Vec<u8> = expected
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let pieces: Vec<&[u8]> = bytes.chunks(333).collect();
    let mut file = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 24_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    expected
        .iter()
        .for_each(|&sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
    let file = file.into_inner();
    let file: Vec<&[u8]> = file.chunks(7).collect();
    let server = Server::start([
        play(200, "audio/pcm", &pieces),
        play(200, "audio/wav", &file),
        play(200, "audio/wav", &file),
    ])
    .await;
    for format in [RAW, SpeechFormat::Wav, RAW] {
        let (samples, error) = say(&server, format).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(samples, expected);
    }
    let (path, _, body) = server.request(0);
    assert_eq!(path, "/v1/audio/speech");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let expected = serde_json::json!({"model": "tts-1", "voice": "alloy", "input": "Say it.", "response_format": "pcm"});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn speech_that_breaks_hangs_or_is_no_audio_is_an_error() {
    let half = [0_u8; 4_800];
    for (play, format, samples, kind) in [
        (
            play(200, "audio/pcm", &[&half]).end(End::Cut),
            RAW,
            2_400,
            ErrorKind::Connection,
        ),
        (
            play(200, "audio/pcm", &[&half]).end(End::Hang),
            RAW,
            2_400,
            ErrorKind::Timeout,
        ),
        (
            json(
                200,
                "{\"error\":{\"message\":\"no voice\",\"code\":\"invalid_request_error\"}}",
            ),
            RAW,
            0,
            ErrorKind::Rejected,
        ),
        (
            play(200, "audio/mpeg", &[b"ID3\x04mp3 data"]),
            SpeechFormat::Wav,
            0,
            ErrorKind::Malformed,
        ),
        (json(503, ""), RAW, 0, ErrorKind::Server),
    ] {
        let server = Server::start([play]).await;
        let (heard, error) = say(&server, format).await;
        assert_eq!(error.unwrap().kind, kind);
        assert_eq!(heard.len(), samples);
    }
}

#[tokio::test]
async fn speech_that_nobody_hears_is_not_fetched_on() {
    let server = Server::start([play(200, "audio/pcm", &[&[0; 4_800]]).end(End::Hang)]).await;
    let mut frames = server
        .client()
        .tts(OpenAiTtsOptions::default())
        .synthesize("x")
        .await
        .unwrap();
    assert!(frames.recv().await.unwrap().is_ok());
    drop(frames);
    // The server sees the connection go: its handler's stream is dropped, and a new request is answered on another one.
    server
        .plays
        .lock()
        .unwrap()
        .push(events(&[PIECE, STOP, DONE]));
    assert_eq!(text(&chat(&server).await.unwrap()), "Héllo 👋");
}

/// OpenAI's own client against the same server: it sends what ours sends, and reads the same in the answers that are played back.
#[tokio::test]
async fn the_official_client_sends_and_reads_the_same() {
    let python = std::env::var("PEER_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = tokio::process::Command::new(&python)
        .args(["-c", "import openai"])
        .output()
        .await;
    if !found.is_ok_and(|output| output.status.success()) {
        println!(
            "skipped: the official client needs a Python with the package openai (set PEER_PYTHON)"
        );
        return;
    }
    let plays = [
        events(&[HELLO, ": keep-alive\n\n", PIECE, STOP, USAGE, DONE]),
        json(200, "{\"text\":\"Hello there.\"}"),
        play(200, "audio/pcm", &[&[0; 4_800]]),
    ];
    let refusals = [
        json(400, "{\"error\":{\"message\":\"no\",\"code\":\"bad\"}}"),
        json(
            429,
            "{\"error\":{\"message\":\"pay\",\"code\":\"insufficient_quota\"}}",
        ),
        json(503, "{}"),
    ];
    let server = Server::start(plays.clone().into_iter().chain(refusals)).await;
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/python/openai_requests.py"
    );
    let run = tokio::process::Command::new(python)
        .args([script, &server.url])
        .env("PYTHONIOENCODING", "utf-8")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), run)
        .await
        .expect("it ends")
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "Héllo 👋|9|3\nHello there.\n4800\n400 bad\n429 insufficient_quota\n503 None\n",
        "{errors}"
    );

    let ours = Server::start(plays).await;
    assert_eq!(text(&chat(&ours).await.unwrap()), "Héllo 👋");
    let stt = ours.client().stt(OpenAiSttOptions {
        model: "whisper-1".into(),
        prompt: Some("names".into()),
        temperature: Some(0.0),
    });
    let options = RecognizeOptions {
        language: Some("pt-BR".into()),
    };
    stt.recognize(&clip(), &options).await.unwrap();
    assert_eq!(say(&ours, RAW).await.0.len(), 2_400);
    for number in 0..3 {
        let (path, headers, body) = server.request(number);
        let (our_path, our_headers, our_body) = ours.request(number);
        assert_eq!(path, our_path);
        assert_eq!(headers["authorization"], our_headers["authorization"]);
        if number == 1 {
            let (mut theirs, mut mine) = (form(&headers, &body), form(&our_headers, &our_body));
            theirs.remove("file").expect("a file");
            mine.remove("file").expect("a file");
            let values = |form: &HashMap<String, (String, Vec<u8>)>| -> Vec<(String, Vec<u8>)> {
                let mut values: Vec<_> = form
                    .iter()
                    .map(|(name, (_, value))| (name.clone(), value.clone()))
                    .collect();
                values.sort();
                values
            };
            assert_eq!(values(&theirs), values(&mine));
        } else {
            let value = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
            assert_eq!(value(&body), value(&our_body));
        }
    }
}
