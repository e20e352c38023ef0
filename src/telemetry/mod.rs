//! What the process says about itself: log lines, metrics and the `$SYS` topics.
//!
//! Reads every module's counters; nobody but `app` and `admin` knows it. Invariant: nothing a client said appears here but in
//! debug-level fields; metrics have labels of few values, never a client or a topic.

pub mod catalogue;
pub mod log;
pub mod metrics;
pub mod process;
pub mod reloads;
pub mod sys_topics;

pub use log::{LogConfig, LogFormat};
pub use metrics::Metrics;
pub use reloads::ReloadCounters;
pub use sys_topics::SysTopics;
