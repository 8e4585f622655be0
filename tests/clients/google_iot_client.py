"""Google's own client library for Cloud IoT Core against a running host: `google_iot_client.py HOST:PORT TOKEN STEP`.

Nothing but the endpoint and the credentials is changed. STEP `first` makes everything and looks at it; `again` is for the
same host after it was killed. Says what it does, line by line; the first thing that is not as it should be ends it with
code 1. What a device has to do meanwhile it asks for with a line `WANT ...` on standard output, and reads a line when it
is done.
"""

import datetime
import sys
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from google.api_core import exceptions
from google.auth import jwt
from google.auth.crypt.es256 import ES256Signer
from google.auth.exceptions import RefreshError
from google.cloud import iot_v1
from google.cloud.iot_v1.services.device_manager.transports import DeviceManagerRestTransport
from google.oauth2.credentials import Credentials

ENDPOINT, TOKEN, STEP = sys.argv[1:4]
PARENT = "projects/acme/locations/europe-west1"
HALL = f"{PARENT}/registries/hall"


# The key of lamp-1.
LAMP_KEY = ec.generate_private_key(ec.SECP256R1())


def connect(token):
    return iot_v1.DeviceManagerClient(
        transport=DeviceManagerRestTransport(host=ENDPOINT, credentials=Credentials(token), url_scheme="http")
    )


client = connect(TOKEN)


def device(name):
    return f"{HALL}/devices/{name}"


def ok(what):
    print(f"ok {what}", flush=True)


def want(what):
    print(f"WANT {what}", flush=True)
    answer = sys.stdin.readline().strip()
    assert answer == "done", answer


def refused(kind, part, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as error:
        assert part in error.message, error.message
        return error
    raise AssertionError(f"{part}: the call was taken")


def public_pem(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def registries():
    made = client.create_device_registry(
        parent=PARENT,
        device_registry={
            "id": "hall",
            "event_notification_configs": [
                {"pubsub_topic_name": "projects/acme/topics/alarms", "subfolder_matches": "alarms"},
                {"pubsub_topic_name": "projects/acme/topics/events"},
            ],
            "state_notification_config": {"pubsub_topic_name": "projects/acme/topics/states"},
            "mqtt_config": {"mqtt_enabled_state": iot_v1.MqttState.MQTT_ENABLED},
            "http_config": {"http_enabled_state": iot_v1.HttpState.HTTP_ENABLED},
            "log_level": iot_v1.LogLevel.INFO,
        },
    )
    assert made.name == HALL and made.log_level == iot_v1.LogLevel.INFO, made
    assert client.get_device_registry(name=HALL) == made
    assert [c.subfolder_matches for c in made.event_notification_configs] == ["alarms", ""], made
    refused(exceptions.Conflict, "exists already", client.create_device_registry, parent=PARENT, device_registry={"id": "hall"})

    changed = client.update_device_registry(
        device_registry={"name": HALL, "log_level": iot_v1.LogLevel.DEBUG, "http_config": {"http_enabled_state": 2}},
        update_mask={"paths": ["log_level", "http_config.http_enabled_state"]},
    )
    assert changed.log_level == iot_v1.LogLevel.DEBUG, changed
    assert changed.http_config.http_enabled_state == iot_v1.HttpState.HTTP_DISABLED, changed
    assert changed.state_notification_config == made.state_notification_config, changed

    for name in ["attic", "barn", "cellar"]:
        client.create_device_registry(parent=PARENT, device_registry={"id": name})
    pager = client.list_device_registries(request={"parent": PARENT, "page_size": 3})
    pages = [[registry.id for registry in page.device_registries] for page in pager.pages]
    assert pages == [["attic", "barn", "cellar"], ["hall"]], pages
    for name in ["attic", "barn", "cellar"]:
        client.delete_device_registry(name=f"{PARENT}/registries/{name}")
    refused(exceptions.NotFound, "registries/attic", client.get_device_registry, name=f"{PARENT}/registries/attic")
    assert not list(client.list_device_registries(parent="projects/acme/locations/nowhere"))
    ok("registries: create, get, list by pages, update by mask, delete")


def devices():
    rsa_key = public_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    es_key = public_pem(LAMP_KEY)
    expires = datetime.datetime(2100, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc)
    made = client.create_device(
        parent=HALL,
        device={
            "id": "lamp-1",
            "credentials": [
                {"public_key": {"format": iot_v1.PublicKeyFormat.RSA_PEM, "key": rsa_key}},
                {"public_key": {"format": iot_v1.PublicKeyFormat.ES256_PEM, "key": es_key}, "expiration_time": expires},
            ],
            "metadata": {"room": "hall", "größe": "10 cm"},
            "log_level": iot_v1.LogLevel.ERROR,
        },
    )
    assert made.id == "lamp-1" and made.name == device("lamp-1") and made.num_id > 0, made
    assert [c.public_key.key for c in made.credentials] == [rsa_key, es_key], made
    assert made.credentials[1].public_key.format == iot_v1.PublicKeyFormat.ES256_PEM, made
    assert made.credentials[1].expiration_time == expires, made.credentials[1].expiration_time
    assert made.gateway_config.gateway_type == iot_v1.GatewayType.NON_GATEWAY, made

    got = client.get_device(name=device("lamp-1"))
    assert got.metadata == {"room": "hall", "größe": "10 cm"} and not got.blocked, got
    assert client.get_device(name=device(made.num_id)).id == "lamp-1"
    some = client.get_device(request={"name": device("lamp-1"), "field_mask": {"paths": ["metadata", "log_level"]}})
    assert some.log_level == iot_v1.LogLevel.ERROR and some.metadata and not some.credentials, some

    changed = client.update_device(
        device={"name": device("lamp-1"), "blocked": True, "metadata": {"room": "attic"}},
        update_mask={"paths": ["blocked", "metadata"]},
    )
    assert changed.blocked and changed.metadata == {"room": "attic"} and len(changed.credentials) == 2, changed
    client.update_device(
        device={"name": device("lamp-1"), "credentials": [{"public_key": {"format": 2, "key": es_key}}]},
        update_mask={"paths": ["credentials", "blocked"]},
    )
    got = client.get_device(name=device("lamp-1"))
    assert not got.blocked and len(got.credentials) == 1, got

    for number in range(2, 8):
        client.create_device(parent=HALL, device={"id": f"lamp-{number}"})
    pager = client.list_devices(request={"parent": HALL, "page_size": 3, "field_mask": {"paths": ["metadata"]}})
    pages = [[found.id for found in page.devices] for page in pager.pages]
    assert pages == [["lamp-1", "lamp-2", "lamp-3"], ["lamp-4", "lamp-5", "lamp-6"], ["lamp-7"]], pages
    chosen = list(client.list_devices(request={"parent": HALL, "device_ids": ["lamp-3", "lamp-5", "nobody"]}))
    assert [found.id for found in chosen] == ["lamp-3", "lamp-5"], chosen
    by_number = list(client.list_devices(request={"parent": HALL, "device_num_ids": [found.num_id for found in chosen]}))
    assert [found.id for found in by_number] == ["lamp-3", "lamp-5"], by_number
    client.delete_device(name=device("lamp-7"))
    refused(exceptions.NotFound, "devices/lamp-7", client.get_device, name=device("lamp-7"))
    refused(exceptions.BadRequest, "still has devices", client.delete_device_registry, name=HALL)
    ok("devices: create with keys, get by mask, list by pages and ids, update by mask, delete")


def configs():
    name, first, second = device("lamp-1"), b'{"state":"awake"}', bytes(range(256))
    assert client.modify_cloud_to_device_config(name=name, binary_data=first).version == 1
    made = client.modify_cloud_to_device_config(request={"name": name, "binary_data": second, "version_to_update": 1})
    assert (made.version, made.binary_data) == (2, second), made
    stale = {"name": name, "binary_data": b"", "version_to_update": 1}
    refused(exceptions.Conflict, "version 2 is in force", client.modify_cloud_to_device_config, request=stale)
    found = client.list_device_config_versions(name=name).device_configs
    assert [(config.version, config.binary_data) for config in found] == [(2, second), (1, first)], found
    one = client.list_device_config_versions(request={"name": name, "num_versions": 1}).device_configs
    assert [config.version for config in one] == [2] and one[0].cloud_update_time, one
    assert client.get_device(name=name).config.binary_data == second
    ok("configs: set, compare and set, versions")


def a_device_that_is_there():
    name = device("lamp-1")
    offline = refused(exceptions.BadRequest, "is not connected", client.send_command_to_device, name=name, binary_data=b"x")
    assert offline.response.json()["error"]["status"] == "FAILED_PRECONDITION", offline.response.text
    assert not client.list_device_states(name=name).device_states
    now = int(time.time())
    claims = {"aud": "acme", "iat": now, "exp": now + 3600}
    want("device lamp-1 " + jwt.encode(ES256Signer(LAMP_KEY), claims).decode())
    client.send_command_to_device(name=name, binary_data=b"blink", subfolder="lights")
    want("command")
    states = client.list_device_states(request={"name": name, "num_states": 1}).device_states
    assert [state.binary_data for state in states] == [b'{"on":true}'] and states[0].update_time, states
    got = client.get_device(name=name)
    assert got.state.binary_data == b'{"on":true}' and got.last_state_time and got.last_event_time, got
    ok("commands and states")


def bindings():
    method = iot_v1.GatewayAuthMethod
    for gateway in ["hub-1", "hub-2"]:
        made = client.create_device(
            parent=HALL,
            device={
                "id": gateway,
                "gateway_config": {
                    "gateway_type": iot_v1.GatewayType.GATEWAY,
                    "gateway_auth_method": method.ASSOCIATION_ONLY,
                },
            },
        )
    assert made.gateway_config.gateway_auth_method == method.ASSOCIATION_ONLY, made
    changed = client.update_device(
        device={"name": device("hub-2"), "gateway_config": {"gateway_auth_method": method.DEVICE_AUTH_TOKEN_ONLY}},
        update_mask={"paths": ["gateway_config.gateway_auth_method"]},
    )
    assert changed.gateway_config.gateway_type == iot_v1.GatewayType.GATEWAY, changed
    assert changed.gateway_config.gateway_auth_method == method.DEVICE_AUTH_TOKEN_ONLY, changed

    for bound in ["lamp-2", "lamp-3"]:
        client.bind_device_to_gateway(parent=HALL, gateway_id="hub-1", device_id=bound)
    client.bind_device_to_gateway(parent=HALL, gateway_id="hub-2", device_id="lamp-2")
    bind = client.bind_device_to_gateway
    refused(exceptions.BadRequest, "cannot be bound", bind, parent=HALL, gateway_id="lamp-4", device_id="lamp-2")
    refused(exceptions.BadRequest, "cannot be bound", bind, parent=HALL, gateway_id="hub-1", device_id="hub-2")
    refused(exceptions.NotFound, "devices/nobody", bind, parent=HALL, gateway_id="hub-1", device_id="nobody")
    refused(exceptions.BadRequest, "still has bound devices", client.delete_device, name=device("hub-1"))
    ok("gateways: create, update by mask, bind")


def bound(options):
    return [found.id for found in client.list_devices(request={"parent": HALL, "gateway_list_options": options})]


def after_the_kill():
    assert bound({"gateway_type": iot_v1.GatewayType.GATEWAY}) == ["hub-1", "hub-2"]
    assert "hub-1" not in bound({"gateway_type": iot_v1.GatewayType.NON_GATEWAY})
    assert bound({"associations_gateway_id": "hub-1"}) == ["lamp-2", "lamp-3"]
    assert bound({"associations_device_id": "lamp-2"}) == ["hub-1", "hub-2"]
    client.unbind_device_from_gateway(parent=HALL, gateway_id="hub-1", device_id="lamp-2")
    unbind = client.unbind_device_from_gateway
    refused(exceptions.NotFound, "is not bound", unbind, parent=HALL, gateway_id="hub-1", device_id="lamp-2")
    client.delete_device(name=device("lamp-3"))
    assert bound({"associations_gateway_id": "hub-1"}) == []
    client.delete_device(name=device("hub-1"))
    assert bound({"associations_device_id": "lamp-2"}) == ["hub-2"]
    assert client.get_device_registry(name=HALL).log_level == iot_v1.LogLevel.DEBUG
    ok("gateways: bindings that survive, lists by association, unbind, delete")


def unauthenticated():
    try:
        connect("not-the-token").get_device_registry(name=HALL)
        raise AssertionError("an unknown client was accepted")
    except RefreshError:
        pass  # What the library makes of UNAUTHENTICATED: it asks for another token.
    refused(exceptions.MethodNotImplemented, "policies", client.get_iam_policy, request={"resource": HALL})
    ok("who has no token is kept out")


if STEP == "first":
    registries()
    devices()
    configs()
    a_device_that_is_there()
    bindings()
else:
    after_the_kill()
    unauthenticated()
print("done", flush=True)
