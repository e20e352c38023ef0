//! The same site twice: as nginx is told of it, and as Tidegate is.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use socket2::Socket;
use tempfile::TempDir;

use super::super::harness::server::hold;
use super::super::harness::{PATIENCE, Server, Setup};
use super::behind::Behind;

/// A running nginx. Dropping it kills it.
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    /// Keeps the port from everybody but the one process that is told of it.
    _held: Socket,
    _directory: TempDir,
}

impl Nginx {
    pub fn start(behind: &Behind) -> Self {
        let up = behind.address();
        Self::with(|address| {
            format!(
                r#"
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  proxy_http_version 1.1;
  proxy_buffering off;
  proxy_read_timeout 1s;
  proxy_request_buffering off;
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Real-IP $remote_addr;
  proxy_set_header Connection '';
  server {{
    listen {address} default_server;
    location /raw/ {{ proxy_pass http://{up}; }}
    location /app/ {{ proxy_pass http://{up}/base/; }}
    location /bare {{ proxy_pass http://{up}/; }}
    location = /one {{ proxy_pass http://{up}/other; }}
    location /ws/ {{
      proxy_pass http://{up};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }}
    location = /old {{ return 301 /new; }}
    location /said {{ return 200 "said"; }}
    location / {{ return 404; }}
  }}
  server {{
    listen {address};
    server_name b.test *.c.test;
    location / {{ proxy_pass http://{up}/host/; }}
  }}
"#
            )
        })
    }

    /// Serves `site`, which stands within `http`, at the address that it is told.
    pub fn with(site: impl FnOnce(SocketAddr) -> String) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let held = hold((Ipv4Addr::LOCALHOST, 0).into());
        let address = held.local_addr().expect("a bound socket").as_socket().expect("an Internet address");
        let configuration = directory.path().join("nginx.conf");
        let (path, site) = (directory.path().display(), site(address));
        let site = format!(
            r#"
daemon off;
master_process off;
pid {path}/nginx.pid;
error_log stderr crit;
events {{}}
http {{
  access_log off;
  client_body_temp_path {path}/body;
  proxy_temp_path {path}/proxy;
  fastcgi_temp_path {path}/fastcgi;
  uwsgi_temp_path {path}/uwsgi;
  scgi_temp_path {path}/scgi;
{site}
}}
"#
        );
        std::fs::write(&configuration, site).expect("a writable file");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path()).arg("-c").arg(&configuration).stdin(Stdio::null());
        let child = command.spawn().expect("nginx, which tests/run installs");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::yield_now();
        }
        Self { child, address, _held: held, _directory: directory }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn tidegate(behind: &Behind) -> Server {
    let up = behind.address();
    let routes = format!(
        "
  - {{ path: /raw/, proxy: \"http://{up}\" }}
  - {{ path: /app/, proxy: \"http://{up}/base/\" }}
  - {{ path: /bare, proxy: \"http://{up}/\" }}
  - {{ exact: /one, proxy: \"http://{up}/other\" }}
  - {{ path: /ws/, proxy: \"http://{up}\" }}
  - {{ exact: /old, redirect: /new }}
  - {{ path: /said, respond: said }}
  - {{ path: /, host: [b.test, \"*.c.test\"], proxy: \"http://{up}/host/\" }}"
    );
    Setup::new().section("routes", &routes).start()
}
