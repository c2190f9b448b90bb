use std::collections::BTreeMap;

use sillon_controller::{
    ControlReply, ControlRequest, Controller, ControllerAction, ControllerEvent, ControllerOptions,
    Image,
};
use sillon_record::PartitionIncarnation;
use sillon_shard::{Action, DiskError, DiskResult, Event, MetadataLog, OpId, ShardId};

use crate::mail::Mail;

/// The controller, its log, and who asked what. Lives on executor 0.
pub(crate) struct Control {
    controller: Controller,
    log: MetadataLog,
    /// By ticket: the executor that asked, and its key.
    askers: BTreeMap<u64, (ShardId, u64)>,
    next_ticket: u64,
    /// The last append found no space.
    is_full: bool,
    /// Reused.
    decided: Vec<ControllerAction>,
}

/// Where the consequences of an event go.
pub(crate) struct Outlets<'a> {
    /// Disk operations of the metadata log.
    pub(crate) actions: &'a mut Vec<Action>,
    /// Sends a mail to a shard, in order.
    pub(crate) send: &'a dyn Fn(ShardId, Mail),
    /// How many shards there are.
    pub(crate) shards: u16,
}

impl Control {
    pub(crate) fn new(image: Image, options: ControllerOptions, log: MetadataLog) -> Control {
        Control {
            controller: Controller::new(image, options),
            log,
            askers: BTreeMap::new(),
            next_ticket: 0,
            is_full: false,
            decided: Vec::new(),
        }
    }

    pub(crate) fn ask(
        &mut self,
        asker: ShardId,
        key: u64,
        request: ControlRequest,
        outlets: &mut Outlets<'_>,
    ) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.askers.insert(ticket, (asker, key));
        self.handle(ControllerEvent::Request { ticket, request }, outlets);
    }

    pub(crate) fn partition_ready(
        &mut self,
        incarnation: PartitionIncarnation,
        error: Option<String>,
        outlets: &mut Outlets<'_>,
    ) {
        let event = ControllerEvent::PartitionReady { incarnation, error };
        self.handle(event, outlets);
    }

    /// A disk operation of the metadata log has completed.
    pub(crate) fn completed(
        &mut self,
        op: OpId,
        result: DiskResult,
        outlets: &mut Outlets<'_>,
    ) -> Result<(), DiskError> {
        match self.log.handle(op, result, outlets.actions) {
            None => Ok(()),
            Some(Ok(())) => {
                self.is_full = false;
                self.handle(ControllerEvent::Durable, outlets);
                Ok(())
            }
            Some(Err(DiskError::NoSpace)) => {
                // Once, however many ask.
                if !std::mem::replace(&mut self.is_full, true) {
                    tracing::warn!(
                        "no space left for the metadata log: topics and producer ids are refused \
                         until there is, deletions are not"
                    );
                }
                self.handle(ControllerEvent::NoSpace, outlets);
                Ok(())
            }
            Some(Err(error)) => Err(error),
        }
    }

    fn handle(&mut self, event: ControllerEvent, outlets: &mut Outlets<'_>) {
        self.controller.handle(event, &mut self.decided);
        for decision in self.decided.drain(..) {
            match decision {
                ControllerAction::Append(records) => self.log.append(&records, outlets.actions),
                ControllerAction::Publish(records) => {
                    for shard in 0..outlets.shards {
                        let event = Event::Metadata(records.clone());
                        (outlets.send)(ShardId(shard), Mail::Event(event));
                    }
                }
                // By mail even to this executor: behind the records that the answer rests on.
                ControllerAction::Reply { ticket, reply } => {
                    let asker = self.askers.remove(&ticket);
                    let (shard, key) = asker.expect("the controller answers what was asked");
                    (outlets.send)(shard, reply_mail(key, reply));
                }
            }
        }
    }
}

fn reply_mail(key: u64, reply: ControlReply) -> Mail {
    Mail::ControlReply {
        key,
        outcome: Ok(reply),
    }
}
