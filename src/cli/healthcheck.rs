//! `tidegate healthcheck`: what containers ask instead of a program that their image lacks.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::{Common, answer};
use crate::config::{Request, load};
use crate::fault::Faults;

/// For the whole exchange; a probe that hangs is no better than one that fails.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A status line is shorter.
const STATUS_LINE_BYTES_MAX: usize = 256;

/// Asks a running server whether it is ready.
#[derive(Debug, clap::Args)]
pub struct HealthcheckCommand {
    /// What is asked [default: /readyz of the configuration's admin listener]
    #[arg(long)]
    pub url: Option<String>,
}

impl HealthcheckCommand {
    /// Runs the command: 0 ready, 1 not ready or not there.
    ///
    /// # Errors
    /// Why the server is not ready, or [`Faults`] of the configuration that names its address.
    pub fn run(self, common: Common) -> anyhow::Result<ExitCode> {
        let url = match self.url {
            Some(url) => url,
            None => {
                let admin = load(Request::of_process(common.config)).map_err(Faults)?.config.admin;
                let address = admin.listen.context("admin.listen is none: name a --url")?;
                format!("http://{address}/readyz")
            }
        };
        let status = status_of(&url, TIMEOUT).with_context(|| format!("asking {url}"))?;
        if common.json {
            answer(serde_json::json!({ "url": url, "status": status, "ready": status == 200 }))?;
        }
        if status != 200 {
            bail!("{url} answered {status}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The status with which `url` answers a GET.
fn status_of(url: &str, timeout: Duration) -> anyhow::Result<u16> {
    let rest = url.strip_prefix("http://").context("only http:// URLs are asked")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/readyz"),
    };
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("a URL holds no spaces or control characters");
    }
    let deadline = Instant::now() + timeout;
    let mut stream = connect(authority, deadline)?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n").as_bytes())?;
    parse_status(&status_line(&mut stream, deadline)?)
}

fn connect(authority: &str, deadline: Instant) -> anyhow::Result<TcpStream> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let mut failure = None;
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.map_or_else(|| anyhow::anyhow!("the name has no address"), Into::into))
}

fn status_line(stream: &mut TcpStream, deadline: Instant) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut bytes = [0; STATUS_LINE_BYTES_MAX];
    while !line.contains(&b'\n') && line.len() < STATUS_LINE_BYTES_MAX {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut bytes)? {
            0 => break,
            count => line.extend_from_slice(&bytes[..count]),
        }
    }
    Ok(line)
}

fn parse_status(line: &[u8]) -> anyhow::Result<u16> {
    let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    let mut parts = line.split(' ');
    let is_http = parts.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = parts.next().filter(|status| is_http && status.len() == 3).and_then(|status| status.parse().ok());
    status.with_context(|| format!("no HTTP answer: {line:?}"))
}

fn left(deadline: Instant) -> anyhow::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { bail!("no answer in time") } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one request with `answer` and gives the URL to ask; the thread returns what it was asked.
    fn server(answer: &'static [u8]) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let count = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        (url, asked)
    }

    #[test]
    fn ready_is_200_and_nothing_else() {
        let (url, asked) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(status_of(&url, TIMEOUT).unwrap(), 200);
        assert!(asked.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:"));

        let (url, _) = server(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(status_of(&url, TIMEOUT).unwrap(), 503);

        let (url, _) = server(b"SSH-2.0-x\r\n");
        assert!(status_of(&url, TIMEOUT).is_err());
    }

    #[test]
    fn silence_and_absence_are_failures() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        assert!(status_of(&url, Duration::from_millis(50)).is_err());
        drop(listener);
        assert!(status_of(&url, TIMEOUT).is_err());
        assert!(status_of("https://127.0.0.1/", TIMEOUT).is_err());
    }
}
