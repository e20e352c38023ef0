//! What is asked: good requests and bad ones, each on a connection of its own.

pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    /// Whether the client says that it has said all.
    pub is_finished: bool,
}

impl Case {
    pub fn is_head(&self) -> bool {
        self.bytes.starts_with(b"HEAD ")
    }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, text: String| {
        cases.push(Case { name, bytes: text.into_bytes(), is_finished: false });
    };
    for target in RAW {
        add(format!("raw {target}"), get(target, ""));
    }
    for target in REPLACED {
        add(format!("replaced {target}"), get(target, ""));
    }
    for method in METHODS {
        add(format!("method {method}"), get("/raw/x", "").replacen("GET", method, 1));
    }
    for last in ANSWERS {
        add(format!("answer {last}"), get(&format!("/app/{last}"), ""));
        add(format!("raw answer {last}"), get(&format!("/raw/{last}"), ""));
    }
    for last in ["x", "chunked", "until-close", "404"] {
        add(format!("head of {last}"), get(&format!("/raw/{last}"), "").replacen("GET", "HEAD", 1));
        add(format!("old client, {last}"), format!("GET /raw/{last} HTTP/1.0\r\nHost: a.test\r\n\r\n"));
    }
    for (index, fields) in FIELDS.iter().enumerate() {
        add(format!("fields {index}: {}", &fields[..fields.find("\r\n").unwrap_or(0)]), get("/raw/x", fields));
    }
    for (name, fields, content) in CONTENT {
        let text = format!("POST /raw/x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{fields}\r\n{content}");
        add(format!("content, {name}"), text);
    }
    for (name, text) in WHOLE {
        add((*name).to_owned(), (*text).to_owned());
    }
    cases
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{fields}\r\n")
}

const RAW: &[&str] = &[
    "/raw/",
    "/raw/x",
    "/raw/x?",
    "/raw/x?a=b&c=%20+d",
    "/raw/x??a?b",
    "/raw/%41%42",
    "/raw/%7e%2d",
    "/raw/a%20b",
    "/raw/a+b",
    "/raw//a//b",
    "//raw/x",
    "/raw/./x",
    "/raw/a/../x",
    "/raw/a/%2e%2e/x",
    "/x/../raw/x",
    "/raw/a%2Fb",
    "/raw/a%252Fb",
    "/raw/%C3%A9",
    "/raw/%ff",
    "/raw/a;b=c",
    "/raw/a:b@c,d",
    "/raw/~!$&'()*+,;=:@",
    "/raw/a|b",
    "/raw/[a]",
    "/raw/a^b",
    "/raw/%3Cscript%3E",
    "/raw/x?q=<script>",
    "/raw/x?q=\"a\"",
    "/raw/x?%zz",
    "/raw/x?a#b",
    "/raw/%zz",
    "/raw/%",
    "/raw/%00",
    "/raw/%0d%0aX:y",
    "/raw/../x",
    "/raw/../../x",
    "/..",
    "/raw/..;/x",
    "/raw/..%5Cx",
    "/raw/a\\b",
    "/raw/..%2Fx",
    "/raw%2Fx",
    "/raw/a/..",
    "/raw/...",
    "/RAW/x",
    "/raw",
    "/",
    "*",
    "raw/x",
    "http://a.test/raw/x?y",
    "http://a.test",
    "http://other.test/raw/x",
    "/raw/x y",
];

const REPLACED: &[&str] = &[
    "/app/",
    "/app/x",
    "/app/x?",
    "/app/x?a=b",
    "/app/?a",
    "/app//x",
    "/app/./x",
    "/app/a/../x",
    "/app/a/..",
    "/app/a/%2e%2e/x",
    "/app/%41",
    "/app/a%20b",
    "/app/a+b",
    "/app/%2B",
    "/app/a%3Fb",
    "/app/a%23b",
    "/app/a%25b",
    "/app/a%2525b",
    "/app/a%2Fb",
    "/app/%C3%A9",
    "/app/%c3%a9",
    "/app/%7e%7E~",
    "/app/%22%3c%3e%5e%60%7b%7c%7d",
    "/app/%5B%5D",
    "/app/%3a%40%26%3d%2b%24%2c%3b",
    "/app/%27%28%29%2a%21",
    "/app/a;b",
    "/app/a|b^c",
    "/app/a|b^c%20",
    "/app/%01",
    "/app/%7F",
    "/app/%0a",
    "/app/%5Cx",
    "/app/..",
    "/app/../app/x",
    "/app/../../x",
    "/app/..;/x",
    "/app%2Fx",
    "/bare",
    "/bare/x",
    "/barex",
    "/one",
    "/one?a",
    "/one/",
    "/%6fne",
    "/old",
    "/old?x",
    "/said",
    "/said/x",
    "/nothing-here",
];

const METHODS: &[&str] =
    &["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "X-Y", "get", "CONNECT", "G@T"];

const ANSWERS: &[&str] = &[
    "chunked",
    "trailers",
    "until-close",
    "old",
    "cut-length",
    "cut-chunked",
    "nothing",
    "no-http",
    "both",
    "204",
    "304",
    "404",
    "500",
    "599",
    "401",
    "hints",
    "cookies",
    "types",
    "hop",
    "accel",
    "refresh",
    "large",
    "to-inner",
    "to-inner-root",
    "to-relative",
    "to-other",
];

const FIELDS: &[&str] = &[
    "Cookie: a=b; c=d\r\n",
    "Cookie: a=b\r\nCookie: c=d\r\n",
    "X: 1\r\nX: 2\r\n",
    "X:\r\n",
    "X:1\r\n",
    "X: \t1 \t\r\n",
    "X_Y: 1\r\n",
    "X_Forwarded_For: 10.0.0.1\r\n",
    "X-Forwarded-For: 10.0.0.1\r\n",
    "X-Forwarded-Proto: https\r\nX-Real-IP: 10.0.0.1\r\n",
    "Keep-Alive: timeout=5\r\n",
    "TE: trailers\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: h2c\r\n",
    "Accept-Encoding: gzip, br\r\n",
    "Authorization: Basic YTpi\r\n",
    "Range: bytes=0-1\r\n",
    "If-None-Match: \"x\"\r\n",
    "Origin: https://evil.test\r\n",
    "User-Agent: \u{e9}\r\n",
    "X: a\r\n b\r\n",
    "X : 1\r\n",
    " X: 1\r\n",
    "X\r\n",
    ": 1\r\n",
    "X@Y: 1\r\n",
    "X: a\rb\r\n",
    "X: a\0b\r\n",
    "Host: a.test\r\n",
    "Host: other.test\r\n",
    "Content-Length: 0\r\n",
    "Via: 1.1 someone\r\n",
];

const CONTENT: &[(&str, &str, &str)] = &[
    ("of a length", "Content-Length: 5\r\n", "hello"),
    ("empty", "Content-Length: 0\r\n", ""),
    ("none", "", ""),
    ("of a type", "Content-Type: application/json\r\nContent-Length: 2\r\n", "{}"),
    ("chunked", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("chunked, several", "Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    ("chunked, empty", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("chunked, spelled otherwise", "Transfer-Encoding: Chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("chunked, extended", "Transfer-Encoding: chunked\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n"),
    ("chunked, with trailers", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX-T: y\r\n\r\n"),
    ("chunked, bare LF", "Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n"),
    ("chunked, size with a space", "Transfer-Encoding: chunked\r\n", "5 \r\nhello\r\n0\r\n\r\n"),
    ("chunked, no size", "Transfer-Encoding: chunked\r\n", "x\r\nhello\r\n0\r\n\r\n"),
    ("chunked, size too small", "Transfer-Encoding: chunked\r\n", "4\r\nhello\r\n0\r\n\r\n"),
    ("chunked, enormous", "Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"),
    ("framed twice", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("framed twice, the other way", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    ("of two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
    ("of one length twice", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
    ("of a list of lengths", "Content-Length: 5, 5\r\n", "hello"),
    ("of a length with a sign", "Content-Length: +5\r\n", "hello"),
    ("of a negative length", "Content-Length: -5\r\n", "hello"),
    ("of a length in hex", "Content-Length: 0x5\r\n", "hello"),
    ("coded otherwise", "Transfer-Encoding: gzip\r\n", "x"),
    ("coded twice", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
    ("not coded", "Transfer-Encoding: identity\r\n", ""),
    ("expected", "Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
    ("too large", "Content-Length: 2000000\r\n", ""),
];

const WHOLE: &[(&str, &str)] = &[
    ("no host", "GET /raw/x HTTP/1.1\r\nConnection: close\r\n\r\n"),
    ("empty host", "GET /raw/x HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"),
    ("host with a space", "GET /raw/x HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n"),
    ("host with a path", "GET /raw/x HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n"),
    ("another host", "GET /x HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n"),
    ("another host with a port", "GET /x HTTP/1.1\r\nHost: B.Test:8080\r\nConnection: close\r\n\r\n"),
    ("another host with a dot", "GET /x HTTP/1.1\r\nHost: b.test.\r\nConnection: close\r\n\r\n"),
    ("a host below", "GET /x HTTP/1.1\r\nHost: x.y.c.test\r\nConnection: close\r\n\r\n"),
    ("not below", "GET /raw/x HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n"),
    ("old, no host", "GET /raw/x HTTP/1.0\r\n\r\n"),
    ("old, with content", "POST /raw/x HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"),
    ("old, chunked", "POST /raw/x HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("very old", "GET /raw/x\r\n\r\n"),
    ("HTTP 2.0", "GET /raw/x HTTP/2.0\r\nHost: a.test\r\n\r\n"),
    ("HTTP 1.2", "GET /raw/x HTTP/1.2\r\nHost: a.test\r\nConnection: close\r\n\r\n"),
    ("no HTTP", "\u{16}\u{3}\u{1}\u{2}\r\n\r\n"),
    ("bare LF", "GET /raw/x HTTP/1.1\nHost: a.test\nConnection: close\n\n"),
    ("empty line first", "\r\nGET /raw/x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"),
    ("content of a GET", "GET /raw/x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"),
    (
        "two requests",
        "GET /raw/x HTTP/1.1\r\nHost: a.test\r\n\r\nGET /raw/y HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
    ),
    (
        "a request behind content",
        "POST /raw/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello\
         GET /raw/y HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
    ),
    (
        "a request behind chunks",
        "POST /raw/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
         GET /raw/y HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
    ),
    (
        "a request in content",
        "POST /raw/x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 44\r\n\r\n\
         GET /raw/smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ),
    (
        "a WebSocket",
        "GET /ws/socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n\r\nfrom the page.",
    ),
    (
        "a WebSocket with a request behind it",
        "GET /ws/socket HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Protocol: a, b\r\n\r\nGET /raw/smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ),
    (
        "a WebSocket that is refused",
        "GET /ws/no-socket HTTP/1.1\r\nHost: a.test\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ),
    ("no WebSocket", "GET /ws/x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"),
];
