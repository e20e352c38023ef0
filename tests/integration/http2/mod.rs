//! HTTP/2, as curl, Chromium and those who mean harm speak it.
//!
//! | file | |
//! |---|---|
//! | [`pages`] | the same answers as over HTTP/1.1, and what servers behind see of it |
//! | [`sockets`] | WebSockets on streams (RFC 8441), in Chromium and by hand |
//! | [`behind`] | servers behind that speak it, node's with gRPC's way of talking |
//! | [`floods`] | more than a client has reason to ask |
//! | [`frames`] | a client that sends whatever a test wants |

mod behind;
mod floods;
mod frames;
mod pages;
mod sockets;
