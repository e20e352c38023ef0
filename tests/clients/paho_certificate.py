"""Publishes one message over TLS with a client certificate and no password, by the installed paho.

Arguments: PORT AUTHORITY CERTIFICATE KEY TOPIC PAYLOAD [PROTOCOL, 3, 4 or 5]
"""

import sys

import paho.mqtt.publish as publish

port, authority, certificate, key, topic, payload = sys.argv[1:7]
protocol = {"protocol": int(sys.argv[7])} if len(sys.argv) > 7 else {}
publish.single(
    topic,
    payload,
    qos=1,
    hostname="localhost",
    port=int(port),
    tls={"ca_certs": authority, "certfile": certificate, "keyfile": key},
    **protocol,
)
