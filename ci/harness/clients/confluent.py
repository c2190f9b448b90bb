"""confluent-kafka (librdkafka 2.x): explicit start offsets, no commits, idempotent producer."""

import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from harness import wire
from harness.broker import PARTITIONS
from harness.records import ReadBack, headers, key, value

CREATE_DEADLINE_S = 30
READ_DEADLINE_S = 60


def create_topic(address, topic, config=None):
    """Creates it and waits until every partition has its leader (Kafka answers before)."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    created = admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1,
                                            config=config or {})])
    created[topic].result(CREATE_DEADLINE_S)
    deadline = time.monotonic() + CREATE_DEADLINE_S
    with wire.Connection(address) as connection:
        for partition in range(PARTITIONS):
            while (error := connection.list_offset(topic, partition, -1)[0]) != 0:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{topic}-{partition}: error {error} since its creation")
                time.sleep(0.01)


def round_trip(broker, topic, codec, count):
    create_topic(broker.address, topic)
    readback = ReadBack(count, int(time.time() * 1000) - count)
    produce(broker.address, topic, codec, readback)
    consume(broker.address, topic, readback)


def produce(address, topic, codec, readback):
    producer = Producer({"bootstrap.servers": address, "compression.type": codec,
                         "enable.idempotence": True, "log_level": 0, "queue.buffering.max.messages": 1_000_000})
    errors = []

    def delivered(index):
        def report(error, message):
            if error is not None:
                errors.append(f"record {index}: {error}")
            else:
                readback.acknowledged(index, message.partition(), message.offset())
        return report

    for index in range(readback.count):
        producer.produce(topic, key=key(index), value=value(index), headers=headers(index),
                         timestamp=readback.timestamp_base_ms + index, on_delivery=delivered(index))
        if index % 1000 == 0:
            producer.poll(0)
    left = producer.flush(READ_DEADLINE_S)
    if errors or left:
        raise AssertionError(f"{len(errors)} sends failed, {left} are open: {errors[:3]}")
    readback.all_acknowledged()


def consume(address, topic, readback):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "log_level": 0,
                         "enable.auto.commit": False, "enable.partition.eof": False,
                         "auto.offset.reset": "error", "check.crcs": True})
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        deadline = time.monotonic() + READ_DEADLINE_S
        while not readback.complete():
            if time.monotonic() > deadline:
                raise AssertionError(f"read {readback.seen} of {readback.count} in time")
            for message in consumer.consume(num_messages=1000, timeout=0.2):
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._ALL_BROKERS_DOWN or error.fatal():
                        raise AssertionError(str(error))
                    raise AssertionError(f"consumer: {error}")
                readback.read(message.partition(), message.offset(), message.timestamp()[1],
                              message.key(), message.value(), message.headers())
    finally:
        consumer.close()
