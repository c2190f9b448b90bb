use sillon_controller::ControlReply;
use sillon_record::{LeaderEpoch, TopicPartition};
use sillon_shard::{
    EpochEnd, Extent, Fetch, FetchEntry, ListOffset, OffsetTarget, Produce, ProduceEntry, Refusal,
    Request, TICK_MS, Ticket,
};

use super::producers::Refused;
use super::reading::len_of;
use super::requests::name;
use super::{
    Clients, DelayedRead, EpochWish, FetchAsked, FetchQuestion, Question, Surroundings, TopicState,
};
use crate::history::{Checked, Ends, Violation};

/// An answer that is due comes at the next tick; the rest is for the way through mailboxes.
const LATE_NS: u64 = 20 * TICK_MS * 1_000_000;

impl Clients {
    /// A shard has answered.
    pub fn answered(
        &mut self,
        ticket: Ticket,
        request: Request,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        // A cancelled question may still be answered.
        let Some(outstanding) = self.outstanding.remove(&ticket.key) else {
            return Ok(());
        };
        self.asked_ns = outstanding.sent_ns;
        match (outstanding.question, request) {
            (Question::Produce(batches), Request::Produce(produce)) => {
                self.produced(&batches, produce, outstanding.sent_awake_ns, around)
            }
            (Question::Fetch(question), Request::Fetch(fetch)) => {
                self.fetched(&question, fetch, around)
            }
            (Question::List(asked), Request::ListOffsets(list)) => {
                let mut answers = asked.into_iter().zip(list);
                answers.try_for_each(|((partition, target, known), answer)| {
                    self.listed(partition, target, known, answer, around)
                })
            }
            (Question::EpochEnds, Request::EpochEnds(answers)) => answers
                .into_iter()
                .try_for_each(|answer| self.epoch_ended(answer, around)),
            (Question::DeleteRecords(partition, asked, known), Request::DeleteRecords(answers)) => {
                answers
                    .into_iter()
                    .try_for_each(|answer| self.deleted(partition, asked, known, answer, around))
            }
            (question, request) => Err(Violation::new(
                "wrong-answer",
                format!("{question:?} was answered with {request:?}"),
            )),
        }
    }

    fn deleted(
        &mut self,
        partition: TopicPartition,
        asked: i64,
        known: Ends,
        answer: sillon_shard::DeleteRecords,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        around.host.trace.note("deleted", &[], || {
            let place = name(around.history, partition);
            format!("{place}: {:?}", answer.outcome)
        });
        let history = around.history.partition(partition);
        match answer.outcome {
            Some(Ok(log_start)) => {
                around.host.coverage.hit("records deleted");
                if asked < i64::MAX && log_start.0 < asked {
                    let detail = format!("{} after deleting before {asked}", log_start.0);
                    return Err(history.violation("log-start-regression", detail));
                }
                let high_watermark = history.high_watermark.max(log_start.0);
                history.saw_ends(high_watermark, log_start.0, known)
            }
            Some(Err(Refusal::OffsetOutOfRange)) if asked > known.high_watermark => Ok(()),
            Some(Err(refusal)) => self.check_refusal(partition, refusal, around),
            None => Err(Violation::new("no-answer", format!("{asked}"))),
        }
    }

    fn produced(
        &mut self,
        batches: &[(usize, Option<usize>)],
        produce: Produce,
        sent_ns: u64,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        for ((number, producer), entry) in batches.iter().zip(produce.entries) {
            around.host.trace.note("produced", &[*number as u64], || {
                let place = name(around.history, entry.partition);
                format!("batch {number} to {place}: {:?}", entry.outcome)
            });
            match entry.outcome {
                Some(Ok(appended)) if produce.wait => {
                    self.appended(*number, *producer, &entry, appended, sent_ns, around)?;
                }
                Some(Ok(_)) => {}
                Some(Err(refusal)) => {
                    self.refused_append(*number, *producer, refusal, around)?;
                }
                None => {
                    return Err(Violation::new("no-answer", format!("batch {number}")));
                }
            }
        }
        Ok(())
    }

    fn appended(
        &mut self,
        number: usize,
        producer: Option<usize>,
        entry: &ProduceEntry,
        appended: sillon_shard::Appended,
        sent_ns: u64,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        let coverage = &mut around.host.coverage;
        let sent = &around.history.sent[number];
        if sent.sends > 1 && producer.is_some() {
            coverage.hit("ack of a duplicate");
            if sent.lives.0 != self.life {
                coverage.hit(match sent.base_offset {
                    Some(_) => "retry in a later life acknowledged at its old place",
                    None => "retry in a later life acknowledged at a new place",
                });
            }
        }
        if producer.is_some() {
            coverage.hit("ack of an idempotent batch");
        }
        let (records_count, is_fresh) = (sent.records_count, sent.sends == 1);
        if is_fresh && std::mem::take(&mut around.host.has_space_again) {
            let what = "appends resumed when space was back";
            around.host.coverage.hit(what);
        }
        let awake_ns = around.host.awake_ns();
        around.history.acknowledged(
            number,
            appended.base_offset,
            appended.log_append_time_ms,
            awake_ns,
        )?;
        let history = around.history.partition(entry.partition);
        let end = appended.base_offset.0 + i64::from(records_count);
        let known = Ends::default();
        // A duplicate's original may have been given up.
        let log_start = appended.log_start_offset.0;
        history.saw_ends(end.max(log_start), log_start, known)?;
        let level = history.flush_messages;
        let coverage = &mut around.host.coverage;
        if history.is_log_append_time {
            coverage.hit("ack with LogAppendTime");
        }
        if level == 1 {
            coverage.hit("ack at flush.messages 1");
            let shards = self.shards;
            let shard = sillon_shard::owner(entry.partition, shards);
            // A duplicate's acknowledgement may rest on an earlier flush.
            for (other, history) in &mut around.history.partitions {
                if is_fresh && sillon_shard::owner(*other, shards) == shard {
                    history.flushed_before(sent_ns);
                }
            }
        } else {
            coverage.hit("ack at flush.messages above 1");
        }
        if let Some(index) = producer {
            self.producers[index].acknowledged(entry.partition, number);
        }
        Ok(())
    }

    fn refused_append(
        &mut self,
        number: usize,
        producer: Option<usize>,
        refusal: Refusal,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        let partition = around.history.sent[number].partition;
        let level = around.history.partition(partition).flush_messages;
        let outcome = producer.map(|index| self.producers[index].refused(partition, number));
        match refusal {
            Refusal::Storage => {}
            _ => around.history.sent[number].refused(),
        }
        match refusal {
            Refusal::Storage if around.host.has_failed => {
                around.host.coverage.hit("append refused for want of space");
            }
            Refusal::OutOfOrderSequence => {
                around.host.coverage.hit("out of order sequence refused");
                if outcome == Some(Refused::Unexplained) {
                    if level == 1 {
                        return self.unexpected(partition, refusal, around);
                    }
                    let index = producer.expect("only producers have an outcome");
                    self.producers[index].abandon();
                }
            }
            Refusal::InvalidProducerEpoch => {
                let sent = around.history.sent[number].batch.info().producer;
                // A zombie's producer may have given way to another one by now.
                let current = producer.and_then(|index| self.producers[index].identity);
                let is_current = current
                    .zip(sent)
                    .is_some_and(|(current, sent)| current.id == sent.id && sent >= current);
                if is_current {
                    return self.unexpected(partition, refusal, around);
                }
                around.host.coverage.hit("old producer epoch refused");
            }
            _ => self.check_refusal(partition, refusal, around)?,
        }
        Ok(())
    }

    /// Whether a refusal has a reason that clients know of.
    fn check_refusal(
        &self,
        partition: TopicPartition,
        refusal: Refusal,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        let is_live = self.topics.is_live_since(partition, self.asked_ns);
        let has_reason = match refusal {
            Refusal::UnknownPartition => {
                if self.topics.state_of(partition) == TopicState::Gone {
                    let what = "request for a deleted topic refused";
                    around.host.coverage.hit(what);
                }
                !is_live
            }
            Refusal::Storage => around.host.has_failed,
            Refusal::Stopping => self.is_stopping,
            _ => false,
        };
        if has_reason {
            return Ok(());
        }
        self.unexpected(partition, refusal, around)
    }

    fn unexpected(
        &self,
        partition: TopicPartition,
        refusal: Refusal,
        around: &Surroundings<'_>,
    ) -> Checked {
        let place = name(around.history, partition);
        let state = self.topics.state_of(partition);
        Err(Violation::new(
            "refused",
            format!("{place} ({state:?}) for no reason: {refusal:?}"),
        ))
    }

    fn fetched(
        &mut self,
        question: &FetchQuestion,
        fetch: Fetch,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        self.check_time(question, &fetch, around)?;
        // A refusal is progress as well, whatever else the answer could have had room for.
        let is_refused = |entry: &FetchEntry| !matches!(entry.outcome, Some(Ok(_)));
        let must_progress = !fetch.entries.iter().any(is_refused);
        let mut is_first = true;
        let mut given_bytes = 0;
        for (asked, entry) in question.entries.iter().zip(fetch.entries) {
            let (partition, offset) = (asked.partition, asked.offset);
            let fetched = match entry.outcome {
                Some(Ok(fetched)) => fetched,
                Some(Err(refusal)) => {
                    around.host.trace.note("fetched", &[refusal as u64], || {
                        format!("{}: {refusal:?}", name(around.history, partition))
                    });
                    self.refused_fetch(partition, offset, question.epoch, refusal, around)?;
                    continue;
                }
                None => {
                    return Err(Violation::new(
                        "no-answer",
                        format!("fetch of {}", name(around.history, partition)),
                    ));
                }
            };
            around
                .host
                .trace
                .note("fetched", &[fetched.records_bytes], || {
                    format!(
                        "{}@{offset}: {} bytes, high watermark {}",
                        name(around.history, partition),
                        fetched.records_bytes,
                        fetched.high_watermark
                    )
                });
            if self.topics.state_of(partition) != TopicState::Live && fetched.records.is_empty() {
                continue;
            }
            let history = around.history.partition(partition);
            if question.epoch != EpochWish::None {
                let detail = format!("fetch with epoch {:?} was answered", question.epoch);
                return Err(history.violation("not-fenced", detail));
            }
            let high_watermark = fetched.high_watermark.0;
            history.saw_ends(high_watermark, fetched.log_start_offset.0, asked.known)?;
            let bytes: u64 = fetched.records.iter().map(len_of).sum();
            if bytes != fetched.records_bytes {
                let detail = format!("{bytes} bytes, said to be {}", fetched.records_bytes);
                return Err(history.violation("wrong-size", detail));
            }
            let has_more = offset < fetched.high_watermark.0;
            if must_progress && is_first && has_more && bytes == 0 {
                let detail = format!(
                    "nothing at {offset} below the high watermark {}",
                    fetched.high_watermark
                );
                return Err(history.violation("poll-stuck", detail));
            }
            if !is_first && bytes > 0 && given_bytes + bytes > question.max_bytes {
                let detail = format!("{given_bytes} + {bytes} bytes of {}", question.max_bytes);
                return Err(history.violation("too-much", detail));
            }
            is_first &= bytes == 0;
            given_bytes += bytes;
            self.take_records(asked, fetched, around)?;
        }
        Ok(())
    }

    fn take_records(
        &mut self,
        asked: &FetchAsked,
        fetched: sillon_shard::Fetched,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        if fetched.records.is_empty() {
            return Ok(());
        }
        let is_cold = fetched
            .records
            .iter()
            .any(|extent| matches!(extent, Extent::File { .. }));
        around.host.coverage.hit(if is_cold {
            "fetch answered from a file"
        } else {
            "fetch answered from memory"
        });
        let read = DelayedRead {
            partition: asked.partition,
            offset: asked.offset,
            is_tailing: asked.is_tailing,
            high_watermark: fetched.high_watermark.0,
            extents: fetched.records,
        };
        if is_cold && self.random.percent(60) {
            self.delayed.push_back(read);
            return Ok(());
        }
        self.read(&read, around)
    }

    /// A fetch is answered when there is enough, when something is wrong, or at its deadline.
    fn check_time(
        &self,
        question: &FetchQuestion,
        fetch: &Fetch,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        let now_ns = around.host.now.mono_ns;
        let mut bytes = 0;
        let mut is_refused = false;
        for entry in &fetch.entries {
            match &entry.outcome {
                Some(Ok(fetched)) => bytes += fetched.records_bytes,
                _ => is_refused = true,
            }
        }
        let has_enough = bytes >= question.min_bytes;
        let is_due = now_ns >= question.deadline_ns;
        let waited = question.deadline_ns > 0 && !has_enough && !is_refused;
        // Bounded answers cannot hold more, however long they wait.
        let is_bounded = question.min_bytes > 1;
        let is_gone =
            |asked: &FetchAsked| self.topics.state_of(asked.partition) != TopicState::Live;
        let has_gone = question.entries.iter().any(is_gone);
        if waited && !is_due && !is_bounded && !self.is_stopping && !has_gone {
            return Err(Violation::new(
                "answered-early",
                format!("{bytes} bytes, {question:?}"),
            ));
        }
        if has_enough && bytes > 0 && !is_due {
            around.host.coverage.hit("fetch waited and was woken");
        }
        if !has_enough && is_due {
            around.host.coverage.hit("fetch waited until its deadline");
        }
        let due_ns = question.deadline_ns.max(self.stalled_until_ns);
        let is_warm = fetch.entries.iter().all(|entry| match &entry.outcome {
            Some(Ok(fetched)) => fetched.records.is_empty(),
            _ => false,
        });
        if is_warm && now_ns > due_ns + LATE_NS {
            return Err(Violation::new(
                "answered-late",
                format!("at {now_ns}: {question:?}"),
            ));
        }
        Ok(())
    }

    fn refused_fetch(
        &mut self,
        partition: TopicPartition,
        offset: i64,
        epoch: EpochWish,
        refusal: Refusal,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        match (refusal, epoch) {
            (Refusal::FencedLeaderEpoch, EpochWish::Old) => {
                let what = "fetch fenced by an old leader epoch";
                around.host.coverage.hit(what);
                Ok(())
            }
            (Refusal::UnknownLeaderEpoch, EpochWish::Unknown) => {
                let what = "fetch with an unknown leader epoch";
                around.host.coverage.hit(what);
                Ok(())
            }
            (Refusal::OffsetOutOfRange, _) => {
                // Only retention can have taken the offset away.
                self.positions.remove(&partition);
                let history = around.history.partition(partition);
                if self.topics.state_of(partition) == TopicState::Live && !history.may_lose(offset)
                {
                    let detail = format!("offset {offset} is out of range");
                    return Err(history.violation("refused", detail));
                }
                around.host.coverage.hit("fetch below the log start");
                Ok(())
            }
            _ => self.check_refusal(partition, refusal, around),
        }
    }

    fn listed(
        &mut self,
        partition: TopicPartition,
        target: OffsetTarget,
        known: Ends,
        answer: ListOffset,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        let found = match answer.outcome {
            Some(Ok(found)) => found,
            Some(Err(refusal)) => return self.check_refusal(partition, refusal, around),
            None => {
                return Err(Violation::new("no-answer", format!("{target:?}")));
            }
        };
        around.host.trace.note("listed", &[], || {
            format!("{} {target:?}: {found:?}", name(around.history, partition))
        });
        if self.topics.state_of(partition) != TopicState::Live {
            return Ok(());
        }
        match (target, &found) {
            (OffsetTarget::AtOrAfter(_), Some(_)) => {
                around.host.coverage.hit("offset by time found");
            }
            (OffsetTarget::AtOrAfter(_), None) => {
                around.host.coverage.hit("offset by time not found");
            }
            (OffsetTarget::MaxTimestamp, Some(_)) => {
                around
                    .host
                    .coverage
                    .hit("offset of the newest record found");
            }
            _ => {}
        }
        around.history.offset_found(partition, target, found, known)
    }

    fn epoch_ended(&mut self, answer: EpochEnd, around: &mut Surroundings<'_>) -> Checked {
        let partition = answer.partition;
        let asked: LeaderEpoch = answer.leader_epoch;
        let found = match answer.outcome {
            Some(Ok(found)) => found,
            Some(Err(refusal)) => return self.check_refusal(partition, refusal, around),
            None => return Err(Violation::new("no-answer", format!("epoch {asked}"))),
        };
        around.host.trace.note("epochs", &[], || {
            let place = name(around.history, partition);
            format!("{place} epoch {asked}: {found:?}")
        });
        if found.is_some() {
            around.host.coverage.hit("epoch end found");
        }
        let found = found.map(|(epoch, end)| (epoch, end.0));
        around.history.epoch_end_found(partition, asked, found)
    }

    /// The controller has answered.
    pub fn decided(
        &mut self,
        key: u64,
        reply: ControlReply,
        around: &mut Surroundings<'_>,
    ) -> Checked {
        let Some(outstanding) = self.outstanding.remove(&key) else {
            return Ok(());
        };
        around
            .host
            .trace
            .note("decided", &[key], || format!("{reply:?}"));
        match (outstanding.question, reply) {
            (Question::ProducerId(index), ControlReply::ProducerId(id)) => {
                around.history.producer_id(id)?;
                self.producers[index].identify(id);
                Ok(())
            }
            (Question::Create(index), ControlReply::CreateTopics(results)) => {
                if let Some(Err(error)) = results.first()
                    && !around.host.has_failed
                {
                    return Err(Violation::new("refused", error.to_string()));
                }
                let topic = self.topics.topic(index);
                if topic.state == TopicState::Creating {
                    topic.state = TopicState::Live;
                    topic.live_since_ns = around.host.now.mono_ns;
                }
                around.host.coverage.hit("topic created");
                Ok(())
            }
            (Question::Delete(index), ControlReply::DeleteTopics(results)) => {
                if let Some(Err(error)) = results.first() {
                    return Err(Violation::new("refused", error.to_string()));
                }
                let topic = self.topics.topic(index);
                topic.state = TopicState::Gone;
                for partition in topic.partition_ids() {
                    for producer in &mut self.producers {
                        producer.forget(partition);
                    }
                }
                around.host.coverage.hit("topic deleted");
                Ok(())
            }
            (Question::ProducerId(_), ControlReply::NoSpace) => Ok(()),
            (Question::Create(index), ControlReply::NoSpace) => {
                self.topics.topic(index).state = TopicState::Gone;
                Ok(())
            }
            (Question::Delete(index), ControlReply::NoSpace) => {
                self.topics.topic(index).state = TopicState::Live;
                Ok(())
            }
            (question, reply) => Err(Violation::new(
                "wrong-answer",
                format!("{question:?} was answered with {reply:?}"),
            )),
        }
    }
}
