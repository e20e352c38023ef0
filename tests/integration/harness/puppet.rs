//! A foreign client: a process that takes commands and reports events, one JSON object a line.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

use serde_json::{Value, json};

use super::PATIENCE;
use super::server::Server;

/// Where `tests/run` has installed the foreign clients.
pub fn installed() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-clients");
    let path = std::env::var_os("TIDEGATE_TEST_CLIENTS").map_or_else(default, PathBuf::from);
    assert!(path.join("npm/node_modules").is_dir(), "{} has no clients: tests/run installs them", path.display());
    path
}

/// A file of `tests/clients`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// A running foreign client.
pub struct Puppet {
    name: String,
    child: Child,
    commands: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Events that came and that no wait has asked for yet, in order.
    unclaimed: Vec<Value>,
}

impl Puppet {
    /// Runs `command`, whose lines are events: JSON objects, or `{"event":"line","text":…}` for any other text.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.env("TIDEGATE_TEST_CLIENTS", installed());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {command:?}: {error}; run tests/run"));
        let stdout = BufReader::new(child.stdout.take().expect("a piped stream"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        Self { name: name.to_owned(), commands: child.stdin.take(), child, lines, unclaimed: Vec::new() }
    }

    /// A headless Chromium; see `tests/clients/browser.mjs` for what it can be told.
    pub fn browser() -> Self {
        let mut command = Command::new("node");
        command.arg(script("browser.mjs"));
        let mut browser = Self::start("browser", command);
        browser.expect("ready");
        browser
    }

    /// An MQTT.js client; `options` are its own.
    pub fn mqtt_js(name: &str, url: &str, options: Value, authority: &Path) -> Self {
        let mut command = Command::new("node");
        command.arg(script("mqtt_js.mjs"));
        command.arg(json!({ "url": url, "options": options, "ca": authority }).to_string());
        Self::start(name, command)
    }

    /// `mosquitto_sub` with these arguments, its subscription made.
    pub fn mosquitto_sub(server: &Server, arguments: &[&str]) -> Self {
        // C programs hold back what goes into a pipe; -d reports the subscription, which is what to wait for.
        let mut command = Command::new("stdbuf");
        let port = server.address("mqtt").port().to_string();
        command.args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &port, "-d"]).args(arguments);
        let mut listener = Self::start("mosquitto_sub", command);
        listener.wait("SUBACK", |event| event["text"].as_str().is_some_and(|text| text.starts_with("Subscribed (mid")));
        listener
    }

    /// Sends a command.
    pub fn tell(&mut self, command: &Value) {
        self.write(&command.to_string());
    }

    /// Sends a line as it is.
    pub fn write(&mut self, line: &str) {
        let commands = self.commands.as_mut().expect("not closed before");
        writeln!(commands, "{line}").unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Ends its standard input and waits until it has ended itself.
    pub fn finish(mut self) {
        self.commands = None;
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        let status = self.child.wait().expect("a child of this process");
        assert!(status.success(), "{}: {status}", self.name);
    }

    /// Opens `url` in a page of the browser called `page`.
    pub fn open(&mut self, page: &str, url: &str) {
        self.tell(&json!({ "do": "open", "page": page, "url": url }));
        let opened = self.wait("the page to open", |event| is(event, "opened", page) || is(event, "failed", page));
        assert_eq!(opened["status"], 200, "{opened}");
    }

    /// Runs JavaScript in a page, with `argument`, and returns what it returns.
    pub fn evaluate(&mut self, page: &str, script: &str, argument: Value) -> Value {
        self.tell(&json!({ "do": "evaluate", "page": page, "script": script, "argument": argument }));
        let mut done = self.wait(script, |event| is(event, "evaluated", page) || is(event, "failed", page));
        assert_eq!(done["event"], "evaluated", "{done}");
        done["value"].take()
    }

    /// Waits for the event of this name and returns it; events before it stay for later waits.
    pub fn expect(&mut self, event: &str) -> Value {
        self.wait(event, |found| found["event"] == event)
    }

    /// The same for one page of a browser.
    pub fn expect_from(&mut self, page: &str, event: &str) -> Value {
        self.wait(event, |found| is(found, event, page))
    }

    /// Waits for the first event that `is_wanted`, and takes it out of the stream of events.
    pub fn wait(&mut self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(position) = self.unclaimed.iter().position(&is_wanted) {
            return self.unclaimed.remove(position);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let event = parse(&line);
                    if is_wanted(&event) {
                        return event;
                    }
                    self.unclaimed.push(event);
                }
                Err(RecvTimeoutError::Timeout) => panic!("{}: no {what}; it said {:#?}", self.name, self.unclaimed),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{}: ended before {what}; it said {:#?}", self.name, self.unclaimed)
                }
            }
        }
    }

    /// Events that came and that no wait has asked for.
    pub fn unclaimed(&mut self) -> &[Value] {
        self.unclaimed.extend(self.lines.try_iter().map(|line| parse(&line)));
        &self.unclaimed
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        // A browser whose standard input ends closes its own processes; a killed one would leave them behind.
        self.commands = None;
        if self.name == "browser" && !std::thread::panicking() {
            while self.lines.recv_timeout(PATIENCE).is_ok() {}
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Value {
    match serde_json::from_str(line) {
        Ok(event @ Value::Object(_)) => event,
        _ => json!({ "event": "line", "text": line }),
    }
}

fn is(event: &Value, name: &str, page: &str) -> bool {
    event["event"] == name && event["page"] == page
}
