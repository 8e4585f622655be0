"""Azure's own Event Hubs SDK against a running host: `azure_events.py CONNECTION_STRING STEP [ARGUMENT]`.

STEP `all N FILE`: receives from all partitions until N events came, from its checkpoints on or else from the beginning, and keeps the
checkpoints in FILE; prints each event as JSON, one a line. `since MS N`: from a time on. `many N`: N events in batches;
prints how many came. `properties`: what $management says. `last`: what an event says of the newest of its partition.
`send`: why an event cannot be sent. Over
WebSocket, where `AMQP_OVER_WEBSOCKET` names the authority's certificate.
"""

import datetime
import json
import os
import sys
import threading
import time

from azure.eventhub import CheckpointStore, EventData, EventHubConsumerClient, EventHubProducerClient, TransportType
from azure.eventhub.exceptions import EventHubError

CONNECTION_STRING, STEP, *REST = sys.argv[1:]


class Checkpoints(CheckpointStore):
    """Of one consumer, in a file."""

    def __init__(self, path):
        self.path, self.lock, self.owned = path, threading.Lock(), []

    def list_checkpoints(self, *_, **__):
        try:
            with open(self.path, encoding="utf-8") as file:
                return list(json.load(file).values())
        except FileNotFoundError:
            return []

    def update_checkpoint(self, checkpoint, **_):
        with self.lock:
            all_of = {each["partition_id"]: each for each in self.list_checkpoints()}
            all_of[checkpoint["partition_id"]] = checkpoint
            with open(self.path, "w", encoding="utf-8") as file:
                json.dump(all_of, file)

    def list_ownership(self, *_, **__):
        return self.owned

    def claim_ownership(self, ownership_list, **_):
        self.owned = [{**owned, "last_modified_time": time.time()} for owned in ownership_list]
        return self.owned


store = Checkpoints(REST[1]) if STEP == "all" else None
authority = os.environ.get("AMQP_OVER_WEBSOCKET")
over = {"transport_type": TransportType.AmqpOverWebsocket, "connection_verify": authority} if authority else {}
client = EventHubConsumerClient.from_connection_string(
    CONNECTION_STRING, consumer_group="$Default", checkpoint_store=store, load_balancing_interval=1, **over
)
found, done = [], threading.Event()


def receive(count, **position):
    def on_event(context, event):
        system = {key.decode(): value for key, value in event.system_properties.items()}
        device = system["iothub-connection-device-id"]
        found.append(
            {
                "partition": context.partition_id,
                "offset": event.offset,
                "sequence": event.sequence_number,
                "time": int(event.enqueued_time.timestamp() * 1000),
                "device": device.decode() if isinstance(device, bytes) else device,
                "body": event.body_as_str(),
                "properties": {key.decode(): value.decode() for key, value in (event.properties or {}).items()},
            }
        )
        if store:
            context.update_checkpoint(event)
        if len(found) >= count:
            done.set()

    thread = threading.Thread(target=lambda: client.receive(on_event=on_event, **position), daemon=True)
    thread.start()
    assert done.wait(60), f"only {len(found)} events came: {found}"
    client.close()
    thread.join(10)
    for event in found:
        print(json.dumps(event), flush=True)


if STEP == "all":
    receive(int(REST[0]), starting_position="-1")
elif STEP == "since":
    since = datetime.datetime.fromtimestamp(int(REST[0]) / 1000, datetime.timezone.utc)
    receive(int(REST[1]), starting_position=since)
elif STEP == "many":
    count, came = int(REST[0]), []
    # One event at a time, the SDK waits on each partition without events in turn.
    receiving = threading.Thread(
        target=lambda: client.receive_batch(lambda _, batch: came.extend(batch), starting_position="-1", max_wait_time=1), daemon=True
    )
    receiving.start()
    deadline = time.monotonic() + 60
    while len(came) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    client.close()
    receiving.join(10)
    print(json.dumps({"count": len(came)}), flush=True)
elif STEP == "last":
    told = []

    def on_event(context, event):
        last = context.last_enqueued_event_properties
        told.append({"sequence": last["sequence_number"], "offset": last["offset"], "is_later": last["enqueued_time"] >= event.enqueued_time})
        done.set()

    options = {"starting_position": "-1", "track_last_enqueued_event_properties": True}
    threading.Thread(target=lambda: client.receive(on_event=on_event, **options), daemon=True).start()
    assert done.wait(60), "no event came"
    client.close()
    print(json.dumps(told[0]), flush=True)
elif STEP == "send":
    client.close()
    try:
        with EventHubProducerClient.from_connection_string(CONNECTION_STRING, retry_total=0) as producer:
            producer.send_batch([EventData("{}")])
    except EventHubError as error:
        print(json.dumps({"refused": str(error)}), flush=True)
elif STEP == "properties":
    hub = client.get_eventhub_properties()
    partitions = [client.get_partition_properties(partition) for partition in hub["partition_ids"]]
    client.close()
    last = {partition["id"]: partition["last_enqueued_sequence_number"] for partition in partitions}
    print(json.dumps({"name": hub["eventhub_name"], "partitions": hub["partition_ids"], "last": last}), flush=True)
print("done", flush=True)
