use std::collections::BTreeMap;
use std::sync::Arc;

use sillon_buffer::planted::{self, Bug};
use sillon_record::{BrokerId, LeaderEpoch, PartitionIncarnation, TopicId, TopicPartition};

use crate::effective::BrokerSettings;
use crate::name::collision_key;
use crate::{EffectiveConfig, MetadataRecord, TopicConfig};

/// The cluster's metadata after some number of records. Every shard has one; they are equal as
/// soon as they have applied the same records. Rebuilt from the metadata log at every start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Of topics that say nothing themselves, at the broker's start.
    defaults_at_start: TopicConfig,
    /// As they are now.
    defaults: TopicConfig,
    settings: BrokerSettings,
    topics: BTreeMap<TopicId, Topic>,
    by_name: BTreeMap<Arc<str>, TopicId>,
    by_collision_key: BTreeMap<String, TopicId>,
    by_incarnation: BTreeMap<PartitionIncarnation, TopicPartition>,
    brokers: BTreeMap<BrokerId, Broker>,
    removed: BTreeMap<TopicId, Arc<str>>,
    next_incarnation: u64,
    next_producer_id: i64,
    records_applied: u64,
}

/// A broker that has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its number.
    pub id: BrokerId,
    /// Where clients reach it.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
}

/// A topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// What its configuration comes to.
    pub config: TopicConfig,
    /// By number.
    partitions: Vec<Partition>,
    overrides: BTreeMap<String, String>,
}

/// A partition as the cluster sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub partition: i32,
    /// This life of it.
    pub incarnation: PartitionIncarnation,
    /// The brokers that hold it, preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those that are in sync.
    pub isr: Vec<BrokerId>,
    /// Who leads, when somebody does.
    pub leader: Option<BrokerId>,
    /// Counts the leaders.
    pub leader_epoch: LeaderEpoch,
}

impl Topic {
    /// Its partitions, by number.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The partition of that number.
    pub fn partition(&self, number: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(number).ok()?)
    }

    /// What the topic itself says about its configuration.
    pub fn overrides(&self) -> &BTreeMap<String, String> {
        &self.overrides
    }
}

impl Image {
    /// No metadata at all. `defaults` is the configuration of topics that say nothing themselves.
    pub fn new(defaults: TopicConfig) -> Image {
        Image::of_broker(defaults, BrokerSettings::default())
    }

    /// As [`Self::new`], as a broker with that configuration sees it; `defaults` is what the
    /// latter's start gives topics.
    pub fn of_broker(defaults: TopicConfig, settings: BrokerSettings) -> Image {
        Image {
            defaults_at_start: defaults,
            defaults,
            settings,
            ..Image::default()
        }
    }

    /// Takes in the next record. One about a topic that does not exist changes nothing; no
    /// controller writes such a record.
    pub fn apply(&mut self, record: &MetadataRecord) {
        self.records_applied += 1;
        match record {
            MetadataRecord::BrokerRegistered { broker, host, port } => {
                self.register(*broker, host, *port);
            }
            MetadataRecord::Topic { id, name } => self.add_topic(*id, name),
            MetadataRecord::Partition {
                topic,
                partition,
                incarnation,
                replicas,
            } => self.add_partition(*topic, *partition, *incarnation, replicas),
            MetadataRecord::TopicConfig { topic, key, value } => {
                self.configure(*topic, key, value.as_deref());
            }
            MetadataRecord::BrokerConfig { broker, key, value } => {
                self.settings.set(*broker, key, value.as_deref());
                self.configure_all();
            }
            MetadataRecord::TopicRemoved { id } => self.remove_topic(*id),
            MetadataRecord::ProducerIds { next } => {
                self.next_producer_id = self.next_producer_id.max(*next);
            }
        }
    }

    fn register(&mut self, id: BrokerId, host: &str, port: u16) {
        let host = Arc::from(host);
        self.brokers.insert(id, Broker { id, host, port });
        if planted::is(Bug::EpochNotRaised) {
            return;
        }
        let partitions = self.topics.values_mut().flat_map(|t| &mut t.partitions);
        for partition in partitions.filter(|p| p.leader == Some(id)) {
            partition.leader_epoch.0 = partition.leader_epoch.0.saturating_add(1);
        }
    }

    fn add_topic(&mut self, id: TopicId, name: &str) {
        let name: Arc<str> = Arc::from(name);
        if let Some(key) = collision_key(&name) {
            self.by_collision_key.insert(key, id);
        }
        self.by_name.insert(name.clone(), id);
        let topic = Topic {
            id,
            name,
            config: self.defaults,
            partitions: Vec::new(),
            overrides: BTreeMap::new(),
        };
        self.topics.insert(id, topic);
    }

    fn add_partition(
        &mut self,
        id: TopicId,
        partition: i32,
        incarnation: PartitionIncarnation,
        replicas: &[BrokerId],
    ) {
        self.next_incarnation = self.next_incarnation.max(incarnation.0.saturating_add(1));
        let Some(topic) = self.topics.get_mut(&id) else {
            return;
        };
        if usize::try_from(partition) != Ok(topic.partitions.len()) {
            return;
        }
        let place = TopicPartition {
            topic: id,
            partition,
        };
        self.by_incarnation.insert(incarnation, place);
        topic.partitions.push(Partition {
            partition,
            incarnation,
            replicas: replicas.to_vec(),
            isr: replicas.to_vec(),
            leader: replicas.first().copied(),
            leader_epoch: LeaderEpoch(0),
        });
    }

    fn configure(&mut self, id: TopicId, key: &str, value: Option<&str>) {
        let Some(topic) = self.topics.get_mut(&id) else {
            return;
        };
        match value {
            Some(value) => topic.overrides.insert(key.to_owned(), value.to_owned()),
            None => topic.overrides.remove(key),
        };
        topic.config = self.defaults.overridden(&topic.overrides);
    }

    /// The defaults may have changed.
    fn configure_all(&mut self) {
        self.defaults = self.settings.topic_defaults(&self.defaults_at_start);
        for topic in self.topics.values_mut() {
            topic.config = self.defaults.overridden(&topic.overrides);
        }
    }

    fn remove_topic(&mut self, id: TopicId) {
        let Some(topic) = self.topics.remove(&id) else {
            return;
        };
        self.by_name.remove(&topic.name);
        if let Some(key) = collision_key(&topic.name) {
            self.by_collision_key.remove(&key);
        }
        for partition in &topic.partitions {
            self.by_incarnation.remove(&partition.incarnation);
        }
        self.removed.insert(id, topic.name);
    }

    /// The configuration of a topic that says nothing itself.
    pub fn defaults(&self) -> &TopicConfig {
        &self.defaults
    }

    /// What the brokers' configuration says.
    pub fn settings(&self) -> &BrokerSettings {
        &self.settings
    }

    /// All of a topic's configuration, by name.
    pub fn topic_configs(&self, topic: &Topic) -> Vec<EffectiveConfig> {
        self.settings.of_topic(&topic.config, &topic.overrides)
    }

    /// All of this broker's own configuration, by name.
    pub fn broker_configs(&self) -> Vec<EffectiveConfig> {
        self.settings.of_broker()
    }

    /// What is set on all brokers, by name.
    pub fn all_brokers_configs(&self) -> Vec<EffectiveConfig> {
        self.settings.of_all_brokers()
    }

    /// The topic with that id.
    pub fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id)
    }

    /// The topic of that name.
    pub fn topic_named(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name).and_then(|id| self.topics.get(id))
    }

    /// The topic whose name is this one when '.' and '_' count as the same.
    pub fn topic_colliding_with(&self, name: &str) -> Option<&Topic> {
        let id = self.by_collision_key.get(&collision_key(name)?)?;
        self.topics.get(id)
    }

    /// All topics, by id.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Topic> {
        self.topics.values()
    }

    /// All topics, by name.
    pub fn topics_by_name(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values().filter_map(|id| self.topics.get(id))
    }

    /// A topic and one of its partitions.
    pub fn partition(&self, place: TopicPartition) -> Option<(&Topic, &Partition)> {
        let topic = self.topics.get(&place.topic)?;
        topic.partition(place.partition).map(|p| (topic, p))
    }

    /// The partition that lives under that incarnation; `None` when it is deleted, or was never.
    pub fn partition_of(&self, incarnation: PartitionIncarnation) -> Option<TopicPartition> {
        self.by_incarnation.get(&incarnation).copied()
    }

    /// How many partitions there are.
    pub fn partitions_count(&self) -> usize {
        self.by_incarnation.len()
    }

    /// The name that a deleted topic had: what is left of its folders may go.
    pub fn removed_topic(&self, id: TopicId) -> Option<&Arc<str>> {
        self.removed.get(&id)
    }

    /// The broker of that number.
    pub fn broker(&self, id: BrokerId) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    /// All brokers, by number.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Broker> {
        self.brokers.values()
    }

    /// The incarnation that the next partition gets.
    pub fn next_incarnation(&self) -> PartitionIncarnation {
        PartitionIncarnation(self.next_incarnation)
    }

    /// Producer ids from this one on have never been handed out.
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// How many records have been applied: the index of the next one.
    pub fn records_applied(&self) -> u64 {
        self.records_applied
    }
}
