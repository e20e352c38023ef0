//! Carries the library's requests over this project's own HTTP client.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, StatusCode};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;

use crate::outgoing::client::ExchangeLimits;
use crate::outgoing::{Client, OutgoingError, Trust, Url};

/// A certificate chain is some kilobytes, and a directory less.
const LIMITS: ExchangeLimits =
    ExchangeLimits { timeout: Duration::from_secs(30), body_bytes_max: 256 * 1024, idle_max: 1 };

/// The longest wait that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Courier(Arc<Inner>);

struct Inner {
    /// Of the server that has the directory, which has everything else as a rule.
    usual: Client,
    trust: Trust,
    /// Since when, in Unix time, the server may be asked again.
    retry_after: Mutex<Option<SystemTime>>,
}

impl Courier {
    pub(super) fn new(directory: &Url, trust: Trust) -> Self {
        let usual = Client::new(directory.clone(), Some(trust.clone()), None, LIMITS);
        Self(Arc::new(Inner { usual, trust, retry_after: Mutex::new(None) }))
    }

    /// How long the server wants to be left alone, by the last answer that said so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let until = (*self.0.retry_after.lock())?;
        until.duration_since(SystemTime::now()).ok().map(|left| left.min(RETRY_AFTER_MAX))
    }

    async fn carry(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
        let agent = HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")));
        parts.headers.insert(USER_AGENT, agent);
        let url = Url::parse(&parts.uri.to_string()).map_err(other)?;
        if !url.upstream().is_tls() {
            // RFC 8555 §6.1.
            return Err(Error::Str("https in a URL of the authority"));
        }
        let request = Request::from_parts(parts, body);
        let response = if url.upstream() == self.0.usual.url().upstream() {
            self.0.usual.request(request).await
        } else {
            Client::new(url, Some(self.0.trust.clone()), None, LIMITS).request(request).await
        };
        let response = response.map_err(other)?;
        let status = response.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            *self.0.retry_after.lock() = retry_after(response.headers());
        }
        // Of what is no problem document the library would say only that it is not JSON.
        if (status.is_client_error() || status.is_server_error()) && !is_json(response.headers()) {
            return Err(other(OutgoingError::Status(status)));
        }
        Ok(BytesResponse::from(response.map(Full::new)))
    }
}

impl HttpClient for Courier {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let courier = self.clone();
        Box::pin(async move { courier.carry(request).await })
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(error))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    content_type.starts_with(b"application/problem+json") || content_type.starts_with(b"application/json")
}

/// Seconds or a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<SystemTime> {
    let value = std::str::from_utf8(headers.get(RETRY_AFTER)?.as_bytes()).ok()?.trim();
    match value.parse::<u32>() {
        Ok(seconds) => Some(SystemTime::now() + Duration::from_secs(u64::from(seconds))),
        Err(_) => httpdate::parse_http_date(value).ok(),
    }
}
