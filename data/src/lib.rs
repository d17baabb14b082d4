//! What Flightdeck knows and how it keeps it: missions, their journal, people, documents.
//!
//! Only `store` names the storage engine. Everything above it writes through the
//! one committing thread of the `journal` and reads through the narrow
//! [`store::Store`] trait.

pub mod answers;
pub mod documents;
pub mod inbox;
pub mod index;
pub mod journal;
pub mod listing;
pub mod mission;
pub mod people;
pub mod recovery;
pub mod store;
