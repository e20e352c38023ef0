//! One test a class of authorization failure that has been found in other brokers (wildcards in identities, `$` topics, policies that
//! open when they break).

use super::*;

/// mosquitto CVE-2017-7650, RabbitMQ CVE-2026-44838, EMQX `topic_template_allow`.
#[test]
fn wildcards_in_identity_are_refused_where_a_rule_binds_them() {
    let long = "x".repeat(BOUND_BYTES_MAX + 1);
    for rule in ["${username}", "a/${username}/b", "a/dev-%u"] {
        let text = everybody(&format!(r#"[ {{ topic: "{rule}", rw: rw }} ]"#));
        for identity in ["", "#", "+", "a/b", "/", "x#", "+x", "nul\0", &long] {
            let outcome = policy(&text).bind(&Principal::user(identity), "c");
            assert!(outcome.is_err(), "{identity:?} under {rule}");
        }
    }
    let text = everybody(r#"[ { topic: "a/${clientid}/b", rw: rw } ]"#);
    for client_id in ["", "#", "+", "a/b", "nul\0", &"x".repeat(65_535)] {
        assert!(policy(&text).bind(&Principal::user("u"), client_id).is_err(), "{client_id:?}");
    }
}

#[test]
fn wildcards_in_identity_are_harmless_where_no_rule_binds_them() {
    let text = everybody(r#"[ { topic: "a/b", rw: rw } ]"#);
    for identity in ["#", "+", "a/b", "c", "${username}"] {
        let access = policy(&text).bind(&Principal::user(identity), "#").unwrap();
        assert!(may_publish(&access, "a/b"));
        assert!(!may_publish(&access, "a/c") && !may_subscribe(&access, "a/+"), "{identity}");
    }
}

#[test]
fn patterns_in_identity_stay_literal_text() {
    let text = everybody(r#"[ { topic: "p/${username}/x", rw: rw } ]"#);
    for identity in [".*", "${x}", "%u", "%c", "*", "${clientid}", "a.c", "[ab]", "a|b", "\\"] {
        let access = policy(&text).bind(&Principal::user(identity), "victim").unwrap();
        assert!(may_publish(&access, &format!("p/{identity}/x")), "{identity}");
        for other in ["p/victim/x", "p/abc/x", "p//x", "p/a/x"] {
            assert!(!may_publish(&access, other) && !may_subscribe(&access, other), "{identity} {other}");
        }
        assert!(!may_subscribe(&access, "p/+/x"));
    }
}

#[test]
fn an_identity_that_begins_with_dollar_does_not_reach_system_topics() {
    let text = everybody(r#"[ { topic: "${username}/#", rw: rw } ]"#);
    assert!(matches!(policy(&text).bind(&Principal::user("$SYS"), "c"), Err(BindError::LeadingDollar { .. })));
    let text = everybody(r#"[ { topic: "p/${username}", rw: rw } ]"#);
    assert!(may_publish(&policy(&text).bind(&Principal::user("$SYS"), "c").unwrap(), "p/$SYS"));
}

/// The name of those without credentials cannot be taken by a token.
#[test]
fn an_authenticated_anonymous_is_refused() {
    assert_eq!(policy(ARTICLES).bind(&Principal::user("anonymous"), "c").unwrap_err(), BindError::ReservedName);
}

#[test]
fn everybody_means_the_authenticated() {
    let text = everybody(r##"[ { topic: "#", rw: rw } ]"##);
    assert!(may_publish(&access(&text, "u"), "a"));
    assert!(!may_publish(&access(&text, "anonymous"), "a"));
}

/// mosquitto CVE-2018-12550, CVE-2018-12551, CVE-2017-7652.
#[test]
fn an_empty_policy_is_a_fault_and_never_open() {
    for text in ["", "\n", "# only a comment\n", "---\n", "{}\n", "[]\n", "~\n", "version\n", "\u{feff}\n"] {
        assert!(!faults(text).is_empty(), "{text:?}");
    }
    let nothing = access("version: 1\n", "u");
    assert!(!may_publish(&nothing, "a") && !may_subscribe(&nothing, "a") && !nothing.receive("a").allow);
}

/// mosquitto CVE-2018-12551: what is left of a file that was cut off grants no more than the whole.
#[test]
fn a_policy_truncated_at_any_byte_grants_no_more() {
    let text = include_str!("../../../configs/policy.yaml");
    let whole = policy(text);
    let mut cut_short = 0;
    for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
        let Ok(part) = Policy::parse(&text[..end], "p.yaml") else { continue };
        cut_short += 1;
        for username in ["client", "server", "alice", "stranger", "anonymous"] {
            let who = if username == "anonymous" { Principal::anonymous() } else { Principal::user(username) };
            let (whole, part) = (whole.bind(&who, "c1").unwrap(), part.bind(&who, "c1").unwrap());
            for topic in
                ["/p/client/upload", "/p/client/download", "/p/alice/upload", "/p/x/secret/y", "/p/x", "a", "$SYS/x"]
            {
                for (qos, retain, size) in [(QoS::AtMostOnce, false, 0), (QoS::ExactlyOnce, true, 1 << 20)] {
                    let (part, whole) =
                        (part.publish(topic, qos, retain, size), whole.publish(topic, qos, retain, size));
                    assert!(!part.allow || whole.allow, "{username} {topic}, cut at {end}");
                }
                assert!(!part.receive(topic).allow || whole.receive(topic).allow, "{username} {topic}, cut at {end}");
            }
            for filter in ["#", "/p/+/#", "/p/#", "/p/client/#", "$SYS/#"] {
                assert!(
                    !may_subscribe(&part, filter) || may_subscribe(&whole, filter),
                    "{username} {filter}, cut at {end}"
                );
            }
        }
    }
    assert!(cut_short > 3, "some prefixes are policies, or this test shows nothing");
}

#[test]
fn a_policy_cut_inside_a_line_is_a_fault() {
    let found = faults("version: 1\nroles:\n  r:\n    - rw: rw\n      topic: a/b");
    assert_eq!(found, ["p.yaml:5:1: the last line does not end; a file that ends with a line break; is it cut off?"]);
}

#[test]
fn system_topics_need_a_rule_of_their_own() {
    let wide = access(&everybody(r##"[ { topic: "#", rw: rw }, { topic: "+/x", rw: rw } ]"##), "u");
    for topic in ["$SYS/x", "$SYS", "$x/x", "$CONTROL/dynamic-security/v1"] {
        assert!(!may_publish(&wide, topic) && !wide.receive(topic).allow && !may_subscribe(&wide, topic), "{topic}");
    }
    assert!(may_subscribe(&wide, "#") && may_subscribe(&wide, "+/#") && may_subscribe(&wide, "a/$x"));
    assert!(!may_subscribe(&wide, "$SYS/#") && !may_subscribe(&wide, "$SYS/+"));
    let narrow = access(&everybody(r#"[ { topic: "$SYS/#", rw: r } ]"#), "u");
    assert!(may_subscribe(&narrow, "$SYS/#") && may_subscribe(&narrow, "$SYS/broker") && !may_subscribe(&narrow, "#"));
    assert!(!may_subscribe(&narrow, "$OTHER/#") && !may_publish(&narrow, "$SYS/broker"));
    // What the server says of itself cannot be forged, whatever a rule grants.
    // A rule that would grant it is a fault; one in which it shows at bind only does not hold.
    let generous =
        r##"[ { topic: "#", rw: rw }, { topic: "$S${username}/#", rw: rw }, { topic: "$SYSTEM/#", rw: rw } ]"##;
    let generous = access(&everybody(generous), "YS");
    for topic in ["$SYS", "$SYS/", "$SYS/broker/version"] {
        let verdict = generous.publish(topic, QoS::AtMostOnce, true, 0);
        assert_eq!((verdict.allow, verdict.reason), (false, Reason::ServerOwned), "{topic}");
        assert!(generous.receive(topic).allow, "{topic}");
    }
    assert!(may_publish(&generous, "$SYSTEM/x") && may_publish(&generous, "a/$SYS"));
}

#[test]
fn a_shared_subscription_is_judged_as_its_filter() {
    let access = access(&everybody(r#"[ { topic: "a/+", rw: r }, { topic: "a/secret", deny: r } ]"#), "u");
    for (filter, is_granted) in
        [("a/x", true), ("a/+", false), ("a/secret", false), ("#", false), ("$SYS/x", false), ("a", false)]
    {
        assert_eq!(may_subscribe(&access, filter), is_granted, "{filter}");
        assert_eq!(may_subscribe(&access, &format!("$share/group/{filter}")), is_granted, "$share/group/{filter}");
    }
}

/// A filter of 128 levels against rules of 128 levels: bounded, and no deeper than that.
#[test]
fn deep_topics_are_walked_not_exploded() {
    let deep = vec!["+"; 128].join("/");
    let text = everybody(&format!(
        r#"[ {{ topic: "{deep}", rw: rw }}, {{ topic: "{}", rw: rw }} ]"#,
        vec!["a"; 128].join("/")
    ));
    let access = access(&text, "u");
    assert!(may_publish(&access, &vec!["a"; 128].join("/")));
    assert!(may_subscribe(&access, &deep));
    assert!(!may_publish(&access, &"/".repeat(126)));
}
