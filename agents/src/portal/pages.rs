//! The portal's HTML: plain, readable, and escaped.

use super::{
    catalogue::{Document, Topic, YEARS},
    routes::Search,
};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#222}\
header{display:flex;justify-content:space-between;align-items:center;border-bottom:2px solid #2a6}\
label{display:inline-block;margin:.3rem 1rem .3rem 0}table{width:100%;border-collapse:collapse;margin:1rem 0}\
td,th{text-align:left;padding:.35rem;border-bottom:1px solid #ddd}.error{color:#a00}nav{display:flex;gap:1rem}";

/// `body` as a page of the portal. Everything in it must be escaped already.
fn layout(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} - Sample portal</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// The login form, with what went wrong the last time.
pub(super) fn login(csrf: &str, error: Option<&str>) -> String {
    let error = error.map(|text| format!("<p class=\"error\">{}</p>\n", escape(text))).unwrap_or_default();
    layout(
        "Log in",
        &format!(
            "<header><h1>Sample portal</h1></header>\n{error}<form method=\"post\" action=\"/login\">\n\
             <input type=\"hidden\" name=\"csrf\" value=\"{}\">\n\
             <label>User name <input name=\"username\" autocomplete=\"username\" required></label>\n\
             <label>Password <input type=\"password\" name=\"password\" required></label>\n\
             <button type=\"submit\">Log in</button>\n</form>\n",
            escape(csrf)
        ),
    )
}

/// A page of the list, under the search form.
pub(super) fn list(csrf: &str, search: &Search, shown: &[&Document], page: usize, pages: usize) -> String {
    let mut rows = String::new();
    for document in shown {
        let name = escape(&document.name);
        rows.push_str(&format!(
            "<tr><td><a class=\"document\" href=\"/documents/{name}\">{name}</a></td><td>{}</td><td>{}</td>\
             <td>{} bytes</td></tr>\n",
            document.year,
            document.topic,
            document.bytes.len()
        ));
    }
    if shown.is_empty() {
        rows.push_str("<tr><td colspan=\"4\">No documents.</td></tr>\n");
    }
    let mut turns = String::new();
    if page > 1 {
        turns.push_str(&turn("prev", "Previous", search, page - 1));
    }
    if page < pages {
        turns.push_str(&turn("next", "Next", search, page + 1));
    }
    layout(
        "Documents",
        &format!(
            "<header><h1>Documents</h1><form method=\"post\" action=\"/logout\">\
             <input type=\"hidden\" name=\"csrf\" value=\"{}\"><button id=\"logout\">Log out</button></form></header>\n\
             <form id=\"search\" method=\"get\" action=\"/documents\">\n\
             <label>Year <select name=\"year\">{}</select></label>\n\
             <label>Type <select name=\"type\">{}</select></label>\n\
             <button type=\"submit\">Search</button>\n</form>\n\
             <table>\n<tr><th>Name</th><th>Year</th><th>Type</th><th>Size</th></tr>\n{rows}</table>\n\
             <nav>{turns}<span>Page {page} of {pages}</span></nav>\n",
            escape(csrf),
            options(YEARS.iter().map(ToString::to_string), &search.year),
            options(Topic::ALL.iter().map(ToString::to_string), &search.topic),
        ),
    )
}

/// A page that says what is wrong.
pub(super) fn refusal(text: &str) -> String {
    layout("Refused", &format!("<h1>Refused</h1>\n<p class=\"error\">{}</p>\n", escape(text)))
}

fn turn(rel: &str, title: &str, search: &Search, page: usize) -> String {
    // Only known years and types get here, so that the address needs no encoding beyond HTML's.
    format!(
        "<a rel=\"{rel}\" href=\"/documents?year={}&amp;type={}&amp;page={page}\">{title}</a> ",
        escape(&search.year),
        escape(&search.topic)
    )
}

fn options(values: impl Iterator<Item = String>, chosen: &str) -> String {
    let mut options = "<option value=\"\">all</option>".to_owned();
    for value in values {
        let selected = if value == chosen { " selected" } else { "" };
        options.push_str(&format!("<option{selected}>{value}</option>"));
    }
    options
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
