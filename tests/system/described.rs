//! `/api/openrpc.json`: the protocol described for programs, the same for everyone, and not sent twice.

use flightdeck_protocol::operations::TABLE;
use reqwest::{Method, header};

use crate::support::Server;

#[tokio::test]
async fn a_program_reads_what_the_server_takes() {
    let server = Server::start().await;
    let url = format!("{}/api/openrpc.json", server.url);

    let reply = server.request(Method::GET, "/api/openrpc.json", None, None).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
    let document = reply.json();
    assert_eq!(document["openrpc"], "1.3.2");
    let methods = document["methods"].as_array().expect("methods");
    let names: Vec<&str> = methods.iter().filter_map(|method| method["name"].as_str()).collect();
    let wanted: Vec<&str> = TABLE.iter().map(|descriptor| descriptor.method).collect();
    assert_eq!(names, wanted);

    let tag = reply.header("etag").to_owned();
    for known in [&*tag, "*", &format!("\"other\", W/{tag}")] {
        let again = server.http.get(&url).header(header::IF_NONE_MATCH, known).send().await.expect("an answer");
        assert_eq!(again.status(), 304, "for who has {known}");
        assert_eq!(again.bytes().await.expect("no body").len(), 0);
    }
    let other = server.http.get(&url).header(header::IF_NONE_MATCH, "\"other\"").send().await.expect("an answer");
    assert_eq!(other.status(), 200);

    let wrong = server.request(Method::POST, "/api/openrpc.json", None, None).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET"));
}
