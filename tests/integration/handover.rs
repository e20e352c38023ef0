//! An upgrade that refuses nobody: SIGUSR2 starts the program again with the sockets of the one that runs; systemd may have made them.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use command_fds::{CommandFdExt as _, FdMapping};
use serde_json::json;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::server::tidegate;
use crate::harness::transport::Ending;
use crate::harness::{Client, JsonClient, Over, Server, Setup, mqtt};
use crate::swap::swap;

/// Ends a process that is no child of this one.
struct Stranger(String);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-s", "KILL", &self.0]).status();
    }
}

/// The process that `server` has started to follow it.
fn successor(server: &Server) -> Stranger {
    let line = server.wait_for_line("Handing over");
    let words = line.split_once("process_id=").unwrap_or_else(|| panic!("{line}")).1;
    Stranger(words.chars().take_while(char::is_ascii_digit).collect())
}

#[test]
fn whoever_connects_during_an_upgrade_gets_in() {
    let limits = "{ close_timeout: 100ms, drain_timeout: 1m }";
    let mut server = Setup::new().section("limits", limits).section("engine", "{ sys_interval: 0s }").start();
    let mut page = JsonClient::open(&server, Over::Wss);
    page.subscribe("news");
    let (connected, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let tries = |over: Over| {
        let mut number = 0;
        while !is_over.load(Ordering::Relaxed) {
            number += 1;
            let (_client, connack) =
                Client::try_connect(&server, over, mqtt::connect(Version::V5, &format!("{over:?}-{number}")));
            assert_eq!(connack.reason, ReasonCode::Success);
            connected.fetch_add(1, Ordering::Relaxed);
        }
    };
    let more_than = |count: usize| {
        let aim = connected.load(Ordering::Relaxed) + count;
        while connected.load(Ordering::Relaxed) < aim {
            std::thread::yield_now();
        }
    };
    let successor = std::thread::scope(|scope| {
        let tries = &tries;
        let clients = [Over::Tcp, Over::Wss, Over::Tcp, Over::Wss].map(|over| scope.spawn(move || tries(over)));
        more_than(20);
        server.signal("USR2");
        let successor = successor(&server);
        server.wait_for_line("Shutting down, as the successor serves");
        more_than(100);
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("every client got in"));
        successor
    });
    let closing = page.expect(&json!({ "Action": "closing" }));
    assert!(closing["RetryAfterMs"].is_u64(), "{closing}");
    assert_eq!(page.expect_closed(), Ending::Closed(Some(1012)));
    drop(page);
    assert_eq!(server.wait_for_exit(), Some(0), "the predecessor is done");
    let mut page = JsonClient::open(&server, Over::Wss);
    page.subscribe("news");
    page.publish("news", "of the successor");
    page.expect(&json!({ "Action": "publish", "Payload": "of the successor" }));
    drop(successor);
}

#[test]
fn a_successor_that_does_not_start_changes_nothing() {
    let mut server = Setup::new().start();
    let mut client = Client::connect(&server, Over::Tcp, Version::V5, "c");
    std::fs::write(server.directory().join("tidegate.yaml"), "listen: [ftp://127.0.0.1]\n").unwrap();
    server.signal("USR2");
    let _successor = successor(&server);
    let line = server.wait_for_line("Not handed over");
    assert!(line.contains("ended before it was ready") && line.contains("exit status: 2"), "{line}");
    assert!(server.is_running());
    client.subscribe("news", QoS::AtMostOnce);
    client.publish("news", b"as before", QoS::AtMostOnce, false);
    client.expect_message("news", b"as before");
    Client::connect(&server, Over::Tcp, Version::V5, "another");
}

/// The successor hangs at its start: its configuration is a pipe that nobody writes to.
#[test]
fn a_successor_is_waited_for_as_long_as_the_last_reload_says() {
    let setup = Setup::new().section("limits", "{ handover_timeout: 1h }").section("reload", "{ watch: false }");
    let mut server = setup.start();
    assert!(swap(&server, "handover_timeout: 1h", "handover_timeout: 1s"));
    assert!(server.wait_for_line("Reloaded").contains("limits.handover_timeout"));
    assert!(!server.printed().contains("needs a restart"));
    let config = server.directory().join("tidegate.yaml");
    std::fs::remove_file(&config).unwrap();
    assert!(Command::new("mkfifo").arg(&config).status().expect("mkfifo").success());
    server.signal("USR2");
    let _successor = successor(&server);
    let line = server.wait_for_line("Not handed over");
    assert!(line.contains("was not ready within 1s"), "{line}");
    assert!(server.is_running());
    Client::connect(&server, Over::Tcp, Version::V5, "another");
}

/// As systemd does it (sd_listen_fds(3)): the socket is there before the server, and so may clients be.
#[test]
fn sockets_of_another_are_listened_on() {
    let [wanted, unwanted] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = wanted.local_addr().unwrap();
    let mut early = Client::open_at(address, Version::V5);
    let mut command = tidegate();
    command.env("LISTEN_FDS", "2").env("TIDEGATE_LISTEN", format!("[\"mqtt://{address}\"]"));
    command.env("TIDEGATE_ADMIN__LISTEN", "none").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mappings = [(3, unwanted), (4, wanted)];
    let mappings = mappings.map(|(child_fd, socket)| FdMapping { parent_fd: OwnedFd::from(socket), child_fd });
    let child = command.fd_mappings(mappings.into()).unwrap().spawn().unwrap();
    drop(command);
    let mut child = Killed(child);
    let printed = BufReader::new(child.0.stdout.take().unwrap());
    assert!(printed.lines().map_while(Result::ok).any(|line| line == "ready"));
    early.send(&Packet::Connect(Box::new(mqtt::connect(Version::V5, "early"))));
    assert!(matches!(early.receive(), Packet::ConnAck(connack) if connack.reason == ReasonCode::Success));
    let log = BufReader::new(child.0.stderr.take().unwrap());
    let said = log.lines().map_while(Result::ok).find(|line| line.contains("LISTEN_FDS")).expect("a warning");
    assert!(said.contains("no listener in the configuration"), "{said}");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
