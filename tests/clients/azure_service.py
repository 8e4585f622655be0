"""Azure's own service SDK for Python against a running host: `azure_service.py CONNECTION_STRING`.

Nothing but the connection string and the authority is changed (REQUESTS_CA_BUNDLE names it). Says what it does, line by line; the
first thing that is not as it should be ends it with code 1. What a device has to do meanwhile it asks for with a line `WANT ...`
on standard output, and reads a line when it is done.
"""

import base64
import sys

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification, Twin, TwinProperties
from azure.iot.hub.protocol.models import (
    AuthenticationMechanism,
    ExportImportDevice,
    SymmetricKey,
)
from msrest.exceptions import HttpOperationError

hub = IoTHubRegistryManager.from_connection_string(sys.argv[1])


def ok(what):
    print(f"ok {what}", flush=True)


def want(what):
    print(f"WANT {what}", flush=True)
    answer = sys.stdin.readline().strip()
    assert answer == "done", answer


def refused(status, part, call, *args):
    try:
        call(*args)
    except HttpOperationError as error:
        body = error.response.json()
        assert error.response.status_code == status, (error.response.status_code, body)
        assert part in body["Message"] and "Tracking ID:" in body["ExceptionMessage"], body
        return
    raise AssertionError(f"{call} {args} was not refused")


def key(letter):
    return base64.b64encode(letter.encode() * 32).decode()


made = hub.create_device_with_sas("switch-9", key("a"), key("b"), "enabled", status_reason="new")
assert (made.device_id, made.status, made.status_reason) == ("switch-9", "enabled", "new"), made
assert made.authentication.symmetric_key.primary_key == key("a"), made.authentication
assert made.connection_state == "Disconnected" and made.cloud_to_device_message_count == 0, made
refused(409, "DeviceAlreadyExists", hub.create_device_with_sas, "switch-9", key("a"), key("b"), "enabled")
refused(404, "DeviceNotFound", hub.get_device, "nobody")
refused(400, "ArgumentInvalid", hub.create_device_with_sas, "switch-8", "short", key("b"), "enabled")
refused(400, "ArgumentInvalid", hub.create_device_with_x509, "switch-8", "A" * 39, "B" * 40, "enabled")
ok("a device is created, and refused")

found = hub.get_device("switch-9")
assert found.etag == made.etag and found.generation_id == made.generation_id, found
changed = hub.update_device_with_sas("switch-9", found.etag, key("c"), key("b"), "disabled")
assert (changed.status, changed.authentication.symmetric_key.primary_key) == ("disabled", key("c")), changed
refused(412, "PreconditionFailed", hub.update_device_with_sas, "switch-9", found.etag, key("a"), key("b"), "enabled")
assert hub.get_device("switch-9").status == "disabled"
ok("a device is changed where its ETag matches")

own = hub.create_device_with_x509("camera-2", "A" * 40, "B" * 64, "enabled")
thumbprints = own.authentication.x509_thumbprint
assert own.authentication.type == "selfSigned" and own.authentication.symmetric_key.primary_key is None, own
assert (thumbprints.primary_thumbprint, thumbprints.secondary_thumbprint) == ("A" * 40, "B" * 64), thumbprints
renewed = hub.update_device_with_x509("camera-2", own.etag, "C" * 40, "B" * 64, "enabled")
assert renewed.authentication.x509_thumbprint.primary_thumbprint == "C" * 40, renewed.authentication
assert hub.get_twin("camera-2").x509_thumbprint.primary_thumbprint == "C" * 40
signed = hub.update_device_with_sas("camera-2", renewed.etag, key("a"), key("b"), "enabled")
assert signed.authentication.type == "sas", signed.authentication
assert signed.authentication.x509_thumbprint.primary_thumbprint is None, signed.authentication
hub.delete_device("camera-2")
ok("a device is known by the thumbprints of its certificates")

authority = hub.create_device_with_certificate_authority("camera-1", "enabled")
assert authority.authentication.type == "certificateAuthority", authority.authentication
sensors = [f"sensor-{number}" for number in range(5)]
items = [
    ExportImportDevice(
        id=name,
        import_mode="create",
        status="enabled",
        tags={"floor": number},
        authentication=AuthenticationMechanism(type="sas", symmetric_key=SymmetricKey()),
    )
    for number, name in enumerate(sensors)
]
done = hub.bulk_create_or_update_devices(items)
assert done.is_successful and not done.errors, done
ids = [device.device_id for device in hub.get_devices()]
assert ids == ["camera-1", "lamp-1", *sensors, "switch-9"], ids
assert len(hub.get_devices(3)) == 3
assert len(base64.b64decode(hub.get_device("sensor-1").authentication.symmetric_key.primary_key)) == 32
ok("many are created and listed")

twin = hub.get_twin("lamp-1")
assert twin.properties.reported["battery"] == 0.5, twin.properties.reported
assert "$lastUpdated" in twin.properties.reported["$metadata"]["battery"], twin.properties.reported
assert twin.connection_state == "Connected" and twin.tags == {}, twin
patch = Twin(tags={"room": "hall", "floor": 1}, properties=TwinProperties(desired={"on": True, "level": 3}))
twin = hub.update_twin("lamp-1", patch, twin.etag)
assert twin.tags == {"room": "hall", "floor": 1}, twin.tags
assert twin.properties.desired["$version"] == 1 and twin.properties.desired["on"] is True, twin.properties.desired
want("config on")
old = twin.etag
twin = hub.update_twin("lamp-1", Twin(tags={"floor": None}, properties=TwinProperties(desired={"level": None})), old)
assert twin.tags == {"room": "hall"} and "level" not in twin.properties.desired, twin
assert twin.properties.desired["$metadata"]["on"]["$lastUpdatedVersion"] == 1, twin.properties.desired
assert twin.properties.desired["$metadata"]["$lastUpdatedVersion"] == 2, twin.properties.desired
refused(412, "PreconditionFailed", hub.update_twin, "lamp-1", Twin(tags={"room": "attic"}), old)
# As programs do: a twin that was read is changed and written back whole.
twin.tags["wing"] = "west"
twin = hub.replace_twin("lamp-1", twin, twin.etag)
assert twin.tags == {"room": "hall", "wing": "west"} and twin.properties.desired["$version"] == 2, twin
ok("a twin is read, patched and replaced")


def query(text, token=None, most=None):
    return hub.query_iot_hub(QuerySpecification(query=text), token, most)


result = query("SELECT * FROM devices WHERE tags.floor >= 1 AND status = 'enabled'")
assert result.type == "twin" and [item.device_id for item in result.items] == sensors[1:], result.items
pages, token = [], None
while True:
    result = query("SELECT * FROM devices WHERE IS_DEFINED(tags.floor)", token, 2)
    pages.append([item.device_id for item in result.items])
    token = result.continuation_token
    if not token:
        break
assert pages == [sensors[:2], sensors[2:4], sensors[4:]], pages
result = query("SELECT deviceId, tags.room AS room FROM devices WHERE properties.reported.battery < 1")
assert result.type == "raw" and result.items[0].additional_properties["room"] == "hall", result.items
counts = query("SELECT status, COUNT() AS n FROM devices GROUP BY status").items
assert {item.status: item.additional_properties["n"] for item in counts} == {"enabled": 7, "disabled": 1}, counts
refused(400, "devices have no property colour", query, "SELECT * FROM devices WHERE colour = 'red'")
ok("devices are found by queries")

want("method")
answer = hub.invoke_device_method("lamp-1", CloudToDeviceMethod(method_name="dim", payload={"to": 4}))
assert (answer.status, answer.payload) == (200, {"dimmed": True}), answer
refused(404, "404103", hub.invoke_device_method, "sensor-1", CloudToDeviceMethod(method_name="dim", payload={}))
ok("a method is called")

statistics = hub.get_device_registry_statistics()
assert (statistics.total_device_count, statistics.disabled_device_count) == (8, 1), statistics
assert hub.get_service_statistics().connected_device_count == 1
refused(501, "modules", hub.get_modules, "lamp-1")
ok("devices are counted, and modules refused")

hub.delete_device("switch-9", changed.etag)
refused(404, "DeviceNotFound", hub.get_twin, "switch-9")
gone = hub.bulk_create_or_update_devices([ExportImportDevice(id=name, import_mode="delete") for name in sensors])
assert gone.is_successful, gone
assert [device.device_id for device in hub.get_devices()] == ["camera-1", "lamp-1"]
ok("devices are deleted")
print("done", flush=True)
