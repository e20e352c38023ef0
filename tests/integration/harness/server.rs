//! The server under test: a process of its own, in a directory of its own, on ports that the system chose.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::PATIENCE;
use super::certificates::Certificates;

/// What the server will find: its configuration and the files that it names.
pub struct Setup {
    directory: TempDir,
    listeners: Vec<String>,
    /// Top-level YAML sections, by name.
    sections: BTreeMap<String, String>,
    /// Whether the server is started without a file.
    is_built_in: bool,
}

impl Setup {
    /// All four kinds of listener on loopback, `/mqtt`, `/ws/` and files from `public/` at `/`, and nobody has to log in.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let setup = Self {
            directory,
            listeners: ["https", "http", "mqtts", "mqtt"].map(|scheme| format!("{scheme}://127.0.0.1:0")).to_vec(),
            sections: BTreeMap::new(),
            is_built_in: false,
        };
        let certificates = Certificates::get();
        setup
            .file("public/index.html", "<!doctype html><title>Tidegate under test</title>")
            .file("certs/authority.pem", &certificates.authority_pem)
            .file("certs/server.pem", &certificates.server_pem)
            .file("certs/server.key", &certificates.server_key_pem)
            .section("tls", "{ cert: certs/server.pem, key: certs/server.key }")
            .section(
                "routes",
                "\n  - { path: /mqtt, serve: mqtt }\n  - { path: /ws/, serve: json }\n  - { path: /, files: ./public }",
            )
            .section("auth", "{ anonymous: true }")
            .section("admin", "{ listen: \"http://127.0.0.1:0\" }")
    }

    /// No file at all: the built-in default in an empty directory, but for its ports, which the environment leaves to the system.
    pub fn built_in() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            listeners: ["https", "mqtt"].map(|scheme| format!("{scheme}://127.0.0.1:0")).to_vec(),
            sections: BTreeMap::new(),
            is_built_in: true,
        }
    }

    /// Replaces a top-level section of the configuration.
    pub fn section(mut self, name: &str, yaml: &str) -> Self {
        self.sections.insert(name.to_owned(), yaml.to_owned());
        self
    }

    /// Listens on these URLs instead.
    pub fn listeners<const N: usize>(mut self, urls: [&str; N]) -> Self {
        self.listeners = urls.map(str::to_owned).to_vec();
        self
    }

    /// Writes a file below the configuration's directory.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a path with a parent")).expect("a directory");
        std::fs::write(path, content).expect("a writable file");
        self
    }

    /// Copies one of `tests/pages` (or of the installed npm packages) below `public/`.
    pub fn page(self, from: impl AsRef<Path>, name: &str) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages").join(from);
        let content = std::fs::read(&from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        self.file(&format!("public/{name}"), content)
    }

    /// Only these users may come in, each with a password. The file is written by mosquitto's own `mosquitto_passwd`.
    pub fn users(self, users: &[(&str, &str)]) -> Self {
        let path = self.directory.path().join("passwords");
        std::fs::write(&path, "").expect("a writable file");
        for (name, password) in users {
            let status = Command::new("mosquitto_passwd").arg("-b").arg(&path).args([name, password]).output();
            let output = status.expect("mosquitto_passwd, which tests/run installs");
            assert!(output.status.success(), "mosquitto_passwd: {}", String::from_utf8_lossy(&output.stderr));
        }
        self.section("auth", "{ anonymous: false, passwords: passwords }")
    }

    /// Judges by this policy.
    pub fn policy(self, yaml: &str) -> Self {
        self.file("policy.yaml", yaml).section("policy", "policy.yaml")
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The configuration file's text.
    pub fn yaml(&self) -> String {
        let mut yaml = "listen:\n".to_owned();
        for url in &self.listeners {
            writeln!(yaml, "  - {url}").expect("a String takes everything");
        }
        for (name, content) in &self.sections {
            writeln!(yaml, "{name}: {content}").expect("a String takes everything");
        }
        yaml
    }

    /// Writes the configuration, starts the server and waits until it says that it is ready.
    pub fn start(self) -> Server {
        let process = Process::start(&self);
        Server { setup: self, process, held: Vec::new() }
    }
}

/// A running server. Dropping it kills it; if the test is failing, what it printed is printed again.
pub struct Server {
    setup: Setup,
    process: Process,
    /// Keeps a killed server's ports from being given to anybody else before it starts again.
    held: Vec<Socket>,
}

impl Server {
    /// Where the first listener of this scheme listens; `admin` for the admin listener.
    pub fn address(&self, scheme: &str) -> SocketAddr {
        let found = self.process.listening.iter().find(|(name, _)| name == scheme);
        found.unwrap_or_else(|| panic!("no {scheme} listener among {:?}", self.process.listening)).1
    }

    /// The URL of a path on an HTTP listener; `scheme` is that of the URL, so `wss` means the `https` listener.
    pub fn url(&self, scheme: &str, path: &str) -> String {
        let listener = match scheme {
            "wss" => "https",
            "ws" => "http",
            other => other,
        };
        format!("{scheme}://{}{path}", self.address(listener))
    }

    /// The test authority's certificate, as a file for foreign clients.
    pub fn authority_file(&self) -> PathBuf {
        self.setup.directory().join("certs/authority.pem")
    }

    pub fn directory(&self) -> &Path {
        self.setup.directory()
    }

    /// Everything the server has printed so far, on both streams.
    pub fn printed(&self) -> String {
        self.process.output.text()
    }

    /// Waits for a line of output that contains `text`, and returns it.
    pub fn wait_for_line(&self, text: &str) -> String {
        self.wait_for_nth_line(text, 1)
    }

    /// The `nth` line with `text` in it, once it is printed.
    pub fn wait_for_nth_line(&self, text: &str, nth: usize) -> String {
        let find = |printed: &str| printed.lines().filter(|line| line.contains(text)).nth(nth - 1).map(str::to_owned);
        self.process.output.wait_for(find, text)
    }

    /// The server's process, for what the system says about it.
    pub fn process_id(&self) -> u32 {
        self.process.child.id()
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.child.try_wait().expect("a child of this process").is_none()
    }

    /// Kills the server as a crash would: no farewell to anyone.
    pub fn kill(&mut self) {
        self.process.child.kill().expect("a child of this process");
        self.process.child.wait().expect("a child of this process");
        self.held = self.process.listening.iter().map(|(_, address)| hold(*address)).collect();
    }

    /// Starts the killed server again, on the ports it had.
    pub fn start_again(&mut self) {
        self.setup.listeners = self
            .process
            .listening
            .iter()
            .filter(|(scheme, _)| scheme != "admin")
            .map(|(scheme, address)| format!("{scheme}://{address}"))
            .collect();
        self.process = Process::start(&self.setup);
        self.held.clear();
    }

    /// Sends SIGHUP and waits until what it asks for has come to an end; returns whether it was taken.
    pub fn reload(&self) -> bool {
        let ends = || ["tidegate_reloads_total", "tidegate_reloads_failed_total"].map(|series| self.metric(series));
        let before = ends();
        self.signal("HUP");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let [taken, failed] = ends();
            if taken > before[0] || failed > before[1] {
                return taken > before[0];
            }
            assert!(Instant::now() < deadline, "no reload came to an end");
        }
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.process_id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// Sends SIGTERM and returns the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        // There is no wait with a deadline in std: the end of the output is what is waited for.
        self.process.output.wait_for_end(deadline);
        self.process.child.wait().expect("a child of this process").code()
    }

    /// Waits until the server has ended, however long another process goes on printing to where it did. Returns the exit code.
    pub fn wait_for_exit(&mut self) -> Option<i32> {
        self.process.child.wait().expect("a child of this process").code()
    }

    /// Waits until the series of this full name on the metrics page has a value that `is_wanted`.
    ///
    /// Counters are read without a lock, and a connection's end is seen by its client before the server has written it down.
    pub fn wait_for_metric(&self, series: &str, is_wanted: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.metric(series);
            if is_wanted(value) {
                return;
            }
            assert!(Instant::now() < deadline, "{series} is {value}");
        }
    }

    /// The value of the series of this full name on the metrics page.
    pub fn metric(&self, series: &str) -> f64 {
        metric(self.address("admin"), series)
    }

    /// Anonymous resident memory in bytes, as the kernel counts it.
    pub fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id())).expect("a Linux /proc");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the server printed:\n{}----", self.printed());
        }
    }
}

/// The value of a series on the metrics page of this admin listener.
pub fn metric(admin: SocketAddr, series: &str) -> f64 {
    let body = super::http::get(admin, "/metrics").body;
    let line = body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("no {series} in\n{body}"));
    value.trim().parse().expect("a number")
}

struct Process {
    child: Child,
    output: Arc<Output>,
    /// Scheme and address of each listener, in the order of the configuration; the scheme is `admin` for the admin listener.
    listening: Vec<(String, SocketAddr)>,
}

impl Process {
    fn start(setup: &Setup) -> Self {
        let mut command = tidegate();
        command.current_dir(setup.directory());
        if setup.is_built_in {
            let listeners = serde_json::to_string(&setup.listeners).expect("strings");
            command.env("TIDEGATE_LISTEN", listeners).env("TIDEGATE_ADMIN__LISTEN", "http://127.0.0.1:0");
        } else {
            let config = setup.directory().join("tidegate.yaml");
            std::fs::write(&config, setup.yaml()).expect("a writable file");
            command.arg("run").arg("-c").arg(&config);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tidegate binary");
        let output = Arc::new(Output::default());
        output.collect(child.stdout.take().expect("a piped stream"));
        output.collect(child.stderr.take().expect("a piped stream"));
        let mut process = Self { child, output, listening: Vec::new() };
        process
            .output
            .wait_for(|printed| printed.lines().any(|line| line == "ready").then_some(()), "the line `ready`");
        process.listening = process.output.text().lines().filter_map(parse_listening).collect();
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes a port without listening: connections are refused, the system gives it to nobody, and a server may still listen on it.
pub fn hold(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("a TCP socket");
    socket.bind(&address.into()).expect("the port that the server has just left");
    socket
}

/// Reads `listening  https://127.0.0.1:40213`, with ` (admin)` behind it or not.
fn parse_listening(line: &str) -> Option<(String, SocketAddr)> {
    let mut words = line.strip_prefix("listening")?.split_whitespace();
    let (scheme, address) = words.next()?.split_once("://")?;
    let scheme = if words.next() == Some("(admin)") { "admin" } else { scheme };
    Some((scheme.to_owned(), address.parse().ok()?))
}

/// The binary under test: `TIDEGATE_TEST_BINARY`, or the one that cargo has built for this run. None of the caller's settings reach it.
pub fn tidegate() -> Command {
    let binary = std::env::var_os("TIDEGATE_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_tidegate").into());
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDEGATE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// What a process prints, line by line as it comes.
#[derive(Default)]
pub(super) struct Output {
    state: Mutex<OutputState>,
    changed: Condvar,
}

#[derive(Default)]
struct OutputState {
    text: String,
    open_streams: usize,
}

impl Output {
    pub(super) fn collect(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        self.state.lock().expect("no panic while held").open_streams += 1;
        let output = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let mut state = output.state.lock().expect("no panic while held");
                state.text.push_str(&String::from_utf8_lossy(&line));
                state.text.push('\n');
                output.changed.notify_all();
            }
            output.state.lock().expect("no panic while held").open_streams -= 1;
            output.changed.notify_all();
        });
    }

    pub(super) fn text(&self) -> String {
        self.state.lock().expect("no panic while held").text.clone()
    }

    /// Waits until `find` finds what it looks for in everything printed so far.
    pub(super) fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>, what: &str) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.lock().expect("no panic while held");
        loop {
            if let Some(found) = find(&state.text) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let (has_ended, is_late) = (state.open_streams == 0, left.is_zero());
            if has_ended || is_late {
                let printed = state.text.clone();
                // A panic while it is held would keep everybody else from what was printed.
                drop(state);
                assert!(!has_ended, "the server ended before {what}; it printed:\n{printed}");
                panic!("the server did not come to {what}; it printed:\n{printed}");
            }
            state = self.changed.wait_timeout(state, left).expect("no panic while held").0;
        }
    }

    fn wait_for_end(&self, deadline: Instant) {
        let mut state = self.state.lock().expect("no panic while held");
        while state.open_streams > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the server did not end; it printed:\n{}", state.text);
            state = self.changed.wait_timeout(state, left).expect("no panic while held").0;
        }
    }
}
