//! What is asked and answered about the end of the process, between the admin API and whoever brings it about.

use std::time::Duration;

use tokio::sync::oneshot;

/// Somebody wants the server to stop as on SIGTERM.
#[derive(Debug)]
pub struct DrainRequest {
    /// The longest time that goodbyes are spread over; `None`: as the configuration says.
    pub window: Option<Duration>,
    /// Told what it is.
    pub answer: oneshot::Sender<Duration>,
}
