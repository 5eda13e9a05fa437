//! What TCP lets in, and what a write must look like.
//!
//! A browser can be made to send requests here by any page that its user visits. So on TCP the Host header must name
//! loopback (a name that was rebound to 127.0.0.1 reads nothing), and where there is an Origin header it must be of the
//! same host and port. No CORS headers are sent, and a write must say that it is JSON, which a page of another origin
//! cannot do without asking first.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{api::error::ApiError, host};

/// Refuses requests that a page of another origin may have caused.
pub(super) async fn only_loopback(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let Some(host) = text(headers, header::HOST).filter(|host| host::is_loopback(host)) else {
        let told = "this server answers to localhost and 127.0.0.1 only\n";
        return (StatusCode::MISDIRECTED_REQUEST, told).into_response();
    };
    if headers.contains_key(header::ORIGIN)
        && !text(headers, header::ORIGIN).is_some_and(|origin| is_same(origin, host))
    {
        let line = "requests of pages from another origin are refused";
        return ApiError::new(StatusCode::FORBIDDEN, line).into_response();
    }
    next.run(request).await
}

/// Refuses writes that do not say that they are JSON. A deletion has no body to speak of.
pub(super) async fn json_on_writes(request: Request, next: Next) -> Response {
    let writes = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
    let kind = text(request.headers(), header::CONTENT_TYPE);
    if writes && !kind.is_some_and(is_json) {
        let line = "a write must have the header Content-Type: application/json";
        return ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, line).into_response();
    }
    next.run(request).await
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// Whether the page came from this very server. It has no TLS today; one before it may.
fn is_same(origin: &str, host: &str) -> bool {
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_host_and_port_are_the_same_origin() {
        for (origin, same) in [
            ("http://127.0.0.1:9080", true),
            ("https://127.0.0.1:9080", true),
            ("http://127.0.0.1:3000", false),
            ("http://127.0.0.1", false),
            ("http://evil.example", false),
            ("null", false),
            ("", false),
            ("127.0.0.1:9080", false),
        ] {
            assert_eq!(is_same(origin, "127.0.0.1:9080"), same, "{origin}");
        }
    }

    #[test]
    fn json_is_told_with_or_without_a_character_set() {
        for (kind, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonp", false),
            ("", false),
        ] {
            assert_eq!(is_json(kind), json, "{kind}");
        }
    }
}
