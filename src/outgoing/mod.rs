//! How Tidegate speaks HTTP to others: key servers, the server that is asked who a client is, the servers behind a route.
//!
//! | file | |
//! |---|---|
//! | [`url`] | where somebody is, as an operator writes it: `https://host:port/path`, `http://…`, `unix:/path/to.sock:/path`; pure |
//! | [`connector`] | from there to an open [`Stream`]: names resolved, every address tried, TLS, one timeout over all of it |
//! | [`trust`] | whose certificates are believed |
//! | [`client`] | a short exchange on top: one request, one bounded answer, one timeout |
//!
//! Not here: what is asked and what the answer means (`auth`), pooling and passing on of other people's requests (`edge`).
//!
//! Invariants: nothing waits without a deadline, and no answer grows beyond its bound; a certificate is always verified, for the name that
//! is in the URL; redirects are not followed, so that what is sent goes where the operator said; no error repeats a header or a body.

pub mod client;
pub mod connector;
mod error;
pub mod stream;
pub mod trust;
pub mod url;

pub use client::{Answer, Client};
pub use connector::Connector;
pub use error::OutgoingError;
pub use stream::Stream;
pub use trust::Trust;
pub use url::{Upstream, Url};
