//! Asks a running server through its admin API.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

/// The server to ask.
#[derive(Debug, Args)]
pub struct AdminServer {
    /// The admin listener of the running server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    pub url: String,
    /// The file with the token that its API asks for (admin.token_file)
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// For each read and write; an answer may take its time.
const TIMEOUT: Duration = Duration::from_secs(60);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer: a page of sessions with very many Subscriptions.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Status and JSON.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl AdminServer {
    /// POSTs `body` to a path of the API.
    ///
    /// # Errors
    /// There is no answer, or none of the API.
    pub(super) fn post(&self, path: &str, content_type: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let asking = || format!("asking {}", self.url);
        self.exchange(path, content_type, body).with_context(asking)
    }

    fn exchange(&self, path: &str, content_type: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let authority = self.url.strip_prefix("http://").context("only http:// URLs are asked")?;
        let authority = authority.trim_end_matches('/');
        if authority.contains('/') || !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!("a URL is http://, a host and a port here");
        }
        let mut head = format!("POST {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
        head += &format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
        if let Some(file) = &self.token_file {
            let token = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            let token = token.trim();
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                bail!("{}: no token: it holds what is no printable ASCII character", file.display());
            }
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        let mut stream = connect(authority)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all((head + "\r\n").as_bytes())?;
        // A server that refuses what comes answers before it has read it all.
        let sent = stream.write_all(body);
        let mut answer = Vec::new();
        let received = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
        let parsed = parse(&answer);
        if parsed.is_err() {
            sent?;
            received?;
        }
        parsed
    }
}

fn connect(authority: &str) -> anyhow::Result<TcpStream> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let mut failure = None;
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.map_or_else(|| anyhow::anyhow!("the name has no address"), Into::into))
}

/// The API's answers have a Content-Length, and the connection ends behind them.
fn parse(answer: &[u8]) -> anyhow::Result<Answer> {
    let text = std::str::from_utf8(answer).context("the answer is no text")?;
    let (head, body) = text.split_once("\r\n\r\n").context("no whole answer of HTTP")?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.context("no answer of HTTP/1.1")?;
    let body = serde_json::from_str(body).with_context(|| format!("status {status}, and no JSON"))?;
    Ok(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let answer = parse(b"HTTP/1.1 422 Unprocessable Entity\r\nx: y\r\n\r\n{\"error\":\"e\"}\n").unwrap();
        assert_eq!((answer.status, answer.body["error"].as_str()), (422, Some("e")));
        for text in
            ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\nhello", "ICY 200 OK\r\n\r\n{}", "HTTP/1.1 2\r\n\r\n{}"]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_an_address_is_asked() {
        for url in ["https://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1:1/path", "http://a b:1"] {
            let server = AdminServer { url: url.to_owned(), token_file: None };
            let error = format!("{:#}", server.post("/", "x", b"").unwrap_err());
            assert!(error.contains("URL"), "{error}");
        }
    }
}
