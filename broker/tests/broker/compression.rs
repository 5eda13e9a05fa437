//! Compressed topics: stored and sent compressed, found by time, told by DescribeConfigs.

use headwater_protocol::batch::{BatchHeader, Compression, decompressed, records, verify_crc};
use kafka_protocol::{
    messages::{DescribeConfigsRequest, describe_configs_request::DescribeConfigsResource},
    protocol::StrBytes,
};

use crate::{
    harness::{Harness, ORDERS, ORDERS_KEY, Settings},
    wire::{Client, Fetch},
};

const NOW: i64 = 1_700_000_000_000;

async fn filled(compression: Compression) -> (Harness, Client) {
    let settings = Settings {
        compression,
        ..Settings::default()
    };
    let mut harness = Harness::start_with(settings).await;
    let rows = (0..500).map(|row| (NOW + row, format!("row {row} of a table").into_bytes()));
    harness.commit(&[(ORDERS_KEY, rows.collect())]).await;
    let client = harness.client().await;
    (harness, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_topic_is_sent_as_it_is_stored_and_found_by_time() {
    for (codec, bits) in Compression::ALL.into_iter().zip(0..) {
        let (_harness, mut client) = filled(codec).await;
        let partition = client.fetch(Fetch::of(ORDERS, 0)).await;
        let batch = partition.records.expect("records are never null");
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(
            (header.attributes, header.base_offset),
            (bits, 0),
            "{codec:?}"
        );
        assert_eq!(verify_crc(&batch), Ok(()), "{codec:?}");
        let plain = decompressed(&batch).unwrap();
        assert_eq!(plain.len() > batch.len(), bits > 0, "{codec:?}");
        let last = records(&plain).last().unwrap().unwrap();
        assert_eq!(
            (last.offset, last.value),
            (499, Some(&b"row 499 of a table"[..]))
        );

        let found = client.offset(ORDERS, NOW + 321, 9).await;
        assert_eq!((found.error_code, found.offset), (0, 321), "{codec:?}");
        let newest = client.offset(ORDERS, -3, 9).await;
        assert_eq!(
            (newest.offset, newest.timestamp),
            (499, NOW + 499),
            "{codec:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_codec_of_a_topic_is_told_in_kafkas_words() {
    for (codec, told) in [
        (Compression::None, "uncompressed"),
        (Compression::Zstd, "zstd"),
    ] {
        let (_harness, mut client) = filled(codec).await;
        let key = StrBytes::from_static_str("compression.type");
        let resource = DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(StrBytes::from_static_str(ORDERS))
            .with_configuration_keys(Some(vec![key]));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let answer = client.ask(&request, 4).await;
        let entry = &answer.results[0].configs[0];
        assert_eq!(entry.value.as_deref(), Some(told));
        assert_eq!(entry.config_source, 4, "the file can change it");
    }
}
