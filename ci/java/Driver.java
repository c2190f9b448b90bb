import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's own client, 3.x or 4.x, behind the line protocol of ci/harness/driver.py. */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration POLL = Duration.ofMillis(100);
    private static final Duration READ_DEADLINE = Duration.ofSeconds(30);

    private final Properties common = new Properties();
    /** What the member's own thread does between two polls; only that thread may use the consumer. */
    private final ConcurrentLinkedQueue<CompletableFuture<Void>> commits = new ConcurrentLinkedQueue<>();

    private volatile boolean leaving;
    private Thread member;

    private Driver(String bootstrap) {
        common.put("bootstrap.servers", bootstrap);
    }

    public static void main(String[] arguments) throws IOException {
        Driver driver = new Driver(arguments[0]);
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Map<String, Object> answer = new HashMap<>();
            try {
                answer.put("ok", driver.run(JSON.readTree(line)));
            } catch (Exception error) {
                answer.put("error", describe(error));
            }
            say(answer);
        }
        System.exit(0);
    }

    private static String describe(Throwable error) {
        StringBuilder text = new StringBuilder(error.toString());
        for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
            text.append("; ").append(cause);
        }
        return text.toString();
    }

    private static synchronized void say(Object event) {
        try {
            System.out.println(JSON.writeValueAsString(event));
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private Object run(JsonNode asked) throws Exception {
        switch (asked.get("do").asText()) {
            case "produce":
                return produce(asked);
            case "read":
                return read(asked);
            case "join":
                return join(asked);
            case "commit":
                CompletableFuture<Void> done = new CompletableFuture<>();
                commits.add(done);
                return done.get();
            case "close":
                leaving = true;
                member.join();
                return null;
            case "init_transactions":
                return initTransactions();
            case "consumer_protocol":
                return consumerProtocol(asked);
            default:
                try (Admin admin = Admin.create(common)) {
                    return administer(admin, asked);
                }
        }
    }

    private KafkaProducer<byte[], byte[]> producer(Map<String, Object> options) {
        Properties all = new Properties();
        all.putAll(common);
        all.putAll(options);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> options) {
        Properties all = new Properties();
        all.putAll(common);
        all.putAll(options);
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static byte[] plain(JsonNode text) {
        return text.isNull() ? null : Base64.getDecoder().decode(text.asText());
    }

    private static String text(byte[] data) {
        return data == null ? null : Base64.getEncoder().encodeToString(data);
    }

    private Object produce(JsonNode asked) throws Exception {
        String topic = asked.get("topic").asText();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = producer(Map.of("compression.type", asked.get("codec").asText(), "linger.ms", 50))) {
            for (JsonNode one : asked.get("records")) {
                List<Header> headers = new ArrayList<>();
                for (JsonNode header : one.get("headers")) {
                    headers.add(new RecordHeader(header.get(0).asText(), plain(header.get(1))));
                }
                sent.add(
                        producer.send(
                                new ProducerRecord<>(
                                        topic,
                                        one.get("partition").asInt(),
                                        one.get("timestamp").asLong(),
                                        plain(one.get("key")),
                                        plain(one.get("value")),
                                        headers)));
            }
        }
        for (Future<RecordMetadata> one : sent) {
            one.get();
        }
        return null;
    }

    private Object read(JsonNode asked) {
        var part = new TopicPartition(asked.get("topic").asText(), asked.get("partition").asInt());
        int count = asked.get("count").asInt();
        List<Map<String, Object>> found = new ArrayList<>();
        long deadline = System.nanoTime() + READ_DEADLINE.toNanos();
        try (var consumer = consumer(Map.of("enable.auto.commit", false))) {
            consumer.assign(List.of(part));
            if (asked.has("time")) {
                var times = Map.of(part, asked.get("time").asLong());
                consumer.seek(part, consumer.offsetsForTimes(times).get(part).offset());
            } else {
                consumer.seek(part, asked.get("offset").asLong());
            }
            while (found.size() < count) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("read " + found.size() + " of " + count);
                }
                for (ConsumerRecord<byte[], byte[]> one : consumer.poll(POLL)) {
                    if (found.size() < count) {
                        found.add(shown(one));
                    }
                }
            }
        }
        return found;
    }

    private static Map<String, Object> shown(ConsumerRecord<byte[], byte[]> one) {
        List<List<String>> headers = new ArrayList<>();
        for (Header header : one.headers()) {
            headers.add(List.of(header.key(), text(header.value())));
        }
        Map<String, Object> shown = new HashMap<>();
        shown.put("offset", one.offset());
        shown.put("timestamp", one.timestamp());
        shown.put("key", text(one.key()));
        shown.put("value", text(one.value()));
        shown.put("headers", headers);
        return shown;
    }

    private Object join(JsonNode asked) {
        Map<String, Object> options = new HashMap<>();
        options.put("group.id", asked.get("group").asText());
        options.put("auto.offset.reset", "earliest");
        options.put("session.timeout.ms", asked.get("session_ms").asInt());
        options.put("heartbeat.interval.ms", 500);
        options.put("enable.auto.commit", asked.has("auto_ms"));
        if (asked.has("auto_ms")) {
            options.put("auto.commit.interval.ms", asked.get("auto_ms").asInt());
        }
        if (asked.has("instance")) {
            options.put("group.instance.id", asked.get("instance").asText());
        }
        String assignor = asked.has("cooperative") ? "CooperativeStickyAssignor" : "RangeAssignor";
        options.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor);
        String topic = asked.get("topic").asText();
        member = new Thread(() -> {
            try (var consumer = consumer(options)) {
                consumer.subscribe(List.of(topic));
                while (!leaving) {
                    for (ConsumerRecord<byte[], byte[]> one : consumer.poll(POLL)) {
                        String value = new String(one.value(), StandardCharsets.UTF_8);
                        say(Map.of("read", List.of(one.partition(), one.offset(), value)));
                    }
                    for (var wish = commits.poll(); wish != null; wish = commits.poll()) {
                        try {
                            consumer.commitSync();
                            wish.complete(null);
                        } catch (RuntimeException error) {
                            wish.completeExceptionally(error);
                        }
                    }
                }
            } catch (RuntimeException error) {
                say(Map.of("complaint", describe(error)));
            }
        });
        member.start();
        return null;
    }

    private Object initTransactions() {
        Map<String, Object> options = Map.of("transactional.id", "compat-java", "max.block.ms", 30_000);
        try (var producer = producer(options)) {
            producer.initTransactions();
        }
        return null;
    }

    private Object consumerProtocol(JsonNode asked) {
        Map<String, Object> options =
                Map.of(
                        "group.protocol", "consumer",
                        "group.id", asked.get("group").asText(),
                        "auto.offset.reset", "earliest");
        long deadline = System.nanoTime() + READ_DEADLINE.toNanos();
        try (var consumer = consumer(options)) {
            consumer.subscribe(List.of(asked.get("topic").asText()));
            while (consumer.poll(POLL).isEmpty()) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("nothing was read, and no error was given");
                }
            }
        }
        return null;
    }

    private static Object administer(Admin admin, JsonNode asked) throws Exception {
        String topic = asked.get("topic").asText();
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        switch (asked.get("do").asText()) {
            case "create":
                Map<String, String> configs = new HashMap<>();
                for (var one : asked.get("configs").properties()) {
                    configs.put(one.getKey(), one.getValue().asText());
                }
                var made = new NewTopic(topic, Optional.of(asked.get("partitions").asInt()), Optional.empty());
                return admin.createTopics(List.of(made.configs(configs))).all().get();
            case "describe":
                var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
                Map<String, String> found = new HashMap<>();
                for (ConfigEntry entry : admin.describeConfigs(List.of(resource)).all().get().get(resource).entries()) {
                    found.put(entry.name(), entry.value());
                }
                return Map.of("partitions", described.partitions().size(), "configs", found);
            case "alter":
                List<AlterConfigOp> changes = new ArrayList<>();
                for (var one : asked.get("configs").properties()) {
                    var entry = new ConfigEntry(one.getKey(), one.getValue().asText());
                    changes.add(new AlterConfigOp(entry, AlterConfigOp.OpType.SET));
                }
                return admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
            case "grow":
                var grown = NewPartitions.increaseTo(asked.get("partitions").asInt());
                return admin.createPartitions(Map.of(topic, grown)).all().get();
            case "delete":
                return admin.deleteTopics(List.of(topic)).all().get();
            case "lag":
                return lag(admin, asked.get("group").asText(), topic);
            default:
                throw new IllegalArgumentException("no such command: " + asked);
        }
    }

    private static Map<Integer, Long> lag(Admin admin, String group, String topic) throws Exception {
        var committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        for (TopicPartition part : committed.keySet()) {
            if (part.topic().equals(topic)) {
                wanted.put(part, OffsetSpec.latest());
            }
        }
        Map<Integer, Long> result = new HashMap<>();
        for (var end : admin.listOffsets(wanted).all().get().entrySet()) {
            result.put(end.getKey().partition(), end.getValue().offset() - committed.get(end.getKey()).offset());
        }
        return result;
    }
}
