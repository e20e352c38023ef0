//! Answers made smaller on their way, where a route says so.
//!
//! | file | |
//! |---|---|
//! | [`accepted`] | which coding a client takes; pure |
//! | [`content`] | the content as it goes on, piece by piece |
//! | [`head`] | whether an answer may be coded, and what its head says then; pure |
//!
//! Not here: files that lie there compressed already (`files`), WebSockets (their messages are not compressed at all).
//!
//! Invariants: what is held back is never more than what has just come, so that a stream stays one; an answer that is cut stays cut; the
//! head of an answer to HEAD is that of the answer to GET; no more answers than allowed are coded at a time, as each takes memory.

mod accepted;
mod content;
mod head;

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper::header::{self, HeaderValue};
use hyper::http::request;
use hyper::{Method, Response, StatusCode, Version};
use tokio::sync::Semaphore;

use self::accepted::Coding;
use self::content::Compressed;
use super::answer::Body;
use super::proxy::Visit;
use crate::edge::EdgeCounters;
use crate::edge::config::CompressionConfig;

/// What a route does to its answers.
#[derive(Debug)]
pub(crate) struct Compression {
    config: CompressionConfig,
    permits: Arc<Semaphore>,
}

/// What a request has said of the coding of its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    coding: Option<Coding>,
    is_head: bool,
    may_be_transformed: bool,
}

impl Compression {
    pub(crate) fn new(config: &CompressionConfig) -> Self {
        let permits = Arc::new(Semaphore::new(config.answers_max.min(Semaphore::MAX_PERMITS)));
        Self { config: config.clone(), permits }
    }

    /// The answer to the request with that `wish`, as it goes on.
    pub(crate) fn apply(&self, wish: Wish, response: Response<Body>, visit: &Visit) -> Response<Body> {
        let counters = &visit.counters;
        let (mut head, body) = response.into_parts();
        if head.status == StatusCode::NOT_MODIFIED && wish.may_be_transformed {
            head::revalidated(&mut head.headers, wish.coding.is_some());
            return Response::from_parts(head, body);
        }
        let length = head::declared(&head.headers).or_else(|| body.size_hint().exact().filter(|_| !wish.is_head));
        if !wish.may_be_transformed || !head::may_be_coded(&head, length, &self.config) {
            return Response::from_parts(head, body);
        }
        head::add_vary(&mut head.headers);
        let Some(coding) = wish.coding else { return Response::from_parts(head, body) };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            EdgeCounters::add(&counters.answers_not_compressed);
            return Response::from_parts(head, body);
        };
        head::coded(&mut head.headers);
        head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        if wish.is_head {
            return Response::from_parts(head, body);
        }
        EdgeCounters::add(&counters.answers_compressed);
        Response::from_parts(head, Compressed::new(body, coding, Arc::clone(&visit.timing), permit).boxed_unsync())
    }
}

impl Wish {
    pub(crate) fn of(request: &request::Parts) -> Self {
        Self {
            // To HTTP/1.0 an answer without a length ends with its connection, and so may look whole when it is cut.
            coding: accepted::coding(&request.headers).filter(|_| request.version >= Version::HTTP_11),
            is_head: request.method == Method::HEAD,
            may_be_transformed: !head::forbids_transforms(&request.headers),
        }
    }
}
