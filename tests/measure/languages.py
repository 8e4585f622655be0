#!/usr/bin/env python3
"""What a plugin costs in each language: the rule of a new project is built, installed in a host of its own, and given events of one sensor.
Prints the rows of the table of docs/languages.md. The tool chains are those that .ci/run installs. Only the standard library; only loopback.

    tests/measure/languages.py PROGRAM [--lang rust,c,js,ts,python,go] [--events 3000]
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

from commands import Device, resident
from console import ROOT, Running

NAMES = {"rust": "Rust", "c": "C", "js": "JavaScript", "ts": "TypeScript", "python": "Python", "go": "Go"}
TOOLS = [ROOT / ".ci/tools/languages/node/node_modules/.bin", ROOT / ".ci/tools/languages/python/bin"]


def built(program, language, place):
    """The component, and how long its build took."""
    project = f"{place}/{language}"
    more = ["--sdk", str(ROOT / "plugin-sdk")] if language == "rust" else []
    subprocess.check_call([program, "plugin", "new", "fan", "--lang", language, "--folder", project, *more], stdout=subprocess.DEVNULL)
    path = os.pathsep.join([*map(str, TOOLS), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "CARGO_TARGET_DIR": str(ROOT / "target/new-plugin")}
    begun = time.monotonic()
    said = subprocess.check_output([program, "plugin", "build", project], env=environment, text=True)
    took = time.monotonic() - begun
    component = said.strip().splitlines()[-1].removeprefix("wrote ").rpartition(" (")[0]
    return pathlib.Path(component), took


def children_seconds(pid):
    """Processor time of the children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def running(host):
    while True:
        plugins = json.loads(host.call("GET", "/v1/plugins")).get("plugins", [])
        if plugins and plugins[0]["state"] == "running":
            return
        assert not plugins or plugins[0]["state"] != "broken", plugins
        time.sleep(0.02)


def measured(program, language, events, place):
    component, build = built(program, language, place)
    host = Running(program, plugins="")
    before = host.still()
    aside = pathlib.Path(host.folder, "aside")
    aside.write_bytes(component.read_bytes())
    aside.rename(f"{host.folder}/plugins/fan.wasm")
    running(host)
    compiling = children_seconds(host.process.pid)
    loaded = host.still() - before
    Device(host.mqtt, "fan-1").close()
    sensor = Device(host.mqtt, "sensor-1")
    for number in range(events):
        sensor.publish(json.dumps({"temperature": 10 + number % 20}).encode(), number % 60_000 + 1)
    executions = json.loads(host.call("GET", "/v1/executions?plugin=fan&pageSize=1000"))["executions"]
    assert all(execution["outcome"] == "done" for execution in executions), executions[0]
    low, middle, high = statistics.quantiles([execution["tookUs"] for execution in executions], n=4)
    memory = host.still() - before
    host.stop()
    begun = time.monotonic()
    super(Running, host).__init__(program, host.folder)
    running(host)
    start = time.monotonic() - begun
    host.end()
    size = component.stat().st_size
    size = f"{size / 1e6:.2f} MB" if size > 1e6 else f"{size / 1e3:.0f} kB"
    load = os.getloadavg()[0]
    print(f"| {NAMES[language]} | {size} | {build:.1f} s | {compiling:.1f} s | {loaded:.0f} after the load, {memory:.0f} after the events | {start:.2f} s | {middle:.0f} µs ({low:.0f} to {high:.0f}) | load {load:.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("--lang", type=lambda text: text.split(","), default=list(NAMES))
    parser.add_argument("--events", type=int, default=3_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="switchbox-measure-") as place:
        for language in given.lang:
            measured(given.program, language, given.events, place)


if __name__ == "__main__":
    main()
