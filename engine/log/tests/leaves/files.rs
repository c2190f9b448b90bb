use proptest::prelude::*;
use sillon_log::{
    Manifest, ManifestError, MetaProperties, MetaPropertiesError, PartitionMetadataError,
    SegmentFileKind, decode_partition_metadata, deleted_partition_folder, deleted_path,
    encode_partition_metadata, is_deleted_file, is_deleted_partition_folder, offset_index_path,
    parse_partition_folder, parse_segment_file, partition_folder, segment_path, time_index_path,
};
use sillon_record::{BrokerId, Offset, TopicId};

#[test]
fn segments_have_kafkas_names() {
    let folder = partition_folder("orders", 3);
    assert_eq!(folder, "orders-3");
    let log = segment_path(&folder, Offset(42));
    assert_eq!(log, "orders-3/00000000000000000042.log");
    let offset_index = offset_index_path(&folder, Offset(42));
    assert_eq!(offset_index, "orders-3/00000000000000000042.index");
    let time_index = time_index_path(&folder, Offset(i64::MAX));
    assert_eq!(time_index, "orders-3/09223372036854775807.timeindex");
    assert_eq!(
        deleted_path(&log),
        "orders-3/00000000000000000042.log.deleted"
    );
}

#[test]
fn only_whole_segment_names_are_segments() {
    assert_eq!(
        parse_segment_file("00000000000000000042.log"),
        Some((Offset(42), SegmentFileKind::Log))
    );
    assert_eq!(
        parse_segment_file("00000000000000000000.snapshot"),
        Some((Offset(0), SegmentFileKind::ProducerSnapshot))
    );
    for name in [
        "",
        "42.log",
        "00000000000000000042",
        "00000000000000000042.log.deleted",
        "00000000000000000042.txnindex",
        "+0000000000000000042.log",
        "99999999999999999999.log",
        "0000000000000000004é.log",
        "é.log",
        "leader-epoch-checkpoint",
    ] {
        assert_eq!(parse_segment_file(name), None, "{name}");
    }
    assert!(is_deleted_file("00000000000000000042.log.deleted"));
    assert!(!is_deleted_file("00000000000000000042.log"));
}

#[test]
fn only_what_names_a_partition_is_one() {
    assert_eq!(parse_partition_folder("a-b.c-12"), Some(("a-b.c", 12)));
    assert_eq!(parse_partition_folder("x-1-0"), Some(("x-1", 0)));
    for name in [
        "",
        "-",
        "-0",
        "x",
        "x-",
        "x-01",
        "x-+1",
        "x--1",
        "x-2147483648",
        "x-0.a-delete",
    ] {
        assert_eq!(
            parse_partition_folder(name).map(|found| found.1),
            match name {
                // A topic may end in a dash.
                "x--1" => Some(1),
                _ => None,
            },
            "{name}"
        );
    }
}

#[test]
fn a_deleted_partition_never_looks_like_a_live_one() {
    let name = deleted_partition_folder("orders", 3, 0xab);
    assert_eq!(name, "orders-3.000000000000000000000000000000ab-delete");
    assert!(is_deleted_partition_folder(&name));
    assert!(!is_deleted_partition_folder("orders-3"));
    assert!(!is_deleted_partition_folder("orders-3.ab-delete"));
    assert!(!is_deleted_partition_folder("orders-delete"));
}

#[test]
fn partition_metadata_is_kafkas() {
    let topic = TopicId(std::array::from_fn(|i| i as u8));
    let text = encode_partition_metadata(topic);
    assert_eq!(text, "version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw");
    assert_eq!(decode_partition_metadata(&text), Ok(topic));
    assert_eq!(decode_partition_metadata(&format!("{text}\n")), Ok(topic));
    let refused = |text: &str| decode_partition_metadata(text).unwrap_err();
    assert_eq!(
        refused(""),
        PartitionMetadataError::Missing { key: "version" }
    );
    assert_eq!(
        refused("version: 0\n"),
        PartitionMetadataError::Missing { key: "topic_id" }
    );
    assert!(matches!(
        refused("version: 1\ntopic_id: AAECAwQFBgcICQoLDA0ODw"),
        PartitionMetadataError::Version { .. }
    ));
    for id in ["", "x", "AAAAAAAAAAAAAAAAAAAAAA"] {
        assert!(matches!(
            refused(&format!("version: 0\ntopic_id: {id}")),
            PartitionMetadataError::TopicId { .. }
        ));
    }
}

#[test]
fn meta_properties_as_kafka_writes_them_are_read() {
    let text = "#\n#Wed Nov 25 01:06:59 UTC 2026\ncluster.id=4L6g3nShT-eMCtK--X86sw\n\
                directory.id=AAECAwQFBgcICQoLDA0ODw\nnode.id=1\nversion=1\n";
    let expected = MetaProperties {
        cluster_id: "4L6g3nShT-eMCtK--X86sw".to_owned(),
        node_id: BrokerId(1),
        directory_id: Some(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f),
    };
    assert_eq!(MetaProperties::decode(text), Ok(expected));
    let without_directory = "version = 1\r\nnode.id : 0\r\ncluster.id=x\\=y\r\n";
    let expected = MetaProperties {
        cluster_id: "x=y".to_owned(),
        node_id: BrokerId(0),
        directory_id: None,
    };
    assert_eq!(MetaProperties::decode(without_directory), Ok(expected));
}

#[test]
fn meta_properties_are_never_guessed() {
    let refused = |text: &str| MetaProperties::decode(text).unwrap_err();
    assert_eq!(refused(""), MetaPropertiesError::Missing { key: "version" });
    assert!(matches!(
        refused("version=2"),
        MetaPropertiesError::Version { .. }
    ));
    let no_cluster = refused("version=1\nnode.id=1\ncluster.id=\n");
    assert_eq!(
        no_cluster,
        MetaPropertiesError::Missing { key: "cluster.id" }
    );
    for wrong in ["node.id=-1", "node.id=x", "node.id=1\ndirectory.id=x"] {
        let text = format!("version=1\ncluster.id=x\n{wrong}");
        assert!(matches!(refused(&text), MetaPropertiesError::Value { .. }));
    }
}

fn manifest() -> Manifest {
    Manifest {
        shard_count: 2,
        journals: vec![0xab, u128::MAX],
        ring_files: 4,
        ring_file_bytes: 64 << 20,
    }
}

#[test]
fn a_manifest_reads_back_and_any_damage_is_noticed() {
    let text = manifest().encode();
    assert!(
        text.starts_with("sillon manifest\nformat_version=1\nshard_count=2\n"),
        "{text}"
    );
    assert_eq!(Manifest::decode(&text), Ok(manifest()));
    for place in 0..text.len() {
        assert!(Manifest::decode(&text[..place]).is_err(), "cut at {place}");
        let mut damaged = text.clone().into_bytes();
        damaged[place] ^= 1;
        let damaged = String::from_utf8(damaged).unwrap();
        assert!(Manifest::decode(&damaged).is_err(), "byte {place}");
    }
    assert!(Manifest::decode(&format!("{text}\n")).is_err());
}

#[test]
fn a_manifest_of_another_version_is_refused_by_name() {
    let text = manifest()
        .encode()
        .replace("format_version=1", "format_version=2");
    let refused = Manifest::decode(&text).unwrap_err();
    assert!(matches!(refused, ManifestError::Version { .. }));
    assert!(refused.to_string().contains("\"2\""), "{refused}");
}

#[test]
fn a_manifest_with_other_journals_than_shards_is_refused() {
    for shard_count in [0, 1, 3, u16::MAX] {
        let wrong = Manifest {
            shard_count,
            ..manifest()
        };
        let refused = Manifest::decode(&wrong.encode());
        assert!(
            matches!(refused, Err(ManifestError::Line { .. })),
            "{shard_count}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_partitions_folder_reads_back(topic in "[a-zA-Z0-9._-]{1,249}", partition in 0..i32::MAX) {
        let folder = partition_folder(&topic, partition);
        prop_assert_eq!(parse_partition_folder(&folder), Some((&topic[..], partition)));
        prop_assert!(!is_deleted_partition_folder(&folder));
        let deleted = deleted_partition_folder(&topic, partition, 7);
        prop_assert!(deleted.len() <= 255);
        prop_assert!(is_deleted_partition_folder(&deleted));
        prop_assert_eq!(parse_partition_folder(&deleted), None);
    }

    #[test]
    fn meta_properties_read_back(
        cluster_id in "[a-zA-Z0-9_=:#!\\\\-]{1,30}",
        node_id in 0..i32::MAX,
        directory_id: Option<u128>,
    ) {
        let node_id = BrokerId(node_id);
        let properties = MetaProperties { cluster_id, node_id, directory_id };
        prop_assert_eq!(MetaProperties::decode(&properties.encode()), Ok(properties));
    }

    #[test]
    fn any_text_is_a_file_or_an_error(text in "\\PC{0,80}", lines in "[a-z0-9=:.\n\\\\ -]{0,80}") {
        for text in [&text, &lines] {
            let _ = Manifest::decode(text);
            let _ = Manifest::decode(&format!("sillon manifest\n{text}"));
            let _ = MetaProperties::decode(text);
            let _ = decode_partition_metadata(text);
            let _ = parse_segment_file(text);
            let _ = parse_partition_folder(text);
            let _ = is_deleted_partition_folder(text);
        }
    }
}
