#!/usr/bin/env python3
"""How long a change of a config takes over the HTTP API, beside the disk: changes and fdatasync of 4 KiB by turns, in the same file
system. One connection, one call at a time; a request is made before its time begins, and its answer is read as bytes, so that the client
takes little of it. Only the standard library; only loopback.

    tests/measure/config_change.py PROGRAM [--changes 500]
"""

import argparse
import base64
import json
import os
import socket
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
    connection = socket.create_connection((name, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = f"Host: {name}\r\nAuthorization: Bearer {host.token}\r\nContent-Type: application/json\r\n"

    def request(path, body):
        body = json.dumps(body)
        return f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def call(request):
        connection.sendall(request)
        answer = connection.recv(65536)
        # A short answer comes in one piece.
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ") and body.endswith(b"}"), answer

    call(request(device_path("").removesuffix("/"), {"id": "lamp-1"}))
    file = os.open(f"{host.folder}/disk", os.O_CREAT | os.O_WRONLY)
    os.write(file, bytes(1 << 20))
    os.fsync(file)
    disk, changes = [], []
    for number in range(given.changes):
        payload = base64.b64encode(f'{{"on":{number}}}'.encode()).decode()
        change = request(device_path("lamp-1:modifyCloudToDeviceConfig"), {"binaryData": payload})
        block = os.urandom(4096)
        begun = time.perf_counter()
        os.pwrite(file, block, number % 256 * 4096)
        os.fdatasync(file)
        synced = time.perf_counter()
        call(change)
        changed = time.perf_counter()
        disk.append((synced - begun) * 1e6)
        changes.append((changed - synced) * 1e6)
    p50, of_disk = statistics.median(changes), statistics.median(disk)
    print(f"a change of a config: p50 {p50:.0f} µs; fdatasync of 4 KiB: p50 {of_disk:.0f} µs; {p50 / of_disk:.2f} times, {given.changes} of each by turns")
    host.end()


if __name__ == "__main__":
    main()
