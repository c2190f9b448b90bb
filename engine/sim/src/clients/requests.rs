use sillon_controller::{ControlRequest, TopicTarget};
use sillon_record::{Compression, LeaderEpoch, Offset, TopicPartition};
use sillon_shard::{
    EpochEnd, Fetch, FetchEntry, ListOffset, OffsetTarget, Produce, ProduceEntry, Request, ShardId,
    owner,
};

use super::forger::{FORGED_VALUE_BYTES, MARKER};
use super::producers::NextSend;
use super::{
    Clients, EpochWish, FetchAsked, FetchQuestion, Question, Surroundings, TopicState, Wish,
};
use crate::history::BatchWish;

/// Keys of a compacted partition; few, so that most records have a successor.
const KEYS: u8 = 4;

/// Longest time that a fetch waits, in ms.
const WAIT_MS_MAX: u64 = 300;

impl Clients {
    /// What the clients do next.
    pub fn act(&mut self, around: &mut Surroundings<'_>) -> Wish {
        self.operations += 1;
        if self.topics.live_partitions().len() < 3
            && let Some(wish) = self.create_topic(around)
        {
            return wish;
        }
        let choice = self
            .random
            .weighted(&[22, 34, 26, 8, 3, 3, 2, 1, 2, 1, 2, 2]);
        let wish = match choice {
            0 => self.produce_plain(around),
            1 => self.produce_idempotent(around),
            2 => self.fetch(around),
            3 => self.list_offsets(around),
            4 => self.epoch_ends(around),
            5 => self.create_topic(around),
            6 => self.delete_topic(around),
            7 => self.cancel(around),
            8 => {
                around.host.coverage.hit("stall");
                let ms = self.random.pick(&[20, 20, 200, 1_200, 3_000, 31_000]);
                Some(Wish::Stall(ms * 1_000_000))
            }
            10 => self.delete_records(around),
            11 => Some(Wish::Rest(self.random.between(20, 300) * 1_000_000)),
            _ => {
                let ms = self.random.between(0, 120_000) as i64 - 60_000;
                if ms < 0 {
                    around.host.coverage.hit("wall clock jumped back");
                }
                Some(Wish::WallClock(ms))
            }
        };
        wish.unwrap_or(Wish::Nothing)
    }

    fn value_bytes(&mut self) -> usize {
        let max = self.value_bytes_max as u64;
        let max = if self.random.percent(80) {
            max / 4
        } else {
            max
        };
        self.random.between(12, max.max(40)) as usize
    }

    /// Makes and registers a new batch. Returns its number.
    fn new_batch(
        &mut self,
        around: &mut Surroundings<'_>,
        partition: TopicPartition,
        producer: Option<(sillon_record::Producer, i32)>,
    ) -> usize {
        let number = around.history.sent.len();
        let is_compacted = around.history.partition(partition).compaction.is_some();
        let wish = BatchWish {
            keys: is_compacted.then_some(KEYS),
            records_count: self.random.between(1, 4) as i32,
            value_bytes: self.value_bytes(),
            producer,
            now_ms: around.host.now.wall_ms,
            compression: match self.random.below(12) {
                0 => Compression::Lz4,
                _ => Compression::None,
            },
            payload: None,
        };
        let life = self.life;
        let sent = self
            .maker
            .make(number, partition, wish, life, &mut self.random);
        around.history.sent.push(sent);
        number
    }

    /// A request that sends these batches, all to one shard.
    pub(super) fn send(
        &mut self,
        around: &mut Surroundings<'_>,
        batches: Vec<(usize, Option<usize>)>,
        wait: bool,
    ) -> Wish {
        let mut produce = Produce {
            wait,
            ..Produce::default()
        };
        let mut shard = ShardId(0);
        for (number, _) in &batches {
            let sent = &mut around.history.sent[*number];
            sent.sending(self.life);
            shard = owner(sent.partition, self.shards);
            produce.entries.push(ProduceEntry {
                partition: sent.partition,
                batch: sent.batch.clone(),
                outcome: None,
            });
        }
        let numbers: Vec<u64> = batches.iter().map(|(number, _)| *number as u64).collect();
        around.host.trace.note("produce", &numbers, || {
            let told: Vec<String> = batches
                .iter()
                .map(|(number, _)| describe(around.history, *number))
                .collect();
            format!("{} to shard {}", told.join(", "), shard.0)
        });
        let ticket = self.ticket(shard, around.host, Question::Produce(batches));
        Wish::Ask(shard, ticket, Request::Produce(produce))
    }

    fn produce_plain(&mut self, around: &mut Surroundings<'_>) -> Option<Wish> {
        let first = self.topics.pick(&mut self.random)?;
        if self.random.percent(6) {
            return self.produce_forged(around, first);
        }
        let number = self.new_batch(around, first, None);
        let mut batches = vec![(number, None)];
        if self.random.percent(30) {
            let shard = owner(first, self.shards);
            let same = self.topics.live_partitions_of(shard, self.shards);
            if !same.is_empty() {
                let second = self.random.pick(&same);
                batches.push((self.new_batch(around, second, None), None));
            }
        }
        let wait = self.random.percent(95);
        Some(self.send(around, batches, wait))
    }

    /// A batch whose value looks like a round of the journal.
    fn produce_forged(
        &mut self,
        around: &mut Surroundings<'_>,
        partition: TopicPartition,
    ) -> Option<Wish> {
        if around.history.partition(partition).compaction.is_some() {
            // Its records need keys, and what is in them may move.
            return None;
        }
        let number = around.history.sent.len();
        let life = self.life;
        let marked = vec![MARKER; FORGED_VALUE_BYTES];
        let mut wish = BatchWish {
            records_count: 1,
            value_bytes: 0,
            producer: None,
            now_ms: around.host.now.wall_ms,
            compression: Compression::None,
            keys: None,
            payload: Some(&marked),
        };
        let draft = self
            .maker
            .make(number, partition, wish, life, &mut self.random);
        let bytes = draft.batch.bytes();
        let at = bytes.windows(8).position(|part| part == [MARKER; 8])?;
        let shard = owner(partition, self.shards);
        let disk = &around.host.disk;
        let value = self.forger.value(shard, at, disk, &mut self.random)?;
        wish.payload = Some(&value);
        let sent = self
            .maker
            .make(number, partition, wish, life, &mut self.random);
        around.history.sent.push(sent);
        around.host.coverage.hit("forged round in a payload");
        Some(self.send(around, vec![(number, None)], true))
    }

    fn produce_idempotent(&mut self, around: &mut Surroundings<'_>) -> Option<Wish> {
        let index = self.random.index(self.producers.len());
        let Some(identity) = self.producers[index].identity else {
            if self.producers[index].is_asking {
                return None;
            }
            self.producers[index].is_asking = true;
            let ticket = self.ticket(ShardId(0), around.host, Question::ProducerId(index));
            return Some(Wish::Control(ticket.key, ControlRequest::ProducerId));
        };
        // A zombie wakes up when its successor has written for a while.
        if self.random.percent(10)
            && let Some(zombie) = self.producers[index].zombie.take()
        {
            return Some(self.send(around, vec![(zombie, Some(index))], true));
        }
        match self.random.below(100) {
            0 => self.producers[index].raise_epoch(),
            1 => self.producers[index].abandon(),
            _ => {}
        }
        let identity = self.producers[index].identity.filter(|i| *i == identity)?;
        let partition = self.topics.pick(&mut self.random)?;
        let number = match self.producers[index].next(partition, &mut self.random) {
            NextSend::Nothing => return None,
            NextSend::Again {
                number,
                is_in_flight,
            } => {
                if is_in_flight {
                    let what = "duplicate sent while its original is in flight";
                    around.host.coverage.hit(what);
                }
                self.producers[index].sent_again(partition, number);
                number
            }
            NextSend::New(sequence) => {
                let number = self.new_batch(around, partition, Some((identity, sequence)));
                let count = around.history.sent[number].records_count;
                self.producers[index].sent_new(partition, number, count);
                number
            }
        };
        Some(self.send(around, vec![(number, Some(index))], true))
    }

    fn fetch(&mut self, around: &mut Surroundings<'_>) -> Option<Wish> {
        let first = self.topics.pick(&mut self.random)?;
        let shard = owner(first, self.shards);
        let mut partitions = vec![first];
        for other in self.topics.live_partitions_of(shard, self.shards) {
            if self.random.percent(40) && other != first {
                partitions.push(other);
            }
        }
        let mut asked = Vec::new();
        for partition in partitions {
            let known = around.history.partition(partition).ends();
            let is_tailing = self.random.percent(60);
            let (low, high) = (known.log_start as u64, known.high_watermark as u64);
            let offset = if is_tailing {
                *self.positions.entry(partition).or_insert(high as i64)
            } else {
                self.random.between(low, high) as i64
            };
            asked.push(FetchAsked {
                partition,
                offset,
                is_tailing,
                known,
            });
        }
        let epoch = match self.random.below(30) {
            0 => EpochWish::Old,
            1 => EpochWish::Unknown,
            _ => EpochWish::None,
        };
        let wait_ms = self.random.pick(&[0, 0, 20, WAIT_MS_MAX]);
        let deadline_ns = around.host.now.mono_ns + wait_ms * 1_000_000;
        let question = FetchQuestion {
            entries: asked.clone(),
            min_bytes: self.random.pick(&[0, 1, 1, 1, 3000]),
            max_bytes: self.random.pick(&[1, 2_000, 10_000, 1 << 20]),
            deadline_ns,
            epoch,
        };
        let fetch = Fetch {
            entries: asked
                .into_iter()
                .map(|asked| FetchEntry {
                    partition: asked.partition,
                    offset: Offset(asked.offset),
                    current_leader_epoch: match epoch {
                        EpochWish::None => None,
                        // The first start raises it to 1 for what is created before the second.
                        EpochWish::Old => Some(LeaderEpoch(-1)),
                        EpochWish::Unknown => Some(LeaderEpoch(1_000_000)),
                    },
                    last_fetched_epoch: None,
                    max_bytes: self.random.pick(&[1, 1_000, 8_000, 1 << 20]),
                    outcome: None,
                })
                .collect(),
            min_bytes: question.min_bytes,
            deadline_ns,
            max_bytes: question.max_bytes,
            stamps: Default::default(),
        };
        around
            .host
            .trace
            .note("fetch", &[fetch.entries.len() as u64], || {
                let from: Vec<String> = question
                    .entries
                    .iter()
                    .map(|asked| {
                        format!("{}@{}", name(around.history, asked.partition), asked.offset)
                    })
                    .collect();
                format!("{} from shard {}", from.join(" "), shard.0)
            });
        let ticket = self.ticket(shard, around.host, Question::Fetch(question));
        Some(Wish::Ask(shard, ticket, Request::Fetch(fetch)))
    }

    fn list_offsets(&mut self, around: &mut Surroundings<'_>) -> Option<Wish> {
        let partition = self.topics.pick(&mut self.random)?;
        let shard = owner(partition, self.shards);
        let now_ms = around.host.now.wall_ms;
        let target = match self.random.below(5) {
            0 => OffsetTarget::Latest,
            1 => OffsetTarget::Earliest,
            2 => OffsetTarget::MaxTimestamp,
            3 => OffsetTarget::AtOrAfter(now_ms - self.random.below(5_000) as i64),
            _ => OffsetTarget::AtOrAfter(now_ms - self.random.below(200_000) as i64),
        };
        let known = around.history.partition(partition).ends();
        let question = Question::List(vec![(partition, target, known)]);
        let ticket = self.ticket(shard, around.host, question);
        let list = ListOffset {
            partition,
            target,
            ..ListOffset::default()
        };
        around.host.trace.note("list", &[], || {
            format!("{} {target:?}", name(around.history, partition))
        });
        Some(Wish::Ask(shard, ticket, Request::ListOffsets(vec![list])))
    }

    fn epoch_ends(&mut self, around: &mut Surroundings<'_>) -> Option<Wish> {
        let partition = self.topics.pick(&mut self.random)?;
        let shard = owner(partition, self.shards);
        let ticket = self.ticket(shard, around.host, Question::EpochEnds);
        let question = EpochEnd {
            partition,
            leader_epoch: LeaderEpoch(self.random.below(6) as i32),
            ..EpochEnd::default()
        };
        Some(Wish::Ask(shard, ticket, Request::EpochEnds(vec![question])))
    }

    fn delete_records(&mut self, around: &mut Surroundings<'_>) -> Option<Wish> {
        let partition = self.topics.pick(&mut self.random)?;
        let shard = owner(partition, self.shards);
        let history = around.history.partition(partition);
        let known = history.ends();
        let span = (known.high_watermark - known.log_start).max(0) as u64;
        let before = match self.random.below(6) {
            0 => None,
            1 => Some(known.high_watermark + 1_000_000),
            _ => Some(known.log_start + self.random.below(span + 1) as i64),
        };
        let asked = before.unwrap_or(i64::MAX);
        if asked <= known.high_watermark || before.is_none() {
            history.given_up_before = history.given_up_before.max(asked);
        }
        around.host.trace.note("delete records", &[], || {
            format!("{} before {before:?}", name(around.history, partition))
        });
        let question = Question::DeleteRecords(partition, asked, known);
        let ticket = self.ticket(shard, around.host, question);
        let wish = sillon_shard::DeleteRecords {
            partition,
            before: before.map(Offset),
            outcome: None,
        };
        let request = Request::DeleteRecords(vec![wish]);
        Some(Wish::Ask(shard, ticket, request))
    }

    fn create_topic(&mut self, around: &mut Surroundings<'_>) -> Option<Wish> {
        let coverage = &mut around.host.coverage;
        let (index, topic) = self
            .topics
            .create(around.history, coverage, &mut self.random)?;
        around.host.trace.note("create", &[index as u64], || {
            format!(
                "topic {} ({}), {} partitions",
                topic.name, topic.id, topic.partitions
            )
        });
        let ticket = self.ticket(ShardId(0), around.host, Question::Create(index));
        let topics = vec![topic];
        let request = ControlRequest::CreateTopics {
            topics,
            validate_only: false,
        };
        Some(Wish::Control(ticket.key, request))
    }

    fn delete_topic(&mut self, around: &mut Surroundings<'_>) -> Option<Wish> {
        let index = self.topics.delete(&mut self.random)?;
        let topic = self.topics.topic(index);
        topic.state = TopicState::Deleting;
        let name = topic.name.clone();
        around
            .host
            .trace
            .note("delete", &[index as u64], || format!("topic {name}"));
        let ticket = self.ticket(ShardId(0), around.host, Question::Delete(index));
        let topics = vec![TopicTarget::Name(name)];
        Some(Wish::Control(
            ticket.key,
            ControlRequest::DeleteTopics { topics },
        ))
    }

    fn cancel(&mut self, around: &mut Surroundings<'_>) -> Option<Wish> {
        let fetches: Vec<u64> = self
            .outstanding
            .iter()
            .filter(|(_, outstanding)| matches!(outstanding.question, Question::Fetch(_)))
            .map(|(key, _)| *key)
            .collect();
        if fetches.is_empty() {
            return None;
        }
        let key = self.random.pick(&fetches);
        let shard = self.outstanding.remove(&key)?.shard;
        around.host.coverage.hit("fetch cancelled");
        Some(Wish::Cancel(shard, sillon_shard::Ticket { shard, key }))
    }
}

/// A batch, for traces.
fn describe(history: &crate::history::History, number: usize) -> String {
    let sent = &history.sent[number];
    let info = sent.batch.info();
    let place = name(history, sent.partition);
    match info.producer {
        None => format!("batch {number} for {place}"),
        Some(producer) => format!(
            "batch {number} for {place} (producer {}, epoch {}, sequences {}..={})",
            producer.id,
            producer.epoch,
            info.base_sequence,
            info.last_sequence()
        ),
    }
}

/// A partition's name, for traces.
pub(super) fn name(history: &crate::history::History, partition: TopicPartition) -> String {
    match history.partitions.get(&partition) {
        Some(known) => format!("{}-{}", known.topic, partition.partition),
        None => format!("{partition:?}"),
    }
}
