//! The admin API: `/api/v1/…`, JSON in and out.
//!
//! | | |
//! |---|---|
//! | `POST reload` | reads all files again: what changed, or 422 and the faults |
//! | `POST drain` | stops as SIGTERM does; `window_ms` is the longest time that goodbyes are spread over |
//! | `GET connections`, `GET sessions` | who is there; `limit` and `cursor` page through them |
//! | `GET subscriptions?client_id=…` | one session's Subscriptions |
//! | `POST connections/CLIENT_ID/kick` | 0x98 Administrative action |
//! | `GET` or `POST policy/explain` | the verdict of the policy in force, as `tidegate policy explain` |
//! | `POST policy/diff` | who gains and loses what by the policy in the body, and which live sessions lose what |
//!
//! A page in an operator's browser may send requests here, and nothing of it is the operator's will: whatever names another origin is
//! refused. Every answer is bounded, and looks at a bounded number of sessions.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::answer::answer;
use super::drain::DrainRequest;
use super::query::{Query, percent_decoded};
use super::question;
use super::reload::ReloadRequest;
use super::token::AdminToken;
use crate::connection::Connections;
use crate::engine::Surveyed;
use crate::fault::Fault;
use crate::mqtt::{ClientId, ReasonCode, Version};
use crate::policy::{KeyFileText, Policy, diff};

/// What the API works with.
#[derive(Debug)]
pub struct Api {
    connections: Connections,
    reloads: mpsc::Sender<ReloadRequest>,
    drains: mpsc::Sender<DrainRequest>,
    token: Arc<AdminToken>,
    /// Comparing policies costs much; one at a time.
    comparing: Arc<Semaphore>,
}

pub(super) type Answer = Response<Full<Bytes>>;

/// What keeps a request from its answer.
struct Refusal {
    status: StatusCode,
    body: Value,
    allow: Option<&'static str>,
}

type Answered = Result<Value, Refusal>;

/// Where requests to the API go.
pub(super) const PREFIX: &str = "/api/";

const JSON: &str = "application/json";

/// The longest body: a policy of tens of thousands of rules.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// For a whole body to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A day.
const WINDOW_MS_MAX: u64 = 24 * 3600 * 1000;

/// Entries of one page, unless said, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// Sessions that one page looks at, at most, to find those that it lists.
const LOOKED_AT_MAX: usize = 10_000;

/// Sessions looked at before others have a turn on this thread.
const SLICE: usize = 64;

impl Api {
    #[must_use]
    pub fn new(
        connections: Connections,
        reloads: mpsc::Sender<ReloadRequest>,
        drains: mpsc::Sender<DrainRequest>,
        token: Arc<AdminToken>,
    ) -> Self {
        Self { connections, reloads, drains, token, comparing: Arc::new(Semaphore::new(1)) }
    }

    /// What keeps a request with these fields from the API altogether.
    pub(super) fn refusal(&self, fields: &HeaderMap) -> Option<Answer> {
        if is_cross_site(fields) {
            let words = "this request is a page's of another origin";
            return Some(Refusal::new(StatusCode::FORBIDDEN, words).into_answer());
        }
        if !self.token.admits(fields) {
            let words = "Authorization: Bearer and the token of admin.token_file are asked for";
            let mut refused = Refusal::new(StatusCode::UNAUTHORIZED, words).into_answer();
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Some(refused);
        }
        None
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        match self.find(request).await {
            Ok(found) => answer(StatusCode::OK, JSON, found.to_string() + "\n"),
            Err(refusal) => refusal.into_answer(),
        }
    }

    async fn find(&self, request: Request<Incoming>) -> Answered {
        let path = request.uri().path().to_owned();
        let query = Query::of(request.uri())?;
        let steps: Vec<&str> = path.strip_prefix(PREFIX).unwrap_or_default().split('/').collect();
        let (get, post) = (request.method() == Method::GET, request.method() == Method::POST);
        match &*steps {
            ["v1", "reload"] if post => self.reload().await,
            ["v1", "drain"] if post => self.drain(&query).await,
            ["v1", "connections"] if get => self.connections(&query).await,
            ["v1", "sessions"] if get => self.sessions(&query).await,
            ["v1", "subscriptions"] if get => self.subscriptions(&query),
            ["v1", "connections", client_id, "kick"] if post => self.kick(client_id),
            ["v1", "policy", "explain"] if get => self.explain(question::of_query(&query)),
            ["v1", "policy", "explain"] if post => {
                let body = body_of(request, &["application/json"]).await?;
                self.explain(question::of_json(&body))
            }
            ["v1", "policy", "diff"] if post => {
                let body = body_of(request, &["application/yaml", "application/x-yaml", "application/json"]).await?;
                self.compare(body, &query).await
            }
            ["v1", "connections" | "sessions" | "subscriptions"] => Err(Refusal::method("GET")),
            ["v1", "reload" | "drain"] | ["v1", "connections", _, "kick"] | ["v1", "policy", "diff"] => {
                Err(Refusal::method("POST"))
            }
            ["v1", "policy", "explain"] => Err(Refusal::method("GET, POST")),
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "there is nothing here")),
        }
    }

    async fn reload(&self) -> Answered {
        let (answer, answered) = oneshot::channel();
        let busy = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "enough reloads are waiting already");
        self.reloads.try_send(ReloadRequest { answer }).map_err(|_| busy())?;
        match answered.await {
            Ok(Ok(reloaded)) => Ok(json!(reloaded)),
            Ok(Err(faults)) => Err(Refusal::faults("nothing was reloaded", &faults)),
            Err(_) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")),
        }
    }

    async fn drain(&self, query: &Query) -> Answered {
        let window_ms = query.text("window_ms").map(|_| query.number("window_ms", 0, 0..=WINDOW_MS_MAX)).transpose()?;
        let (answer, answered) = oneshot::channel();
        let stopping = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping already");
        let request = DrainRequest { window: window_ms.map(Duration::from_millis), answer };
        self.drains.try_send(request).map_err(|_| stopping())?;
        let window = answered.await.map_err(|_| stopping())?;
        Ok(json!({ "draining": true, "window_ms": window.as_millis() as u64 }))
    }

    async fn connections(&self, query: &Query) -> Answered {
        let (listed, next) = self.page(query, |surveyed| surveyed.is_connected.then(|| connection(surveyed))).await?;
        Ok(json!({ "connections": listed, "next": next }))
    }

    async fn sessions(&self, query: &Query) -> Answered {
        let (listed, next) = self.page(query, |surveyed| Some(session(surveyed))).await?;
        Ok(json!({ "sessions": listed, "next": next }))
    }

    /// What `show` shows of the sessions after the cursor, and the cursor to go on from.
    async fn page(
        &self,
        query: &Query,
        show: impl Fn(&Surveyed) -> Option<Value>,
    ) -> Result<(Vec<Value>, Option<String>), Refusal> {
        let limit = query.number("limit", LIMIT_DEFAULT as u64, 1..=LIMIT_MAX as u64)? as usize;
        let mut after = query.number("cursor", 0, 0..=u64::MAX)?;
        let engine = &self.connections.environment().engine;
        let (mut listed, mut looked_at_count) = (Vec::new(), 0);
        while listed.len() < limit && looked_at_count < LOOKED_AT_MAX {
            let slice = engine.survey(after, SLICE.min(limit - listed.len()));
            let Some(last) = slice.last() else { return Ok((listed, None)) };
            after = last.number();
            looked_at_count += slice.len();
            listed.extend(slice.iter().filter_map(&show));
            tokio::task::yield_now().await;
        }
        Ok((listed, Some(after.to_string())))
    }

    fn subscriptions(&self, query: &Query) -> Answered {
        let client_id = query.text("client_id").ok_or_else(|| Refusal::bad("client_id is asked for"))?;
        let engine = &self.connections.environment().engine;
        let surveyed = engine.survey_of(&ClientId::new(client_id)).ok_or_else(|| no_session(client_id))?;
        let subscriptions: Vec<Value> = engine
            .subscriptions_of(&surveyed)
            .into_iter()
            .map(|held| {
                json!({ "filter": held.filter.as_str(), "qos": held.maximum_qos as u8, "partial": held.is_checked })
            })
            .collect();
        Ok(json!({ "client_id": client_id, "subscriptions": subscriptions }))
    }

    fn kick(&self, client_id: &str) -> Answered {
        let client_id = percent_decoded(client_id).ok_or_else(|| Refusal::bad("the Client Identifier is no UTF-8"))?;
        if !self.connections.dismiss(&ClientId::new(&client_id), ReasonCode::AdministrativeAction) {
            return Err(no_session(&client_id));
        }
        tracing::info!(client_id, "Connection closed by an administrator");
        Ok(json!({ "client_id": client_id, "kicked": true }))
    }

    fn explain(&self, question: Result<crate::policy::explain::Question, String>) -> Answered {
        let question = question.map_err(Refusal::bad)?;
        Ok(json!(self.connections.environment().policy.load().explain(&question)))
    }

    /// The first page compares the policies as well; the others go on with the sessions.
    async fn compare(&self, body: Bytes, query: &Query) -> Answered {
        let busy = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "another comparison is under way");
        let _turn = self.comparing.clone().try_acquire_owned().map_err(|_| busy())?;
        let cursor = query.number("cursor", 0, 0..=u64::MAX)?;
        let running = Arc::clone(&self.connections.environment().policy.load());
        let name = query.text("name").unwrap_or("the policy sent").to_owned();
        let compared = tokio::task::spawn_blocking(move || {
            let new = read_policy(&body, &name)?;
            let diff = (cursor == 0).then(|| diff::diff(&running, &new));
            Ok::<_, Vec<Fault>>((new, diff))
        });
        let failed = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the comparison ended early");
        let (new, diff) =
            compared.await.map_err(failed)?.map_err(|faults| Refusal::faults("the policy is faulty", &faults))?;
        let page = self.connections.forecast(&new, cursor, LOOKED_AT_MAX).await;
        let text = diff.as_ref().map(ToString::to_string);
        Ok(json!({ "diff": diff, "text": text, "live": page }))
    }
}

/// The policy in `body`. Its key files lie with whoever sent it, and are not needed to judge topics.
fn read_policy(body: &[u8], name: &str) -> Result<Policy, Vec<Fault>> {
    let no_text = || vec![Fault::new(name, "", "has bytes that are no UTF-8", "a policy file")];
    let text = std::str::from_utf8(body).map_err(|_| no_text())?;
    let policy =
        Policy::parse_with(text, name, &|file| Ok(KeyFileText { origin: file.to_owned(), text: String::new() }))?;
    let faults: Vec<Fault> = policy.run_tests().into_iter().map(|failure| failure.fault).collect();
    if faults.is_empty() { Ok(policy) } else { Err(faults) }
}

fn connection(surveyed: &Surveyed) -> Value {
    let peer = surveyed.peer;
    json!({
        "client_id": surveyed.client_id().as_str(),
        "username": surveyed.owner.name(),
        "address": peer.map(|peer| peer.address.to_string()),
        "dialect": peer.map(|peer| peer.dialect),
        "version": peer.map(|peer| version(peer.version)),
        "since": peer.map(|peer| unix_s(peer.since)),
        "subscriptions": surveyed.subscriptions_count,
        "unread_bytes": peer.map(|peer| peer.unread_bytes),
        "queued_bytes": surveyed.queued_bytes,
    })
}

fn session(surveyed: &Surveyed) -> Value {
    json!({
        "client_id": surveyed.client_id().as_str(),
        "username": surveyed.owner.name(),
        "connected": surveyed.is_connected,
        "subscriptions": surveyed.subscriptions_count,
        "queued_bytes": surveyed.queued_bytes,
        "will": surveyed.will.as_ref().map(|will| will.topic()),
    })
}

fn version(version: Version) -> &'static str {
    match version {
        Version::V3 => "3.1",
        Version::V4 => "3.1.1",
        Version::V5 => "5.0",
    }
}

/// Seconds since the epoch.
fn unix_s(at: Instant) -> u64 {
    let then = SystemTime::now().checked_sub(at.elapsed());
    then.and_then(|then| then.duration_since(SystemTime::UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs())
}

fn no_session(client_id: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no client {client_id:?}"))
}

/// Whether a browser says that a page of another origin had it send this. Every browser names the origin of what is not a plain GET, and
/// newer ones say of each request where it is from.
fn is_cross_site(fields: &HeaderMap) -> bool {
    let own = fields.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_own = |origin: &HeaderValue| origin.as_bytes().strip_prefix(b"http://").is_some_and(|host| host == own);
    let is_from_here = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
    !fields.get_all(header::ORIGIN).iter().all(is_own) || !fields.get_all("sec-fetch-site").iter().all(is_from_here)
}

/// The body, of one of these types: none that a form could send.
async fn body_of(request: Request<Incoming>, types: &[&str]) -> Result<Bytes, Refusal> {
    let written =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    let written = written.map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    if !written.is_some_and(|written| types.contains(&&*written)) {
        let words = format!("Content-Type is not {}", types.join(" or "));
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is cut short, or longer than 4MiB")),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

impl Refusal {
    fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, body: json!({ "error": words.into() }), allow: None }
    }

    fn bad(words: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, words)
    }

    fn method(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("use {allow}")) }
    }

    fn faults(words: &str, faults: &[Fault]) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            body: json!({ "error": words, "faults": faults }),
            allow: None,
        }
    }

    fn into_answer(self) -> Answer {
        let mut refused = answer(self.status, JSON, self.body.to_string() + "\n");
        if let Some(allow) = self.allow {
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        refused
    }
}

impl From<super::query::Malformed> for Refusal {
    fn from(malformed: super::query::Malformed) -> Self {
        Self::bad(malformed.0)
    }
}
