//! `tidegate policy diff --live`: what another policy would mean for a running server.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::super::admin_client::AdminServer;
use crate::cli;
use crate::fault::Fault;
use crate::policy::load;

/// Asks `server` what the policy file `new` would change.
pub(super) fn compare(new: &Path, server: &AdminServer, json: bool) -> anyhow::Result<ExitCode> {
    // With its key files, which lie here.
    let policy = match load::policy(new) {
        Ok(policy) => policy,
        Err(faults) => return Ok(cli::report(&faults, json)),
    };
    let faults: Vec<Fault> = policy.run_tests().into_iter().map(|failure| failure.fault).collect();
    if !faults.is_empty() {
        return Ok(cli::report(&faults, json));
    }
    let text = std::fs::read(new).with_context(|| new.display().to_string())?;
    let mut path = format!("/api/v1/policy/diff?name={}", percent_encoded(&new.display().to_string()));
    let first = ask(server, &path, &text)?;
    let (mut sessions, mut sessions_count) = (Vec::new(), 0);
    let mut live = first["live"].clone();
    loop {
        sessions.extend(live["sessions"].as_array().into_iter().flatten().cloned());
        sessions_count += live["sessions_count"].as_u64().unwrap_or_default();
        let Some(next) = live["next"].as_u64() else { break };
        path = format!("/api/v1/policy/diff?cursor={next}");
        live = ask(server, &path, &text)?["live"].clone();
    }
    if json {
        cli::answer(json!({ "diff": first["diff"], "sessions": sessions, "sessions_count": sessions_count }))?;
    } else {
        let words = first["text"].as_str().unwrap_or_default();
        let mut shown = format!("{words}\n");
        sessions.iter().for_each(|session| show(session, &mut shown));
        write!(shown, "{} of {sessions_count} live sessions lose something", sessions.len())?;
        cli::answer(shown)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(server: &AdminServer, path: &str, policy: &[u8]) -> anyhow::Result<Value> {
    let answer = server.post(path, "application/yaml", policy)?;
    if answer.status != 200 {
        let faults: String =
            answer.body["faults"].as_array().into_iter().flatten().map(|fault| format!("\n{fault}")).collect();
        let words = answer.body["error"].as_str().unwrap_or("no reason given");
        bail!("{} answered {}: {words}{faults}", server.url, answer.status);
    }
    Ok(answer.body)
}

/// One session's losses, a line each.
fn show(session: &Value, out: &mut String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let state = if session["connected"] == true { "connected" } else { "away" };
    let who = format!("{} ({:?}, {state})", text(&session["username"]), text(&session["client_id"]));
    let mut line = |what: String| {
        // A String takes everything.
        let _ = writeln!(out, "{who} {what}");
    };
    if let Some(why) = session["closed"].as_str() {
        line(format!("is closed: {why}"));
    }
    for lost in session["subscriptions"].as_array().into_iter().flatten() {
        let verb = if lost["change"] == "loses" { "loses" } else { "keeps less of" };
        line(format!("{verb} its Subscription {:?}: {}", text(&lost["filter"]), text(&lost["why"])));
    }
    if let Some(topic) = session["will"]["topic"].as_str() {
        line(format!("loses its Will Message on {topic:?}: {}", text(&session["will"]["why"])));
    }
}

/// RFC 3986 §2.1, of everything that is not unreserved.
fn percent_encoded(text: &str) -> String {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let encode = |byte: u8| if is_unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
