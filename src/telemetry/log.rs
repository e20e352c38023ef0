//! Log lines on stderr, as text for people or JSON for machines.

use tracing::level_filters::LevelFilter;

/// How much is logged, and in which shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Default `info`. Libraries below are never more talkative than `warn`, so that `debug` stays readable.
    pub level: LevelFilter,
    /// Default `text`.
    pub format: LogFormat,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: LevelFilter::INFO, format: LogFormat::Text }
    }
}
