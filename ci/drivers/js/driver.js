// kafkajs behind the line protocol of ci/harness/driver.py: `node driver.js BOOTSTRAP`.
'use strict';

const readline = require('node:readline');
const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel } = require('kafkajs');

const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP };
const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.NOTHING });
let member = null;
const positions = new Map();
let membersTopic = null;

const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const plain = (data) => (data === null ? null : Buffer.from(data, 'base64'));
const text = (data) => (data === null ? null : data.toString('base64'));

async function administer(work) {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

const commands = {
  async produce({ topic, codec, records }) {
    const producer = kafka.producer();
    await producer.connect();
    const messages = records.map((one) => ({
      key: plain(one.key),
      value: plain(one.value),
      partition: one.partition,
      timestamp: String(one.timestamp),
      headers: Object.fromEntries(one.headers.map(([name, value]) => [name, plain(value)])),
    }));
    await producer.send({ topic, compression: CODECS[codec], messages });
    await producer.disconnect();
  },

  // Without a group there is no reading in kafkajs: this one commits nothing.
  async read({ topic, partition, count, offset, time }) {
    let from = offset;
    if (time !== undefined) {
      const found = await administer((admin) => admin.fetchTopicOffsetsByTimestamp(topic, time));
      from = found.find((one) => one.partition === partition).offset;
    }
    const consumer = kafka.consumer({ groupId: `${topic}-reader-${process.pid}-${Date.now()}` });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    const found = [];
    await new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
      consumer
        .run({
          autoCommit: false,
          eachMessage: async ({ partition: of, message }) => {
            if (of !== partition || found.length === count) return;
            // A fetch that was under way before the seek may still bring what is older.
            if (BigInt(message.offset) < BigInt(from)) return;
            found.push({
              offset: Number(message.offset),
              timestamp: Number(message.timestamp),
              key: text(message.key),
              value: text(message.value),
              headers: Object.entries(message.headers).map(([name, value]) => [name, text(value)]),
            });
            if (found.length === count) resolve();
          },
        })
        .catch(reject);
      consumer.seek({ topic, partition, offset: String(from) });
    });
    await consumer.disconnect();
    return found;
  },

  async join({ topic, group, session_ms: sessionTimeout, auto_ms: autoCommitInterval }) {
    member = kafka.consumer({ groupId: group, sessionTimeout, heartbeatInterval: 500 });
    membersTopic = topic;
    await member.connect();
    await member.subscribe({ topics: [topic], fromBeginning: true });
    const automatic = autoCommitInterval === undefined ? {} : { autoCommitInterval };
    await member.run({
      autoCommit: autoCommitInterval !== undefined,
      ...automatic,
      eachMessage: async ({ partition, message }) => {
        positions.set(partition, String(BigInt(message.offset) + 1n));
        say({ read: [partition, Number(message.offset), message.value.toString()] });
      },
    });
  },

  async commit() {
    const offsets = [...positions].map(([partition, offset]) => ({ topic: membersTopic, partition, offset }));
    await member.commitOffsets(offsets);
  },

  async close() {
    await member.disconnect();
  },

  async create({ topic, partitions, configs }) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
    const created = await administer((admin) =>
      admin.createTopics({ topics: [{ topic, numPartitions: partitions, configEntries }] }));
    if (!created) throw new Error('the topic exists');
  },

  async describe({ topic }) {
    return administer(async (admin) => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      const { resources } = await admin.describeConfigs({
        includeSynonyms: false,
        resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
      });
      const configs = resources[0].configEntries.map((entry) => [entry.configName, entry.configValue]);
      return { partitions: topics[0].partitions.length, configs: Object.fromEntries(configs) };
    });
  },

  async alter({ topic, configs }) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
    await administer((admin) =>
      admin.alterConfigs({
        validateOnly: false,
        resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }],
      }));
  },

  async grow({ topic, partitions }) {
    await administer((admin) => admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] }));
  },

  async delete({ topic }) {
    await administer((admin) => admin.deleteTopics({ topics: [topic] }));
  },

  async lag({ group, topic }) {
    return administer(async (admin) => {
      const ends = await admin.fetchTopicOffsets(topic);
      const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
      const committed = new Map(partitions.map((one) => [one.partition, BigInt(one.offset)]));
      return Object.fromEntries(
        ends.map((end) => [end.partition, Number(BigInt(end.high) - committed.get(end.partition))]));
    });
  },
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    try {
      say({ ok: (await commands[command.do](command)) ?? null });
    } catch (error) {
      say({ error: `${error.name}: ${error.message}` });
    }
  }
  process.exit(0);
}

main();
