#!/usr/bin/env python3
"""How fast a publisher of QoS 1 is beside subscribers that take a message now and then, and without them, by turns against one
host.

    python3 tests/measure/slow_subscribers.py target/release/switchbox
"""

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

SUBSCRIBERS = 20
ROUNDS = 5
SECONDS = 2.0
# A subscriber takes one message in so long.
EVERY = 0.5
WINDOW = 200


def text(words):
    return len(words).to_bytes(2, "big") + words.encode()


def packet(first, body):
    length, rest = b"", len(body)
    while True:
        length += bytes([rest & 0x7F | (0x80 if rest > 0x7F else 0)])
        rest >>= 7
        if not rest:
            return bytes([first]) + length + body


def connect(port, name, properties=b""):
    conn = socket.create_connection(("127.0.0.1", port))
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    conn.sendall(packet(0x10, text("MQTT") + b"\x05\x02\x00\x00" + bytes([len(properties)]) + properties + text(name)))
    assert conn.recv(2)[0] == 0x20
    time.sleep(0.05)
    conn.setblocking(False)
    try:
        conn.recv(4096)
    except BlockingIOError:
        pass
    conn.setblocking(True)
    return conn


def publish(number, topic):
    return packet(0x32, text(topic) + (number % 60_000 + 1).to_bytes(2, "big") + b"\x00" + b"x" * 64)


def rate(conn, topic, seconds):
    """Messages acknowledged in a second, with a window of them under way."""
    sent = acknowledged = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        many = WINDOW - (sent - acknowledged)
        if many > 0:
            conn.sendall(b"".join(publish(sent + n, topic) for n in range(many)))
            sent += many
        # A PUBACK without a reason has four bytes.
        got = conn.recv(65_536)
        while len(got) % 4:
            got += conn.recv(4 - len(got) % 4)
        acknowledged += len(got) // 4
    while acknowledged < sent:
        acknowledged += len(conn.recv(4)) // 4
    return acknowledged / seconds


def slow(port, number, stop):
    # One message at a time.
    conn = connect(port, f"slow-{number}", b"\x21\x00\x01")
    conn.sendall(packet(0x82, b"\x00\x01\x00" + text("measured/slow") + b"\x01"))
    buffer = b""
    last = time.monotonic()
    conn.settimeout(0.1)
    while not stop.is_set():
        try:
            buffer += conn.recv(4096)
        except TimeoutError:
            pass
        if time.monotonic() - last >= EVERY and b"measured/slow" in buffer:
            at = buffer.rindex(b"measured/slow") + len("measured/slow")
            conn.sendall(b"\x40\x02" + buffer[at : at + 2])
            buffer, last = b"", time.monotonic()


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        arguments = [program, "serve", "--data", folder, "--mqtt", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        host = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            port = int(json.loads(host.stdout.readline())["mqtt"].rsplit(":", 1)[1])
            stop = threading.Event()
            threads = [threading.Thread(target=slow, args=(port, n, stop)) for n in range(SUBSCRIBERS)]
            [thread.start() for thread in threads]
            time.sleep(1)
            conn = connect(port, "publisher")
            # Their queues are full after this.
            rate(conn, "measured/slow", 3)
            ratios = []
            for _ in range(ROUNDS):
                alone, beside = rate(conn, "measured/alone", SECONDS), rate(conn, "measured/slow", SECONDS)
                ratios.append(beside / alone)
                print(f"alone {alone:,.0f}/s, beside {SUBSCRIBERS} slow subscribers {beside:,.0f}/s: {beside / alone:.2f}")
            print(f"median {statistics.median(ratios):.2f}")
            stop.set()
            [thread.join() for thread in threads]
        finally:
            host.terminate()
            host.wait()


main(sys.argv[1])
