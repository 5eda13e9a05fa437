//! Which Host headers are ours. Pure.

use std::net::IpAddr;

/// Whether a Host header names this machine's loopback: `localhost` or a loopback address, with any port.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = without_port(host);
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    bare.parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') =>
        {
            name
        }
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_ours() {
        for host in [
            "localhost",
            "LOCALHOST:9080",
            "127.0.0.1",
            "127.0.0.1:9080",
            "127.9.9.9",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:9080",
            "localhost:9080:9080",
            "localhost:x",
            "[::2]:80",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
