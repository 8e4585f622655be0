#!/usr/bin/env python3
"""How long many method calls at once take through one plugin, when the device takes its time to answer each.

Starts the program given with one plugin that calls the device that it is notified of; as many devices as there are to be calls say
something at once, and one device answers each of their calls after a while. Timed from the first event's first byte until the
last device has been told what was answered. Only the standard library; only loopback.

    tests/measure/methods.py PROGRAM SCRIPTED.wasm [--calls 1000] [--answer-ms 100] [--rounds 5]
"""

import argparse
import heapq
import os
import selectors
import shutil
import statistics
import struct
import tempfile
import time

from commands import Device, Host, packet, text

SETTINGS = """
[[trigger]]
event = "telemetry"
device = "caller-*"
[limits]
deadline = "30s"
host-call-time = "60s"
rate-per-target = "unlimited"
[settings]
actions = [{method = {device = "slow-1", name = "think", report = "told/all"}}]
"""


def event(name, number):
    return packet(0x32, text(f"/devices/{name}/events") + struct.pack(">H", number) + b"{}")


def frames(device):
    """What has come, without waiting for more."""
    try:
        device.receive()
    except BlockingIOError:
        return
    while frame := device.whole_frame():
        yield frame


def round_of(callers, slow, listener, number, answer_ms):
    """(Seconds until all were told, the most calls that were open at the device at once)."""
    due, told, most = [], 0, 0
    selector = selectors.DefaultSelector()
    for device in [slow, listener]:
        device.socket.setblocking(False)
        selector.register(device.socket, selectors.EVENT_READ, device)
    begun = time.perf_counter()
    for caller in callers:
        caller.socket.sendall(event(caller.name, number))
    while told < len(callers):
        wait = due[0][0] - time.perf_counter() if due else 5
        ready = selector.select(max(wait, 0))
        assert ready or due, f"nothing comes any more; {told} were told"
        for key, _ in ready:
            for head, body in frames(key.data):
                if head >> 4 != 3:
                    continue
                size = struct.unpack(">H", body[:2])[0]
                if key.data is slow:
                    topic = body[2:2 + size].decode().replace("/request/", "/response/") + "/200"
                    heapq.heappush(due, (time.perf_counter() + answer_ms / 1000, topic))
                    most = max(most, len(due))
                else:
                    assert b"slow-1 200" in body, body
                    told += 1
        answers = b""
        while due and due[0][0] <= time.perf_counter():
            answers += packet(0x30, text(heapq.heappop(due)[1]) + b"yes")
        if answers:
            slow.socket.setblocking(True)
            slow.socket.sendall(answers)
            slow.socket.setblocking(False)
    return time.perf_counter() - begun, most


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("scripted")
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--answer-ms", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="switchbox-measure-") as folder:
        os.makedirs(f"{folder}/plugins")
        shutil.copy(options.scripted, f"{folder}/plugins/caller.wasm")
        with open(f"{folder}/plugins/caller.toml", "w") as settings:
            settings.write(SETTINGS)
        host = Host(options.program, folder)
        slow, listener = Device(host.mqtt, "slow-1"), Device(host.mqtt, "listener")
        slow.subscribe("methods/#", qos=0)
        listener.socket.sendall(packet(0x82, b"\x00\x01" + text("told/all") + b"\x00"))
        for device in [slow, listener]:
            assert device.frame()[0] == 0x90
        callers = [Device(host.mqtt, f"caller-{n}") for n in range(options.calls)]
        took = []
        for number in range(options.rounds):
            seconds, most = round_of(callers, slow, listener, number + 1, options.answer_ms)
            took.append(seconds)
            print(f"{options.calls} calls, each answered after {options.answer_ms} ms: {seconds:.3f} s; {most} open at once")
            for caller in callers:
                while caller.frame()[0] != 0x40:
                    pass
        print(f"median {statistics.median(took):.3f} s, {min(took):.3f} to {max(took):.3f} s")
        host.stop()


if __name__ == "__main__":
    main()
