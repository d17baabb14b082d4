//! Portals that are slow to answer, use multipart forms, or lead elsewhere; and what the sample portal refuses.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Redirect},
    routing::{get, post},
};
use serde_json::json;

use crate::story::{self, Story};

/// Serves `portal` until the test process ends; gives its address.
fn serve(portal: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), portal).await })
    });
    address
}

#[test]
fn an_answer_of_503_is_tried_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let file = move || async move {
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "0")]).into_response(),
            _ => "hello".into_response(),
        }
    };
    let list = Html("<a href='/file?token=abc123'>hello.txt</a>");
    let portal = serve(Router::new().route("/", get(move || async move { list })).route("/file", get(file)));
    let story = Story::begin();
    let mut agent = story.agent(&json!({"portal": portal, "documents": [{"name": "hello.txt", "size": 5}]}));
    agent.wait_for("done");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert!(agent.says("answered 503 Service Unavailable; trying again"));
    assert!(!agent.everything_printed().contains("abc123"), "a query may be secret");
}

#[test]
fn a_multipart_login_is_sent_as_the_form_says() {
    const FORM: &str =
        "<form method=post enctype=multipart/form-data action=/in><input type=hidden name=act value=login>
        <input type=password name=pw></form>";
    let log_in = |headers: HeaderMap, body: String| async move {
        let kind = headers[header::CONTENT_TYPE].to_str().unwrap();
        let whole = body.contains("name=\"act\"\r\n\r\nlogin") && body.contains(story::PASSWORD);
        match kind.starts_with("multipart/form-data") && whole {
            true => ([(header::SET_COOKIE, "pass=1")], Html("<p id=in>hi</p>")).into_response(),
            false => StatusCode::FORBIDDEN.into_response(),
        }
    };
    let list = |headers: HeaderMap| async move {
        Html(if headers.get(header::COOKIE).is_some() { "<a href=/a.txt>a.txt</a>" } else { FORM })
    };
    let portal =
        serve(Router::new().route("/in", post(log_in)).route("/", get(list)).route("/a.txt", get(|| async { "a" })));
    let story = Story::begin();
    let mut input = json!({
        "portal": portal, "secret": "s", "documents": [{"name": "a.txt"}],
        "login": {"fields": {"pw": "{password}"}, "success": "#in"},
    });
    story.agent(&input).wait_for("done");

    input["login"]["success"] = json!("#somewhere-else");
    let failed = story.agent(&input).wait_for("failed");
    assert!(failed["reason"].as_str().unwrap().contains("refused the login"), "{failed}");
}

#[test]
fn credentials_and_requests_do_not_follow_a_portal_elsewhere() {
    let visits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&visits);
    let thief = serve(Router::new().fallback(move |_: Request| async move {
        count.fetch_add(1, Ordering::SeqCst);
        "thanks"
    }));
    let form = format!(
        "<form method=post action='{thief}/in'><input name=username><input type=password name=password></form>"
    );
    let away = format!("{thief}/away?to=hidden-place");
    let portal = serve(
        Router::new()
            .route("/login", get(move || async { Html(form) }))
            .route("/", get(|| async { Html("<a href=/away>a.txt</a>") }))
            .route("/away", get(move || async move { Redirect::temporary(&away) })),
    );
    let story = Story::begin();
    let mut input = json!({"portal": portal, "documents": [{"name": "a.txt"}]});
    for login in [json!(null), json!({"page": "/login"})] {
        input["login"] = login;
        let mut agent = story.agent(&input);
        let failed = agent.wait_for("failed");
        assert!(failed["reason"].as_str().unwrap().contains("allow_origins"), "{failed}");
        assert!(!agent.everything_printed().contains("hidden-place"));
        assert_eq!(visits.load(Ordering::SeqCst), 0);
    }
    input["login"] = json!(null);
    input["allow_origins"] = json!([thief]);
    story.agent(&input).wait_for("done");
    assert_eq!(visits.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_sample_portal_lets_nobody_in_without_a_login_of_its_own() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let story = Story::begin();
    let at = |path: &str| format!("{}{path}", story.portal());
    let stranger = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    for path in ["/documents", "/documents/W-2-2025.pdf", "/documents/none"] {
        let answer = stranger.get(at(path)).send().await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()[header::LOCATION]),
            (StatusCode::SEE_OTHER, &"/login".parse().unwrap())
        );
    }
    let fields = |csrf: &str, password: &str| {
        [("csrf", csrf), ("username", story::USERNAME), ("password", password)]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    let page = stranger.get(at("/login")).send().await.unwrap();
    let cookie = page.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite"), "{cookie}");
    let page = page.text().await.unwrap();
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();

    // The right token without its cookie, and the right cookie with another token.
    let right = fields(csrf, story::PASSWORD);
    let answer = stranger.post(at("/login")).form(&right).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let post = |form| stranger.post(at("/login")).header(header::COOKIE, &cookie).form(&form).send();
    assert_eq!(post(fields("0", story::PASSWORD)).await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(post(fields(csrf, "no")).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(post(right).await.unwrap().status(), StatusCode::FORBIDDEN, "a token serves once");
}
