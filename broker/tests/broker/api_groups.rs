//! The API of groups, asked as a program asks it, on TCP and on the Unix socket.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::{
    groups_wire::{become_active, commit},
    harness::{Harness, ORDERS, ORDERS_KEY, Settings},
};

const GROUPS: &str = "/api/v1/instances/shop/groups";

/// Status code and body.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> (u16, Value) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses a body may close before it read all of it.
    let read = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(read.is_ok() || !answer.is_empty());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(!head.to_lowercase().contains("access-control"));
    (code, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

struct Api(Harness);

impl Api {
    async fn start() -> Self {
        Self(
            Harness::start_with(Settings {
                http: true,
                ..Settings::default()
            })
            .await,
        )
    }

    async fn tcp(&self, request: &str) -> (u16, Value) {
        let address = self.0.broker.http_address().unwrap();
        exchange(TcpStream::connect(address).await.unwrap(), request).await
    }

    async fn unix(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let socket = self.0.data.path().join("headwater.sock");
        let headers = "Content-Type: application/json\r\n";
        let request = request(method, path, headers, &body.to_string());
        exchange(UnixStream::connect(socket).await.unwrap(), &request).await
    }

    async fn make(&self, name: &str) -> (u16, Value) {
        let body = json!({ "name": name, "account": "team", "password": "Secret12" });
        self.unix("POST", GROUPS, &body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_listed_given_a_password_and_deleted() {
    let api = Api::start().await;
    let (code, made) = api.make("Order sync").await;
    assert_eq!((code, &made["id"]), (201, &json!("Order_sync")), "{made}");
    let (_, listed) = api.tcp(&request("GET", GROUPS, "", "")).await;
    assert_eq!(listed["groups"][0]["name"], "Order sync");
    assert_eq!((&listed["made"], &listed["limit"]), (&json!(1), &json!(20)));
    let by_name = format!("{GROUPS}/Order%20sync");
    assert_eq!(api.unix("GET", &by_name, &Value::Null).await.0, 200);

    let password = json!({ "password": "Another-1" });
    let (code, _) = api
        .unix("PUT", &format!("{by_name}/password"), &password)
        .await;
    assert_eq!(code, 204);
    let (_, history) = api
        .unix("GET", &format!("{by_name}/history"), &Value::Null)
        .await;
    let events: Vec<_> = history["entries"].as_array().unwrap().iter().collect();
    assert_eq!(events[0]["event"], "created");
    assert_eq!(events[1]["event"], "password");
    let who = events[1]["who"].as_str().unwrap();
    assert!(who.starts_with("local uid "), "{who}");
    assert!(!history.to_string().contains("Another-1"));

    assert_eq!(api.tcp(&request("DELETE", &by_name, "", "")).await.0, 204);
    assert_eq!(api.unix("GET", &by_name, &Value::Null).await.0, 404);
    let (code, history) = api
        .unix("GET", &format!("{by_name}/history"), &Value::Null)
        .await;
    assert_eq!(code, 200, "the history of a deleted group stays");
    let who = history["entries"][2]["who"].as_str().unwrap();
    assert_eq!(who, "http 127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_rule_is_told_at_once_and_never_the_password() {
    let api = Api::start().await;
    assert_eq!(api.make("orders").await.0, 201);
    let bad = json!({ "name": "orders", "account": "te am", "password": "zzz" });
    let (code, told) = api.unix("POST", GROUPS, &bad).await;
    assert_eq!(code, 422);
    let details: Vec<_> = told["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    for part in ["account", "8 to 32", "two kinds", "taken"] {
        assert!(
            details.iter().any(|line| line.contains(part)),
            "{part}: {details:?}"
        );
    }
    assert!(!told.to_string().contains("zzz"), "{told}");
    for (body, part) in [
        (
            json!({ "name": "x", "account": "team" }),
            "missing field `password`",
        ),
        (
            json!({ "name": "x", "account": "team", "password": "Secret12", "pasword": "" }),
            "pasword",
        ),
        (
            json!({ "name": "x", "account": "team", "password": 12345678 }),
            "wrong kind",
        ),
    ] {
        let (code, told) = api.unix("POST", GROUPS, &body).await;
        let line = told["error"].as_str().unwrap();
        assert_eq!(code, 400, "{line}");
        assert!(line.contains(part) && !line.contains("12345678"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_21st_group_is_refused_and_strange_names_are_not_found() {
    let api = Api::start().await;
    for number in 0..20 {
        assert_eq!(api.make(&format!("g{number}")).await.0, 201);
    }
    let (code, told) = api.make("g20").await;
    assert_eq!(code, 422);
    assert!(
        told["error"].as_str().unwrap().contains("its limit is 20"),
        "{told}"
    );
    for path in [
        "/api/v1/instances/other/groups",
        "/api/v1/instances/other/groups/g1",
        "/api/v1/instances/shop/groups/nobody",
        "/api/v1/instances/shop/groups/nobody/history",
        "/api/v1/nothing",
    ] {
        let (code, told) = api.unix("GET", path, &Value::Null).await;
        assert_eq!(code, 404, "{path}");
        assert!(
            told["error"].is_string() && told["details"].is_array(),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_can_neither_read_nor_write() {
    let api = Api::start().await;
    let json = "Content-Type: application/json\r\n";
    let body = r#"{"name":"x","account":"team","password":"Secret12"}"#;
    for (headers, code) in [
        ("", 415),
        ("Content-Type: text/plain\r\n", 415),
        (&format!("{json}Origin: http://evil.example\r\n"), 403),
        (&format!("{json}Origin: null\r\n"), 403),
        (&format!("{json}Origin: http://127.0.0.1:3000\r\n"), 403),
        (&format!("{json}Origin: http://127.0.0.1\r\n"), 201),
    ] {
        let (answered, told) = api.tcp(&request("POST", GROUPS, headers, body)).await;
        assert_eq!(answered, code, "{headers}: {told}");
    }
    let foreign = "Origin: http://evil.example\r\n";
    assert_eq!(api.tcp(&request("GET", GROUPS, foreign, "")).await.0, 403);
    let path = format!("{GROUPS}/x");
    assert_eq!(api.tcp(&request("DELETE", &path, foreign, "")).await.0, 403);
    assert_eq!(
        api.tcp(&request("GET", &path, "", "")).await.0,
        200,
        "it is still there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_has_the_status_that_says_so() {
    let api = Api::start().await;
    let json = "Content-Type: application/json\r\n";
    let large = format!("\"{}\"", "x".repeat(70_000));
    for (method, path, body, code) in [
        ("POST", GROUPS, large.as_str(), 413),
        ("POST", GROUPS, "{\"name\": ", 400),
        ("PATCH", GROUPS, "{}", 405),
        ("DELETE", &format!("{GROUPS}/x?forse=true"), "", 400),
        ("GET", "/api/v2/groups", "", 404),
    ] {
        let (answered, told) = api.tcp(&request(method, path, json, body)).await;
        assert_eq!(answered, code, "{method} {path}: {told}");
        assert!(told["error"].is_string(), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served_with_every_path() {
    let api = Api::start().await;
    let (code, document) = api
        .tcp(&request("GET", "/api/v1/openapi.json", "", ""))
        .await;
    assert_eq!(code, 200);
    for path in [
        "/api/v1/groups",
        "/api/v1/instances/{instance}/groups",
        "/api/v1/instances/{instance}/groups/{group}/seek",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_is_previewed_done_and_taken_back_and_waits_for_consumers_to_go() {
    let mut api = Api::start().await;
    for _ in 0..3 {
        api.0.commit_one(ORDERS_KEY, 1_700_000_000_000, 10).await;
    }
    api.make("orders").await;
    let mut client = api.0.client().await;
    let (member, generation) = become_active(&mut client, "orders").await;
    let member = (member.as_str(), generation);
    assert_eq!(
        commit(&mut client, "orders", member, &[(ORDERS, 0, 3, "")]).await,
        [0]
    );

    let path = format!("{GROUPS}/orders/seek");
    let (code, plan) = api
        .unix("POST", &path, &json!({ "to": "start", "dry_run": true }))
        .await;
    assert_eq!(code, 200, "{plan}");
    assert_eq!(
        (&plan["applied"], &plan["members"]),
        (&json!(false), &json!(1))
    );
    let moved = &plan["moves"][0];
    assert_eq!(
        (&moved["from"], &moved["to"], &moved["records"]),
        (&json!(3), &json!(0), &json!(-3))
    );
    let (code, told) = api.unix("POST", &path, &json!({ "to": "start" })).await;
    assert_eq!(code, 409, "{told}");
    let offset = async |api: &Api| {
        let (_, group) = api
            .unix("GET", &format!("{GROUPS}/orders"), &Value::Null)
            .await;
        group["topics"][0]["offset"].clone()
    };
    assert_eq!(offset(&api).await, 3, "nothing moved so far");

    let (code, _) = api
        .unix("POST", &path, &json!({ "to": "start", "disconnect": true }))
        .await;
    assert_eq!((code, offset(&api).await), (200, json!(0)));
    let (code, _) = api.unix("POST", &path, &json!({ "undo": true })).await;
    assert_eq!((code, offset(&api).await), (200, json!(3)));

    for body in [
        json!({ "to": "offset 99" }),
        json!({ "to": "2999-01-01T00:00:00Z" }),
        json!({ "to": "yesterday" }),
        json!({ "to": "past-damage" }),
        json!({ "to": "start", "topic": "other.public.orders" }),
        json!({ "to": "start", "undo": true }),
        json!({}),
    ] {
        let (code, told) = api.unix("POST", &path, &body).await;
        assert_eq!(code, 422, "{body}: {told}");
        assert_eq!(offset(&api).await, 3, "{body} moved the group");
    }
}
