//! Files: ranges, conditions, folders, names and types, beside nginx.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::super::harness::{Setup, Transport, http};
use super::differences;
use super::seen::unchunked;
use super::sites::Nginx;

/// Fields in which the two may not differ.
const FIELDS: [&str; 7] =
    ["accept-ranges", "allow", "content-length", "content-range", "content-type", "last-modified", "location"];

/// When every file was written: 6 November 1994.
const WRITTEN: Duration = Duration::from_secs(784_111_777);
const WRITTEN_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sat, 05 Nov 1994 08:49:37 GMT";
const AFTER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

const FILES: [(&str, &str); 20] = [
    ("a.txt", "0123456789"),
    ("empty.txt", ""),
    ("a b.txt", "space"),
    ("a+b.txt", "plus"),
    ("a%b.txt", "percent"),
    ("a?b#c.txt", "marks"),
    ("\u{e9}.txt", "accent"),
    (".hidden", "hidden"),
    ("none", "no type"),
    ("p.html", "<p>"),
    ("s.css", "a{}"),
    ("d.json", "{}"),
    ("v.svg", "<svg/>"),
    ("i.png", "PNG"),
    ("f.woff2", "font"),
    ("w.wasm", "wasm"),
    ("sub/index.html", "<p>sub</p>"),
    ("sub/deep/x.txt", "deep"),
    ("index.html", "<p>root</p>"),
    ("spa/index.html", "<p>app</p>"),
];

const TARGETS: &[&str] = &[
    "/files/a.txt",
    "/files/a.txt?x",
    "/files/",
    "/files/?x",
    "/files",
    "/files/sub",
    "/files/sub?x=y",
    "/files/sub/",
    "/files/sub/deep",
    "/files/sub/deep/",
    "/files/sub/deep/x.txt",
    "/files/sub//deep///x.txt",
    "/files/sub/./deep/../../a.txt",
    "/files/none-there",
    "/files/sub/none-there",
    "/files/a.txt/",
    "/files/a.txt/x",
    "/files/A.TXT",
    "/files/empty.txt",
    "/files/a%20b.txt",
    "/files/a b.txt",
    "/files/a+b.txt",
    "/files/a%2Bb.txt",
    "/files/a%25b.txt",
    "/files/a%3Fb%23c.txt",
    "/files/%C3%A9.txt",
    "/files/\u{e9}.txt",
    "/files/%E9.txt",
    "/files/.hidden",
    "/files/sub%2Fdeep%2Fx.txt",
    "/files/a.txt%00",
    "/files/a.txt%0a",
    "/files/..",
    "/files/../files/a.txt",
    "/files/%2e%2e/files/a.txt",
    "/files/..%2fspa/index.html",
    "/files/none",
    "/files/p.html",
    "/files/s.css",
    "/files/d.json",
    "/files/v.svg",
    "/files/i.png",
    "/files/f.woff2",
    "/files/w.wasm",
    "/files/index.html",
    "/spa/",
    "/spa/deep/route",
    "/spa/deep/route?x",
    "/spa/index.html",
    "/spa",
];

const METHODS: &[&str] = &["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

const RANGES: &[&str] = &[
    "bytes=0-0",
    "bytes=0-",
    "bytes=5-",
    "bytes=9-",
    "bytes=10-",
    "bytes=2-4",
    "bytes=0-9",
    "bytes=0-10",
    "bytes=0-99999999999999999999",
    "bytes=-1",
    "bytes=-10",
    "bytes=-11",
    "bytes=-0",
    "bytes=5-2",
    "bytes=1000-2000",
    "bytes=0-1,3-4",
    "bytes=0-1, -1",
    "bytes=0-1,0-1",
    "bytes=0-5,3-8",
    "bytes=0-1,1000-",
    "bytes=1000-,2000-",
    "bytes=0-1,",
    "bytes=,0-1",
    "bytes=",
    "bytes=-",
    "bytes=x",
    "bytes=1",
    "bytes 0-1",
    "bytes= 0-1",
    "bytes=0 - 1",
    "BYTES=0-1",
    "items=0-1",
    "",
];

/// `{etag}` is the server's own.
const CONDITIONS: &[&str] = &[
    "If-None-Match: {etag}",
    "If-None-Match: W/{etag}",
    "If-None-Match: \"x\", {etag}",
    "If-None-Match: \"x\"",
    "If-None-Match: *",
    "If-None-Match: x",
    "If-Modified-Since: {written}",
    "If-Modified-Since: {before}",
    "If-Modified-Since: {after}",
    "If-Modified-Since: yesterday",
    "If-None-Match: \"x\"\r\nIf-Modified-Since: {written}",
    "If-None-Match: {etag}\r\nIf-Modified-Since: {before}",
    "If-Match: {etag}",
    "If-Match: \"x\"",
    "If-Match: *",
    "If-Unmodified-Since: {written}",
    "If-Unmodified-Since: {before}",
    "If-Unmodified-Since: {after}",
    "If-Range: {etag}\r\nRange: bytes=0-1",
    "If-Range: \"x\"\r\nRange: bytes=0-1",
    "If-Range: W/{etag}\r\nRange: bytes=0-1",
    "If-Range: {written}\r\nRange: bytes=0-1",
    "If-Range: {before}\r\nRange: bytes=0-1",
    "If-Range: {after}\r\nRange: bytes=0-1",
    "If-Range: x\r\nRange: bytes=0-1",
    "If-Range: \"x\"\r\nRange: bytes=1000-",
    "If-Range: {etag}\r\nRange: bytes=1000-",
    "If-Range: \"x\"",
    "If-None-Match: {etag}\r\nRange: bytes=0-1",
    "If-None-Match: \"x\"\r\nRange: bytes=0-1",
    "If-Modified-Since: {written}\r\nRange: bytes=0-1",
];

#[test]
fn files_are_served_as_nginx_serves_them() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path();
    write(root);
    let shown = root.display();
    let nginx = Nginx::with(|address| {
        format!(
            "types {{ text/html html; text/css css; text/plain txt; application/json json; image/svg+xml svg; image/png png;
             font/woff2 woff2; application/wasm wasm; }}
             default_type application/octet-stream;
             server {{
               listen {address};
               location / {{ return 404; }}
               location /files/ {{ alias {shown}/; }}
               location /spa/ {{ root {shown}; try_files $uri $uri/ /spa/index.html; }}
             }}"
        )
    });
    let routes = format!(
        "\n  - {{ path: /files/, files: \"{shown}\" }}\n  - {{ path: /spa/, files: \"{shown}/spa\", fallback: /index.html }}"
    );
    let tidegate = Setup::new().section("routes", &routes).start();
    let (theirs, ours) = (Asked::new(nginx.address()), Asked::new(tidegate.address("http")));
    let mut cases = Vec::new();
    let mut ask = |name: String, line: &str, fields: &str| {
        cases.push((name, theirs.shows(line, fields), ours.shows(line, fields)));
    };
    for target in TARGETS {
        ask(format!("GET {target}"), &format!("GET {target}"), "");
    }
    for method in METHODS {
        for target in ["/files/a.txt", "/files/none-there", "/files/sub"] {
            ask(format!("{method} {target}"), &format!("{method} {target}"), "");
        }
    }
    for range in RANGES {
        ask(format!("Range: {range}"), "GET /files/a.txt", &format!("Range: {range}"));
    }
    for range in ["bytes=0-1", "bytes=1000-", "bytes=-1", "bytes=0-1,3-4"] {
        ask(format!("HEAD, Range: {range}"), "HEAD /files/a.txt", &format!("Range: {range}"));
        ask(format!("empty, Range: {range}"), "GET /files/empty.txt", &format!("Range: {range}"));
        ask(format!("fallback, Range: {range}"), "GET /spa/deep/route", &format!("Range: {range}"));
    }
    for condition in CONDITIONS {
        ask(condition.replace("\r\n", ", "), "GET /files/a.txt", condition);
        ask(format!("HEAD, {}", condition.replace("\r\n", ", ")), "HEAD /files/a.txt", condition);
    }
    differences::judge("files.txt", cases);
}

fn write(root: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // The worker of nginx is another user, if this is the superuser.
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o755)).expect("a folder of ours");
    for (name, text) in FILES {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a writable file");
        let file = std::fs::File::options().write(true).open(&path).expect("a file of ours");
        file.set_modified(SystemTime::UNIX_EPOCH + WRITTEN).expect("a file of ours");
    }
}

/// One of the two.
struct Asked {
    address: SocketAddr,
    /// Of `a.txt`.
    etag: String,
}

impl Asked {
    fn new(address: SocketAddr) -> Self {
        let etag = http::get(address, "/files/a.txt").field("etag").unwrap_or_default().to_owned();
        assert!(etag.starts_with('"') && etag.len() > 2, "a strong validator: {etag:?}");
        Self { address, etag }
    }

    fn shows(&self, line: &str, fields: &str) -> Vec<String> {
        let fields =
            [("{etag}", self.etag.as_str()), ("{written}", WRITTEN_TEXT), ("{before}", BEFORE), ("{after}", AFTER)]
                .iter()
                .fold(fields.to_owned(), |fields, (name, value)| fields.replace(name, value));
        let fields = if fields.is_empty() { fields } else { fields + "\r\n" };
        let request = format!("{line} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{fields}\r\n");
        let answer = http::ask(Transport::tcp(self.address), request.as_bytes());
        let mut shown = vec![answer.status.to_string()];
        if answer.status >= 400 {
            // Whose page of an error it is matters little; what it says of ranges does.
            shown.extend(answer.field("content-range").map(|range| format!("content-range: {range}")));
            return shown;
        }
        // It is drawn by lot.
        let boundary = answer.field("content-type").and_then(|value| value.split_once("boundary=")).map(|(_, b)| b);
        let settled = |text: &str| boundary.map_or(text.to_owned(), |boundary| text.replace(boundary, "BOUNDARY"));
        for name in FIELDS {
            let own = [format!("http://{}", self.address), format!("http://a.test:{}", self.address.port())];
            let value = answer
                .field(name)
                .map(|value| own.iter().find_map(|own| value.strip_prefix(own.as_str())).unwrap_or(value));
            shown.extend(value.map(|value| format!("{name}: {}", settled(value))));
        }
        shown.extend(
            answer.field("etag").map(|etag| format!("etag: {}", if etag == self.etag { "its own" } else { "another" })),
        );
        let body = match answer.field("transfer-encoding") {
            Some(_) => unchunked(answer.body.as_bytes()).map(|(body, ..)| String::from_utf8_lossy(&body).into_owned()),
            None => Some(answer.body.clone()),
        };
        // nginx says what it could do where it does not do it.
        shown.retain(|line| answer.status != 206 || !line.starts_with("accept-ranges: "));
        // The length of the pages of redirects is as little of interest as that of errors.
        shown.retain(|line| answer.status != 301 || line.starts_with("301") || line.starts_with("location: "));
        if answer.status != 301 {
            shown.push(format!("{:?}", settled(&body.unwrap_or_default())));
        }
        shown
    }
}
