"""A member of a consumer group in a process of its own: `member ADDRESS TOPIC CONFIG-AS-JSON`. Says
what it is given, gives up and reads, one JSON object a line. SIGTERM closes it; `commit` on standard
input commits what it has read."""

import json
import signal
import sys
import threading

from confluent_kafka import Consumer


def say(**event):
    print(json.dumps(event), flush=True)


def main():
    address, topic, config = sys.argv[1:]
    consumer = Consumer({"bootstrap.servers": address, "auto.offset.reset": "earliest",
                         "log_level": 0, **json.loads(config)})
    closing = threading.Event()
    wishes = []
    signal.signal(signal.SIGTERM, lambda *_: closing.set())

    def listen():
        for line in sys.stdin:
            wishes.append(line.strip())

    threading.Thread(target=listen, daemon=True).start()
    consumer.subscribe(
        [topic],
        on_assign=lambda _, given: say(given=[part.partition for part in given]),
        on_revoke=lambda _, taken: say(taken=[part.partition for part in taken]),
        on_lost=lambda _, lost: say(taken=[part.partition for part in lost]))
    while not closing.is_set():
        message = consumer.poll(0.05)
        if message is not None and message.error() is None:
            say(partition=message.partition(), offset=message.offset(),
                value=message.value().decode())
        while wishes:
            wishes.pop()
            committed = consumer.commit(asynchronous=False)
            say(committed={part.partition: part.offset for part in committed})
    consumer.close()
    say(closed=True)


if __name__ == "__main__":
    main()
