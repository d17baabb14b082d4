//! The portal's documents: made up from the year by plain arithmetic, so that they never change.

use std::{fmt, sync::LazyLock};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pdf;

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Topic {
    /// For the tax office.
    Tax,
    /// An account statement.
    Statement,
    /// A bill.
    Invoice,
}

impl Topic {
    pub(super) const ALL: [Self; 3] = [Self::Tax, Self::Statement, Self::Invoice];
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tax => "tax",
            Self::Statement => "statement",
            Self::Invoice => "invoice",
        })
    }
}

/// The years that there are documents of, newest first.
pub(super) const YEARS: [u16; 3] = [2025, 2024, 2023];

/// A document with its bytes.
pub(super) struct Document {
    pub(super) name: String,
    pub(super) media_type: &'static str,
    pub(super) year: u16,
    pub(super) topic: Topic,
    pub(super) bytes: Vec<u8>,
}

/// What the manifest says of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The file name, unique in the portal.
    pub name: String,
    /// `application/pdf` or `text/csv`.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// In lower-case hex.
    pub sha256: String,
    /// The year that it is of.
    pub year: u16,
    /// `tax`, `statement` or `invoice`.
    #[serde(rename = "type")]
    pub topic: String,
}

/// What documents the portal has, newest year first, as its lists show them.
pub fn manifest() -> Vec<Entry> {
    documents()
        .iter()
        .map(|document| Entry {
            name: document.name.clone(),
            media_type: document.media_type.to_owned(),
            size: document.bytes.len() as u64,
            sha256: hex(&Sha256::digest(&document.bytes)),
            year: document.year,
            topic: document.topic.to_string(),
        })
        .collect()
}

/// Every document, newest year first.
pub(super) fn documents() -> &'static [Document] {
    static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| YEARS.into_iter().flat_map(of_year).collect());
    &DOCUMENTS
}

fn of_year(year: u16) -> Vec<Document> {
    let wages = 8_125_000 + u64::from(year - 2020) * 231_750;
    let interest = 41_280 + u64::from(year - 2020) * 3_145;
    let mut all = vec![
        Document {
            name: format!("W-2-{year}.pdf"),
            media_type: "application/pdf",
            year,
            topic: Topic::Tax,
            bytes: pdf::page(
                &format!("Form W-2, Wage and Tax Statement {year}"),
                &[
                    "Employer: Northwind Surveying LLC (a made-up company)".to_owned(),
                    "Employee: Alex Sample, 14 Elm Road".to_owned(),
                    format!("Box 1, wages: {} USD", money(wages)),
                    format!("Box 2, federal income tax withheld: {} USD", money(wages * 14 / 100)),
                    format!("Box 4, social security tax withheld: {} USD", money(wages * 62 / 1000)),
                ],
            ),
        },
        Document {
            name: format!("1099-INT-{year}.pdf"),
            media_type: "application/pdf",
            year,
            topic: Topic::Tax,
            bytes: pdf::page(
                &format!("Form 1099-INT, Interest Income {year}"),
                &[
                    "Payer: Harbor Savings Bank (a made-up bank)".to_owned(),
                    "Recipient: Alex Sample, 14 Elm Road".to_owned(),
                    format!("Box 1, interest income: {} USD", money(interest)),
                ],
            ),
        },
        Document {
            name: format!("capital-gains-{year}.csv"),
            media_type: "text/csv",
            year,
            topic: Topic::Tax,
            bytes: table(
                ["sold_on", "what", "proceeds_usd", "cost_usd"],
                (1..=12).map(|month| {
                    let cost = 90_000 + month * 1_375 + u64::from(year % 10) * 210;
                    [
                        format!("{year}-{month:02}-15"),
                        format!("index fund, lot {month}"),
                        money(cost + month * 640),
                        money(cost),
                    ]
                }),
            ),
        },
    ];
    all.extend((1..=2).map(|half| {
        Document {
            name: format!("statement-{year}-H{half}.pdf"),
            media_type: "application/pdf",
            year,
            topic: Topic::Statement,
            bytes: pdf::page(
                &format!("Account statement, half {half} of {year}"),
                &(1..=6)
                    .map(|month| {
                        let month = (half - 1) * 6 + month;
                        format!("{year}-{month:02}: balance {} USD", money(1_204_000 + month * 18_220 + interest))
                    })
                    .collect::<Vec<_>>(),
            ),
        }
    }));
    all.push(Document {
        name: format!("transactions-{year}.csv"),
        media_type: "text/csv",
        year,
        topic: Topic::Statement,
        bytes: table(
            ["date", "payee", "amount_usd", "note"],
            (1..=48).map(|nth| {
                [
                    format!("{year}-{:02}-{:02}", (nth - 1) / 4 + 1, nth % 28 + 1),
                    format!("payee {}", nth % 7 + 1),
                    money(1_500 + nth * 337 % 9_000),
                    if nth % 5 == 0 { "standing order, \"monthly\"".to_owned() } else { String::new() },
                ]
            }),
        ),
    });
    all.extend((1..=2).map(|number| Document {
        name: format!("invoice-{year}-{number:03}.pdf"),
        media_type: "application/pdf",
        year,
        topic: Topic::Invoice,
        bytes: pdf::page(
            &format!("Invoice {year}-{number:03}"),
            &[
                "From: Elm Road Plumbing (a made-up company)".to_owned(),
                "To: Alex Sample, 14 Elm Road".to_owned(),
                format!("Amount due: {} USD", money(18_500 + number * 4_275 + u64::from(year % 100) * 100)),
            ],
        ),
    }));
    all
}

/// `123456` cents as `1234.56`.
fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn table<const N: usize>(heads: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(heads).expect("a vector takes every write, and every row has as many fields");
    for row in rows {
        writer.write_record(row).expect("a vector takes every write, and every row has as many fields");
    }
    writer.into_inner().expect("a vector takes every write")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_documents_are_two_dozen_of_each_year_and_topic_with_names_of_their_own() {
        let manifest = manifest();
        assert_eq!(manifest.len(), 24);
        assert_eq!(manifest.iter().map(|entry| &entry.name).collect::<HashSet<_>>().len(), 24);
        for year in YEARS {
            for topic in Topic::ALL {
                assert!(manifest.iter().any(|entry| entry.year == year && entry.topic == topic.to_string()));
            }
        }
    }

    #[test]
    fn the_hashes_stay_what_they_are() {
        // Missions that people keep name these hashes: a change of them breaks those missions.
        let all = manifest().iter().map(|entry| entry.sha256.as_str()).collect::<String>();
        assert_eq!(hex(&Sha256::digest(all)), "e7e8e7d8d5cfdc74f4188bfaa0332a72d289bdc372cb7490a2a7cf2a8164c1ce");
    }
}
