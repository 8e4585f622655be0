"""A device on ProvisioningDeviceClient that is registered, and connects to the hub that it is told. Arguments: mqtt or ws, the authority's
certificate, the host, the ID scope, the registration id, and the symmetric key, or certificate and key. Prints what it gets, one JSON line each."""

import json
import sys

from azure.iot.device import IoTHubDeviceClient, ProvisioningDeviceClient, X509

transport, authority, host, scope, registration_id, *proof = sys.argv[1:]
trusted = open(authority).read()
options = {"server_verification_cert": trusted, "websockets": transport == "ws"}


def say(what, **more):
    print(json.dumps({"what": what, **more}), flush=True)


if len(proof) == 1:
    client = ProvisioningDeviceClient.create_from_symmetric_key(host, registration_id, scope, proof[0], **options)
else:
    client = ProvisioningDeviceClient.create_from_x509_certificate(host, registration_id, scope, X509(*proof), **options)
client.provisioning_payload = {"model": "lamp"}
try:
    result = client.register()
except Exception as error:
    say("refused", text=str(error))
    sys.exit(0)
state = result.registration_state
say("registered", status=result.status, hub=state.assigned_hub, device=state.device_id, payload=json.loads(state.response_payload))
if len(proof) == 1:
    device = IoTHubDeviceClient.create_from_symmetric_key(proof[0], state.assigned_hub, state.device_id, **options)
else:
    device = IoTHubDeviceClient.create_from_x509_certificate(X509(*proof), state.assigned_hub, state.device_id, **options)
device.connect()
device.send_message('{"deviceId":"sink-1","hops":1}')
say("twin", twin=device.get_twin())
device.shutdown()
say("ended")
