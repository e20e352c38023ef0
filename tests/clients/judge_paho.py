"""Eclipse paho as a judge: the commands and events of judge_mqtt_js.mjs, where they are described.

One more command, for a client that connected with "manual": {"do":"acknowledge","client":NAME,"count":N} acknowledges the oldest
messages of QoS 1 that it has not acknowledged yet.
"""

import json
import socket
import sys
import threading
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

output = threading.Lock()
clients = {}

# How the properties of a message are called here and there.
MESSAGE_PROPERTIES = {
    "contentType": "ContentType",
    "responseTopic": "ResponseTopic",
    "correlation": "CorrelationData",
    "format": "PayloadFormatIndicator",
    "user": "UserProperty",
    "expiry": "MessageExpiryInterval",
    "identifiers": "SubscriptionIdentifier",
    "alias": "TopicAlias",
}


def emit(client, event, **more):
    with output:
        print(json.dumps({"client": client, "event": event, **more}), flush=True)


def properties_to_send(packet_type, wanted):
    properties = Properties(packet_type)
    for name, value in wanted.items():
        if value is None:
            continue
        if name == "correlation":
            value = value.encode()
        elif name == "format":
            value = int(value)
        elif name == "user":
            value = [tuple(pair) for pair in value]
        setattr(properties, MESSAGE_PROPERTIES.get(name, name), value)
    return properties


def properties_received(properties):
    found = {}
    for name, theirs in MESSAGE_PROPERTIES.items():
        value = getattr(properties, theirs, None)
        if value is None:
            continue
        if name == "correlation":
            value = value.decode()
        elif name == "format":
            value = bool(value)
        elif name == "user":
            value = [list(pair) for pair in value]
        found[name] = value
    return found


class Judge:
    def __init__(self, name, options):
        self.name = name
        self.is_new = options["version"] == 5
        self.aliases = {}
        # What was asked and what was answered, by Packet Identifier; the answer may come before the call that asks returns.
        self.halves = {}
        self.halves_lock = threading.Lock()
        self.unacknowledged = []
        url = urlsplit(options["url"])
        is_websocket = url.scheme == "ws"
        clean = {} if self.is_new else {"clean_session": options.get("clean", True)}
        self.client = client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=options.get("id", name),
            protocol=options["version"],
            transport="websockets" if is_websocket else "tcp",
            reconnect_on_failure=options.get("reconnect", False),
            manual_ack=options.get("manual", False),
            **clean,
        )
        if is_websocket:
            client.ws_set_options(path=url.path)
        # The standard's least is a second; where a network is cut a hundred times that is a hundred seconds.
        client.reconnect_delay_set(0.01, 0.05)
        client.on_connect = self.on_connect
        client.on_disconnect = self.on_disconnect
        client.on_message = self.on_message
        client.on_subscribe = self.on_subscribe
        client.on_unsubscribe = self.on_unsubscribe
        client.on_publish = self.on_publish
        if options.get("username") is not None:
            client.username_pw_set(options["username"], options.get("password"))
        if will := options.get("will"):
            self.set_will(will)
        more = {}
        if self.is_new:
            wanted = {
                "SessionExpiryInterval": options.get("expiry"),
                "ReceiveMaximum": options.get("receiveMaximum"),
                "MaximumPacketSize": options.get("maximumPacketSize"),
                "TopicAliasMaximum": options.get("topicAliasMaximum"),
            }
            more["properties"] = properties_to_send(PacketTypes.CONNECT, wanted)
            more["clean_start"] = options.get("clean", True)
        client.connect_async(url.hostname, url.port, options.get("keepAlive", 60), **more)
        client.loop_start()

    def set_will(self, will):
        properties = None
        if self.is_new:
            wanted = {**will.get("properties", {}), "WillDelayInterval": will.get("delay")}
            properties = properties_to_send(PacketTypes.WILLMESSAGE, wanted)
        self.client.will_set(will["topic"], will["payload"], will["qos"], will.get("retain", False), properties)

    def on_connect(self, client, _, flags, reason, properties):
        self.aliases = {}
        if reason.is_failure:
            return emit(self.name, "refused", reason=reason.value)
        emit(
            self.name,
            "connected",
            sessionPresent=flags.session_present,
            assignedIdentifier=getattr(properties, "AssignedClientIdentifier", None),
            keepAlive=getattr(properties, "ServerKeepAlive", None),
            expiry=getattr(properties, "SessionExpiryInterval", None),
            receiveMaximum=getattr(properties, "ReceiveMaximum", None),
            aliases=getattr(properties, "TopicAliasMaximum", None),
            maximumPacketSize=getattr(properties, "MaximumPacketSize", None),
        )

    def on_disconnect(self, client, _, flags, reason, properties):
        if flags.is_disconnect_packet_from_server:
            emit(self.name, "disconnect", reason=reason.value)
        emit(self.name, "closed")

    def on_message(self, client, _, message):
        properties = properties_received(message.properties) if self.is_new else {}
        topic, alias = message.topic, properties.get("alias")
        # paho hands on what it gets: to resolve an alias is its user's.
        if alias is not None:
            topic = self.aliases.setdefault(alias, topic) if topic == "" else topic
            self.aliases[alias] = topic
        if message.qos == 1:
            self.unacknowledged.append(message.mid)
        emit(
            self.name,
            "message",
            topic=topic,
            payload=message.payload.decode(),
            qos=message.qos,
            retain=message.retain,
            dup=message.dup,
            properties=properties,
            onTheWire=message.topic,
        )

    def on_subscribe(self, client, _, mid, reasons, properties):
        self.join(mid, {"event": "subscribed", "reasons": [reason.value for reason in reasons]})

    def on_unsubscribe(self, client, _, mid, reasons, properties):
        self.join(mid, {"event": "unsubscribed", "reasons": [reason.value for reason in reasons]})

    def on_publish(self, client, _, mid, reason, properties):
        self.join(mid, {"event": "published", "reason": reason.value})

    def join(self, mid, half):
        with self.halves_lock:
            other = self.halves.pop(mid, None)
            if other is None:
                self.halves[mid] = half
                return
        emit(self.name, **other, **half)

    def subscribe(self, command):
        options, properties = command.get("qos", 0), None
        if self.is_new:
            options = SubscribeOptions(
                qos=command.get("qos", 0),
                noLocal=command.get("noLocal", False),
                retainAsPublished=command.get("retainAsPublished", False),
                retainHandling=command.get("retainHandling", 0),
            )
            if identifier := command.get("identifier"):
                properties = Properties(PacketTypes.SUBSCRIBE)
                properties.SubscriptionIdentifier = identifier
        filters = [(command["filter"], options)]
        _, mid = self.client.subscribe(filters, properties=properties)
        self.join(mid, {"filter": command["filter"]})

    def unsubscribe(self, command):
        _, mid = self.client.unsubscribe(command["filter"])
        self.join(mid, {"filter": command["filter"]})

    def publish(self, command):
        properties = properties_to_send(PacketTypes.PUBLISH, command.get("properties") or {}) if self.is_new else None
        topic, payload = command["topic"], command["payload"]
        info = self.client.publish(topic, payload, command["qos"], command.get("retain", False), properties)
        self.join(info.mid, {"topic": topic, "payload": payload})

    def disconnect(self, command):
        if not self.is_new:
            return self.client.disconnect()
        properties = properties_to_send(PacketTypes.DISCONNECT, {"SessionExpiryInterval": command.get("expiry")})
        reason = ReasonCode(PacketTypes.DISCONNECT, identifier=command.get("reason") or 0)
        self.client.disconnect(reason, properties)

    def cut(self, _):
        transport = self.client.socket()
        getattr(transport, "_socket", transport).shutdown(socket.SHUT_RDWR)

    def acknowledge(self, command):
        for _ in range(command["count"]):
            self.client.ack(self.unacknowledged.pop(0), 1)


for line in sys.stdin:
    command = json.loads(line)
    name = command["client"]
    if command["do"] == "connect":
        clients[name] = Judge(name, command)
    else:
        getattr(clients[name], command["do"])(command)
