//! Transaction metadata: what changes from run to run, and what must hold of it.

use serde_json::{Map, Value, json};

use super::{Record, Topics, parsed, payload};
use crate::reader::Raw;

/// The ids of transactions, which the comparison blanks: each has its BEGIN, then its END; those of records are among
/// them, made of the record's own transaction.
pub(super) fn check_transactions(raws: &[Raw]) {
    let (mut boundaries, mut ids) = (Vec::new(), Vec::new());
    for raw in raws {
        let mut value = parsed(raw.value.as_deref());
        let Some(payload) = payload(&mut value) else {
            continue;
        };
        if raw.schema.is_empty() && raw.table == "transaction" {
            boundaries.push((payload["id"].clone(), payload["status"].clone()));
        } else if let Some(id) = payload["transaction"]["id"].as_str() {
            let (xid, _) = id.split_once(':').unwrap();
            assert_eq!(xid, payload["source"]["txId"].to_string());
            ids.push(json!(id));
        }
    }
    for pair in boundaries.chunks(2) {
        let [(begun, begin), (ended, end)] = pair else {
            panic!("a BEGIN without END: {pair:?}");
        };
        assert_eq!((begun, begin, end), (ended, &json!("BEGIN"), &json!("END")));
    }
    let has_boundaries = |id: &Value| boundaries.iter().any(|(known, _)| known == id);
    assert!(ids.iter().all(has_boundaries));
}

/// Older servers send transactions that changed no table of a publication too, and the connector writes their BEGIN and
/// END, as we do (seen with 14.23). The record of it is of a server that sends fewer of them.
pub(super) fn remove_empty(topics: &mut Topics) {
    let Some(boundaries) = topics.get_mut("shop.transaction") else {
        return;
    };
    let is_empty_end = |record: &mut Record| {
        payload(&mut record.value).is_some_and(|end| end["event_count"] == json!(0))
    };
    while let Some(end) = boundaries.iter_mut().position(is_empty_end) {
        boundaries.drain(end - 1..=end);
    }
}

/// Blanks the id, and puts the collections in an order: the connector's have none.
pub(super) fn blank_transaction(payload: &mut Map<String, Value>) {
    let block = payload
        .get_mut("transaction")
        .and_then(Value::as_object_mut);
    if let Some(block) = block {
        block["id"] = json!("0:0");
    }
    if !payload.contains_key("status") {
        return;
    }
    payload["id"] = json!("0:0");
    payload["ts_ms"] = json!(0);
    if let Some(collections) = payload["data_collections"].as_array_mut() {
        for collection in collections.iter_mut() {
            // The connector writes the address of an object there.
            let name = collection["data_collection"].as_str().unwrap();
            if name.contains("LogicalDecodingMessageId@") {
                collection["data_collection"] = json!("message");
            }
        }
        collections.sort_by_key(ToString::to_string);
    }
}
