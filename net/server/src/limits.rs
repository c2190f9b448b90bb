//! Every limit of the server, with its derivation. Limits of frames and of what they decode to
//! stand in the protocol's table of versions.

/// Connections that wait to be accepted: what the kernel's `somaxconn` allows by default.
pub const BACKLOG: i32 = 4096;

/// Connections of a node, unless its options say otherwise. Each takes one descriptor and, while
/// it is idle, about 2 KiB; 10,000 leave room in a limit of 65,536 descriptors for 50,000
/// segment files.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Accepted connections that one shard may have waiting for it. A full one stops the accepting.
pub const HANDED_OVER_MAX: usize = 256;

/// Requests of one connection that are worked on at the same time; then it is not read. Java
/// clients send 5 before they wait, and 64 requests of 16 KiB fill a round trip of 1 ms at 1 GB/s.
pub const IN_FLIGHT_MAX: usize = 64;

/// Memory for frames in flight, of all connections of a node, unless its options say otherwise:
/// two of the largest frames, or 16,000 batches of 16 KiB. A connection whose frame does not fit
/// waits, and so does its client.
pub const RECEIVE_BYTES: u64 = 256 << 20;

/// What a connection reads into, in bytes: four batches of 16 KiB, or hundreds of small requests
/// with one system call. Given back whenever nothing is left to be read.
pub const RECEIVE_CHUNK_BYTES: usize = 64 << 10;

/// With less room than this a new chunk is begun, in bytes: else the last bytes of a chunk would
/// be read in tiny pieces.
pub const RECEIVE_ROOM_MIN_BYTES: usize = 4 << 10;

/// This part of [`RECEIVE_BYTES`] may be held, in addition to it, by connections whose frame has
/// begun and has no place there yet. Beyond it connections begin with
/// [`RECEIVE_ROOM_MIN_BYTES`] instead of [`RECEIVE_CHUNK_BYTES`]: 10,000 clients that stop within
/// a frame hold 40 MiB, not 640.
pub const LOOSE_SHARE: u64 = 8;

/// Responses that are gathered before they are written, in bytes.
pub const GATHER_BYTES: usize = 64 << 10;

/// Pieces of memory that one system call sends; the kernel's limit is 1,024.
pub const PIECES_MAX: usize = 64;

/// What a full socket is offered when it takes bytes again, in bytes.
pub const RESUME_BYTES: usize = 16 << 10;

/// Bytes that a connection sends before others get their turn: 100 us of copying.
pub const TURN_BYTES: usize = 1 << 20;

/// Requests that a connection takes up before others get their turn.
pub const TURN_REQUESTS: u32 = 32;

/// Records of one Fetch response, in bytes, whatever the client asks for, unless the server's
/// options say otherwise: Kafka's `fetch.max.bytes`.
pub const FETCH_BYTES_MAX: u64 = 55 << 20;

/// Memory that responses on their way out may hold, of all connections of a node, unless its options
/// say otherwise, in bytes. A client that is slow to take them keeps it from being freed.
pub const SEND_BYTES: u64 = 128 << 20;

/// This part of [`SEND_BYTES`] may be held by answers themselves, without their records, that
/// clients have not taken. Beyond it a further one is not begun, unless it is one of those that
/// are small or urgent.
pub const UNTAKEN_SHARE: u64 = 2;

/// A Metadata answer about more partitions is begun only when there is room for answers: about 32
/// KiB. Clients that ask for their own topics do not wait for those that ask for all.
pub const SMALL_METADATA_PARTITIONS_MAX: usize = 1_000;

/// So many answers that may be large are put together at a time, on each shard: each counts as this
/// part of what answers may hold until it is there.
pub const LARGE_ANSWERS_AT_ONCE: u64 = 4;

/// Answers of more than [`GATHER_BYTES`] that find so many times as much held as may be end their
/// connection: only small requests that are answered at once by many clients come to that.
pub const UNTAKEN_TIMES_MAX: u64 = 2;

/// While answers hold as many bytes as they may, a client that takes none of its own for this long
/// is given up, in ms: others wait. (Else it is [`WRITE_MS`].)
pub const UNTAKEN_MS: u64 = 1_000;

/// Records of one Fetch response when responses hold as many bytes as they may: enough to go on.
pub const FETCH_BYTES_MIN: u64 = 64 << 10;

/// Records of a compressed batch that are checked on a shard's thread, in bytes: gzip, the slowest
/// codec, takes about 200 us for them. A batch of more is checked by a helper thread.
pub const INLINE_DECOMPRESSED_BYTES_MAX: u64 = 128 << 10;

/// What is asked to be in the page cache, and brought in, at a time, in bytes: 100 us of a disk.
pub const COLD_PIECE_BYTES: u64 = 256 << 10;

/// Jobs that wait for the helper threads; then who brings another one waits.
pub const HELPER_JOBS_MAX: usize = 1024;

/// An idle connection is closed after this, in ms, unless the server's options say otherwise:
/// Kafka's `connections.max.idle.ms`.
pub const IDLE_MS: u64 = 600_000;

/// A connection whose first whole request has not come by then is given up, in ms from its
/// beginning, whatever the idle time is: every client begins by asking for the versions, and a
/// stranger who says nothing keeps a descriptor from others. Kafka's `request.timeout.ms`.
pub const FIRST_REQUEST_MS: u64 = 30_000;

/// A frame that has begun and is not there after this is given up, in ms: it holds memory that
/// others wait for. Kafka's `request.timeout.ms`. A large one gets more, by
/// [`FRAME_BYTES_PER_MS_MIN`].
pub const FRAME_MS: u64 = 30_000;

/// How fast a client must send a frame, beyond the first [`FRAME_MS`], in bytes per ms: 2 Mbit/s.
/// The largest frame gets 7 minutes.
pub const FRAME_BYTES_PER_MS_MIN: u64 = 256;

/// Frames of at most this many bytes have one half of [`RECEIVE_BYTES`] for themselves: what a
/// producer with Kafka's defaults sends at most (`max.request.size`), and its headers.
pub const USUAL_FRAME_BYTES_MAX: usize = (1 << 20) + (64 << 10);

/// A client that takes no byte of its responses for this long is given up, in ms.
pub const WRITE_MS: u64 = 60_000;

/// How often connections are looked at for the four limits above, in ms.
pub const SWEEP_MS: u64 = 1_000;

/// How long requests in flight may take when the broker stops, in ms.
pub const DRAIN_MS: u64 = 2_000;

/// How long a Metadata answer waits for a topic that it creates, in ms; afterwards the client is
/// told to ask again.
pub const AUTO_CREATE_MS: u64 = 5_000;

/// Partitions of `__consumer_offsets`, unless the options say otherwise: Kafka's.
pub const OFFSETS_PARTITIONS: i32 = 50;

/// How long a creation or deletion is waited for at most, in ms, whatever the client says.
pub const ADMIN_MS_MAX: u64 = 120_000;

/// Values of configurations in one DescribeConfigs answer: 3,000 topics with all of theirs, about
/// 30 MiB. Resources beyond it are refused.
pub const DESCRIBED_CONFIGS_MAX: usize = 100_000;

/// Names and values of one DescribeConfigs answer, in bytes: most values are short, but a list may
/// have 32 KiB.
pub const DESCRIBED_CONFIG_BYTES_MAX: usize = 16 << 20;

/// Partitions of one DescribeTopicPartitions answer: Kafka's `max.request.partition.size.limit`.
pub const DESCRIBED_PARTITIONS_MAX: usize = 2_000;

/// Producers of one DescribeProducers answer, 80 bytes each. Partitions beyond it are refused.
pub const DESCRIBED_PRODUCERS_MAX: usize = 100_000;

/// Incremental fetch sessions of a node, unless its options say otherwise. Kafka's number.
pub const FETCH_SESSIONS_MAX: usize = 1_000;

/// Partitions of all fetch sessions of a node together, about 250 bytes each: 25 MB. A client that
/// finds no room names its partitions in every request.
pub const FETCH_SESSION_PARTITIONS_MAX: usize = 100_000;

/// A fetch session that nobody has used for this long makes room for another one, in ms; one that
/// has been there for longer, for a larger one. Kafka's number.
pub const FETCH_SESSION_IDLE_MS: u64 = 120_000;
