"""A device's side of the envelope, as docs/envelope.md describes it, with nothing but Python's own library.

envelope.py example                                          the worked example of docs/envelope.md, as JSON
envelope.py publish PORT USERNAME PASSWORD TOPIC STEPS       needs paho 2: publishes the STEPS over one MQTT 5.0 connection

STEPS is a JSON list of {"client_id", "key", "data", "age" (seconds, 0 unless said), "then" (what happens to it afterwards)};
`then` is "tampered" (its data changes after it is signed) or "replayed" (it is sent twice). Prints the Reason Code of each PUBACK.
"""

import hashlib
import hmac
import json
import sys
import time


def canonical(data):
    """RFC 8785, for what this script sends: strings, whole numbers, true, false, null, lists and objects with keys in ASCII."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def seal(key, client_id, message_type, data, timestamp):
    """The text that is signed, and the payload."""
    signed = f"{timestamp}.{client_id}.{message_type}.{canonical(data)}"
    token = hmac.new(bytes.fromhex(key), signed.encode(), hashlib.sha256).hexdigest()
    envelope = {
        "timestamp": str(timestamp),
        "client_id": client_id,
        "message_type": message_type,
        "data": data,
        "token": token,
    }
    return signed, envelope


def example():
    key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    data = {"unit": "°C", "temperature": 21, "tags": ["roof", "north"]}
    signed, envelope = seal(key, "sensor-7", "reading", data, 1700000000)
    print(json.dumps({"signed": signed, "token": envelope["token"], "payload": json.dumps(envelope)}))


def publish(port, username, password, topic, steps):
    import paho.mqtt.client as mqtt

    reasons = []
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="gateway", protocol=mqtt.MQTTv5)
    client.username_pw_set(username, password)
    client.on_publish = lambda client, userdata, mid, reason, properties: reasons.append(reason.value)
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    for step in json.loads(steps):
        timestamp = int(time.time()) - step.get("age", 0)
        _, envelope = seal(step["key"], step["client_id"], "reading", step["data"], timestamp)
        if step.get("then") == "tampered":
            envelope["data"]["tampered"] = True
        for _ in range(2 if step.get("then") == "replayed" else 1):
            client.publish(topic, json.dumps(envelope), qos=1).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()
    print(json.dumps(reasons))


if sys.argv[1] == "example":
    example()
else:
    publish(*sys.argv[2:])
