"""The backend of the first article: paho.mqtt.publish.single, with the installed paho's own idea of everything else.

Arguments: PORT USERNAME PASSWORD TOPIC PAYLOAD QOS [PROTOCOL, 3, 4 or 5]
"""

import sys

import paho.mqtt.publish as publish

port, username, password, topic, payload, qos = sys.argv[1:7]
protocol = {"protocol": int(sys.argv[7])} if len(sys.argv) > 7 else {}
publish.single(
    topic,
    payload,
    qos=int(qos),
    hostname="127.0.0.1",
    port=int(port),
    auth={"username": username, "password": password},
    **protocol,
)
