//! The only place that sends requests: keeps to the allowed origins, holds when paused, and tries again.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use flightdeck_protocol::model::ActivityType;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, header, redirect};
use serde_json::json;

use super::{
    error::Error,
    form::{Form, Sending},
    input::Input,
    page::{Page, shown},
    report::Report,
};

/// How often a request is sent before the agent gives up.
const ATTEMPTS: u32 = 4;
/// The wait before the second attempt; it doubles with each one more.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait that the portal may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the portal may be silent in an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may take in all: it may be a large document.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// The most bytes of a page.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
const REDIRECTS: usize = 10;

/// A client of the portal with its cookies.
pub(super) struct Browser<'r> {
    client: Client,
    origins: Arc<Origins>,
    pace: Duration,
    report: &'r Report,
}

/// Why an attempt did not succeed.
pub(super) enum Miss {
    /// Another attempt may, after so long where the portal said so.
    Again(String, Option<Duration>),
    /// No other attempt would.
    Never(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        Self::Never(error)
    }
}

impl From<reqwest::Error> for Miss {
    fn from(error: reqwest::Error) -> Self {
        let reason = told(error);
        match reason {
            Told::OffOrigin(off) => Self::Never(Error::Failed(off.to_string())),
            Told::Lasting(text) => Self::Never(Error::Failed(text)),
            Told::Passing(text) => Self::Again(text, None),
        }
    }
}

impl<'r> Browser<'r> {
    pub(super) fn new(input: &Input, report: &'r Report) -> Result<Self, Error> {
        let urls = std::iter::once(&input.portal).chain(&input.allow_origins);
        let origins = Arc::new(Origins(urls.map(Url::origin).collect()));
        let guard = Arc::clone(&origins);
        let policy = redirect::Policy::custom(move |attempt| {
            if let Err(off) = guard.permit(attempt.url()) {
                return attempt.error(off);
            }
            if attempt.previous().len() > REDIRECTS {
                return attempt.error("the portal redirects in a circle");
            }
            attempt.follow()
        });
        let client = Client::builder()
            .user_agent(concat!("flightdeck-agent/", env!("CARGO_PKG_VERSION")))
            .cookie_store(true)
            // A Referer would carry the query of one page to another.
            .referer(false)
            .redirect(policy)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .build()
            .map_err(|error| Error::Trouble(format!("cannot set up the HTTP client: {}", told(error))))?;
        Ok(Self { client, origins, pace: Duration::from_millis(input.pace_ms), report })
    }

    /// Fetches a page.
    pub(super) async fn page(&self, url: &Url) -> Result<Page, Error> {
        self.persist(url, async || read_page(self.get(url).await?).await).await
    }

    /// Sends a form; the answer is a page.
    pub(super) async fn submit(&self, form: &Form) -> Result<Page, Error> {
        if form.sending == Sending::Query {
            let mut url = form.action.clone();
            url.query_pairs_mut().clear().extend_pairs(&form.pairs);
            return self.page(&url).await;
        }
        self.persist(&form.action, async || {
            let request = self.request(Method::POST, &form.action)?;
            let request = if form.sending == Sending::Multipart {
                let parts = form.pairs.iter().cloned();
                request
                    .multipart(parts.fold(reqwest::multipart::Form::new(), |all, (name, value)| all.text(name, value)))
            } else {
                request.form(&form.pairs)
            };
            self.hold().await;
            let response = request.send().await.map_err(|error| match error.is_connect() {
                true => Miss::from(error),
                // The portal may have taken the form already: it is not sent twice.
                false => match Miss::from(error) {
                    Miss::Again(reason, _) => Miss::Never(Error::Trouble(reason)),
                    never => never,
                },
            })?;
            if response.status().is_server_error() {
                return Err(Miss::Never(Error::Trouble(answered(&response))));
            }
            read_page(response).await
        })
        .await
    }

    /// Sends one GET; the answer is not one to try again for.
    pub(super) async fn get(&self, url: &Url) -> Result<Response, Miss> {
        let request = self.request(Method::GET, url)?;
        self.hold().await;
        let response = request.send().await?;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let seconds =
                response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let wait = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
            return Err(Miss::Again(answered(&response), wait));
        }
        Ok(response)
    }

    /// Makes attempts until one succeeds, or there is no sense in another.
    pub(super) async fn persist<T>(&self, url: &Url, attempt: impl AsyncFn() -> Result<T, Miss>) -> Result<T, Error> {
        let mut backoff = FIRST_WAIT;
        for nth in 1.. {
            let (reason, wait) = match attempt().await {
                Ok(success) => return Ok(success),
                Err(Miss::Never(error)) => return Err(error),
                Err(Miss::Again(reason, wait)) => (reason, wait.unwrap_or(backoff)),
            };
            if nth == ATTEMPTS {
                return Err(Error::Trouble(format!("gave up on {} after {ATTEMPTS} attempts: {reason}", shown(url))));
            }
            let details =
                json!({"url": shown(url), "attempt": nth, "attempts": ATTEMPTS, "wait_ms": wait.as_millis() as u64});
            self.report.log(ActivityType::Warning, None, &format!("{reason}; trying again"), Some(details))?;
            tokio::time::sleep(wait).await;
            backoff *= 2;
        }
        unreachable!("the last attempt returns")
    }

    /// Whether the agent may go to `url`.
    pub(super) fn permit(&self, url: &Url) -> Result<(), Error> {
        self.origins.permit(url).map_err(|off| Error::Failed(off.to_string()))
    }

    fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, Error> {
        self.permit(url)?;
        Ok(self.client.request(method, url.clone()).header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8"))
    }

    /// Keeps the pace, and holds while the agent is paused.
    async fn hold(&self) {
        tokio::time::sleep(self.pace).await;
        self.report.go_ahead().await;
    }
}

/// Reads an answer that is a page.
async fn read_page(mut response: Response) -> Result<Page, Miss> {
    if !response.status().is_success() {
        return Err(Miss::Never(Error::Failed(answered(&response))));
    }
    let url = response.url().clone();
    let charset = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok()?.split(';').find_map(|part| part.trim().strip_prefix("charset=")))
        .and_then(|label| encoding_rs::Encoding::for_label(label.trim_matches('"').as_bytes()))
        .unwrap_or(encoding_rs::UTF_8);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > PAGE_BYTES {
            let text = format!("the page {} has more than {PAGE_BYTES} bytes", shown(&url));
            return Err(Miss::Never(Error::Failed(text)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Page::new(url, &charset.decode(&body).0))
}

/// Which answer came, in words.
pub(super) fn answered(response: &Response) -> String {
    format!("{} answered {}", shown(response.url()), response.status())
}

/// The origins that the agent may go to.
struct Origins(Vec<url::Origin>);

impl Origins {
    fn permit(&self, url: &Url) -> Result<(), OffOrigin> {
        let origin = url.origin();
        if self.0.contains(&origin) { Ok(()) } else { Err(OffOrigin(origin.ascii_serialization())) }
    }
}

/// The portal leads to an origin that the input does not allow.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the portal leads to {0}, another origin: add it to allow_origins if that is right")]
struct OffOrigin(String);

/// An error of reqwest, without the address, which may be secret.
enum Told {
    OffOrigin(OffOrigin),
    Lasting(String),
    Passing(String),
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffOrigin(off) => off.fmt(f),
            Self::Lasting(text) | Self::Passing(text) => f.write_str(text),
        }
    }
}

fn told(error: reqwest::Error) -> Told {
    let lasting = error.is_redirect() || error.is_builder();
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(off) = cause.downcast_ref::<OffOrigin>() {
            return Told::OffOrigin(off.clone());
        }
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if lasting { Told::Lasting(text) } else { Told::Passing(text) }
}
