//! HTML forms: found on a page, filled in as a person would, ready to be sent.

use std::collections::{BTreeMap, HashSet};

use reqwest::Url;
use scraper::{ElementRef, Selector};

use super::page::{Page, fixed};

/// How a form is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// As the query of a GET.
    Query,
    /// As the body of a POST, `application/x-www-form-urlencoded`.
    Urlencoded,
    /// As the body of a POST, `multipart/form-data`.
    Multipart,
}

/// A form with what it holds.
#[derive(Debug)]
pub(super) struct Form {
    /// Where it is sent to.
    pub(super) action: Url,
    pub(super) sending: Sending,
    /// What is sent, in the order of the page: also hidden inputs such as CSRF tokens.
    pub(super) pairs: Vec<(String, String)>,
    names: HashSet<String>,
}

/// Why a form cannot be filled in.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormError {
    #[error("the page has no such form")]
    None,
    #[error("the form has no field {missing:?}; it has {has}")]
    NoField { missing: String, has: String },
    #[error("the form is of a kind that cannot be sent: {0}")]
    Kind(String),
}

impl Form {
    /// The form that `selector` selects.
    pub(super) fn selected(page: &Page, selector: &Selector) -> Result<Self, FormError> {
        // A selector may as well be of something inside of the form.
        let mut found = page.html.select(selector).filter_map(|element| {
            std::iter::once(element)
                .chain(element.ancestors().filter_map(ElementRef::wrap))
                .find(|element| element.value().name() == "form")
        });
        Self::read(page, found.next().ok_or(FormError::None)?)
    }

    /// The first form with a password input.
    pub(super) fn of_login(page: &Page) -> Result<Self, FormError> {
        Self::selected(page, &fixed("form input[type=password i]"))
    }

    /// The first form that has fields of all these names.
    pub(super) fn with_fields<'n>(
        page: &Page,
        names: impl Iterator<Item = &'n String> + Clone,
    ) -> Result<Self, FormError> {
        page.html
            .select(&fixed("form"))
            .filter_map(|element| Self::read(page, element).ok())
            .find(|form| names.clone().all(|name| form.names.contains(name)))
            .ok_or(FormError::None)
    }

    /// Sets fields; each must be one of the form's.
    pub(super) fn fill(&mut self, fields: BTreeMap<String, String>) -> Result<(), FormError> {
        for (name, value) in fields {
            if !self.names.contains(&name) {
                let mut names: Vec<_> = self.names.iter().map(String::as_str).collect();
                names.sort_unstable();
                return Err(FormError::NoField { missing: name, has: names.join(", ") });
            }
            let place = self.pairs.iter().position(|(key, _)| *key == name);
            self.pairs.retain(|(key, _)| *key != name);
            let place = place.unwrap_or(self.pairs.len()).min(self.pairs.len());
            self.pairs.insert(place, (name, value));
        }
        Ok(())
    }

    fn read(page: &Page, form: ElementRef<'_>) -> Result<Self, FormError> {
        let word = |name: &str| form.attr(name).unwrap_or_default().trim().to_ascii_lowercase();
        let sending = match (word("method").as_str(), word("enctype").as_str()) {
            ("post", "multipart/form-data") => Sending::Multipart,
            ("post", "text/plain") => return Err(FormError::Kind("enctype text/plain".to_owned())),
            ("post", _) => Sending::Urlencoded,
            ("dialog", _) => return Err(FormError::Kind("method dialog".to_owned())),
            _ => Sending::Query,
        };
        let action = match form.attr("action").map(str::trim) {
            None | Some("") => Ok(page.url.clone()),
            Some(action) => page.base().join(action),
        };
        let mut action = action.map_err(|error| FormError::Kind(format!("its action is no address: {error}")))?;
        action.set_fragment(None);
        let mut read = Self { action, sending, pairs: Vec::new(), names: HashSet::new() };
        let mut button = None;
        for control in form.select(&fixed("input[name], select[name], textarea[name], button[name]")) {
            if control.attr("disabled").is_none() {
                read.add(control, &mut button);
            }
        }
        // A browser sends the button that was pressed along with the fields.
        read.pairs.extend(button);
        Ok(read)
    }

    fn add(&mut self, control: ElementRef<'_>, button: &mut Option<(String, String)>) {
        let Some(name) = control.attr("name").filter(|name| !name.is_empty()) else { return };
        let pair = |value: &str| (name.to_owned(), value.to_owned());
        let value = control.attr("value").unwrap_or_default();
        let kind = control.attr("type").unwrap_or_default().to_ascii_lowercase();
        match (control.value().name(), kind.as_str()) {
            ("input", "button" | "reset" | "image" | "file") | ("button", "button" | "reset") => return,
            ("input", "submit") | ("button", _) => {
                button.get_or_insert_with(|| pair(value));
                return;
            }
            ("input", "checkbox" | "radio") => {
                if control.attr("checked").is_some() {
                    self.pairs.push(pair(control.attr("value").unwrap_or("on")));
                }
            }
            ("select", _) => self.pairs.extend(chosen(control).iter().map(|value| pair(value))),
            ("textarea", _) => self.pairs.push(pair(&control.text().collect::<String>())),
            _ => self.pairs.push(pair(value)),
        }
        self.names.insert(name.to_owned());
    }
}

/// The values that are chosen in a list; of one that shows a single value, the first where none is marked.
fn chosen(list: ElementRef<'_>) -> Vec<String> {
    let value = |option: ElementRef<'_>| {
        let text = || option.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
        option.attr("value").map_or_else(text, ToOwned::to_owned)
    };
    let marked: Vec<_> = list.select(&fixed("option[selected]")).map(value).collect();
    if marked.is_empty() && list.attr("multiple").is_none() {
        return list.select(&fixed("option:not([disabled])")).take(1).map(value).collect();
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "<form id=other action=/find><input name=q></form>
        <form method=POST action='?in' enctype='multipart/form-data'>
          <input type=hidden name=csrf value='a&amp;b'><input name=user><input type=password name=pass>
          <input type=checkbox name=stay><input type=checkbox name=news value=yes checked>
          <select name=lang><option>en</option><option value=d>de</option></select>
          <textarea name=note>hi</textarea><input name=off disabled value=1>
          <button name=go value=1>Go</button><button name=no value=2>No</button>
        </form>";

    fn page(body: &str) -> Page {
        Page::new(Url::parse("http://h/a/login?x").unwrap(), body)
    }

    fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_login_form_carries_its_hidden_inputs_and_its_button() {
        let mut form = Form::of_login(&page(BODY)).unwrap();
        form.fill(fields(&[("user", "ann"), ("pass", "pw"), ("stay", "on")])).unwrap();
        let pairs: Vec<_> = form.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("csrf", "a&b"),
                ("user", "ann"),
                ("pass", "pw"),
                ("news", "yes"),
                ("lang", "en"),
                ("note", "hi"),
                ("go", "1"),
                ("stay", "on"),
            ]
        );
        assert_eq!(form.action.as_str(), "http://h/a/login?in");
        assert_eq!(form.sending, Sending::Multipart);
    }

    #[test]
    fn a_field_that_the_form_does_not_have_is_named_with_those_that_it_has() {
        let mut form = Form::selected(&page(BODY), &fixed("#other")).unwrap();
        let error = form.fill(fields(&[("year", "2025")])).unwrap_err().to_string();
        assert_eq!(error, "the form has no field \"year\"; it has q");
    }

    #[test]
    fn a_search_form_is_found_by_its_fields() {
        let form = Form::with_fields(&page(BODY), ["q".to_owned()].iter()).unwrap();
        assert_eq!((form.action.as_str(), form.sending), ("http://h/find", Sending::Query));
        assert!(Form::with_fields(&page(BODY), ["z".to_owned()].iter()).is_err());
    }
}
