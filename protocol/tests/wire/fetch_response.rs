//! Our Fetch response is the crate's, byte for byte, and holds the given batches themselves.

use bytes::{BufMut, Bytes};
use headwater_protocol::{
    api::Api,
    fetch_response::{FetchPartition, FetchResponse, FetchTopic},
    request::RequestHeader,
    response::{self, EncodeError, Piece, Response},
};

use kafka_protocol::{
    messages::{
        FetchResponse as CrateResponse, TopicName,
        fetch_response::{FetchableTopicResponse, PartitionData},
    },
    protocol::{Encodable, StrBytes},
};
use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

use crate::encode;

fn header(version: i16) -> RequestHeader {
    RequestHeader {
        api: Api::Fetch,
        version,
        correlation_id: 77,
        client_id: None,
    }
}

fn ours(version: i16, response: FetchResponse) -> Vec<Bytes> {
    encode(&header(version), Response::Fetch(response)).expect("the response can be encoded")
}

fn bytes(records: &[Piece]) -> Bytes {
    let bytes = |piece: &Piece| match piece {
        Piece::Memory(bytes) => bytes.clone(),
        Piece::Elsewhere { .. } => panic!("nothing is elsewhere: {piece:?}"),
    };
    records
        .iter()
        .map(bytes)
        .collect::<Vec<_>>()
        .concat()
        .into()
}

fn crates(version: i16, response: &FetchResponse) -> Vec<u8> {
    let topics = response.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.index)
                .with_error_code(partition.error_code)
                .with_high_watermark(partition.high_watermark)
                .with_last_stable_offset(partition.last_stable_offset)
                .with_log_start_offset(partition.log_start_offset)
                .with_aborted_transactions(Some(vec![]))
                .with_records(Some(bytes(&partition.records)))
        });
        FetchableTopicResponse::default()
            .with_topic(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partitions(partitions.collect())
    });
    let body = CrateResponse::default()
        .with_throttle_time_ms(response.throttle_time_ms)
        .with_error_code(response.error_code)
        .with_session_id(if version >= 7 { response.session_id } else { 0 })
        .with_responses(topics.collect());
    let mut frame = vec![0; 4];
    frame.put_i32(77);
    if version >= 12 {
        frame.put_u8(0);
    }
    body.encode(&mut frame, version)
        .expect("the crate encodes it");
    let length = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

prop_compose! {
    fn partition()(
        index in any::<i32>(),
        error_code in any::<i16>(),
        offsets in any::<[i64; 3]>(),
        records in vec(vec(any::<u8>(), 0..300), 0..4),
    ) -> FetchPartition {
        FetchPartition {
            index,
            error_code,
            high_watermark: offsets[0],
            last_stable_offset: offsets[1],
            log_start_offset: offsets[2],
            records: records.into_iter().map(|it| Piece::Memory(it.into())).collect(),
        }
    }
}

prop_compose! {
    fn topic()(
        name in "[a-z.]{0,200}",
        topic_id in any::<u128>(),
        partitions in vec(partition(), 0..4),
    ) -> FetchTopic {
        let name = TopicName(StrBytes::from_string(name));
        FetchTopic { name, topic_id: Uuid::from_u128(topic_id), partitions }
    }
}

prop_compose! {
    fn response()(
        throttle_time_ms in any::<i32>(),
        error_code in any::<i16>(),
        session_id in any::<i32>(),
        topics in vec(topic(), 0..4),
    ) -> FetchResponse {
        FetchResponse { throttle_time_ms, error_code, session_id, topics }
    }
}

proptest! {
    #[test]
    fn bytes_are_those_of_the_crates_encoder_in_every_version(response in response()) {
        let row = Api::Fetch.served();
        for version in row.min..=row.max {
            let pieces = ours(version, response.clone());
            prop_assert_eq!(pieces.concat(), crates(version, &response), "version {}", version);
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
        }
    }
}

fn one_partition(records: Vec<Piece>) -> FetchResponse {
    let partition = FetchPartition {
        records,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        partitions: vec![partition],
        ..FetchTopic::default()
    };
    FetchResponse {
        topics: vec![topic],
        ..FetchResponse::default()
    }
}

#[test]
fn batches_are_among_the_pieces_as_they_were_given_and_not_copied() {
    let batches = [Bytes::from(vec![1; 1000]), Bytes::from(vec![2; 500])];
    for version in [4, 16] {
        let response = one_partition(batches.iter().cloned().map(Piece::Memory).collect());
        assert_eq!(response.records_size(), 1500);
        let pieces = ours(version, response);
        for batch in &batches {
            assert!(pieces.iter().any(|piece| piece.as_ptr() == batch.as_ptr()));
        }
    }
}

#[test]
fn an_answer_without_records_is_one_piece_and_its_records_are_empty_not_null() {
    for (version, empty_records) in [(11, &[0, 0, 0, 0][..]), (12, &[1, 0, 0, 0])] {
        let pieces = ours(version, one_partition(vec![]));
        assert_eq!(pieces.len(), 1);
        assert!(
            pieces[0].ends_with(empty_records),
            "version {version}: {:?}",
            pieces[0]
        );
    }
}

#[test]
fn more_than_a_frame_can_carry_is_an_error() {
    // The same 64 MiB, 40 times.
    let batch = Bytes::from(vec![0; 64 << 20]);
    let response = one_partition(vec![Piece::Memory(batch); 40]);
    let refused = encode(&header(16), Response::Fetch(response));
    assert!(matches!(refused, Err(EncodeError::TooLarge { .. })));
    // Each partition fits, all together do not.
    let mut response = one_partition(vec![Piece::Memory(Bytes::from(vec![0; 64 << 20])); 20]);
    let topic = response.topics[0].clone();
    response.topics.push(topic);
    let refused = encode(&header(4), Response::Fetch(response));
    assert!(matches!(refused, Err(EncodeError::TooLarge { .. })));
}

#[test]
fn what_is_elsewhere_has_its_place_and_its_length_in_the_frame() {
    let elsewhere = Piece::Elsewhere {
        number: 3,
        length: 1000,
    };
    for version in [4, 11, 12, 16] {
        let filled = one_partition(vec![Piece::Memory(Bytes::from(vec![0; 1000]))]);
        let whole = ours(version, filled).concat();
        let absent = one_partition(vec![elsewhere.clone()]);
        let pieces = response::encode(&header(version), Response::Fetch(absent));
        let pieces = pieces.expect("the response can be encoded");
        let at = pieces.iter().position(|piece| *piece == elsewhere);
        let (before, behind) = pieces.split_at(at.expect("it is among the pieces"));
        let together = [
            bytes(before),
            Bytes::from(vec![0; 1000]),
            bytes(&behind[1..]),
        ];
        assert_eq!(together.concat(), whole, "version {version}");
    }
}
