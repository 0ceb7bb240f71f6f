//! OpenAI's HTTP interface, and every server that speaks it: recognition, language and voice.
//!
//! Local servers need only [`base_url`](OpenAiOptions::base_url), or `OPENAI_BASE_URL` in the environment.

mod llm;
mod sse;
mod stt;
mod tts;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::time::timeout;
use url::{Host, Url};

pub use llm::{OpenAiLlm, OpenAiLlmOptions};
pub use stt::{OpenAiStt, OpenAiSttOptions};
pub use tts::{OpenAiTts, OpenAiTtsOptions, SpeechFormat};

use crate::{ErrorKind, ProviderError};

const OFFICIAL: &str = "https://api.openai.com/v1";

/// Of an error's body that is quoted.
const QUOTED: usize = 300;

/// Where the server is, and how long it may take. What is `None` is read from the environment.
#[derive(Clone)]
pub struct OpenAiOptions {
    /// Address before `/chat/completions`, else `OPENAI_BASE_URL`, else OpenAI's own.
    pub base_url: Option<String>,
    /// Key, else `OPENAI_API_KEY`. Servers other than OpenAI's may need none.
    pub api_key: Option<String>,
    /// Organisation, else `OPENAI_ORG_ID`.
    pub organization: Option<String>,
    /// Project, else `OPENAI_PROJECT_ID`.
    pub project: Option<String>,
    /// For the connection. Default 5 s.
    pub connect_timeout: Duration,
    /// From the request to the head of the answer. Default 30 s; the session's retry policy is usually shorter.
    pub first_byte_timeout: Duration,
    /// Between two pieces of the answer. Default 10 s.
    pub chunk_timeout: Duration,
}

impl Default for OpenAiOptions {
    fn default() -> Self {
        Self {
            base_url: None,
            api_key: None,
            organization: None,
            project: None,
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(30),
            chunk_timeout: Duration::from_secs(10),
        }
    }
}

crate::setters::setters!(OpenAiOptions {
    [some into] base_url: String,
    [some into] api_key: String,
    [some into] organization: String,
    [some into] project: String,
    connect_timeout: Duration,
    first_byte_timeout: Duration,
    chunk_timeout: Duration
});

/// Without the key.
impl fmt::Debug for OpenAiOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiOptions")
            .field("base_url", &self.base_url)
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .field("organization", &self.organization)
            .field("project", &self.project)
            .field("connect_timeout", &self.connect_timeout)
            .field("first_byte_timeout", &self.first_byte_timeout)
            .field("chunk_timeout", &self.chunk_timeout)
            .finish()
    }
}

/// A variable of the environment. An empty one is not set: that is how one is switched off in a shell or a file of settings.
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A server. Clones, and the providers made of it, share its connections.
#[derive(Clone, Debug)]
pub struct OpenAi(Arc<Server>);

struct Server {
    client: Client,
    base: String,
    key: Option<String>,
    headers: HeaderMap,
    first_byte_timeout: Duration,
    chunk_timeout: Duration,
}

/// Without the key.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl OpenAi {
    /// The server that the environment names.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_env() -> Result<Self, ProviderError> {
        Self::new(OpenAiOptions::default())
    }

    /// A server. Connects with the first request. Proxies of the environment are used but for loopback addresses.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] if the address or the key cannot be one, or OpenAI's own server is meant and there is no key.
    pub fn new(options: OpenAiOptions) -> Result<Self, ProviderError> {
        let rejected = |message: String| ProviderError::new("openai", ErrorKind::Rejected, message);
        let base = options.base_url.or_else(|| env("OPENAI_BASE_URL"));
        let base = base.unwrap_or_else(|| OFFICIAL.into());
        let url = Url::parse(&base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .filter(|url| url.query().is_none() && url.fragment().is_none());
        let Some(url) = url else {
            // Not quoted: it may hold a password.
            return Err(rejected(
                "the base URL is not of the form http(s)://host[:port]/path, without a password and without a query".into(),
            ));
        };
        let key = options.api_key.or_else(|| env("OPENAI_API_KEY"));
        if key.is_none() && url.host_str() == Some("api.openai.com") {
            return Err(rejected(
                "no key: set OPENAI_API_KEY, or the base URL of a server that needs none".into(),
            ));
        }
        let mut headers = HeaderMap::new();
        let organization = options.organization.or_else(|| env("OPENAI_ORG_ID"));
        let project = options.project.or_else(|| env("OPENAI_PROJECT_ID"));
        let bearer = key.as_ref().map(|key| format!("Bearer {key}"));
        for (name, value) in [
            (AUTHORIZATION.as_str(), bearer),
            ("openai-organization", organization),
            ("openai-project", project),
        ] {
            let Some(value) = value else { continue };
            let mut value = HeaderValue::from_str(&value).map_err(|_| {
                rejected(format!(
                    "the value of {name} has characters that no header takes"
                ))
            })?;
            value.set_sensitive(true);
            headers.insert(
                reqwest::header::HeaderName::from_bytes(name.as_bytes())
                    .map_err(|error| rejected(error.to_string()))?,
                value,
            );
        }
        crate::install_crypto_provider();
        let mut client = Client::builder()
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true);
        if is_loopback(&url) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| rejected(chain(&error)))?;
        Ok(Self(Arc::new(Server {
            client,
            base: base.trim_end_matches('/').to_owned(),
            key,
            headers,
            first_byte_timeout: options.first_byte_timeout,
            chunk_timeout: options.chunk_timeout,
        })))
    }

    /// A language model.
    pub fn llm(&self, options: OpenAiLlmOptions) -> OpenAiLlm {
        OpenAiLlm::new(self.clone(), options)
    }

    /// A recogniser.
    pub fn stt(&self, options: OpenAiSttOptions) -> OpenAiStt {
        OpenAiStt::new(self.clone(), options)
    }

    /// A voice.
    pub fn tts(&self, options: OpenAiTtsOptions) -> OpenAiTts {
        OpenAiTts::new(self.clone(), options)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        let server = &self.0;
        server
            .client
            .post(format!("{}/{path}", server.base))
            .headers(server.headers.clone())
    }

    /// The answer, if its status is good.
    async fn send(
        &self,
        provider: &str,
        request: RequestBuilder,
    ) -> Result<Response, ProviderError> {
        let wait = self.0.first_byte_timeout;
        let response = match timeout(wait, request.send()).await {
            Ok(result) => result.map_err(|error| self.failure(provider, error))?,
            Err(_) => {
                let message = format!("no answer for {} s", wait.as_secs_f32());
                return Err(ProviderError::new(provider, ErrorKind::Timeout, message));
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(provider, response).await)
    }

    /// The next piece of an answer; `None` at its end.
    async fn chunk(
        &self,
        provider: &str,
        response: &mut Response,
    ) -> Result<Option<impl AsRef<[u8]> + use<>>, ProviderError> {
        let wait = self.0.chunk_timeout;
        match timeout(wait, response.chunk()).await {
            Ok(result) => result.map_err(|error| self.failure(provider, error)),
            Err(_) => {
                let message = format!("the answer stood still for {} s", wait.as_secs_f32());
                Err(ProviderError::new(provider, ErrorKind::Timeout, message))
            }
        }
    }

    /// A whole answer of at most `limit` bytes.
    async fn body(
        &self,
        provider: &str,
        response: &mut Response,
        limit: usize,
    ) -> Result<Vec<u8>, ProviderError> {
        let mut body = Vec::new();
        while let Some(bytes) = self.chunk(provider, response).await? {
            body.extend_from_slice(bytes.as_ref());
            if body.len() > limit {
                let message = format!("the answer is longer than {limit} bytes");
                return Err(ProviderError::new(provider, ErrorKind::Malformed, message));
            }
        }
        Ok(body)
    }

    fn failure(&self, provider: &str, error: reqwest::Error) -> ProviderError {
        let error = error.without_url();
        let kind = match () {
            () if error.is_timeout() => ErrorKind::Timeout,
            () if error.is_builder() => ErrorKind::Rejected,
            () => ErrorKind::Connection,
        };
        let message = format!("{}: {}", self.0.base, chain(&error));
        ProviderError::new(provider, kind, self.without_key(message))
    }

    async fn refusal(&self, provider: &str, mut response: Response) -> ProviderError {
        let status = response.status();
        let headers = response.headers().clone();
        let body = self.body(provider, &mut response, 64 * 1024).await;
        let said = Said::read(&body.unwrap_or_default());
        let mut error = ProviderError::new(
            provider,
            match headers.get("x-should-retry").map(HeaderValue::as_bytes) {
                Some(b"false") => ErrorKind::Rejected,
                _ => kind_of(status, said.code.as_deref()),
            },
            format!("HTTP {}: {}", status.as_u16(), self.quoted(said.message)),
        );
        error.retry_after = retry_after(&headers, SystemTime::now());
        error
    }

    /// An error inside an answer that began well.
    fn error_in_answer(&self, provider: &str, body: &[u8]) -> ProviderError {
        let said = Said::read(body);
        let status = said.code.as_deref().and_then(|code| code.parse().ok());
        let kind = match status.and_then(|code: u16| StatusCode::from_u16(code).ok()) {
            Some(status) => kind_of(status, None),
            None => match said.code.as_deref().unwrap_or_default() {
                "rate_limit_exceeded" => ErrorKind::RateLimited,
                "insufficient_quota"
                | "invalid_request_error"
                | "invalid_api_key"
                | "context_length_exceeded" => ErrorKind::Rejected,
                _ => ErrorKind::Server,
            },
        };
        let message = format!("error in the answer: {}", self.quoted(said.message));
        ProviderError::new(provider, kind, message)
    }

    /// What a server said, as far as an error quotes it. The key goes before the rest is cut off, lest a part of it stays.
    fn quoted(&self, said: String) -> String {
        let mut said = self.without_key(said);
        if let Some((at, _)) = said.char_indices().nth(QUOTED) {
            said.truncate(at);
            said.push('…');
        }
        said
    }

    fn without_key(&self, text: String) -> String {
        match &self.0.key {
            Some(key) if !key.is_empty() => text.replace(key.as_str(), "***"),
            _ => text,
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// What of a status may pass: as OpenAI's own client has it (408, 409, 429, 5xx), and 499, by which proxies say that they gave up.
fn kind_of(status: StatusCode, code: Option<&str>) -> ErrorKind {
    match status.as_u16() {
        408 => ErrorKind::Timeout,
        // Waiting does not fill an account.
        429 if code == Some("insufficient_quota") => ErrorKind::Rejected,
        429 => ErrorKind::RateLimited,
        409 | 499 | 500.. => ErrorKind::Server,
        _ => ErrorKind::Rejected,
    }
}

/// `retry-after-ms`, or `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    if let Some(ms) = text("retry-after-ms").and_then(number) {
        return seconds(ms / 1_000.0);
    }
    let value = text("retry-after")?;
    match number(value) {
        Some(value) => seconds(value),
        None => date(value).map(|at| at.duration_since(now).unwrap_or_default()),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
fn date(text: &str) -> Option<SystemTime> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = parts[..] else {
        return None;
    };
    let month = MONTHS
        .find(month)
        .filter(|at| at % 3 == 0 && month.len() == 3)? as u64
        / 3
        + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<u64> = time
        .split(':')
        .map_while(|part| part.parse().ok())
        .collect();
    let [hour, minute, second] = clock[..] else {
        return None;
    };
    if !(1970..=9999).contains(&year)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    // Days since 1970 with years that begin in March, so that the leap day is the last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// What the body of an error says.
struct Said {
    message: String,
    /// Its code, else its type.
    code: Option<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: Option<serde_json::Value>,
    detail: Option<serde_json::Value>,
    message: Option<serde_json::Value>,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let parsed: Option<ErrorBody> = serde_json::from_slice(body).ok();
        let inner = parsed.and_then(|body| body.error.or(body.detail).or(body.message));
        let field = |name| {
            inner
                .as_ref()?
                .get(name)
                .filter(|value| !value.is_null())
                .map(text)
        };
        let message = match &inner {
            Some(inner) => field("message").unwrap_or_else(|| text(inner)),
            None => String::from_utf8_lossy(body).trim().to_owned(),
        };
        Self {
            message: match message.is_empty() {
                true => "no reason given".into(),
                false => message,
            },
            code: field("code").or_else(|| field("type")),
        }
    }
}

/// An error with its causes, which is where the reason is.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds_since_1970() {
        // Of RFC 9110, and from GNU date.
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Sat, 01 Mar 2025 00:00:00 GMT", 1_740_787_200),
        ] {
            let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(date(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "soon",
            "Sun, 06 Xxx 1994 08:49:37 GMT",
            "Sun, 06 Nov 0000 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn retry_after_takes_seconds_milliseconds_and_dates() {
        let now = date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let read = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(
                reqwest::header::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]);
            retry_after(&headers, now)
        };
        assert_eq!(read("retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(read("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(
            read("retry-after-ms", "250"),
            Some(Duration::from_millis(250))
        );
        let date = read("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT");
        assert_eq!(date, Some(Duration::from_secs(10)));
        let past = read("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        for nonsense in ["-1", "NaN", "inf", "1e300", "later"] {
            assert_eq!(read("retry-after", nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn keys_are_in_no_debug_output() {
        let options = OpenAiOptions {
            api_key: Some("sk-secret".into()),
            base_url: Some("http://127.0.0.1:9/v1/".into()),
            ..OpenAiOptions::default()
        };
        assert!(!format!("{options:?}").contains("secret"));
        let server = OpenAi::new(options).unwrap();
        assert!(
            !format!("{server:?} {:?}", server.llm(OpenAiLlmOptions::default())).contains("secret")
        );
        assert_eq!(server.quoted("bad key sk-secret".into()), "bad key ***");
        let long = format!("{}sk-secret", "x".repeat(QUOTED - 4));
        let quoted = server.quoted(long);
        assert!(quoted.ends_with("x***"), "{quoted}");
    }

    #[test]
    fn addresses_that_are_none_are_refused_without_quoting_them() {
        for base in [
            "",
            "localhost:80",
            "ftp://x/v1",
            "http://user:hunter2@x/v1",
            "http://x/v1?key=hunter2",
        ] {
            let error = OpenAi::new(OpenAiOptions {
                base_url: Some(base.into()),
                ..OpenAiOptions::default()
            });
            let error = error.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Rejected);
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
