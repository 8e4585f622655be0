#!/usr/bin/env python3
"""How fast one consumer reads the journal over AMQP, all partitions at once, and what a consumer costs that stops.

Starts the program given, fills its journal, and reads it with raw AMQP frames: an SDK's client would be the limit. A link has the
credit that Azure's SDKs give. Only the standard library; only loopback.

    tests/measure/azure_events.py PROGRAM [--events 2000000] [--bytes 16] [--credit 300] [--connections 4] [--rounds 5] [--stopped 20]
"""

import argparse
import os
import select
import socket
import statistics
import struct
import subprocess
import tempfile
import time

from commands import Device, Host, packet, resident, text

PARTITIONS = 4
DEVICES = 100
BATCH = 500
SESSION_WINDOW = 5_000
TRANSFER = b"\x00\x53\x14"


def symbol(value):
    return b"\xa3" + bytes([len(value)]) + value.encode()


def string(value):
    return b"\xa1" + bytes([len(value)]) + value.encode()


def uint(value):
    return b"\x70" + struct.pack(">I", value)


def items(*values):
    body = b"".join(values)
    return b"\xd0" + struct.pack(">II", len(body) + 4, len(values)) + body


def performative(code, *values, channel=0, kind=0):
    body = b"\x00\x53" + bytes([code]) + items(*values)
    return struct.pack(">IBBH", len(body) + 8, 2, kind, channel) + body


NULL, TRUE, FALSE = b"\x40", b"\x41", b"\x42"


class Consumer:
    """A connection that reads some partitions, each in a session of its own, as the SDKs do."""

    # Links of a session.
    links = 1

    def __init__(self, address, key, partitions, credit, policy="service", tls=None):
        self.credit, self.partitions = credit, partitions
        self.received = dict.fromkeys(range(len(partitions)), 0)
        self.granted = dict(self.received)
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=address[0])
        self.buffer = bytearray()
        self.open(policy, key)

    def open(self, policy, key):
        secret = f"\0{policy}\0{key}".encode()
        plain = b"\xb0" + struct.pack(">I", len(secret)) + secret
        self.socket.sendall(b"AMQP\x03\x01\x00\x00" + performative(0x41, symbol("PLAIN"), plain, kind=1))
        assert self.exactly(8) == b"AMQP\x03\x01\x00\x00"
        mechanisms, outcome = self.frame(), self.frame()
        assert mechanisms[:11][-1] == 0x40 and outcome[:11][-1] == 0x44, (mechanisms, outcome)
        assert outcome.endswith(b"\x50\x00"), "the policy's key is refused"
        begins = b"".join(self.session(channel, number) for channel, number in enumerate(self.partitions))
        self.socket.sendall(b"AMQP\x00\x01\x00\x00" + performative(0x10, string("measure"), string("hub"), uint(65_536)) + begins)
        assert self.exactly(8) == b"AMQP\x00\x01\x00\x00"
        attached = 0
        while attached < len(self.partitions) * self.links:
            frame = self.frame()
            kind = frame[10]
            assert kind in (0x10, 0x11, 0x12, 0x13), f"a frame {kind:#x} comes where an attach is expected: {frame}"
            attached += kind == 0x12

    def session(self, channel, number):
        begin = performative(0x11, NULL, uint(0), uint(SESSION_WINDOW), uint(SESSION_WINDOW), channel=channel)
        name = f"default/ConsumerGroups/$Default/Partitions/{number}"
        selector = string("amqp.annotation.x-opt-offset > '-1'")
        key = symbol("apache.org:selector-filter:string")
        chosen = key + b"\x00" + key + selector
        chosen = b"\xd1" + struct.pack(">II", len(chosen) + 4, 2) + chosen
        source = b"\x00\x53\x28" + items(string(name), NULL, NULL, NULL, NULL, NULL, NULL, chosen)
        target = b"\x00\x53\x29" + items(string("here"))
        attach = performative(0x12, string(f"link-{number}"), uint(0), TRUE, b"\x50\x00", b"\x50\x00", source, target, channel=channel)
        return begin + attach

    def exactly(self, size):
        while len(self.buffer) < size:
            data = self.socket.recv(65_536)
            assert data, "the host closed the connection"
            self.buffer += data
        got = bytes(self.buffer[:size])
        del self.buffer[:size]
        return got

    def frame(self):
        head = self.exactly(4)
        return head + self.exactly(struct.unpack(">I", head)[0] - 4)

    def grant(self, channel):
        """Gives a link its full credit again."""
        received = self.received[channel]
        self.granted[channel] = received + self.credit
        # A link's first delivery has the count 0, and the host begins a session's numbers at 0.
        self.socket.sendall(performative(
            0x13, uint(received), uint(SESSION_WINDOW), uint(0), uint(SESSION_WINDOW), uint(0), uint(received), uint(self.credit), channel=channel))

    def receive(self):
        """Counts what has come: {channel: events}."""
        data = self.socket.recv(1 << 20)
        assert data, "the host closed the connection"
        data = self.buffer + data if self.buffer else data
        at, end, found = 0, len(data), {}
        size_of = struct.Struct(">I").unpack_from
        while at + 4 <= end:
            size = size_of(data, at)[0]
            if at + size > end:
                break
            if data[at + 8:at + 11] == TRANSFER:
                channel = data[at + 7]
                found[channel] = found.get(channel, 0) + 1
            at += size
        self.buffer = bytearray(data[at:])
        return found

    def take(self):
        """Receives and grants again; the number of events. They come settled."""
        found = self.receive()
        for channel, count in found.items():
            self.received[channel] += count
            if self.granted[channel] - self.received[channel] <= self.credit // 2:
                self.grant(channel)
        return sum(found.values())


def fill(address, events, size):
    """Publishes with QoS 1, so that nothing is dropped."""
    devices = [Device(address, f"sensor-{number}") for number in range(DEVICES)]
    rounds = -(-events // (BATCH * DEVICES))
    payload = b"x" * size
    for _ in range(rounds):
        for device in devices:
            topic = text(f"/devices/{device.name}/events")
            device.socket.sendall(b"".join(packet(0x32, topic + struct.pack(">H", number) + payload) for number in range(1, BATCH + 1)))
        for device in devices:
            missing = 4 * BATCH
            while missing:
                missing -= len(device.socket.recv(missing))
    return rounds * BATCH * DEVICES


def processor_s(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def consumers(host, key, options):
    groups = [list(range(PARTITIONS))[number::options.connections] for number in range(options.connections)]
    return [Consumer(host.amqp, key, group, options.credit) for group in groups]


def read_all(host, key, options, events):
    """(Events a second, the host's processor time for an event in µs)."""
    pid = host.process.pid
    links = consumers(host, key, options)
    used, begun, received = processor_s(pid), time.perf_counter(), 0
    for link in links:
        for channel in link.received:
            link.grant(channel)
    sockets = {link.socket: link for link in links}
    while received < events:
        ready, _, _ = select.select(sockets, [], [], 10)
        assert ready, f"nothing comes any more after {received} of {events} events"
        received += sum(sockets[each].take() for each in ready)
    took = time.perf_counter() - begun
    used = processor_s(pid) - used
    for link in links:
        link.socket.close()
    return received / took, used / received * 1e6


def stopped(host, key, options):
    """MiB that consumers take that have given much credit and do not read what comes."""
    before = host.still()
    options.credit = 1_000_000
    links = [each for _ in range(options.stopped) for each in consumers(host, key, options)]
    opened = host.still()
    for link in links:
        for channel in link.received:
            link.grant(channel)
    after = host.still()
    time.sleep(5)
    print(f"{options.stopped} consumers of {PARTITIONS} partitions ({len(links)} connections): {before:.1f} MiB before, {opened:.1f} MiB connected, "
          f"{after:.1f} MiB with a million credit on each link and nothing read, {resident(host.process.pid):.1f} MiB five seconds later")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--bytes", type=int, default=16)
    parser.add_argument("--credit", type=int, default=300)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stopped", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="switchbox-measure-") as folder:
        os.makedirs(f"{folder}/plugins")
        host = Host(options.program, folder, "--azure-amqp", "127.0.0.1:0")
        given = subprocess.run(
            [options.program, "hub", "connection-string", "--policy", "service", "--host-name", "127.0.0.1"],
            env={**os.environ, "SWITCHBOX_ADMIN": host.admin, "SWITCHBOX_DATA": f"{folder}/data"}, check=True, capture_output=True, text=True).stdout
        key = given.strip().split("SharedAccessKey=")[1].split(";")[0]
        name, port = host.ready["azure_amqp"].rsplit(":", 1)
        host.amqp = name, int(port)
        events = fill(host.mqtt, options.events, options.bytes)
        rates = []
        for _ in range(options.rounds):
            rate, used = read_all(host, key, options, events)
            rates.append(rate)
            print(f"{events} events of {options.bytes} bytes: {rate:,.0f} a second, {used:.2f} µs of the host's processor time each", flush=True)
        print(f"median {statistics.median(rates):,.0f} events a second")
        if options.stopped:
            stopped(host, key, options)
        host.stop()


if __name__ == "__main__":
    main()
