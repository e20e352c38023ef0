//! 10,000 connected sessions are judged again after SIGHUP, while two clients play ping-pong: how much later than ever does a ball come?

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tidegate::mqtt::packet::{Connect, Publish, Subscribe, SubscribeOptions};
use tidegate::mqtt::property::{ConnectProperties, PublishProperties, SubscribeProperties};
use tidegate::mqtt::{Packet, PacketId, QoS, TopicFilter, TopicName, Version, codec};

const SESSIONS: usize = 10_000;

/// How long the ball is watched before the reload, and from it on.
const WATCHED: Duration = Duration::from_secs(5);

/// Runs it if it was asked for: `cargo test` runs benches as well, only to see that they do.
pub(super) fn run() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_meant = names.is_empty() || names.iter().any(|name| "review".contains(name.as_str()));
    if arguments.iter().any(|argument| argument == "--bench") && is_meant {
        measure();
    }
}

fn measure() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a writable file");
    write(
        "tidegate.yaml",
        "listen: [\"mqtt://127.0.0.1:0\"]\nauth: { anonymous: true }\npolicy: policy.yaml\nadmin: { listen: \"http://127.0.0.1:0\" }\n",
    );
    write("policy.yaml", &policy("odd"));
    let (server, address) = start(folder.path());
    let sessions: Vec<TcpStream> = (0..SESSIONS).map(|number| session(address, number)).collect();
    let (mut ping, mut pong) = (player(address, "ping"), player(address, "pong"));
    let before = watch(&mut ping, &mut pong, || {});
    let during = watch(&mut ping, &mut pong, || {
        // Half of the sessions lose their Subscription, the other half keep theirs.
        write("policy.yaml", &policy("neither"));
        let status = Command::new("kill").args(["-s", "HUP", &server.0.id().to_string()]).status();
        assert!(status.expect("kill").success());
    });
    println!(
        "\nreview of {SESSIONS} connected sessions, of which half lose a Subscription; round trips over TCP meanwhile"
    );
    println!("              worst      p99.9      median     balls");
    for (when, mut times) in [("before", before), ("during", during)] {
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        println!("  {when:8} {:>9.2?}  {:>9.2?}  {:>9.2?}  {:>8}", at(1.0), at(0.999), at(0.5), times.len());
    }
    for line in server.said("reviewed") {
        println!("  {line}");
    }
    drop(sessions);
}

/// `parity` may be read beside `even`.
fn policy(parity: &str) -> String {
    format!(
        "version: 1\nroles:\n  r:\n    - {{ topic: \"game/+\", rw: rw }}\n    - {{ topic: \"even/+\", rw: r }}\n    \
         - {{ topic: \"{parity}/+\", rw: r }}\nusers: {{ anonymous: [r] }}\n"
    )
}

/// A server, and what it has printed.
struct Server(Child, std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl Server {
    /// Waits for a line with `word`, and returns all that have it.
    fn said(&self, word: &str) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let lines = self.1.lock().expect("no panic while held");
            let found: Vec<String> = lines.iter().filter(|line| line.contains(word)).cloned().collect();
            if !found.is_empty() || Instant::now() > deadline {
                return found;
            }
            drop(lines);
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path) -> (Server, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(folder).args(["run", "-c", "tidegate.yaml"]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the server");
    let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let streams: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
    for stream in streams {
        let lines = std::sync::Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                lines.lock().expect("no panic while held").push(line);
            }
        });
    }
    let server = Server(child, lines);
    assert!(!server.said("ready").is_empty(), "the server does not start");
    let line = server.said("mqtt://").remove(0);
    let address = line.split("mqtt://").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address");
    (server, address.parse().expect("an address"))
}

fn session(address: SocketAddr, number: usize) -> TcpStream {
    let parity = if number.is_multiple_of(2) { "even" } else { "odd" };
    connect(address, &format!("session-{number}"), &format!("{parity}/{number}"))
}

fn player(address: SocketAddr, name: &str) -> TcpStream {
    connect(address, name, &format!("game/{name}"))
}

/// Connects and subscribes.
fn connect(address: SocketAddr, client_id: &str, filter: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    let connect = Connect {
        version: Version::V4,
        is_bridge: false,
        clean_start: true,
        keep_alive_s: 0,
        client_id: client_id.into(),
        login: Default::default(),
        will: None,
        properties: ConnectProperties::default(),
    };
    let subscribe = Subscribe {
        packet_id: PacketId::MIN,
        properties: SubscribeProperties::default(),
        filters: vec![(TopicFilter::parse(filter).expect("a filter"), SubscribeOptions::default())],
    };
    let mut bytes = encoded(&Packet::Connect(Box::new(connect)));
    bytes.extend(encoded(&Packet::Subscribe(subscribe)));
    stream.write_all(&bytes).expect("a new connection");
    let mut answers = [0; 9];
    stream.read_exact(&mut answers).expect("CONNACK and SUBACK");
    assert_eq!(answers, [0x20, 2, 0, 0, 0x90, 3, 0, 1, 0], "{client_id}");
    stream
}

/// Plays for a while, `act` at its beginning; the time of each round trip.
fn watch(ping: &mut TcpStream, pong: &mut TcpStream, act: impl FnOnce()) -> Vec<Duration> {
    let [to_pong, to_ping] = ["game/pong", "game/ping"].map(ball);
    let mut arrived = vec![0; to_pong.len()];
    let mut times = Vec::new();
    act();
    let started = Instant::now();
    while started.elapsed() < WATCHED {
        let served = Instant::now();
        ping.write_all(&to_pong).expect("connected");
        pong.read_exact(&mut arrived).expect("the ball");
        pong.write_all(&to_ping).expect("connected");
        ping.read_exact(&mut arrived).expect("the ball");
        times.push(served.elapsed());
    }
    times
}

fn ball(topic: &str) -> Vec<u8> {
    encoded(&Packet::Publish(Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: Some(TopicName::parse(topic).expect("a topic")),
        packet_id: None,
        properties: PublishProperties::default(),
        payload: (&b"ball"[..]).into(),
    }))
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(packet, Version::V4, &mut bytes).expect("it can be encoded");
    bytes
}
