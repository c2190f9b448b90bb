use sillon_client::{Client, ClientError, TopicPartition};

/// A topic, or some of its partitions: `topic` or `topic:0,1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    topic: String,
    /// All of them when there are none.
    partitions: Vec<i32>,
}

pub(super) fn selection(text: &str) -> Result<Selection, String> {
    let (topic, partitions) = match text.split_once(':') {
        None => (text, Vec::new()),
        Some((topic, list)) => {
            let numbers = list.split(',').map(|number| number.trim().parse::<i32>());
            let numbers: Result<Vec<i32>, _> = numbers.collect();
            match numbers {
                Ok(numbers) if numbers.iter().all(|number| *number >= 0) => (topic, numbers),
                _ => return Err("partitions are numbers from 0 on, such as topic:0,1".to_string()),
            }
        }
    };
    if topic.is_empty() {
        return Err("a topic's name is needed, such as topic or topic:0,1".to_string());
    }
    Ok(Selection {
        topic: topic.to_string(),
        partitions,
    })
}

/// The partitions that are meant, sorted, all of which exist.
pub(super) fn selected(
    client: &mut Client,
    selections: &[Selection],
) -> Result<Vec<TopicPartition>, ClientError> {
    let mut selected = Vec::new();
    for selection in selections {
        let topic = &selection.topic;
        let known = client.topic(topic)?;
        let count = known.partitions.len();
        if selection.partitions.is_empty() {
            let all = known.partitions.iter();
            selected.extend(all.map(|known| TopicPartition::new(topic.as_str(), known.index)));
        }
        for partition in &selection.partitions {
            if *partition as usize >= count {
                return Err(ClientError::NoPartition {
                    topic: topic.clone(),
                    partition: *partition,
                    count,
                });
            }
            selected.push(TopicPartition::new(topic.as_str(), *partition));
        }
    }
    selected.sort();
    selected.dedup();
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_come_with_partitions() {
        let read = |text| selection(text).map(|read| (read.topic, read.partitions));
        assert_eq!(read("furrow"), Ok(("furrow".to_string(), vec![])));
        assert_eq!(read("furrow:2"), Ok(("furrow".to_string(), vec![2])));
        assert_eq!(read("furrow:0, 1"), Ok(("furrow".to_string(), vec![0, 1])));
        for text in ["", ":1", "furrow:", "furrow:x", "furrow:-1", "furrow:1:2"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
