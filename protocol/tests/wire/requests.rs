//! Requests as clients encode them are decoded, and refusals say what to do.

use bytes::Bytes;
use headwater_protocol::{
    api::Api,
    request::{CloseReason, DecodeError, Request, RequestHeader, ShapeError, decode},
};
use kafka_protocol::messages::{MetadataRequest, metadata_request::MetadataRequestTopic};

use crate::samples::{CLIENT_ID, CORRELATION_ID, decoded_versions, frame, header, sample};

fn refusal(frame: &[u8]) -> CloseReason {
    match decode(Bytes::copy_from_slice(frame)) {
        Err(DecodeError::Close { reason }) => reason,
        other => panic!("the frame is not refused: {other:?}"),
    }
}

fn shape_error(frame: &[u8]) -> ShapeError {
    let reason = refusal(frame);
    let CloseReason::Malformed { what, .. } = reason else {
        panic!("the shape is not refused: {reason:?}");
    };
    what
}

#[test]
fn every_request_comes_back_as_the_client_encoded_it_in_every_version() {
    for (api, version) in decoded_versions() {
        let request = sample(api, version);
        let (header, decoded) = decode(frame(api, version, &request).into())
            .unwrap_or_else(|error| panic!("{api:?} {version}: {error}"));
        assert_eq!(decoded, request, "{api:?} {version}");
        let client_id = header
            .client_id
            .clone()
            .expect("the sample has a client id");
        assert_eq!(&*client_id, CLIENT_ID);
        let expected = RequestHeader {
            api,
            version,
            correlation_id: CORRELATION_ID,
            client_id: Some(client_id),
        };
        assert_eq!(header, expected);
    }
}

#[test]
fn every_truncation_of_every_request_is_refused() {
    for (api, version) in decoded_versions() {
        let whole = frame(api, version, &sample(api, version));
        for size in 0..whole.len() {
            let cut = refusal(&whole[..size]);
            let expected = matches!(
                cut,
                CloseReason::TooShort { .. }
                    | CloseReason::Malformed {
                        what: ShapeError::Truncated | ShapeError::Count,
                        ..
                    }
            );
            assert!(expected, "{api:?} {version} cut at {size}: {cut:?}");
        }
    }
}

#[test]
fn bytes_behind_the_last_field_are_ignored_as_by_kafka() {
    for (api, version) in decoded_versions() {
        let mut longer = frame(api, version, &sample(api, version));
        longer.extend_from_slice(b"tail");
        let (_, decoded) = decode(longer.into()).unwrap();
        assert_eq!(decoded, sample(api, version), "{api:?} {version}");
    }
}

#[test]
fn api_versions_of_an_unknown_version_is_to_be_answered_in_version_0() {
    for version in [5, 99, i16::MAX, -1] {
        // The body of a version we do not know is not looked at.
        let mut frame = header(Api::ApiVersions, version);
        frame.extend_from_slice(&[0xff; 3]);
        let expected = DecodeError::AnswerApiVersionsV0 {
            correlation_id: CORRELATION_ID,
        };
        assert_eq!(decode(frame.into()), Err(expected), "version={version}");
    }
}

#[test]
fn an_unknown_api_or_version_closes_the_connection_and_names_the_client() {
    let mut unknown = header(Api::Fetch, 4);
    unknown[..2].copy_from_slice(&68_i16.to_be_bytes());
    let client = CLIENT_ID.to_owned();
    assert_eq!(
        refusal(&unknown),
        CloseReason::UnknownApi {
            key: 68,
            version: 4,
            client
        }
    );

    for (api, version) in [(Api::Fetch, 3), (Api::Fetch, 17), (Api::Metadata, -1)] {
        let client = CLIENT_ID.to_owned();
        let expected = CloseReason::UnsupportedVersion {
            api,
            version,
            client,
        };
        assert_eq!(refusal(&header(api, version)), expected);
    }
}

#[test]
fn produce_is_listed_from_version_0_and_closed_below_3() {
    assert_eq!(Api::Produce.served().min, 0);
    for version in 0..3 {
        let reason = refusal(&header(Api::Produce, version));
        assert!(matches!(
            reason,
            CloseReason::UnsupportedVersion {
                api: Api::Produce,
                ..
            }
        ));
    }
}

#[test]
fn a_clients_name_is_shortened_and_escaped_in_errors() {
    let mut frame = vec![0, 99, 0, 0, 0, 0, 0, 0];
    let name = format!("line\nbreak \u{1b}[31m{}", "x".repeat(30_000));
    frame.extend_from_slice(&u16::try_from(name.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(name.as_bytes());
    let text = refusal(&frame).to_string();
    assert!(text.contains(r"line\nbreak \u{1b}[31mxxx"), "{text}");
    assert!(text.len() < 200, "{text}");
    assert!(!text.contains('\n') && !text.contains('\u{1b}'));
}

#[test]
fn a_frame_of_25_bytes_cannot_ask_for_2_billion_topics() {
    // Four bytes of length field stand before these 21 on the wire.
    let frame = *b"\0\x03\0\0\0\0\0\x01\0\x07rdkafka\x7f\xff\xff\xff";
    assert_eq!(shape_error(&frame), ShapeError::Count);
    // The same in compact form.
    let mut frame = header(Api::Metadata, 9);
    frame.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(shape_error(&frame), ShapeError::Count);
}

#[test]
fn nulls_are_accepted_where_the_version_has_them_and_nowhere_else() {
    let null_array = [0xff; 4];
    let all_topics = [header(Api::Metadata, 1), null_array.to_vec()].concat();
    let (_, request) = decode(all_topics.into()).unwrap();
    assert!(matches!(
        request,
        Request::Metadata(MetadataRequest { topics: None, .. })
    ));

    let version_0 = [header(Api::Metadata, 0), null_array.to_vec()].concat();
    assert_eq!(shape_error(&version_0), ShapeError::Null);

    let unnamed = MetadataRequest::default()
        .with_topics(Some(vec![MetadataRequestTopic::default().with_name(None)]));
    let by_id = frame(Api::Metadata, 12, &Request::Metadata(unnamed.clone()));
    assert!(decode(by_id.into()).is_ok());
    let by_nothing = frame(Api::Metadata, 9, &Request::Metadata(unnamed));
    assert_eq!(shape_error(&by_nothing), ShapeError::Null);
}

#[test]
fn a_null_client_id_is_no_client_id() {
    let frame = vec![0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let (header, _) = decode(frame.into()).unwrap();
    assert_eq!(header.client_id, None);
}

#[test]
fn negative_lengths_other_than_null_are_refused() {
    let negative_array = [header(Api::Metadata, 1), (-2_i32).to_be_bytes().to_vec()].concat();
    assert_eq!(shape_error(&negative_array), ShapeError::Length);
    let negative_client_id = [0, 18, 0, 0, 0, 0, 0, 1, 0x80, 0];
    assert_eq!(shape_error(&negative_client_id), ShapeError::Length);
}

#[test]
fn a_compact_string_longer_than_kafkas_longest_is_refused() {
    let mut frame = header(Api::FindCoordinator, 3);
    frame.extend_from_slice(&[0x81, 0x80, 0x02]); // 32,768 + 1
    frame.resize(frame.len() + 32_768 + 2, b'g');
    assert_eq!(shape_error(&frame), ShapeError::Length);
}

#[test]
fn a_varint_of_more_than_32_bits_is_refused() {
    let mut frame = header(Api::Metadata, 9);
    frame.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x1f]);
    assert_eq!(shape_error(&frame), ShapeError::Varint);
    let mut frame = header(Api::Metadata, 9);
    frame.extend_from_slice(&[0x80; 9]);
    assert_eq!(shape_error(&frame), ShapeError::Varint);
}

#[test]
fn many_small_elements_are_refused_when_they_would_outgrow_the_frame_in_memory() {
    // Topics with empty names: 2 bytes each here, 72 when decoded.
    let count = 100_000_u32;
    let mut frame = header(Api::Metadata, 0);
    frame.extend_from_slice(&count.to_be_bytes());
    frame.resize(frame.len() + 2 * count as usize, 0);
    assert_eq!(shape_error(&frame), ShapeError::Memory);
    // Empty unknown tagged fields: 2 bytes each, a map entry when decoded.
    let mut frame = header(Api::ApiVersions, 3);
    frame.extend_from_slice(&[2, b'n', 2, b'v', 0x80, 0x08]);
    frame.resize(frame.len() + 2 * 1024, 0);
    assert_eq!(shape_error(&frame), ShapeError::Memory);
}

#[test]
fn a_fetch_of_ten_thousand_topics_fits_the_limits() {
    let Request::Fetch(sample) = sample(Api::Fetch, 11) else {
        panic!("a Fetch was asked for")
    };
    let topic = sample.topics[1]
        .clone()
        .with_topic(kafka_protocol::messages::TopicName(
            kafka_protocol::protocol::StrBytes::from_string("t".repeat(40)),
        ));
    let request = Request::Fetch(sample.with_topics(vec![topic; 10_000]));
    let frame = frame(Api::Fetch, 11, &request);
    assert!(frame.len() < headwater_protocol::limits::REQUEST_BYTES_MAX);
    assert!(decode(frame.into()).is_ok());
}

#[test]
fn a_known_tagged_field_must_have_the_size_it_claims_and_be_of_the_version() {
    let fetch_12 = |section: &[u8]| {
        let mut frame = header(Api::Fetch, 12);
        // Up to and with the session epoch, then no topics, none forgotten, an empty rack id.
        frame.extend_from_slice(&[0; 25]);
        frame.extend_from_slice(&[1, 1, 1]);
        frame.extend_from_slice(section);
        frame
    };
    let good = fetch_12(&[1, 0, 3, 3, b'i', b'd']);
    assert!(decode(good.into()).is_ok());
    assert_eq!(
        shape_error(&fetch_12(&[1, 0, 4, 3, b'i', b'd', 0])),
        ShapeError::Tag
    );
    assert_eq!(
        shape_error(&fetch_12(&[1, 0, 2, 3, b'i', b'd'])),
        ShapeError::Truncated
    );
    // The replica state came with version 15.
    assert_eq!(shape_error(&fetch_12(&[1, 1, 0])), ShapeError::Tag);
    // A tag nobody knows is skipped.
    assert!(decode(fetch_12(&[1, 77, 2, 0, 0]).into()).is_ok());
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let mut frame = header(Api::FindCoordinator, 0);
    frame.extend_from_slice(&[0, 2, 0xc3, 0x28]);
    assert!(matches!(refusal(&frame), CloseReason::Undecodable { .. }));
}
