#!/usr/bin/env python3
"""What an event costs with more devices and with more plugins. Each host has a number of devices that are connected and say nothing,
and a number of plugins of which one, the hop relay, matches what happens. The load goes to the hosts by turns, so that other load of the
machine affects all. Only the standard library; only loopback.

    tests/measure/scale.py PROGRAM [--devices 10,1000,9900] [--plugins 1,100,1000] [--rounds 5] [--seconds 3]
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import time

from commands import Device, resident
from console import RELAY, Running

OTHER = """
component = "builtin:hop-relay"
[[trigger]]
event = "telemetry"
device = "nobody-{number}-*"
"""
LOAD = ["--connections", "10", "--qos", "1"]


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Scaled:
    def __init__(self, program, devices, plugins):
        self.name = f"{devices:>6,} devices, {plugins:>5,} plugins"
        self.program = program
        self.host = Running(program)
        for number in range(1, plugins):
            (pathlib.Path(self.host.folder) / f"plugins/other-{number}.toml").write_text(OTHER.format(number=number))
        while sum(plugin["state"] == "running" for plugin in self.plugins()) < plugins:
            time.sleep(0.2)
        self.devices = [Device(self.host.mqtt, f"silent-{number}") for number in range(devices)]
        self.costs, self.rates = [], []

    def plugins(self):
        return json.loads(self.host.call("GET", "/v1/plugins"))["plugins"]

    def measure(self, seconds):
        command = [self.program, "bench", "--host", "{}:{}".format(*self.host.mqtt), *LOAD, "--time", f"{seconds}s"]
        before = processor_seconds(self.host.process.pid)
        relay = json.loads(subprocess.check_output(command))["relay"]
        used = processor_seconds(self.host.process.pid) - before
        self.costs.append(used / relay["round_trips"] * 1e6 if "round_trips" in relay else used / (relay["round_trips_per_s"] * seconds) * 1e6)
        self.rates.append(relay["round_trips_per_s"])

    def end(self):
        for device in self.devices:
            device.close()
        self.host.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=os.path.abspath)
    numbers = lambda text: [int(number) for number in text.split(",")]
    parser.add_argument("--devices", type=numbers, default=[10, 1000, 9900])
    parser.add_argument("--plugins", type=numbers, default=[1, 100, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    given = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    shapes = [(devices, given.plugins[0]) for devices in given.devices] + [(given.devices[0], plugins) for plugins in given.plugins[1:]]
    hosts = [Scaled(given.program, *shape) for shape in shapes]
    for turn in range(given.rounds):
        for host in hosts[turn % len(hosts):] + hosts[: turn % len(hosts)]:
            host.measure(given.seconds)
    first = hosts[0]
    for host in hosts:
        to_first = statistics.median(cost / base for cost, base in zip(host.costs, first.costs))
        rate = statistics.median(rate / base for rate, base in zip(host.rates, first.rates))
        print(f"{host.name}: {statistics.median(host.costs):5.1f} µs of the host's processor an event, {to_first:.2f} of the first; rate {rate:.2f}; {resident(host.host.process.pid):.0f} MiB")
    for host in hosts:
        host.end()


if __name__ == "__main__":
    main()
