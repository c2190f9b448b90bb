use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use sillon_client::{Client, ClientError};
use sillon_protocol::message::{MetadataRequest, StrBytes, metadata_request::MetadataRequestTopic};
use sillon_record::BrokerId;

use super::Context;
use super::consumer::group_name;
use super::member::{CallError, Member};
use super::session::Session;
use crate::event::What;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

struct Watcher<'a> {
    context: &'a Context<'a>,
    session: Session<'a>,
    process: u32,
    /// By broker and partition, the epoch that was told last.
    epochs: BTreeMap<(BrokerId, i32), i32>,
}

/// Asks for every group's committed offsets and the partitions' leader epochs, again and again; in
/// the end once more, with patience.
pub(super) fn run(context: &Context<'_>) {
    let mut watcher = Watcher {
        context,
        session: Session::new(context),
        process: context.process(),
        epochs: BTreeMap::new(),
    };
    let groups = match context.options.consumers {
        0 => 0,
        _ => context.options.groups,
    };
    let members = (0..groups).map(|group| {
        let group = group_name(context, group);
        Member::new(group, context.place.clone(), context.partitions, 0)
    });
    let mut members: Vec<Member> = members.collect();
    while !context.consumed.load(Ordering::Relaxed) {
        if watcher.look_at_epochs().is_err() {
            watcher.session.recover();
        }
        for member in &mut members {
            watcher.look(member);
        }
        thread::sleep(LOOK_EVERY);
    }
    let deadline = Instant::now() + context.options.drain_timeout;
    for member in &mut members {
        while !watcher.look(member) && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Watcher<'_> {
    /// Asks for a group's offsets.
    fn look(&mut self, member: &mut Member) -> bool {
        let (context, process) = (self.context, self.process);
        let all: Vec<i32> = (0..context.partitions).collect();
        let group = member.group.clone();
        let begins = What::FetchBegins {
            group: group.clone(),
        };
        context.record(process, begins);
        let found = match self.session.client() {
            Ok(client) => member.committed(client, &all),
            Err(_) => Err(CallError::NoAnswer),
        };
        match found {
            Ok(offsets) => {
                context.record(process, What::Fetched { group, offsets });
                true
            }
            Err(error) => {
                context.record(process, What::FetchFailed { group });
                member.forget_coordinator();
                if let CallError::NoAnswer = error {
                    self.session.recover();
                }
                false
            }
        }
    }

    /// Asks every broker who leads what since which epoch, and records what is new.
    fn look_at_epochs(&mut self) -> Result<(), ClientError> {
        let topic = self.context.place.topic.as_str();
        let client = self.session.client()?;
        let brokers = client.metadata()?.brokers;
        for broker in brokers.iter().map(|broker| broker.id) {
            for (partition, epoch) in ask_epochs(client, broker, topic)? {
                let told = self.epochs.insert((broker, partition), epoch);
                if told != Some(epoch) {
                    let told = What::LeaderEpoch {
                        partition,
                        broker: broker.0,
                        epoch,
                    };
                    self.context.record(self.process, told);
                }
            }
        }
        Ok(())
    }
}

/// A broker's leader epochs of a topic, by partition.
fn ask_epochs(
    client: &mut Client,
    broker: BrokerId,
    topic: &str,
) -> Result<Vec<(i32, i32)>, ClientError> {
    let mut asked = MetadataRequestTopic::default();
    asked.name = Some(StrBytes::from(topic));
    let mut request = MetadataRequest::default();
    request.topics = Some(vec![asked]);
    let connection = client.connection(broker)?;
    request.allow_auto_topic_creation = connection.version(sillon_protocol::Api::Metadata)? < 4;
    let answer = connection.call(&request)?;
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let led = partitions.filter(|partition| partition.leader_epoch >= 0);
    Ok(led
        .map(|partition| (partition.partition_index, partition.leader_epoch))
        .collect())
}
