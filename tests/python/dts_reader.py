"""Reads the feed of DTS records as the official Python demo does: kafka-python by assignment, fastavro with a fixed
reader schema, and prints one JSON object a record.

    dts_reader.py BOOTSTRAP TOPIC SCHEMA FROM COUNT MS   FROM: start | seconds:N

Ends when it has COUNT records or after MS milliseconds. A key, headers or bytes behind a record are errors. DTS_ACCOUNT,
DTS_PASSWORD and DTS_GROUP log in.
"""

import io
import json
import os
import sys
import time

import fastavro
from kafka import KafkaConsumer, TopicPartition


def main():
    bootstrap, topic, schema, place, count, millis = sys.argv[1:]
    with open(schema, encoding="utf-8") as file:
        schema = fastavro.parse_schema(json.load(file))
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="none", **login()
    )
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    kind, _, seconds = place.partition(":")
    if kind == "start":
        consumer.seek_to_beginning(partition)
    else:
        found = consumer.offsets_for_times({partition: int(seconds)})[partition]
        if found is None:
            raise SystemExit(f"no record and no end at {seconds}")
        show({"found": found.offset, "at": found.timestamp})
        consumer.seek(partition, found.offset)
    deadline = time.monotonic() + int(millis) / 1000
    seen = 0
    while seen < int(count) and time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=200).values():
            for record in records[: int(count) - seen]:
                show(decoded(schema, record))
                seen += 1


def login():
    group = os.environ.get("DTS_GROUP")
    if group is None:
        return {}
    return {
        "group_id": group,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": os.environ["DTS_ACCOUNT"] + "-" + group,
        "sasl_plain_password": os.environ["DTS_PASSWORD"],
    }


def decoded(schema, record):
    if record.key is not None or record.headers:
        raise SystemExit(f"offset {record.offset} has a key or headers")
    data = io.BytesIO(record.value)
    value = fastavro.schemaless_reader(data, schema, return_record_name=True)
    if data.read():
        raise SystemExit(f"offset {record.offset} has bytes behind its record")
    value["offset"] = record.offset
    value["timestamp"] = record.timestamp
    value["size"] = len(record.value)
    return value


def show(thing):
    print(json.dumps(thing, default=text), flush=True)


def text(octets):
    return octets.decode("utf-8", "replace")


main()
