//! The flags that say what a run does: each changes one field of a scenario.

use clap::{Args, ValueEnum};
use sillon_loadgen::Scenario;
use sillon_loadgen::scenario::{Acks, Codec, Keys, Produce};

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "What is done (each changes the scenario)")]
pub struct ShapeArgs {
    /// How long is measured, in seconds
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// The load before that, in seconds
    #[arg(long, value_name = "SECONDS")]
    warm_up: Option<f64>,
    /// Size of a record's value, in bytes
    #[arg(long, value_name = "BYTES")]
    record_bytes: Option<u32>,
    /// Records of a batch
    #[arg(long, value_name = "COUNT")]
    records_per_batch: Option<u32>,
    /// Topics to spread over
    #[arg(long, value_name = "COUNT")]
    topics: Option<u32>,
    /// Partitions of each topic
    #[arg(long, short, value_name = "COUNT")]
    partitions: Option<u32>,
    /// Connections of the producers
    #[arg(long, short, value_name = "COUNT")]
    connections: Option<u32>,
    /// Requests under way on each, without --rate
    #[arg(long, value_name = "COUNT")]
    in_flight: Option<u32>,
    /// Requests per second, whatever becomes of them
    #[arg(long, value_name = "PER SECOND")]
    rate: Option<f64>,
    /// The rate rises or falls to this one, to find where the broker no longer follows
    #[arg(long, value_name = "PER SECOND")]
    ramp_to: Option<f64>,
    /// Partitions that each request has a batch for
    #[arg(long, value_name = "COUNT")]
    partitions_per_request: Option<u32>,
    /// When the broker answers
    #[arg(long, value_enum, value_name = "WHEN")]
    acks: Option<AcksFlag>,
    /// How batches are compressed
    #[arg(long, value_enum, value_name = "CODEC")]
    compression: Option<CodecFlag>,
    /// Keys: none, uniform:COUNT, zipf:COUNT or zipf:COUNT:EXPONENT
    #[arg(long, value_name = "DISTRIBUTION", value_parser = keys)]
    keys: Option<Keys>,
    /// Idempotent producers
    #[arg(long)]
    idempotent: bool,
    /// No producers: only consumers
    #[arg(long)]
    no_produce: bool,
    /// Consumers that wait for new records
    #[arg(long, value_name = "COUNT")]
    tailing: Option<u32>,
    /// Consumers that read everything once
    #[arg(long, value_name = "COUNT")]
    catching_up: Option<u32>,
    /// Consumers that read everything again and again
    #[arg(long, value_name = "COUNT")]
    looping: Option<u32>,
    /// Written before the measurement, in MiB
    #[arg(long, value_name = "MIB")]
    preload_mib: Option<u64>,
    /// Configuration of the topics, such as flush.messages=1; may be given several times
    #[arg(long = "topic-config", value_name = "KEY=VALUE", value_parser = config)]
    topic_configs: Vec<(String, String)>,
    /// Threads that send
    #[arg(long, value_name = "COUNT")]
    threads: Option<u32>,
    /// Let the kernel move the generator's threads between cores
    #[arg(long)]
    no_pin: bool,
    /// Read back no more than this afterwards, in MiB
    #[arg(long, value_name = "MIB")]
    read_back_mib: Option<u64>,
    /// Where keys and contents come from
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AcksFlag {
    /// Every in-sync replica has the records
    All,
    /// The leader has them
    #[value(name = "1")]
    Leader,
    /// Never
    #[value(name = "0")]
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CodecFlag {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

fn keys(text: &str) -> Result<Keys, String> {
    let wrong = || "none, uniform:COUNT, zipf:COUNT or zipf:COUNT:EXPONENT is needed".to_string();
    let mut parts = text.split(':');
    let kind = parts.next().unwrap_or_default();
    let count = parts
        .next()
        .map(|count| count.parse::<u64>().map_err(|_| wrong()));
    let count = count.transpose()?;
    let exponent = parts
        .next()
        .map(|exponent| exponent.parse::<f64>().map_err(|_| wrong()));
    let exponent = exponent.transpose()?;
    match (kind, count, exponent, parts.next()) {
        ("none", None, None, None) => Ok(Keys::None),
        ("uniform", Some(count), None, None) => Ok(Keys::Uniform { count }),
        ("zipf", Some(count), exponent, None) => Ok(Keys::Zipf {
            count,
            exponent: exponent.unwrap_or(1.0),
        }),
        _ => Err(wrong()),
    }
}

fn config(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("key=value is needed")?;
    Ok((key.to_string(), value.to_string()))
}

impl ShapeArgs {
    /// Whether no flag is given.
    pub fn is_empty(&self) -> bool {
        let untouched = Scenario {
            produce: Some(Produce::default()),
            ..Scenario::default()
        };
        let mut changed = untouched.clone();
        self.apply(&mut changed);
        changed == untouched
    }

    /// Changes a scenario.
    pub fn apply(&self, scenario: &mut Scenario) {
        fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
            if let Some(value) = flag {
                *field = value.clone();
            }
        }
        set(&mut scenario.duration_s, &self.duration);
        set(&mut scenario.warm_up_s, &self.warm_up);
        set(&mut scenario.topics, &self.topics);
        set(&mut scenario.partitions, &self.partitions);
        set(&mut scenario.preload_mib, &self.preload_mib);
        set(&mut scenario.seed, &self.seed);
        scenario
            .topic_configs
            .extend(self.topic_configs.iter().cloned());
        let records = &mut scenario.records;
        set(&mut records.value_bytes, &self.record_bytes);
        set(&mut records.per_batch, &self.records_per_batch);
        set(&mut records.keys, &self.keys);
        set(&mut records.compression, &self.compression.map(codec));
        let consume = &mut scenario.consume;
        set(&mut consume.tailing, &self.tailing);
        set(&mut consume.catching_up, &self.catching_up);
        set(&mut consume.looping, &self.looping);
        set(&mut scenario.verify.read_back_mib_max, &self.read_back_mib);
        if self.threads.is_some() {
            scenario.generator.threads = self.threads;
        }
        scenario.generator.pin &= !self.no_pin;
        // Flags alone mean producers, unless they say that there are only consumers.
        let reads_only = scenario.consume.looping + scenario.consume.catching_up > 0;
        if self.no_produce {
            scenario.produce = None;
        } else if self.says_produce() || !reads_only {
            let produce = scenario.produce.get_or_insert_with(Produce::default);
            self.apply_produce(produce);
        }
    }

    fn says_produce(&self) -> bool {
        self.connections.is_some()
            || self.in_flight.is_some()
            || self.rate.is_some()
            || self.ramp_to.is_some()
            || self.partitions_per_request.is_some()
            || self.acks.is_some()
            || self.idempotent
    }

    fn apply_produce(&self, produce: &mut Produce) {
        produce.connections = self.connections.unwrap_or(produce.connections);
        if let Some(in_flight) = self.in_flight {
            produce.in_flight = in_flight;
            // Requests under way are what saturation is made of.
            produce.rate = None;
            produce.ramp_to = None;
        }
        produce.rate = self.rate.or(produce.rate);
        if self.rate.is_some() {
            produce.ramp_to = None;
        }
        produce.ramp_to = self.ramp_to.or(produce.ramp_to);
        let per_request = self.partitions_per_request;
        produce.partitions_per_request = per_request.unwrap_or(produce.partitions_per_request);
        produce.idempotent |= self.idempotent;
        produce.acks = match self.acks {
            None => produce.acks,
            Some(AcksFlag::All) => Acks::All,
            Some(AcksFlag::Leader) => Acks::Leader,
            Some(AcksFlag::None) => Acks::None,
        };
    }
}

fn codec(flag: CodecFlag) -> Codec {
    match flag {
        CodecFlag::None => Codec::None,
        CodecFlag::Gzip => Codec::Gzip,
        CodecFlag::Snappy => Codec::Snappy,
        CodecFlag::Lz4 => Codec::Lz4,
        CodecFlag::Zstd => Codec::Zstd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_as_they_are_written() {
        assert_eq!(keys("none"), Ok(Keys::None));
        assert_eq!(keys("uniform:9"), Ok(Keys::Uniform { count: 9 }));
        let zipf = |exponent| Keys::Zipf { count: 9, exponent };
        assert_eq!(keys("zipf:9"), Ok(zipf(1.0)));
        assert_eq!(keys("zipf:9:1.5"), Ok(zipf(1.5)));
        for text in ["", "none:3", "uniform", "uniform:x", "zipf:1:2:3", "even:3"] {
            assert!(keys(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_flag_changes_its_field_and_nothing_else() {
        assert!(ShapeArgs::default().is_empty());
        let flags = ShapeArgs {
            rate: Some(5.0),
            ..ShapeArgs::default()
        };
        assert!(!flags.is_empty());
        let mut scenario = Scenario::default();
        flags.apply(&mut scenario);
        let expected = Scenario {
            produce: Some(Produce {
                rate: Some(5.0),
                ..Produce::default()
            }),
            ..Scenario::default()
        };
        assert_eq!(scenario, expected);
    }
}
