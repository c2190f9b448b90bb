import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes records with Kafka's own client at its defaults (idempotent, acks=all, keyed partitioner),
 * reads them back by assign() and compares every byte. The records are those of
 * ci/harness/records.py.
 *
 * <p>Usage: CompatClient BOOTSTRAP TOPIC CODEC COUNT PARTITIONS TIMESTAMP_BASE_MS
 */
public final class CompatClient {
    private static final long KEY_MULTIPLIER = 2654435761L;
    private static final long NOISE_MULTIPLIER = 0x9E3779B97F4A7C15L;
    private static final int NOISE_WORDS = 6;
    private static final Duration READ_DEADLINE = Duration.ofSeconds(60);

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0];
        String topic = arguments[1];
        String codec = arguments[2];
        int count = Integer.parseInt(arguments[3]);
        int partitions = Integer.parseInt(arguments[4]);
        long timestampBaseMs = Long.parseLong(arguments[5]);

        Properties common = new Properties();
        common.put("bootstrap.servers", bootstrap);
        try (Admin admin = Admin.create(common)) {
            NewTopic newTopic = new NewTopic(topic, Optional.of(partitions), Optional.empty());
            admin.createTopics(List.of(newTopic)).all().get();
        }
        long begin = System.nanoTime();
        int[][] acknowledged = produce(common, topic, codec, count, partitions, timestampBaseMs);
        long produced = System.nanoTime();
        consume(common, topic, acknowledged, count, timestampBaseMs);
        long consumed = System.nanoTime();
        System.out.printf(
                "ok produce_ms=%d consume_ms=%d%n",
                (produced - begin) / 1_000_000, (consumed - produced) / 1_000_000);
    }

    /** Returns, for each partition, the index of the record acknowledged at each offset. */
    private static int[][] produce(
            Properties common, String topic, String codec, int count, int partitions, long base)
            throws Exception {
        Properties options = new Properties();
        options.putAll(common);
        options.put("compression.type", codec);
        List<Future<RecordMetadata>> sent = new ArrayList<>(count);
        try (var producer =
                new KafkaProducer<>(options, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int index = 0; index < count; index++) {
                sent.add(
                        producer.send(
                                new ProducerRecord<>(
                                        topic, null, base + index, key(index), value(index), headers(index))));
            }
        }
        int[][] indexAt = new int[partitions][count];
        for (int[] row : indexAt) {
            Arrays.fill(row, -1);
        }
        for (int index = 0; index < count; index++) {
            RecordMetadata place = sent.get(index).get();
            int offset = Math.toIntExact(place.offset());
            check(indexAt[place.partition()][offset] == -1, place + " was acknowledged twice");
            indexAt[place.partition()][offset] = index;
        }
        return indexAt;
    }

    private static void consume(
            Properties common, String topic, int[][] indexAt, int count, long base) {
        Map<Integer, Long> nextOffset = new HashMap<>();
        Map<Integer, Integer> lastIndex = new HashMap<>();
        List<TopicPartition> assignment = new ArrayList<>();
        for (int partition = 0; partition < indexAt.length; partition++) {
            assignment.add(new TopicPartition(topic, partition));
        }
        long deadline = System.nanoTime() + READ_DEADLINE.toNanos();
        try (var consumer =
                new KafkaConsumer<>(common, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(assignment);
            consumer.seekToBeginning(assignment);
            int seen = 0;
            while (seen < count) {
                check(System.nanoTime() < deadline, "read " + seen + " of " + count + " before the deadline");
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    long due = nextOffset.getOrDefault(record.partition(), 0L);
                    String place = record.partition() + "@" + record.offset();
                    check(record.offset() == due, place + " came where offset " + due + " was due");
                    nextOffset.put(record.partition(), due + 1);
                    int index = indexAt[record.partition()][Math.toIntExact(due)];
                    check(index >= 0, place + " was never acknowledged");
                    check(index > lastIndex.getOrDefault(record.partition(), -1), place + " is out of order");
                    lastIndex.put(record.partition(), index);
                    compare(place, index, record, base);
                    seen++;
                }
            }
        }
    }

    private static void compare(
            String place, int index, ConsumerRecord<byte[], byte[]> record, long base) {
        String where = place + ", record " + index + ": ";
        check(Arrays.equals(record.key(), key(index)), where + "another key");
        check(Arrays.equals(record.value(), value(index)), where + "another value");
        check(record.timestamp() == base + index, where + "timestamp " + record.timestamp());
        Header[] got = record.headers().toArray();
        List<Header> expected = headers(index);
        check(got.length == expected.size(), where + got.length + " headers");
        for (int i = 0; i < got.length; i++) {
            check(
                    got[i].key().equals(expected.get(i).key())
                            && Arrays.equals(got[i].value(), expected.get(i).value()),
                    where + "another header " + i);
        }
    }

    private static byte[] key(int index) {
        if (index % 97 == 0) {
            return null;
        }
        if (index % 89 == 0) {
            return new byte[0];
        }
        byte[] text = ("key-" + index).getBytes(StandardCharsets.US_ASCII);
        return ByteBuffer.allocate(8 + text.length).putLong(index * KEY_MULTIPLIER).put(text).array();
    }

    private static byte[] value(int index) {
        if (index % 101 == 0 && index % 97 != 0) {
            return null;
        }
        if (index % 103 == 0) {
            return new byte[0];
        }
        byte[] text = ("record-" + index + " ").repeat(1 + index % 8).getBytes(StandardCharsets.US_ASCII);
        byte[] rest = new byte[index % 128];
        Arrays.fill(rest, (byte) index);
        ByteBuffer value = ByteBuffer.allocate(8 + 8 * NOISE_WORDS + text.length + rest.length);
        value.putLong(index);
        for (int word = 0; word < NOISE_WORDS; word++) {
            value.putLong(NOISE_MULTIPLIER * (index + 1) * (2 * word + 1));
        }
        return value.put(text).put(rest).array();
    }

    private static List<Header> headers(int index) {
        switch (index % 4) {
            case 0:
                return List.of();
            case 1:
                return List.of(header("index", Integer.toString(index).getBytes(StandardCharsets.US_ASCII)));
            case 2:
                return List.of(
                        header("binary", new byte[] {(byte) index, 0, (byte) 0xFF, (byte) (index >> 8)}),
                        header("empty", new byte[0]),
                        header("null", null),
                        header("binary", "again".getBytes(StandardCharsets.US_ASCII)));
            default:
                return List.of(
                        header("\u00e9t\u00e9", "\u043a\u043b\u044e\u0447".getBytes(StandardCharsets.UTF_8)));
        }
    }

    private static Header header(String name, byte[] value) {
        return new RecordHeader(name, value);
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    private CompatClient() {}
}
