//! What can be seen on the machine itself: the running server, and a `/proc` that is made up.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::nginx::Nginx;
use super::{Said, doctor};
use crate::harness::server::hold;
use crate::harness::transport::upgrade_request;
use crate::harness::{Server, Setup, Transport};

/// Closes the files that [`Setup`] leaves as the system makes them.
fn closed(setup: Setup) -> Setup {
    for name in ["certs/server.key", "passwords"] {
        let path = setup.directory().join(name);
        if path.exists() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a file of ours");
        }
    }
    setup
}

/// The configuration with the ports that the running server has got, as an operator would have written it.
fn written(server: &Server) -> String {
    let mut yaml = fs::read_to_string(server.directory().join("tidegate.yaml")).expect("its configuration");
    for scheme in ["https", "http", "mqtts", "mqtt"] {
        yaml = yaml.replace(&format!("- {scheme}://127.0.0.1:0"), &format!("- {}", server.url(scheme, "")));
    }
    yaml.replace("\"http://127.0.0.1:0\"", &format!("\"http://{}\"", server.address("admin")))
}

/// Looks at this machine, as `yaml` says.
fn look(directory: &Path, yaml: &str) -> Said {
    fs::write(directory.join("doctor.yaml"), yaml).expect("a writable file");
    doctor(directory, ["-c", "doctor.yaml"])
}

#[test]
fn a_server_that_runs_is_well_until_it_does_not() {
    let behind = TcpListener::bind("127.0.0.1:0").expect("a port");
    let routes = format!(
        "\n  - {{ path: /mqtt, serve: mqtt }}\n  - {{ path: /, proxy: \"http://{}\" }}",
        behind.local_addr().expect("it is bound")
    );
    let mut server = closed(Setup::new().users(&[("anna", "hat")]).section("routes", &routes)).start();
    let yaml = written(&server);
    let said = look(server.directory(), &yaml);
    said.is_well();
    assert!(said.found("ok", "listen").ends_with(&format!(": tidegate, process {}", server.process_id())));
    assert_eq!(said.found("ok", "running"), "ready");
    assert!(said.found("ok", "counters").contains("no refusals"), "{:#}", said.answer);
    assert!(said.found("ok", "behind").contains("takes connections"), "{:#}", said.answer);
    assert!(said.found("ok", "secrets").starts_with("2 files"), "{:#}", said.answer);

    drop(behind);
    look(server.directory(), &yaml).suffers_from("behind", "cannot be reached");
    let yaml = yaml.replace(&routes, "\n  - { path: /mqtt, serve: mqtt }");
    server.kill();
    look(server.directory(), &yaml).suffers_from("listen", "nobody listens on https://127.0.0.1:");
}

#[test]
fn what_the_server_has_refused_is_told() {
    let server = closed(Setup::new()).start();
    let request =
        upgrade_request("/mqtt", "localhost", "Sec-WebSocket-Protocol: mqtt\r\nOrigin: https://elsewhere.example\r\n");
    let mut transport = Transport::tcp(server.address("http"));
    transport.write(request.as_bytes());
    server.wait_for_metric("tidegate_edge_upgrades_refused_total{reason=\"origin\"}", |value| value == 1.0);
    let said = look(server.directory(), &written(&server));
    said.is_well();
    assert!(said.found("warning", "counters").starts_with("1 WebSockets were refused"), "{:#}", said.answer);
}

#[test]
fn secrets_that_everybody_may_read_are_named() {
    let setup = closed(Setup::new().users(&[("anna", "hat")]));
    let key = setup.directory().join("certs/server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a file of ours");
    let said = look(setup.directory(), &setup.yaml());
    said.suffers_from("secrets", "certs/server.key is open to every user of this machine (mode 0644)");
}

#[test]
fn a_port_that_somebody_else_has_is_named_with_whom() {
    let held = hold((std::net::Ipv4Addr::LOCALHOST, 0).into());
    let nobody = held.local_addr().expect("a bound socket").as_socket().expect("an Internet address");
    let nginx = Nginx::start(nobody, None, "", "");
    let setup = closed(Setup::new());
    let yaml = setup.yaml().replace("http://127.0.0.1:0\n", &format!("http://127.0.0.1:{}\n", nginx.port()));
    let said = look(setup.directory(), &yaml);
    said.suffers_from("listen", "is taken by nginx, process ");
}

#[test]
fn what_is_wrong_with_the_configuration_is_told_as_well() {
    let setup = closed(Setup::new());
    let said = look(setup.directory(), &(setup.yaml() + "limits: { backlok: 5 }\n"));
    said.suffers_from("config", "limits.backlok");
    // Of a file that is no YAML nothing is known, and nothing is said.
    look(setup.directory(), "listen: [").suffers_from("config", "doctor.yaml:");
    let expired = super::authority::Authority::new("Root");
    let expired = expired.pair("localhost", true, |params| params.not_after = rcgen::date_time_ymd(2025, 1, 1));
    let setup = closed(setup.file("certs/server.pem", expired.chain_pem).file("certs/server.key", expired.key_pem));
    look(setup.directory(), &setup.yaml()).suffers_from("config", "certs/server.pem: tls.cert: has expired");
}

/// A machine that lies below a folder: well, but for what a test makes of it.
struct Fixture {
    setup: Setup,
    root: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::of(Setup::new())
    }

    fn of(setup: Setup) -> Self {
        let setup = closed(setup.section("limits", "{ connections_max: 1000, backlog: 1024 }"));
        let fixture = Self { setup, root: tempfile::tempdir().expect("a temporary directory") };
        for (path, text) in [
            ("proc/sys/kernel/osrelease", "6.1.0-test\n"),
            ("proc/self/limits", "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  524288  files\n"),
            ("proc/self/cgroup", "0::/system.slice/tidegate.service\n"),
            ("sys/fs/cgroup/system.slice/tidegate.service/memory.max", "max\n"),
            ("proc/meminfo", "MemTotal:  8000000 kB\nMemFree:  1 kB\n"),
            ("proc/sys/net/core/somaxconn", "4096\n"),
            ("proc/sys/net/ipv4/tcp_max_syn_backlog", "4096\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("proc/sys/net/ipv4/tcp_mem", "100000\t200000\t300000\n"),
            ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
            ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
            ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
            ("proc/sys/net/netfilter/nf_conntrack_count", "100\n"),
            ("proc/sys/vm/overcommit_memory", "0\n"),
            ("proc/12/comm", "chronyd\n"),
        ] {
            fixture.write(path, text);
        }
        fixture
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a path with a parent")).expect("a directory");
        fs::write(path, text).expect("a writable file");
    }

    fn look(&self, yaml: &str) -> Said {
        fs::write(self.setup.directory().join("doctor.yaml"), yaml).expect("a writable file");
        let root = self.root.path().to_str().expect("a name in UTF-8");
        doctor(self.setup.directory(), ["-c", "doctor.yaml", "--root", root])
    }

    /// With one file changed.
    fn with(path: &str, text: &str) -> Said {
        let fixture = Self::new();
        fixture.write(path, text);
        fixture.look(&fixture.setup.yaml())
    }
}

#[test]
fn a_machine_that_is_set_up_well_is_warned_of_nothing() {
    let fixture = Fixture::new();
    let said = fixture.look(&fixture.setup.yaml());
    said.is_well();
    assert_eq!(said.all("warning"), [], "{:#}", said.answer);
    assert!(said.found("ok", "kernel").contains("6.1.0-test"), "{:#}", said.answer);
    assert!(said.found("ok", "clock").contains("chronyd"), "{:#}", said.answer);
}

#[test]
fn each_limit_of_the_system_is_found() {
    let limits = |hard: &str| format!("Max open files  1024  {hard}  files\n");
    Fixture::with("proc/self/limits", &limits("1024")).suffers_from("files", "1024 may be open in this shell");
    Fixture::with("proc/self/limits", &limits("unlimited")).is_well();
    Fixture::with("proc/sys/net/netfilter/nf_conntrack_count", "262000\n")
        .suffers_from("conntrack", "nf_conntrack_max is 262144, 262000 are tracked");
    for (path, text, check, words) in [
        ("proc/sys/net/core/somaxconn", "128\n", "backlog", "net.core.somaxconn is 128"),
        ("proc/sys/net/ipv4/tcp_max_syn_backlog", "256\n", "backlog", "tcp_max_syn_backlog is 256"),
        ("proc/sys/net/netfilter/nf_conntrack_max", "900\n", "conntrack", "nf_conntrack_max is 900"),
        ("sys/fs/cgroup/system.slice/memory.max", "268435456\n", "memory", "its control group allows 256MiB"),
        ("proc/meminfo", "MemTotal:  200000 kB\n", "memory", "the machine has 196MiB"),
        ("proc/sys/vm/overcommit_memory", "2\n", "overcommit", "vm.overcommit_memory is 2"),
        ("proc/sys/net/ipv4/tcp_mem", "10 20 30\n", "buffers", "net.ipv4.tcp_mem allows 1MiB"),
    ] {
        let said = Fixture::with(path, text);
        said.is_well();
        let warned = said.all("warning");
        assert!(matches!(&*warned, [(name, found)] if *name == check && found.contains(words)), "{:#}", said.answer);
    }
}

#[test]
fn ports_for_servers_behind_may_be_too_few() {
    let behind = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = format!("[ {{ path: /, proxy: \"http://{}\" }} ]", behind.local_addr().expect("it is bound"));
    let fixture = Fixture::of(Setup::new().section("routes", &proxy));
    fixture.write("proc/sys/net/ipv4/ip_local_port_range", "60000 60099\n");
    let said = fixture.look(&fixture.setup.yaml());
    said.is_well();
    assert!(said.found("warning", "ports").starts_with("100 ports for connections"), "{:#}", said.answer);
}

#[test]
fn whoever_has_a_port_is_found_by_the_sockets_number() {
    let fixture = Fixture::new();
    fixture.write(
        "proc/net/tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
         0: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4711 1 0\n",
    );
    fixture.write("proc/77/comm", "apache2\n");
    fixture.write("proc/77/fd/.keep", "");
    symlink("socket:[4711]", fixture.root.path().join("proc/77/fd/3")).expect("a link");
    let yaml = fixture.setup.yaml().replace("https://127.0.0.1:0", "https://127.0.0.1:443");
    fixture.look(&yaml).suffers_from("listen", "https://127.0.0.1:443 is taken by apache2, process 77");
}
