//! `tidegate import`: other brokers' files as tidegate's YAML, and a list of what in them has no equal.
//!
//! One file a format: each reads a text and answers with an [`Imported`], or with every fault that keeps the text from being what it
//! should be. Policies go through [`draft`], which knows what a policy can say and how it is printed.
//!
//! Invariants:
//! - What is printed is read by this version without a fault: a policy by `policy::Policy`, a configuration by `config`.
//! - A printed policy lets nothing through that the original stopped. What has no equal is left out where it grants and made wider
//!   where it denies, and a [`Note`] says so, with its line.
//! - Only [`ImportCommand::run`] reads files. No password or other secret of a file is printed, not even in a note.

pub mod acl_csv;
pub mod emqx_acl;
pub mod hivemq;
pub mod mosquitto;
pub mod mosquitto_acl;
pub mod nginx;

mod draft;
mod yaml;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli;
use crate::fault::Fault;

use acl_csv::Dialect;

/// The formats that are understood.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// mosquitto.conf: prints a configuration
    #[command(after_help = AFTER_HELP)]
    Mosquitto {
        /// The configuration file; what its include_dir names is read, too
        file: PathBuf,
    },
    /// nginx.conf with all it includes, the file of a site, or what `nginx -T` prints: prints a configuration
    #[command(after_help = AFTER_HELP)]
    Nginx {
        /// The configuration file, or the output of `nginx -T`
        file: PathBuf,
    },
    /// mosquitto's acl_file, or a table of (username, topic, rw) as CSV: prints a policy
    MosquittoAcl(MosquittoAclCommand),
    /// EMQX's acl.conf: prints a policy
    #[command(after_help = AFTER_HELP)]
    EmqxAcl {
        /// The file of Erlang terms
        file: PathBuf,
    },
    /// credentials.xml of HiveMQ's file RBAC extension: prints a policy, without passwords
    #[command(after_help = AFTER_HELP)]
    Hivemq {
        /// The XML file
        file: PathBuf,
    },
}

/// What holds for every format, at the end of each help text.
pub const AFTER_HELP: &str = "\
The YAML goes to standard output. What has no equal goes to standard error as a line with its place, and to the top of the YAML as a
comment, so that whoever keeps the file knows what it does not say. With --json: {\"yaml\": …, \"notes\": […]}.

A printed policy never allows what the original denied: a grant without an equal is left out, a deny without one is made wider.

Exit codes: 0 the YAML was printed, whether or not something is listed; 1 a file cannot be read; 2 it is not what it should be.";

/// Which file, and what its numbers mean.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct MosquittoAclCommand {
    /// An acl_file; or, if it ends in .csv, rows of username,topic,rw
    file: PathBuf,
    /// What the numbers of a table mean; a .csv file needs it, as they disagree
    ///
    /// auth-plug and go-auth read FILE as a table whatever its name is, mosquitto only if it ends in .csv.
    #[arg(long, value_enum, value_name = "DIALECT")]
    acl_dialect: Option<Dialect>,
}

/// What became of a foreign file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    pub yaml: String,
    /// In the order of the file.
    pub notes: Vec<Note>,
}

/// Something of the foreign file that has no equal, or not quite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    pub origin: String,
    /// From 1; `None` if it concerns the whole file.
    pub line: Option<u32>,
    /// The part of the file: `pattern deny "a/%c"`, `max_queued_messages`.
    pub what: String,
    /// Why it has no equal.
    pub why: String,
    /// What became of it.
    pub instead: String,
}

impl ImportCommand {
    /// Runs the command: 0 done, 1 failed while running, 2 a fault in the usage or the file.
    ///
    /// # Errors
    /// What failed while running.
    pub fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let imported = match self {
            Self::Mosquitto { file } => mosquitto(&file),
            Self::Nginx { file } => nginx(&file),
            Self::MosquittoAcl(command) => command.import(),
            Self::EmqxAcl { file } => policy(&file, emqx_acl::import),
            Self::Hivemq { file } => policy(&file, hivemq::import),
        };
        match imported {
            Ok(imported) => tell(&imported, json),
            Err(Refused::Faults(faults)) => Ok(cli::report(&faults, json)),
            Err(Refused::Unread(error)) => Err(error),
        }
    }
}

/// Why nothing was printed.
enum Refused {
    Unread(anyhow::Error),
    Faults(Vec<Fault>),
}

impl MosquittoAclCommand {
    fn import(&self) -> Result<Imported, Refused> {
        let is_csv = self.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let (text, origin) = read(&self.file)?;
        let imported = match self.acl_dialect {
            None | Some(Dialect::Mosquitto) if !is_csv => mosquitto_acl::import(&text, &origin),
            Some(dialect) => acl_csv::import(&text, &origin, dialect),
            None => {
                let allowed = "--acl-dialect auth-plug, go-auth or mosquitto, as their numbers disagree";
                Err(vec![Fault::new("command line", "--acl-dialect", "is missing for a .csv file", allowed)])
            }
        };
        imported.map_err(Refused::Faults)
    }
}

fn policy(file: &Path, import: impl Fn(&str, &str) -> Result<Imported, Vec<Fault>>) -> Result<Imported, Refused> {
    let (text, origin) = read(file)?;
    import(&text, &origin).map_err(Refused::Faults)
}

fn mosquitto(file: &Path) -> Result<Imported, Refused> {
    let (text, origin) = read(file)?;
    mosquitto::import(&text, &origin, &mut configurations_in).map_err(Refused::Faults)
}

/// The `*.conf` files of a directory.
fn configurations_in(directory: &str) -> io::Result<Vec<mosquitto::Named>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "conf") {
            files.push((path.display().to_string(), std::fs::read_to_string(&path)?));
        }
    }
    Ok(files)
}

fn nginx(file: &Path) -> Result<Imported, Refused> {
    let (text, origin) = read(file)?;
    nginx::import(&text, &origin, &mut named_by).map_err(Refused::Faults)
}

/// The files that an `include` of nginx names.
fn named_by(pattern: &str) -> io::Result<Vec<nginx::Named>> {
    let mut found = vec![PathBuf::from(if pattern.starts_with('/') { "/" } else { "" })];
    for segment in pattern.split('/').filter(|segment| !segment.is_empty()) {
        found = if nginx::glob::is_pattern(segment) {
            within(&found, segment)?
        } else {
            found.iter().map(|path| path.join(segment)).collect()
        };
    }
    if nginx::glob::is_pattern(pattern) {
        found.retain(|path| path.is_file());
    }
    found.into_iter().map(|path| Ok((path.display().to_string(), std::fs::read_to_string(&path)?))).collect()
}

/// What of folders has a name that fits; a folder that is not there has nothing.
fn within(folders: &[PathBuf], pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| nginx::glob::matches(pattern, name)) {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// The text of a file, and its name in notes and faults.
fn read(path: &Path) -> Result<(String, String), Refused> {
    let origin = path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|error| Refused::Unread(anyhow::Error::new(error).context(format!("{origin} cannot be read"))))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((text, origin)),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
            let fault = Fault::new(origin, "", "is not UTF-8 from here on", "a text in UTF-8").at(number(line), 1);
            Err(Refused::Faults(vec![fault]))
        }
    }
}

fn tell(imported: &Imported, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        cli::answer(serde_json::to_string(imported)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for note in &imported.notes {
        eprintln!("{note}");
    }
    cli::answer(imported.yaml.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// A line or column; a text of more than `u32::MAX` lines ends at that.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}; {}", self.what, self.why, self.instead)
    }
}

#[cfg(test)]
mod tests;
