use std::fs;

use super::*;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

#[track_caller]
fn assert_status(answer: &str, status: &str) {
    assert_eq!(answer.get(9..12), Some(status), "{answer}");
}

#[tokio::test]
async fn the_demo_page_is_served_with_its_policy() {
    let edge = Running::start(&[Scheme::Http], |_| {});
    let answer = edge.ask(get("/")).await;
    assert_status(&answer, "200");
    assert!(answer.contains("content-type: text/html; charset=utf-8\r\n"), "{answer}");
    assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
    assert!(edge.ask(get("/demo.js")).await.contains("content-type: text/javascript"));
    assert!(edge.ask(get("/demo.css")).await.contains("content-type: text/css"));
    assert_status(&edge.ask(get("/nothing")).await, "404");
}

#[tokio::test]
async fn methods_are_answered_as_they_mean() {
    let edge = Running::start(&[Scheme::Http], |_| {});
    let head = edge.ask(get("/").replace("GET", "HEAD")).await;
    assert_status(&head, "200");
    assert!(head.ends_with("\r\n\r\n") && head.contains("content-length: "), "{head}");
    for request in ["OPTIONS / HTTP/1.1", "OPTIONS * HTTP/1.1"] {
        let answer = edge.ask(get("/").replace("GET / HTTP/1.1", request)).await;
        assert_status(&answer, "204");
        assert!(answer.contains("allow: GET, HEAD, OPTIONS\r\n"), "{answer}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
        let answer = edge.ask(get("/").replace("GET", method)).await;
        assert_status(&answer, "405");
        assert!(answer.contains("allow: "), "{answer}");
    }
    assert_status(&edge.ask(get("/").replace("GET /", "CONNECT localhost:80")).await, "400");
}

#[tokio::test]
async fn a_websocket_address_says_what_it_is() {
    let edge = Running::start(&[Scheme::Http], |_| {});
    for path in ["/mqtt", "/ws/"] {
        let answer = edge.ask(get(path)).await;
        assert_status(&answer, "426");
        assert!(answer.contains("upgrade: websocket\r\n") && answer.contains("WebSocket client"), "{answer}");
    }
    assert_eq!(read(&edge.counters.upgrades_refused_malformed), 0, "looking is no fault");
}

#[tokio::test]
async fn requests_share_a_connection_and_may_be_pipelined() {
    let edge = Running::start(&[Scheme::Http], |_| {});
    let kept = "GET /demo.css HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = edge.ask(format!("{kept}{kept}\r\n{kept}{}", get("/nothing"))).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 3, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 404 ").count(), 1, "{answer}");
    let old = edge.ask("GET /demo.css HTTP/1.0\r\n\r\n").await;
    assert_status(&old, "200");
}

#[tokio::test]
async fn redirects_lead_where_they_say() {
    let edge = Running::start(&[Scheme::Http], |config| {
        config.routes = vec![
            RouteConfig::new(PathMatch::Exact("/old".into()), RouteAction::Redirect { to: "/new".into(), status: 308 }),
            route("/demo", RouteAction::Demo),
            route("/away", RouteAction::Redirect { to: "https://${host}${target}".into(), status: 301 }),
        ];
    });
    let answer = edge.ask(get("/away%20x?a=b")).await;
    assert!(answer.contains("location: https://localhost/away%20x?a=b\r\n"), "{answer}");
    assert_status(&edge.ask("GET /away HTTP/1.0\r\n\r\n").await, "400");
    let answer = edge.ask(get("/old?x=1")).await;
    assert_status(&answer, "308");
    assert!(answer.contains("location: /new\r\n"), "{answer}");
    assert_status(&edge.ask(get("/old/")).await, "404");
    let answer = edge.ask(get("/demo")).await;
    assert_status(&answer, "308");
    assert!(answer.contains("location: /demo/\r\n"), "{answer}");
    assert_status(&edge.ask(get("/demo/")).await, "200");
}

/// A folder with files, and one beside it that nobody may read.
fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let public = folder.path().join("public");
    fs::create_dir_all(public.join("sub")).expect("the folder can be written");
    fs::write(folder.path().join("secret.txt"), "SECRET").expect("the folder can be written");
    fs::write(public.join("index.html"), "<p>index</p>").expect("the folder can be written");
    fs::write(public.join("app.js"), "0123456789").expect("the folder can be written");
    fs::write(public.join("app.js.gz"), "compressed").expect("the folder can be written");
    fs::write(public.join("sub/index.html"), "<p>sub</p>").expect("the folder can be written");
    fs::write(public.join("a b.txt"), "spaced").expect("the folder can be written");
    folder
}

fn files(root: &Path, fallback: Option<&str>) -> RouteAction {
    RouteAction::Files { root: root.join("public"), fallback: fallback.map(str::to_owned) }
}

#[tokio::test]
async fn files_are_served_with_ranges_conditions_and_variants() {
    let folder = site();
    let edge = Running::start(&[Scheme::Http], |config| config.routes = vec![route("/", files(folder.path(), None))]);
    let answer = edge.ask(get("/")).await;
    assert!(answer.ends_with("<p>index</p>") && answer.contains("content-type: text/html"), "{answer}");
    assert!(edge.ask(get("/sub/")).await.ends_with("<p>sub</p>"));
    let answer = edge.ask(get("/sub?a=b")).await;
    assert_status(&answer, "301");
    assert!(answer.contains("location: /sub/?a=b\r\n"), "{answer}");
    assert!(edge.ask(get("/a%20b.txt")).await.ends_with("spaced"));
    let with = |field: &str| get("/app.js").replace("Connection", &format!("{field}\r\nConnection"));
    let answer = edge.ask(with("Range: bytes=2-4")).await;
    assert_status(&answer, "206");
    assert!(answer.ends_with("\r\n\r\n234"), "{answer}");
    assert_status(&edge.ask(with("Range: bytes=50-")).await, "416");
    let answer = edge.ask(get("/app.js")).await;
    let tag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).expect("it has a tag");
    assert_status(&edge.ask(with(&format!("If-None-Match: {tag}"))).await, "304");
    let answer = edge.ask(with("Accept-Encoding: gzip")).await;
    assert!(answer.contains("content-encoding: gzip") && answer.ends_with("compressed"), "{answer}");
    assert_status(&edge.ask(get("/nothing")).await, "404");
    assert_status(&edge.ask(get("/").replace("GET", "POST")).await, "405");
}

#[tokio::test]
async fn nothing_outside_the_folder_can_be_read() {
    let folder = site();
    let edge = Running::start(&[Scheme::Http], |config| {
        config.routes = vec![route("/", files(folder.path(), None)), route("/app", files(folder.path(), None))];
    });
    for path in [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/.%2e/secret.txt",
        "/%252e%252e/secret.txt",
        "//etc/passwd",
        "/sub/..%2f..%2fsecret.txt",
        "/app../secret.txt",
        "/app/../secret.txt",
        "/app%2f../secret.txt",
        "/%00/secret.txt",
        "/\\..\\secret.txt",
        "/appsecret.txt",
    ] {
        let answer = edge.ask(get(path)).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
        assert!(!answer.contains("SECRET") && !answer.contains("root:"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_single_page_application_gets_its_page_for_every_path() {
    let folder = site();
    let edge = Running::start(&[Scheme::Http], |config| {
        config.routes = vec![route("/app/", files(folder.path(), Some("/index.html")))];
    });
    for path in ["/app/", "/app/some/where", "/app/index.html"] {
        let answer = edge.ask(get(path)).await;
        assert_status(&answer, "200");
        assert!(answer.ends_with("<p>index</p>"), "{path}: {answer}");
    }
    assert!(edge.ask(get("/app/app.js")).await.ends_with("0123456789"));
    let answer = edge.ask(get("/app/sub")).await;
    assert!(answer.contains("location: /app/sub/\r\n"), "{answer}");
    assert_status(&edge.ask(get("/elsewhere")).await, "404");
}

/// SECURITY A, "Slowloris", in the HTTP head.
#[tokio::test]
async fn a_head_has_a_deadline() {
    let edge = Running::start(&[Scheme::Http], |config| config.limits.http_head_timeout = Duration::from_millis(60));
    let mut dripping = edge.connect(Scheme::Http).await;
    let (mut reader, mut writer) = dripping.split();
    let drip = async {
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX: aaaaaaaaaaaaaaaaaaaaaaaa".chunks(1) {
            let _ = writer.write_all(byte).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ((), head) = tokio::join!(drip, read_head(&mut reader));
    assert_status(&head, "408");
    let mut silent = edge.connect(Scheme::Http).await;
    assert_eq!(read_to_end(&mut silent).await, "");
    until(|| read(&edge.counters.http_head_timed_out) == 2).await;
    until(|| read(&edge.counters.connections_open) == 0).await;
}

#[tokio::test]
async fn an_idle_connection_has_a_deadline_of_its_own() {
    let edge = Running::start(&[Scheme::Http], |config| config.limits.http_idle_timeout = Duration::from_millis(60));
    let mut idle = edge.connect(Scheme::Http).await;
    idle.write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("the edge reads");
    assert_status(&read_head(&mut idle).await, "200");
    assert_eq!(read_to_end(&mut idle).await, "");
    until(|| read(&edge.counters.connections_open) == 0).await;
    assert_eq!(read(&edge.counters.http_head_timed_out), 0);
}

#[tokio::test]
async fn a_reader_who_stops_reading_is_let_go() {
    let folder = site();
    fs::write(folder.path().join("public/large"), vec![b'x'; 32 * 1024 * 1024]).expect("the folder can be written");
    let edge = Running::start(&[Scheme::Http], |config| {
        config.routes = vec![route("/", files(folder.path(), None))];
        config.limits.http_idle_timeout = Duration::from_millis(100);
    });
    let mut stalled = edge.connect(Scheme::Http).await;
    stalled.write_all(get("/large").as_bytes()).await.expect("the edge reads");
    until(|| read(&edge.counters.http_requests) == 1).await;
    until(|| read(&edge.counters.connections_open) == 0).await;
}

#[tokio::test]
async fn each_host_has_routes_of_its_own() {
    let respond = |text: &str| RouteAction::Respond { text: text.into(), status: 200 };
    let edge = Running::start(&[Scheme::Http], |config| {
        let with_host = |host: &str, text| RouteConfig { hosts: vec![host.into()], ..route("/", respond(text)) };
        config.routes = vec![
            with_host("a.example", "of a"),
            with_host("*.example", "of all below"),
            with_host("[::1]", "of the address"),
            route("/", respond("of others")),
            route("/gone", RouteAction::Respond { text: "gone".into(), status: 410 }),
            route("/empty", RouteAction::Respond { text: "none".into(), status: 204 }),
        ];
    });
    for (host, expected) in [
        ("a.example", "of a"),
        ("A.Example.:8443", "of a"),
        ("b.example:80", "of all below"),
        ("c.b.example", "of all below"),
        ("example", "of others"),
        ("a.example.evil", "of others"),
        ("[0:0::1]:80", "of the address"),
        ("127.0.0.1", "of others"),
    ] {
        let answer = edge.ask(get("/x").replace("localhost", host)).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&format!("\r\n\r\n{expected}\n")),
            "{host}: {answer}"
        );
    }
    assert!(edge.ask("GET / HTTP/1.0\r\n\r\n").await.ends_with("of others\n"));
    let answer = edge.ask(get("/gone").replace("GET", "POST")).await;
    assert!(answer.starts_with("HTTP/1.1 410 ") && answer.ends_with("gone\n"), "{answer}");
    let answer = edge.ask(get("/empty")).await;
    assert!(answer.starts_with("HTTP/1.1 204 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_path_is_routed_as_it_is_meant() {
    let respond = |text: &str| RouteAction::Respond { text: text.into(), status: 200 };
    let edge = Running::start(&[Scheme::Http], |config| {
        config.routes = vec![route("/", respond("root")), route("/inner/", respond("inner"))];
    });
    for (path, expected) in [
        ("/inner/x", "inner"),
        ("//inner//x", "inner"),
        ("/a/../inner/", "inner"),
        ("/%69nner/", "inner"),
        ("/inner/../x", "root"),
        ("/inner/%2e%2E/", "root"),
        ("/inner/a%2Fb", "inner"),
    ] {
        assert!(edge.ask(get(path)).await.ends_with(&format!("\r\n\r\n{expected}\n")), "{path}");
    }
    for path in ["/inner%2Fx", "/..", "/inner/../../x", "/inner/..;/x", "/inner/..%5Cx", "/inner/..%2Fx"] {
        assert_status(&edge.ask(get(path)).await, "400");
    }
}

#[tokio::test]
async fn pages_of_listed_origins_read_answers_and_errors() {
    let edge = Running::start(&[Scheme::Http], |config| {
        let mut open = route("/", RouteAction::Demo);
        let origins = OriginRule::List(vec!["https://app.example".into()]);
        open.cors = Some(CorsConfig { origins, has_credentials: true, ..CorsConfig::default() });
        open.headers = vec![("X-Frame-Options".into(), "DENY".into()), ("Content-Type".into(), "text/x".into())];
        config.routes = vec![open];
    });
    let from = |path: &str, origin: &str| get(path).replace("Host", &format!("Origin: {origin}\r\nHost"));
    for (path, status) in [("/", "200"), ("/nothing", "404")] {
        let answer = edge.ask(from(path, "https://app.example")).await;
        assert_status(&answer, status);
        assert!(answer.contains("access-control-allow-origin: https://app.example\r\n"), "{answer}");
        assert!(answer.contains("access-control-allow-credentials: true\r\n"), "{answer}");
        assert!(answer.contains("vary: Origin\r\n") && answer.contains("x-frame-options: DENY\r\n"), "{answer}");
        assert_eq!(answer.matches("content-type: ").count(), 1, "{answer}");
        let other = edge.ask(from(path, "https://evil.example")).await;
        assert!(!other.contains("access-control") && other.contains("vary: Origin\r\n"), "{other}");
    }
    let asking = from("/", "https://app.example").replace("GET", "OPTIONS");
    let asking = asking.replace("Host", "Access-Control-Request-Method: PUT\r\nHost");
    let answer = edge.ask(&asking).await;
    assert_status(&answer, "204");
    assert!(answer.contains("access-control-allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE\r\n"), "{answer}");
    assert_status(&edge.ask(asking.replace("app.example", "evil.example")).await, "403");
}
