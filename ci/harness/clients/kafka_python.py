"""kafka-python: its own protocol implementation in pure Python."""

import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from harness.broker import PARTITIONS
from harness.records import ReadBack, headers_without_null, key, value

READ_DEADLINE_S = 90


def round_trip(broker, topic, codec, count):
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    try:
        admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)])
    finally:
        admin.close()
    readback = ReadBack(count, int(time.time() * 1000) - count, headers_without_null)
    produce(broker.address, topic, codec, readback)
    consume(broker.address, topic, readback)


def produce(address, topic, codec, readback):
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=20, batch_size=64 * 1024,
                             compression_type=None if codec == "none" else codec)
    try:
        sent = [producer.send(topic, key=key(index), value=value(index),
                              headers=headers_without_null(index),
                              partition=index % PARTITIONS,
                              timestamp_ms=readback.timestamp_base_ms + index)
                for index in range(readback.count)]
        producer.flush(READ_DEADLINE_S)
        for index, future in enumerate(sent):
            place = future.get(READ_DEADLINE_S)
            readback.acknowledged(index, place.partition, place.offset)
    finally:
        producer.close()
    readback.all_acknowledged()


def consume(address, topic, readback):
    consumer = KafkaConsumer(bootstrap_servers=address, group_id=None, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        deadline = time.monotonic() + READ_DEADLINE_S
        while not readback.complete():
            if time.monotonic() > deadline:
                raise AssertionError(f"read {readback.seen} of {readback.count} in time")
            for records in consumer.poll(timeout_ms=200, max_records=5000).values():
                for record in records:
                    readback.read(record.partition, record.offset, record.timestamp, record.key,
                                  record.value, record.headers)
    finally:
        consumer.close()
