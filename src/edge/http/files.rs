//! Files from a folder: the library's service behind a thin adapter that decides what it may see, and which parts it is asked for.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{self, HeaderValue};
use hyper::http::request;
use hyper::{Method, Request, Response, StatusCode, Uri};
use tower::{Service, ServiceExt};
use tower_http::services::{ServeDir, ServeFile};

use super::answer::{self, Body};
use super::parts;
use super::path::push_escaped;
use super::range::{self, Asked};

/// One folder of files. Conditional requests, `index.html` and precompressed variants (`.br`, `.gz`, `.zst`) are the library's.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    folder: ServeDir,
    /// Answers, with 200, for what is not there: a single-page application routes by itself.
    fallback: Option<ServeFile>,
}

impl Files {
    /// Files under `root`, reached under the path `prefix`.
    pub(crate) fn new(root: &Path, prefix: &str, fallback: Option<&str>) -> Self {
        // A redirect from `/folder` to `/folder/` has to carry what the route's prefix took off.
        let folder = ServeDir::new(root).redirect_path_prefix(prefix.trim_end_matches('/'));
        let folder = folder.precompressed_br().precompressed_gzip().precompressed_zstd();
        let fallback = fallback.map(|file| {
            let file = root.join(file.trim_start_matches('/'));
            ServeFile::new(file).precompressed_br().precompressed_gzip().precompressed_zstd()
        });
        Self { folder, fallback }
    }

    /// Answers GET and HEAD for `rest`, which is what the decoded path holds after the route's prefix.
    pub(crate) async fn answer(&self, head: &request::Parts, rest: &str) -> Response<Body> {
        let mut response = ranged(&self.folder, head, rest).await;
        if let (StatusCode::NOT_FOUND, Some(fallback)) = (response.status(), &self.fallback) {
            response = ranged(fallback, head, "/").await;
        }
        if response.status() == StatusCode::NOT_FOUND {
            return not_found();
        }
        if response.status() == StatusCode::TEMPORARY_REDIRECT {
            return to_folder(&response, &head.uri);
        }
        answer::set(&mut response, header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

fn not_found() -> Response<Body> {
    answer::text(StatusCode::NOT_FOUND, "There is no such file.")
}

/// A folder's address with its slash, which stays where it is, and with the query.
fn to_folder(found: &Response<Body>, asked: &Uri) -> Response<Body> {
    let location = found.headers().get(header::LOCATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let query = asked.query().map(|query| format!("?{query}")).unwrap_or_default();
    let Ok(location) = HeaderValue::from_bytes(&[location, query.as_bytes()].concat()) else { return not_found() };
    let mut response = answer::text(StatusCode::MOVED_PERMANENTLY, "See the address in Location.");
    answer::set(&mut response, header::LOCATION, location);
    response
}

/// What `service` answers to `head` for `path`. What the library makes of Range and If-Range is not used: it gives parts of a file that
/// has changed since, and none at all where several are asked for.
async fn ranged<S, B>(service: &S, head: &request::Parts, path: &str) -> Response<Body>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
    B: hyper::body::Body<Data = Bytes, Error = io::Error> + Send + 'static,
{
    let Ok(uri) = Uri::builder().path_and_query(escape(path)).build() else { return not_found() };
    let ask = |method: &Method, part: Option<(u64, u64)>| {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = head.headers.clone();
        request.headers_mut().remove(header::RANGE);
        let range = part.and_then(|(first, last)| HeaderValue::from_str(&format!("bytes={first}-{last}")).ok());
        request.headers_mut().extend(range.map(|range| (header::RANGE, range)));
        call(service.clone(), request)
    };
    if !head.headers.contains_key(header::RANGE) {
        return ask(&head.method, None).await;
    }
    let whole = ask(&Method::HEAD, None).await;
    if whole.status() != StatusCode::OK {
        return whole;
    }
    let known = whole.into_parts().0.headers;
    let field = |name| known.get(name);
    let size = parts::length(&known).unwrap_or_default();
    let wanted = match range::asked(&head.headers, size, field(header::ETAG), field(header::LAST_MODIFIED)) {
        Asked::Whole => return ask(&head.method, None).await,
        Asked::Parts(wanted) => wanted,
        Asked::Unsatisfiable => return unsatisfiable(size),
    };
    let mut found = Vec::with_capacity(wanted.len());
    for part in wanted {
        let response = ask(&head.method, Some(part)).await;
        // Another file has taken its place meanwhile.
        if response.status() != StatusCode::PARTIAL_CONTENT
            || response.headers().get(header::ETAG) != field(header::ETAG)
        {
            return ask(&head.method, None).await;
        }
        found.push(response);
    }
    match (found.len(), found.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            found.push(last);
            parts::together(found).unwrap_or_else(not_found)
        }
        (_, None) => unsatisfiable(size),
    }
}

fn unsatisfiable(size: u64) -> Response<Body> {
    let mut response = answer::text(StatusCode::RANGE_NOT_SATISFIABLE, "There is no such part of it.");
    if let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}")) {
        answer::set(&mut response, header::CONTENT_RANGE, range);
    }
    response
}

async fn call<S, B>(service: S, request: Request<Empty<Bytes>>) -> Response<Body>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: hyper::body::Body<Data = Bytes, Error = io::Error> + Send + 'static,
{
    match service.oneshot(request).await {
        Ok(response) => response.map(BodyExt::boxed_unsync),
        Err(never) => match never {},
    }
}

/// The path as the library wants it: absolute, and escaped again.
fn escape(decoded: &str) -> String {
    let mut path = String::with_capacity(decoded.len() + 1);
    path.push('/');
    for &byte in decoded.trim_start_matches('/').as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => path.push(char::from(byte)),
            _ => push_escaped(&mut path, byte),
        }
    }
    path
}
