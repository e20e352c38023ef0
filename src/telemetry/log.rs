//! Log lines on stderr, as text for people or JSON for machines.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

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

/// Sends log lines of the whole process to stderr. Standard output is for what commands answer.
///
/// # Errors
/// Somebody has done so already.
pub fn init(config: LogConfig) -> Result<Level, TryInitError> {
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let (filter, handle) = reload::Layer::new(filter(config.level));
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }?;
    Ok(Level(handle))
}

/// How much is logged, for whoever changes it.
#[derive(Clone, Debug)]
pub struct Level(reload::Handle<Targets, Registry>);

impl Level {
    pub fn set(&self, level: LevelFilter) {
        // It fails only if the subscriber is gone, and then nothing is logged.
        let _ = self.0.reload(filter(level));
    }
}

fn filter(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target(env!("CARGO_PKG_NAME"), level)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_are_never_more_talkative_than_warn() {
        let debug = filter(LevelFilter::DEBUG);
        assert!(debug.would_enable("tidegate::edge", &Level::DEBUG));
        assert!(!debug.would_enable("tidegate::edge", &Level::TRACE));
        assert!(debug.would_enable("hyper", &Level::WARN) && !debug.would_enable("hyper", &Level::INFO));
        let error = filter(LevelFilter::ERROR);
        assert!(!error.would_enable("tidegate", &Level::WARN) && !error.would_enable("hyper", &Level::WARN));
        assert!(!filter(LevelFilter::OFF).would_enable("tidegate", &Level::ERROR));
    }
}
