#!/usr/bin/env python3
"""How fast a recording is replayed: the hop relay is recorded on a running host until the file has enough executions, and then the file is
replayed without a host. Only the standard library; only loopback.

    tests/measure/replay.py PROGRAM [--executions 100000] [--devices 50] [--rounds 3] [--keep FILE]
"""

import argparse
import json
import os
import resource
import shutil
import struct
import subprocess
import time

from commands import Device, packet, text
from console import Running

BURST = 20


def executions(host):
    recording = json.loads(host.call("GET", "/v1/plugins/hop"))["recording"]
    return int(recording["executions"]), int(recording["skipped"])


def burst(device, target):
    """Some events of the device, acknowledged."""
    record = json.dumps({"deviceId": target, "registryId": "default", "cloudRegion": "local", "hops": 7}).encode()
    topic = text(f"/devices/{device.name}/events")
    device.socket.sendall(b"".join(packet(0x32, topic + struct.pack(">H", number) + record) for number in range(1, BURST + 1)))
    acknowledged = 0
    while acknowledged < BURST:
        acknowledged += device.frame()[0] == 0x40


def recorded(given, file):
    """Records executions of the hop relay, and returns how many."""
    host = Running(given.program)
    host.call("POST", "/v1/plugins/hop:record", {})
    devices = [Device(host.mqtt, f"hop-{number}") for number in range(given.devices)]
    sent = 0
    while sent < given.executions:
        for number, device in enumerate(devices):
            burst(device, devices[(number + 1) % len(devices)].name)
        sent += BURST * len(devices)
    while sum(executions(host)) < sent:
        time.sleep(0.1)
    host.call("POST", "/v1/plugins/hop:stopRecording", {})
    while "ended" not in json.loads(host.call("GET", "/v1/plugins/hop"))["recording"]:
        time.sleep(0.1)
    shutil.copy(f"{host.folder}/data/recordings/hop.jsonl", file)
    counts = executions(host)
    host.end()
    return counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", metavar="FILE", default="/tmp/switchbox-measure-replay.jsonl")
    given = parser.parse_args()
    done, skipped = recorded(given, given.keep)
    with open(given.keep) as file:
        instances = sum('"kind":"start"' in line for line in file)
    print(f"{done} executions of {given.devices} devices in {os.path.getsize(given.keep) / 2**20:.0f} MiB, {instances} instances, {skipped} left out")
    for _ in range(given.rounds):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        output = subprocess.check_output([given.program, "plugin", "replay", given.keep, "--json"])
        took, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        answer = json.loads(output)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{answer['executions']} replayed, {answer['different']} different, in {took:.2f} s; processor {processor:.2f} s")


if __name__ == "__main__":
    main()
