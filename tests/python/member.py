"""A member of a consumer group with confluent-kafka; prints one JSON object a line.

    member.py BOOTSTRAP GROUP TOPIC SESSION_MS INSTANCE ASSIGNOR

INSTANCE is the group.instance.id, `-` for none; ASSIGNOR `range`, `roundrobin` or `cooperative-sticky`. Prints
{"assigned": N} and {"revoked": N} with the number of partitions, {"offset": N} for each record, committed before the
next one, and {"error": TEXT}. SIGTERM ends it cleanly: it leaves the group.
"""

import json
import signal
import sys

from confluent_kafka import Consumer

running = True


def main():
    bootstrap, group, topic, session_ms, instance, assignor = sys.argv[1:]
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "session.timeout.ms": int(session_ms),
        "heartbeat.interval.ms": 1000,
        "partition.assignment.strategy": assignor,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    if instance != "-":
        settings["group.instance.id"] = instance
    consumer = Consumer(settings)
    signal.signal(signal.SIGTERM, stop)
    consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked)
    while running:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            show({"error": str(message.error())})
            continue
        show({"offset": message.offset()})
        consumer.commit(message=message, asynchronous=False)
    consumer.close()


def stop(_number, _frame):
    global running
    running = False


def assigned(_consumer, partitions):
    show({"assigned": len(partitions)})


def revoked(_consumer, partitions):
    show({"revoked": len(partitions)})


def show(thing):
    print(json.dumps(thing), flush=True)


main()
