//! Short exchanges: one request, one answer that fits into memory, one timeout.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{Connector, OutgoingError, Trust, Url};

/// How long a connection waits for the next request. Common servers close theirs after five seconds, and a request that meets that is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What an exchange may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeLimits {
    /// From the look-up of the name to the last byte of the answer.
    pub timeout: Duration,
    /// The longest body of an answer.
    pub body_bytes_max: usize,
    /// The most connections kept open for the next request.
    pub idle_max: usize,
}

/// Asks one server, over connections that are used again.
pub struct Client {
    inner: legacy::Client<Connector, Full<Bytes>>,
    url: Url,
    /// Sent with every request; marked so that nothing prints it.
    authorization: Option<HeaderValue>,
    limits: ExchangeLimits,
}

/// An answer that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Client {
    /// A client of `url`. `trust` is needed for `https`; `bearer` is a secret that is sent along.
    #[must_use]
    pub fn new(url: Url, trust: Option<Trust>, bearer: Option<&str>, limits: ExchangeLimits) -> Self {
        let connector = Connector::new(url.upstream().clone(), trust, limits.timeout);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(limits.idle_max)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        let authorization = bearer.and_then(|secret| HeaderValue::try_from(format!("Bearer {secret}")).ok());
        let authorization = authorization.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Self { inner, url, authorization, limits }
    }

    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Asks for what is at the URL.
    ///
    /// # Errors
    /// There is no whole answer. An answer of any status is one.
    pub async fn get(&self) -> Result<Answer, OutgoingError> {
        self.exchange(Method::GET, None).await
    }

    /// Sends `json` to the URL.
    ///
    /// # Errors
    /// There is no whole answer. An answer of any status is one.
    pub async fn post(&self, json: Bytes) -> Result<Answer, OutgoingError> {
        self.exchange(Method::POST, Some(json)).await
    }

    /// Sends any request. Its URI is one of the server that this is a client of: others are not asked.
    ///
    /// # Errors
    /// There is no whole answer. An answer of any status is one.
    pub async fn request(&self, request: Request<Bytes>) -> Result<Response<Bytes>, OutgoingError> {
        let asked = async {
            let response = self.inner.request(request.map(Full::new)).await.map_err(of_client)?;
            let (parts, body) = response.into_parts();
            Ok(Response::from_parts(parts, self.read(body).await?))
        };
        let timeout = self.limits.timeout;
        tokio::time::timeout(timeout, asked).await.unwrap_or(Err(OutgoingError::Timeout(timeout)))
    }

    async fn exchange(&self, method: Method, json: Option<Bytes>) -> Result<Answer, OutgoingError> {
        let asked = async {
            let response = match self.send(&method, json.clone()).await {
                // The server may have closed a connection in the very moment in which it was used again. A question can be put twice.
                Err(OutgoingError::Cut(_)) => self.send(&method, json).await?,
                response => response?,
            };
            let status = response.status();
            Ok(Answer { status, body: self.read(response.into_body()).await? })
        };
        let timeout = self.limits.timeout;
        tokio::time::timeout(timeout, asked).await.unwrap_or(Err(OutgoingError::Timeout(timeout)))
    }

    async fn send(&self, method: &Method, json: Option<Bytes>) -> Result<Response<Incoming>, OutgoingError> {
        let mut request = Request::new(Full::new(json.clone().unwrap_or_default()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = self.url.uri();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))));
        if json.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        self.inner.request(request).await.map_err(of_client)
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, OutgoingError> {
        let bytes_max = self.limits.body_bytes_max;
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(OutgoingError::TooLarge { bytes_max });
        }
        let collected = Limited::new(body, bytes_max).collect().await;
        collected.map(|body| body.to_bytes()).map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => OutgoingError::of_exchange(&error),
            Err(error) if error.is::<LengthLimitError>() => OutgoingError::TooLarge { bytes_max },
            Err(error) => OutgoingError::Cut(io::Error::other(error)),
        })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.url.to_string())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// The body, if the status is a success.
    ///
    /// # Errors
    /// The status that it is instead; a redirect is none that is followed.
    pub fn success(self) -> Result<Bytes, OutgoingError> {
        if self.status.is_success() { Ok(self.body) } else { Err(OutgoingError::Status(self.status)) }
    }
}

/// What the client of hyper-util wraps is either what the connector said or hyper's own.
fn of_client(error: legacy::Error) -> OutgoingError {
    let Some(source) = error.source() else { return OutgoingError::Cut(io::Error::other(error)) };
    let again = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
    match (source.downcast_ref::<OutgoingError>(), source.downcast_ref::<hyper::Error>()) {
        (Some(OutgoingError::Resolve { host, source }), _) => {
            OutgoingError::Resolve { host: host.clone(), source: again(source) }
        }
        (Some(OutgoingError::Tls(error)), _) => OutgoingError::Tls(again(error)),
        (Some(OutgoingError::Timeout(timeout)), _) => OutgoingError::Timeout(*timeout),
        (Some(OutgoingError::Connect(error)), _) => OutgoingError::Connect(again(error)),
        (_, Some(error)) => OutgoingError::of_exchange(error),
        (..) => OutgoingError::Cut(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Reads one request: its head, and as much body as it announces.
    async fn request(stream: &mut TcpStream) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer).await {
                Ok(count @ 1..) => bytes.extend(&buffer[..count]),
                _ => return None,
            }
            let text = String::from_utf8(bytes.clone()).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
    }

    fn limits(timeout_ms: u64) -> ExchangeLimits {
        ExchangeLimits { timeout: Duration::from_millis(timeout_ms), body_bytes_max: 8, idle_max: 1 }
    }

    async fn server() -> (TcpListener, Url) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/a?b=c", listener.local_addr().unwrap())).unwrap();
        (listener, url)
    }

    /// What a client makes of this answer; each is followed by the end of the connection.
    async fn outcome(answer: &'static str) -> Result<Answer, OutgoingError> {
        let (listener, url) = server().await;
        let client = Client::new(url, None, None, limits(10_000));
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                request(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let outcome = client.get().await;
        serving.abort();
        outcome
    }

    #[tokio::test]
    async fn a_request_says_what_it_should_and_its_connection_is_used_again() {
        let (listener, url) = server().await;
        let authority = url.authority().to_string();
        let client = Client::new(url, None, Some("hunter2"), limits(10_000));
        assert!(!format!("{client:?}").contains("hunter2"));
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut requests = Vec::new();
            for _ in 0..2 {
                requests.push(request(&mut stream).await.unwrap());
                stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
            }
            requests
        });
        let answer = Answer { status: StatusCode::FORBIDDEN, body: Bytes::from_static(b"{}") };
        assert_eq!(client.get().await.unwrap(), answer);
        assert_eq!(client.post(Bytes::from_static(b"{\"a\":1}")).await.unwrap(), answer);
        assert_eq!(answer.success().unwrap_err().to_string(), "the answer is 403 Forbidden");
        let requests = serving.await.unwrap();
        assert!(requests[0].starts_with("GET /a?b=c HTTP/1.1\r\n"), "{}", requests[0]);
        assert!(requests[1].starts_with("POST /a?b=c HTTP/1.1\r\n"), "{}", requests[1]);
        assert!(requests[1].ends_with("\r\n\r\n{\"a\":1}"), "{}", requests[1]);
        for request in requests {
            assert!(request.contains(&format!("\r\nhost: {authority}\r\n")), "{request}");
            assert!(request.contains("\r\nauthorization: Bearer hunter2\r\n"), "{request}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_whole_and_bounded_or_none() {
        let whole = outcome("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n12345678").await.unwrap();
        assert_eq!(&*whole.body, b"12345678");
        let redirect =
            outcome("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(redirect.unwrap().status, StatusCode::FOUND);
        for (answer, label) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789", "too_large"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n1", "too_large"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n", "too_large"),
            ("HTTP/1.1 200 OK\r\n\r\n123456789", "too_large"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n1234", "cut"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n", "cut"),
            ("HTTP/1.1 200 OK\r\nContent-", "cut"),
            ("", "cut"),
            ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "malformed"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n1", "malformed"),
        ] {
            let error = outcome(answer).await.unwrap_err();
            assert_eq!(error.label(), label, "{answer:?}: {error}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_drips_is_too_late() {
        let (listener, url) = server().await;
        let client = Client::new(url, None, None, limits(200));
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n").await.unwrap();
            let mut interval = tokio::time::interval(Duration::from_millis(50));
            while stream.write_all(b"1").await.is_ok() {
                interval.tick().await;
            }
        });
        assert_eq!(client.get().await.unwrap_err().to_string(), "no answer within 200ms");
        serving.abort();
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_meanwhile_costs_no_answer() {
        let (listener, url) = server().await;
        let client = Client::new(url, None, None, limits(10_000));
        let serving = tokio::spawn(async move {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                request(&mut stream).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                // Takes the next request, and closes in its face.
                let _ = tokio::time::timeout(Duration::from_secs(10), request(&mut stream)).await;
            }
        });
        for _ in 0..2 {
            assert_eq!(client.get().await.unwrap().status, StatusCode::OK);
        }
        serving.abort();
    }
}
