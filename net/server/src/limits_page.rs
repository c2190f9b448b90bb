use std::fmt::Write;

use sillon_controller::{
    CREATED_CONFIGS_MAX, CREATED_PARTITIONS_MAX, NAME_BYTES_MAX, PARTITIONS_MAX, VALUE_BYTES_MAX,
};
use sillon_protocol::frame::{FIRST_FRAME_BYTES_MAX, FRAME_BYTES_MAX};
use sillon_protocol::versions::{FIRST_ELEMENTS_MAX, SERVED};
use sillon_record::DECOMPRESSED_BYTES_MAX;

use crate::limits::*;

const HEAD: &str = "\
# Limits

This page is written by `sillon doctor --limits` from the numbers that the broker uses; a test \
compares the two, and sees to it that the tests named here exist. Each of them goes over its limit.

How `--memory` is split, and what the limits come to for a given configuration, is what `sillon \
doctor` prints. Keys of the configuration are described in [configs.md](configs.md).
";

/// A limit that a client can run into.
struct Row {
    what: &'static str,
    value: String,
    beyond: String,
    /// A file, and the name in it of what goes over the limit.
    test: (&'static str, &'static str),
}

fn row(
    what: &'static str,
    value: impl ToString,
    beyond: impl Into<String>,
    test: (&'static str, &'static str),
) -> Row {
    Row {
        what,
        value: value.to_string(),
        beyond: beyond.into(),
        test,
    }
}

const ENDS: &str = "the connection ends";
const WAITS: &str = "the connection is not read until there is room";
const SERVER: &str = "net/server/tests/limits.rs";

fn bytes(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

fn connections() -> Vec<Row> {
    vec![
        row(
            "Connections of a node (`max.connections`)",
            CONNECTIONS_MAX,
            "one more is closed at once",
            (
                "net/server/tests/connections.rs",
                "connections_beyond_the_limit_are_turned_away",
            ),
        ),
        row(
            "Connections from an address (`max.connections.per.ip`)",
            "without bound",
            "one more is closed at once",
            (SERVER, "an_address_has_as_many_connections_as_it_may"),
        ),
        row(
            "... from some (`max.connections.per.ip.overrides`)",
            "none",
            "one more is closed at once",
            (
                SERVER,
                "an_override_for_an_address_goes_before_the_number_for_all",
            ),
        ),
        row(
            "Until the first whole request is there",
            format!("{FIRST_REQUEST_MS} ms"),
            ENDS,
            (
                SERVER,
                "a_stranger_who_says_nothing_is_given_up_long_before_an_idle_client",
            ),
        ),
        row(
            "Between two requests (`connections.max.idle.ms`)",
            format!("{IDLE_MS} ms"),
            ENDS,
            (SERVER, "the_idle_time_is_what_the_options_say"),
        ),
        row(
            "For a frame, once it has begun",
            format!("{FRAME_MS} ms, and 1 ms for each {FRAME_BYTES_PER_MS_MIN} bytes"),
            ENDS,
            (
                SERVER,
                "a_frame_that_comes_byte_by_byte_is_given_up_in_the_end",
            ),
        ),
        row(
            "Until a client takes another byte of its responses",
            format!("{WRITE_MS} ms"),
            ENDS,
            (SERVER, "a_client_that_takes_no_byte_is_given_up"),
        ),
        row(
            "Requests of a connection that are worked on",
            IN_FLIGHT_MAX,
            WAITS,
            (
                "net/server/tests/connections.rs",
                "more_requests_than_may_be_in_flight_are_all_answered",
            ),
        ),
    ]
}

fn requests() -> Vec<Row> {
    vec![
        row(
            "Frame before the first request",
            bytes(FIRST_FRAME_BYTES_MAX as u64),
            ENDS,
            (
                SERVER,
                "a_frame_over_its_apis_limit_ends_the_connection_before_and_after_the_first_request",
            ),
        ),
        row(
            "Frame afterwards",
            format!(
                "{}, and less by API: see below",
                bytes(FRAME_BYTES_MAX as u64)
            ),
            ENDS,
            (
                SERVER,
                "a_frame_over_its_apis_limit_ends_the_connection_before_and_after_the_first_request",
            ),
        ),
        row(
            "Frame, by memory",
            "3/32 of `--memory`, over the shards",
            ENDS,
            (
                SERVER,
                "a_frame_that_is_larger_than_the_memory_for_frames_ends_the_connection",
            ),
        ),
        row(
            "Elements of an array before the first request",
            FIRST_ELEMENTS_MAX,
            ENDS,
            (SERVER, "a_count_over_its_limit_ends_the_connection"),
        ),
        row(
            "Elements of an array afterwards",
            "by API: see below",
            ENDS,
            (SERVER, "a_count_over_its_limit_ends_the_connection"),
        ),
        row(
            "Frames in memory, of all connections",
            "3/16 of `--memory`",
            WAITS,
            (
                SERVER,
                "a_huge_frame_that_does_not_come_keeps_nobody_with_usual_ones_waiting",
            ),
        ),
        row(
            "Records of a batch, decompressed",
            bytes(DECOMPRESSED_BYTES_MAX),
            "INVALID_RECORD, and nothing is kept of it",
            (
                "engine/record/tests/decompression_bombs.rs",
                "bombs_are_walked_in_little_memory_and_refused_at_the_limit",
            ),
        ),
        row(
            "Batch, as sent (`max.message.bytes`)",
            "1 MiB and 12 bytes",
            "MESSAGE_TOO_LARGE",
            ("ci/harness/hostile_inputs.py", "batch/too-large"),
        ),
    ]
}

fn names_and_counts() -> Vec<Row> {
    vec![
        row(
            "Topic name",
            bytes(NAME_BYTES_MAX as u64),
            "INVALID_TOPIC_EXCEPTION",
            ("ci/harness/hostile_inputs.py", "name/create-250-long"),
        ),
        row(
            "Value of a configuration",
            bytes(VALUE_BYTES_MAX as u64),
            "INVALID_CONFIG",
            (
                "engine/controller/tests/altering_configs.rs",
                "a_value_has_an_end_also_when_it_is_added_to",
            ),
        ),
        row(
            "Partitions that a request creates",
            CREATED_PARTITIONS_MAX,
            "POLICY_VIOLATION",
            (
                "engine/controller/tests/creating_topics.rs",
                "counts_outside_the_possible_are_refused",
            ),
        ),
        row(
            "Partitions of a cluster",
            PARTITIONS_MAX,
            "POLICY_VIOLATION",
            (
                "engine/controller/tests/creating_topics.rs",
                "counts_outside_the_possible_are_refused",
            ),
        ),
    ]
}

fn answers() -> Vec<Row> {
    vec![
        row(
            "Records of a Fetch (`fetch.max.bytes`)",
            bytes(FETCH_BYTES_MAX),
            "the answer is smaller than asked for",
            (
                "net/server/tests/produce_and_fetch.rs",
                "an_answer_has_no_more_bytes_than_the_broker_allows",
            ),
        ),
        row(
            "What all answers hold in memory that are not taken yet",
            "an eighth of `--memory`",
            "those of Fetch become small",
            (
                "ci/harness/hostile.py",
                "a_large_answer_is_asked_for_and_not_read",
            ),
        ),
        row(
            "... without their records",
            format!("1/{UNTAKEN_SHARE} of that"),
            format!(
                "a further one is begun when there is room, except the small ones of producing, \
                 fetching, groups and finding one's topics, which go on; meanwhile a client that takes nothing of its \
                 own for {UNTAKEN_MS} ms is given up"
            ),
            (
                SERVER,
                "clients_that_leave_large_answers_lying_are_given_up_when_these_are_too_many",
            ),
        ),
        row(
            "... of a connection",
            format!(
                "an answer, and others of {} in all",
                bytes(GATHER_BYTES as u64)
            ),
            "the rest is worked out when these are taken",
            (
                "ci/harness/hostile.py",
                "ten_thousand_requests_are_sent_and_no_answer_is_read",
            ),
        ),
        row(
            "Configurations of a CreateTopics",
            format!("{CREATED_CONFIGS_MAX} values"),
            "the topics behind that are created without: POLICY_VIOLATION as their configuration's \
             error",
            (
                SERVER,
                "a_creation_of_very_many_topics_is_answered_with_a_bounded_number_of_configs",
            ),
        ),
        row(
            "Configurations of a DescribeConfigs",
            format!(
                "{DESCRIBED_CONFIGS_MAX} values, {}",
                bytes(DESCRIBED_CONFIG_BYTES_MAX as u64)
            ),
            "INVALID_REQUEST for the resources behind that",
            (
                "net/server/src/api/describe_configs.rs",
                "an_answer_has_an_end",
            ),
        ),
        row(
            "Partitions of a DescribeTopicPartitions",
            DESCRIBED_PARTITIONS_MAX,
            "a cursor to go on from",
            (
                "net/server/src/api/describe_topic_partitions.rs",
                "all_topics_come_by_name_in_pages_that_fit_together",
            ),
        ),
        row(
            "Fetch sessions (`max.incremental.fetch.session.cache.slots`)",
            FETCH_SESSIONS_MAX,
            "the client names its partitions in every request",
            (
                "net/server/src/fetch_sessions.rs",
                "a_full_cache_gives_up_what_is_idle_and_what_is_small_and_old",
            ),
        ),
        row(
            "Partitions of all fetch sessions",
            FETCH_SESSION_PARTITIONS_MAX,
            "the client names its partitions in every request",
            (
                "net/server/src/fetch_sessions.rs",
                "partitions_of_all_sessions_are_bounded",
            ),
        ),
    ]
}

fn groups() -> Vec<Row> {
    let memory = "engine/group/tests/groups/memory.rs";
    vec![
        row(
            "Members, assignments and offsets of all groups",
            "3/64 of `--memory`, over the shards",
            "COORDINATOR_NOT_AVAILABLE for what would make a group larger",
            (
                memory,
                "a_flood_of_groups_is_refused_and_those_there_are_go_on",
            ),
        ),
        row(
            "Members of a group (`group.max.size`)",
            i32::MAX,
            "GROUP_MAX_SIZE_REACHED",
            (
                "engine/group/tests/groups/joining.rs",
                "a_group_takes_no_more_members_than_it_may_have",
            ),
        ),
        row(
            "Text beside an offset (`offset.metadata.max.bytes`)",
            "4096 characters",
            "OFFSET_METADATA_TOO_LARGE",
            (
                "engine/group/tests/groups/offsets.rs",
                "metadata_and_leader_epoch_are_kept_and_long_metadata_is_refused",
            ),
        ),
        row(
            "Offsets of a commit, as records",
            "1 MiB, as a batch",
            "INVALID_COMMIT_OFFSET_SIZE",
            (
                "engine/group/tests/groups/offsets.rs",
                "a_commit_that_is_not_durable_changes_nothing",
            ),
        ),
    ]
}

fn sections() -> [(&'static str, Vec<Row>); 5] {
    [
        ("Connections", connections()),
        ("Requests", requests()),
        ("Names and counts", names_and_counts()),
        ("Answers", answers()),
        ("Consumer groups", groups()),
    ]
}

/// `docs/limits.md`.
pub fn limits_page() -> String {
    let mut page = HEAD.to_owned();
    let mut line = |text: String| writeln!(page, "{text}").expect("a text takes what is written");
    for (title, rows) in sections() {
        line(format!("\n## {title}\n"));
        line("| What | At most | Beyond it | Test |".to_owned());
        line("|---|---|---|---|".to_owned());
        for row in rows {
            let (file, name) = row.test;
            let test = format!("[{name}](../{file})");
            let Row {
                what,
                value,
                beyond,
                ..
            } = row;
            line(format!("| {what} | {value} | {beyond} | {test} |"));
        }
    }
    line("\n## By API\n".to_owned());
    line("| API | First frame | Frame | Elements of an array |".to_owned());
    line("|---|---|---|---|".to_owned());
    for spec in SERVED {
        let (first, later) = (spec.limits(true), spec.limits(false));
        line(format!(
            "| {} | {} | {} | {} |",
            spec.api,
            bytes(first.frame_bytes_max as u64),
            bytes(later.frame_bytes_max as u64),
            later.array_elements_max,
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

    #[test]
    fn the_page_is_what_the_numbers_say() {
        let page = std::fs::read_to_string(format!("{ROOT}/docs/limits.md")).unwrap_or_default();
        assert!(
            page == limits_page(),
            "docs/limits.md is old: cargo run -- doctor --limits > docs/limits.md"
        );
    }

    #[test]
    fn the_tests_that_the_page_names_are_there() {
        for row in sections().into_iter().flat_map(|(_, rows)| rows) {
            let (file, name) = row.test;
            let text = std::fs::read_to_string(format!("{ROOT}/{file}")).unwrap_or_default();
            assert!(text.contains(name), "{}: {file} has no {name}", row.what);
        }
    }
}
