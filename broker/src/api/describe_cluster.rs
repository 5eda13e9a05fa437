//! DescribeCluster (api key 60), v0-v2.
//!
//! Tells the cluster id and the one broker, at the address the client connected to or the one that its listener
//! advertises; as Metadata does.
//!
//! Behaviour
//! - endpoints of controllers (v1+): MISMATCHED_ENDPOINT_TYPE, as from a broker of Kafka; of an unknown kind:
//!   UNSUPPORTED_ENDPOINT_TYPE
//! - authorized operations are not told (-2^31)
//! - no broker is ever fenced
//!
//! Versions
//! - v0 flexible; v1 type of endpoints (KIP-919); v2 fenced brokers (KIP-1073)

use kafka_protocol::{
    messages::{
        BrokerId, DescribeClusterRequest, DescribeClusterResponse,
        describe_cluster_response::DescribeClusterBroker,
    },
    protocol::StrBytes,
};

use crate::{context::Context, error_code::Refusal, limits::NODE_ID};

/// Kafka's numbers (`EndpointType`).
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Never fails.
pub(crate) fn handle(
    ctx: &Context<'_>,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default().with_endpoint_type(request.endpoint_type);
    let refusal = match request.endpoint_type {
        BROKERS => return response_of_brokers(ctx),
        CONTROLLERS => Refusal::MismatchedEndpointType,
        _ => Refusal::UnsupportedEndpointType,
    };
    let message = "there are brokers here, and no controllers to connect to";
    response
        .with_error_code(refusal.code())
        .with_error_message(Some(StrBytes::from_static_str(message)))
}

fn response_of_brokers(ctx: &Context<'_>) -> DescribeClusterResponse {
    let broker = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(NODE_ID))
        .with_host(ctx.host())
        .with_port(ctx.port());
    let cluster_id = StrBytes::from_string(ctx.shared.directory.cluster_id().to_owned());
    DescribeClusterResponse::default()
        .with_endpoint_type(BROKERS)
        .with_cluster_id(cluster_id)
        .with_controller_id(BrokerId(NODE_ID))
        .with_brokers(vec![broker])
}
