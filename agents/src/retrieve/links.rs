//! Which link of the lists leads to a wanted document.

use super::page::Link;

/// Why no link could be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoLink {
    /// None fits.
    Missing,
    /// So many different ones fit equally well.
    Ambiguous(usize),
}

/// The link that fits `pattern` best: one of exactly that text or file name before one that has it somewhere.
pub(super) fn choose<'l>(links: &'l [Link], pattern: &str) -> Result<&'l Link, NoLink> {
    let exact = distinct(links.iter().filter(|link| fits_exactly(link, pattern)));
    let found = if exact.is_empty() { distinct(links.iter().filter(|link| fits(link, pattern))) } else { exact };
    match found[..] {
        [] => Err(NoLink::Missing),
        [link] => Ok(link),
        _ => Err(NoLink::Ambiguous(found.len())),
    }
}

/// Whether the link's text or file name is exactly `pattern`.
pub(super) fn fits_exactly(link: &Link, pattern: &str) -> bool {
    let file = link.url.path_segments().and_then(Iterator::last).unwrap_or_default();
    link.text == pattern || decoded(file) == pattern
}

/// Whether the link has `pattern` in its text or address.
pub(super) fn fits(link: &Link, pattern: &str) -> bool {
    link.text.contains(pattern) || link.url.as_str().contains(pattern) || decoded(link.url.as_str()).contains(pattern)
}

fn distinct<'l>(links: impl Iterator<Item = &'l Link>) -> Vec<&'l Link> {
    let mut found: Vec<&Link> = Vec::new();
    for link in links {
        if !found.iter().any(|other| other.url == link.url) {
            found.push(link);
        }
    }
    found
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str, url: &str) -> Link {
        Link { text: text.to_owned(), url: reqwest::Url::parse(url).unwrap() }
    }

    #[test]
    fn the_exact_name_is_taken_before_a_longer_one_that_has_it() {
        let links = [link("a.pdf.sig", "http://h/a.pdf.sig"), link("a.pdf", "http://h/1"), link("a.pdf", "http://h/1")];
        assert_eq!(choose(&links, "a.pdf").unwrap().url.as_str(), "http://h/1");
    }

    #[test]
    fn a_name_is_found_in_an_encoded_address() {
        let links = [link("Download", "http://h/data%20set.csv?b"), link("Download", "http://h/other?id=7")];
        assert_eq!(choose(&links, "data set.csv").unwrap(), &links[0]);
        assert_eq!(choose(&links, "id=7").unwrap(), &links[1]);
    }

    #[test]
    fn what_is_missing_or_ambiguous_is_not_guessed() {
        let links = [link("Download", "http://h/1"), link("Download", "http://h/2")];
        assert_eq!(choose(&links, "Download"), Err(NoLink::Ambiguous(2)));
        assert_eq!(choose(&links, "W-2"), Err(NoLink::Missing));
    }
}
