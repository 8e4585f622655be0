#!/usr/bin/env python3
"""How long a change of a config takes over the HTTP API, beside the disk: changes and fdatasync of 4 KiB by turns, in the same file
system. One connection, one call at a time. Only the standard library; only loopback.

    tests/measure/config_change.py PROGRAM [--changes 500]
"""

import argparse
import base64
import http.client
import json
import os
import statistics
import time

from commands import device_path
from console import Running


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("--changes", type=int, default=500)
    given = parser.parse_args()
    host = Running(given.program, plugins="")
    name, port = host.admin.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(name, int(port))
    headers = {"authorization": f"Bearer {host.token}", "content-type": "application/json"}

    def call(path, body):
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, (answer.status, text)

    call(device_path("").removesuffix("/"), {"id": "lamp-1"})
    file = os.open(f"{host.folder}/disk", os.O_CREAT | os.O_WRONLY)
    os.write(file, bytes(1 << 20))
    os.fsync(file)
    disk, changes = [], []
    for number in range(given.changes):
        begun = time.perf_counter()
        os.pwrite(file, os.urandom(4096), number % 256 * 4096)
        os.fdatasync(file)
        synced = time.perf_counter()
        payload = base64.b64encode(f'{{"on":{number}}}'.encode()).decode()
        call(device_path("lamp-1:modifyCloudToDeviceConfig"), {"binaryData": payload})
        changed = time.perf_counter()
        disk.append((synced - begun) * 1e6)
        changes.append((changed - synced) * 1e6)
    p50, of_disk = statistics.median(changes), statistics.median(disk)
    print(f"a change of a config: p50 {p50:.0f} µs; fdatasync of 4 KiB: p50 {of_disk:.0f} µs; {p50 / of_disk:.2f} times, {given.changes} of each by turns")
    host.end()


if __name__ == "__main__":
    main()
