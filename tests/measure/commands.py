#!/usr/bin/env python3
"""What queued commands cost: memory, and the time that a device with a full queue takes to come back.

Starts the program given, registers devices, lets a plugin queue commands for some of them, and times connect + config +
commands by turns for a device with a full queue and one with an empty queue. Only the standard library; only loopback.

    tests/measure/commands.py PROGRAM PUPPET.wasm [--devices 10000] [--sleepers 100] [--commands 1000]
"""

import argparse
import json
import os
import socket
import statistics
import struct
import subprocess
import tempfile
import time
import urllib.request

PER_EVENT = 50
SETTINGS = f"""
[[trigger]]
event = "telemetry"
device = "sleeper-*"
[grants]
command = ["sleeper-*"]
[limits]
deadline = "30s"
rate-per-target = "unlimited"
effects-per-second = 1000000
[settings]
actions = [{{command = {{ttl-ms = 3600000, times = {PER_EVENT}}}}}]
"""


def text(value):
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def packet(head, body):
    length, out = len(body), b""
    while True:
        byte, length = length % 128, length // 128
        out += bytes([byte | (128 if length else 0)])
        if not length:
            return bytes([head]) + out + body


class Device:
    """A raw MQTT 3.1.1 connection: clean session, no keep-alive."""

    def __init__(self, address, name):
        self.name = name
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.socket.sendall(packet(0x10, text("MQTT") + bytes([4, 2, 0, 0]) + text(name)))
        assert self.frame()[0] == 0x20

    def frame(self):
        while True:
            if len(self.buffer) >= 2:
                length, shift, at = 0, 0, 1
                while at < len(self.buffer):
                    byte = self.buffer[at]
                    length |= (byte & 127) << shift
                    shift, at = shift + 7, at + 1
                    if not byte & 128:
                        if len(self.buffer) >= at + length:
                            head, body = self.buffer[0], self.buffer[at:at + length]
                            self.buffer = self.buffer[at + length:]
                            return head, body
                        break
            data = self.socket.recv(65536)
            assert data, "the connection is gone"
            self.buffer += data

    def publish(self, payload, number):
        topic = text(f"/devices/{self.name}/events")
        self.socket.sendall(packet(0x32, topic + struct.pack(">H", number) + payload))
        while self.frame()[0] != 0x40:
            pass

    def subscribe(self, what):
        self.socket.sendall(packet(0x82, b"\x00\x01" + text(f"/devices/{self.name}/{what}") + b"\x01"))

    def message(self):
        """The next message, acknowledged."""
        while True:
            head, body = self.frame()
            if head >> 4 == 3:
                size = struct.unpack(">H", body[:2])[0]
                self.socket.sendall(b"\x40\x02" + body[2 + size:4 + size])
                return body[2:2 + size].decode(), body[4 + size:]

    def close(self):
        self.socket.sendall(b"\xe0\x00")
        self.socket.close()


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


class Host:
    def __init__(self, program, folder):
        arguments = [program, "serve", "--data", f"{folder}/data", "--plugins", f"{folder}/plugins"]
        self.process = subprocess.Popen(
            arguments + ["--mqtt", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=open(f"{folder}/log", "a"), env={**os.environ, "RUST_LOG": "warn"})
        ready = json.loads(self.process.stdout.readline())
        name, port = ready["mqtt"].rsplit(":", 1)
        self.mqtt, self.admin = (name, int(port)), ready["admin"]
        with open(f"{folder}/data/admin-token") as token:
            self.token = token.read().strip()

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.admin + path, data, method=method, headers={
            "authorization": f"Bearer {self.token}", "content-type": "application/json"})
        return urllib.request.urlopen(request).read().decode()

    def open_commands(self):
        lines = self.call("GET", "/metrics").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("switchbox_commands_open "))

    def still(self):
        """The resident size once it stands still, MiB."""
        last = resident(self.process.pid)
        for _ in range(60):
            time.sleep(1)
            now = resident(self.process.pid)
            if abs(now - last) < 0.2:
                break
            last = now
        return now

    def stop(self):
        self.process.terminate()
        self.process.wait()


def device_path(name):
    return f"/v1/projects/local/locations/local/registries/default/devices/{name}"


def come_back(host, name, commands):
    """Milliseconds from the first byte to the config; and to the last command."""
    begun = time.perf_counter()
    device = Device(host.mqtt, name)
    device.subscribe("config")
    topic, _ = device.message()
    assert topic.endswith("/config"), topic
    config = (time.perf_counter() - begun) * 1000
    device.subscribe("commands/#")
    for _ in range(commands):
        topic, _ = device.message()
        assert topic.endswith("/commands"), topic
    all_of_them = (time.perf_counter() - begun) * 1000
    return device, config, all_of_them


def connect_config(host, name):
    """Milliseconds from the first byte until the config is there; and until both subscriptions are acknowledged too."""
    begun = time.perf_counter()
    device = Device(host.mqtt, name)
    device.subscribe("config")
    device.subscribe("commands/#")
    missing = {"config", "suback 1", "suback 2"}
    while missing:
        head, body = device.frame()
        if head == 0x90:
            missing.remove("suback 1" if "suback 1" in missing else "suback 2")
        elif b"/config" in body[:80]:
            missing.discard("config")
            config = (time.perf_counter() - begun) * 1000
    return device, config, (time.perf_counter() - begun) * 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("puppet")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--sleepers", type=int, default=100)
    parser.add_argument("--commands", type=int, default=1_000)
    parser.add_argument("--bytes", type=int, default=512)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="switchbox-measure-")
    os.makedirs(f"{folder}/plugins")
    with open(options.puppet, "rb") as source, open(f"{folder}/plugins/sender.wasm", "wb") as target:
        target.write(source.read())
    with open(f"{folder}/plugins/sender.toml", "w") as settings:
        settings.write(SETTINGS)
    host = Host(options.program, folder)
    sleepers = [f"sleeper-{n}" for n in range(options.sleepers)]
    names = sleepers + [f"idle-{n}" for n in range(options.devices - options.sleepers)]
    for name in names:
        Device(host.mqtt, name).close()
    measured = sleepers + names[options.sleepers:2 * options.sleepers]
    for name in measured:
        host.call("POST", device_path(name) + ":modifyCloudToDeviceConfig", {"binaryData": "b24="})

    def times(these):
        found = []
        for name in these:
            device, *took = connect_config(host, name)
            device.close()
            found.append(took)
        return found

    def shown(found):
        config, both = (statistics.median(column) for column in zip(*found))
        return f"config after {config:.3f} ms, all subscribed after {both:.3f} ms"

    times(measured[options.sleepers:])
    empty = times(measured[options.sleepers:])
    print(f"connect, no command in the store: {shown(empty)}")

    before = host.still()
    payload = b"x" * options.bytes
    for name in sleepers:
        device = Device(host.mqtt, name)
        for number in range(options.commands // PER_EVENT):
            device.publish(payload, number + 1)
        device.close()
    wanted = options.sleepers * options.commands
    while host.open_commands() < wanted:
        time.sleep(0.2)
    running = host.still()
    print(f"resident: {before:.1f} MiB with {len(names)} devices, {running:.1f} MiB after {wanted} commands of "
          f"{options.bytes} bytes were queued")
    host.stop()
    host = Host(options.program, folder)
    full_start = host.still()
    print(f"resident after a restart with them: {full_start:.1f} MiB")

    full, other = [], []
    half = sleepers[:options.sleepers // 2]
    for number, pair in enumerate(zip(half, measured[options.sleepers:])):
        # The first of two has a colder cache: each is the first as often as the other.
        for name in pair if number % 2 else reversed(pair):
            device, *took = connect_config(host, name)
            (full if name in half else other).append(took)
            device.close()
    print(f"connect, {options.commands} commands queued: {shown(full)}")
    print(f"connect, another device just then: {shown(other)}")
    drained = []
    for name in sleepers[options.sleepers // 2:][:20]:
        device, _, took = come_back(host, name, options.commands)
        device.close()
        drained.append(took)
    print(f"all {options.commands} commands received and acknowledged: median {statistics.median(drained):.0f} ms")
    for name in sleepers:
        host.call("DELETE", device_path(name) + "/commands")
    while host.open_commands() > 0:
        time.sleep(0.2)
    host.stop()
    host = Host(options.program, folder)
    print(f"resident after a restart without any: {host.still():.1f} MiB")
    again = times(measured[options.sleepers:])
    print(f"connect, store empty again: {shown(again)}")
    host.stop()
    print(f"(data in {folder})")


if __name__ == "__main__":
    main()
