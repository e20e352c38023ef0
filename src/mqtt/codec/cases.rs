//! The packet table: bytes, who sent them in which version, and what the standard makes of them.
//!
//! Names nothing of the crate, so that tests of a running server can take the file in as it is.

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A packet that is spelled just so.
    Packet,
    /// A packet that would be spelled otherwise: an optional part was written out, or 3.1 leaves a bit open.
    Respelled,
    /// Refused with this Reason Code for breaking this clause.
    Refused(u8, &'static str),
}

/// One row: a whole packet, or the start of one that shows its fault already.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    /// 3 for MQTT 3.1, 4 for 3.1.1, 5 for 5.0. A CONNECT says its version itself.
    pub version: u8,
    pub is_from_server: bool,
    pub bytes: &'static [u8],
    pub expected: Expected,
}

const fn ok(version: u8, name: &'static str, bytes: &'static [u8]) -> Case {
    Case { name, version, is_from_server: false, bytes, expected: Expected::Packet }
}

const fn respelled(version: u8, name: &'static str, bytes: &'static [u8]) -> Case {
    Case { name, version, is_from_server: false, bytes, expected: Expected::Respelled }
}

const fn no(version: u8, name: &'static str, bytes: &'static [u8], reason: u8, clause: &'static str) -> Case {
    Case { name, version, is_from_server: false, bytes, expected: Expected::Refused(reason, clause) }
}

impl Case {
    const fn by_server(mut self) -> Self {
        self.is_from_server = true;
        self
    }
}

const MALFORMED: u8 = 0x81;
const PROTOCOL_ERROR: u8 = 0x82;
const UNSUPPORTED_VERSION: u8 = 0x84;
const FILTER_INVALID: u8 = 0x8F;
const NAME_INVALID: u8 = 0x90;
const ALIAS_INVALID: u8 = 0x94;

/// Every row.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [CONNECT, CONNACK, PUBLISH, ACKS, SUBSCRIBE, SUBACK, UNSUBSCRIBE, PING, DISCONNECT, AUTH, FRAMING]
        .into_iter()
        .flatten()
}

#[rustfmt::skip]
pub const CONNECT: &[Case] = &[
    ok(5, "CONNECT 5.0, least", b"\x10\x0d\x00\x04MQTT\x05\x00\x00\x00\x00\x00\x00"),
    ok(4, "CONNECT 3.1.1, clean session", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"),
    ok(3, "CONNECT 3.1, clean session", b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a"),
    ok(4, "CONNECT 3.1.1, empty client identifier", b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"),
    ok(4, "CONNECT 3.1.1, bridge bit", b"\x10\x0d\x00\x04MQTT\x84\x02\x00\x3c\x00\x01a"),
    ok(3, "CONNECT 3.1, bridge bit", b"\x10\x0f\x00\x06MQIsdp\x83\x02\x00\x3c\x00\x01a"),
    ok(4, "CONNECT 3.1.1, Will, user name, password", b"\x10\x1c\x00\x04MQTT\x04\xee\x00\x3c\x00\x01a\x00\x03w/t\x00\x01W\x00\x01u\x00\x02\xff\x00"),
    ok(4, "CONNECT 3.1.1, empty user name and password", b"\x10\x11\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01a\x00\x00\x00\x00"),
    ok(3, "CONNECT 3.1, user name without password", b"\x10\x12\x00\x06MQIsdp\x03\x82\x00\x3c\x00\x01a\x00\x01u"),
    ok(5, "CONNECT 5.0, password without user name", b"\x10\x11\x00\x04MQTT\x05\x42\x00\x3c\x00\x00\x01a\x00\x01p"),
    ok(5, "CONNECT 5.0, every property", b"\x10\x31\x00\x04MQTT\x05\x02\x00\x3c\x23\x11\x00\x00\x00\x0a\x21\x00\x14\x27\x00\x00\x00\x64\x22\x00\x05\x19\x01\x17\x00\x26\x00\x01k\x00\x01v\x15\x00\x01m\x16\x00\x01\xff\x00\x01a"),
    ok(5, "CONNECT 5.0, Will with every property", b"\x10\x41\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x01a\x28\x18\x00\x00\x00\x05\x02\x00\x00\x00\x06\x01\x01\x03\x00\x02ct\x08\x00\x02rt\x09\x00\x01\x07\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01w\x00\x01t\x00\x05hello"),
    respelled(3, "CONNECT 3.1, user name flag without user name", b"\x10\x0f\x00\x06MQIsdp\x03\xc2\x00\x3c\x00\x01a"),
    respelled(3, "CONNECT 3.1, bit 0 set", b"\x10\x0f\x00\x06MQIsdp\x03\x03\x00\x3c\x00\x01a"),
    respelled(3, "CONNECT 3.1, Will QoS without Will", b"\x10\x0f\x00\x06MQIsdp\x03\x0a\x00\x3c\x00\x01a"),
    respelled(5, "CONNECT 5.0, Will Delay Interval 0", b"\x10\x19\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01a\x05\x18\x00\x00\x00\x00\x00\x01t\x00\x00"),
    no(5, "CONNECT, protocol name mqtt", b"\x10\x0d\x00\x04mqtt\x05\x00\x00\x00\x00\x00\x00", UNSUPPORTED_VERSION, "[MQTT-3.1.2-1]"),
    no(5, "CONNECT, version 6", b"\x10\x0d\x00\x04MQTT\x06\x00\x00\x00\x00\x00\x00", UNSUPPORTED_VERSION, "[MQTT-3.1.2-2]"),
    no(4, "CONNECT, version 3 of MQTT", b"\x10\x0c\x00\x04MQTT\x03\x02\x00\x00\x00\x00", UNSUPPORTED_VERSION, "[MQTT-3.1.2-2]"),
    no(3, "CONNECT, version 4 of MQIsdp", b"\x10\x0e\x00\x06MQIsdp\x04\x02\x00\x00\x00\x00", UNSUPPORTED_VERSION, "[MQTT-3.1.2-2]"),
    no(5, "CONNECT, bridge bit in 5.0", b"\x10\x0d\x00\x04MQTT\x85\x00\x00\x00\x00\x00\x00", UNSUPPORTED_VERSION, "[MQTT-3.1.2-2]"),
    no(5, "CONNECT, reserved flag", b"\x10\x0d\x00\x04MQTT\x05\x01\x00\x00\x00\x00\x00", MALFORMED, "[MQTT-3.1.2-3]"),
    no(4, "CONNECT, reserved flag in 3.1.1", b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00", MALFORMED, "[MQTT-3.1.2-3]"),
    no(5, "CONNECT, Will QoS without Will", b"\x10\x0d\x00\x04MQTT\x05\x08\x00\x00\x00\x00\x00", MALFORMED, "[MQTT-3.1.2-11]"),
    no(4, "CONNECT, Will Retain without Will", b"\x10\x0c\x00\x04MQTT\x04\x22\x00\x00\x00\x00", MALFORMED, "[MQTT-3.1.2-11]"),
    no(5, "CONNECT, Will QoS 3", b"\x10\x14\x00\x04MQTT\x05\x1e\x00\x00\x00\x00\x01a\x00\x00\x01t\x00\x00", MALFORMED, "[MQTT-3.1.2-14]"),
    no(4, "CONNECT 3.1.1, password without user name", b"\x10\x0f\x00\x04MQTT\x04\x42\x00\x3c\x00\x01a\x00\x00", MALFORMED, "3.1.1 [MQTT-3.1.2-22]"),
    no(4, "CONNECT, user name missing", b"\x10\x0d\x00\x04MQTT\x04\x82\x00\x3c\x00\x01a", MALFORMED, "§4.13.1"),
    no(4, "CONNECT, bytes after the payload", b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x01ab", MALFORMED, "§4.13.1"),
    no(4, "CONNECT, nothing", b"\x10\x00", MALFORMED, "§4.13.1"),
    no(4, "CONNECT, client identifier with U+0000", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01\x00", MALFORMED, "[MQTT-1.5.4-2]"),
    no(4, "CONNECT, client identifier with U+D800", b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03\xed\xa0\x80", MALFORMED, "[MQTT-1.5.4-1]"),
    no(4, "CONNECT, user name is not UTF-8", b"\x10\x10\x00\x04MQTT\x04\x82\x00\x3c\x00\x01a\x00\x01\xff", MALFORMED, "[MQTT-1.5.4-1]"),
    no(4, "CONNECT, Will Topic with wildcard", b"\x10\x12\x00\x04MQTT\x04\x06\x00\x3c\x00\x01a\x00\x01#\x00\x00", NAME_INVALID, "[MQTT-3.3.2-2]"),
    no(4, "CONNECT, empty Will Topic", b"\x10\x11\x00\x04MQTT\x04\x06\x00\x3c\x00\x01a\x00\x00\x00\x00", NAME_INVALID, "[MQTT-4.7.3-1]"),
    no(5, "CONNECT, no Property Length", b"\x10\x0a\x00\x04MQTT\x05\x00\x00\x00", MALFORMED, "[MQTT-2.2.2-1]"),
    no(5, "CONNECT, Property Length past the packet", b"\x10\x0d\x00\x04MQTT\x05\x00\x00\x00\x03\x00\x00", MALFORMED, "§2.2.2.1"),
    no(5, "CONNECT, Property Length not minimal", b"\x10\x0e\x00\x04MQTT\x05\x00\x00\x00\x80\x00\x00\x00", MALFORMED, "[MQTT-1.5.5-1]"),
    no(5, "CONNECT, property past the Property Length", b"\x10\x12\x00\x04MQTT\x05\x00\x00\x00\x01\x11\x00\x00\x00\x0a\x00\x00", MALFORMED, "§2.2.2.1"),
    no(5, "CONNECT, Receive Maximum 0", b"\x10\x10\x00\x04MQTT\x05\x00\x00\x00\x03\x21\x00\x00\x00\x00", PROTOCOL_ERROR, "§3.1.2.11.3"),
    no(5, "CONNECT, Maximum Packet Size 0", b"\x10\x12\x00\x04MQTT\x05\x00\x00\x00\x05\x27\x00\x00\x00\x00\x00\x00", PROTOCOL_ERROR, "§3.1.2.11.4"),
    no(5, "CONNECT, Request Problem Information 2", b"\x10\x0f\x00\x04MQTT\x05\x00\x00\x00\x02\x17\x02\x00\x00", PROTOCOL_ERROR, "§3.1.2.11.6"),
    no(5, "CONNECT, Request Response Information 7", b"\x10\x0f\x00\x04MQTT\x05\x00\x00\x00\x02\x19\x07\x00\x00", PROTOCOL_ERROR, "§3.1.2.11.6"),
    no(5, "CONNECT, Receive Maximum twice", b"\x10\x13\x00\x04MQTT\x05\x00\x00\x00\x06\x21\x00\x01\x21\x00\x01\x00\x00", PROTOCOL_ERROR, "§2.2.2.2"),
    no(5, "CONNECT, Authentication Data without Method", b"\x10\x11\x00\x04MQTT\x05\x00\x00\x00\x04\x16\x00\x01x\x00\x00", PROTOCOL_ERROR, "§3.15.2.2.2"),
    no(5, "CONNECT, a property of PUBLISH", b"\x10\x10\x00\x04MQTT\x05\x00\x00\x00\x03\x23\x00\x01\x00\x00", MALFORMED, "§2.2.2.2"),
    no(5, "CONNECT, an unknown property", b"\x10\x0f\x00\x04MQTT\x05\x00\x00\x00\x02\x2b\x00\x00\x00", MALFORMED, "§2.2.2.2"),
    no(5, "CONNECT, a property identifier in two bytes", b"\x10\x0f\x00\x04MQTT\x05\x00\x00\x00\x02\x97\x01\x00\x00", MALFORMED, "§2.2.2.2"),
    no(5, "CONNECT, a Will property of PUBLISH", b"\x10\x17\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01a\x03\x23\x00\x01\x00\x01t\x00\x00", MALFORMED, "§2.2.2.2"),
    no(5, "CONNECT, Will Payload Format Indicator 2", b"\x10\x16\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01a\x02\x01\x02\x00\x01t\x00\x00", PROTOCOL_ERROR, "§3.3.2.3.2"),
    no(5, "CONNECT, Will Response Topic with wildcard", b"\x10\x18\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01a\x04\x08\x00\x01+\x00\x01t\x00\x00", PROTOCOL_ERROR, "[MQTT-3.3.2-14]"),
    no(5, "CONNECT, fixed header flags", b"\x11\x0d\x00\x04MQTT\x05\x00\x00\x00\x00\x00\x00", MALFORMED, "[MQTT-2.1.3-1]"),
    no(5, "CONNECT from a server", b"\x10", PROTOCOL_ERROR, "§2.1.2").by_server(),
];

#[rustfmt::skip]
pub const CONNACK: &[Case] = &[
    ok(4, "CONNACK 3.1.1, accepted, session present", b"\x20\x02\x01\x00").by_server(),
    ok(4, "CONNACK 3.1.1, not authorized", b"\x20\x02\x00\x05").by_server(),
    ok(3, "CONNACK 3.1, identifier rejected", b"\x20\x02\x00\x02").by_server(),
    respelled(3, "CONNACK 3.1, reserved byte set", b"\x20\x02\x01\x00").by_server(),
    ok(5, "CONNACK 5.0, least", b"\x20\x03\x00\x00\x00").by_server(),
    ok(5, "CONNACK 5.0, banned", b"\x20\x03\x00\x8a\x00").by_server(),
    ok(5, "CONNACK 5.0, every property", b"\x20\x42\x01\x00\x3f\x11\x00\x00\x00\x0a\x21\x00\x14\x24\x01\x25\x01\x27\x00\x00\x00\x64\x12\x00\x02id\x22\x00\x05\x1f\x00\x01r\x26\x00\x01k\x00\x01v\x28\x01\x29\x00\x2a\x01\x13\x00\x1e\x1a\x00\x02ri\x1c\x00\x02sr\x15\x00\x01m\x16\x00\x01\xff").by_server(),
    no(4, "CONNACK, return code 6", b"\x20\x02\x00\x06", PROTOCOL_ERROR, "§2.4").by_server(),
    no(4, "CONNACK, reserved flags", b"\x20\x02\x02\x00", MALFORMED, "[MQTT-3.2.2-1]").by_server(),
    no(5, "CONNACK, reserved flags in 5.0", b"\x20\x03\x80\x00\x00", MALFORMED, "[MQTT-3.2.2-1]").by_server(),
    no(5, "CONNACK, Session Present and a failure", b"\x20\x03\x01\x87\x00", PROTOCOL_ERROR, "[MQTT-3.2.2-6]").by_server(),
    no(5, "CONNACK, no Property Length", b"\x20\x02\x00\x00", MALFORMED, "[MQTT-2.2.2-1]").by_server(),
    no(5, "CONNACK, Maximum QoS 2", b"\x20\x05\x00\x00\x02\x24\x02", PROTOCOL_ERROR, "§3.2.2.3.4").by_server(),
    no(5, "CONNACK, a Reason Code of SUBACK", b"\x20\x03\x00\x8f\x00", PROTOCOL_ERROR, "§2.4").by_server(),
    no(4, "CONNACK, trailing byte", b"\x20\x03\x00\x00\x00", MALFORMED, "§4.13.1").by_server(),
    no(5, "CONNACK from a client", b"\x20\x03\x00\x00\x00", PROTOCOL_ERROR, "§2.1.2"),
    no(4, "CONNACK from a client of 3.1.1", b"\x20\x02\x00\x00", PROTOCOL_ERROR, "§2.1.2"),
];

#[rustfmt::skip]
pub const PUBLISH: &[Case] = &[
    ok(4, "PUBLISH QoS 0", b"\x30\x06\x00\x01ahey"),
    ok(3, "PUBLISH QoS 0 in 3.1", b"\x30\x06\x00\x01ahey"),
    ok(5, "PUBLISH QoS 0 in 5.0", b"\x30\x07\x00\x01a\x00hey"),
    ok(4, "PUBLISH QoS 0, retained, no payload", b"\x31\x03\x00\x01a"),
    ok(4, "PUBLISH QoS 1, DUP", b"\x3a\x06\x00\x01a\x00\x07!"),
    ok(5, "PUBLISH QoS 2, DUP, retained", b"\x3d\x07\x00\x01a\xff\xff\x00!"),
    ok(4, "PUBLISH to $ and BOM", b"\x30\x08\x00\x06$/\xef\xbb\xbfa"),
    ok(4, "PUBLISH to a topic of one slash", b"\x30\x03\x00\x01/"),
    ok(4, "PUBLISH to a topic with a noncharacter", b"\x30\x05\x00\x03\xef\xbf\xbf"),
    ok(5, "PUBLISH, alias for an empty topic", b"\x30\x07\x00\x00\x03\x23\x00\x05!"),
    ok(5, "PUBLISH, every property in our order", b"\x30\x29\x00\x01a\x24\x23\x00\x05\x02\x00\x00\x00\x3c\x01\x01\x03\x00\x02ct\x08\x00\x02rt\x09\x00\x01\x07\x26\x00\x01k\x00\x01v\x26\x00\x00\x00\x00!"),
    ok(5, "PUBLISH, Subscription Identifiers", b"\x30\x0d\x00\x01a\x08\x0b\x01\x0b\x02\x0b\xff\xff\x03!").by_server(),
    respelled(5, "PUBLISH, alias between forwarded properties", b"\x30\x14\x00\x01a\x0f\x26\x00\x01k\x00\x01v\x23\x00\x05\x03\x00\x02ct\x01"),
    respelled(3, "PUBLISH 3.1, DUP at QoS 0", b"\x38\x06\x00\x01ahey"),
    no(4, "PUBLISH, QoS 3", b"\x36\x05\x00\x01a\x00\x07", MALFORMED, "[MQTT-3.3.1-4]"),
    no(3, "PUBLISH, QoS 3 in 3.1", b"\x36\x05\x00\x01a\x00\x07", MALFORMED, "[MQTT-3.3.1-4]"),
    no(4, "PUBLISH, DUP at QoS 0", b"\x38\x03\x00\x01a", MALFORMED, "[MQTT-3.3.1-2]"),
    no(4, "PUBLISH, Packet Identifier 0", b"\x32\x05\x00\x01a\x00\x00", PROTOCOL_ERROR, "[MQTT-2.2.1-3]"),
    no(4, "PUBLISH, Packet Identifier missing", b"\x32\x04\x00\x01a\x00", MALFORMED, "§4.13.1"),
    no(4, "PUBLISH, nothing", b"\x30\x00", MALFORMED, "§4.13.1"),
    no(4, "PUBLISH, topic past the packet", b"\x30\x03\x00\x05a", MALFORMED, "§4.13.1"),
    no(4, "PUBLISH, empty topic in 3.1.1", b"\x30\x02\x00\x00", NAME_INVALID, "[MQTT-4.7.3-1]"),
    no(5, "PUBLISH, empty topic without alias", b"\x30\x03\x00\x00\x00", PROTOCOL_ERROR, "§3.3.2.1"),
    no(4, "PUBLISH to +", b"\x30\x03\x00\x01+", NAME_INVALID, "[MQTT-3.3.2-2]"),
    no(5, "PUBLISH to a/#", b"\x30\x06\x00\x03a/#\x00", NAME_INVALID, "[MQTT-3.3.2-2]"),
    no(4, "PUBLISH, topic with U+0000", b"\x30\x04\x00\x02a\x00", MALFORMED, "[MQTT-1.5.4-2]"),
    no(4, "PUBLISH, topic with U+DFFF", b"\x30\x05\x00\x03\xed\xbf\xbf", MALFORMED, "[MQTT-1.5.4-1]"),
    no(4, "PUBLISH, topic in Latin-1", b"\x30\x03\x00\x01\xe9", MALFORMED, "[MQTT-1.5.4-1]"),
    no(5, "PUBLISH, no Property Length", b"\x30\x03\x00\x01a", MALFORMED, "[MQTT-2.2.2-1]"),
    no(5, "PUBLISH, alias 0", b"\x30\x07\x00\x01a\x03\x23\x00\x00", ALIAS_INVALID, "[MQTT-3.3.2-8]"),
    no(5, "PUBLISH, alias twice", b"\x30\x0a\x00\x01a\x06\x23\x00\x01\x23\x00\x01", PROTOCOL_ERROR, "§2.2.2.2"),
    no(5, "PUBLISH, Payload Format Indicator 2", b"\x30\x06\x00\x01a\x02\x01\x02", PROTOCOL_ERROR, "§3.3.2.3.2"),
    no(5, "PUBLISH, Payload Format Indicator twice", b"\x30\x08\x00\x01a\x04\x01\x00\x01\x00", PROTOCOL_ERROR, "§2.2.2.2"),
    no(5, "PUBLISH, Response Topic with wildcard", b"\x30\x08\x00\x01a\x04\x08\x00\x01#", PROTOCOL_ERROR, "[MQTT-3.3.2-14]"),
    no(5, "PUBLISH, empty Response Topic", b"\x30\x07\x00\x01a\x03\x08\x00\x00", PROTOCOL_ERROR, "[MQTT-3.3.2-14]"),
    no(5, "PUBLISH, Content Type with U+0000", b"\x30\x08\x00\x01a\x04\x03\x00\x01\x00", MALFORMED, "[MQTT-1.5.4-2]"),
    no(5, "PUBLISH, property past the Property Length", b"\x30\x08\x00\x01a\x01\x23\x00\x05!", MALFORMED, "§2.2.2.1"),
    no(5, "PUBLISH, Property Length past the packet", b"\x30\x05\x00\x01a\x05\x23", MALFORMED, "§2.2.2.1"),
    no(5, "PUBLISH, a property of CONNECT", b"\x30\x07\x00\x01a\x03\x21\x00\x01", MALFORMED, "§2.2.2.2"),
    no(5, "PUBLISH, Subscription Identifier from a client", b"\x30\x06\x00\x01a\x02\x0b\x01", PROTOCOL_ERROR, "[MQTT-3.3.4-6]"),
    no(5, "PUBLISH, Subscription Identifier 0", b"\x30\x06\x00\x01a\x02\x0b\x00", PROTOCOL_ERROR, "§3.8.2.1.2").by_server(),
];

#[rustfmt::skip]
pub const ACKS: &[Case] = &[
    ok(4, "PUBACK 3.1.1", b"\x40\x02\x00\x07"),
    ok(5, "PUBACK 5.0 in two bytes", b"\x40\x02\x00\x07"),
    ok(5, "PUBACK 5.0 in three bytes", b"\x40\x03\x00\x07\x97"),
    ok(5, "PUBACK 5.0 with properties", b"\x40\x0f\x00\x07\x80\x0b\x1f\x00\x01r\x26\x00\x01k\x00\x01v"),
    ok(5, "PUBACK 5.0, success with properties", b"\x40\x08\x00\x07\x00\x04\x1f\x00\x01r"),
    respelled(5, "PUBACK 5.0, success in three bytes", b"\x40\x03\x00\x07\x00"),
    respelled(5, "PUBACK 5.0, success and no properties in four bytes", b"\x40\x04\x00\x07\x00\x00"),
    ok(5, "PUBACK, no matching subscribers", b"\x40\x03\x00\x07\x10").by_server(),
    ok(4, "PUBREC", b"\x50\x02\x00\x07"),
    ok(5, "PUBREC, quota exceeded", b"\x50\x03\x00\x07\x97"),
    ok(4, "PUBREL", b"\x62\x02\x00\x07"),
    ok(5, "PUBREL, identifier not found", b"\x62\x03\x00\x07\x92"),
    ok(4, "PUBCOMP", b"\x70\x02\x00\x07"),
    ok(5, "PUBCOMP, identifier not found", b"\x70\x03\x00\x07\x92"),
    respelled(3, "PUBREL 3.1, DUP", b"\x6a\x02\x00\x07"),
    no(4, "PUBACK, Packet Identifier 0", b"\x40\x02\x00\x00", PROTOCOL_ERROR, "[MQTT-2.2.1-3]"),
    no(4, "PUBACK, nothing", b"\x40\x00", MALFORMED, "§4.13.1"),
    no(4, "PUBACK, one byte", b"\x40\x01\x00", MALFORMED, "§4.13.1"),
    no(4, "PUBACK 3.1.1, trailing byte", b"\x40\x03\x00\x07\x00", MALFORMED, "§4.13.1"),
    no(5, "PUBACK, trailing byte", b"\x40\x05\x00\x07\x00\x00\x00", MALFORMED, "§4.13.1"),
    no(4, "PUBACK, flags", b"\x41\x02\x00\x07", MALFORMED, "[MQTT-2.1.3-1]"),
    no(5, "PUBACK, no matching subscribers from a client", b"\x40\x03\x00\x07\x10", PROTOCOL_ERROR, "§2.4"),
    no(5, "PUBACK, unknown Reason Code", b"\x40\x03\x00\x07\x7f", PROTOCOL_ERROR, "§2.4"),
    no(5, "PUBACK, Reason Code of PUBREL", b"\x40\x03\x00\x07\x92", PROTOCOL_ERROR, "§2.4"),
    no(5, "PUBACK, Reason String twice", b"\x40\x0c\x00\x07\x80\x08\x1f\x00\x01r\x1f\x00\x01r", PROTOCOL_ERROR, "§2.2.2.2"),
    no(5, "PUBACK, a property of CONNACK", b"\x40\x08\x00\x07\x80\x04\x1c\x00\x01r", MALFORMED, "§2.2.2.2"),
    no(5, "PUBREC, Reason Code of PUBCOMP", b"\x50\x03\x00\x07\x92", PROTOCOL_ERROR, "§2.4"),
    no(5, "PUBREL, Reason Code of PUBACK", b"\x62\x03\x00\x07\x97", PROTOCOL_ERROR, "§2.4"),
    no(4, "PUBREL, flags 0", b"\x60\x02\x00\x07", MALFORMED, "[MQTT-2.1.3-1]"),
    no(5, "PUBCOMP, flags 2", b"\x72\x02\x00\x07", MALFORMED, "[MQTT-2.1.3-1]"),
];

#[rustfmt::skip]
pub const SUBSCRIBE: &[Case] = &[
    ok(4, "SUBSCRIBE", b"\x82\x0c\x00\x01\x00\x01a\x01\x00\x03b/#\x02"),
    ok(3, "SUBSCRIBE 3.1", b"\x82\x06\x00\x01\x00\x01a\x01"),
    ok(5, "SUBSCRIBE 5.0, every option and property", b"\x82\x19\x00\x01\x0a\x0b\x80\x01\x26\x00\x01k\x00\x01v\x00\x01+\x2e\x00\x05$SYS/\x10"),
    ok(5, "SUBSCRIBE, shared", b"\x82\x10\x00\x01\x00\x00\x0a$share/g/#\x01"),
    respelled(3, "SUBSCRIBE 3.1, DUP and reserved bits", b"\x8a\x06\x00\x01\x00\x01a\xfd"),
    no(4, "SUBSCRIBE, Packet Identifier 0", b"\x82\x06\x00\x00\x00\x01a\x01", PROTOCOL_ERROR, "[MQTT-2.2.1-3]"),
    no(4, "SUBSCRIBE, no Topic Filter", b"\x82\x02\x00\x01", PROTOCOL_ERROR, "[MQTT-3.8.3-2]"),
    no(5, "SUBSCRIBE 5.0, no Topic Filter", b"\x82\x03\x00\x01\x00", PROTOCOL_ERROR, "[MQTT-3.8.3-2]"),
    no(4, "SUBSCRIBE, flags 0", b"\x80\x06\x00\x01\x00\x01a\x01", MALFORMED, "[MQTT-2.1.3-1]"),
    no(4, "SUBSCRIBE, options missing", b"\x82\x05\x00\x01\x00\x01a", MALFORMED, "§4.13.1"),
    no(4, "SUBSCRIBE 3.1.1, options of 5.0", b"\x82\x06\x00\x01\x00\x01a\x04", MALFORMED, "[MQTT-3.8.3-5]"),
    no(5, "SUBSCRIBE, reserved option bits", b"\x82\x07\x00\x01\x00\x00\x01a\x40", MALFORMED, "[MQTT-3.8.3-5]"),
    no(4, "SUBSCRIBE, QoS 3", b"\x82\x06\x00\x01\x00\x01a\x03", PROTOCOL_ERROR, "§3.8.3.1"),
    no(5, "SUBSCRIBE, QoS 3 in 5.0", b"\x82\x07\x00\x01\x00\x00\x01a\x03", PROTOCOL_ERROR, "§3.8.3.1"),
    no(5, "SUBSCRIBE, Retain Handling 3", b"\x82\x07\x00\x01\x00\x00\x01a\x30", PROTOCOL_ERROR, "§3.8.3.1"),
    no(5, "SUBSCRIBE, No Local on a Shared Subscription", b"\x82\x10\x00\x01\x00\x00\x0a$share/g/#\x04", PROTOCOL_ERROR, "[MQTT-3.8.3-4]"),
    no(5, "SUBSCRIBE, Subscription Identifier 0", b"\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00", PROTOCOL_ERROR, "§3.8.2.1.2"),
    no(5, "SUBSCRIBE, Subscription Identifier twice", b"\x82\x0b\x00\x01\x04\x0b\x01\x0b\x02\x00\x01a\x00", PROTOCOL_ERROR, "§2.2.2.2"),
    no(5, "SUBSCRIBE, Subscription Identifier of five bytes", b"\x82\x0d\x00\x01\x06\x0b\xff\xff\xff\xff\x01\x00\x01a\x00", MALFORMED, "§1.5.5"),
    no(5, "SUBSCRIBE, Reason String", b"\x82\x0b\x00\x01\x04\x1f\x00\x01r\x00\x01a\x00", MALFORMED, "§2.2.2.2"),
    no(4, "SUBSCRIBE to nothing", b"\x82\x05\x00\x01\x00\x00\x00", FILTER_INVALID, "[MQTT-4.7.3-1]"),
    no(4, "SUBSCRIBE to a+", b"\x82\x07\x00\x01\x00\x02a+\x00", FILTER_INVALID, "[MQTT-4.7.1-1]"),
    no(4, "SUBSCRIBE to #/a", b"\x82\x08\x00\x01\x00\x03#/a\x00", FILTER_INVALID, "[MQTT-4.7.1-1]"),
    no(4, "SUBSCRIBE to a U+0000", b"\x82\x06\x00\x01\x00\x01\x00\x00", MALFORMED, "[MQTT-1.5.4-2]"),
    no(5, "SUBSCRIBE to $share//a", b"\x82\x0f\x00\x01\x00\x00\x09$share//a\x00", FILTER_INVALID, "[MQTT-4.8.2-1]"),
    no(5, "SUBSCRIBE to $share/g", b"\x82\x0e\x00\x01\x00\x00\x08$share/g\x00", FILTER_INVALID, "[MQTT-4.8.2-1]"),
    no(5, "SUBSCRIBE to $share/+/a", b"\x82\x10\x00\x01\x00\x00\x0a$share/+/a\x00", FILTER_INVALID, "[MQTT-4.8.2-1]"),
    no(4, "SUBSCRIBE from a server", b"\x82", PROTOCOL_ERROR, "§2.1.2").by_server(),
];

#[rustfmt::skip]
pub const SUBACK: &[Case] = &[
    ok(4, "SUBACK", b"\x90\x06\x00\x01\x00\x01\x02\x80").by_server(),
    ok(5, "SUBACK 5.0", b"\x90\x07\x00\x01\x00\x00\x01\x02\x87").by_server(),
    ok(5, "SUBACK 5.0 with properties", b"\x90\x0f\x00\x01\x0b\x1f\x00\x01r\x26\x00\x01k\x00\x01v\xa2").by_server(),
    ok(4, "UNSUBACK", b"\xb0\x02\x00\x01").by_server(),
    ok(5, "UNSUBACK 5.0", b"\xb0\x05\x00\x01\x00\x00\x11").by_server(),
    no(4, "SUBACK, no return code", b"\x90\x02\x00\x01", MALFORMED, "[MQTT-3.8.4-6]").by_server(),
    no(4, "SUBACK 3.1.1, a Reason Code of 5.0", b"\x90\x03\x00\x01\x87", PROTOCOL_ERROR, "§2.4").by_server(),
    no(5, "SUBACK, Reason Code of UNSUBACK", b"\x90\x04\x00\x01\x00\x11", PROTOCOL_ERROR, "§2.4").by_server(),
    no(5, "UNSUBACK, no Reason Code", b"\xb0\x03\x00\x01\x00", MALFORMED, "[MQTT-3.8.4-6]").by_server(),
    no(4, "UNSUBACK 3.1.1, trailing byte", b"\xb0\x03\x00\x01\x00", MALFORMED, "§4.13.1").by_server(),
    no(5, "SUBACK from a client", b"\x90\x04\x00\x01\x00\x00", PROTOCOL_ERROR, "§2.1.2"),
    no(4, "UNSUBACK from a client", b"\xb0\x02\x00\x01", PROTOCOL_ERROR, "§2.1.2"),
];

#[rustfmt::skip]
pub const UNSUBSCRIBE: &[Case] = &[
    ok(4, "UNSUBSCRIBE", b"\xa2\x0a\x00\x01\x00\x01a\x00\x03b/#"),
    ok(3, "UNSUBSCRIBE 3.1", b"\xa2\x05\x00\x01\x00\x01a"),
    ok(5, "UNSUBSCRIBE 5.0 with a User Property", b"\xa2\x0d\x00\x01\x07\x26\x00\x01k\x00\x01v\x00\x01a"),
    no(4, "UNSUBSCRIBE, no Topic Filter", b"\xa2\x02\x00\x01", PROTOCOL_ERROR, "[MQTT-3.10.3-2]"),
    no(5, "UNSUBSCRIBE 5.0, no Topic Filter", b"\xa2\x03\x00\x01\x00", PROTOCOL_ERROR, "[MQTT-3.10.3-2]"),
    no(4, "UNSUBSCRIBE, Packet Identifier 0", b"\xa2\x05\x00\x00\x00\x01a", PROTOCOL_ERROR, "[MQTT-2.2.1-3]"),
    no(4, "UNSUBSCRIBE, flags 0", b"\xa0\x05\x00\x01\x00\x01a", MALFORMED, "[MQTT-2.1.3-1]"),
    no(4, "UNSUBSCRIBE, half a filter", b"\xa2\x05\x00\x01\x00\x02a", MALFORMED, "§4.13.1"),
    no(4, "UNSUBSCRIBE from a/#/b", b"\xa2\x09\x00\x01\x00\x05a/#/b", FILTER_INVALID, "[MQTT-4.7.1-1]"),
    no(5, "UNSUBSCRIBE, Subscription Identifier", b"\xa2\x08\x00\x01\x02\x0b\x01\x00\x01a", MALFORMED, "§2.2.2.2"),
];

#[rustfmt::skip]
pub const PING: &[Case] = &[
    ok(4, "PINGREQ", b"\xc0\x00"),
    ok(5, "PINGRESP", b"\xd0\x00").by_server(),
    no(4, "PINGREQ with a body", b"\xc0\x01\x00", MALFORMED, "§4.13.1"),
    no(4, "PINGREQ, flags", b"\xc1\x00", MALFORMED, "[MQTT-2.1.3-1]"),
    no(4, "PINGRESP from a client", b"\xd0\x00", PROTOCOL_ERROR, "§2.1.2"),
    no(4, "PINGREQ from a server", b"\xc0\x00", PROTOCOL_ERROR, "§2.1.2").by_server(),
];

#[rustfmt::skip]
pub const DISCONNECT: &[Case] = &[
    ok(4, "DISCONNECT", b"\xe0\x00"),
    ok(3, "DISCONNECT 3.1", b"\xe0\x00"),
    ok(5, "DISCONNECT 5.0 in no bytes", b"\xe0\x00"),
    ok(5, "DISCONNECT 5.0 in one byte", b"\xe0\x01\x04"),
    ok(5, "DISCONNECT 5.0 from a client with every property", b"\xe0\x12\x00\x10\x11\x00\x00\x00\x0a\x1f\x00\x01r\x26\x00\x01k\x00\x01v"),
    ok(5, "DISCONNECT 5.0 from a server with Server Reference", b"\xe0\x07\x9c\x05\x1c\x00\x02sr").by_server(),
    ok(5, "DISCONNECT, bad authentication method", b"\xe0\x01\x8c").by_server(),
    respelled(5, "DISCONNECT 5.0, success in one byte", b"\xe0\x01\x00"),
    respelled(5, "DISCONNECT 5.0, no properties in two bytes", b"\xe0\x02\x04\x00"),
    no(4, "DISCONNECT 3.1.1 with a body", b"\xe0\x01\x00", MALFORMED, "§4.13.1"),
    no(5, "DISCONNECT, trailing byte", b"\xe0\x03\x00\x00\x00", MALFORMED, "§4.13.1"),
    no(5, "DISCONNECT, flags", b"\xe1\x00", MALFORMED, "[MQTT-2.1.3-1]"),
    no(5, "DISCONNECT, a server's Reason Code from a client", b"\xe0\x01\x8b", PROTOCOL_ERROR, "§2.4"),
    no(5, "DISCONNECT, a client's Reason Code from a server", b"\xe0\x01\x04", PROTOCOL_ERROR, "§2.4").by_server(),
    no(5, "DISCONNECT, unknown Reason Code", b"\xe0\x01\x01", PROTOCOL_ERROR, "§2.4"),
    no(5, "DISCONNECT, Server Reference from a client", b"\xe0\x07\x00\x05\x1c\x00\x02sr", PROTOCOL_ERROR, "§3.14.2.2.5"),
    no(5, "DISCONNECT, Session Expiry Interval from a server", b"\xe0\x07\x8b\x05\x11\x00\x00\x00\x0a", PROTOCOL_ERROR, "[MQTT-3.14.2-2]").by_server(),
    no(5, "DISCONNECT, Session Expiry Interval twice", b"\xe0\x0c\x00\x0a\x11\x00\x00\x00\x0a\x11\x00\x00\x00\x0a", PROTOCOL_ERROR, "§2.2.2.2"),
];

#[rustfmt::skip]
pub const AUTH: &[Case] = &[
    ok(5, "AUTH, every property", b"\xf0\x15\x18\x13\x15\x00\x01m\x16\x00\x01\xff\x1f\x00\x01r\x26\x00\x01k\x00\x01v"),
    ok(5, "AUTH, re-authenticate", b"\xf0\x06\x19\x04\x15\x00\x01m"),
    ok(5, "AUTH, success in no bytes", b"\xf0\x00").by_server(),
    respelled(5, "AUTH, success written out", b"\xf0\x02\x00\x00").by_server(),
    no(5, "AUTH, success from a client", b"\xf0\x00", PROTOCOL_ERROR, "§2.4"),
    no(5, "AUTH, re-authenticate from a server", b"\xf0\x06\x19\x04\x15\x00\x01m", PROTOCOL_ERROR, "§2.4").by_server(),
    no(5, "AUTH, no method", b"\xf0\x02\x18\x00", PROTOCOL_ERROR, "§3.15.2.2.2"),
    no(5, "AUTH, no method in one byte", b"\xf0\x01\x18", PROTOCOL_ERROR, "§3.15.2.2.2"),
    no(5, "AUTH, method twice", b"\xf0\x0a\x18\x08\x15\x00\x01m\x15\x00\x01m", PROTOCOL_ERROR, "§2.2.2.2"),
    no(5, "AUTH, flags", b"\xf1\x00", MALFORMED, "[MQTT-2.1.3-1]"),
    no(4, "AUTH in 3.1.1", b"\xf0\x00", MALFORMED, "§2.1.2"),
    no(3, "AUTH in 3.1", b"\xf0\x00", MALFORMED, "§2.1.2"),
];

#[rustfmt::skip]
pub const FRAMING: &[Case] = &[
    no(5, "packet type 0", b"\x00", MALFORMED, "§2.1.2"),
    no(4, "Remaining Length not minimal", b"\xc0\x80\x00", MALFORMED, "[MQTT-1.5.5-1]"),
    no(4, "Remaining Length of five bytes", b"\x30\xff\xff\xff\xff\x01", MALFORMED, "§1.5.5"),
    no(4, "Remaining Length past every limit", b"\x30\xff\xff\xff\x7f", 0x95, "[MQTT-3.2.2-15]"),
];
