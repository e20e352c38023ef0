//! What the admin listener answers.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::api::{self, Api};
use super::readiness::{Phase, Readiness};
use crate::telemetry::metrics::{self, Exposition};

/// Everything there is to ask.
#[derive(Debug)]
pub(super) struct Answers {
    metrics: Exposition,
    readiness: Readiness,
    is_loopback: bool,
    api: Api,
}

const TEXT: &str = "text/plain; charset=utf-8";

impl Answers {
    pub(super) fn new(metrics: Exposition, readiness: Readiness, is_loopback: bool, api: Api) -> Self {
        Self { metrics, readiness, is_loopback, api }
    }

    /// Answers; `is_patient` is set if the answer may take its time.
    pub(super) async fn answer(&self, request: Request<Incoming>, is_patient: &AtomicBool) -> Response<Full<Bytes>> {
        if self.is_loopback && !names_loopback(&request) {
            return answer(StatusCode::MISDIRECTED_REQUEST, TEXT, "This listener is called localhost.\n");
        }
        if request.uri().path().starts_with(api::PREFIX) {
            if let Some(refused) = self.api.refusal(request.headers()) {
                return refused;
            }
            is_patient.store(true, Ordering::Relaxed);
            return self.api.answer(request).await;
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "Use GET.\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/livez" => answer(StatusCode::OK, TEXT, "live\n"),
            "/readyz" => self.ready(),
            "/metrics" => answer(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.render()),
            "/" => answer(StatusCode::OK, "text/html; charset=utf-8", self.index()),
            _ => answer(StatusCode::NOT_FOUND, TEXT, "There is nothing here; / lists what there is.\n"),
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        match self.readiness.phase() {
            Phase::Ready => answer(StatusCode::OK, TEXT, "ready\n"),
            Phase::Starting => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "starting\n"),
            Phase::Overloaded => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "overloaded\n"),
            Phase::Draining => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n"),
        }
    }

    fn index(&self) -> String {
        let phase = match self.readiness.phase() {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Overloaded => "overloaded",
            Phase::Draining => "draining",
        };
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>Tidegate</title>\n\
             <h1>Tidegate {version}: {phase}</h1>\n<ul>\n\
             <li><a href=/livez>/livez</a>: the process answers\n\
             <li><a href=/readyz>/readyz</a>: 200 when clients are welcome, 503 while starting, overloaded or draining\n\
             <li><a href=/metrics>/metrics</a>: what has been counted, for Prometheus\n\
             <li>/api/v1/: connections, sessions, subscriptions, policy/explain, policy/diff, reload\n</ul>\n"
        )
    }
}

/// Whether the request was sent to an address of the loopback interface, rather than to a name that a foreign page has made lead here.
fn names_loopback(request: &Request<Incoming>) -> bool {
    let Some(host) = request.headers().get(header::HOST) else { return true }; // no browser
    let Ok(host) = std::str::from_utf8(host.as_bytes()) else { return false };
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(super) fn answer(
    status: StatusCode,
    content_type: &'static str,
    content: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(content.into()));
    *response.status_mut() = status;
    let fields = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
