use std::collections::{BTreeMap, BTreeSet};

use sillon_record::{BrokerId, PartitionIncarnation, TopicId};

use crate::{
    AssignmentFault, ControlReply, ControllerOptions, CreatePartitionsError, CreateTopicError,
    CreatedTopic, EffectiveConfig, Image, InvalidConfig, MetadataRecord, NewTopic, TopicConfig,
    check_topic_name,
};

/// Partitions that one request may create: Kafka's bound on one batch of metadata.
pub const CREATED_PARTITIONS_MAX: usize = 10_000;

/// Partitions of a cluster: each costs a broker open files and at least one block of memory, and
/// the longest Metadata answer (about 5 MiB) must stay affordable.
pub const PARTITIONS_MAX: usize = 100_000;

/// Values of configurations that one CreateTopics answer tells: 500 topics with all of theirs,
/// about 3 MiB here and as much in the answer. A request may create twenty times as many.
pub const CREATED_CONFIGS_MAX: usize = 20_000;

/// Kafka's own metadata log, which is no topic.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// What a CreateTopics or CreatePartitions request comes to.
#[derive(Debug, Default)]
pub(crate) struct Creation {
    pub results: CreationResults,
    /// By topic of the request.
    pub names: Vec<String>,
    pub records: Vec<MetadataRecord>,
    /// The new partitions, and the place of their topic in the request.
    pub partitions: Vec<(PartitionIncarnation, usize)>,
    /// Values of configurations that the answer tells.
    configs_told: usize,
}

/// The answers to such a request, by topic of it.
#[derive(Debug)]
pub(crate) enum CreationResults {
    Topics(Vec<Result<CreatedTopic, CreateTopicError>>),
    Partitions(Vec<Result<(), CreatePartitionsError>>),
}

impl Default for CreationResults {
    fn default() -> CreationResults {
        CreationResults::Topics(Vec::new())
    }
}

impl Creation {
    /// All of a new topic's configuration, while the answer has room for it.
    fn tell_configs(
        &mut self,
        image: &Image,
        (config, overrides): &NewConfig,
    ) -> Option<Vec<EffectiveConfig>> {
        if self.configs_told >= CREATED_CONFIGS_MAX {
            return None;
        }
        let mut configs = image.settings().of_topic(config, overrides);
        self.configs_told += configs.len();
        if self.configs_told > CREATED_CONFIGS_MAX {
            return None;
        }
        for config in &mut configs {
            // Nobody is told.
            config.synonyms = Vec::new();
        }
        Some(configs)
    }

    /// Leaves the answer and forgets the deed.
    pub fn only_validated(&mut self) {
        self.records.clear();
        self.partitions.clear();
        if let CreationResults::Topics(results) = &mut self.results {
            for created in results.iter_mut().flatten() {
                created.id = TopicId::ZERO;
            }
        }
    }
}

impl CreationResults {
    /// A partition could not be opened.
    pub fn fail(&mut self, topic: usize, name: String, partition: i32, reason: String) {
        match self {
            CreationResults::Topics(results) => {
                results[topic] = Err(CreateTopicError::Storage {
                    name,
                    partition,
                    reason,
                });
            }
            CreationResults::Partitions(results) => {
                results[topic] = Err(CreatePartitionsError::Storage {
                    name,
                    partition,
                    reason,
                });
            }
        }
    }

    pub fn into_reply(self) -> ControlReply {
        match self {
            CreationResults::Topics(results) => ControlReply::CreateTopics(results),
            CreationResults::Partitions(results) => ControlReply::CreatePartitions(results),
        }
    }
}

/// Decides about a CreateTopics request. Applies nothing.
pub(crate) fn create_topics(
    image: &Image,
    options: &ControllerOptions,
    topics: Vec<NewTopic>,
) -> Creation {
    let twice = named_twice(&topics);
    let mut results = Vec::new();
    let mut creation = Creation::default();
    // Names of this request that are taken, since they may collide with each other too.
    let mut taken = Image::default();
    for (place, topic) in topics.into_iter().enumerate() {
        let result = if twice.contains(&topic.name) {
            Err(CreateTopicError::NamedTwice {
                name: topic.name.clone(),
            })
        } else {
            create_topic(image, &taken, options, &topic, place, &mut creation)
        };
        if result.is_ok() {
            taken.apply(&MetadataRecord::Topic {
                id: topic.id,
                name: topic.name.clone(),
            });
        }
        results.push(result);
        creation.names.push(topic.name);
    }
    creation.results = CreationResults::Topics(results);
    creation
}

fn named_twice(topics: &[NewTopic]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let repeated = topics.iter().filter(|t| !seen.insert(t.name.as_str()));
    repeated.map(|topic| topic.name.clone()).collect()
}

fn create_topic(
    image: &Image,
    taken: &Image,
    options: &ControllerOptions,
    topic: &NewTopic,
    place: usize,
    creation: &mut Creation,
) -> Result<CreatedTopic, CreateTopicError> {
    check_name(image, taken, topic)?;
    let config = check_configs(image, topic)?;
    let replicas = place_replicas(image, options, topic)?;
    let asked = creation.partitions.len() + replicas.len();
    let existing = image.partitions_count();
    if asked > CREATED_PARTITIONS_MAX || existing + asked > PARTITIONS_MAX {
        return Err(CreateTopicError::TooManyPartitions {
            asked,
            existing,
            created_max: CREATED_PARTITIONS_MAX,
            max: PARTITIONS_MAX,
        });
    }
    let created = CreatedTopic {
        id: topic.id,
        partitions: replicas.len() as i32,
        replication_factor: replicas[0].len() as i16,
        configs: creation.tell_configs(image, &config),
    };
    record_topic(image, topic, replicas, place, creation);
    Ok(created)
}

fn check_name(image: &Image, taken: &Image, topic: &NewTopic) -> Result<(), CreateTopicError> {
    let name = &topic.name;
    check_topic_name(name)?;
    if name == CLUSTER_METADATA {
        return Err(CreateTopicError::Reserved { name: name.clone() });
    }
    if image.topic_named(name).is_some() {
        return Err(CreateTopicError::AlreadyExists { name: name.clone() });
    }
    let colliding = image.topic_colliding_with(name);
    if let Some(existing) = colliding.or_else(|| taken.topic_colliding_with(name)) {
        return Err(CreateTopicError::NameCollides {
            name: name.clone(),
            existing: existing.name.to_string(),
        });
    }
    let id = topic.id;
    let images = [image, taken];
    let is_used = |image: &&Image| image.topic(id).is_some() || image.removed_topic(id).is_some();
    if id == TopicId::ZERO || images.iter().any(is_used) {
        return Err(CreateTopicError::IdUsed { id });
    }
    Ok(())
}

/// What a new topic is to be, and what of that its creator said.
type NewConfig = (TopicConfig, BTreeMap<String, String>);

fn check_configs(image: &Image, topic: &NewTopic) -> Result<NewConfig, CreateTopicError> {
    let mut config = *image.defaults();
    let mut overrides = BTreeMap::new();
    for (key, value) in &topic.configs {
        let Some(value) = value else {
            return Err(InvalidConfig::Null { key: key.clone() }.into());
        };
        config.set(key, value)?;
        if overrides.insert(key.clone(), value.clone()).is_some() {
            return Err(InvalidConfig::Twice { key: key.clone() }.into());
        }
    }
    Ok((config, overrides))
}

/// The replicas of every partition, by number. At least one partition, each with at least one.
fn place_replicas(
    image: &Image,
    options: &ControllerOptions,
    topic: &NewTopic,
) -> Result<Vec<Vec<BrokerId>>, CreateTopicError> {
    if !topic.assignments.is_empty() {
        return assigned_replicas(image, topic);
    }
    let partitions = match topic.partitions {
        -1 => options.default_partitions,
        partitions => partitions,
    };
    if partitions < 1 {
        return Err(CreateTopicError::InvalidPartitions { partitions });
    }
    if partitions as usize > CREATED_PARTITIONS_MAX {
        return Err(CreateTopicError::TooManyPartitions {
            asked: partitions as usize,
            existing: image.partitions_count(),
            created_max: CREATED_PARTITIONS_MAX,
            max: PARTITIONS_MAX,
        });
    }
    let replication_factor = match topic.replication_factor {
        -1 => options.default_replication_factor,
        replication_factor => replication_factor,
    };
    let brokers = image.brokers().len();
    let replicas = usize::try_from(replication_factor).unwrap_or(0);
    if replicas < 1 || replicas > brokers {
        return Err(CreateTopicError::InvalidReplicationFactor {
            replication_factor,
            brokers,
        });
    }
    Ok(spread(image, topic.id, 0..partitions as usize, replicas))
}

/// Replicas of those partitions of a topic: they go round the brokers, starting at one that the
/// topic's id picks.
pub(crate) fn spread(
    image: &Image,
    topic: TopicId,
    partitions: std::ops::Range<usize>,
    replicas: usize,
) -> Vec<Vec<BrokerId>> {
    let brokers: Vec<BrokerId> = image.brokers().map(|broker| broker.id).collect();
    let start = usize::from(topic.0[0]);
    let of_partition = |partition: usize| {
        let replica = |turn: usize| brokers[(start + partition + turn) % brokers.len()];
        (0..replicas).map(replica).collect()
    };
    partitions.map(of_partition).collect()
}

fn assigned_replicas(
    image: &Image,
    topic: &NewTopic,
) -> Result<Vec<Vec<BrokerId>>, CreateTopicError> {
    if topic.partitions != -1 || topic.replication_factor != -1 {
        return Err(CreateTopicError::AssignmentAndCounts);
    }
    let mut assignments: Vec<_> = topic.assignments.iter().collect();
    assignments.sort_by_key(|assignment| assignment.partition);
    let factor = assignments[0].replicas.len();
    let mut replicas = Vec::with_capacity(assignments.len());
    for (number, assignment) in assignments.into_iter().enumerate() {
        let partition = assignment.partition;
        let invalid = |fault| CreateTopicError::InvalidAssignment { partition, fault };
        if usize::try_from(partition) != Ok(number) {
            return Err(invalid(AssignmentFault::Number));
        }
        check_replicas(image, &assignment.replicas, factor).map_err(invalid)?;
        replicas.push(assignment.replicas.clone());
    }
    Ok(replicas)
}

pub(crate) fn check_replicas(
    image: &Image,
    replicas: &[BrokerId],
    factor: usize,
) -> Result<(), AssignmentFault> {
    if replicas.is_empty() {
        return Err(AssignmentFault::NoReplicas);
    }
    let mut seen = BTreeSet::new();
    for replica in replicas {
        if image.broker(*replica).is_none() {
            return Err(AssignmentFault::UnknownBroker(*replica));
        }
        if !seen.insert(replica) {
            return Err(AssignmentFault::BrokerTwice(*replica));
        }
    }
    if replicas.len() != factor {
        return Err(AssignmentFault::ReplicaCount);
    }
    Ok(())
}

fn record_topic(
    image: &Image,
    topic: &NewTopic,
    replicas: Vec<Vec<BrokerId>>,
    place: usize,
    creation: &mut Creation,
) {
    creation.records.push(MetadataRecord::Topic {
        id: topic.id,
        name: topic.name.clone(),
    });
    for (key, value) in &topic.configs {
        creation.records.push(MetadataRecord::TopicConfig {
            topic: topic.id,
            key: key.clone(),
            value: value.clone(),
        });
    }
    for (partition, replicas) in replicas.into_iter().enumerate() {
        let taken = creation.partitions.len() as u64;
        let incarnation = PartitionIncarnation(image.next_incarnation().0 + taken);
        creation.partitions.push((incarnation, place));
        creation.records.push(MetadataRecord::Partition {
            topic: topic.id,
            partition: partition as i32,
            incarnation,
            replicas,
        });
    }
}
