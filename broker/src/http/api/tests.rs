//! The document is generated from the handlers, so every route is in it; that nothing else routes here is checked.

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_document_is_valid_and_describes_every_route_with_its_error() {
    let document = documented().to_openapi();
    let json: serde_json::Value = serde_json::from_str(&document.to_json().unwrap()).unwrap();
    assert!(json["openapi"].as_str().unwrap().starts_with("3."));
    let paths = json["paths"].as_object().unwrap();
    let mut operations = BTreeSet::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let error = &operation["responses"]["default"]["content"]["application/json"];
            assert_eq!(
                error["schema"]["$ref"], "#/components/schemas/ErrorBody",
                "{method} {path}"
            );
            operations.insert(format!("{method} {path}"));
        }
    }
    let group = "/api/v1/instances/{instance}/groups/{group}";
    for wanted in [
        "get /api/v1/openapi.json".to_owned(),
        "get /api/v1/groups".to_owned(),
        "get /api/v1/instances".to_owned(),
        "get /api/v1/instances/{instance}".to_owned(),
        "post /api/v1/instances/{instance}/pause".to_owned(),
        "post /api/v1/instances/{instance}/resume".to_owned(),
        "post /api/v1/instances/{instance}/resync".to_owned(),
        "get /api/v1/instances/{instance}/groups".to_owned(),
        "post /api/v1/instances/{instance}/groups".to_owned(),
        format!("get {group}"),
        format!("delete {group}"),
        format!("put {group}/password"),
        format!("post {group}/seek"),
        format!("get {group}/history"),
        format!("get {group}/clients"),
    ] {
        assert!(operations.contains(&wanted), "{wanted} is not described");
    }
    every_reference_is_there(&json, &json);
}

/// Walks the document: what it refers to must be in it.
fn every_reference_is_there(document: &serde_json::Value, part: &serde_json::Value) {
    match part {
        serde_json::Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(|one| one.as_str()) {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(
                    document.pointer(pointer).is_some(),
                    "{reference} is missing"
                );
            }
            fields
                .values()
                .for_each(|one| every_reference_is_there(document, one));
        }
        serde_json::Value::Array(parts) => {
            parts
                .iter()
                .for_each(|one| every_reference_is_there(document, one));
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

/// A route that is added beside the document would be served and described nowhere.
#[test]
fn no_resource_routes_beside_the_document() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/api");
    for path in rust_files(folder.as_ref()) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(".route("), "{}", path.display());
    }
}

fn rust_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path != std::path::Path::new(file!()) && !path.ends_with("api/tests.rs") {
            found.push(path);
        }
    }
    found
}
