#!/usr/bin/env python3
"""What queued commands cost: memory, and the time that a device with a full queue takes to come back.

Starts the program given twice, each with the same devices; in one of the two hosts a plugin queues commands for some of them.
Then the same device connects, subscribes and gets its config at one host and at the other, by turns, so that other load of
the machine affects both. Only the standard library; only loopback.

    tests/measure/commands.py PROGRAM SCRIPTED.wasm [--devices 10000] [--sleepers 100] [--commands 1000] [--rounds 4]
"""

import argparse
import json
import os
import shutil
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
        self.socket.sendall(self.login())
        assert self.frame()[0] == 0x20

    def login(self):
        return packet(0x10, text("MQTT") + bytes([4, 2, 0, 0]) + text(self.name))

    def frame(self):
        while True:
            frame = self.whole_frame()
            if frame:
                return frame
            self.receive()

    def receive(self):
        data = self.socket.recv(65536)
        assert data, "the connection is gone"
        self.buffer += data

    def whole_frame(self):
        """The next packet of what has come; none if it is not whole."""
        length, shift, at = 0, 0, 1
        while at < len(self.buffer):
            byte = self.buffer[at]
            length |= (byte & 127) << shift
            shift, at = shift + 7, at + 1
            if not byte & 128:
                if len(self.buffer) < at + length:
                    return None
                head, body, self.buffer = self.buffer[0], self.buffer[at:at + length], self.buffer[at + length:]
                return head, body
        return None

    def publish(self, payload, number):
        topic = text(f"/devices/{self.name}/events")
        self.socket.sendall(packet(0x32, topic + struct.pack(">H", number) + payload))
        while self.frame()[0] != 0x40:
            pass

    def subscribe(self, what, qos=1):
        self.socket.sendall(packet(0x82, b"\x00\x01" + text(f"/devices/{self.name}/{what}") + bytes([qos])))

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
    def __init__(self, program, folder, *more):
        arguments = [program, "serve", "--data", f"{folder}/data", "--plugins", f"{folder}/plugins", *more]
        self.process = subprocess.Popen(
            arguments + ["--mqtt", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=open(f"{folder}/log", "a"), env={**os.environ, "RUST_LOG": "warn", "XDG_CONFIG_HOME": folder})
        ready = json.loads(self.process.stdout.readline())
        name, port = ready["mqtt"].rsplit(":", 1)
        self.mqtt, self.admin, self.ready = (name, int(port)), ready["admin"], ready
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
        for _ in range(20):
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
    """Milliseconds from the first byte to the last command."""
    begun = time.perf_counter()
    device = Device(host.mqtt, name)
    device.subscribe("commands/#")
    for _ in range(commands):
        topic, _ = device.message()
        assert topic.endswith("/commands"), topic
    took = (time.perf_counter() - begun) * 1000
    device.close()
    return took


def connect(host, name):
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
    both = (time.perf_counter() - begun) * 1000
    device.close()
    return config, both


def prepare(program, scripted_plugin, folder, names, configured):
    """A host with all devices, some of them with a config."""
    os.makedirs(f"{folder}/plugins")
    shutil.copy(scripted_plugin, f"{folder}/plugins/sender.wasm")
    with open(f"{folder}/plugins/sender.toml", "w") as settings:
        settings.write(SETTINGS)
    host = Host(program, folder)
    for name in names:
        Device(host.mqtt, name).close()
    for name in configured:
        host.call("POST", device_path(name) + ":modifyCloudToDeviceConfig", {"binaryData": "b24="})
    return host


def fill(host, sleepers, commands, payload):
    for name in sleepers:
        device = Device(host.mqtt, name)
        for number in range(commands // PER_EVENT):
            device.publish(payload, number + 1)
        device.close()
    while host.open_commands() < len(sleepers) * commands:
        time.sleep(0.2)


def shown(samples):
    """Median and the middle half."""
    low, middle, high = statistics.quantiles(samples, n=4)
    return f"{middle:.3f} ms ({low:.3f} to {high:.3f})"


def by_turns(empty, full, names, rounds):
    """(config, both) of the same devices at the one host and at the other."""
    found = {empty: [], full: []}
    for number in range(rounds):
        for at, name in enumerate(names):
            for host in (empty, full) if (number + at) % 2 else (full, empty):
                found[host].append(connect(host, name))
    return found


def report(found, empty, full):
    for at, what in enumerate(["its config is there", "all is subscribed, too"]):
        without, queued = ([took[at] for took in found[host]] for host in (empty, full))
        ratio = statistics.median(queued) / statistics.median(without)
        print(f"connect until {what}: {shown(without)} with an empty store, {shown(queued)} with a full one: {ratio:.2f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("scripted")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--sleepers", type=int, default=100)
    parser.add_argument("--commands", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--bytes", type=int, default=512)
    options = parser.parse_args()
    sleepers = [f"sleeper-{n}" for n in range(options.sleepers)]
    names = sleepers + [f"idle-{n}" for n in range(options.devices - options.sleepers)]
    with tempfile.TemporaryDirectory(prefix="switchbox-measure-") as folder:
        hosts = [prepare(options.program, options.scripted, f"{folder}/{n}", names, sleepers) for n in range(2)]
        before = [host.still() for host in hosts]
        empty, full = hosts
        fill(full, sleepers, options.commands, b"x" * options.bytes)
        print(f"resident with {len(names)} devices: {before[0]:.1f} MiB and, before its commands, {before[1]:.1f} MiB; "
              f"{full.still():.1f} MiB after {len(sleepers) * options.commands} commands of {options.bytes} bytes")
        for host in hosts:
            host.stop()
        empty, full = hosts = [Host(options.program, f"{folder}/{n}") for n in range(2)]
        after = [host.still() for host in hosts]
        print(f"resident after a restart: {after[0]:.1f} MiB with an empty store, {after[1]:.1f} MiB with a full one")
        by_turns(empty, full, sleepers, 1)
        report(by_turns(empty, full, sleepers, options.rounds), empty, full)
        drained = [come_back(full, name, options.commands) for name in sleepers[:20]]
        print(f"all {options.commands} commands received and acknowledged: {shown(drained)}")
        for host in hosts:
            host.stop()


if __name__ == "__main__":
    main()
