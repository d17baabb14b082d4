//! From the address of a server, as people write it, to the address of its socket.

use super::ClientError;

/// The WebSocket address of `path` on `server`.
///
/// `server` is `http://host:port` or the same with `https`, `ws` or `wss`; a
/// path in it is kept in front of `path`, for servers behind a proxy.
pub(super) fn socket_address(server: &str, path: &str) -> Result<String, ClientError> {
    let wrong =
        |why: &str| ClientError::Address(format!("{server:?} {why}; give something like http://127.0.0.1:8080"));
    let Some((scheme, rest)) = server.trim().split_once("://") else {
        return Err(wrong("has no http:// or https:// in front"));
    };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(wrong("is neither http nor https")),
    };
    if rest.contains(['?', '#', '@']) || rest.contains(char::is_whitespace) {
        return Err(wrong("is more than a host, a port and a path"));
    }
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix("/ws").unwrap_or(rest);
    if rest.is_empty() || rest.starts_with(['/', ':']) {
        return Err(wrong("names no host"));
    }
    Ok(format!("{scheme}://{rest}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_server_leads_to_its_socket() {
        for (server, socket) in [
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws"),
            ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/ws"),
            ("HTTPS://desk.example", "wss://desk.example/ws"),
            ("ws://[::1]:9/ws", "ws://[::1]:9/ws"),
            ("https://desk.example/flights/", "wss://desk.example/flights/ws"),
        ] {
            assert_eq!(socket_address(server, "/ws").unwrap(), socket);
        }
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for server in
            ["", "127.0.0.1:8080", "ftp://a", "http://", "http://:80", "http://a b", "http://u:p@a", "http://a?b"]
        {
            assert!(socket_address(server, "/ws").is_err(), "{server}");
        }
    }
}
