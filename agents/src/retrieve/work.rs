//! The road from the login to the last document, step by step.

use std::collections::HashSet;

use flightdeck_protocol::{
    lines::AgentLine,
    model::{ActivityType, StepStatus},
};
use reqwest::Url;
use serde_json::{Value, json};

use super::{
    browser::Browser,
    checkpoint::{Checkpoint, Delivered},
    download::{download, path_of},
    error::Error,
    form::{Form, FormError},
    input::{Input, Login, Search, Wanted},
    links::{NoLink, choose, fits, fits_exactly},
    page::{Link, Page, shown},
    report::Report,
    secret::Secret,
    verify::compare,
};

/// The most pages of a list that are looked at.
const PAGES: usize = 500;

/// Retrieves what `input` wants and is not delivered yet; gives the mission's result.
pub(super) async fn work(
    input: &Input,
    secret: &Secret,
    checkpoint: Option<Value>,
    report: &Report,
) -> Result<Value, Error> {
    let mut done = restore(input, checkpoint, report)?;
    let job = Job { input, secret, report };
    job.plan(&done)?;
    let left: Vec<&Wanted> =
        input.documents.iter().filter(|wanted| !done.delivered().contains_key(&wanted.name)).collect();
    let mut failures = Vec::new();
    if !left.is_empty() {
        let browser = Browser::new(input, report)?;
        let lists = job.reach(&browser, &left).await?;
        report.begin("documents", "retrieving the documents".to_owned())?;
        for wanted in left {
            let retrieving = async {
                let link = lists.find(wanted)?;
                job.retrieve(&browser, wanted, link, &mut done).await
            };
            match job.during(&wanted.step(), format!("retrieving {}", wanted.name), retrieving).await {
                Ok(()) => {}
                // The others are worth having all the same.
                Err(Error::Failed(reason)) => failures.push(format!("{}: {reason}", wanted.name)),
                Err(trouble) => return Err(trouble),
            }
        }
    }
    job.conclude(&done, &failures)
}

/// What an earlier run delivered and is wanted still.
fn restore(input: &Input, checkpoint: Option<Value>, report: &Report) -> Result<Checkpoint, Error> {
    let mut done = match checkpoint {
        None => Checkpoint::default(),
        Some(data) => match Checkpoint::read(data) {
            Some(read) => read,
            None => {
                report.log(ActivityType::Warning, None, "the checkpoint cannot be read: starting over", None)?;
                Checkpoint::default()
            }
        },
    };
    done.keep(|name, delivered| {
        input.documents.iter().any(|wanted| {
            wanted.name == name
                && wanted.size.is_none_or(|size| size == delivered.size)
                && wanted.sha256.as_ref().is_none_or(|hash| hash.eq_ignore_ascii_case(&delivered.sha256))
        })
    });
    report.resume_from(&done, input.documents.len());
    Ok(done)
}

struct Job<'j> {
    input: &'j Input,
    secret: &'j Secret,
    report: &'j Report,
}

/// The links of all pages that were looked at.
struct Lists {
    links: Vec<Link>,
    pages: usize,
}

impl Lists {
    fn find(&self, wanted: &Wanted) -> Result<&Link, Error> {
        choose(&self.links, wanted.pattern()).map_err(|none| {
            let pattern = wanted.pattern();
            Error::Failed(match none {
                NoLink::Missing => format!("no link on {} pages has {pattern:?}", self.pages),
                NoLink::Ambiguous(count) => format!("{count} links have {pattern:?}: write a match that only one has"),
            })
        })
    }
}

impl Job<'_> {
    /// Prints the plan, so that people see at once what is ahead.
    fn plan(&self, done: &Checkpoint) -> Result<(), Error> {
        let report = self.report;
        let all_done = done.delivered().len() == self.input.documents.len();
        if !all_done {
            if self.input.login.is_some() {
                report.plan("login", &format!("Log in to {}", shown(&self.input.portal)), None)?;
            }
            if self.input.search.is_some() {
                report.plan("search", "Fill in the search form", None)?;
            }
            report.plan("list", "Find the documents in the lists", None)?;
        }
        report.plan("documents", &format!("Retrieve {} documents", self.input.documents.len()), None)?;
        for wanted in &self.input.documents {
            report.plan(&wanted.step(), &wanted.name, Some("documents"))?;
            if done.delivered().contains_key(&wanted.name) {
                report.complete(&wanted.step(), "delivered by an earlier run")?;
            }
        }
        Ok(())
    }

    /// Goes to the lists: login, search, pages.
    async fn reach(&self, browser: &Browser<'_>, left: &[&Wanted]) -> Result<Lists, Error> {
        if let Some(login) = &self.input.login {
            self.during("login", "logging in".to_owned(), self.log_in(browser, login)).await?;
        }
        let mut found = None;
        if let Some(search) = &self.input.search {
            let searching = self.search(browser, search);
            found = Some(self.during("search", "filling in the search form".to_owned(), searching).await?);
        }
        self.during("list", "reading the lists".to_owned(), self.list(browser, found, left)).await
    }

    async fn log_in(&self, browser: &Browser<'_>, login: &Login) -> Result<(), Error> {
        let page = browser.page(&self.at(&login.page)?).await?;
        self.log("login", "opened the login page", json!({"url": shown(&page.url)}))?;
        let form = match &login.form {
            Some(selector) => Form::selected(&page, selector),
            None => Form::of_login(&page),
        };
        let mut form = form.map_err(|error| self.form_failed("login form", &page, &error))?;
        let mut fields = login.fields.clone();
        for value in fields.values_mut() {
            *value = self.secret.fill(value).map_err(|error| Error::Failed(error.to_string()))?;
        }
        let names: Vec<_> = fields.keys().cloned().collect();
        form.fill(fields).map_err(|error| self.form_failed("login form", &page, &error))?;
        self.log("login", "filled in the login form", json!({"fields": names, "to": shown(&form.action)}))?;
        drop(page);
        let mut answer = browser.submit(&form).await.map_err(|error| match error {
            Error::Failed(reason) => Error::Failed(format!("the portal refused the login: {reason}")),
            trouble => trouble,
        })?;
        if let Some(check) = &login.check {
            answer = browser.page(&self.at(check)?).await?;
        }
        let accepted = match &login.success {
            Some(selector) => answer.has(selector),
            None => !answer.asks_for_login(),
        };
        if !accepted {
            return Err(Error::Failed("the portal refused the login: user name or password may be wrong".to_owned()));
        }
        self.report.complete("login", "logged in")
    }

    async fn search(&self, browser: &Browser<'_>, search: &Search) -> Result<Page, Error> {
        let page = browser.page(&self.at(&search.page)?).await?;
        let form = match &search.form {
            Some(selector) => Form::selected(&page, selector),
            None => Form::with_fields(&page, search.fields.keys()),
        };
        let mut form = form.map_err(|error| self.form_failed("search form", &page, &error))?;
        form.fill(search.fields.clone()).map_err(|error| self.form_failed("search form", &page, &error))?;
        drop(page);
        let answer = browser.submit(&form).await?;
        self.log("search", "sent the search form", json!({"fields": search.fields, "url": shown(&answer.url)}))?;
        self.report.complete("search", "the portal answered the search")?;
        Ok(answer)
    }

    /// Turns page after page until every document has its link, or there are no more.
    async fn list(&self, browser: &Browser<'_>, found: Option<Page>, left: &[&Wanted]) -> Result<Lists, Error> {
        let list = &self.input.list;
        let mut page = match (&list.page, found) {
            (None, Some(found)) => found,
            (first, _) => browser.page(&self.at(first.as_deref().unwrap_or_default())?).await?,
        };
        let mut seen = HashSet::from([page.url.clone()]);
        let mut lists = Lists { links: Vec::new(), pages: 0 };
        loop {
            let links = page.links(&list.link);
            let fitting = |link: &Link| left.iter().any(|wanted| fits(link, wanted.pattern()));
            if page.asks_for_login() && !links.iter().any(fitting) {
                return Err(Error::Failed(
                    "the portal asks for a login in place of its list: the login may not have been accepted".to_owned(),
                ));
            }
            lists.pages += 1;
            let details = json!({"url": shown(&page.url), "page": lists.pages, "links": links.len()});
            self.log("list", &format!("page {} has {} links", lists.pages, links.len()), details)?;
            lists.links.extend(links);
            let all_found =
                left.iter().all(|wanted| lists.links.iter().any(|link| fits_exactly(link, wanted.pattern())));
            let next = page.links(&list.next).into_iter().map(|link| link.url).find(|url| !seen.contains(url));
            let Some(next) = next.filter(|_| !all_found) else { break };
            if lists.pages == PAGES {
                return Err(Error::Failed(format!("the list has more than {PAGES} pages: narrow it by a search")));
            }
            seen.insert(next.clone());
            page = browser.page(&next).await?;
        }
        self.report.complete("list", &format!("read {} links on {} pages", lists.links.len(), lists.pages))?;
        Ok(lists)
    }

    /// Downloads, verifies and delivers one document.
    async fn retrieve(
        &self,
        browser: &Browser<'_>,
        wanted: &Wanted,
        link: &Link,
        done: &mut Checkpoint,
    ) -> Result<(), Error> {
        let (name, step, source) = (&wanted.name, wanted.step(), shown(&link.url));
        let facts = download(browser, &link.url, name, self.input.max_document_bytes).await?;
        let details = json!({
            "url": source, "size": facts.size, "sha256": facts.sha256, "media_type": facts.media_type,
        });
        self.log(&step, &format!("downloaded {name}"), details)?;
        compare(wanted, &facts).map_err(Error::Failed)?;
        self.report.say(AgentLine::Document {
            name: name.clone(),
            path: path_of(name),
            media_type: Some(facts.media_type.clone()),
            size: Some(facts.size),
            sha256: Some(facts.sha256.clone()),
            source: Some(self.report.clean(&source)),
        })?;
        let result = format!("{} bytes of {}, verified and delivered", facts.size, facts.media_type);
        done.add(name, Delivered { sha256: facts.sha256, size: facts.size });
        self.report.checkpoint(done, self.input.documents.len())?;
        self.report.complete(&step, &result)
    }

    /// Says how it all ended.
    fn conclude(&self, done: &Checkpoint, failures: &[String]) -> Result<Value, Error> {
        let wanted = self.input.documents.len();
        if !failures.is_empty() {
            let summary = format!("{} of {wanted} documents were not retrieved", failures.len());
            self.report.step("documents", StepStatus::Failed, Some(&summary))?;
            return Err(Error::Failed(format!("{summary}: {}", failures.join("; "))));
        }
        self.report.complete("documents", &format!("{wanted} documents delivered"))?;
        let documents: Vec<_> = self
            .input
            .documents
            .iter()
            .filter_map(|wanted| {
                let Delivered { sha256, size } = done.delivered().get(&wanted.name)?;
                Some(json!({"name": wanted.name, "sha256": sha256, "size": size}))
            })
            .collect();
        Ok(json!({"documents": documents}))
    }

    /// Runs a step: says that it is begun and, where it fails for good, that it failed.
    async fn during<T>(
        &self,
        key: &str,
        doing: String,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.report.begin(key, doing)?;
        let outcome = step.await;
        if let Err(Error::Failed(reason)) = &outcome {
            self.report.step(key, StepStatus::Failed, Some(reason))?;
        }
        outcome
    }

    fn log(&self, step: &str, message: &str, details: Value) -> Result<(), Error> {
        self.report.log(ActivityType::Info, Some(step), message, Some(details))
    }

    /// The address of `page`, relative to the portal.
    fn at(&self, page: &str) -> Result<Url, Error> {
        self.input.portal.join(page).map_err(|error| Error::Failed(format!("the page {page:?} is no address: {error}")))
    }

    fn form_failed(&self, what: &str, page: &Page, error: &FormError) -> Error {
        let hint = match error {
            FormError::None if page.asks_for_login() && what != "login form" => "; it asks for a login",
            _ => "",
        };
        Error::Failed(format!("the {what} at {} cannot be used: {error}{hint}", shown(&page.url)))
    }
}
