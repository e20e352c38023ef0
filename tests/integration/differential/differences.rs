//! Where mosquitto and Tidegate are known to differ, and the clause that decides.
//!
//! Each row is exactly what a script shows: the lines that only one of them has. A row that is no longer seen fails the test, with the
//! release of mosquitto that the table was written against; a later one may have come to agree.

use tidegate::mqtt::Version;

use super::transcript::Differences;

/// The release that every row was seen with.
pub const MOSQUITTO: &str = "2.0.11";

/// One known difference.
pub struct Difference {
    pub script: &'static str,
    pub versions: &'static [Version],
    /// What only mosquitto's clients saw, each line with the number of the step.
    pub mosquitto: &'static [&'static str],
    /// What only Tidegate's clients saw.
    pub tidegate: &'static [&'static str],
    /// Where the standard says what is right; of MQTT 5.0 unless it names 3.1.1.
    pub clause: &'static str,
    /// What it says about this.
    pub why: &'static str,
}

/// All that is known of a script in a version, and what stands for it in the standard.
pub fn of(script: &str, version: Version) -> (Differences, Vec<String>) {
    let rows: Vec<_> =
        DIFFERENCES.iter().filter(|row| row.script == script && row.versions.contains(&version)).collect();
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let known = Differences {
        mosquitto: rows.iter().flat_map(|row| owned(row.mosquitto)).collect(),
        tidegate: rows.iter().flat_map(|row| owned(row.tidegate)).collect(),
    };
    (known, rows.iter().map(|row| format!("{}: {}", row.clause, row.why)).collect())
}

const OLD: &[Version] = &[Version::V3, Version::V4];
const V3: &[Version] = &[Version::V3];
const V4: &[Version] = &[Version::V4];
const V5: &[Version] = &[Version::V5];
const ALL: &[Version] = &[Version::V3, Version::V4, Version::V5];

const NO_HINT: &str = "0x10 may be said in PUBREC as well as in PUBACK; mosquitto says it in PUBACK alone";
const TAKEN_OVER: &str = "the one that is taken over is to be told 0x8E; mosquitto closes without a word";
const FURTHER_COPIES: &str =
    "one copy with the highest QoS and all identifiers, and further copies only if a server likes; mosquitto does";
const NAMED_FAULT: &str = "both close, as they must; mosquitto calls it malformed, we by the code that names the fault";

/// The table, in the order of the scripts' names.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        script: "answers_to_nothing",
        versions: V5,
        mosquitto: &["4 b: PUBREL Success"],
        tidegate: &["4 b: PUBREL PacketIdentifierNotFound"],
        clause: "§3.6.2.1",
        why: "PUBREL for a PUBREC that nobody waited for says 0x92",
    },
    Difference {
        script: "auth_without_method",
        versions: V5,
        mosquitto: &[],
        tidegate: &["2 a: DISCONNECT ProtocolError"],
        clause: "§4.13.1",
        why: "a Protocol Error is told before the connection is closed, where it can be",
    },
    Difference {
        script: "dollar_topics",
        versions: ALL,
        mosquitto: &[
            "12 c: PUBLISH $d/x \"1\" QoS 0",
            "12 d: PUBLISH $d/x \"1\" QoS 0",
            "13 c: PUBLISH $d/y \"2\" QoS 0",
            "13 d: PUBLISH $d/y \"2\" QoS 0",
            "15 c: PUBLISH $d/y \"2\" QoS 1 retain",
        ],
        tidegate: &[],
        clause: "§4.7.2",
        why: "a server should keep clients from talking to each other under a dollar; mosquitto lets them",
    },
    Difference {
        script: "dollar_topics",
        versions: V4,
        mosquitto: &["7 c: SUBACK [Success]", "9 d: SUBACK [Success]", "15 c: SUBACK [GrantedQoS1]"],
        tidegate: &[
            "7 c: SUBACK [UnspecifiedError]",
            "9 d: SUBACK [UnspecifiedError]",
            "15 c: SUBACK [UnspecifiedError]",
        ],
        clause: "§4.7.2, MQTT 3.1.1 §3.9.3",
        why: "what is not granted is 0x80, which 3.1 does not have",
    },
    Difference {
        script: "dollar_topics",
        versions: V5,
        mosquitto: &[
            "7 c: SUBACK [Success]",
            "9 d: SUBACK [Success]",
            "13 p: PUBACK 1012 Success",
            "15 c: SUBACK [GrantedQoS1]",
        ],
        tidegate: &[
            "7 c: SUBACK [NotAuthorized]",
            "9 d: SUBACK [NotAuthorized]",
            "13 p: PUBACK 1012 NotAuthorized",
            "15 c: SUBACK [NotAuthorized]",
        ],
        clause: "§4.7.2, §3.9.3",
        why: "what is not granted is told as such",
    },
    Difference {
        script: "empty_subscribe",
        versions: V5,
        mosquitto: &["2 a: DISCONNECT MalformedPacket", "4 b: DISCONNECT MalformedPacket"],
        tidegate: &["2 a: DISCONNECT ProtocolError", "4 b: DISCONNECT ProtocolError"],
        clause: "[MQTT-3.8.3-2], [MQTT-3.10.3-2]",
        why: "no filter at all is a Protocol Error by name",
    },
    Difference {
        script: "identifier_0",
        versions: V5,
        mosquitto: &["4 b: DISCONNECT MalformedPacket"],
        tidegate: &["4 b: DISCONNECT ProtocolError"],
        clause: "[MQTT-2.2.1-3]",
        why: "an identifier of 0 parses and is not allowed, which is what §1.2 calls a Protocol Error",
    },
    Difference {
        script: "invalid_filters",
        versions: V5,
        mosquitto: &[
            "2 a: DISCONNECT MalformedPacket",
            "4 b: DISCONNECT MalformedPacket",
            "6 c: DISCONNECT MalformedPacket",
            "8 d: DISCONNECT MalformedPacket",
            "10 e: DISCONNECT MalformedPacket",
            "12 f: DISCONNECT MalformedPacket",
        ],
        tidegate: &[
            "2 a: DISCONNECT TopicFilterInvalid",
            "4 b: DISCONNECT TopicFilterInvalid",
            "6 c: DISCONNECT TopicFilterInvalid",
            "8 d: DISCONNECT TopicFilterInvalid",
            "10 e: DISCONNECT TopicFilterInvalid",
            "12 f: DISCONNECT TopicFilterInvalid",
        ],
        clause: "[MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1]",
        why: NAMED_FAULT,
    },
    Difference {
        script: "keep_alive",
        versions: V5,
        mosquitto: &[],
        tidegate: &["5 silent: DISCONNECT KeepAliveTimeout"],
        clause: "§3.14.2.1",
        why: "0x8D is there to say why; mosquitto closes without a word",
    },
    Difference {
        script: "long_identifier",
        versions: V3,
        mosquitto: &["2 b: CONNACK Success", "3 c: CONNACK Success"],
        tidegate: &[
            "2 b: CONNACK ClientIdentifierNotValid",
            "2 b: closed",
            "3 c: CONNACK ClientIdentifierNotValid",
            "3 c: closed",
        ],
        clause: "MQTT 3.1 §3.1",
        why: "a Client Identifier of more than 23 characters is refused with return code 2; mosquitto takes it",
    },
    Difference {
        script: "no_local",
        versions: V5,
        mosquitto: &["4 a: PUBACK 1003 Success"],
        tidegate: &["4 a: PUBACK 1003 NoMatchingSubscribers"],
        clause: "§3.4.2.1",
        why: "whether one's own No Local Subscription counts as nobody is left to the server",
    },
    Difference {
        script: "no_local",
        versions: V5,
        mosquitto: &["9 a: PUBLISH n \"own\" QoS 0"],
        tidegate: &["9 a: PUBLISH n \"own\" QoS 1"],
        clause: "[MQTT-3.8.4-3]",
        why: "the second Subscription replaces the first, No Local with it; mosquitto goes on holding own messages back",
    },
    Difference {
        script: "overlapping",
        versions: OLD,
        mosquitto: &["6 s: PUBLISH o/x \"two\" QoS 1"],
        tidegate: &["6 s: PUBLISH o/x \"two\" QoS 2", "6 s: PUBREL Success"],
        clause: "MQTT 3.1.1 [MQTT-3.3.5-1]",
        why: "the one copy has the highest QoS of all that match; mosquitto's has that of one of them",
    },
    Difference {
        script: "overlapping",
        versions: V5,
        mosquitto: &[
            "6 s: PUBLISH o/x \"two\" QoS 0",
            "6 s: PUBLISH o/x \"two\" QoS 1",
            "7 s: PUBLISH o/x \"one\" QoS 0",
            "7 s: PUBLISH o/x \"one\" QoS 1",
            "8 s: PUBLISH o/x \"nought\" QoS 0",
            "8 s: PUBLISH o/x \"nought\" QoS 0",
            "10 s: PUBLISH o/x \"two again\" QoS 0",
        ],
        tidegate: &[],
        clause: "[MQTT-3.3.4-2]",
        why: FURTHER_COPIES,
    },
    Difference {
        script: "overlapping_retained",
        versions: V5,
        mosquitto: &["3 p: PUBREC 1002 Success"],
        tidegate: &["3 p: PUBREC 1002 NoMatchingSubscribers"],
        clause: "§3.5.2.1",
        why: NO_HINT,
    },
    Difference {
        script: "publish_to_a_wildcard",
        versions: V5,
        mosquitto: &["4 a: DISCONNECT ProtocolError", "6 b: DISCONNECT ProtocolError", "8 c: DISCONNECT ProtocolError"],
        tidegate: &[
            "4 a: DISCONNECT TopicNameInvalid",
            "6 b: DISCONNECT TopicNameInvalid",
            "8 c: DISCONNECT TopicNameInvalid",
        ],
        clause: "[MQTT-3.3.2-2]",
        why: "both close, as they must; mosquitto calls it a Protocol Error, we by the code that names the fault",
    },
    Difference {
        script: "published_across_connections",
        versions: ALL,
        mosquitto: &["10 s: PUBLISH t \"once\" QoS 2", "10 s: PUBREL Success"],
        tidegate: &["5 s: PUBLISH t \"once\" QoS 2", "5 s: PUBREL Success"],
        clause: "§4.3.3",
        why: "a receiver may pass the message on at PUBLISH, as we do, or at PUBREL, as mosquitto does",
    },
    Difference {
        script: "published_across_connections",
        versions: V5,
        mosquitto: &["13 p: PUBCOMP 7 Success"],
        tidegate: &["13 p: PUBCOMP 7 PacketIdentifierNotFound"],
        clause: "§3.7.2.1",
        why: "0x92 is there for a PUBREL whose identifier is not known",
    },
    Difference {
        script: "published_twice",
        versions: OLD,
        mosquitto: &["7 p: closed"],
        tidegate: &[
            "5 s: PUBLISH t \"exactly once\" QoS 2",
            "5 s: PUBREL Success",
            "7 p: PUBREC 7 Success",
            "8 p: PUBCOMP 7 Success",
            "9 p: PUBCOMP 7 Success",
            "10 p: PUBREC 7 Success",
            "10 s: PUBLISH t \"exactly once\" QoS 2",
            "10 s: PUBREL Success",
            "11 p: PUBCOMP 7 Success",
        ],
        clause: "MQTT 3.1.1 [MQTT-4.3.3-2]",
        why: "every repetition before PUBREL is answered by PUBREC; mosquitto closes at the second",
    },
    Difference {
        script: "published_twice",
        versions: V5,
        mosquitto: &["7 p: DISCONNECT ProtocolError", "7 p: closed"],
        tidegate: &[
            "5 s: PUBLISH t \"exactly once\" QoS 2",
            "5 s: PUBREL Success",
            "7 p: PUBREC 7 Success",
            "8 p: PUBCOMP 7 Success",
            "9 p: PUBCOMP 7 PacketIdentifierNotFound",
            "10 p: PUBREC 7 Success",
            "10 s: PUBLISH t \"exactly once\" QoS 2",
            "10 s: PUBREL Success",
            "11 p: PUBCOMP 7 Success",
        ],
        clause: "[MQTT-4.3.3-10]",
        why: "every repetition before PUBREL is answered by PUBREC; mosquitto closes at the second",
    },
    Difference {
        script: "qos_0_behind_a_full_window",
        versions: V5,
        mosquitto: &["8 s: PUBLISH w/0 \"behind it\" QoS 0"],
        tidegate: &["9 s: PUBLISH w/0 \"behind it\" QoS 0"],
        clause: "§4.9",
        why: "QoS 0 may pass a full window or wait as well; we keep the order of what waits",
    },
    Difference {
        script: "qos_3",
        versions: V5,
        mosquitto: &["4 b: DISCONNECT MalformedPacket"],
        tidegate: &["4 b: DISCONNECT ProtocolError"],
        clause: "§3.8.3.1",
        why: "a Maximum QoS of 3 is a Protocol Error by name",
    },
    Difference {
        script: "release_of_nothing",
        versions: V5,
        mosquitto: &["2 a: PUBCOMP 9 Success"],
        tidegate: &["2 a: PUBCOMP 9 PacketIdentifierNotFound"],
        clause: "§3.7.2.1",
        why: "0x92 is there for a PUBREL whose identifier is not known",
    },
    Difference {
        script: "reserved_flags",
        versions: V4,
        mosquitto: &["4 pubrec: PUBREL Success"],
        tidegate: &["2 puback: closed", "4 pubrec: closed", "8 pubcomp: closed", "14 pingreq: closed"],
        clause: "MQTT 3.1.1 [MQTT-2.2.2-2]",
        why: "whoever receives invalid flags closes; mosquitto does not look at those of four packets",
    },
    Difference {
        script: "reserved_flags",
        versions: V5,
        mosquitto: &["4 pubrec: PUBREL Success"],
        tidegate: &[
            "2 puback: DISCONNECT MalformedPacket",
            "2 puback: closed",
            "4 pubrec: DISCONNECT MalformedPacket",
            "4 pubrec: closed",
            "6 pubrel: DISCONNECT MalformedPacket",
            "8 pubcomp: DISCONNECT MalformedPacket",
            "8 pubcomp: closed",
            "14 pingreq: DISCONNECT MalformedPacket",
            "14 pingreq: closed",
            "16 disconnect: DISCONNECT MalformedPacket",
        ],
        clause: "§2.1.3, §4.13.1",
        why: "other flags than the packet's own are malformed; mosquitto does not look at those of four packets",
    },
    Difference {
        script: "retain_as_published",
        versions: V5,
        mosquitto: &["8 s: PUBLISH r \"kept\" QoS 0 retain"],
        tidegate: &["8 s: PUBLISH r \"kept\" QoS 0"],
        clause: "[MQTT-3.8.4-3]",
        why: "the second Subscription replaces the first, Retain As Published with it; mosquitto keeps the old option",
    },
    Difference {
        script: "retain_as_published",
        versions: V5,
        mosquitto: &["10 s: PUBLISH r \"overlapping\" QoS 1 retain"],
        tidegate: &[],
        clause: "[MQTT-3.3.4-2]",
        why: FURTHER_COPIES,
    },
    Difference {
        script: "retained_qos",
        versions: V5,
        mosquitto: &["21 p: PUBREC 1020 Success", "24 p: PUBREC 1023 Success", "27 p: PUBREC 1026 Success"],
        tidegate: &[
            "21 p: PUBREC 1020 NoMatchingSubscribers",
            "24 p: PUBREC 1023 NoMatchingSubscribers",
            "27 p: PUBREC 1026 NoMatchingSubscribers",
        ],
        clause: "§3.5.2.1",
        why: NO_HINT,
    },
    Difference {
        script: "second_connect",
        versions: V5,
        mosquitto: &[],
        tidegate: &["2 a: DISCONNECT ProtocolError"],
        clause: "[MQTT-3.1.0-2], §4.13.1",
        why: "a Protocol Error is told before the connection is closed, where it can be",
    },
    Difference {
        script: "session_expiry_never",
        versions: V5,
        mosquitto: &[
            "2 s: CONNACK Success receive maximum 20 packet size 2097152 aliases 10",
            "6 s: CONNACK Success present receive maximum 20 packet size 2097152 aliases 10",
        ],
        tidegate: &[
            "2 s: CONNACK Success receive maximum 20 packet size 2097152 aliases 10 expiry 4294944000",
            "6 s: CONNACK Success present receive maximum 20 packet size 2097152 aliases 10 expiry 4294944000",
        ],
        clause: "§3.2.2.3.2",
        why: "a server may keep a session for less than asked if it says so; ours has a longest time always",
    },
    Difference {
        script: "shared_invalid",
        versions: V5,
        mosquitto: &["2 a: DISCONNECT ProtocolError", "2 a: closed"],
        tidegate: &["2 a: SUBACK [NotAuthorized]"],
        clause: "§4.8.2, §4.7.2",
        why: "$share alone is an ordinary filter, of those under a dollar that nobody is granted",
    },
    Difference {
        script: "shared_invalid",
        versions: V5,
        mosquitto: &[
            "4 b: SUBACK [Success]",
            "6 c: SUBACK [Success]",
            "8 d: SUBACK [Success]",
            "10 e: SUBACK [Success]",
            "12 f: DISCONNECT MalformedPacket",
        ],
        tidegate: &[
            "4 b: DISCONNECT TopicFilterInvalid",
            "4 b: closed",
            "6 c: DISCONNECT TopicFilterInvalid",
            "6 c: closed",
            "8 d: DISCONNECT TopicFilterInvalid",
            "8 d: closed",
            "10 e: DISCONNECT TopicFilterInvalid",
            "10 e: closed",
            "12 f: DISCONNECT TopicFilterInvalid",
        ],
        clause: "[MQTT-4.8.2-1], [MQTT-4.8.2-2]",
        why: "a Shared Subscription has a name without wildcards, and a filter behind it",
    },
    Difference {
        script: "shared_no_local",
        versions: V5,
        mosquitto: &["2 a: SUBACK [GrantedQoS1]"],
        tidegate: &["2 a: DISCONNECT ProtocolError", "2 a: closed"],
        clause: "[MQTT-3.8.3-4]",
        why: "No Local on a Shared Subscription is a Protocol Error",
    },
    Difference {
        script: "shared_retained",
        versions: V5,
        mosquitto: &["4 anybody: PUBLISH s/x \"kept\" QoS 1 retain", "5 anybody: PUBLISH s/x \"kept\" QoS 1 retain"],
        tidegate: &[],
        clause: "§4.8.2",
        why: "a Shared Subscription begins without retained messages",
    },
    Difference {
        script: "subscribed_again",
        versions: V5,
        mosquitto: &["10 p: PUBREC 1009 Success"],
        tidegate: &["10 p: PUBREC 1009 NoMatchingSubscribers"],
        clause: "§3.5.2.1",
        why: NO_HINT,
    },
    Difference {
        script: "subscription_identifiers",
        versions: V5,
        mosquitto: &[
            "7 s: PUBLISH i/x \"x\" QoS 1",
            "7 s: PUBLISH i/x \"x\" QoS 1 for 1",
            "7 s: PUBLISH i/x \"x\" QoS 1 for 268435455",
            "9 s: PUBLISH i/r \"kept\" QoS 0 for 1",
            "9 s: PUBLISH i/r \"kept\" QoS 0 for 268435455",
        ],
        tidegate: &[
            "7 s: PUBLISH i/x \"x\" QoS 1 for 1 for 268435455",
            "9 s: PUBLISH i/r \"kept\" QoS 0 for 1 for 268435455",
        ],
        clause: "[MQTT-3.3.4-2], [MQTT-3.3.4-4]",
        why: FURTHER_COPIES,
    },
    Difference {
        script: "taken_over",
        versions: V5,
        mosquitto: &[],
        tidegate: &["6 first: DISCONNECT SessionTakenOver"],
        clause: "[MQTT-3.1.4-3]",
        why: TAKEN_OVER,
    },
    Difference {
        script: "taken_over_clean",
        versions: V5,
        mosquitto: &[],
        tidegate: &["4 first: DISCONNECT SessionTakenOver"],
        clause: "[MQTT-3.1.4-3]",
        why: TAKEN_OVER,
    },
    Difference {
        script: "topic_alias_0",
        versions: V5,
        mosquitto: &["4 p: DISCONNECT MalformedPacket"],
        tidegate: &["4 p: DISCONNECT TopicAliasInvalid"],
        clause: "[MQTT-3.3.2-8], §3.3.4",
        why: "an alias of 0 or beyond the maximum is answered with 0x94",
    },
    Difference {
        script: "will_at_takeover",
        versions: ALL,
        mosquitto: &[],
        tidegate: &["6 heir: PUBLISH will \"gone\" QoS 0"],
        clause: "[MQTT-3.1.2-8], §3.1.3.2.2",
        why: "a Will without delay is published when its connection is closed, though the session goes on",
    },
    Difference {
        script: "will_at_takeover",
        versions: V5,
        mosquitto: &[],
        tidegate: &[
            "4 mortal: DISCONNECT SessionTakenOver",
            "5 second: DISCONNECT SessionTakenOver",
            "6 third: DISCONNECT SessionTakenOver",
        ],
        clause: "[MQTT-3.1.4-3]",
        why: TAKEN_OVER,
    },
    Difference {
        script: "will_delay_cancelled",
        versions: V5,
        mosquitto: &[],
        tidegate: &["8 mortal: DISCONNECT SessionTakenOver"],
        clause: "[MQTT-3.1.4-3]",
        why: TAKEN_OVER,
    },
    Difference {
        script: "will_delay_cut_short",
        versions: V5,
        mosquitto: &[],
        tidegate: &[
            "5 heir: PUBLISH will \"gone\" QoS 1",
            "8 heir: PUBLISH will \"gone\" QoS 1",
            "10 heir: PUBLISH will \"gone\" QoS 1",
        ],
        clause: "§3.1.3.2.2",
        why: "the Will is published when its delay has passed or its session ends, whichever is first; mosquitto forgets it",
    },
    Difference {
        script: "wills_of_disconnect",
        versions: V5,
        mosquitto: &[],
        tidegate: &[
            "4 heir: PUBLISH will \"gone\" QoS 2",
            "4 heir: PUBREL Success",
            "6 heir: PUBLISH will \"gone\" QoS 2",
            "6 heir: PUBREL Success",
            "8 heir: PUBLISH will \"gone\" QoS 2",
            "8 heir: PUBREL Success",
        ],
        clause: "[MQTT-3.14.4-3], [MQTT-3.1.2-8]",
        why: "only a DISCONNECT with 0x00 deletes the Will; mosquitto publishes it at 0x04 alone",
    },
];
