//! Whatever is put in: no panic, and what comes out can be read.

use proptest::prelude::*;

use super::*;

const FORMATS: [&str; 8] =
    ["nginx", "hivemq", "emqx", "mosquitto-conf", "mosquitto-acl", "auth-plug", "go-auth", "mosquitto"];

proptest! {
    #[test]
    fn any_text_is_printed_as_what_can_be_read_or_refused(how in prop::sample::select(&FORMATS[..]), text in "\\PC{0,80}|(?s).{0,80}") {
        check(how, &text)?;
    }

    #[test]
    fn acl_files_of_every_kind_are_read_again(lines in prop::collection::vec(acl_line(), 0..12)) {
        check("mosquitto-acl", &lines.join("\n"))?;
    }

    #[test]
    fn configurations_of_every_kind_are_read_again(lines in prop::collection::vec(conf_line(), 0..16)) {
        check("mosquitto-conf", &lines.join("\n"))?;
    }

    #[test]
    fn sites_of_every_kind_are_read_again(servers in prop::collection::vec(nginx_server(), 0..4)) {
        check("nginx", &servers.concat())?;
    }

    #[test]
    fn credentials_of_every_kind_are_read_again(
        users in prop::collection::vec(name(), 0..3),
        permissions in prop::collection::vec((topic(), any_word(), any_word(), any_word()), 0..6),
    ) {
        let escape = |text: &str| format!("<![CDATA[{}]]>", text.replace(']', ""));
        let users: String = users.iter().map(|name| {
            format!("<user><name>{}</name><password>hunter2</password><roles><id>r</id></roles></user>", escape(name))
        }).collect();
        let permissions: String = permissions.iter().map(|(topic, activity, qos, retain)| {
            let topic = escape(&topic.replace("%u", "${{username}}").replace("%c", "${{clientid}}"));
            format!("<permission><topic>{topic}</topic><activity>{activity}</activity><qos>{qos}</qos><retain>{retain}</retain></permission>")
        }).collect();
        check("hivemq", &format!(
            "<file-rbac><users>{users}</users><roles><role><id>r</id><permissions>{permissions}</permissions></role></roles></file-rbac>"
        ))?;
    }

    #[test]
    fn tables_of_every_kind_are_read_again(how in prop::sample::select(&FORMATS[5..]), rows in prop::collection::vec(row(), 0..8)) {
        check(how, &rows.concat())?;
    }
}

fn check(how: &str, text: &str) -> Result<(), TestCaseError> {
    match import(how, text) {
        Ok(Imported { yaml, .. }) => {
            prop_assert_eq!(faults_of(how, &yaml), [], "{}", yaml);
        }
        Err(faults) => prop_assert!(!faults.is_empty()),
    }
    Ok(())
}

fn topic() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec![
        "",
        "a",
        "b",
        "+",
        "%u",
        "%c",
        "x%u",
        "%u%c",
        "${username}",
        "$SYS",
        "é\u{2028}",
        "c d",
        "\"",
        "#:",
    ]);
    (prop::collection::vec(level, 1..5), any::<bool>())
        .prop_map(|(levels, is_open)| levels.join("/") + if is_open { "/#" } else { "" })
}

fn any_word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["ALL", "ALL", "PUBLISH", "ZERO", "ZERO_ONE", "NOT_RETAINED", "RETAINED"])
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["anonymous", "*", "true", "~", "a: b", "- x", "everybody", "\u{85}", "'\"'"])
            .prop_map(str::to_owned),
        "[^\n]{1,20}",
        "a{900,1200}",
    ]
}

fn acl_line() -> impl Strategy<Value = String> {
    let access = prop::sample::select(vec!["", "read ", "write ", "readwrite ", "deny "]);
    prop_oneof![
        name().prop_map(|name| format!("user {name}")),
        (prop::sample::select(vec!["topic", "pattern"]), access, topic())
            .prop_map(|(kind, access, topic)| format!("{kind} {access}{topic}")),
    ]
}

fn row() -> impl Strategy<Value = String> {
    let quote = |text: String| format!("\"{}\"", text.replace('"', "\"\""));
    (name(), topic(), 0..8_u8).prop_map(move |(name, topic, rw)| format!("{},{},{rw}\n", quote(name), quote(topic)))
}

fn conf_line() -> impl Strategy<Value = String> {
    let address =
        prop::sample::select(vec!["", " 127.0.0.1", " ::1", " ::", " 10.0.0.1", " localhost", " some.name", " /run/s"]);
    let port = prop::sample::select(vec![0_u16, 1, 1883, 8883, 9001, 65535]);
    let flag = prop::sample::select(vec![
        "allow_anonymous",
        "per_listener_settings",
        "require_certificate",
        "persistence",
        "retain_available",
        "use_identity_as_username",
    ]);
    let number = prop::sample::select(vec![
        "max_connections",
        "max_inflight_messages",
        "max_queued_bytes",
        "max_packet_size",
        "message_size_limit",
        "max_keepalive",
        "max_topic_alias",
        "websockets_headers_size",
        "max_queued_messages",
        "max_qos",
        "sys_interval",
    ]);
    let text = prop::sample::select(vec![
        "certfile",
        "keyfile",
        "password_file",
        "acl_file",
        "http_dir",
        "mount_point",
        "persistence_location",
        "log_type",
        "tls_version",
        "bridge_cafile",
        "address",
        "topic",
        "remote_password",
        "unknown_key",
        "auth_opt_pass",
        "plugin",
        "socket_domain",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "a",
            "certs/a.pem",
            "x: y",
            "\"",
            "all",
            "warning",
            "ipv6",
            "a/# both 1 l/ r/",
            "# x"
        ])
        .prop_map(str::to_owned),
        "[^\n]{1,20}",
    ];
    let count = prop_oneof![Just(-1_i64), Just(0), 1..100_i64, 1000..100_000_i64, any::<i64>()];
    let span = (any::<u64>(), prop::sample::select(vec!["h", "d", "w", "m", "y", "x"]));
    prop_oneof![
        (port.clone(), address).prop_map(|(port, address)| format!("listener {port}{address}")),
        port.prop_map(|port| format!("port {port}")),
        Just("protocol websockets".to_owned()),
        Just("connection b".to_owned()),
        (flag, any::<bool>()).prop_map(|(key, value)| format!("{key} {value}")),
        (number, count).prop_map(|(key, value)| format!("{key} {value}")),
        (text, value).prop_map(|(key, value)| format!("{key} {value}")),
        span.prop_map(|(number, unit)| format!("persistent_client_expiration {number}{unit}")),
    ]
}

/// A rule of an `acl.conf` as its documentation says it is meant.
#[derive(Clone, Debug)]
struct EmqxRule {
    allow: bool,
    who: &'static str,
    action: &'static str,
    topic: String,
}

/// How `who` is written, and whether it is about alice, bob and anonymous, who all come from elsewhere with the client identifier c1.
const WHO: [(&str, [bool; 3]); 6] = [
    ("all", [true, true, true]),
    ("{username, \"alice\"}", [true, false, false]),
    ("{user, {re, \"^(alice|bob)$\"}}", [true, true, false]),
    ("{ipaddr, \"10.0.0.1\"}", [false, false, false]),
    ("{clientid, \"c1\"}", [true, true, true]),
    ("{'or', [{username, \"bob\"}, {ipaddr, \"10.0.0.1\"}]}", [false, true, false]),
];

fn emqx_rule() -> impl Strategy<Value = EmqxRule> {
    let level = prop::sample::select(vec!["a", "b", "+", "${username}", "${clientid}"]);
    let topic = (prop::collection::vec(level, 1..3), any::<bool>())
        .prop_map(|(levels, is_open)| levels.join("/") + if is_open { "/#" } else { "" });
    let who = prop::sample::select(WHO.map(|(who, _)| who).to_vec());
    let action = prop::sample::select(vec!["publish", "subscribe", "all"]);
    let topic = prop_oneof![4 => topic, 1 => Just("#".to_owned())];
    (any::<bool>(), who, action, topic).prop_map(|(allow, who, action, topic)| EmqxRule { allow, who, action, topic })
}

/// The first rule that matches, as EMQX looks for it.
fn emqx_allows(rules: &[EmqxRule], identity: usize, is_publish: bool, topic: &str) -> bool {
    let username = ["alice", "bob", "${username}"][identity];
    let is_meant = |rule: &&EmqxRule| {
        let filter = rule.topic.replace("${username}", username).replace("${clientid}", "c1");
        WHO.iter().any(|(who, identities)| *who == rule.who && identities[identity])
            && (rule.action == "all" || (rule.action == "publish") == is_publish)
            && crate::mqtt::topic::matches(&filter, topic)
    };
    rules.iter().find(is_meant).is_some_and(|rule| rule.allow)
}

proptest! {
    #[test]
    fn an_imported_acl_conf_never_allows_what_was_denied(rules in prop::collection::vec(emqx_rule(), 0..6)) {
        let text: String = rules.iter().map(|EmqxRule { allow, who, action, topic }| {
            format!("{{{}, {who}, {action}, [\"{topic}\"]}}.\n", if *allow { "allow" } else { "deny" })
        }).collect();
        let imported = import("emqx", &text).unwrap();
        let is_exact = imported.notes.iter().all(|note| note.line.is_none());
        for (index, who) in [Principal::user("alice"), Principal::user("bob"), Principal::anonymous()].iter().enumerate() {
            for topic in ["a", "b", "a/a", "a/b", "alice", "bob/a", "c1", "a/c1", "x", "b/alice/x"] {
                let (publish, receive) = verdicts(&imported, who, "c1", topic);
                let theirs = [true, false].map(|is_publish| emqx_allows(&rules, index, is_publish, topic));
                prop_assert!(publish <= theirs[0] && receive <= theirs[1], "{} {topic}\n{text}\n{}", who.username, imported.yaml);
                prop_assert!(!is_exact || [publish, receive] == theirs, "{} {topic}\n{text}\n{}", who.username, imported.yaml);
            }
        }
    }
}

fn nginx_server() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "listen 80;",
        "listen 80 default_server;",
        "listen 443 ssl;",
        "listen [::]:443 ssl http2;",
        "listen 127.0.0.1:80 proxy_protocol;",
        "server_name a.test b.test;",
        "server_name *.test .a.test _;",
        "server_name ~^x;",
        "ssl_certificate a.pem; ssl_certificate_key a.key;",
        "ssl_certificate /b.pem; ssl_certificate_key /b.key; ssl_stapling_file /o;",
        "ssl_client_certificate /ca; ssl_verify_client on; ssl_crl /crl;",
        "ssl_client_certificate /ca; ssl_verify_client optional;",
        "ssl_protocols TLSv1.3;",
        "root /srv/$host;",
        "root \"/srv/a b\\\"c\";",
        "return 301 https://$host$request_uri;",
        "return 200 \"a\\nb\";",
        "if ($host = a.test) { return 301 https://b.test$request_uri; }",
        "if ($host != a.test) { rewrite ^(.*)$ http://a.test$1 permanent; }",
        "if ($scheme = http) { return 302 https://$host/; }",
        "set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For;",
        "add_header X-A b; add_header Access-Control-Allow-Origin *; add_header Access-Control-Allow-Credentials true;",
        "add_header Access-Control-Allow-Origin https://a.test:8443; add_header Access-Control-Max-Age 99999999;",
        "client_max_body_size 0; proxy_read_timeout 99y; keepalive_timeout 0; client_header_timeout 9h;",
        "large_client_header_buffers 4 1g;",
        "auth_basic x;",
        "deny 10.0.0.1;",
    ]);
    (prop::collection::vec(parts, 0..7), prop::collection::vec(nginx_location(), 0..6))
        .prop_map(|(parts, locations)| format!("server {{ {} {} }}\n", parts.concat(), locations.concat()))
}

fn nginx_location() -> impl Strategy<Value = String> {
    let matcher = prop::sample::select(vec![
        "/",
        "/a",
        "/a/",
        "= /a",
        "^~ /a/b/",
        "~ ^/a/(x|y)/",
        "~ ^/b(/|$)",
        "~ \\.php$",
        "~ /\\.(?!well-known)",
        "~* ^/A",
        "@back",
        "é",
        "\"/x y\"",
    ]);
    let parts = prop::sample::select(vec![
        "proxy_pass http://127.0.0.1:1;",
        "proxy_pass http://127.0.0.1:1/x/;",
        "proxy_pass https://up?q;",
        "proxy_pass http://unix:/run/x.sock:/y;",
        "proxy_pass http://$x;",
        "proxy_set_header Host b.test; proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header X-User $remote_user;",
        "rewrite ^/a/(.*)$ /$1 break;",
        "rewrite ^/old$ /new permanent;",
        "try_files $uri $uri/ /index.html;",
        "try_files $uri @back;",
        "alias /srv/x/;",
        "root /srv;",
        "fastcgi_pass x;",
        "deny all;",
        "internal;",
        "expires -1;",
        "return 444;",
        "return 99999;",
        "if ($request_method = OPTIONS) { add_header Access-Control-Allow-Origin $http_origin; return 204; }",
        "location /a/z { }",
    ]);
    (matcher, prop::collection::vec(parts, 0..5))
        .prop_map(|(matcher, parts)| format!("location {matcher} {{ {} }} ", parts.concat()))
}
