"""A member of a consumer group with kafka-python; prints one JSON object a line.

    kafka_python_member.py BOOTSTRAP GROUP TOPIC SESSION_MS

Logs in where SASL_MECHANISM, SASL_USERNAME and SASL_PASSWORD are set. Prints {"assigned": N} and {"revoked": N} with
the number of partitions, and {"offset": N} for each record, committed before the next one. SIGTERM ends it cleanly: it
leaves the group. An error that the library throws ends it: {"error": TEXT}, exit code 1. Why it cannot log in the
library says in its log only, here on stderr.
"""

import json
import logging
import os
import signal
import sys

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition

running = True


def main():
    logging.basicConfig(level=logging.WARNING)
    bootstrap, group, topic, session_ms = sys.argv[1:]
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        session_timeout_ms=int(session_ms),
        heartbeat_interval_ms=1000,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **login(),
    )
    signal.signal(signal.SIGTERM, stop)
    consumer.subscribe([topic], listener=Listener())
    while running:
        for records in consumer.poll(timeout_ms=100).values():
            for record in records:
                show({"offset": record.offset})
                partition = TopicPartition(record.topic, record.partition)
                consumer.commit({partition: OffsetAndMetadata(record.offset + 1, "done", -1)})
    consumer.close()


def login():
    if "SASL_MECHANISM" not in os.environ:
        return {}
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": os.environ["SASL_MECHANISM"],
        "sasl_plain_username": os.environ["SASL_USERNAME"],
        "sasl_plain_password": os.environ["SASL_PASSWORD"],
    }


class Listener(ConsumerRebalanceListener):
    def on_partitions_assigned(self, assigned):
        show({"assigned": len(assigned)})

    def on_partitions_revoked(self, revoked):
        show({"revoked": len(revoked)})


def stop(_number, _frame):
    global running
    running = False


def show(thing):
    print(json.dumps(thing), flush=True)


try:
    main()
except Exception as error:
    show({"error": repr(error)})
    sys.exit(1)
