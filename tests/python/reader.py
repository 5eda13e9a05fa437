"""Reads topics by assignment with confluent-kafka and prints one JSON object a line.

    reader.py BOOTSTRAP list                          the topics' names
    reader.py BOOTSTRAP consume TOPIC FROM COUNT MS   FROM: start | end | offset:N | time:MS

CLIENT_PROPERTIES in the environment has further settings of the library, KEY=VALUE a line.

consume prints {"ready": OFFSET} once its position is known, then up to COUNT records, and ends when it has
COUNT or after MS milliseconds. A time behind the last record is the end.
"""

import json
import os
import sys
import time

from confluent_kafka import Consumer, TopicPartition

TIMEOUT_S = 20


def main():
    bootstrap, command, *arguments = sys.argv[1:]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            # The library wants a name; with assignment and without commits it is never sent.
            "group.id": "unused",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "error_cb": lambda error: print(error, file=sys.stderr, flush=True),
        }
        | dict(line.split("=", 1) for line in os.environ.get("CLIENT_PROPERTIES", "").splitlines())
    )
    try:
        if command == "list":
            for topic in sorted(consumer.list_topics(timeout=TIMEOUT_S).topics):
                show({"topic": topic})
        elif command == "consume":
            topic, place, count, millis = arguments
            consume(consumer, topic, place, int(count), int(millis))
        else:
            raise SystemExit(f"unknown command: {command}")
    finally:
        consumer.close()


def consume(consumer, topic, place, count, millis):
    offset = resolve(consumer, topic, place)
    consumer.assign([TopicPartition(topic, 0, offset)])
    show({"ready": offset})
    deadline = time.monotonic() + millis / 1000
    seen = 0
    while seen < count and time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            raise SystemExit(f"{message.error()}")
        show(as_dict(message))
        seen += 1


def resolve(consumer, topic, place):
    partition = TopicPartition(topic, 0)
    low, high = consumer.get_watermark_offsets(partition, timeout=TIMEOUT_S)
    kind, _, number = place.partition(":")
    if kind == "start":
        return low
    if kind == "end":
        return high
    if kind == "offset":
        return int(number)
    if kind == "time":
        (found,) = consumer.offsets_for_times([TopicPartition(topic, 0, int(number))], timeout=TIMEOUT_S)
        return high if found.offset < 0 else found.offset
    raise SystemExit(f"unknown place: {place}")


def as_dict(message):
    _, timestamp = message.timestamp()
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": timestamp,
        "key": text(message.key()),
        "value": text(message.value()),
        "headers": {name: text(value) for name, value in message.headers() or []},
    }


def text(octets):
    return None if octets is None else octets.decode()


def show(thing):
    print(json.dumps(thing), flush=True)


main()
