/// Something that a client did or saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in ns since the history began. Nothing is judged by it: the order of events is.
    pub time_ns: u64,
    /// Who: a producer, a member of a group in one life, a watcher, the final reader. It does one
    /// thing of a kind at a time.
    pub process: u32,
    /// What.
    pub what: What,
}

/// What an event tells. What takes time has a beginning and an end; between them it may have
/// taken effect or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A producer begins to send the values `first .. first + count`, in this order, as one batch.
    SendBegins {
        /// Where to.
        partition: i32,
        /// The first value; each value is sent once in a history, retries apart.
        first: u64,
        /// How many.
        count: u32,
        /// Whether a batch that is sent again must be in the log once.
        is_idempotent: bool,
    },
    /// The same batch is sent again, since what became of it is not known.
    SendRetried {
        /// Where to.
        partition: i32,
        /// Its first value.
        first: u64,
    },
    /// It was acknowledged.
    SendAcknowledged {
        /// Where to.
        partition: i32,
        /// Its first value.
        first: u64,
        /// The offset of the first value, when the broker told it.
        offset: Option<i64>,
    },
    /// It was refused, and is not in the log for sure.
    SendFailed {
        /// Where to.
        partition: i32,
        /// Its first value.
        first: u64,
    },
    /// The producer gave up: it may be in the log.
    SendUnknown {
        /// Where to.
        partition: i32,
        /// Its first value.
        first: u64,
    },
    /// A member learned what it owns in a generation of its group. Where it read before does not
    /// count any more.
    Assigned {
        /// The group.
        group: String,
        /// The generation.
        generation: i32,
        /// The member's id.
        member: String,
        /// What it owns.
        partitions: Vec<i32>,
    },
    /// A reader goes on from this offset, wherever it was before.
    Positioned {
        /// In this partition.
        partition: i32,
        /// The offset that it asks for next.
        offset: i64,
    },
    /// A reader was given records.
    Polled {
        /// Of this partition.
        partition: i32,
        /// What they are, in their order.
        runs: Vec<Run>,
        /// Offsets of records that hold no value of this history.
        strangers: Vec<i64>,
    },
    /// A reader was given what is no log.
    Unreadable {
        /// Of this partition.
        partition: i32,
        /// What is wrong with it.
        reason: String,
    },
    /// A member begins to commit offsets.
    CommitBegins {
        /// The group.
        group: String,
        /// The member's generation.
        generation: i32,
        /// Partitions and offsets.
        offsets: Vec<(i32, i64)>,
    },
    /// Offsets were committed.
    CommitAcknowledged {
        /// The group.
        group: String,
        /// Those that were; others of the same commit were refused.
        offsets: Vec<(i32, i64)>,
    },
    /// A commit was refused, and did not happen for sure.
    CommitFailed {
        /// The group.
        group: String,
    },
    /// It is not known whether offsets were committed.
    CommitUnknown {
        /// The group.
        group: String,
    },
    /// Somebody begins to ask for a group's offsets.
    FetchBegins {
        /// The group.
        group: String,
    },
    /// The answer.
    Fetched {
        /// The group.
        group: String,
        /// Partitions and offsets; -1: none is committed.
        offsets: Vec<(i32, i64)>,
    },
    /// There was no answer.
    FetchFailed {
        /// The group.
        group: String,
    },
    /// From here on a group's offset may be lower than it was: an operator or a policy says so.
    Reset {
        /// The group.
        group: String,
        /// The partition.
        partition: i32,
    },
    /// A broker said who leads a partition since which epoch.
    LeaderEpoch {
        /// The partition.
        partition: i32,
        /// The broker that was asked.
        broker: i32,
        /// The epoch.
        epoch: i32,
    },
    /// The final reader has asked for everything: `from` is the log's first offset, `end` its end.
    Drained {
        /// Of this partition.
        partition: i32,
        /// The first offset asked for.
        from: i64,
        /// The offset behind the last.
        end: i64,
    },
    /// Something for whoever reads the history.
    Note {
        /// In words.
        text: String,
    },
}

/// Records that stand behind one another: values and offsets rise by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first record's offset.
    pub offset: i64,
    /// Its value.
    pub value: u64,
    /// How many records.
    pub count: u32,
    /// The leader epoch of their batches.
    pub epoch: i32,
}

impl Run {
    /// Adds a record, to the last run where it fits.
    pub fn push(runs: &mut Vec<Run>, offset: i64, value: u64, epoch: i32) {
        if let Some(last) = runs.last_mut()
            && last.offset + i64::from(last.count) == offset
            && last.value + u64::from(last.count) == value
            && last.epoch == epoch
        {
            last.count += 1;
            return;
        }
        runs.push(Run {
            offset,
            value,
            count: 1,
            epoch,
        });
    }
}
