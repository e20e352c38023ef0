//! An nginx that an operator has set up, with one mistake or none.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use socket2::Socket;
use tempfile::TempDir;

use crate::harness::PATIENCE;
use crate::harness::server::hold;

use super::authority::Pair;

/// A running nginx that passes `/mqtt` on. Dropping it kills it.
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    /// Keeps the port from everybody but the one process that is told of it.
    _held: Socket,
    _directory: TempDir,
}

/// What a site needs for WebSockets.
pub const UPGRADE: &str = "proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
    proxy_set_header Host $http_host;
    proxy_read_timeout 1h;";

impl Nginx {
    /// In front of `behind`, with these lines for the server and for its location. With a certificate it speaks TLS.
    pub fn start(behind: SocketAddr, tls: Option<&Pair>, server: &str, location: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let held = hold((Ipv4Addr::LOCALHOST, 0).into());
        let address = held.local_addr().expect("a bound socket").as_socket().expect("an Internet address");
        let path = directory.path().display();
        let (kind, certificate) = match tls {
            None => ("", String::new()),
            Some(pair) => {
                let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text);
                write("server.pem", &pair.chain_pem).and_then(|()| write("server.key", &pair.key_pem)).expect("a file");
                (" ssl http2", format!("ssl_certificate {path}/server.pem; ssl_certificate_key {path}/server.key;"))
            }
        };
        let configuration = format!(
            "daemon off; master_process off; pid {path}/nginx.pid; error_log stderr crit; events {{}}
http {{
  access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
  fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
  server {{
    listen {address}{kind};
    {certificate}
    {server}
    location /mqtt {{ proxy_pass http://{behind}; {location} }}
    location / {{ return 404; }}
  }}
}}
"
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration).expect("a writable file");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path()).arg("-c").arg(&file).stdin(Stdio::null());
        let mut child = command.spawn().expect("nginx, which tests/run installs");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(child.try_wait().expect("a child of this process").is_none(), "nginx ended");
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::yield_now();
        }
        Self { child, address, _held: held, _directory: directory }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
