"""Eclipse Paho against a running host: `paho_client.py HOST PORT VERSION`, VERSION 3 or 5.

Says what it does, line by line; the first thing that is not as it should be ends it with code 1. What an operator has
to do meanwhile (send a command, call a method) it asks for with a line `WANT ...` on standard output, and a line on
standard input says that it is done.
"""

import json
import socket
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HOST, PORT = sys.argv[1], int(sys.argv[2])
FIVE = sys.argv[3] == "5"
NAME = f"paho-{sys.argv[3]}"
LIMIT = 60


class Client:
    """A client that remembers what came."""

    def __init__(self, client_id, will=None, clean=True):
        protocol = mqtt.MQTTv5 if FIVE else mqtt.MQTTv311
        kept = {} if FIVE else {"clean_session": clean}
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, **kept)
        self.changed = threading.Condition()
        self.messages, self.subscribed, self.reason, self.on_request = [], 0, None, None
        self.mqtt.on_connect = self._connected
        self.mqtt.on_subscribe = self._subscribed
        self.mqtt.on_message = self._message
        if will:
            self.mqtt.will_set(*will)
        self.mqtt.connect(HOST, PORT, keepalive=30)
        self.mqtt.loop_start()
        self.wait(f"CONNACK for {client_id}", lambda: self.reason is not None)
        assert not self.reason.is_failure, f"{client_id}: {self.reason}"

    def _note(self, change):
        with self.changed:
            change()
            self.changed.notify_all()

    def _connected(self, _client, _data, _flags, reason, _properties):
        self._note(lambda: setattr(self, "reason", reason))

    def _subscribed(self, _client, _data, _mid, reasons, _properties):
        assert not any(reason.is_failure for reason in reasons), reasons
        self._note(lambda: setattr(self, "subscribed", self.subscribed + 1))

    def _message(self, _client, _data, message):
        if self.on_request and "/request/" in message.topic:
            self.on_request(message)
        self._note(lambda: self.messages.append(message))

    def wait(self, what, holds):
        with self.changed:
            assert self.changed.wait_for(holds, LIMIT), f"waited in vain for {what}"

    def subscribe(self, topic, qos=1):
        before = self.subscribed
        self.mqtt.subscribe(topic, options=SubscribeOptions(qos=qos)) if FIVE else self.mqtt.subscribe(topic, qos)
        self.wait(f"SUBACK for {topic}", lambda: self.subscribed > before)

    def publish(self, topic, payload, qos=1, retain=False, properties=None):
        info = self.mqtt.publish(topic, payload, qos, retain, properties)
        info.wait_for_publish(LIMIT)
        assert info.is_published(), f"{topic} with QoS {qos} was not acknowledged"

    def expect(self, topic, text):
        found = []

        def holds():
            found[:] = [m for m in self.messages if m.topic == topic and text in m.payload.decode()]
            return bool(found)

        self.wait(f"{text} on {topic}", holds)
        return found[0]

    def close(self):
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


def say(text):
    print(text, flush=True)


def record(target, hops):
    return json.dumps({"deviceId": target, "registryId": "default", "cloudRegion": "local", "hops": hops})


def client_ids():
    full = "projects/local/locations/local/registries/default/devices/"
    for client_id in [f"{NAME}-a", f"default/{NAME}-b", f"{full}{NAME}-c"]:
        client = Client(client_id)
        client.publish(f"/devices/{client_id.rsplit('/', 1)[-1]}/events", "hello")
        client.close()
    say("ok three forms of client ids")


def configs():
    sink, source = Client(f"{NAME}-sink"), Client(f"{NAME}-source")
    topic = f"/devices/{NAME}-sink/config"
    sink.subscribe(topic)
    for qos in (0, 1, 2):
        source.publish(f"/devices/{NAME}-source/events", record(f"{NAME}-sink", 10 * qos), qos)
        sink.expect(topic, f'"hops": {10 * qos + 1}')
    say("ok telemetry with QoS 0, 1 and 2, and a config on each change")
    sink.close()
    sink = Client(f"{NAME}-sink")
    sink.subscribe(topic)
    sink.expect(topic, '"hops": 21')
    say("ok config on subscribe")
    source.publish(f"/devices/{NAME}-source/state", '{"on":true}')
    say("ok state")
    source.close()
    sink.close()


def commands():
    client = Client(f"{NAME}-lamp")
    client.subscribe(f"/devices/{NAME}-lamp/commands/#")
    say(f"WANT command {NAME}-lamp")
    client.expect(f"/devices/{NAME}-lamp/commands/lights", "blink")
    # Paho acknowledges only after it has shown the message: a client that leaves at once may never have acknowledged.
    sys.stdin.readline()
    say("ok command")
    client.close()


def methods():
    client = Client(f"{NAME}-lamp")

    def answer(message):
        assert message.payload == b"3", message.payload
        if FIVE and getattr(message.properties, "ResponseTopic", None):
            properties = Properties(PacketTypes.PUBLISH)
            if getattr(message.properties, "CorrelationData", None) is not None:
                properties.CorrelationData = message.properties.CorrelationData
            client.mqtt.publish(message.properties.ResponseTopic, "blinked", 1, False, properties)
            return
        parts = message.topic.split("/")
        client.mqtt.publish(f"/devices/{NAME}-lamp/methods/{parts[4]}/response/{parts[6]}/200", "blinked", 1)

    client.on_request = answer
    client.subscribe(f"/devices/{NAME}-lamp/methods/#")
    say(f"WANT method {NAME}-lamp")
    client.wait("a method call", lambda: any("/request/" in message.topic for message in client.messages))
    # Stays until the operator has the answer.
    sys.stdin.readline()
    say("ok method")
    client.close()


def gateway():
    hub, behind = Client(f"{NAME}-hub"), f"{NAME}-behind"
    say(f"WANT gateway {NAME}-hub")
    sys.stdin.readline()
    hub.subscribe(f"/devices/{NAME}-hub/errors", 0)
    hub.publish(f"/devices/{behind}/attach", "{}")
    hub.publish(f"/devices/{behind}/events", record(behind, 4))
    hub.subscribe(f"/devices/{behind}/config")
    hub.expect(f"/devices/{behind}/config", '"hops": 5')
    hub.publish(f"/devices/{behind}/detach", "")
    hub.mqtt.publish(f"/devices/{behind}/state", "too late", 1)
    hub.expect(f"/devices/{NAME}-hub/errors", "GATEWAY_DEVICE_NOT_FOUND")
    say("ok gateway")
    hub.close()


def ordinary():
    watcher, other = Client(f"{NAME}-watcher"), Client(f"{NAME}-other", (f"{NAME}/will", "gone", 1, False))
    watcher.subscribe(f"{NAME}/#")
    other.publish(f"{NAME}/plain", "ping", 2)
    watcher.expect(f"{NAME}/plain", "ping")
    other.publish(f"{NAME}/kept", "still here", 1, True)
    assert not watcher.expect(f"{NAME}/kept", "still here").retain
    late = Client(f"{NAME}-late")
    late.subscribe(f"{NAME}/+")
    assert late.expect(f"{NAME}/kept", "still here").retain
    say("ok retained")
    other.mqtt.socket().shutdown(socket.SHUT_RDWR)
    watcher.expect(f"{NAME}/will", "gone")
    say("ok will")
    for client in (watcher, other, late):
        client.close()


def main():
    client_ids()
    ordinary()
    configs()
    commands()
    methods()
    gateway()
    say("done")


main()
