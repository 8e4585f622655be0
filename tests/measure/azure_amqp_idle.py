#!/usr/bin/env python3
"""What idle connections over AMQP cost, of devices and of programs.

Each device has a session with a link for events, one for messages, two for methods and two for its twin. Each program reads one partition,
which has no events. Only the standard library; only loopback.

    tests/measure/azure_amqp_idle.py PROGRAM [--connections 100] [--rounds 3] [--tls]
"""

import argparse
import base64
import hmac
import os
import ssl
import statistics
import subprocess
import tempfile
import time
import urllib.parse

from azure_events import FALSE, NULL, TRUE, Consumer, items, performative, string, uint
from commands import Host


class DeviceConsumer(Consumer):
    """A connection of a device, by a token of the policy `device`."""

    links = 6

    def session(self, channel, number):
        begin = performative(0x11, NULL, uint(0), uint(5_000), uint(5_000), channel=channel)
        return begin + b"".join(self.attaches(channel, f"/devices/{number}"))

    def attaches(self, channel, device):
        nodes = [("messages/events", False), ("messages/devicebound", True)]
        nodes += [(node, receives) for node in ("methods/devicebound", "twin") for receives in (False, True)]
        for handle, (node, receives) in enumerate(nodes):
            at, here = string(f"{device}/{node}"), string("here")
            source = b"\x00\x53\x28" + items(at if receives else here)
            target = b"\x00\x53\x29" + items(here if receives else at)
            role, count = (TRUE, NULL) if receives else (FALSE, uint(0))
            yield performative(
                0x12, string(f"link-{handle}"), uint(handle), role, NULL, NULL, source, target, NULL, NULL, count, channel=channel)


def key(options, folder, host, policy):
    given = subprocess.run(
        [options.program, "hub", "connection-string", "--policy", policy, "--host-name", "127.0.0.1"],
        env={**os.environ, "SWITCHBOX_ADMIN": host.admin, "SWITCHBOX_DATA": f"{folder}/data"}, check=True, capture_output=True, text=True).stdout
    return given.strip().split("SharedAccessKey=")[1].split(";")[0]


def token(secret):
    """A shared access signature of the policy `device`, for an hour."""
    expires = int(time.time()) + 3_600
    signature = hmac.digest(base64.b64decode(secret), f"127.0.0.1\n{expires}".encode(), "sha256")
    signed = urllib.parse.quote(base64.b64encode(signature), safe="")
    return f"SharedAccessSignature sr=127.0.0.1&sig={signed}&se={expires}&skn=device"


def each_kib(options, folder, kind):
    os.makedirs(f"{folder}/plugins")
    listen = ["--azure-amqp", "127.0.0.1:0"]
    context = None
    if options.tls:
        subprocess.run([options.program, "cert", "server", "127.0.0.1", "--folder", f"{folder}/certs"], check=True, capture_output=True)
        listen = ["--azure-amqps", "127.0.0.1:0", "--tls-cert", f"{folder}/certs/server.pem", "--tls-key", f"{folder}/certs/server.key.pem"]
        context = ssl.create_default_context(cafile=f"{folder}/certs/ca.pem")
    host = Host(options.program, folder, *listen)
    policy = "device" if kind is DeviceConsumer else "service"
    secret = key(options, folder, host, policy)
    if kind is DeviceConsumer:
        secret = token(secret)
    name, port = host.ready["azure_amqps" if options.tls else "azure_amqp"].rsplit(":", 1)

    def connect(number):
        which = [f"lamp-{number}"] if kind is DeviceConsumer else [number % 4]
        return kind((name, int(port)), secret, which, 1, policy=policy, tls=context)

    for number in range(options.connections if kind is DeviceConsumer else 0):
        host.call("POST", "/v1/projects/local/locations/local/registries/default/devices", {"id": f"lamp-{number}"})
    # What the first connection of a host costs, and not the others.
    first = connect(0)
    before = host.still()
    connections = [connect(number) for number in range(1, options.connections)]
    after = host.still()
    for connection in [first, *connections]:
        connection.socket.close()
    host.stop()
    each = (after - before) * 1024 / len(connections)
    print(f"{kind.__name__}: {before:.1f} MiB with one, {after:.1f} MiB with {options.connections}: {each:.1f} KiB each", flush=True)
    return each


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    for kind in (DeviceConsumer, Consumer):
        found = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory(prefix="switchbox-measure-") as folder:
                found.append(each_kib(options, folder, kind))
        print(f"{kind.__name__}: median {statistics.median(found):.1f} KiB")


if __name__ == "__main__":
    main()
