//! nginx beside Tidegate with what `tidegate import nginx` made of nginx's own file: both answer the same.

use std::path::Path;

use super::super::harness::server::tidegate as binary;
use super::super::harness::{Setup, Transport, http};
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

#[test]
fn an_imported_site_answers_as_nginx_did() {
    let behind = Behind::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path().join("public");
    files(&root);
    let site = |address: &str| {
        let (root, up) = (root.display().to_string(), behind.address().to_string());
        SITE.replace("ADDRESS", address).replace("ROOT", &root).replace("UP", &up)
    };
    let nginx = Nginx::with(|address| site(&address.to_string()));
    let file = directory.path().join("nginx.conf");
    std::fs::write(&file, format!("events {{}}\nhttp {{\n{}\n}}\n", site("127.0.0.1:8080"))).expect("a writable file");
    let yaml = import(&file);
    let (_, routes) = yaml.split_once("\nroutes:").expect("routes");
    let tidegate = Setup::new().section("routes", routes).start();

    let mut differ = Vec::new();
    for host in HOSTS {
        for target in TARGETS {
            let theirs = seen(nginx.address(), &behind, host, target);
            let ours = seen(tidegate.address("http"), &behind, host, target);
            if theirs != ours {
                differ.push(format!("{host}{target}\n  nginx    {theirs:?}\n  tidegate {ours:?}"));
            }
        }
    }
    assert!(differ.is_empty(), "{yaml}\n{}", differ.join("\n"));
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
fn seen(address: std::net::SocketAddr, behind: &Behind, host: &str, target: &str) -> Vec<String> {
    behind.forget();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
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
