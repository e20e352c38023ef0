//! `tidegate doctor`: looks at a running deployment and says what is wrong with it.
//!
//! | | |
//! |---|---|
//! | [`report`] | what was found, and how it is told |
//! | [`outside`] | the deployment as its clients meet it, be it Tidegate or others' proxies and brokers |
//! | [`inside`] | the machine and the configuration that it stands on |
//! | [`target`], [`wire`], [`tls`], [`certificate`], [`http`], [`channel`] | how it is asked |
//!
//! Exit codes: 0 nothing is at fault (there may be warnings), 1 something is (the configuration, too), 2 the command line or a file that
//! it names is.
//!
//! Invariants: nothing waits without an end; no password goes to a server whose certificate is not trusted; nothing is published, and no
//! session outlives its connection; what others say is shown with its control characters spelled out.

pub mod certificate;
pub mod channel;
pub mod http;
pub mod inside;
pub mod outside;
pub mod report;
pub mod target;
pub mod tls;
pub mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::json;

use self::outside::Terms;
use self::report::{Report, Verdict};
use self::target::{TARGET_FORM, Target};
use super::{Common, answer};
use crate::config::Request;
use crate::config::units::{DURATION_FORM, parse_duration};
use crate::fault::{Fault, Faults};
use crate::mqtt::packet::Login;
use crate::outgoing::trust;

/// Where to look, and how.
#[derive(Debug, clap::Args)]
pub struct DoctorCommand {
    /// What clients use: wss://host/mqtt, ws://…, mqtts://host, mqtt://host; without any, this machine and its
    /// configuration are looked at (with both --config and URLs, all of them)
    #[arg(value_name = "URL")]
    pub urls: Vec<String>,
    /// Log in as this user as well
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// The file with that user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// Say nothing for so long, to find who cuts idle connections (90s finds most)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub idle: Option<Duration>,
    /// The origin of your pages [default: that of the URL's own host]
    #[arg(long, value_name = "ORIGIN", value_parser = field)]
    pub origin: Option<String>,
    /// The subprotocol that your pages ask for; empty: none
    #[arg(long, value_name = "NAME", default_value = "mqtt", value_parser = field)]
    pub subprotocol: String,
    /// Believe these authorities (PEM) instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Where /proc, /sys and /run are, such as another machine's below a mount
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// For each single step
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
}

/// A password is shorter.
const PASSWORD_BYTES_MAX: usize = 65_535;

/// Nobody looks on for longer.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

impl DoctorCommand {
    /// Runs the command: 0 nothing is at fault, 1 something is.
    ///
    /// # Errors
    /// [`Faults`] of the command line and the files it names; standard output is closed.
    pub fn run(self, common: Common) -> anyhow::Result<ExitCode> {
        let targets = self.targets()?;
        let terms = self.terms()?;
        let mut reports = Vec::new();
        if targets.is_empty() || common.config.is_some() {
            let request = Request::of_process(common.config);
            reports.push(inside::examine(request, &self.root, self.timeout, terms.now_s)?);
        }
        reports.extend(targets.iter().map(|target| outside::examine(target, &terms)));
        tell(&reports, common.json)
    }

    fn targets(&self) -> Result<Vec<Target>, Faults> {
        let (mut targets, mut faults) = (Vec::new(), Vec::new());
        for text in &self.urls {
            match Target::parse(text) {
                Ok(target) => targets.push(target),
                Err(found) => faults.push(Fault::new("", "URL", found, TARGET_FORM)),
            }
        }
        if faults.is_empty() { Ok(targets) } else { Err(Faults(faults)) }
    }

    fn terms(&self) -> Result<Terms, Faults> {
        let roots = trust::roots(self.ca.as_deref(), "--ca");
        // Without any of the system's, all but the chain can be judged.
        let roots = match (roots, &self.ca) {
            (Err(fault), Some(_)) => return Err(Faults(vec![fault])),
            (roots, _) => roots.map_err(|fault| fault.found),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Terms {
            timeout: self.timeout,
            idle: self.idle,
            login: self.login()?,
            origin: self.origin.clone(),
            subprotocol: self.subprotocol.clone(),
            roots,
            now_s: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        })
    }

    fn login(&self) -> Result<Option<Login>, Faults> {
        let Some(user) = &self.user else { return Ok(None) };
        let Some(file) = &self.password_file else {
            return Ok(Some(Login { username: Some(user.as_str().into()), password: None }));
        };
        let fault = |found: String| {
            let allowed = "a file with the password, and nothing else";
            Faults(vec![Fault::new(file.display().to_string(), "--password-file", found, allowed)])
        };
        let mut password = std::fs::read(file).map_err(|error| fault(error.to_string()))?;
        while matches!(password.last(), Some(b'\n' | b'\r')) {
            password.pop();
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(fault(format!("{} bytes", password.len())));
        }
        Ok(Some(Login { username: Some(user.as_str().into()), password: Some(Bytes::from(password)) }))
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let found = parse_duration(text).filter(|duration| !duration.is_zero() && *duration <= DURATION_MAX);
    found.ok_or_else(|| format!("{DURATION_FORM}, is allowed, and no more than a day"))
}

/// What can stand in a field of a request.
fn field(text: &str) -> Result<String, &'static str> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(text.to_owned()) } else { Err("no spaces or control characters are allowed") }
}

fn tell(reports: &[Report], json: bool) -> anyhow::Result<ExitCode> {
    let count = |verdict| reports.iter().map(|report| report.count(verdict)).sum::<usize>();
    let faults = count(Verdict::Fault);
    if json {
        answer(json!({ "reports": reports, "faults": faults, "warnings": count(Verdict::Warning) }))?;
    } else {
        let texts: Vec<_> = reports.iter().map(ToString::to_string).collect();
        answer(texts.join("\n\n"))?;
    }
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
