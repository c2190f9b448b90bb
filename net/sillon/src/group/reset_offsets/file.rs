//! Plans in files, as Kafka's tool reads and writes them: topic,partition,offset by line, or
//! group,topic,partition,offset.

use std::io::{self, Write};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim, WriterBuilder};
use sillon_client::TopicPartition;

use super::plan::{Offsets, Step};
use crate::group::GroupError;

/// What a file says about a group.
pub fn read(path: &Path, group: &str) -> Result<Offsets, GroupError> {
    let unreadable = |source| GroupError::File {
        path: path.to_path_buf(),
        source,
    };
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_path(path)
        .map_err(unreadable)?;
    let mut offsets = Offsets::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = record.position().map_or(0, csv::Position::line);
        let problem = |problem| GroupError::Line {
            path: path.to_path_buf(),
            line,
            problem,
        };
        if let Some((place, offset)) = parse(&record, group).map_err(problem)? {
            offsets.insert(place, offset);
        }
    }
    if offsets.is_empty() {
        return Err(GroupError::NothingInFile {
            path: path.to_path_buf(),
            group: group.to_string(),
        });
    }
    Ok(offsets)
}

/// A line; `None`: it is about another group.
fn parse(
    record: &StringRecord,
    group: &str,
) -> Result<Option<(TopicPartition, i64)>, &'static str> {
    let fields: Vec<&str> = record.iter().collect();
    let [topic, partition, offset] = match fields[..] {
        [topic, partition, offset] => [topic, partition, offset],
        [named, ..] if fields.len() == 4 && named != group => return Ok(None),
        [_, topic, partition, offset] => [topic, partition, offset],
        _ => return Err("it does not have three or four fields"),
    };
    let partition = partition
        .parse()
        .map_err(|_| "the partition is no number")?;
    let offset = offset.parse().map_err(|_| "the offset is no number")?;
    Ok(Some((TopicPartition::new(topic, partition), offset)))
}

/// Writes a plan.
pub fn write(out: impl Write, steps: &[Step]) -> io::Result<()> {
    let mut writer = WriterBuilder::new().has_headers(false).from_writer(out);
    for step in steps {
        let TopicPartition { topic, partition } = &step.partition;
        let (partition, offset) = (partition.to_string(), step.new_offset.to_string());
        writer.write_record([topic.as_str(), &partition, &offset])?;
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_text(text: &str) -> Result<Offsets, GroupError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.csv");
        fs::write(&path, text).unwrap();
        read(&path, "g")
    }

    #[test]
    fn what_is_written_reads_back() {
        let step = |partition, new_offset| Step {
            partition: TopicPartition::new("furrow", partition),
            old_offset: None,
            new_offset,
            notice: None,
        };
        let mut out = Vec::new();
        write(&mut out, &[step(0, 5), step(1, 0)]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "furrow,0,5\nfurrow,1,0\n");
        let expected = [(0, 5), (1, 0)];
        let expected =
            expected.map(|(number, offset)| (TopicPartition::new("furrow", number), offset));
        assert_eq!(read_text(&text).unwrap(), expected.into_iter().collect());
    }

    #[test]
    fn of_a_file_about_several_groups_the_lines_of_one_are_taken() {
        let found = read_text("g,\"t\", 0,7\nother,t,0,9\ng,t,1,8\n").unwrap();
        assert_eq!(found[&TopicPartition::new("t", 0)], 7);
        assert_eq!(found[&TopicPartition::new("t", 1)], 8);
        let error = read_text("other,t,0,9\n").unwrap_err();
        assert!(matches!(error, GroupError::NothingInFile { .. }), "{error}");
    }

    #[test]
    fn a_line_that_is_no_offset_is_named() {
        for (text, problem) in [
            (
                "t,0,1\nt,0\n",
                "line 2: it does not have three or four fields",
            ),
            ("t,x,1\n", "line 1: the partition is no number"),
            ("t,0,\n", "line 1: the offset is no number"),
        ] {
            let error = read_text(text).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
