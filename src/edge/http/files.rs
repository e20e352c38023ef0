//! Files from a folder: the library's service behind a thin adapter that decides what it may see.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{self, HeaderValue};
use hyper::http::request;
use hyper::{Request, Response, StatusCode, Uri};
use tower::{Service, ServiceExt};
use tower_http::services::{ServeDir, ServeFile};

use super::answer::{self, Body};
use super::path::push_escaped;

/// One folder of files. Ranges, conditional requests, `index.html` and precompressed variants (`.br`, `.gz`, `.zst`) are the library's.
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
        let request = |path: &str| -> Option<Request<Empty<Bytes>>> {
            let mut request = Request::new(Empty::new());
            *request.method_mut() = head.method.clone();
            *request.uri_mut() = Uri::builder().path_and_query(escape(path)).build().ok()?;
            *request.headers_mut() = head.headers.clone();
            Some(request)
        };
        let Some(first) = request(rest) else { return not_found() };
        let mut response = call(self.folder.clone(), first).await;
        if let (StatusCode::NOT_FOUND, Some(fallback), Some(second)) = (response.status(), &self.fallback, request("/"))
        {
            response = call(fallback.clone(), second).await;
        }
        if response.status() == StatusCode::NOT_FOUND {
            return not_found();
        }
        answer::set(&mut response, header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

fn not_found() -> Response<Body> {
    answer::text(StatusCode::NOT_FOUND, "There is no such file.")
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
