#!/usr/bin/env python3
"""Whether a host stays as it is while a plugin's component changes again and again: memory, descriptors, mappings and compiled code after
each tenth of the reloads. Each component has another custom section, so another digest. Only the standard library; only loopback.

    tests/measure/reloads.py PROGRAM COMPONENT.wasm [--reloads 10000]
"""

import argparse
import http.client
import json
import os
import time

from console import Running


def stamped(component, number):
    """The component with a custom section that has no effect."""
    content = b"\x04mark" + number.to_bytes(4, "little")
    return component + b"\x00" + bytes([len(content)]) + content


def measured(pid, data):
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    with open(f"/proc/{pid}/maps") as maps:
        mappings = sum(1 for _ in maps)
    compiled = os.path.join(data, "compiled")
    return {
        "resident MiB": round(int(fields["VmRSS"].split()[0]) / 1024),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(fields["Threads"]),
        "mappings": mappings,
        "compiled files": sum(1 for entry in os.scandir(compiled) if entry.is_file()),
        "kept components": sum(1 for name in os.listdir(os.path.join(data, "components")) if name.endswith(".wasm")),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("component", type=os.path.abspath)
    parser.add_argument("--reloads", type=int, default=10_000)
    given = parser.parse_args()
    with open(given.component, "rb") as file:
        component = file.read()
    host = Running(given.program, plugins="")
    folder = os.path.join(host.folder, "plugins")
    name, port = host.admin.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(name, int(port))

    def digest():
        connection.request("GET", "/v1/plugins/reloaded", headers={"authorization": f"Bearer {host.token}"})
        answer = connection.getresponse()
        text = answer.read()
        return json.loads(text)["digest"] if answer.status == 200 else ""

    before, begun = "", time.monotonic()
    for number in range(1, given.reloads + 1):
        beside = os.path.join(folder, "reloaded.new")
        with open(beside, "wb") as file:
            file.write(stamped(component, number))
        os.rename(beside, os.path.join(folder, "reloaded.wasm"))
        deadline = time.monotonic() + 60
        while digest() in ("", before):
            assert time.monotonic() < deadline, f"reload {number} does not come into force"
            time.sleep(0.01)
        before = digest()
        if number % max(1, given.reloads // 10) == 0:
            seconds = (time.monotonic() - begun) / number
            now = measured(host.process.pid, os.path.join(host.folder, "data"))
            print(f"{number} reloads, {seconds:.2f} s each: {now}", flush=True)
    host.end()


if __name__ == "__main__":
    main()
