//! nginx beside Tidegate with what `tidegate import nginx` made of nginx's own file: both answer the same.

use std::path::Path;

use super::super::harness::server::tidegate as binary;
use super::super::harness::{Server, Setup, Transport, http};
use super::behind::Behind;
use super::sites::Nginx;

/// A site of several kinds of locations. The listener is nginx's own; routes are what is compared.
const SITE: &str = r#"
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream pool { server UP; keepalive 8; }
  proxy_http_version 1.1;
  proxy_buffering off;
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header Connection '';
  server {
    listen ADDRESS default_server;
    server_name a.test;
    root ROOT;
    add_header X-Frame-Options DENY always;
    location / { try_files $uri $uri/ /index.html; }
    location /files/ { try_files $uri =404; }
    location /img/ { alias ROOT/pictures/; location /img/secret/ { deny all; } }
    location /raw/ { proxy_pass http://pool; }
    location /app/ { proxy_pass http://pool/base/; add_header X-Own yes always; }
    location /cut/ { rewrite ^/cut/(.*)$ /$1 break; proxy_pass http://UP; }
    location = /one { proxy_pass http://UP/other; }
    location ~ ^/(css|js)/ { add_header X-Kind code always; }
    location /moved { return 301 https://$host$request_uri; }
    location = /text { return 200 "said"; }
    location = /away { return 302 /elsewhere; }
    location /nobody/ { deny all; }
    location ~ /\.(?!well-known) { deny all; }
    rewrite ^/old$ /new permanent;
  }
  server {
    listen ADDRESS;
    server_name b.test .c.test;
    location / { proxy_pass http://UP/host/; }
  }
  server {
    listen ADDRESS;
    server_name d.test www.d.test;
    if ($host = www.d.test) { return 301 http://d.test$request_uri; }
    location /only/ { return 204; }
    location / { return 404; }
  }
"#;

/// Not among them, as README says how they differ or another test holds it: an escaped slash (it stays one), a fixed redirect's query (it is
/// dropped), a folder without index.html (404, not 403), fields of the redirect to a server's folder (none).
const TARGETS: [&str; 38] = [
    "/",
    "/index.html",
    "/deep/route",
    "/?a=b",
    "/files/a.txt",
    "/files/none",
    "/img/p.txt",
    "/img/none",
    "/img/secret/x",
    "/img/../files/a.txt",
    "/raw/x",
    "/raw/x?y=z",
    "/raw/a%20b",
    "/app/x",
    "/app/x?y",
    "/cut/raw/x",
    "/cut/x?y=z",
    "/one",
    "/one?x",
    "/ones",
    "/css/a.css",
    "/js/none",
    "/moved",
    "/moved/x?y=z",
    "/text",
    "/away",
    "/nobody/x",
    "/.git/config",
    "/.well-known/x.txt",
    "/.ht",
    "/old",
    "/only/x",
    "/raw/",
    "/files/",
    "//raw//x",
    "/app/../raw/x",
    "/raw/404",
    "/app/redirect",
];

const HOSTS: [&str; 6] = ["a.test", "unknown.test", "b.test", "x.c.test", "d.test", "www.d.test"];

/// An application with all that is written around one.
const APPLICATION: &str = r#"
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  limit_req_zone $binary_remote_addr zone=api:1m rate=1000r/s;
  upstream node { least_conn; server UP weight=5 max_fails=3 fail_timeout=30s; server 127.0.0.1:1 backup; keepalive 16; }
  server {
    listen ADDRESS default_server;
    server_name app.test;
    client_max_body_size 20m;
    root ROOT;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header Connection '';
    location / { proxy_pass http://node; proxy_read_timeout 3600s; }
    location /api/ { limit_req zone=api burst=50 nodelay; proxy_pass http://node; }
    location /socket.io/ {
      proxy_pass http://node;
      proxy_set_header Host $http_host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 3600s;
    }
    location ^~ /css/ { expires 30d; add_header X-Kind static; }
    location = /favicon.ico { access_log off; log_not_found off; return 204; }
    location = /api/health { return 200 "up"; }
    error_page 500 502 503 504 /50x.html;
  }
  server {
    listen ADDRESS;
    server_name www.app.test old.app.test;
    if ($host = www.app.test) { return 301 https://app.test$request_uri; }
    if ($host = old.app.test) { return 301 https://app.test$request_uri; }
    return 404;
  }
"#;

/// What keeps somebody out, in all the ways there are.
const GUARDED: &str = r#"
  geo $office { default 0; 10.0.0.0/8 1; }
  map $http_x_key $has_key { default 0; letmein 1; }
  proxy_http_version 1.1;
  proxy_set_header Host $http_host;
  proxy_set_header Connection '';
  server {
    listen ADDRESS default_server;
    root ROOT;
    index index.php index.html;
    location / { try_files $uri $uri/ /index.php?$args; }
    location ~ \.php$ { fastcgi_pass 127.0.0.1:1; }
    location ^~ /open/ { proxy_pass http://UP; }
    location /home/ { allow 127.0.0.1; deny all; proxy_pass http://UP; }
    location /far/ { allow 10.0.0.0/8; deny all; proxy_pass http://UP; }
    location /password/ { auth_basic "Who?"; auth_basic_user_file ROOT/users; proxy_pass http://UP; }
    location /asked/ { auth_request /judge; proxy_pass http://UP; }
    location = /judge { internal; proxy_pass http://UP/401; }
    location /either/ { satisfy any; allow 10.0.0.0/8; deny all; auth_basic "Who?"; auth_basic_user_file ROOT/users; proxy_pass http://UP; }
    location /office/ { if ($office = 0) { return 403; } proxy_pass http://UP; }
    location /keyed/ { if ($has_key = 0) { return 403; } proxy_pass http://UP; }
    location /reading/ { limit_except GET { deny all; } proxy_pass http://UP; }
    location /inner/ { internal; root ROOT; }
    location ~* ^/secret/ { deny all; }
    location ^~ /nested/ { proxy_pass http://UP; location /nested/closed/ { deny all; } }
    location ~ /\.ht { deny all; }
    location ~* \.(bak|sql)$ { deny all; }
    location /uploads/ { location ~ \.php$ { return 403; } }
  }
"#;

#[test]
fn an_imported_site_answers_as_nginx_did() {
    let beside = Beside::new(SITE);
    beside.compare(&HOSTS, &TARGETS, "GET", |theirs, ours| theirs == ours);
}

#[test]
fn an_imported_application_answers_as_nginx_did() {
    let beside = Beside::new(APPLICATION);
    let targets = [
        "/",
        "/x?y=z",
        "/api/x",
        "/api/404",
        "/api/health",
        "/api/health/x",
        "/socket.io/?EIO=4&transport=polling",
        "/css/a.css",
        "/favicon.ico",
        "/favicon.ico.bak",
        "/deep/500",
        "/a%20b",
        "//x",
    ];
    let hosts = ["app.test", "unknown.test", "www.app.test", "old.app.test"];
    beside.compare(&hosts, &targets, "GET", |theirs, ours| theirs == ours);
    // A file cannot be posted to; what fields the refusal has is listed by the import.
    let passed_on: Vec<&str> = targets.into_iter().filter(|target| !target.starts_with("/css/")).collect();
    beside.compare(&hosts, &passed_on, "POST", |theirs, ours| theirs == ours);
}

/// What nginx kept from somebody, the imported site keeps from everybody; the rest is as it was.
#[test]
fn an_imported_guard_lets_nobody_in() {
    let beside = Beside::new(GUARDED);
    let is_closed = |shown: &[String]| shown[0].parse::<u16>().is_ok_and(|status| status >= 400);
    let guarded = [
        "/home/x",
        "/far/x",
        "/password/x",
        "/asked/x",
        "/judge",
        "/either/x",
        "/office/x",
        "/keyed/x",
        "/inner/x",
        "/secret/x",
        "/SECRET/x",
        "/nested/closed/x",
        "/.htaccess",
        "/index.php",
        "/wp-config.php",
        "/x.php/y",
        "/dump.sql",
        "/old.bak",
        "/uploads/evil.php",
        "/uploads/a.txt",
        "/",
        "/index.html",
    ];
    for method in ["GET", "POST", "DELETE"] {
        beside.compare(&["a.test"], &guarded, method, |theirs, ours| {
            is_closed(ours) || theirs == ours && !ours.iter().any(|line| line.contains("SECRET"))
        });
        beside.compare(&["a.test"], &["/open/x", "/nested/open/x"], method, |theirs, ours| theirs == ours);
    }
    beside.compare(&["a.test"], &["/reading/x"], "DELETE", |theirs, ours| is_closed(theirs) && is_closed(ours));
}

/// nginx with a site, and Tidegate with what was imported of it.
struct Beside {
    behind: Behind,
    nginx: Nginx,
    tidegate: Server,
    yaml: String,
    _directory: tempfile::TempDir,
}

impl Beside {
    fn new(site: &str) -> Self {
        let behind = Behind::start();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().join("public");
        files(&root);
        let site = |address: &str| {
            let (root, up) = (root.display().to_string(), behind.address().to_string());
            site.replace("ADDRESS", address).replace("ROOT", &root).replace("UP", &up)
        };
        let nginx = Nginx::with(|address| site(&address.to_string()));
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, format!("events {{}}\nhttp {{\n{}\n}}\n", site("127.0.0.1:8080")))
            .expect("a writable file");
        let yaml = import(&file);
        let (_, routes) = yaml.split_once("\nroutes:").expect("routes");
        let routes = routes.split_once("\nlimits:").map_or(routes, |(routes, _)| routes);
        let tidegate = Setup::new().section("routes", routes).start();
        Self { behind, nginx, tidegate, yaml, _directory: directory }
    }

    /// Asks both, and has `agree` judge what they showed.
    fn compare(&self, hosts: &[&str], targets: &[&str], method: &str, agree: impl Fn(&[String], &[String]) -> bool) {
        let mut differ = Vec::new();
        for host in hosts {
            for target in targets {
                let theirs = seen(self.nginx.address(), &self.behind, host, method, target);
                let ours = seen(self.tidegate.address("http"), &self.behind, host, method, target);
                if !agree(&theirs, &ours) {
                    differ.push(format!("{method} {host}{target}\n  nginx    {theirs:?}\n  tidegate {ours:?}"));
                }
            }
        }
        assert!(differ.is_empty(), "{}\n{}", self.yaml, differ.join("\n"));
    }
}

fn files(root: &Path) {
    for (name, text) in [
        ("index.html", "<p>app</p>"),
        ("files/a.txt", "a"),
        ("pictures/p.txt", "p"),
        ("pictures/secret/x", "SECRET"),
        ("css/a.css", "a{}"),
        ("js/b.js", "b"),
        (".git/config", "SECRET"),
        (".ht", "SECRET"),
        (".well-known/x.txt", "known"),
        ("nobody/x", "SECRET"),
        ("index.php", "<?php SECRET"),
        ("wp-config.php", "<?php SECRET"),
        ("uploads/evil.php", "<?php SECRET"),
        ("uploads/a.txt", "upload"),
        ("secret/x", "SECRET"),
        ("SECRET/x", "SECRET"),
        ("inner/x", "SECRET"),
        ("dump.sql", "SECRET"),
        ("old.bak", "SECRET"),
        (".htaccess", "SECRET"),
        ("users", "u:SECRET"),
    ] {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a writable file");
    }
    // The worker of nginx is another user, if this is the superuser.
    use std::os::unix::fs::PermissionsExt as _;
    let outer = root.parent().expect("a folder");
    std::fs::set_permissions(outer, std::fs::Permissions::from_mode(0o755)).expect("a folder of ours");
}

/// What is printed, which `tidegate check` takes.
fn import(file: &Path) -> String {
    let run = |arguments: &[&str]| {
        let output = binary().args(arguments).current_dir(file.parent().expect("a folder")).output().expect("tidegate");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let yaml = run(&["import", "nginx", "nginx.conf"]);
    std::fs::write(file.with_file_name("tidegate.yaml"), &yaml).expect("a writable file");
    run(&["check"]);
    yaml
}

/// Status, the fields that the site sets, content that is the site's own, and what the server behind was asked.
fn seen(address: std::net::SocketAddr, behind: &Behind, host: &str, method: &str, target: &str) -> Vec<String> {
    behind.forget();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = http::ask(Transport::tcp(address), request.as_bytes());
    let mut seen = vec![answer.status.to_string()];
    for name in ["location", "x-frame-options", "x-own", "x-kind"] {
        let value = answer.field(name).unwrap_or_default();
        // Where nothing else is said, nginx writes its own scheme, host and port before a path (RFC 9110 §10.2.2).
        let own = [format!("http://{host}:{}", address.port()), format!("http://{host}")];
        seen.push(own.iter().find_map(|own| value.strip_prefix(own.as_str())).unwrap_or(value).to_owned());
    }
    if answer.status == 200 {
        seen.push(answer.body.trim_end().to_owned());
    }
    seen.extend(behind.seen().into_iter().take(1));
    seen
}
