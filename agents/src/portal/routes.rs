//! The portal's addresses, and who may see what at each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Form, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    account::Account,
    catalogue::{Document, Topic, YEARS, documents},
    pages,
    sessions::{Session, Sessions},
};

/// Documents on one page of a list.
const PAGE: usize = 5;
/// The cookie of somebody who is logged in.
const SESSION: &str = "portal_session";
/// The cookie that the login form's CSRF token is bound to.
const VISIT: &str = "portal_visit";

struct Portal {
    account: Account,
    sessions: Mutex<Sessions>,
    visits: Mutex<Sessions>,
}

/// What the search form asks for; empty is all.
#[derive(Deserialize, Default)]
pub(super) struct Search {
    #[serde(default)]
    pub(super) year: String,
    #[serde(default, rename = "type")]
    pub(super) topic: String,
    #[serde(default)]
    page: Option<usize>,
}

#[derive(Deserialize)]
struct Login {
    csrf: String,
    username: String,
    password: String,
}

#[derive(Deserialize)]
struct Logout {
    csrf: String,
}

pub(super) fn router(account: Account) -> Router {
    let portal = Portal { account, sessions: Mutex::default(), visits: Mutex::default() };
    Router::new()
        .route("/", get(|| async { Redirect::to("/documents") }))
        .route("/login", get(show_login).post(log_in))
        .route("/logout", post(log_out))
        .route("/documents", get(list))
        .route("/documents/{name}", get(download))
        .with_state(Arc::new(portal))
}

async fn show_login(State(portal): State<Arc<Portal>>) -> Response {
    portal.login_form(StatusCode::OK, None)
}

async fn log_in(State(portal): State<Arc<Portal>>, headers: HeaderMap, Form(login): Form<Login>) -> Response {
    let visit = cookie(&headers, VISIT).unwrap_or_default();
    let known = lock(&portal.visits).find(visit).is_some_and(|visit| visit.csrf == login.csrf);
    if !known {
        return refuse(StatusCode::FORBIDDEN, "This form is not one that the portal gave you: open the login again.");
    }
    // A token serves once, whatever comes of it.
    lock(&portal.visits).close(visit);
    if !portal.account.accepts(&login.username, &login.password) {
        return portal.login_form(StatusCode::UNAUTHORIZED, Some("User name or password is wrong."));
    }
    let opened = lock(&portal.sessions).open();
    match opened {
        Ok(session) => with_cookies(
            Redirect::to("/documents").into_response(),
            &[set_cookie(SESSION, &session.id, ""), set_cookie(VISIT, "", "; Max-Age=0")],
        ),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "The portal cannot open sessions now."),
    }
}

async fn log_out(State(portal): State<Arc<Portal>>, headers: HeaderMap, Form(logout): Form<Logout>) -> Response {
    let Some(session) = portal.session(&headers) else { return Redirect::to("/login").into_response() };
    if session.csrf != logout.csrf {
        return refuse(StatusCode::FORBIDDEN, "This form is not one that the portal gave you.");
    }
    lock(&portal.sessions).close(&session.id);
    with_cookies(Redirect::to("/login").into_response(), &[set_cookie(SESSION, "", "; Max-Age=0")])
}

async fn list(State(portal): State<Arc<Portal>>, headers: HeaderMap, Query(search): Query<Search>) -> Response {
    let Some(session) = portal.session(&headers) else { return Redirect::to("/login").into_response() };
    let year_known = search.year.is_empty() || YEARS.iter().any(|year| year.to_string() == search.year);
    let topic_known = search.topic.is_empty() || Topic::ALL.iter().any(|topic| topic.to_string() == search.topic);
    if !year_known || !topic_known {
        return refuse(StatusCode::BAD_REQUEST, "There is no such year or type.");
    }
    let found: Vec<&Document> = documents()
        .iter()
        .filter(|document| search.year.is_empty() || document.year.to_string() == search.year)
        .filter(|document| search.topic.is_empty() || document.topic.to_string() == search.topic)
        .collect();
    let pages = found.len().div_ceil(PAGE).max(1);
    let page = search.page.unwrap_or(1);
    if !(1..=pages).contains(&page) {
        return refuse(StatusCode::NOT_FOUND, "There is no such page.");
    }
    let shown = found.chunks(PAGE).nth(page - 1).unwrap_or_default();
    private(Html(pages::list(&session.csrf, &search, shown, page, pages)).into_response())
}

async fn download(State(portal): State<Arc<Portal>>, headers: HeaderMap, Path(name): Path<String>) -> Response {
    if portal.session(&headers).is_none() {
        return Redirect::to("/login").into_response();
    }
    let Some(document) = documents().iter().find(|document| document.name == name) else {
        return refuse(StatusCode::NOT_FOUND, "There is no such document.");
    };
    let media_type = match document.media_type {
        "text/csv" => "text/csv; charset=utf-8",
        other => other,
    };
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", document.name)),
    ];
    private((headers, document.bytes.as_slice()).into_response())
}

impl Portal {
    fn session(&self, headers: &HeaderMap) -> Option<Session> {
        lock(&self.sessions).find(cookie(headers, SESSION)?).cloned()
    }

    /// The login form in a fresh visit.
    fn login_form(&self, status: StatusCode, error: Option<&str>) -> Response {
        let opened = lock(&self.visits).open();
        match opened {
            Ok(visit) => with_cookies(
                private((status, Html(pages::login(&visit.csrf, error))).into_response()),
                &[set_cookie(VISIT, &visit.id, "")],
            ),
            Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "The portal cannot open sessions now."),
        }
    }
}

/// A panic elsewhere leaves the list of sessions whole: its changes are single steps.
fn lock(sessions: &Mutex<Sessions>) -> MutexGuard<'_, Sessions> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse(status: StatusCode, text: &str) -> Response {
    (status, Html(pages::refusal(text))).into_response()
}

fn private(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn set_cookie(name: &str, value: &str, more: &str) -> String {
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{more}")
}

fn with_cookies(mut response: Response, cookies: &[String]) -> Response {
    for cookie in cookies {
        // Names and values are ours, in hex: always a valid header.
        if let Ok(value) = HeaderValue::from_str(cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
