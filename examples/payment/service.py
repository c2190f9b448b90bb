"""A consumer of `paiement`: `service.py BOOTSTRAP GROUP NAME`.

Invoices (or audits) each payment and commits by hand behind it, as a service does that must not
lose any: after a crash the next member of the group goes on at the last commit.
"""

import json
import signal
import sys

from confluent_kafka import Consumer

TOPIC = "paiement"
COMMIT_EVERY = 5


def say(**event):
    print(json.dumps(event), flush=True)


def main():
    bootstrap, group, name = sys.argv[1:]
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "client.id": name,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 1000,
    })
    stopping = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.append(True))

    def assigned(_, partitions):
        committed = consumer.committed(partitions, timeout=10)
        say(event="assigned", partitions={p.partition: max(p.offset, 0) for p in committed})

    uncommitted = 0

    def commit():
        nonlocal uncommitted
        if uncommitted:
            consumer.commit(asynchronous=False)
            uncommitted = 0

    def revoked(_, partitions):
        # What was done is committed before somebody else goes on.
        commit()
        say(event="revoked", partitions=[p.partition for p in partitions])

    consumer.subscribe([TOPIC], on_assign=assigned, on_revoke=revoked)
    while not stopping:
        message = consumer.poll(0.2)
        if message is None:
            commit()
            continue
        if message.error():
            say(event="error", text=str(message.error()))
            continue
        payment = json.loads(message.value())
        say(event="done", payment=payment["payment"], partition=message.partition(),
            offset=message.offset(), key=message.key().decode())
        uncommitted += 1
        if uncommitted >= COMMIT_EVERY:
            commit()
    consumer.close()


if __name__ == "__main__":
    main()
