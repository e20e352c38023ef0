use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use arc_swap::ArcSwap;
use std::time::Instant;

use super::*;
use crate::auth::Authenticator;
use crate::connection::{ConnectionConfig, Connections, Envelopes, Environment, Policies};
use crate::engine::{Engine, EngineConfig};
use crate::policy::Policy;
use crate::telemetry::{Metrics, catalogue};

/// An API to a broker that nobody is connected to, and with nobody who reloads.
fn api() -> Api {
    let environment = Environment {
        engine: Arc::new(Engine::new(EngineConfig::default(), ahash::RandomState::with_seeds(1, 2, 3, 4))),
        policy: Policies::new(Policy::allow_all()),
        config: ConnectionConfig::default(),
        counters: Arc::default(),
        roster: Arc::default(),
        envelopes: Arc::new(Envelopes::new(1, || 0, Box::new(|_| None))),
        random: || 7,
    };
    let authenticator = ArcSwap::from_pointee(Authenticator::with_passwords(true, None, 1));
    let connections = Connections::new(environment, Arc::new(authenticator), Instant::now());
    Api::new(connections, mpsc::channel(1).0, mpsc::channel(1).0, Arc::default())
}

struct Running {
    address: SocketAddr,
    readiness: Readiness,
    _stop: oneshot::Sender<()>,
}

impl Running {
    fn start() -> Self {
        let mut metrics = Metrics::default();
        catalogue::edge(&mut metrics, Arc::default());
        let readiness = Readiness::default();
        let config = AdminConfig { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), token_file: None };
        let admin = Admin::bind(&config, &Inherited::default(), Exposition::new(metrics), readiness.clone(), api());
        let admin = admin.expect("the address is free").expect("it is configured");
        let address = admin.local_address();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(admin.run(async move { drop(stopped.await) }));
        Self { address, readiness, _stop: stop }
    }

    async fn ask(&self, method: &str, path: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers in text");
        answer
    }

    async fn get(&self, path: &str) -> String {
        self.ask("GET", path, "localhost:9090").await
    }
}

#[tokio::test]
async fn readiness_follows_the_life_of_the_process() {
    let admin = Running::start();
    assert!(admin.get("/livez").await.starts_with("HTTP/1.1 200 "));
    for (phase, status, word) in
        [(Phase::Starting, 503, "starting"), (Phase::Ready, 200, "ready"), (Phase::Draining, 503, "draining")]
    {
        admin.readiness.set(phase);
        let answer = admin.get("/readyz").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with(&format!("{word}\n")),
            "{answer}"
        );
        assert!(admin.get("/").await.contains(word));
    }
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let answer = Running::start().get("/metrics").await;
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    assert!(
        answer.contains("\ntidegate_edge_connections_accepted_total 0\n") && answer.ends_with("# EOF\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn everything_else_is_refused() {
    let admin = Running::start();
    assert!(admin.get("/api/v1/nothing").await.starts_with("HTTP/1.1 404 "));
    assert!(admin.get("/api").await.starts_with("HTTP/1.1 404 "));
    assert!(admin.ask("GET", "/api/v1/sessions", "evil.example").await.starts_with("HTTP/1.1 421 "));
    assert!(admin.ask("POST", "/metrics", "localhost").await.starts_with("HTTP/1.1 405 "));
    for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "\u{e9}"] {
        assert!(admin.ask("GET", "/metrics", host).await.starts_with("HTTP/1.1 421 "), "{host}");
    }
    for host in ["127.0.0.1:9090", "127.9.9.9", "[::1]:9090", "LOCALHOST"] {
        assert!(admin.ask("GET", "/livez", host).await.starts_with("HTTP/1.1 200 "), "{host}");
    }
}

#[tokio::test]
async fn it_can_be_switched_off_and_says_what_it_cannot_have() {
    let none = Admin::bind(
        &AdminConfig { listen: None, token_file: None },
        &Inherited::default(),
        Exposition::new(Metrics::default()),
        Readiness::default(),
        api(),
    );
    assert!(none.expect("nothing is bound").is_none());
    let admin = Running::start();
    let config = AdminConfig { listen: Some(admin.address), token_file: None };
    let taken =
        Admin::bind(&config, &Inherited::default(), Exposition::new(Metrics::default()), Readiness::default(), api());
    assert_eq!(taken.expect_err("the address is taken").key, "admin.listen");
}
