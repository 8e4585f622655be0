#!/usr/bin/env python3
"""What the console costs and how quick it is, with a real Chromium. Each by turns in one run, so that other
load of the machine affects all. Only the standard library, Node with playwright-core in .ci/tools/node, and /usr/bin/chromium; only
loopback.

    tests/measure/console.py first-view PROGRAM [--devices 10000] [--rounds 20]
    tests/measure/console.py consoles PROGRAM [--consoles 5] [--rounds 7] [--seconds 4] [--idle]
    tests/measure/console.py flood PROGRAM [--rate 1000] [--minutes 10]

`consoles` measures the relay without a console, with the pages in a browser, and with the pages' streams alone, read by this program:
the browser draws on the same processors, which the host cannot help. With --idle the browser gets a processor only when nothing else
wants it.
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import commands
from commands import Device, Host, device_path

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CONNECTIONS = 10
RELAY = 'component = "builtin:hop-relay"\n'


class Running(Host):
    """A host with a folder of its own, and perhaps with more settings."""

    def __init__(self, program, plugins=RELAY, settings=""):
        self.folder = tempfile.mkdtemp(prefix="switchbox-measure-")
        os.makedirs(f"{self.folder}/plugins")
        if plugins:
            pathlib.Path(f"{self.folder}/plugins/hop.toml").write_text(plugins)
        os.environ["SWITCHBOX_SETTINGS"] = f"{self.folder}/settings.toml"
        pathlib.Path(os.environ["SWITCHBOX_SETTINGS"]).write_text(settings)
        super().__init__(program, self.folder)
        while plugins and json.loads(self.call("GET", "/v1/plugins/hop"))["state"] != "running":
            time.sleep(0.1)

    def end(self):
        self.stop()
        shutil.rmtree(self.folder)


class Browser:
    def __init__(self, host, idle=False):
        self.folder = tempfile.mkdtemp(prefix="switchbox-measure-")
        environment = {**os.environ, "NODE_FOLDER": str(ROOT / ".ci/tools/node"), "CHROMIUM": "/usr/bin/chromium", "PROFILE_FOLDER": f"{self.folder}/chromium"}
        command = ["node", str(ROOT / "tests/console/measure.cjs"), host.admin, host.token]
        command = ["chrt", "-i", "0", *command] if idle else command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.answer() == "ready"

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "the browser ended"
        return json.loads(line)

    def do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def relay(program, host, seconds):
    """Relays a second."""
    command = [program, "bench", "--host", f"{host.mqtt[0]}:{host.mqtt[1]}", "--connections", str(CONNECTIONS), "--qos", "1", "--time", f"{seconds}s"]
    return json.loads(subprocess.check_output(command))["relay"]["round_trips_per_s"]


def ratios(rates, base):
    """Of each turn to the base of the same turn."""
    for name, values in rates.items():
        each = [value / of for value, of in zip(values, rates[base])]
        print(f"{name:>22}: {statistics.median(values):9.0f} relays/s; to {base}: {statistics.median(each):.3f} ({min(each):.3f} to {max(each):.3f})")


def by_turns(turns, rounds):
    """`turns`: names and functions that measure. The order changes from round to round."""
    rates = {name: [] for name, _ in turns}
    for n in range(rounds):
        for name, measured in turns[n % len(turns):] + turns[: n % len(turns)]:
            rates[name].append(measured())
            print(f"  {name}: {rates[name][-1]:.0f}", file=sys.stderr)
    return rates


class Streams:
    """What the live pages read, without drawing it."""

    def __init__(self, host, count):
        self.over, self.threads = threading.Event(), []
        for _ in range(count):
            self.threads.append(threading.Thread(target=self.read, args=(host,), daemon=True))
            self.threads[-1].start()

    def read(self, host):
        name, port = host.admin.removeprefix("http://").rsplit(":", 1)
        connection = http.client.HTTPConnection(name, int(port))
        connection.request("GET", "/v1/events:follow?executions=true&perSecond=40", headers={"authorization": f"Bearer {host.token}"})
        answer = connection.getresponse()
        while not self.over.is_set() and answer.read1(65536):
            pass
        connection.close()

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def consoles(given):
    host = Running(given.program)
    browser = Browser(host, given.idle)

    def alone():
        return relay(given.program, host, given.seconds)

    def with_pages():
        browser.do(f"live {given.consoles}")
        rate = relay(given.program, host, given.seconds)
        browser.do("close")
        return rate

    def with_streams():
        streams = Streams(host, given.consoles)
        rate = relay(given.program, host, given.seconds)
        streams.end()
        return rate

    rates = by_turns([("no console", alone), (f"{given.consoles} pages", with_pages), (f"{given.consoles} streams", with_streams)], given.rounds)
    ratios(rates, "no console")
    browser.end()
    host.end()


def first_view(given):
    host = Running(given.program, plugins="")
    name, port = host.admin.removeprefix("http://").rsplit(":", 1)

    def register(numbers):
        connection = http.client.HTTPConnection(name, int(port))
        for number in numbers:
            while True:
                body = json.dumps({"id": f"fleet-{number:05}"})
                connection.request("POST", device_path("").removesuffix("/"), body, {"authorization": f"Bearer {host.token}", "content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    break
                assert answer.status == 429, answer.status
                time.sleep(0.5)

    threads = [threading.Thread(target=register, args=(range(n, given.devices, 16),)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    browser = Browser(host)
    shown = f"{given.devices:,}"
    browser.do(f"view {shown}")
    times = sorted(browser.do(f"view {shown}") for _ in range(given.rounds))
    print(f"{shown} devices, from a reload until the overview shows them: median {statistics.median(times):.0f} ms, {times[0]} to {times[-1]} ms, {len(times)} times")
    browser.end()
    host.end()


def flood(given):
    host = Running(given.program, plugins="")
    browser = Browser(host)
    browser.do("live 1")
    device = Device(host.mqtt, "noise")
    over = threading.Event()

    def publish():
        begun, sent = time.monotonic(), 0
        while not over.is_set():
            while sent < (time.monotonic() - begun) * given.rate:
                batch = b"".join(event(sent + n) for n in range(10))
                device.socket.sendall(batch)
                sent += 10
            time.sleep(0.002)
        publish.rate = sent / (time.monotonic() - begun)

    def event(number):
        from commands import packet, text
        return packet(0x30, text("/devices/noise/events") + json.dumps({"n": number, "text": "x" * 100}).encode())

    thread = threading.Thread(target=publish)
    thread.start()
    begun, heaps, resident, minute = time.monotonic(), [], [], []
    print("minute | heap of the page after a collection, MiB | memory of the host in RAM, MiB | elements, rows")
    while time.monotonic() - begun < given.minutes * 60:
        time.sleep(min(10, given.minutes * 6))
        seen = browser.do("heap")
        minute.append(seen["bytes"] / 2**20)
        print(f"  {minute[-1]:.2f} MiB, {seen['nodes']} elements, {seen['rows']} rows: {' '.join(seen['says'].split())}", file=sys.stderr)
        if time.monotonic() - begun >= (len(heaps) + 1) * 60 or given.minutes < 1:
            heaps.append(statistics.median(minute))
            resident.append(commands.resident(host.process.pid))
            minute = []
            print(f"{len(heaps):6} | {heaps[-1]:.2f} | {resident[-1]:.1f} | {seen['nodes']}, {seen['rows']}", flush=True)
    over.set()
    thread.join()
    half = len(heaps) // 2
    for what, values in [("heap of the page", heaps), ("memory of the host", resident)]:
        first, last = statistics.median(values[:half] or values), statistics.median(values[half:])
        print(f"{what}: first half median {first:.2f} MiB, second half {last:.2f} MiB; {min(values):.2f} to {max(values):.2f} MiB")
    print(f"{publish.rate:.0f} events/s for {given.minutes} min; the page says: {' '.join(seen['says'].split())}")
    browser.end()
    host.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["first-view", "consoles", "flood"])
    parser.add_argument("program")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--consoles", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rate", type=float, default=1_000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--idle", action="store_true")
    given = parser.parse_args()
    given.program = os.path.abspath(given.program)
    {"first-view": first_view, "consoles": consoles, "flood": flood}[given.what](given)


if __name__ == "__main__":
    main()
