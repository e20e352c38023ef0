//! The server behind those under test: answers every GET with the same short page, over connections that stay.
//!
//! A thread a connection, as a proxy keeps few of them; its time is the generator's.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

/// What it answers with.
pub(crate) const PAGE_BYTES: usize = 1024;

/// Starts to listen on loopback; ends with the process.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // The proxy closes when it likes.
            thread::spawn(move || answer_all(&stream).is_ok());
        }
    });
    Ok(address)
}

fn answer_all(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {PAGE_BYTES}\r\n\r\n");
    answer.extend(std::iter::repeat_n('x', PAGE_BYTES));
    let mut requests = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match requests.read_until(b'\n', &mut line)? {
            0 => return Ok(()),
            // The empty line ends a request without content.
            _ if line == b"\r\n" => stream.write_all(answer.as_bytes())?,
            _ => {}
        }
    }
}
