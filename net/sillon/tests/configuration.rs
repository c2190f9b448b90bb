//! Where a broker's configuration comes from, and how it is shown and changed.

mod broker;

use broker::{Broker, data_dir, refused_at_start, run};

/// The keys and values of the server.properties that Kafka 4 ships.
const SHIPPED: &str = "\
# A node that is its own controller.
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,\\
    SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

fn shown(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<serde_json::Value> {
    let print = ["serve", "--print-config", "--format", "json"];
    let output = run(&[&print[..], arguments].concat(), variables);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A value that is shown, and whom it is from.
fn of<'a>(shown: &'a [serde_json::Value], key: &str) -> (Option<&'a str>, &'a str) {
    let found = shown.iter().find(|value| value["key"] == key).unwrap();
    (found["value"].as_str(), found["origin"].as_str().unwrap())
}

#[test]
fn kafkas_own_file_starts_a_broker() {
    let data = data_dir();
    let path = data.path().join("server.properties");
    std::fs::write(&path, SHIPPED).unwrap();
    let path = path.to_str().unwrap();
    let shown = shown(&["--config", path], &[]);
    let (value, origin) = of(&shown, "listeners");
    assert_eq!(value, Some("PLAINTEXT://:9092,CONTROLLER://:9093"));
    assert!(origin.ends_with("server.properties, line 5"), "{origin}");
    assert_eq!(
        of(&shown, "advertised.listeners").0,
        Some("PLAINTEXT://localhost:9092")
    );
    assert_eq!(of(&shown, "log.dirs").0, Some("/tmp/kraft-combined-logs"));
    // Its port and its folder may be taken on this host.
    let broker = Broker::start(&data, &["--config", path, "--advertise", "127.0.0.1"]);
    let described = broker.succeed(&["config", "describe", "--broker", "1"], "");
    assert!(described.contains("log.retention.hours"), "{described}");
    let words = &broker.first_words;
    assert!(
        words.contains("offsets.topic.replication.factor has no effect"),
        "{words}"
    );
    broker.stop();
}

#[test]
fn options_go_before_variables_and_those_before_the_file() {
    let data = data_dir();
    let path = data.path().join("some.properties");
    let text = "num.partitions=2\nlog.roll.ms=7\nmessage.max.bytes=5000\nmin.insync.replicas=1\n";
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let variables = [
        ("SILLON_CONFIG", path),
        ("KAFKA_NUM_PARTITIONS", "3"),
        ("KAFKA_LOG_ROLL_MS", "8"),
        ("SILLON_LOG_ROLL_MS", "9"),
        ("SILLON_SHARDS", "3"),
    ];
    let shown = shown(
        &["--override", "num.partitions=4", "--memory", "256MiB"],
        &variables,
    );
    assert_eq!(of(&shown, "num.partitions"), (Some("4"), "--override"));
    assert_eq!(of(&shown, "log.roll.ms"), (Some("9"), "SILLON_LOG_ROLL_MS"));
    assert_eq!(of(&shown, "message.max.bytes").0, Some("5000"));
    assert!(
        of(&shown, "message.max.bytes")
            .1
            .ends_with("some.properties, line 3")
    );
    assert_eq!(
        of(&shown, "auto.create.topics.enable"),
        (Some("true"), "default")
    );
    assert_eq!(of(&shown, "--shards"), (Some("3"), "SILLON_SHARDS"));
    assert_eq!(of(&shown, "--memory"), (Some("268435456"), "--memory"));
}

#[test]
fn listeners_inside_and_outside_are_served_as_kafkas_containers_have_them() {
    let data = data_dir();
    let variables = [
        (
            "KAFKA_LISTENERS",
            "OUTSIDE://127.0.0.1:0,INSIDE://localhost:0,CONTROLLER://:9093",
        ),
        (
            "KAFKA_ADVERTISED_LISTENERS",
            "INSIDE://field:7001,OUTSIDE://localhost:7002",
        ),
        (
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
            "CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT",
        ),
        ("KAFKA_INTER_BROKER_LISTENER_NAME", "INSIDE"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
    ];
    let broker = Broker::start_with(&data, &[], &variables);
    let lines = broker
        .first_words
        .lines()
        .filter(|line| line.contains("listening"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("host=\"localhost\""), "{lines:?}");
    assert!(
        lines[1].contains("host=\"field\"") && lines[1].contains("port=7001"),
        "{lines:?}"
    );
    for line in lines {
        let address = line.split("address=").nth(1).unwrap();
        let address = address.split(' ').next().unwrap();
        std::net::TcpStream::connect(address).unwrap();
    }
    broker.stop();
}

#[test]
fn a_wrong_line_is_named_with_what_is_nearest_to_it() {
    let data = data_dir();
    let path = data.path().join("wrong.properties");
    for (text, complaints) in [
        ("a=1\n", &["line 1", "there is no key a"][..]),
        (
            "\nnum.partition=1\n",
            &["line 2", "did you mean num.partitions?"],
        ),
        (
            "num.partitions=none\n",
            &["line 1", "a whole number from 1"],
        ),
        (
            "sasl.enabled.mechanisms=PLAIN\n",
            &["TLS, SASL and ACLs are not built yet"],
        ),
        ("zookeeper.connect=localhost:2181\n", &["no ZooKeeper"]),
        ("listeners=SSL://:9092\n", &["only PLAINTEXT"]),
        (
            "advertised.listeners=PLAINTEXT://0.0.0.0:1\n",
            &["cannot connect to every address"],
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let said = refused_at_start(&["--config", path.to_str().unwrap()]);
        for complaint in complaints {
            assert!(said.contains(complaint), "{text}: {said}");
        }
    }
    let said = refused_at_start(&["--config", "no/such/file"]);
    assert!(said.contains("no/such/file"), "{said}");
    let said = refused_at_start(&["--advertise", "0.0.0.0:9092"]);
    assert!(said.contains("cannot connect to every address"), "{said}");
}

#[test]
fn an_unknown_variable_is_told_once_and_those_of_kafkas_scripts_are_not() {
    let data = data_dir();
    let variables = [
        ("KAFKA_HEAP_OPTS", "-Xmx1g"),
        ("KAFKA_NUM_PARTITION", "3"),
        ("KAFKA_NUM_PARTITIONS", "3"),
    ];
    let broker = Broker::start_with(&data, &[], &variables);
    let words = &broker.first_words;
    assert!(
        words.contains("name no configuration: KAFKA_NUM_PARTITION\n"),
        "{words}"
    );
    assert!(!words.contains("KAFKA_HEAP_OPTS"), "{words}");
    broker.stop();
}

#[test]
fn a_broker_that_listens_everywhere_tells_clients_its_name_and_says_so() {
    let data = data_dir();
    let broker = Broker::start(&data, &["--listen", ":0"]);
    let port = broker.address.rsplit(':').next().unwrap().to_owned();
    let words = &broker.first_words;
    assert!(words.contains("clients are told to connect to"), "{words}");
    for host in ["127.0.0.1", "localhost"] {
        let address = format!("{host}:{port}");
        let output = run(&["topic", "list", "--bootstrap", &address], &[]);
        assert!(output.status.success(), "{output:?}");
    }
    broker.stop();
}

#[test]
fn a_broker_on_localhost_is_reached_by_every_address_that_this_name_has() {
    let data = data_dir();
    let broker = Broker::start(&data, &["--listen", "localhost:0"]);
    let port: u16 = broker.address.rsplit(':').next().unwrap().parse().unwrap();
    let addresses = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", port)).unwrap();
    for address in addresses {
        std::net::TcpStream::connect(address).unwrap();
    }
    broker.stop();
}

#[test]
fn configurations_are_described_and_altered() {
    let data = data_dir();
    let broker = Broker::start(&data, &["--override", "log.roll.ms=5000000"]);
    broker.succeed(&["topic", "create", "furrow", "-c", "retention.ms=5"], "");
    let describe = ["config", "describe", "--topic", "furrow"];
    let described = broker.succeed(&describe, "");
    let expected = "KEY             VALUE  FROM\n\
                    retention.ms        5  DYNAMIC_TOPIC_CONFIG\n\
                    segment.ms    5000000  STATIC_BROKER_CONFIG\n";
    assert_eq!(described, expected);
    broker.succeed(
        &[
            "config",
            "alter",
            "--topic",
            "furrow",
            "--delete",
            "retention.ms",
            "--set",
            "flush.messages=100",
            "--append",
            "cleanup.policy=compact",
        ],
        "",
    );
    let described = broker.succeed(&[&describe[..], &["--format", "json"]].concat(), "");
    let described: Vec<serde_json::Value> = serde_json::from_str(&described).unwrap();
    let keys: Vec<_> = described
        .iter()
        .map(|value| value["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["cleanup.policy", "flush.messages", "segment.ms"]);
    assert_eq!(described[0]["value"], "delete,compact");
    let all = broker.succeed(&[&describe[..], &["--all"]].concat(), "");
    assert!(all.lines().count() > 30, "{all}");

    let defaults = [
        "config",
        "alter",
        "--broker-defaults",
        "--set",
        "message.max.bytes=2000",
    ];
    broker.succeed(&[&defaults[..], &["--dry-run"]].concat(), "");
    let described = broker.succeed(&["config", "describe", "--broker-defaults"], "");
    assert_eq!(described, "KEY  VALUE  FROM\n", "it was dry");
    broker.succeed(&defaults, "");
    let described = broker.succeed(&["config", "describe", "--broker-defaults"], "");
    assert!(described.contains("message.max.bytes"), "{described}");

    let altered = broker.succeed(
        &["topic", "alter", "furrow", "-p", "3", "-c", "segment.ms=7"],
        "",
    );
    assert!(altered.contains("segment.ms"), "{altered}");
    assert!(altered.contains("furrow"), "{altered}");
    for (arguments, complaint) in [
        (
            &["topic", "alter", "furrow"][..],
            "nothing is to be altered",
        ),
        (
            &["topic", "alter", "furrow", "-p", "2"],
            "INVALID_PARTITIONS (37)",
        ),
        (
            &["topic", "alter", "plough", "-p", "2"],
            "UNKNOWN_TOPIC_OR_PARTITION (3)",
        ),
        (
            &[
                "config",
                "alter",
                "--broker",
                "1",
                "--set",
                "num.partitions=2",
            ],
            "INVALID_REQUEST (42)",
        ),
        (
            &[
                "config",
                "alter",
                "--topic",
                "furrow",
                "--set",
                "retention=2",
            ],
            "INVALID_CONFIG (40)",
        ),
        (
            &["config", "describe", "--broker", "9"],
            "BROKER_NOT_AVAILABLE (8)",
        ),
    ] {
        let said = broker.fail(arguments, "");
        assert!(said.contains(complaint), "{arguments:?}: {said}");
    }
    broker.stop();
}

#[test]
fn pages_are_written_from_the_commands() {
    for (arguments, expected) in [
        (&["completions", "bash"][..], "complete -F _sillon"),
        (&["completions", "fish"], "complete -c sillon"),
        (&["man"], ".TH sillon"),
        (&["man", "serve"], "print\\-config"),
        (
            &["config", "reference"],
            "| `flush.messages` | long | `1` |",
        ),
    ] {
        let output = run(arguments, &[]);
        assert!(output.status.success());
        let page = String::from_utf8(output.stdout).unwrap();
        assert!(page.contains(expected), "{arguments:?}: {page}");
    }
    assert!(!run(&["man", "plough"], &[]).status.success());
}
