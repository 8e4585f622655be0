#!/usr/bin/env python3
"""Whether a host stays as it is while a plugin's component changes again and again: memory, descriptors, threads, mappings and the bytes of
compiled code and kept components. Each component has another custom section, so another digest; each handles an event. At the end stand the
medians of the first and of the last third. Only the standard library; only loopback.

    tests/measure/reloads.py PROGRAM COMPONENT.wasm [--reloads 10000] [--plugins 1] [--minutes M]
"""

import argparse
import http.client
import json
import os
import statistics
import time

from commands import Device
from console import Running


def stamped(component, number):
    """The component with a custom section that has no effect."""
    content = b"\x04mark" + number.to_bytes(4, "little")
    return component + b"\x00" + bytes([len(content)]) + content


def sizes(folder):
    """The bytes of each file, by name. The host may remove one at any time."""
    found = {}
    for entry in os.scandir(folder):
        try:
            if entry.is_file():
                found[entry.name] = entry.stat().st_size
        except FileNotFoundError:
            pass
    return found


def measured(pid, data):
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    with open(f"/proc/{pid}/maps") as maps:
        mappings = sum(1 for _ in maps)
    compiled, components = sizes(f"{data}/compiled"), sizes(f"{data}/components")
    mib = lambda files: round(sum(files.values()) / 2**20, 1)
    return {
        "resident MiB": round(int(fields["VmRSS"].split()[0]) / 1024, 1),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(fields["Threads"]),
        "mappings": mappings,
        "compiled files": len(compiled),
        "compiled MiB": mib(compiled),
        "kept components": sum(name.endswith(".wasm") for name in components),
        "components MiB": mib(components),
    }


def thirds(samples):
    """The medians of the first and the last third, and the extremes."""
    part = max(1, len(samples) // 3)
    for name in samples[0]:
        values = [sample[name] for sample in samples]
        first, last = statistics.median(values[:part]), statistics.median(values[-part:])
        print(f"{name:>16}: first third {first:g}, last third {last:g}; {min(values):g} to {max(values):g}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("component", type=os.path.abspath)
    parser.add_argument("--reloads", type=int, default=10_000)
    parser.add_argument("--plugins", type=int, default=1, help="plugins whose components change at the same time")
    parser.add_argument("--minutes", type=float, help="ends after this time, though not all reloads are done")
    given = parser.parse_args()
    with open(given.component, "rb") as file:
        component = file.read()
    host = Running(given.program, plugins="")
    folder = os.path.join(host.folder, "plugins")
    name, port = host.admin.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(name, int(port))
    # The guest `counter` of the tests gives this device the count of the other's events as its config.
    Device(host.mqtt, "tally-source-1").close()
    device = Device(host.mqtt, "source-1")

    names = [f"reloaded-{number}" for number in range(given.plugins)]

    def plugin(name):
        connection.request("GET", f"/v1/plugins/{name}", headers={"authorization": f"Bearer {host.token}"})
        answer = connection.getresponse()
        text = answer.read()
        return json.loads(text) if answer.status == 200 else {"digest": ""}

    before, begun, samples = dict.fromkeys(names, ""), time.monotonic(), []
    every = max(1, given.reloads // 100)
    for number in range(given.plugins, given.reloads + 1, given.plugins):
        for beside, name in enumerate(names):
            new = os.path.join(folder, f"{name}.new")
            with open(new, "wb") as file:
                file.write(stamped(component, number + beside))
            os.rename(new, os.path.join(folder, f"{name}.wasm"))
        deadline = time.monotonic() + 120
        for name in names:
            while (digest := plugin(name)["digest"]) in ("", before[name]):
                assert time.monotonic() < deadline, f"reload {number} of {name} does not come into force"
                time.sleep(0.01)
            before[name] = digest
        device.publish(b"{}", 1)
        if number // every != (number - given.plugins) // every:
            samples.append(measured(host.process.pid, os.path.join(host.folder, "data")))
            seconds = (time.monotonic() - begun) / number
            print(f"{number} reloads, {seconds:.2f} s each: {samples[-1]}", flush=True)
        if given.minutes and time.monotonic() - begun > given.minutes * 60:
            break
    counters = plugin(names[0])["counters"]
    print(f"{number} reloads in {time.monotonic() - begun:.0f} s; a plugin's counters since its last start: {counters}")
    # The first samples are from before the caches are full.
    thirds(samples[len(samples) // 20:])
    host.end()


if __name__ == "__main__":
    main()
