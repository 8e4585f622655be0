"""A device on azure-iot-device, as its samples use it. Arguments: sync or aio, mqtt or ws, the authority's certificate, and the connection
string, or host, id, certificate and key. Sends telemetry, reports, reads its twin, then prints what it gets, one JSON line each, until
its method "end" is called."""

import asyncio
import json
import sys
import threading

from azure.iot.device import IoTHubDeviceClient, Message, MethodResponse, X509
from azure.iot.device.aio import IoTHubDeviceClient as AsyncClient

how, transport, authority, *identity = sys.argv[1:]
lock = threading.Lock()


def say(what, **more):
    with lock:
        print(json.dumps({"what": what, **more}), flush=True)


def client(kind):
    options = {"server_verification_cert": open(authority).read(), "websockets": transport == "ws"}
    if len(identity) > 2:
        host, device, certificate, key = identity
        return kind.create_from_x509_certificate(X509(certificate, key), host, device, **options)
    if len(identity) > 1:
        # It renews its token two minutes before that runs out.
        options["sastoken_ttl"] = int(identity[1])
    return kind.create_from_connection_string(identity[0], **options)


def telemetry(data):
    message = Message(data)
    message.message_id = "m-1"
    message.correlation_id = "c/1"
    message.content_type = "application/json"
    message.content_encoding = "utf-8"
    message.custom_properties["sev erity"] = "a&b=c/é"
    return message


def on_message(message):
    own = {"contentType": message.content_type, "correlationId": message.correlation_id}
    say("c2d", data=message.data.decode(), id=message.message_id, properties=message.custom_properties, **own)


def on_patch(patch):
    say("desired", patch=patch)


def answer(request):
    return MethodResponse.create_from_method_request(request, 201, {"got": request.payload})


def sync():
    device, end = client(IoTHubDeviceClient), threading.Event()

    def on_method(request):
        say("method", name=request.name, payload=request.payload)
        device.send_method_response(answer(request))
        if request.name == "end":
            end.set()

    device.on_connection_state_change = lambda: say("connection", connected=device.connected)
    device.connect()
    device.on_message_received = on_message
    device.on_twin_desired_properties_patch_received = on_patch
    device.on_method_request_received = on_method
    device.send_message(telemetry('{"deviceId":"sink-1","hops":1}'))
    device.patch_twin_reported_properties({"on": True, "old": 1})
    device.patch_twin_reported_properties({"old": None, "level": 3})
    say("twin", twin=device.get_twin())
    say("ready")
    end.wait(60)
    device.shutdown()


async def aio():
    device, end, loop = client(AsyncClient), asyncio.Event(), asyncio.get_running_loop()

    async def on_method(request):
        say("method", name=request.name, payload=request.payload)
        await device.send_method_response(answer(request))
        if request.name == "end":
            # The SDK calls this in a loop of its own.
            loop.call_soon_threadsafe(end.set)

    device.on_connection_state_change = lambda: say("connection", connected=device.connected)
    await device.connect()
    device.on_message_received = on_message
    device.on_twin_desired_properties_patch_received = on_patch
    device.on_method_request_received = on_method
    await device.send_message(telemetry('{"deviceId":"sink-1","hops":1}'))
    await device.patch_twin_reported_properties({"on": True, "old": 1})
    await device.patch_twin_reported_properties({"old": None, "level": 3})
    say("twin", twin=await device.get_twin())
    say("ready")
    await asyncio.wait_for(end.wait(), 60)
    await device.shutdown()


if how == "sync":
    sync()
else:
    asyncio.run(aio())
say("ended")
