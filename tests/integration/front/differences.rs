//! Where nginx and Tidegate are known to differ, and why.
//!
//! Written against nginx 1.22; a later one may have come to agree, which a row that is no longer seen shows.

/// One known difference: all that each of them shows.
pub struct Difference {
    pub case: &'static str,
    pub nginx: &'static str,
    pub tidegate: &'static str,
    pub why: &'static str,
}

const fn row(case: &'static str, why: &'static str, nginx: &'static str, tidegate: &'static str) -> Difference {
    Difference { case, nginx, tidegate, why }
}

const QUERY: &str = "`<`, `>` and `\"` cannot stand in a target (RFC 3986 §3.4); browsers escape them";
const FRAGMENT: &str = "a fragment is no part of a target (RFC 9112 §3.2)";
const CONTROL: &str = "control characters in a path are for breaking out of whatever handles it next";
const PARAMETER: &str = "some servers take `;…` off and see a dot segment";
const BACKSLASH: &str = "some servers take a backslash for a slash";
const SLASH: &str = "an escaped slash parts segments for some servers only; nginx parts, and so chooses another route";
const KEPT: &str = "an escaped slash is part of its segment (RFC 3986 §2.2), and stays that";
const TRAILERS: &str = "trailers are not passed on by either; Tidegate does not announce them";
const NO_HTTP: &str = "nginx takes what is no HTTP for HTTP/0.9 and passes it on";
const TWICE: &str =
    "content framed twice is how answers are split (RFC 9112 §6.3); later releases of nginx refuse it too";
const HINTS: &str = "nginx passes 103 on as if it were the answer; Tidegate waits for the answer";
const HOP: &str = "a field that Connection lists is not for the client (RFC 9110 §7.6.1)";
const EXPECT: &str = "without content there is nothing to go on with";
const NAME: &str = "a line without colon, or with another name than a token, is no field (RFC 9110 §5.1)";
const LF: &str = "lines end in CR LF; who forgives a bare LF reads other chunks than who does not";
const SPACE: &str = "no white space belongs behind the size of a chunk (RFC 9112 §7.1)";
const CODING: &str = "both refuse; for a request whose coding does not end in chunked, 400 is right (RFC 9112 §6.3)";
const NO_HOST: &str = "a request of HTTP/1.1 needs a Host, so the server's own goes on";
const VERSION: &str = "the versions spoken are 1.0 and 1.1";
const AUTHORITY: &str = "a target that names another host than Host is read differently by different readers";

/// In the order of the corpus.
pub const DIFFERENCES: &[Difference] = &[
    row(
        "raw /raw/x?q=<script>",
        QUERY,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/x?q=<script> HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "raw /raw/x?q=\"a\"",
        QUERY,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/x?q=\"a\" HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "raw /raw/x?a#b",
        FRAGMENT,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/x?a#b HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "raw /raw/%0d%0aX:y",
        CONTROL,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/%0d%0aX:y HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "raw /raw/..;/x",
        PARAMETER,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/..;/x HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "raw /raw/..%5Cx",
        BACKSLASH,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/..%5Cx HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "raw /raw/a\\b",
        BACKSLASH,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/a\\b HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row("raw /raw/..%2Fx", SLASH, "404", "400"),
    row(
        "raw /raw%2Fx",
        SLASH,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw%2Fx HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "raw http://other.test/raw/x",
        AUTHORITY,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/x HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "replaced /app/a%2Fb",
        KEPT,
        "200 | content-type: text/plain | \"ok\"\n> GET /base/a/b HTTP/1.1 | host: a.test | \"\"",
        "200 | content-type: text/plain | \"ok\"\n> GET /base/a%2Fb HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "replaced /app/%01",
        CONTROL,
        "200 | content-type: text/plain | \"ok\"\n> GET /base/%01 HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "replaced /app/%7F",
        CONTROL,
        "200 | content-type: text/plain | \"ok\"\n> GET /base/%7F HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "replaced /app/%0a",
        CONTROL,
        "200 | content-type: text/plain | \"ok\"\n> GET /base/%0A HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "replaced /app/%5Cx",
        BACKSLASH,
        "200 | content-type: text/plain | \"ok\"\n> GET /base/%5Cx HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "replaced /app/..;/x",
        PARAMETER,
        "200 | content-type: text/plain | \"ok\"\n> GET /base/..;/x HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "replaced /app%2Fx",
        SLASH,
        "200 | content-type: text/plain | \"ok\"\n> GET /base/x HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "answer trailers",
        TRAILERS,
        "200 | trailer: X-T | chunked \"ok\"\n> GET /base/trailers HTTP/1.1 | host: a.test | \"\"",
        "200 |  | chunked \"ok\"\n> GET /base/trailers HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "raw answer trailers",
        TRAILERS,
        "200 | trailer: X-T | chunked \"ok\"\n> GET /raw/trailers HTTP/1.1 | host: a.test | \"\"",
        "200 |  | chunked \"ok\"\n> GET /raw/trailers HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "answer no-http",
        NO_HTTP,
        "no HTTP: \"SMTP ready\"\n> GET /base/no-http HTTP/1.1 | host: a.test | \"\"",
        "502\n> GET /base/no-http HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "raw answer no-http",
        NO_HTTP,
        "no HTTP: \"SMTP ready\"\n> GET /raw/no-http HTTP/1.1 | host: a.test | \"\"",
        "502\n> GET /raw/no-http HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "answer both",
        TWICE,
        "200 |  | chunked \"\"\n> GET /base/both HTTP/1.1 | host: a.test | \"\"",
        "502\n> GET /base/both HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "raw answer both",
        TWICE,
        "200 |  | chunked \"\"\n> GET /raw/both HTTP/1.1 | host: a.test | \"\"",
        "502\n> GET /raw/both HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "answer hints",
        HINTS,
        "103\n200 |  | \"ok\"\n> GET /base/hints HTTP/1.1 | host: a.test | \"\"",
        "200 |  | \"ok\"\n> GET /base/hints HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "raw answer hints",
        HINTS,
        "103\n200 |  | \"ok\"\n> GET /raw/hints HTTP/1.1 | host: a.test | \"\"",
        "200 |  | \"ok\"\n> GET /raw/hints HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "answer hop",
        HOP,
        "200 | x-end: 1 | x-hop: 1 | \"\"\n> GET /base/hop HTTP/1.1 | host: a.test | \"\"",
        "200 | x-end: 1 | \"\"\n> GET /base/hop HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "raw answer hop",
        HOP,
        "200 | x-end: 1 | x-hop: 1 | \"\"\n> GET /raw/hop HTTP/1.1 | host: a.test | \"\"",
        "200 | x-end: 1 | \"\"\n> GET /raw/hop HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "fields 12: Expect: 100-continue",
        EXPECT,
        "100\n200 | content-type: text/plain | \"ok\"\n> GET /raw/x HTTP/1.1 | host: a.test | \"\"",
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/x HTTP/1.1 | host: a.test | \"\"",
    ),
    row(
        "fields 23: X",
        NAME,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/x HTTP/1.1 | host: a.test | x:  | \"\"",
        "400",
    ),
    row(
        "fields 25: X@Y: 1",
        NAME,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/x HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row(
        "content, chunked, bare LF",
        LF,
        "200 | content-type: text/plain | \"ok\"\n> POST /raw/x HTTP/1.1 | host: a.test | \"hello\"",
        "400",
    ),
    row(
        "content, chunked, size with a space",
        SPACE,
        "200 | content-type: text/plain | \"ok\"\n> POST /raw/x HTTP/1.1 | host: a.test | \"hello\"",
        "400",
    ),
    row("content, coded otherwise", CODING, "501", "400"),
    row("content, not coded", CODING, "501", "400"),
    row(
        "old, no host",
        NO_HOST,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/x HTTP/1.1 |  | \"\"",
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/x HTTP/1.1 | host: behind | \"\"",
    ),
    row("very old", VERSION, "rest \"ok\"\n> GET /raw/x HTTP/1.1 |  | \"\"", "400"),
    row("HTTP 2.0", VERSION, "505", "400"),
    row(
        "HTTP 1.2",
        VERSION,
        "200 | content-type: text/plain | \"ok\"\n> GET /raw/x HTTP/1.1 | host: a.test | \"\"",
        "400",
    ),
    row("bare LF", LF, "200 | content-type: text/plain | \"ok\"\n> GET /raw/x HTTP/1.1 | host: a.test | \"\"", "400"),
];
