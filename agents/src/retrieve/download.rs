//! One document: from the portal into the workspace, with its facts.

use std::{fs, io::Write, path::Path};

use reqwest::{StatusCode, Url};
use sha2::{Digest, Sha256};

use super::{
    browser::{Browser, Miss, answered},
    error::Error,
    page::{Page, shown},
    verify::{Facts, media_type},
};

/// Where documents go, in the workspace.
const FOLDER: &str = "downloads";
/// What is not whole yet. No document can have this name.
const UNFINISHED: &str = "downloads/.unfinished";

/// The file of the document `name`, relative to the workspace.
pub(super) fn path_of(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// Downloads `url` into the file of the document `name`, of at most `most` bytes.
pub(super) async fn download(browser: &Browser<'_>, url: &Url, name: &str, most: u64) -> Result<Facts, Error> {
    fs::create_dir_all(FOLDER).map_err(|error| disk(FOLDER, &error))?;
    let (size, sha256) = browser.persist(url, async || fetch(browser, url, most).await).await?;
    let content = fs::read(UNFINISHED).map_err(|error| disk(UNFINISHED, &error))?;
    let media_type = media_type(name, &content);
    if media_type == "text/html" && !is_page(name) {
        // A session that ended shows as the login form in place of the document.
        if Page::new(url.clone(), &String::from_utf8_lossy(&content)).asks_for_login() {
            return Err(Error::Trouble("the portal asks for the login again in place of a document".to_owned()));
        }
    }
    let path = path_of(name);
    fs::rename(UNFINISHED, &path).map_err(|error| disk(&path, &error))?;
    Ok(Facts { media_type: media_type.to_owned(), size, sha256 })
}

/// One attempt; gives the size and the SHA-256.
async fn fetch(browser: &Browser<'_>, url: &Url, most: u64) -> Result<(u64, String), Miss> {
    let mut response = browser.get(url).await?;
    if response.status() == StatusCode::UNAUTHORIZED {
        return Err(Error::Trouble(format!("the session has ended: {}", answered(&response))).into());
    }
    if !response.status().is_success() {
        return Err(Error::Failed(answered(&response)).into());
    }
    let mut file = fs::File::create(UNFINISHED).map_err(|error| disk(UNFINISHED, &error))?;
    let mut hash = Sha256::new();
    let mut size = 0;
    while let Some(chunk) = response.chunk().await? {
        size += chunk.len() as u64;
        if size > most {
            let text = format!("{} has more than the {most} bytes that max_document_bytes allows", shown(url));
            return Err(Error::Failed(text).into());
        }
        hash.update(&chunk);
        file.write_all(&chunk).map_err(|error| disk(UNFINISHED, &error))?;
    }
    Ok((size, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

fn is_page(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ["html", "htm", "xhtml"].iter().any(|page| ending.eq_ignore_ascii_case(page))
}

fn disk(path: &str, error: &std::io::Error) -> Error {
    Error::Trouble(format!("cannot write {path} in the workspace: {error}"))
}
