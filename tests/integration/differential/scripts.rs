//! The scripts that somebody thought of: each feature where brokers were seen to part ways.

use std::num::{NonZeroU16, NonZeroU32};

use tidegate::mqtt::packet::{Ack, Connect, Publish, RetainHandling, Subscribe, SubscribeOptions, Will};
use tidegate::mqtt::property::SubscribeProperties;
use tidegate::mqtt::{Packet, QoS, ReasonCode, TopicFilter, Version};

use super::script::{Script, ack, kept, message, options};
use crate::harness::mqtt::{connect, packet_id, will};

/// All scripts that make sense in `version` and need no time to pass.
pub fn all(version: Version) -> Vec<Script> {
    let mut scripts = vec![
        levels(version),
        dollar_topics(version),
        overlapping(version),
        overlapping_retained(version),
        subscribed_again(version),
        unsubscribed(version),
        granted_and_delivered(version),
        retained(version),
        retained_then_deleted(version),
        retained_qos(version),
        kept_session(version),
        clean_session(version),
        redelivered(version),
        redelivered_in_order(version),
        published_twice(version),
        published_across_connections(version),
        release_of_nothing(version),
        answers_to_nothing(version),
        taken_over(version),
        taken_over_clean(version),
        farewell_deletes_will(version),
        cut_publishes_will(version),
        fault_publishes_will(version),
        retained_will(version),
        will_at_takeover(version),
        no_identifier(version),
        no_identifier_kept(version),
        second_connect(version),
        publish_to_a_wildcard(version),
        invalid_filters(version),
        reserved_flags(version),
        qos_3(version),
        identifier_0(version),
        long_identifier(version),
        queued_in_order(version),
        own_messages(version),
        several_filters(version),
        packets_of_a_server(version),
        trailing_bytes(version),
        too_large_by_its_length(version),
        text_that_is_none(version),
        dup_without_qos(version),
    ];
    if version != Version::V3 {
        scripts.push(empty_subscribe(version));
    }
    if version == Version::V5 {
        scripts.extend([
            retain_handling(),
            retain_as_published(),
            no_local(),
            subscription_identifiers(),
            identifier_replaced(),
            properties(),
            properties_of_retained(),
            properties_of_will(),
            expiry_passed_on(),
            topic_alias_in(),
            topic_alias_unknown(),
            topic_alias_too_high(),
            topic_alias_0(),
            topic_alias_forgotten(),
            receive_maximum(),
            receive_maximum_of_2(),
            qos_0_behind_a_full_window(),
            maximum_packet_size(),
            refused_by_receiver(),
            session_expiry_0(),
            session_expiry_changed_at_disconnect(),
            session_expiry_never(),
            session_expiry_raised_from_0(),
            disconnect_with_will(),
            will_delay_cancelled(),
            will_delay_cut_short(),
            shared(),
            shared_and_plain(),
            shared_retained(),
            shared_no_local(),
            shared_invalid(),
            wills_of_disconnect(),
            auth_without_method(),
            old_and_new(),
            unknown_reasons(),
            properties_out_of_place(),
            beyond_the_servers_receive_maximum(),
        ]);
    }
    scripts
}

/// Scripts in which time passes.
pub fn timed(version: Version) -> Vec<Script> {
    let mut scripts = vec![keep_alive(version)];
    if version == Version::V5 {
        scripts.extend([
            will_delayed(),
            will_at_session_end(),
            session_expires(),
            message_expires(),
            retained_expires(),
        ]);
    }
    scripts
}

fn levels(version: Version) -> Script {
    let mut script = Script::new("levels").connect_clean("p", version);
    for (actor, filter) in [
        ("a", "a/#"),
        ("b", "+"),
        ("c", "a/+"),
        ("d", "/+"),
        ("e", "+/+"),
        ("f", "a//b"),
        ("g", "a/+/b"),
        ("h", "#"),
        ("i", "/"),
        ("j", "+/#"),
        ("k", "a/+/#"),
    ] {
        script = script.connect_clean(actor, version).subscribe(actor, filter, 0);
    }
    for topic in ["a", "a/", "a/b", "a//b", "/", "/a", "//", "a/b/c", "b", "A", "a b", "\u{e9}", "e\u{301}"] {
        script = script.publish("p", topic, topic, 0);
    }
    script
}

fn dollar_topics(version: Version) -> Script {
    let mut script = Script::new("dollar_topics").connect_clean("p", version);
    for (actor, filter) in [("a", "#"), ("b", "+/x"), ("c", "$d/#"), ("d", "$d/+"), ("e", "+/#")] {
        script = script.connect_clean(actor, version).subscribe(actor, filter, 0);
    }
    script
        .publish("p", "$d/x", "1", 0)
        .retain("p", "$d/y", "2", 1)
        .subscribe("a", "+/y", 1)
        .subscribe("c", "$d/y", 1)
        .publish("p", "d/$x", "3", 0)
}

fn overlapping(version: Version) -> Script {
    Script::new("overlapping")
        .connect_clean("s", version)
        .connect_clean("p", version)
        .subscribe("s", "o/#", 0)
        .subscribe("s", "o/+", 2)
        .subscribe("s", "o/x", 1)
        .publish("p", "o/x", "two", 2)
        .publish("p", "o/x", "one", 1)
        .publish("p", "o/x", "nought", 0)
        .unsubscribe("s", "o/+")
        .publish("p", "o/x", "two again", 2)
}

fn overlapping_retained(version: Version) -> Script {
    Script::new("overlapping_retained")
        .connect_clean("s", version)
        .connect_clean("p", version)
        .retain("p", "o/x", "kept", 2)
        .subscribe("s", "o/+", 0)
        .subscribe("s", "o/#", 1)
        .subscribe("s", "o/x", 2)
}

fn subscribed_again(version: Version) -> Script {
    Script::new("subscribed_again")
        .connect_clean("s", version)
        .connect_clean("p", version)
        .retain("p", "r", "kept", 1)
        .subscribe("s", "r", 0)
        .subscribe("s", "r", 2)
        .publish("p", "r", "live", 2)
        .subscribe("s", "r", 0)
        .publish("p", "r", "live", 2)
        .unsubscribe("s", "r")
        .publish("p", "r", "nobody", 2)
}

fn unsubscribed(version: Version) -> Script {
    Script::new("unsubscribed")
        .connect_clean("s", version)
        .unsubscribe("s", "never/subscribed")
        .subscribe("s", "a/+", 1)
        .unsubscribe("s", "a/b")
        .publish("s", "a/b", "still", 1)
        .unsubscribe("s", "a/+")
        .unsubscribe("s", "a/+")
        .publish("s", "a/b", "nobody", 1)
}

fn granted_and_delivered(version: Version) -> Script {
    let mut script = Script::new("granted_and_delivered").connect_clean("p", version);
    for (actor, qos) in [("nought", 0), ("one", 1), ("two", 2)] {
        script = script.connect_clean(actor, version).subscribe(actor, "t", qos);
    }
    for qos in 0..=2 {
        script = script.publish("p", "t", "x", qos).publish("p", "t", "", qos);
    }
    script
}

fn retained(version: Version) -> Script {
    Script::new("retained")
        .connect_clean("p", version)
        .connect_clean("early", version)
        .subscribe("early", "r/#", 2)
        .retain("p", "r/a", "old", 0)
        .retain("p", "r/a", "new", 2)
        .retain("p", "r/b", "b", 1)
        .publish("p", "r/c", "not kept", 1)
        .connect_clean("late", version)
        .subscribe("late", "r/+", 1)
        .subscribe("late", "#", 0)
        .subscribe("late", "r/a/#", 0)
}

fn retained_then_deleted(version: Version) -> Script {
    Script::new("retained_then_deleted")
        .connect_clean("p", version)
        .retain("p", "r/a", "x", 1)
        .connect_clean("early", version)
        .subscribe("early", "r/#", 1)
        .publish("p", "r/a", "", 1)
        .connect_clean("still", version)
        .subscribe("still", "r/a", 1)
        .retain("p", "r/a", "", 1)
        .retain("p", "r/never", "", 0)
        .connect_clean("late", version)
        .subscribe("late", "r/#", 1)
}

fn retained_qos(version: Version) -> Script {
    let mut script = Script::new("retained_qos").connect_clean("p", version).connect_clean("s", version);
    for published in 0..=2 {
        for subscribed in 0..=2 {
            script = script.retain("p", "q", "x", published).subscribe("s", "q", subscribed).unsubscribe("s", "q");
        }
    }
    script
}

fn kept_session(version: Version) -> Script {
    Script::new("kept_session")
        .connect_clean("p", version)
        .connect_kept("s", version)
        .subscribe("s", "k/+", 2)
        .disconnect("s")
        .publish("p", "k/0", "nought", 0)
        .publish("p", "k/1", "one", 1)
        .publish("p", "k/2", "two", 2)
        .retain("p", "k/r", "retained", 1)
        .connect_kept("s", version)
        .publish("p", "k/1", "live", 1)
        .cut("s")
        .publish("p", "k/1", "again", 1)
        .connect_kept("s", version)
}

fn clean_session(version: Version) -> Script {
    Script::new("clean_session")
        .connect_clean("p", version)
        .connect_kept("s", version)
        .subscribe("s", "k", 1)
        .disconnect("s")
        .publish("p", "k", "waits", 1)
        .connect_clean("s", version)
        .publish("p", "k", "nobody", 1)
        .disconnect("s")
        .connect_kept("s", version)
        .publish("p", "k", "nobody", 1)
}

fn redelivered(version: Version) -> Script {
    Script::new("redelivered")
        .connect_clean("p", version)
        .connect_kept("s", version)
        .subscribe("s", "d/#", 2)
        .hold("s")
        .publish("p", "d/1", "one", 1)
        .publish("p", "d/2", "two", 2)
        .publish("p", "d/0", "nought", 0)
        .cut("s")
        .connect_kept("s", version)
        .hold("s")
        .publish("p", "d/1", "another", 1)
        .cut("s")
        .connect_kept("s", version)
        .cut("s")
        .connect_kept("s", version)
}

fn redelivered_in_order(version: Version) -> Script {
    let mut script = Script::new("redelivered_in_order")
        .connect_clean("p", version)
        .connect_kept("s", version)
        .subscribe("s", "d", 2)
        .hold("s");
    for index in 0..30 {
        script = script.publish("p", "d", &index.to_string(), 1 + index % 2);
    }
    script.cut("s").publish("p", "d", "last", 2).connect_kept("s", version).publish("p", "d", "live", 1)
}

fn published_twice(version: Version) -> Script {
    let twice =
        |dup| Packet::Publish(Publish { packet_id: Some(packet_id(7)), dup, ..message("t", "exactly once", 2) });
    Script::new("published_twice")
        .connect_clean("s", version)
        .subscribe("s", "t", 2)
        .connect_clean("p", version)
        .hold("p")
        .send("p", twice(false))
        .send("p", twice(true))
        .send("p", twice(true))
        .send("p", Packet::PubRel(ack(7)))
        .send("p", Packet::PubRel(ack(7)))
        .send("p", twice(false))
        .send("p", Packet::PubRel(ack(7)))
}

fn published_across_connections(version: Version) -> Script {
    let published = |dup| Packet::Publish(Publish { packet_id: Some(packet_id(7)), dup, ..message("t", "once", 2) });
    Script::new("published_across_connections")
        .connect_clean("s", version)
        .subscribe("s", "t", 2)
        .connect_kept("p", version)
        .hold("p")
        .send("p", published(false))
        .cut("p")
        .connect_kept("p", version)
        .hold("p")
        .send("p", published(true))
        .send("p", Packet::PubRel(ack(7)))
        .cut("p")
        .connect_kept("p", version)
        .send("p", Packet::PubRel(ack(7)))
}

fn release_of_nothing(version: Version) -> Script {
    Script::new("release_of_nothing").connect_clean("a", version).send("a", Packet::PubRel(ack(9)))
}

fn answers_to_nothing(version: Version) -> Script {
    Script::new("answers_to_nothing")
        .connect_clean("a", version)
        .send("a", Packet::PubAck(ack(9)))
        .connect_clean("b", version)
        .send("b", Packet::PubRec(ack(9)))
        .connect_clean("c", version)
        .send("c", Packet::PubComp(ack(9)))
}

fn taken_over(version: Version) -> Script {
    Script::new("taken_over")
        .connect_clean("p", version)
        .connect("first", kept(version, "same"))
        .subscribe("first", "t", 1)
        .hold("first")
        .publish("p", "t", "unanswered", 1)
        .connect("second", kept(version, "same"))
        .publish("p", "t", "to the second", 1)
}

fn taken_over_clean(version: Version) -> Script {
    Script::new("taken_over_clean")
        .connect_clean("p", version)
        .connect("first", kept(version, "same"))
        .subscribe("first", "t", 1)
        .connect("second", connect(version, "same"))
        .publish("p", "t", "nobody", 1)
}

fn mortal(version: Version, will: Will) -> Connect {
    Connect { will: Some(will), ..connect(version, "mortal") }
}

fn gone(qos: QoS, retain: bool) -> Will {
    will("will", "gone", qos, retain)
}

fn heir(name: &str, version: Version) -> Script {
    Script::new(name).connect_clean("heir", version).subscribe("heir", "will", 2)
}

fn farewell_deletes_will(version: Version) -> Script {
    heir("farewell_deletes_will", version)
        .connect("mortal", mortal(version, gone(QoS::AtLeastOnce, false)))
        .disconnect("mortal")
        .connect("mortal", mortal(version, gone(QoS::AtMostOnce, false)))
        .cut("mortal")
}

fn cut_publishes_will(version: Version) -> Script {
    let mut script = heir("cut_publishes_will", version);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        script = script.connect("mortal", mortal(version, gone(qos, false))).cut("mortal");
    }
    script
}

fn fault_publishes_will(version: Version) -> Script {
    heir("fault_publishes_will", version)
        .connect("mortal", mortal(version, gone(QoS::AtLeastOnce, false)))
        .bytes("mortal", &[0x36, 0])
}

fn retained_will(version: Version) -> Script {
    heir("retained_will", version)
        .connect("mortal", mortal(version, gone(QoS::AtLeastOnce, true)))
        .cut("mortal")
        .connect_clean("late", version)
        .subscribe("late", "will", 1)
        .connect("mortal", mortal(version, will("will", "", QoS::AtMostOnce, true)))
        .cut("mortal")
        .connect_clean("later", version)
        .subscribe("later", "will", 1)
}

fn will_at_takeover(version: Version) -> Script {
    heir("will_at_takeover", version)
        .connect("mortal", mortal(version, gone(QoS::AtLeastOnce, false)))
        .connect("second", connect(version, "mortal"))
        .connect("third", Connect { will: Some(gone(QoS::AtMostOnce, false)), ..kept(version, "mortal") })
        .connect("fourth", kept(version, "mortal"))
        .cut("fourth")
}

fn no_identifier(version: Version) -> Script {
    Script::new("no_identifier").connect("a", connect(version, "")).connect("b", connect(version, ""))
}

fn no_identifier_kept(version: Version) -> Script {
    Script::new("no_identifier_kept").connect("a", kept(version, ""))
}

fn second_connect(version: Version) -> Script {
    Script::new("second_connect")
        .connect_clean("a", version)
        .send("a", Packet::Connect(Box::new(connect(version, "a"))))
}

/// A PUBLISH of QoS 0 with this topic, which may be none.
fn raw_publish(version: Version, topic: &str) -> Vec<u8> {
    let mut bytes = vec![0x30, 2 + topic.len() as u8 + u8::from(version == Version::V5), 0, topic.len() as u8];
    bytes.extend(topic.as_bytes());
    bytes.extend((version == Version::V5).then_some(0));
    bytes
}

/// A SUBSCRIBE to one filter, which may be none.
fn raw_subscribe(version: Version, filter: &str, options: u8) -> Vec<u8> {
    let mut bytes = vec![0x82, 5 + filter.len() as u8 + u8::from(version == Version::V5), 0, 5];
    bytes.extend((version == Version::V5).then_some(0));
    bytes.extend([0, filter.len() as u8]);
    bytes.extend(filter.as_bytes());
    bytes.push(options);
    bytes
}

fn publish_to_a_wildcard(version: Version) -> Script {
    let mut script = Script::new("publish_to_a_wildcard").connect_clean("s", version).subscribe("s", "#", 0);
    for (actor, topic) in [("a", "a/+"), ("b", "#"), ("c", "a/b+"), ("d", "")] {
        script = script.connect_clean(actor, version).bytes(actor, &raw_publish(version, topic));
    }
    script
}

fn invalid_filters(version: Version) -> Script {
    let mut script = Script::new("invalid_filters");
    for (actor, filter) in [("a", "a/#/b"), ("b", "a+"), ("c", "a/b#"), ("d", ""), ("e", "+a/b"), ("f", "#/")] {
        script = script.connect_clean(actor, version).bytes(actor, &raw_subscribe(version, filter, 0));
    }
    script
}

fn reserved_flags(version: Version) -> Script {
    let mut script = Script::new("reserved_flags");
    // PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT with flags that are not theirs.
    let packets: [(&str, &[u8]); 8] = [
        ("puback", &[0x42, 2, 0, 1]),
        ("pubrec", &[0x51, 2, 0, 1]),
        ("pubrel", &[0x60, 2, 0, 1]),
        ("pubcomp", &[0x78, 2, 0, 1]),
        ("subscribe", &[0x80, 6, 0, 5, 0, 1, b'a', 0]),
        ("unsubscribe", &[0xA0, 5, 0, 5, 0, 1, b'a']),
        ("pingreq", &[0xC1, 0]),
        ("disconnect", &[0xE2, 0]),
    ];
    for (actor, packet) in packets {
        script = script.connect_clean(actor, version).bytes(actor, packet);
    }
    script
}

fn qos_3(version: Version) -> Script {
    Script::new("qos_3")
        .connect_clean("a", version)
        .bytes("a", &[0x36, 6, 0, 1, b'a', 0, 1, 0])
        .connect_clean("b", version)
        .bytes("b", &raw_subscribe(version, "a", 3))
}

fn identifier_0(version: Version) -> Script {
    Script::new("identifier_0")
        .connect_clean("a", version)
        .bytes("a", &[0x32, 6, 0, 1, b'a', 0, 0, 0])
        .connect_clean("b", version)
        .bytes(
            "b",
            &match version {
                Version::V5 => vec![0x82, 7, 0, 0, 0, 0, 1, b'a', 0],
                _ => vec![0x82, 6, 0, 0, 0, 1, b'a', 0],
            },
        )
}

fn empty_subscribe(version: Version) -> Script {
    let none: &[u8] = if version == Version::V5 { &[0, 5, 0] } else { &[0, 5] };
    let with = |first: u8| [&[first, none.len() as u8], none].concat();
    Script::new("empty_subscribe")
        .connect_clean("a", version)
        .bytes("a", &with(0x82))
        .connect_clean("b", version)
        .bytes("b", &with(0xA2))
}

fn long_identifier(version: Version) -> Script {
    Script::new("long_identifier")
        .connect("a", connect(version, "a-client-identifier-of-23"[..23].into()))
        .connect("b", connect(version, "a-client-identifier-of-24"))
        .connect("c", connect(version, "identifiers/may be #anything+ \u{e9}"))
}

fn queued_in_order(version: Version) -> Script {
    let mut script = Script::new("queued_in_order")
        .connect_clean("p", version)
        .connect_clean("q", version)
        .connect_kept("s", version)
        .subscribe("s", "o/+", 2)
        .disconnect("s");
    for index in 0..50_u8 {
        let publisher = if index % 2 == 0 { "p" } else { "q" };
        script = script.publish(publisher, &format!("o/{}", index % 3), &index.to_string(), 1 + index % 2);
    }
    script.connect_kept("s", version)
}

fn own_messages(version: Version) -> Script {
    Script::new("own_messages")
        .connect_clean("a", version)
        .subscribe("a", "t", 2)
        .publish("a", "t", "nought", 0)
        .publish("a", "t", "one", 1)
        .publish("a", "t", "two", 2)
        .retain("a", "t", "kept", 1)
}

fn several_filters(version: Version) -> Script {
    let filters = [("a", 2), ("b/+", 1), ("a", 0), ("c/#", 2)];
    let packet = Packet::Subscribe(Subscribe {
        packet_id: packet_id(7),
        properties: SubscribeProperties::default(),
        filters: filters
            .map(|(filter, qos)| (TopicFilter::parse(filter).expect("a valid filter"), options(qos)))
            .to_vec(),
    });
    Script::new("several_filters")
        .connect_clean("p", version)
        .connect_clean("s", version)
        .retain("p", "c/d", "kept", 1)
        .send("s", packet)
        .publish("p", "a", "the last of both counts", 2)
        .publish("p", "b/x", "one", 2)
        .publish("p", "c", "two", 2)
}

fn packets_of_a_server(version: Version) -> Script {
    let mut script = Script::new("packets_of_a_server");
    let packets: [(&str, &[u8]); 4] = [
        ("connack", if version == Version::V5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] }),
        ("suback", if version == Version::V5 { &[0x90, 4, 0, 1, 0, 0] } else { &[0x90, 3, 0, 1, 0] }),
        ("unsuback", if version == Version::V5 { &[0xB0, 4, 0, 1, 0, 0] } else { &[0xB0, 2, 0, 1] }),
        ("pingresp", &[0xD0, 0]),
    ];
    for (actor, packet) in packets {
        script = script.connect_clean(actor, version).bytes(actor, packet);
    }
    script
}

fn trailing_bytes(version: Version) -> Script {
    let mut script = Script::new("trailing_bytes");
    // Behind a reason and an empty list of properties; the older versions have neither.
    for (actor, first) in [("puback", 0x40), ("pubrec", 0x50), ("pubrel", 0x62), ("pubcomp", 0x70)] {
        script = script.connect_clean(actor, version).bytes(actor, &[first, 5, 0, 1, 0, 0, 0]);
    }
    script.connect_clean("pingreq", version).bytes("pingreq", &[0xC0, 1, 0])
}

fn too_large_by_its_length(version: Version) -> Script {
    Script::new("too_large_by_its_length")
        .connect_clean("a", version)
        .bytes("a", &[0x30, 0xFF, 0xFF, 0xFF, 0x7F])
        .connect_clean("b", version)
        .bytes("b", &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F])
}

fn text_that_is_none(version: Version) -> Script {
    let mut script = Script::new("text_that_is_none");
    // A NUL, half a surrogate pair, a byte that begins nothing, and an overlong slash.
    for (actor, text) in [("nul", &b"a\0"[..]), ("half", b"\xed\xa0\x80"), ("stray", b"\x80"), ("long", b"\xc0\xaf")] {
        let mut bytes = vec![0x30, 2 + text.len() as u8 + u8::from(version == Version::V5), 0, text.len() as u8];
        bytes.extend(text);
        bytes.extend((version == Version::V5).then_some(0));
        script = script.connect_clean(actor, version).bytes(actor, &bytes);
    }
    script
}

fn dup_without_qos(version: Version) -> Script {
    let mut bytes = raw_publish(version, "t");
    bytes[0] |= 0x08;
    Script::new("dup_without_qos").connect_clean("a", version).subscribe("a", "t", 0).bytes("a", &bytes)
}

const V5: Version = Version::V5;

fn unknown_reasons() -> Script {
    let mut script = Script::new("unknown_reasons");
    for (actor, first) in [("puback", 0x40), ("pubrec", 0x50), ("pubrel", 0x62), ("pubcomp", 0x70)] {
        script = script.connect_clean(actor, V5).bytes(actor, &[first, 3, 0, 1, 0x7E]);
    }
    script.connect_clean("disconnect", V5).bytes("disconnect", &[0xE0, 1, 0x7E])
}

fn properties_out_of_place() -> Script {
    let mut script = Script::new("properties_out_of_place");
    let properties: [(&str, &[u8]); 5] = [
        ("of a CONNECT", &[0x11, 0, 0, 0, 1]),
        ("twice", &[0x01, 0, 0x01, 0]),
        ("unknown", &[0x7E, 0]),
        ("format 2", &[0x01, 2]),
        ("identifier", &[0x0B, 1]),
    ];
    for (actor, properties) in properties {
        let length = properties.len() as u8;
        let bytes = [&[0x30, 4 + length, 0, 1, b't', length], properties].concat();
        script = script.connect_clean(actor, V5).bytes(actor, &bytes);
    }
    script
}

fn beyond_the_servers_receive_maximum() -> Script {
    let mut script = Script::new("beyond_the_servers_receive_maximum").without_hints().connect_clean("p", V5).hold("p");
    for index in 0..21 {
        script = script.publish("p", "t", &format!("{index}"), 2);
    }
    script
}

fn handling(retain_handling: RetainHandling) -> SubscribeOptions {
    SubscribeOptions { retain_handling, ..options(1) }
}

fn retain_handling() -> Script {
    use RetainHandling::{Always, IfNew, Never};
    let mut script = Script::new("retain_handling").connect_clean("p", V5).retain("p", "r/x", "kept", 1);
    for retain_as_published in [false, true] {
        let with = |how| SubscribeOptions { retain_as_published, ..handling(how) };
        script = script
            .connect_clean("s", V5)
            .subscribe_with("s", "r/+", with(Never))
            .subscribe_with("s", "r/+", with(IfNew))
            .subscribe_with("s", "r/+", with(Always))
            .unsubscribe("s", "r/+")
            .subscribe_with("s", "r/+", with(IfNew))
            .retain("p", "r/x", "kept", 1)
            .publish("p", "r/y", "live", 1);
    }
    script
}

fn retain_as_published() -> Script {
    let keeping = SubscribeOptions { retain_as_published: true, ..options(1) };
    Script::new("retain_as_published")
        .connect_clean("p", V5)
        .connect_clean("s", V5)
        .subscribe_with("s", "r", keeping)
        .retain("p", "r", "kept", 0)
        .publish("p", "r", "live", 0)
        .retain("p", "r", "", 0)
        .subscribe("s", "r", 1)
        .retain("p", "r", "kept", 0)
        .subscribe_with("s", "+", keeping)
        .retain("p", "r", "overlapping", 1)
}

fn no_local() -> Script {
    let no_local = SubscribeOptions { no_local: true, ..options(1) };
    Script::new("no_local")
        .connect_clean("a", V5)
        .connect_clean("b", V5)
        .subscribe_with("a", "n", no_local)
        .publish("a", "n", "own", 1)
        .publish("b", "n", "other", 1)
        .subscribe("a", "+", 0)
        .publish("a", "n", "own by another filter", 1)
        .subscribe("a", "n", 1)
        .publish("a", "n", "own", 1)
        .retain("a", "k", "own, kept", 1)
        .subscribe_with("a", "k", no_local)
}

fn subscription_identifiers() -> Script {
    Script::new("subscription_identifiers")
        .connect_clean("s", V5)
        .connect_clean("p", V5)
        .retain("p", "i/r", "kept", 1)
        .subscribe_as("s", "i/#", options(1), Some(1))
        .subscribe_as("s", "i/+", options(1), Some(268_435_455))
        .subscribe_as("s", "i/x", options(1), None)
        .publish("p", "i/x", "x", 1)
        .publish("p", "i/y/z", "z", 1)
        .retain("p", "i/r", "kept", 0)
}

fn identifier_replaced() -> Script {
    Script::new("identifier_replaced")
        .connect_clean("s", V5)
        .subscribe_as("s", "i", options(1), Some(1))
        .publish("s", "i", "of 1", 0)
        .subscribe_as("s", "i", options(1), Some(2))
        .publish("s", "i", "of 2", 0)
        .subscribe_as("s", "i", options(1), None)
        .publish("s", "i", "of none", 0)
        .connect("k", kept(V5, "k"))
        .subscribe_as("k", "i", options(1), Some(3))
        .disconnect("k")
        .publish("s", "i", "queued", 1)
        .connect("k", kept(V5, "k"))
}

/// Format, type, response topic, correlation data and three User Properties of which two share a name.
const PROPERTIES: &[u8] = b"\x01\x01\x03\x00\x04text\x08\x00\x05reply\x09\x00\x02ab\
    \x26\x00\x01b\x00\x011\x26\x00\x01a\x00\x012\x26\x00\x01b\x00\x013";

fn with_properties(mut publish: Publish<'static>) -> Publish<'static> {
    publish.properties.forwarded = PROPERTIES.into();
    publish
}

fn properties() -> Script {
    Script::new("properties")
        .connect_clean("s", V5)
        .connect_clean("old", Version::V4)
        .subscribe("s", "p", 1)
        .subscribe("old", "p", 1)
        .connect_clean("p", V5)
        .message("p", with_properties(message("p", "x", 0)))
        .message("p", with_properties(message("p", "", 1)))
}

fn properties_of_retained() -> Script {
    Script::new("properties_of_retained")
        .connect_clean("p", V5)
        .message("p", Publish { retain: true, ..with_properties(message("p", "x", 1)) })
        .connect_clean("s", V5)
        .subscribe("s", "p", 1)
        .connect("k", kept(V5, "k"))
        .subscribe("k", "p", 1)
        .disconnect("k")
        .message("p", with_properties(message("p", "queued", 1)))
        .connect("k", kept(V5, "k"))
}

fn properties_of_will() -> Script {
    let mut will = gone(QoS::AtLeastOnce, false);
    will.properties.forwarded = PROPERTIES.into();
    will.properties.message_expiry_interval_s = Some(98);
    heir("properties_of_will", V5).connect("mortal", mortal(V5, will)).cut("mortal")
}

fn expiring(mut publish: Publish<'static>, seconds: u32) -> Publish<'static> {
    publish.properties.message_expiry_interval_s = Some(seconds);
    publish
}

fn expiry_passed_on() -> Script {
    Script::new("expiry_passed_on")
        .connect_clean("s", V5)
        .subscribe("s", "e", 1)
        .connect_clean("p", V5)
        .message("p", expiring(message("e", "live", 1), 98))
        .message("p", Publish { retain: true, ..expiring(message("e", "kept", 0), 1005) })
        .connect_clean("late", V5)
        .subscribe("late", "e", 1)
}

fn aliased(topic: Option<&str>, payload: &str, alias: u16) -> Publish<'static> {
    let mut publish = message(topic.unwrap_or("t"), payload, 0);
    publish.properties.topic_alias = NonZeroU16::new(alias);
    publish.topic = publish.topic.filter(|_| topic.is_some());
    publish
}

fn alias_script(name: &str) -> Script {
    Script::new(name).connect_clean("s", V5).subscribe("s", "#", 1).connect_clean("p", V5)
}

fn topic_alias_in() -> Script {
    alias_script("topic_alias_in")
        .message("p", aliased(Some("a/b"), "named", 10))
        .message("p", aliased(None, "by alias", 10))
        .message("p", aliased(Some("c"), "named anew", 10))
        .message("p", aliased(None, "by alias", 10))
        .message("p", aliased(Some("d"), "another", 1))
        .message("p", Publish { retain: true, qos: QoS::AtLeastOnce, ..aliased(None, "retained", 1) })
        .message("p", Publish { qos: QoS::ExactlyOnce, ..aliased(None, "twice", 10) })
        .subscribe("s", "d", 1)
}

fn topic_alias_unknown() -> Script {
    alias_script("topic_alias_unknown").message("p", aliased(None, "whose", 3))
}

fn topic_alias_too_high() -> Script {
    alias_script("topic_alias_too_high").message("p", aliased(Some("t"), "x", 11))
}

fn topic_alias_0() -> Script {
    alias_script("topic_alias_0").bytes("p", &[0x30, 7, 0, 1, b't', 3, 0x23, 0, 0])
}

fn topic_alias_forgotten() -> Script {
    alias_script("topic_alias_forgotten")
        .connect("k", kept(V5, "k"))
        .message("k", aliased(Some("t"), "x", 3))
        .cut("k")
        .connect("k", kept(V5, "k"))
        .message("k", aliased(None, "y", 3))
}

fn receive_maximum() -> Script {
    let mut narrow = kept(V5, "s");
    narrow.properties.receive_maximum = NonZeroU16::new(1);
    Script::new("receive_maximum")
        .connect_clean("p", V5)
        .connect("s", narrow)
        .subscribe("s", "w", 1)
        .hold("s")
        .publish("p", "w", "in flight", 1)
        .publish("p", "w", "waits", 1)
        .publish("p", "w", "waits too", 1)
        .release("s")
}

fn receive_maximum_of_2() -> Script {
    let narrow = |receive_maximum| {
        let mut connect = kept(V5, "s");
        connect.properties.receive_maximum = NonZeroU16::new(receive_maximum);
        connect
    };
    Script::new("receive_maximum_of_2")
        .connect_clean("p", V5)
        .connect("s", narrow(2))
        .subscribe("s", "w", 2)
        .hold("s")
        .publish("p", "w", "one", 2)
        .publish("p", "w", "two", 1)
        .publish("p", "w", "three", 2)
        .publish("p", "w", "four", 1)
        .release("s")
        .hold("s")
        .publish("p", "w", "five", 2)
        .publish("p", "w", "six", 2)
        .publish("p", "w", "seven", 2)
        .cut("s")
        .connect("s", narrow(1))
}

fn maximum_packet_size() -> Script {
    let mut small = connect(V5, "small");
    small.properties.maximum_packet_size = NonZeroU32::new(60);
    Script::new("maximum_packet_size")
        .connect("small", small)
        .connect_clean("large", V5)
        .connect_clean("p", V5)
        .subscribe("small", "m", 1)
        .subscribe("large", "m", 1)
        .publish("p", "m", &"x".repeat(100), 1)
        .publish("p", "m", &"x".repeat(100), 0)
        .publish("p", "m", "fits", 1)
        .retain("p", "m", &"y".repeat(100), 1)
        .subscribe("small", "m", 1)
        .publish("p", "m", "fits", 2)
}

fn qos_0_behind_a_full_window() -> Script {
    let mut narrow = kept(V5, "s");
    narrow.properties.receive_maximum = NonZeroU16::new(1);
    Script::new("qos_0_behind_a_full_window")
        .connect_clean("p", V5)
        .connect("s", narrow)
        .subscribe("s", "w/+", 1)
        .hold("s")
        .publish("p", "w/1", "in flight", 1)
        .publish("p", "w/0", "nothing waits yet", 0)
        .publish("p", "w/1", "waits", 1)
        .publish("p", "w/0", "behind it", 0)
        .release("s")
}

fn refused_by_receiver() -> Script {
    Script::new("refused_by_receiver")
        .connect_clean("p", V5)
        .connect("s", kept(V5, "s"))
        .subscribe("s", "w", 2)
        .hold("s")
        .publish("p", "w", "refused", 1)
        .send("s", Packet::PubAck(Ack::new(packet_id(1), ReasonCode::QuotaExceeded)))
        .publish("p", "w", "refused too", 2)
        .send("s", Packet::PubRec(Ack::new(packet_id(2), ReasonCode::QuotaExceeded)))
        .cut("s")
        .connect("s", kept(V5, "s"))
}

fn with_expiry(seconds: Option<u32>) -> Connect {
    let mut connect = kept(V5, "s");
    connect.properties.session_expiry_interval_s = seconds;
    connect
}

fn session_expiry_0() -> Script {
    let mut script = Script::new("session_expiry_0").connect_clean("p", V5);
    for seconds in [None, Some(0)] {
        script = script
            .connect("s", with_expiry(seconds))
            .subscribe("s", "t", 1)
            .disconnect("s")
            .publish("p", "t", "nobody", 1)
            .connect("s", with_expiry(seconds))
            .publish("p", "t", "nobody", 1)
            .subscribe("s", "t", 1)
            .cut("s")
            .connect("s", with_expiry(seconds));
    }
    script
}

fn session_expiry_changed_at_disconnect() -> Script {
    Script::new("session_expiry_changed_at_disconnect")
        .connect_clean("p", V5)
        .connect("s", with_expiry(Some(1000)))
        .subscribe("s", "t", 1)
        .disconnect_with("s", ReasonCode::Success, Some(0))
        .publish("p", "t", "nobody", 1)
        .connect("s", with_expiry(Some(1)))
        .subscribe("s", "t", 1)
        .disconnect_with("s", ReasonCode::Success, Some(1000))
        .publish("p", "t", "waits", 1)
        .connect("s", with_expiry(Some(1000)))
}

fn session_expiry_never() -> Script {
    Script::new("session_expiry_never")
        .connect_clean("p", V5)
        .connect("s", with_expiry(Some(u32::MAX)))
        .subscribe("s", "t", 1)
        .disconnect("s")
        .publish("p", "t", "waits", 1)
        .connect("s", with_expiry(Some(u32::MAX)))
}

fn session_expiry_raised_from_0() -> Script {
    Script::new("session_expiry_raised_from_0")
        .connect("s", with_expiry(Some(0)))
        .subscribe("s", "t", 1)
        .disconnect_with("s", ReasonCode::Success, Some(100))
        .connect("s", with_expiry(Some(0)))
}

fn disconnect_with_will() -> Script {
    heir("disconnect_with_will", V5).connect("mortal", mortal(V5, gone(QoS::AtLeastOnce, false))).disconnect_with(
        "mortal",
        ReasonCode::DisconnectWithWill,
        None,
    )
}

fn wills_of_disconnect() -> Script {
    let mut script = heir("wills_of_disconnect", V5);
    for reason in [ReasonCode::UnspecifiedError, ReasonCode::AdministrativeAction, ReasonCode::PacketTooLarge] {
        script =
            script.connect("mortal", mortal(V5, gone(QoS::ExactlyOnce, true))).disconnect_with("mortal", reason, None);
    }
    script
}

fn delayed(delay_interval_s: u32, expiry_s: u32) -> Connect {
    let mut will = gone(QoS::AtLeastOnce, false);
    will.properties.delay_interval_s = delay_interval_s;
    let mut connect = Connect { will: Some(will), ..kept(V5, "mortal") };
    connect.properties.session_expiry_interval_s = Some(expiry_s);
    connect
}

fn will_delay_cancelled() -> Script {
    heir("will_delay_cancelled", V5)
        .connect("mortal", delayed(500, 1000))
        .cut("mortal")
        .connect("mortal", kept(V5, "mortal"))
        .disconnect("mortal")
        .connect("mortal", delayed(500, 1000))
        .connect("second", kept(V5, "mortal"))
}

fn will_delay_cut_short() -> Script {
    heir("will_delay_cut_short", V5)
        .connect("mortal", delayed(500, 1000))
        .cut("mortal")
        .connect("mortal", connect(V5, "mortal"))
        .disconnect("mortal")
        .connect("mortal", delayed(500, 0))
        .cut("mortal")
        .connect("mortal", delayed(500, 1000))
        .disconnect_with("mortal", ReasonCode::DisconnectWithWill, Some(0))
}

fn shared() -> Script {
    let mut script = Script::new("shared").connect_clean("p", V5).shared();
    for member in ["a", "b", "c"] {
        script = script.connect_clean(member, V5).subscribe(member, "$share/group/s/+", 1);
    }
    script = script.connect_clean("d", V5).subscribe("d", "$share/other/s/+", 0);
    for index in 0..12 {
        script = script.publish("p", "s/x", &index.to_string(), index % 3);
    }
    script = script.unsubscribe("a", "$share/group/s/+").disconnect("b").unsubscribe("d", "$share/never/s/+");
    for index in 12..16 {
        script = script.publish("p", "s/x", &index.to_string(), 1);
    }
    script.unsubscribe("c", "$share/group/s/+").disconnect("d").publish("p", "s/x", "nobody", 1)
}

fn shared_and_plain() -> Script {
    Script::new("shared_and_plain")
        .shared()
        .connect_clean("p", V5)
        .connect_clean("a", V5)
        .subscribe_as("a", "s/+", options(1), Some(1))
        .subscribe_as("a", "$share/group/s/+", options(2), Some(2))
        .publish("p", "s/x", "to both", 2)
}

fn shared_retained() -> Script {
    Script::new("shared_retained")
        .shared()
        .connect_clean("p", V5)
        .retain("p", "s/x", "kept", 1)
        .connect_clean("a", V5)
        .subscribe("a", "$share/group/s/+", 1)
        .subscribe("a", "$share/group/s/+", 1)
}

fn shared_no_local() -> Script {
    Script::new("shared_no_local").connect_clean("a", V5).bytes("a", &raw_subscribe(V5, "$share/group/s", 0b101))
}

fn shared_invalid() -> Script {
    let mut script = Script::new("shared_invalid");
    for (actor, filter) in [
        ("a", "$share"),
        ("b", "$share/"),
        ("c", "$share/g"),
        ("d", "$share/g/"),
        ("e", "$share//t"),
        ("f", "$share/g+/t"),
    ] {
        script = script.connect_clean(actor, V5).bytes(actor, &raw_subscribe(V5, filter, 0));
    }
    script
}

fn auth_without_method() -> Script {
    Script::new("auth_without_method").connect_clean("a", V5).bytes("a", &[0xF0, 0])
}

fn old_and_new() -> Script {
    Script::new("old_and_new")
        .connect_clean("new", V5)
        .connect_clean("old", Version::V3)
        .subscribe_as("new", "t", SubscribeOptions { no_local: true, retain_as_published: true, ..options(2) }, Some(5))
        .subscribe("old", "t", 2)
        .message("new", expiring(with_properties(message("t", "new", 2)), 98))
        .retain("old", "t", "old", 2)
}

fn keep_alive(version: Version) -> Script {
    let silent = Connect { keep_alive_s: 1, will: Some(gone(QoS::AtLeastOnce, false)), ..connect(version, "silent") };
    heir("keep_alive", version)
        .connect("silent", silent)
        .step("silent", super::script::Step::FallSilent)
        .await_end("silent")
}

fn will_delayed() -> Script {
    heir("will_delayed", V5)
        .connect("mortal", delayed(1, 1000))
        .cut("mortal")
        .await_message("heir")
        .connect("mortal", delayed(1, 1000))
        .disconnect("mortal")
        .elapse(3)
}

fn will_at_session_end() -> Script {
    heir("will_at_session_end", V5).connect("mortal", delayed(1000, 1)).cut("mortal").await_message("heir")
}

fn session_expires() -> Script {
    Script::new("session_expires")
        .connect_clean("p", V5)
        .connect("s", with_expiry(Some(1)))
        .subscribe("s", "t", 1)
        .disconnect("s")
        .publish("p", "t", "waits", 1)
        .elapse(4)
        .connect("s", with_expiry(Some(1)))
        .publish("p", "t", "nobody", 1)
}

fn message_expires() -> Script {
    Script::new("message_expires")
        .connect_clean("p", V5)
        .connect_kept("s", V5)
        .subscribe("s", "t", 1)
        .disconnect("s")
        .message("p", expiring(message("t", "brief", 1), 1))
        .message("p", expiring(message("t", "long", 1), 98))
        .publish("p", "t", "for ever", 1)
        .elapse(4)
        .connect_kept("s", V5)
}

fn retained_expires() -> Script {
    let keep = |payload, topic, seconds| Publish { retain: true, ..expiring(message(topic, payload, 1), seconds) };
    Script::new("retained_expires")
        .connect_clean("p", V5)
        .message("p", keep("brief", "t/brief", 1))
        .message("p", keep("long", "t/long", 98))
        .elapse(4)
        .connect_clean("s", V5)
        .subscribe("s", "t/+", 1)
}
