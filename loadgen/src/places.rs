//! Where the run's partitions are: topics that were made for it, and who leads what.

use std::collections::BTreeMap;
use std::time::Instant;

use sillon_client::{Client, ClientError, NewTopic, OffsetSpec};
use sillon_protocol::{Api, TopicKey, fetch, produce};
use sillon_record::TopicId;

use crate::scenario::Scenario;

/// The run's topics, partitions and their leaders.
#[derive(Clone, Debug)]
pub struct Places {
    /// In the order of the scenario's numbers.
    pub topics: Vec<TopicPlace>,
    /// Those of all topics, topic by topic. Their index here is their number in the run.
    pub partitions: Vec<Place>,
    /// Brokers that lead any of them.
    pub leaders: Vec<Leader>,
}

/// A topic of the run.
#[derive(Clone, Debug)]
pub struct TopicPlace {
    /// Its name.
    pub name: String,
    /// Its id; zero where the broker has none.
    pub id: TopicId,
}

/// A partition of the run.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Index of its topic.
    pub topic: usize,
    /// Its number in the topic.
    pub index: i32,
    /// Index of its leader.
    pub leader: usize,
}

/// A broker that leads partitions.
#[derive(Clone, Debug)]
pub struct Leader {
    /// `host:port`.
    pub address: String,
    /// The version of Produce to use.
    pub produce_version: i16,
    /// The version of Fetch to use.
    pub fetch_version: i16,
}

impl Places {
    /// Creates the topics of a scenario, `prefix-0` and so on, and finds their leaders.
    pub fn create(
        client: &mut Client,
        scenario: &Scenario,
        prefix: &str,
    ) -> Result<Places, ClientError> {
        let configs = scenario.topic_configs.iter();
        let configs: Vec<(String, String)> = configs
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let names: Vec<String> = (0..scenario.topics)
            .map(|number| format!("{prefix}-{number}"))
            .collect();
        for name in &names {
            client.create_topic(&NewTopic {
                name: name.clone(),
                partitions: Some(scenario.partitions as i32),
                replication_factor: scenario.replication_factor,
                configs: configs.clone(),
            })?;
        }
        Places::find(client, &names, scenario.partitions)
    }

    fn find(client: &mut Client, names: &[String], count: u32) -> Result<Places, ClientError> {
        let mut places = Places {
            topics: Vec::new(),
            partitions: Vec::new(),
            leaders: Vec::new(),
        };
        let mut known = BTreeMap::new();
        for name in names {
            wait_for(client, name, count)?;
            let topic = places.topics.len();
            let id = client.topic(name)?.id;
            places.topics.push(TopicPlace {
                name: name.clone(),
                id,
            });
            for index in 0..count as i32 {
                let broker = client.leader(name, index)?;
                let leader = match known.get(&broker) {
                    Some(leader) => *leader,
                    None => {
                        let connection = client.connection(broker)?;
                        places.leaders.push(Leader {
                            address: connection.address().to_string(),
                            produce_version: connection.version(Api::Produce)?,
                            fetch_version: connection.version(Api::Fetch)?,
                        });
                        known.insert(broker, places.leaders.len() - 1);
                        places.leaders.len() - 1
                    }
                };
                places.partitions.push(Place {
                    topic,
                    index,
                    leader,
                });
            }
        }
        if places.topics.iter().any(|topic| topic.id == TopicId::ZERO) {
            for leader in &mut places.leaders {
                let by_name = produce::FIRST_VERSION_BY_ID - 1;
                leader.produce_version = leader.produce_version.min(by_name);
                let by_name = fetch::FIRST_VERSION_BY_ID - 1;
                leader.fetch_version = leader.fetch_version.min(by_name);
            }
        }
        Ok(places)
    }

    /// Deletes the topics.
    pub fn delete(&self, client: &mut Client) -> Result<(), ClientError> {
        for topic in &self.topics {
            client.delete_topic(&topic.name)?;
        }
        Ok(())
    }

    /// The numbers of the partitions that a leader has.
    pub fn led_by(&self, leader: usize) -> Vec<usize> {
        let partitions = 0..self.partitions.len();
        partitions
            .filter(|number| self.partitions[*number].leader == leader)
            .collect()
    }

    /// The number of a partition in the run.
    pub fn number(&self, topic: u32, index: i32) -> usize {
        let per_topic = self.partitions.len() / self.topics.len();
        topic as usize * per_topic + index as usize
    }

    /// How a request of some version of Produce or Fetch names a topic.
    pub fn key(&self, topic: usize, is_by_id: bool) -> TopicKey<&str> {
        match is_by_id {
            true => TopicKey::Id(self.topics[topic].id),
            false => TopicKey::Name(&self.topics[topic].name),
        }
    }

    /// `topic-partition`, as Kafka's logs have it.
    pub fn name(&self, number: usize) -> String {
        let place = &self.partitions[number];
        format!("{}-{}", self.topics[place.topic].name, place.index)
    }
}

/// Waits until the broker that is asked knows a topic which another one may have created, and
/// every partition of it has a leader.
fn wait_for(client: &mut Client, topic: &str, partitions: u32) -> Result<(), ClientError> {
    let partitions: Vec<i32> = (0..partitions as i32).collect();
    let deadline = Instant::now() + client.options().retry_for;
    loop {
        match client.list_offsets(topic, &partitions, OffsetSpec::Latest) {
            Err(ClientError::UnknownTopic { .. }) if Instant::now() < deadline => {
                std::thread::sleep(client.options().retry_after);
            }
            result => return result.map(|_| ()),
        }
    }
}
