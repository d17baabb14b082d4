//! A page of the portal: its links, and whether it asks for a login.

use reqwest::Url;
use scraper::{Html, Selector};

/// A page as it came, and where it came from after redirects.
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) html: Html,
}

/// A link of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The words that it shows, in one line.
    pub(super) text: String,
    pub(super) url: Url,
}

impl Page {
    pub(super) fn new(url: Url, body: &str) -> Self {
        Self { url, html: Html::parse_document(body) }
    }

    /// What addresses on the page are relative to.
    pub(super) fn base(&self) -> Url {
        let base = self.html.select(&fixed("base[href]")).find_map(|element| element.attr("href"));
        base.and_then(|href| self.url.join(href).ok()).unwrap_or_else(|| self.url.clone())
    }

    /// The links that `selector` selects, in the order of the page. Those that lead nowhere are left out.
    pub(super) fn links(&self, selector: &Selector) -> Vec<Link> {
        let base = self.base();
        self.html
            .select(selector)
            .filter_map(|element| {
                let mut url = base.join(element.attr("href")?.trim()).ok()?;
                url.set_fragment(None);
                let words: String = element.text().collect();
                let text = words.split_whitespace().collect::<Vec<_>>().join(" ");
                matches!(url.scheme(), "http" | "https").then_some(Link { text, url })
            })
            .collect()
    }

    /// Whether there is something that `selector` selects.
    pub(super) fn has(&self, selector: &Selector) -> bool {
        self.html.select(selector).next().is_some()
    }

    /// Whether the page asks for a password.
    pub(super) fn asks_for_login(&self) -> bool {
        self.has(&fixed("form input[type=password i]"))
    }
}

/// A selector that stands in the source.
pub(super) fn fixed(selector: &str) -> Selector {
    Selector::parse(selector).expect("the selector is right as written")
}

/// An address as it may be shown: without credentials, parameters, query and fragment, which may be secret.
pub(super) fn shown(url: &Url) -> String {
    let path = url.path().split(';').next().unwrap_or_default();
    format!("{}{path}", url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn links_are_resolved_against_the_page_or_its_base() {
        let body =
            "<a href='b.pdf?x=1#y'> B\n <b>two</b></a><a href='mailto:a@b'>mail</a><a>no</a><a href='//c/d'>c</a>";
        let links = Page::new(url("http://h/list/one"), body).links(&fixed("a"));
        assert_eq!(
            links,
            [
                Link { text: "B two".to_owned(), url: url("http://h/list/b.pdf?x=1") },
                Link { text: "c".to_owned(), url: url("http://c/d") },
            ]
        );
        let page = Page::new(url("http://h/list/one"), "<base href='/other/'><a href='b'>b</a>");
        assert_eq!(page.links(&fixed("a"))[0].url, url("http://h/other/b"));
    }

    #[test]
    fn what_may_be_secret_in_an_address_is_not_shown() {
        assert_eq!(shown(&url("https://ann:pw@h:8443/a/b;jsessionid=1?token=2#3")), "https://h:8443/a/b");
    }

    #[test]
    fn a_password_input_asks_for_a_login() {
        assert!(Page::new(url("http://h/"), "<form><input type=PASSWORD></form>").asks_for_login());
        assert!(!Page::new(url("http://h/"), "<form><input name=password></form>").asks_for_login());
    }
}
