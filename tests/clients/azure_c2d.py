"""A program on azure-iot-hub that sends one message to a device. Arguments: the connection string, the authority's certificate, the device, the text.
Its AMQP library trusts what certifi names, and nothing else."""

import sys

import certifi

connection_string, authority, device, text = sys.argv[1:]
certifi.where = lambda: authority

from azure.iot.hub import IoTHubRegistryManager  # noqa: E402

manager = IoTHubRegistryManager.from_connection_string(connection_string)
properties = {"messageId": "p-1", "contentType": "text/plain", "iothub-ack": "full", "room": "hall"}
manager.send_c2d_message(device, text, properties=properties)
print("sent", flush=True)
