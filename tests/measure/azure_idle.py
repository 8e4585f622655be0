#!/usr/bin/env python3
"""What idle devices of Azure IoT Hub cost, beside those whose topics are those of IoT Core.

Two hosts with the program given; to one connect devices of the one kind, to the other as many of the other kind. All subscribe to
configs and messages, and are silent. Registered first, then measured after a restart. Only the standard library; only loopback.

    tests/measure/azure_idle.py PROGRAM [--devices 5000] [--rounds 3]
"""

import argparse
import os
import statistics
import tempfile

from commands import Device, Host, packet, text


# Both kinds promise an hour; for Azure IoT Hub the host makes it about 20 minutes.
KEEP_ALIVE = b"\x0e\x10"


class IotCoreDevice(Device):
    """A device whose topics are those of IoT Core."""

    def login(self):
        return packet(0x10, text("MQTT") + b"\x04\x02" + KEEP_ALIVE + text(self.name))


class AzureDevice(Device):
    """A device whose CONNECT and topics are those of Azure IoT Hub."""

    def login(self):
        user = text(f"hub.example/{self.name}/?api-version=2021-04-12")
        return packet(0x10, text("MQTT") + b"\x04\x82" + KEEP_ALIVE + text(self.name) + user)


def connect(host, kind, count):
    topics = {
        IotCoreDevice: lambda name: [f"/devices/{name}/config", f"/devices/{name}/commands/#"],
        AzureDevice: lambda name: ["$iothub/twin/PATCH/properties/desired/#", f"devices/{name}/messages/devicebound/#"],
    }[kind]
    devices = []
    for number in range(count):
        device = kind(host.mqtt, f"idle-{number}")
        filters = b"".join(text(topic) + b"\x01" for topic in topics(device.name))
        device.socket.sendall(packet(0x82, b"\x00\x01" + filters))
        while device.frame()[0] != 0x90:
            pass
        devices.append(device)
    return devices


def each_kib(program, folder, kind, count):
    os.makedirs(f"{folder}/plugins", exist_ok=True)
    host = Host(program, folder)
    for device in connect(host, kind, count):
        device.close()
    host.stop()
    host = Host(program, folder)
    before = host.still()
    devices = connect(host, kind, count)
    after = host.still()
    for device in devices:
        device.socket.close()
    host.stop()
    print(f"{kind.__name__}: {before:.1f} MiB with {count} registered, {after:.1f} MiB connected", flush=True)
    return (after - before) * 1024 / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--devices", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = {IotCoreDevice: [], AzureDevice: []}
    for number in range(options.rounds):
        for kind in found if number % 2 == 0 else reversed(found):
            with tempfile.TemporaryDirectory(prefix="switchbox-measure-") as folder:
                found[kind].append(each_kib(options.program, folder, kind, options.devices))
    iot_core, azure = (statistics.median(found[kind]) for kind in (IotCoreDevice, AzureDevice))
    print(f"an idle connection: {iot_core:.2f} KiB with IoT Core's topics, {azure:.2f} KiB with Azure IoT Hub's: {azure / iot_core:.2f}")


if __name__ == "__main__":
    main()
