//! DescribeConfigs (api key 32), v1-v4.
//!
//! Tells the settings of topics and of this broker, each under Kafka's name and with its value as it really is here.
//!
//! Behaviour
//! - all settings are read-only: they stand in the configuration file, or follow from how headwater works. Source
//!   STATIC_BROKER_CONFIG for what the file can change, DEFAULT_CONFIG for the rest
//! - topic: by name; unknown: UNKNOWN_TOPIC_OR_PARTITION, impossible: INVALID_TOPIC_EXCEPTION
//! - to a group's account: topics of its instance, others TOPIC_AUTHORIZATION_FAILED; the broker:
//!   CLUSTER_AUTHORIZATION_FAILED
//! - broker: this node's id; the empty name (the cluster's dynamic default) has no settings; others: INVALID_REQUEST
//! - any other type of resource: INVALID_REQUEST
//! - keys: only these; null or empty: all. Unknown keys are left out, as in Kafka
//! - a resource that is asked for twice is answered once
//! - the answer has a part in the budget of unsent responses; resources that do not fit: REQUEST_TIMED_OUT, which
//!   admin clients try again
//!
//! Versions
//! - v1 source and synonyms of a setting (KIP-226); v2 throttling; v3 type and documentation (KIP-569); v4 flexible

mod broker;
mod entry;
mod topic;

use std::collections::HashSet;

use kafka_protocol::{
    messages::{
        DescribeConfigsRequest, DescribeConfigsResponse,
        describe_configs_request::DescribeConfigsResource,
        describe_configs_response::DescribeConfigsResult,
    },
    protocol::StrBytes,
};

use self::entry::{Entry, Told};
use super::metadata::unknown;
use crate::{
    budget::Share,
    context::Context,
    error_code::{NONE, Refusal},
    limits::{CONFIG_ENTRY_BYTES, NODE_ID},
};

/// Kafka's numbers of resource types (`ConfigResource.Type`).
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// A response and its part of the budget for unsent bytes, to be kept until it is sent.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) response: DescribeConfigsResponse,
    pub(crate) held: Share,
}

/// Never fails.
pub(crate) fn handle(ctx: &Context<'_>, request: DescribeConfigsRequest) -> Described {
    let told = Told {
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let mut held = ctx.shared.responses.nothing();
    let mut seen = HashSet::new();
    let mut results = Vec::new();
    for resource in request.resources {
        if seen.insert((resource.resource_type, resource.resource_name.clone())) {
            results.push(describe(ctx, resource, told, &mut held));
        }
    }
    Described {
        response: DescribeConfigsResponse::default().with_results(results),
        held,
    }
}

fn describe(
    ctx: &Context<'_>,
    asked: DescribeConfigsResource,
    told: Told,
    held: &mut Share,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default().with_resource_type(asked.resource_type);
    let entries = entries(ctx, &asked).and_then(|entries| {
        let entries = wanted(entries, asked.configuration_keys.as_deref());
        fits(held, entries.len()).map(|()| entries)
    });
    match entries {
        Ok(entries) => {
            let configs = entries.into_iter().map(|entry| entry.told(told)).collect();
            result.with_error_code(NONE).with_configs(configs)
        }
        Err(refused) => result
            .with_error_code(refused.refusal.code())
            .with_error_message(Some(refused.message)),
    }
    .with_resource_name(asked.resource_name)
}

/// Why a resource is not described.
struct Refused {
    refusal: Refusal,
    message: StrBytes,
}

impl Refused {
    fn new(refusal: Refusal, message: &'static str) -> Self {
        Self {
            refusal,
            message: StrBytes::from_static_str(message),
        }
    }
}

fn entries(ctx: &Context<'_>, asked: &DescribeConfigsResource) -> Result<Vec<Entry>, Refused> {
    let name = asked.resource_name.as_str();
    match asked.resource_type {
        TOPIC => match ctx.topic_named(&ctx.catalog(), name) {
            Ok(topic) => Ok(topic::entries(ctx, topic)),
            Err(refusal) => Err(Refused::new(
                unknown(refusal, name),
                "there is no such topic, or it is not for this account",
            )),
        },
        BROKER if !ctx.session.principal.may_administer() => Err(Refused::new(
            Refusal::ClusterAuthorizationFailed,
            "the broker's settings are not for a group's account",
        )),
        BROKER if name.is_empty() => Ok(Vec::new()),
        BROKER if name.parse() == Ok(NODE_ID) => Ok(broker::entries(ctx)),
        BROKER => Err(Refused::new(
            Refusal::InvalidRequest,
            "there is one broker, and its id is 1",
        )),
        _ => Err(Refused::new(
            Refusal::InvalidRequest,
            "only topics and the broker have settings that are told",
        )),
    }
}

fn wanted(mut entries: Vec<Entry>, keys: Option<&[StrBytes]>) -> Vec<Entry> {
    let Some(keys) = keys.filter(|keys| !keys.is_empty()) else {
        return entries;
    };
    let keys: HashSet<&str> = keys.iter().map(StrBytes::as_str).collect();
    entries.retain(|entry| keys.contains(entry.name));
    entries
}

fn fits(held: &mut Share, entries: usize) -> Result<(), Refused> {
    if held.try_grow_to(held.bytes() + entries * CONFIG_ENTRY_BYTES) {
        return Ok(());
    }
    let message = "the answers of all clients exceed their memory: ask again, or for less";
    Err(Refused::new(Refusal::RequestTimedOut, message))
}
