//! What clients that do not read cost those who do: the delay of messages to twenty readers, beside none and beside more and more clients
//! that subscribe to the same topic and stopped reading.
//!
//! `cargo bench --bench stalled`; `cargo bench --bench stalled -- 0 100 1000` for other numbers of stalled clients. The server is a process
//! of its own on loopback (`TIDEGATE_TEST_BINARY`, or the one that cargo has built); publisher and readers are threads of this one, so that on few cores the figures are those of all together.
//!
//! Before anything is measured each stalled client's outbox is full: of the messages that fill them, the last sixteen were dropped for every one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, SockRef, Socket, Type};

#[expect(dead_code, reason = "the other bench speaks more dialects")]
#[path = "peers/wire.rs"]
mod wire;

const READERS: usize = 20;
const MESSAGES: u32 = 5_000;
const INTERVAL: Duration = Duration::from_millis(2);
const PAYLOAD_BYTES: usize = 200;
const FILLER_BYTES: usize = 16 * 1024;
const FILLERS_AT_ONCE: u64 = 16;

fn main() -> Result<()> {
    let counts: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let counts = if counts.is_empty() { vec![0, 10, 100, 500] } else { counts };
    println!("{READERS} readers, {MESSAGES} messages of {PAYLOAD_BYTES} bytes at QoS 0, one each {INTERVAL:?}\n");
    println!("| stalled | p50 µs | p99 µs | p99.9 µs | max µs | lost |\n|---:|---:|---:|---:|---:|---:|");
    for stalled_count in counts {
        let mut delays = measure(stalled_count)?;
        let expected = READERS * MESSAGES as usize;
        delays.sort_unstable();
        let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_micros();
        let lost = expected - delays.len();
        println!("| {stalled_count} | {} | {} | {} | {} | {lost} |", at(0.5), at(0.99), at(0.999), at(1.0));
    }
    Ok(())
}

/// The delays of all messages to all readers beside so many stalled clients.
#[expect(clippy::disallowed_methods, reason = "a thread of its own keeps the publisher's pace")]
fn measure(stalled_count: usize) -> Result<Vec<Duration>> {
    let server = Server::start()?;
    let mut publisher = connect(server.mqtt, "publisher", None)?;
    let mut stalled = Vec::new();
    for at in 0..stalled_count {
        stalled.push(connect(server.mqtt, &format!("stalled-{at}"), Some("#"))?);
    }
    fill(&server, &mut publisher, stalled_count as u64)?;
    let start = Instant::now();
    let mut readers = Vec::new();
    for at in 0..READERS {
        let stream = connect(server.mqtt, &format!("reader-{at}"), Some("tick"))?;
        readers.push(thread::spawn(move || read(stream, start)));
    }
    let mut payload = [0; PAYLOAD_BYTES];
    let mut packet = Vec::new();
    let mut due = Instant::now();
    for _ in 0..MESSAGES {
        due += INTERVAL;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        payload[..8].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_be_bytes());
        packet.clear();
        wire::publish("tick", None, &payload, &mut packet);
        publisher.write_all(&packet)?;
    }
    let mut delays = Vec::new();
    for reader in readers {
        delays.extend(reader.join().expect("no panic")?);
    }
    drop(stalled);
    Ok(delays)
}

/// Publishes until every one of `stalled_count` clients has had each of the last messages dropped.
fn fill(server: &Server, publisher: &mut TcpStream, stalled_count: u64) -> Result<()> {
    let mut packets = Vec::new();
    (0..FILLERS_AT_ONCE).for_each(|_| wire::publish("fill", None, &[0; FILLER_BYTES], &mut packets));
    let received = "tidegate_engine_messages_received_total";
    let dropped = "tidegate_engine_dropped_total{reason=\"outbox_full\"}";
    let (mut published, mut dropped_before) = (server.metric(received)?, 0);
    loop {
        publisher.write_all(&packets)?;
        published += FILLERS_AT_ONCE;
        while server.metric(received)? < published {}
        let dropped_now = server.metric(dropped)?;
        if dropped_now - dropped_before == stalled_count * FILLERS_AT_ONCE {
            return Ok(());
        }
        dropped_before = dropped_now;
    }
}

/// Reads until every message has come or none comes any more.
fn read(mut stream: TcpStream, start: Instant) -> Result<Vec<Duration>> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut delays, mut received, mut chunk) = (Vec::new(), Vec::new(), vec![0; 65_536]);
    while delays.len() < MESSAGES as usize {
        let Ok(count @ 1..) = stream.read(&mut chunk) else { break };
        let now = start.elapsed();
        received.extend_from_slice(&chunk[..count]);
        let mut used = 0;
        while let Some((packet, length)) = wire::packet(&received[used..]) {
            let delivery = wire::delivery(&packet).context("a PUBLISH")?;
            let sent = delivery.payload.first_chunk::<8>().context("a payload of this bench")?;
            delays.push(now.saturating_sub(Duration::from_nanos(u64::from_be_bytes(*sent))));
            used += length;
        }
        received.drain(..used);
    }
    Ok(delays)
}

/// A client that is let in, and has subscribed to `filter` if there is one.
fn connect(address: SocketAddr, client_id: &str, filter: Option<&str>) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if client_id.starts_with("stalled") {
        // The less the system keeps for it, the sooner its outbox is full.
        SockRef::from(&socket).set_recv_buffer_size(4096)?;
    }
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    let mut packet = Vec::new();
    wire::connect(client_id, &mut packet);
    stream.write_all(&packet)?;
    stream.read_exact(&mut [0; 4]).context("CONNACK")?;
    if let Some(filter) = filter {
        packet.clear();
        wire::subscribe(filter, 0, 1, &mut packet);
        stream.write_all(&packet)?;
        stream.read_exact(&mut [0; 5]).context("SUBACK")?;
    }
    Ok(stream)
}

/// A server of its own on ports that the system chose; killed when dropped.
struct Server {
    child: Child,
    mqtt: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    fn start() -> Result<Self> {
        let binary = std::env::var_os("TIDEGATE_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_tidegate").into());
        let child = Command::new(binary)
            .env_remove("TIDEGATE_TEST_BINARY")
            .env("TIDEGATE_LISTEN", "[\"mqtt://127.0.0.1:0\"]")
            .env("TIDEGATE_ADMIN__LISTEN", "http://127.0.0.1:0")
            .env("TIDEGATE_LIMITS__OUTBOX_BYTES_MAX", "64KiB")
            .env("TIDEGATE_ENGINE__SYS_INTERVAL", "0s")
            .env("TIDEGATE_LOG__LEVEL", "error")
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the tidegate binary")?;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { child, mqtt: nowhere, admin: nowhere };
        let output = server.child.stdout.take().context("a piped stream")?;
        for line in BufReader::new(output).lines() {
            let line = line?;
            let mut words = line.split_whitespace();
            match (words.next(), words.next().and_then(|url| url.split_once("://"))) {
                (Some("listening"), Some(("mqtt", address))) => server.mqtt = address.parse()?,
                (Some("listening"), Some(("http", address))) => server.admin = address.parse()?,
                (Some("ready"), None) => break,
                _ => {}
            }
        }
        ensure!(server.mqtt != nowhere && server.admin != nowhere, "the server did not start");
        Ok(server)
    }

    fn metric(&self, series: &str) -> Result<u64> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.write_all(
            format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin).as_bytes(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let value = answer.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no {series}"))?.trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
