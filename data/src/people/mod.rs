//! Organizations, the people in them, their passwords, and their sign-ins.

mod access;
mod account;
mod directory;
mod error;
mod password;
mod sign_ins;
mod stored;
#[cfg(test)]
mod tests;
mod token;
mod validate;

pub use self::{
    access::{Access, AccessError, AccessTokens, KeyError},
    account::{AccessChange, AccountUpdate},
    directory::{Also, Directory, FirstPerson, NewPerson, Rider},
    error::{PeopleError, RefreshError},
    password::{hash_password, verify_password},
    sign_ins::{OpenedSignIn, Refreshed, SignIns},
};
