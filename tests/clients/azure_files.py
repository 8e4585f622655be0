"""A device on azure-iot-device that uploads files with azure-storage-blob, as their samples do. Arguments: the authority's certificate, the
connection string. Prints the result of each, one JSON line each."""

import json
import sys

from azure.core.exceptions import AzureError
from azure.iot.device import IoTHubDeviceClient
from azure.storage.blob import BlobClient, ContentSettings

authority, connection_string = sys.argv[1:]
MEBIBYTE = 1024 * 1024


def say(what, **more):
    print(json.dumps({"what": what, **more}), flush=True)


client = IoTHubDeviceClient.create_from_connection_string(
    connection_string, server_verification_cert=open(authority).read()
)
client.connect()


def upload(name, data, overwrite=True, validate_content=False, said={}, **options):
    info = client.get_storage_info_for_blob(name)
    url = "https://{hostName}/{containerName}/{blobName}{sasToken}".format(**info)
    try:
        with BlobClient.from_blob_url(url, retry_total=0, **options) as blob:
            answer = blob.upload_blob(data, overwrite=overwrite, validate_content=validate_content, **said)
        client.notify_blob_upload_status(info["correlationId"], True, 200, "OK: " + name)
        say("uploaded", name=name, etag=answer["etag"], modified=str(answer["last_modified"]))
    except AzureError as error:
        status = getattr(error, "status_code", None)
        client.notify_blob_upload_status(info["correlationId"], False, status or 0, str(error)[:100])
        say("refused", name=name, status=status, code=str(getattr(error, "error_code", None)), text=str(error))


upload("whole.txt", b"hello")
described = {"metadata": {"room": "hall"}, "content_settings": ContentSettings(content_type="text/csv")}
upload("logs/2026/a b.bin", bytes(range(256)) * 4 * 4096, said=described, max_single_put_size=MEBIBYTE, max_block_size=MEBIBYTE)
upload("checked.txt", b"checked", validate_content=True)
upload("whole.txt", b"again", overwrite=False)
upload("whole.txt", b"second")
upload("empty", b"")
upload("large.bin", bytes(10 * MEBIBYTE))
upload("large.bin", bytes(10 * MEBIBYTE), max_single_put_size=MEBIBYTE, max_block_size=MEBIBYTE)
say("ended")
client.shutdown()
