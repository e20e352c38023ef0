use super::*;
use crate::connection::{Protocol, Stream};

const ALL: &[Scheme] = &[Scheme::Https, Scheme::Http, Scheme::Mqtt, Scheme::Mqtts];

#[tokio::test]
async fn a_silent_client_holds_up_nobody() {
    let edge = Running::start(ALL, |_| {});
    let mut silent = Vec::new();
    for &scheme in ALL {
        silent.push(edge.connect(scheme).await);
    }
    let start = std::time::Instant::now();
    for _ in 0..100 {
        let answer = edge.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn mqtt_is_handed_over_at_once() {
    let mut edge = Running::start(&[Scheme::Mqtt], |_| {});
    let client = edge.connect(Scheme::Mqtt).await;
    let accepted = edge.next_accepted().await;
    assert_eq!(accepted.protocol, Protocol::Mqtt);
    assert_eq!(accepted.peer, client.local_addr().expect("it is connected"));
    assert!(accepted.early.is_empty());
    let Stream::Plain(tcp) = accepted.stream else { panic!("it is plain TCP") };
    assert!(tcp.nodelay().expect("it is connected"));
}

#[tokio::test]
async fn no_more_than_connections_max_are_open() {
    let mut edge = Running::start(&[Scheme::Mqtt], |config| config.limits.connections_max = 2);
    let _clients = [edge.connect(Scheme::Mqtt).await, edge.connect(Scheme::Mqtt).await];
    let first = edge.next_accepted().await;
    let _second = edge.next_accepted().await;
    let mut third = edge.connect(Scheme::Mqtt).await;
    assert_eq!(read_to_end(&mut third).await, "");
    assert_eq!(read(&edge.counters.connections_refused_full), 1);
    drop(first);
    let _fourth = edge.connect(Scheme::Mqtt).await;
    edge.next_accepted().await;
    assert_eq!(read(&edge.counters.connections_open), 1, "the second one");
}

/// SECURITY A, "Handshake awaited in the accept loop", the flood.
#[tokio::test]
async fn a_flood_of_silent_clients_costs_the_oldest_their_seats() {
    let edge = Running::start(&[Scheme::Http], |config| {
        config.limits.handshaking_max = 50;
        config.limits.handshake_age_min = Duration::ZERO;
    });
    let mut silent = Vec::new();
    for _ in 0..500 {
        silent.push(edge.connect(Scheme::Http).await);
    }
    until(|| read(&edge.counters.handshakes_shed) == 450).await;
    assert_eq!(read_to_end(&mut silent[0]).await, "");
    let answer = edge.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(read(&edge.counters.connections_open) <= 50);
}

/// A raw MQTT client is handed over before it has said anything; its seat goes along.
#[tokio::test]
async fn a_handshake_may_be_shed_after_the_hand_over() {
    let mut edge = Running::start(&[Scheme::Mqtt], |config| {
        config.limits.handshaking_max = 1;
        config.limits.handshake_age_min = Duration::ZERO;
    });
    let _first = edge.connect(Scheme::Mqtt).await;
    let accepted = edge.next_accepted().await;
    let _second = edge.connect(Scheme::Mqtt).await;
    in_time(accepted.handshake).await;
    edge.next_accepted().await;
}

#[tokio::test]
async fn nobody_is_shed_young() {
    let mut edge = Running::start(&[Scheme::Mqtt], |config| {
        config.limits.handshaking_max = 1;
        config.limits.handshake_age_min = PATIENCE * 10;
    });
    let _first = edge.connect(Scheme::Mqtt).await;
    let accepted = edge.next_accepted().await;
    let _second = edge.connect(Scheme::Mqtt).await;
    until(|| read(&edge.counters.connections_accepted) == 2).await;
    assert!(edge.accepted.try_recv().is_err(), "the second one waits");
    drop(accepted.handshake); // CONNECT is accepted
    edge.next_accepted().await;
}

#[tokio::test]
async fn shutting_down_closes_listeners_and_lets_answers_finish() {
    let mut edge = Running::start(&[Scheme::Http, Scheme::Mqtt], |_| {});
    let mut kept_alive = edge.connect(Scheme::Http).await;
    kept_alive.write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    assert!(read_head(&mut kept_alive).await.starts_with("HTTP/1.1 200 "));
    let _client = edge.connect(Scheme::Mqtt).await;
    let handed_over = edge.next_accepted().await;
    drop(edge.stop.take());
    assert_eq!(read_to_end(&mut kept_alive).await, "");
    drop(kept_alive);
    in_time(&mut edge.task).await.expect("the edge ends by itself");
    assert!(TcpStream::connect(edge.address(Scheme::Http)).await.is_err());
    let Stream::Plain(tcp) = &handed_over.stream else { panic!("it is plain TCP") };
    assert!(tcp.try_write(b"still here").is_ok(), "a handed-over connection is not the edge's any more");
}

#[tokio::test]
async fn an_address_in_use_is_a_fault_that_names_the_listener() {
    let edge = Running::start(&[Scheme::Mqtt], |_| {});
    let address = edge.address(Scheme::Mqtt);
    let url = format!("mqtt://{address}");
    let listeners = vec![ListenerConfig::new(url.clone(), Scheme::Mqtt, address); 2];
    let handoff: Handoff = Arc::new(drop);
    let faults =
        Edge::bind(EdgeConfig { listeners, ..EdgeConfig::default() }, &Inherited::default(), handoff, Arc::default())
            .err();
    let faults = faults.expect("the address is taken");
    assert!(faults.len() == 2 && faults[0].found.contains(&url), "{faults:?}");
}

/// A fault of ours costs one connection, not its listener.
#[tokio::test]
async fn a_panic_behind_one_connection_leaves_the_others() {
    let (sender, mut accepted) = mpsc::channel(ACCEPTED_MAX);
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let handoff: Handoff = Arc::new(move |connection| {
        assert!(!is_first.swap(false, Ordering::Relaxed), "the first one, on purpose");
        drop(sender.try_send(connection));
    });
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listeners = vec![ListenerConfig::new("mqtt://127.0.0.1:0", Scheme::Mqtt, address)];
    let counters = Arc::new(EdgeCounters::default());
    let config = EdgeConfig { listeners, ..EdgeConfig::default() };
    let edge =
        Edge::bind(config, &Inherited::default(), handoff, Arc::clone(&counters)).expect("the configuration is sound");
    let address = edge.local_addresses()[0].1;
    tokio::spawn(edge.run(std::future::pending()));
    let mut first = TcpStream::connect(address).await.expect("the listener accepts");
    assert_eq!(read_to_end(&mut first).await, "");
    let _second = TcpStream::connect(address).await.expect("the listener accepts");
    let _kept = in_time(accepted.recv()).await.expect("the edge runs");
    assert_eq!(read(&counters.connections_open), 1, "what the first one held is free again");
}

#[tokio::test]
async fn a_listener_may_have_routes_and_certificates_of_its_own() {
    let own = tempfile::tempdir().expect("a folder");
    let edge = Running::start(&[Scheme::Http, Scheme::Https], |config| {
        let to = "https://app.example/".to_owned();
        config.listeners[0].routes = Some(vec![route("/", RouteAction::Redirect { to, status: 308 })]);
        config.listeners[1].tls =
            Some(TlsConfig::new(CertificateSource::Development { directory: own.path().join("dev") }));
    });
    let answer = edge.ask("GET /mqtt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 308 ") && answer.contains("https://app.example/"), "{answer}");
    assert!(own.path().join("dev/server.pem").exists());
    // The certificates that nobody shows are not made.
    assert_eq!(edge.ca, own.path().join("dev/ca.pem"));
}

#[tokio::test]
async fn faults_of_one_listener_name_it() {
    let mut listener = ListenerConfig::new("https://127.0.0.1:0", Scheme::Https, ([127, 0, 0, 1], 0).into());
    let missing = CertificateFiles { certificate: "/no/such.pem".into(), key: "/no/such.key".into(), ocsp: None };
    listener.tls = Some(TlsConfig::new(CertificateSource::Files(vec![missing])));
    listener.routes = Some(vec![route("/", RouteAction::Files { root: "/no/such/folder".into(), fallback: None })]);
    let faults = Edge::check(&EdgeConfig { listeners: vec![listener], ..EdgeConfig::default() }).unwrap_err();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["listen[0].tls.cert", "listen[0].tls.key", "listen[0].routes[0].files"]);
}
