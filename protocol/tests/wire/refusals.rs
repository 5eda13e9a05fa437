//! The refusal of any request is a response that its client decodes and that carries the error.

use bytes::Bytes;
use headwater_protocol::{
    api::Api,
    limits::{REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION, decoded_bytes_max},
    refusal::refuse,
    request::{Request, RequestHeader, decode},
};

use kafka_protocol::{
    error::ResponseError,
    messages::{DeleteTopicsRequest, ProduceRequest, TopicName},
    protocol::StrBytes,
};

use crate::samples::{decoded_versions, frame, sample};

use crate::encode;

const ERROR: ResponseError = ResponseError::PolicyViolation;
const MESSAGE: &str = "topics follow the tables of the source";

fn refused(api: Api, version: i16, request: Request) -> Bytes {
    let header = RequestHeader {
        api,
        version,
        correlation_id: 1,
        client_id: None,
    };
    let response = refuse(request, version, ERROR, MESSAGE).expect("an answer is expected");
    assert_eq!(response.api(), api);
    encode(&header, response)
        .unwrap_or_else(|error| panic!("{api:?} {version}: {error}"))
        .concat()
        .into()
}

#[test]
fn every_refusal_has_a_form_in_every_version_and_carries_the_error() {
    for (api, version) in decoded_versions() {
        let response = refused(api, version, sample(api, version));
        let code = ERROR.code().to_be_bytes();
        let carries = response.windows(2).any(|bytes| bytes == code);
        // It has no field for an error before version 3.
        let cannot = api == Api::DescribeLogDirs && version < 3;
        assert_eq!(carries, !cannot, "{api:?} {version}: {response:?}");
    }
}

#[test]
fn a_refusal_says_why_where_the_version_has_room_for_words() {
    let with_words = [
        (Api::Produce, 8),
        (Api::FindCoordinator, 5),
        (Api::DescribeGroups, 6),
        (Api::CreateTopics, 2),
        (Api::DeleteTopics, 5),
        (Api::DescribeAcls, 1),
        (Api::DescribeConfigs, 1),
        (Api::AlterConfigs, 0),
        (Api::SaslAuthenticate, 0),
        (Api::CreatePartitions, 0),
        (Api::IncrementalAlterConfigs, 0),
        (Api::ListPartitionReassignments, 0),
        (Api::DescribeCluster, 0),
    ];
    for (api, version) in with_words {
        let response = refused(api, version, sample(api, version));
        let text = String::from_utf8_lossy(&response).into_owned();
        assert!(text.contains(MESSAGE), "{api:?} {version}: {text:?}");
    }
}

#[test]
fn everything_that_was_asked_for_is_named_in_the_refusal() {
    let response = refused(Api::DeleteTopics, 6, sample(Api::DeleteTopics, 6));
    let named = b"shop.public.orders";
    assert!(response.windows(named.len()).any(|bytes| bytes == named));
    assert!(
        response
            .windows(16)
            .any(|bytes| bytes == 7_u128.to_be_bytes())
    );
}

#[test]
fn a_produce_that_expects_no_answer_gets_none() {
    let request = Request::Produce(ProduceRequest::default().with_acks(0));
    assert_eq!(refuse(request, 9, ERROR, MESSAGE), None);
}

#[test]
fn one_name_repeated_many_times_is_refused_as_often_or_not_decoded_at_all() {
    let repeated = |name: &'static str, count: usize| {
        let names = vec![TopicName(StrBytes::from_static_str(name)); count];
        let request = DeleteTopicsRequest::default().with_topic_names(names);
        frame(Api::DeleteTopics, 5, &Request::DeleteTopics(request))
    };
    // Short names are refused: each would be answered by fifty times its size.
    assert!(decode(repeated("t", 100_000).into()).is_err());

    let long = repeated("shop.public.order_lines", 40_000);
    let size = long.len();
    let (header, request) = decode(long.into()).unwrap();
    let response = refused(header.api, header.version, request);
    assert!(response.len() < 4 * size, "{} for {size}", response.len());
    assert!(decoded_bytes_max(size) > REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION);
}
