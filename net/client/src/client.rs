use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sillon_protocol::message::{
    InitProducerIdRequest, MetadataRequest, StrBytes, metadata_request::MetadataRequestTopic,
};
use sillon_protocol::{Api, ErrorCode};
use sillon_record::{BrokerId, Producer};

use crate::connection::{Connection, ConnectionOptions};
use crate::error::ClientError;
use crate::metadata::{Broker, Metadata, TopicMetadata, code};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How its connections are made.
    pub connection: ConnectionOptions,
    /// How long something that fails for a passing reason is tried again.
    pub retry_for: Duration,
    /// The pause before it is tried again.
    pub retry_after: Duration,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            connection: ConnectionOptions::default(),
            retry_for: Duration::from_secs(30),
            retry_after: Duration::from_millis(100),
        }
    }
}

/// A cluster: who leads what, and a connection to each broker that was needed so far.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    bootstrap: Vec<String>,
    /// To a bootstrap address, of whichever broker.
    first: Option<Connection>,
    connections: BTreeMap<BrokerId, Connection>,
    /// Brokers and controller as last told, and the topics that were asked for.
    known: Metadata,
    /// Who coordinates the groups that were asked for, as last told.
    coordinators: BTreeMap<String, BrokerId>,
}

impl Client {
    /// Connects to the first of some comma-separated `host:port` that answers.
    pub fn connect(bootstrap: &str, options: ClientOptions) -> Result<Client, ClientError> {
        let addresses = bootstrap.split(',').map(str::trim);
        let mut client = Client {
            options,
            bootstrap: addresses.map(str::to_string).collect(),
            first: None,
            connections: BTreeMap::new(),
            known: Metadata::default(),
            coordinators: BTreeMap::new(),
        };
        client.refresh(&[])?;
        Ok(client)
    }

    /// How it behaves.
    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Brokers, the controller and all topics, asked anew.
    pub fn metadata(&mut self) -> Result<Metadata, ClientError> {
        self.ask_metadata(None)
    }

    /// A topic, as last told or asked now. One that does not exist is an error; none is created.
    pub fn topic(&mut self, name: &str) -> Result<&TopicMetadata, ClientError> {
        if self.known.topic(name).is_none() {
            self.retrying(|client| client.refresh(&[name]))?;
        }
        let found = self.known.topic(name);
        Ok(found.expect("a topic without error is known after it was asked for"))
    }

    /// Who leads a partition, as last told.
    pub fn leader(&mut self, topic: &str, partition: i32) -> Result<BrokerId, ClientError> {
        let known = self.topic(topic)?;
        let found = usize::try_from(partition).ok();
        let found = found.and_then(|index| known.partitions.get(index));
        let Some(found) = found else {
            return Err(ClientError::NoPartition {
                topic: topic.to_string(),
                partition,
                count: known.partitions.len(),
            });
        };
        found.leader.ok_or_else(|| {
            let what = format!("topic {topic}, partition {partition}");
            ClientError::refused(what, ErrorCode::LeaderNotAvailable, None::<&str>)
        })
    }

    /// A connection to a broker, made when there is none.
    pub fn connection(&mut self, broker: BrokerId) -> Result<&mut Connection, ClientError> {
        if !self.connections.contains_key(&broker) {
            let Some(address) = self.known.address_of(broker) else {
                let what = format!("broker {}", broker.0);
                let error = ErrorCode::BrokerNotAvailable;
                return Err(ClientError::refused(what, error, None::<&str>));
            };
            let connection = Connection::open(address, self.options.connection.clone())?;
            self.connections.insert(broker, connection);
        }
        let connection = self.connections.get_mut(&broker);
        Ok(connection.expect("inserted when it was missing"))
    }

    /// Uses a connection to a broker, and drops it when the error is one that it does not survive.
    pub(crate) fn with<R>(
        &mut self,
        broker: BrokerId,
        work: impl FnOnce(&mut Connection) -> Result<R, ClientError>,
    ) -> Result<R, ClientError> {
        let result = work(self.connection(broker)?);
        if let Err(error) = &result
            && error.ends_connection()
        {
            self.connections.remove(&broker);
        }
        result
    }

    /// Drops the connection to a broker, answers that are due included.
    pub(crate) fn disconnect(&mut self, broker: BrokerId) {
        self.connections.remove(&broker);
    }

    /// Tries until it works, fails for good, or the time is up. Between two attempts everything
    /// known about topics is forgotten.
    pub(crate) fn retrying<R>(
        &mut self,
        mut attempt: impl FnMut(&mut Client) -> Result<R, ClientError>,
    ) -> Result<R, ClientError> {
        let deadline = Instant::now() + self.options.retry_for;
        loop {
            match attempt(self) {
                Err(error) if error.is_retriable() => {
                    if Instant::now() >= deadline {
                        return Err(error.after_retries());
                    }
                    self.known.topics.clear();
                    std::thread::sleep(self.options.retry_after);
                }
                result => return result,
            }
        }
    }

    /// Forgets who leads what.
    pub(crate) fn forget_topics(&mut self) {
        self.known.topics.clear();
    }

    /// Who coordinates a group, as last told.
    pub(crate) fn known_coordinator(&self, group: &str) -> Option<&Broker> {
        let id = self.coordinators.get(group)?;
        self.known.brokers.iter().find(|broker| broker.id == *id)
    }

    /// Remembers who coordinates a group.
    pub(crate) fn remember_coordinator(&mut self, group: &str, coordinator: Broker) {
        self.coordinators.insert(group.to_string(), coordinator.id);
        let brokers = &mut self.known.brokers;
        brokers.retain(|broker| broker.id != coordinator.id);
        brokers.push(coordinator);
    }

    /// Forgets who coordinates a group.
    pub(crate) fn forget_coordinator(&mut self, group: &str) {
        self.coordinators.remove(group);
    }

    /// The brokers, as last told.
    pub(crate) fn brokers(&self) -> &[Broker] {
        &self.known.brokers
    }

    /// Asks who leads the partitions of some topics.
    pub(crate) fn refresh(&mut self, topics: &[&str]) -> Result<(), ClientError> {
        let told = self.ask_metadata(Some(topics))?;
        for topic in &told.topics {
            if topic.error == ErrorCode::UnknownTopicOrPartition {
                return Err(ClientError::UnknownTopic {
                    topic: topic.name.clone(),
                });
            }
            if topic.error.is_error() {
                let what = format!("topic {}", topic.name);
                return Err(ClientError::refused(what, topic.error, None::<&str>));
            }
        }
        let mut known = std::mem::take(&mut self.known.topics);
        known.retain(|topic| told.topic(&topic.name).is_none());
        self.known = told;
        self.known.topics.extend(known);
        Ok(())
    }

    fn ask_metadata(&mut self, topics: Option<&[&str]>) -> Result<Metadata, ClientError> {
        self.with_any(|connection| ask_metadata(connection, topics))
    }

    /// A connection to any broker: one that is there, one that is known, or a bootstrap address.
    fn any(&mut self) -> Result<&mut Connection, ClientError> {
        let known = self.known.brokers.iter().map(|broker| broker.id);
        let connected = self.connections.keys().copied();
        let brokers: Vec<BrokerId> = connected.chain(known).collect();
        let mut last = None;
        if self.first.is_none() {
            for broker in brokers {
                match self.connection(broker).map(|_| ()) {
                    Ok(()) => return self.connection(broker),
                    Err(error) => last = Some(error),
                }
            }
            for address in &self.bootstrap {
                match Connection::open(address, self.options.connection.clone()) {
                    Ok(connection) => {
                        self.first = Some(connection);
                        break;
                    }
                    Err(error) => last = Some(error),
                }
            }
        }
        match (&mut self.first, last) {
            (Some(first), _) => Ok(first),
            (None, Some(error)) => Err(error),
            (None, None) => Err(ClientError::Address {
                address: String::new(),
            }),
        }
    }

    /// Uses a connection to any broker; once more, on a new one, when it turns out to be broken: an
    /// old one may have been closed meanwhile.
    pub(crate) fn with_any<R>(
        &mut self,
        mut work: impl FnMut(&mut Connection) -> Result<R, ClientError>,
    ) -> Result<R, ClientError> {
        let mut last = None;
        for _ in 0..2 {
            match work(self.any()?) {
                Err(error) if error.ends_connection() => {
                    self.connections.clear();
                    self.first = None;
                    last = Some(error);
                }
                result => return result,
            }
        }
        Err(last.expect("the loop ends by an error that ends a connection"))
    }

    /// Uses a connection to the broker that creates and deletes topics.
    pub(crate) fn with_controller<R>(
        &mut self,
        work: impl FnMut(&mut Connection) -> Result<R, ClientError>,
    ) -> Result<R, ClientError> {
        match self.known.controller {
            Some(controller) => self.with(controller, work),
            None => self.with_any(work),
        }
    }

    /// An id for an idempotent producer.
    pub fn producer_id(&mut self) -> Result<Producer, ClientError> {
        let mut request = InitProducerIdRequest::default();
        request.transactional_id = None;
        request.transaction_timeout_ms = i32::MAX;
        request.producer_id = -1;
        request.producer_epoch = -1;
        self.retrying(|client| {
            let answer = client.with_any(|connection| connection.call(&request))?;
            if answer.error_code != 0 {
                let error = code(answer.error_code);
                return Err(ClientError::refused("a producer id", error, None::<&str>));
            }
            Ok(Producer {
                id: answer.producer_id,
                epoch: answer.producer_epoch,
            })
        })
    }
}

fn ask_metadata(
    connection: &mut Connection,
    topics: Option<&[&str]>,
) -> Result<Metadata, ClientError> {
    let mut request = MetadataRequest::default();
    let version = connection.version(Api::Metadata)?;
    request.topics = topics.map(|topics| topics.iter().map(|name| named(name)).collect());
    if version == 0 && topics.is_none() {
        // Version 0 asks for all topics by naming none.
        request.topics = Some(Vec::new());
    }
    // Below version 4 a broker creates topics as it is configured to.
    request.allow_auto_topic_creation = version < 4;
    let answer = connection.call(&request)?;
    if answer.error_code != 0 {
        let error = code(answer.error_code);
        return Err(ClientError::refused("metadata", error, None::<&str>));
    }
    Ok(Metadata::of(&answer))
}

fn named(name: &str) -> MetadataRequestTopic {
    let mut topic = MetadataRequestTopic::default();
    topic.name = Some(StrBytes::from(name));
    topic
}
