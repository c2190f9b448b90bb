//! What mails, completions and the shard's actions do to an executor.

use sillon_disk::Disk;
use sillon_shard::{
    Action, Boot, DiskResult, Event, LogLevel, MetadataLog, OpId, Opened, Shard, ShardId,
};

use crate::control::{Control, Outlets};
use crate::home::Home;
use crate::local::Local;
use crate::mail::{Mail, Opening, Order, Report, Step};
use crate::{NodeError, Stopping, entropy};

impl Local {
    /// Takes in a mail.
    pub(crate) fn receive(&self, mail: Mail, actions: &mut Vec<Action>) {
        match mail {
            Mail::Event(event) => self.to_shard(event, actions),
            // Answers that nobody waits for any more are dropped.
            Mail::Reply { key, outcome } => {
                let _ = self.calls.borrow_mut().answer(key, outcome);
            }
            Mail::ControlReply { key, outcome } => {
                let _ = self.controls.borrow_mut().answer(key, outcome);
            }
            Mail::Control {
                asker,
                key,
                request,
            } => {
                let is_asked = self.to_control(actions, |control, outlets| {
                    control.ask(asker, key, request, outlets);
                });
                if is_asked.is_none() {
                    let outcome = Err(Stopping);
                    self.send(asker, Mail::ControlReply { key, outcome });
                }
            }
            Mail::PartitionReady { incarnation, error } => {
                // Without a controller nobody waits for partitions.
                self.to_control(actions, |control, outlets| {
                    control.partition_ready(incarnation, error, outlets);
                });
            }
            Mail::Order(order) => self.obey(order, actions),
        }
    }

    fn obey(&self, order: Order, actions: &mut Vec<Action>) {
        match order {
            Order::Boot => match entropy::of_the_system() {
                Ok(entropy) => {
                    let boot = Boot::start(self.node.boot.clone(), entropy, actions);
                    *self.home.borrow_mut() = Home::Booting(Box::new(boot));
                }
                Err(error) => self.report(Report::Failed(error)),
            },
            Order::Open(opening) => {
                let Opening {
                    config,
                    image,
                    cluster_id,
                } = *opening;
                let _ = self.cluster_id.set(cluster_id.into());
                let shard = Shard::open(config, image, self.now(), actions);
                *self.shard.borrow_mut() = Some(shard);
            }
            Order::Drain => self.begin_to_stop(),
            Order::StopShard if self.is_shard_gone.get() || self.shard.borrow().is_none() => {
                self.done(Step::Stopped);
            }
            Order::StopShard => self.to_shard(Event::Stop, actions),
            Order::Serve | Order::Exit => unreachable!("obeyed by the executor's loop"),
        }
    }

    /// Gives an event to the shard, or sends its request back when the shard has gone.
    pub(crate) fn to_shard(&self, event: Event, actions: &mut Vec<Action>) {
        let mut shard = self.shard.borrow_mut();
        match (shard.as_mut(), event) {
            (Some(shard), event) if !self.is_shard_gone.get() => {
                match event {
                    Event::Request { .. } => self.request_opened(),
                    Event::Cancel { .. } => self.request_closed(),
                    _ => {}
                }
                shard.handle(self.now(), event, actions);
            }
            (_, Event::Request { ticket, .. }) => {
                let outcome = Err(Stopping);
                let key = ticket.key;
                self.send(ticket.shard, Mail::Reply { key, outcome });
            }
            // Nobody is there to hear the rest.
            _ => {}
        }
    }

    /// `None` when there is no controller here (any more).
    fn to_control<R>(
        &self,
        actions: &mut Vec<Action>,
        tell: impl FnOnce(&mut Control, &mut Outlets<'_>) -> R,
    ) -> Option<R> {
        let mut home = self.home.borrow_mut();
        let Home::Controlling(control) = &mut *home else {
            return None;
        };
        let mut outlets = Outlets {
            actions,
            send: &|to, mail| self.send(to, mail),
            shards: self.shards(),
        };
        Some(tell(control, &mut outlets))
    }

    /// A disk operation has completed: one of the boot, of the metadata log, or of the shard.
    pub(crate) fn completed(&self, op: OpId, result: DiskResult, actions: &mut Vec<Action>) {
        if self.home.borrow().is_booting() {
            let booted = self.home.borrow_mut().boot(self.now(), op, result, actions);
            match booted {
                None => {}
                Some(Ok(opened)) => self.booted(opened),
                Some(Err(error)) => self.report(Report::Failed(error.into())),
            }
        } else if MetadataLog::owns(op) {
            let told = self.to_control(actions, |control, outlets| {
                control.completed(op, result, outlets)
            });
            if let Some(Err(error)) = told {
                *self.home.borrow_mut() = Home::Idle;
                self.report(Report::Failed(NodeError::Metadata(error)));
            }
        } else {
            self.to_shard(Event::Disk { op, result }, actions);
        }
    }

    /// The data folder is understood: every executor opens its shard.
    fn booted(&self, opened: Opened) {
        let Opened {
            image,
            cluster_id,
            shards,
            metadata,
        } = opened;
        assert_eq!(shards.len(), usize::from(self.shards()), "one per executor");
        for config in shards {
            let opening = Opening {
                image: image.clone(),
                cluster_id: cluster_id.clone(),
                config,
            };
            let shard = opening.config.shard;
            self.send(shard, Mail::Order(Order::Open(Box::new(opening))));
        }
        let control = Control::new(image, self.node.controller, metadata);
        *self.home.borrow_mut() = Home::Controlling(Box::new(control));
        self.done(Step::Booted { cluster_id });
    }

    /// Does what is wanted, in order.
    pub(crate) fn perform(&self, actions: &mut Vec<Action>) {
        for action in actions.drain(..) {
            match action {
                Action::Disk { op, io } => self.disk.submit(op, io),
                Action::Compute { op, work } => self.compactor.run(self.id, op, work),
                Action::Reply { ticket, request } => {
                    self.request_closed();
                    let (key, outcome) = (ticket.key, Ok(request));
                    match ticket.shard == self.id {
                        true => {
                            let _ = self.calls.borrow_mut().answer(key, outcome);
                        }
                        false => self.send(ticket.shard, Mail::Reply { key, outcome }),
                    }
                }
                Action::PartitionReady { incarnation, error } => {
                    self.send(ShardId(0), Mail::PartitionReady { incarnation, error });
                }
                Action::Opened { replayed_bytes } => self.done(Step::Opened { replayed_bytes }),
                Action::Log { level, message } => self.log(level, &message),
                Action::Failed(reason) => {
                    let shard = self.id.0;
                    let error = NodeError::Shard { shard, reason };
                    self.done(Step::Broken);
                    self.report(Report::Failed(error));
                }
                Action::Stopped => {
                    self.is_shard_gone.set(true);
                    self.done(Step::Stopped);
                }
            }
        }
    }

    fn log(&self, level: LogLevel, message: &str) {
        let shard = self.id.0;
        match level {
            LogLevel::Debug => tracing::debug!(shard, "{message}"),
            LogLevel::Info => tracing::info!(shard, "{message}"),
            LogLevel::Warn => tracing::warn!(shard, "{message}"),
            LogLevel::Error => tracing::error!(shard, "{message}"),
        }
    }
}
