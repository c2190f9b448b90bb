use std::collections::BTreeSet;

use sillon_record::{BrokerId, PartitionIncarnation};

use crate::create::{
    CREATED_PARTITIONS_MAX, Creation, CreationResults, PARTITIONS_MAX, check_replicas, spread,
};
use crate::{AssignmentFault, CreatePartitionsError, Image, MetadataRecord, MorePartitions, Topic};

/// Decides about a CreatePartitions request. Applies nothing.
pub(crate) fn create_partitions(image: &Image, topics: Vec<MorePartitions>) -> Creation {
    let mut seen = BTreeSet::new();
    let again = topics.iter().filter(|t| !seen.insert(t.name.as_str()));
    let twice: BTreeSet<String> = again.map(|topic| topic.name.clone()).collect();
    let mut results = Vec::new();
    let mut creation = Creation::default();
    for (place, topic) in topics.into_iter().enumerate() {
        let result = match twice.contains(&topic.name) {
            true => Err(CreatePartitionsError::NamedTwice {
                name: topic.name.clone(),
            }),
            false => add_partitions(image, &topic, place, &mut creation),
        };
        results.push(result);
        creation.names.push(topic.name);
    }
    creation.results = CreationResults::Partitions(results);
    creation
}

fn add_partitions(
    image: &Image,
    more: &MorePartitions,
    place: usize,
    creation: &mut Creation,
) -> Result<(), CreatePartitionsError> {
    let unknown = || CreatePartitionsError::UnknownTopic {
        name: more.name.clone(),
    };
    let topic = image.topic_named(&more.name).ok_or_else(unknown)?;
    let current = topic.partitions().len();
    let wanted = usize::try_from(more.count).unwrap_or(0);
    if wanted <= current {
        return Err(CreatePartitionsError::NoIncrease {
            name: more.name.clone(),
            current,
            wanted: more.count,
        });
    }
    let asked = creation.partitions.len() + (wanted - current);
    let existing = image.partitions_count();
    if asked > CREATED_PARTITIONS_MAX || existing + asked > PARTITIONS_MAX {
        return Err(CreatePartitionsError::TooManyPartitions {
            asked,
            existing,
            created_max: CREATED_PARTITIONS_MAX,
            max: PARTITIONS_MAX,
        });
    }
    let replicas = match &more.assignments {
        Some(assignments) => assigned(image, topic, assignments, current..wanted)?,
        None => {
            let factor = topic.partitions().first().map_or(1, |p| p.replicas.len());
            spread(image, topic.id, current..wanted, factor)
        }
    };
    for (partition, replicas) in (current..wanted).zip(replicas) {
        let taken = creation.partitions.len() as u64;
        let incarnation = PartitionIncarnation(image.next_incarnation().0 + taken);
        creation.partitions.push((incarnation, place));
        creation.records.push(MetadataRecord::Partition {
            topic: topic.id,
            partition: partition as i32,
            incarnation,
            replicas,
        });
    }
    Ok(())
}

fn assigned(
    image: &Image,
    topic: &Topic,
    assignments: &[Vec<BrokerId>],
    added: std::ops::Range<usize>,
) -> Result<Vec<Vec<BrokerId>>, CreatePartitionsError> {
    if assignments.len() != added.len() {
        return Err(CreatePartitionsError::AssignmentsCount {
            added: added.len(),
            assignments: assignments.len(),
        });
    }
    let factor = topic.partitions().first().map_or(1, |p| p.replicas.len());
    for (partition, replicas) in added.zip(assignments) {
        let invalid = |fault: AssignmentFault| CreatePartitionsError::InvalidAssignment {
            partition: partition as i32,
            fault,
        };
        check_replicas(image, replicas, factor).map_err(invalid)?;
    }
    Ok(assignments.to_vec())
}
