//! What is left of a request's content over HTTP/2 when nobody reads it any further.
//!
//! Letting go of it resets the stream. Where that goes out beside the answer, much-used clients (curl before 8, Node.js) take the answer for
//! one that was cut, although RFC 9113 §8.1 tells them not to: their users see an error of the protocol instead of a 413 or 502.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// Takes in what is left, if there is not much of it; who takes longer than `patience` has the stream reset after all.
pub(crate) async fn let_it_end(mut content: Incoming, patience: Duration) {
    let end = async {
        let mut taken = 0;
        while let Some(Ok(frame)) = content.frame().await {
            taken += frame.data_ref().map_or(0, bytes::Bytes::len);
            if taken > BYTES_MAX {
                // Flow control holds the client back meanwhile, who reads the answer and stops by itself.
                tokio::time::sleep(LINGER).await;
                return;
            }
        }
    };
    let _ = tokio::time::timeout(patience, end).await;
}

/// How long an answer has, at least, to be read before more content than is taken in resets its stream.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
const BYTES_MAX: usize = 64 * 1024;
