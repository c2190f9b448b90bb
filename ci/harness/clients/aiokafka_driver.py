"""aiokafka behind the line protocol of harness/driver.py: `aiokafka_driver BOOTSTRAP`."""

import asyncio
import base64
import json
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

MANY_MS = 100


def say(**event):
    print(json.dumps(event), flush=True)


def plain(data):
    return None if data is None else base64.b64decode(data)


def text(data):
    return None if data is None else base64.b64encode(data).decode()


class Driver:
    def __init__(self, bootstrap):
        self.bootstrap = {"bootstrap_servers": bootstrap}
        self.member = self.reading = None

    async def produce(self, topic, codec, records):
        codec = None if codec == "none" else codec
        async with AIOKafkaProducer(**self.bootstrap, compression_type=codec, linger_ms=50) as producer:
            sent = [await producer.send(
                topic, plain(one["value"]), key=plain(one["key"]), partition=one["partition"],
                timestamp_ms=one["timestamp"], headers=[(name, plain(v)) for name, v in one["headers"]])
                for one in records]
            for result in sent:
                await result

    async def read(self, topic, partition, count, offset=None, time=None):
        part = TopicPartition(topic, partition)
        async with AIOKafkaConsumer(**self.bootstrap, enable_auto_commit=False) as consumer:
            consumer.assign([part])
            if time is not None:
                offset = (await consumer.offsets_for_times({part: time}))[part].offset
            consumer.seek(part, offset)
            found = []
            while len(found) < count:
                found.append(await consumer.getone())
        return [{"offset": one.offset, "timestamp": one.timestamp, "key": text(one.key),
                 "value": text(one.value), "headers": [[name, text(v)] for name, v in one.headers]}
                for one in found]

    async def join(self, topic, group, session_ms, instance=None, auto_ms=None, cooperative=False):
        self.member = AIOKafkaConsumer(
            topic, **self.bootstrap, group_id=group, group_instance_id=instance,
            enable_auto_commit=auto_ms is not None, auto_commit_interval_ms=auto_ms or 5000,
            auto_offset_reset="earliest", session_timeout_ms=session_ms, heartbeat_interval_ms=500)

        async def run():
            await self.member.start()
            while True:
                for records in (await self.member.getmany(timeout_ms=MANY_MS)).values():
                    for one in records:
                        say(read=[one.partition, one.offset, one.value.decode()])
        self.reading = asyncio.create_task(run())

    async def commit(self):
        await self.member.commit()

    async def close(self):
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)
        await self.member.stop()

    async def administer(self, work):
        admin = AIOKafkaAdminClient(**self.bootstrap)
        await admin.start()
        try:
            return await work(admin)
        finally:
            await admin.close()

    async def create(self, topic, partitions, configs):
        answer = await self.administer(lambda admin: admin.create_topics(
            [NewTopic(topic, partitions, 1, topic_configs=configs)]))
        for error in answer.topic_errors:
            if error[1]:
                raise RuntimeError(f"error {error[1]}: {error[2]}")

    async def describe(self, topic):
        async def work(admin):
            described = (await admin.describe_topics([topic]))[0]
            answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            entries = answers[0].resources[0][4]
            return {"partitions": len(described["partitions"]),
                    "configs": {entry[0]: entry[1] for entry in entries}}
        return await self.administer(work)

    async def alter(self, topic, configs):
        await self.administer(lambda admin: admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, configs)]))

    async def grow(self, topic, partitions):
        await self.administer(lambda admin: admin.create_partitions({topic: NewPartitions(partitions)}))

    async def delete(self, topic):
        await self.administer(lambda admin: admin.delete_topics([topic]))

    async def lag(self, group, topic):
        committed = await self.administer(lambda admin: admin.list_consumer_group_offsets(group))
        async with AIOKafkaConsumer(**self.bootstrap) as consumer:
            ends = await consumer.end_offsets(list(committed))
        return {part.partition: ends[part] - committed[part].offset for part in ends if part.topic == topic}


async def main():
    driver = Driver(sys.argv[1])
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        try:
            say(ok=await getattr(driver, command.pop("do"))(**command))
        except Exception as error:
            say(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    asyncio.run(main())
