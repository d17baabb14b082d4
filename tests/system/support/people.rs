//! People: they sign up, are given accounts, sign in, and leave secrets with the server.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
};

use flightdeck_protocol::{
    model::{Person, Role},
    operations::{CreateUser, Login, NewAccount, NewUser, SignIn, SignedIn, Signup},
};

use super::Server;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody who is signed in.
#[derive(Clone)]
pub(crate) struct Member {
    /// Who it is.
    pub(crate) person: Person,
    /// The access token.
    pub(crate) token: String,
    /// The refresh token.
    pub(crate) refresh: String,
}

impl From<SignedIn> for Member {
    fn from(signed: SignedIn) -> Self {
        Self { person: signed.user, token: signed.tokens.access_token, refresh: signed.tokens.refresh_token }
    }
}

impl Server {
    /// `username` signs up, and is the admin of a new organization.
    pub(crate) async fn admin(&self, username: &str) -> Member {
        let account = NewAccount {
            username: username.to_owned(),
            password: PASSWORD.to_owned(),
            name: None,
            email: None,
            organization: None,
        };
        self.call_as::<Signup>(None, &account).await.expect("a sign-up").into()
    }

    /// `admin` makes an account for somebody, who signs in.
    pub(crate) async fn member(&self, admin: &Member, role: Role, username: &str) -> Member {
        let (username, password) = (username.to_owned(), PASSWORD.to_owned());
        let new = NewUser { username: username.clone(), password, role, name: None, email: None };
        self.call::<CreateUser>(admin, new).await.expect("an account");
        self.sign_in(&username).await
    }

    /// `username` signs in.
    pub(crate) async fn sign_in(&self, username: &str) -> Member {
        self.sign_in_with(username, PASSWORD).await
    }

    /// `username` signs in with a password of their own.
    pub(crate) async fn sign_in_with(&self, username: &str, password: &str) -> Member {
        let login = Login { username: username.to_owned(), password: password.to_owned() };
        self.call_as::<SignIn>(None, &login).await.expect("a sign-in").into()
    }

    /// Puts a secret of `who`'s organization where the server alone can read it.
    pub(crate) fn put_secret(&self, who: &Member, name: &str, fields: &serde_json::Value) {
        let folder = self.data().join("secrets").join(who.person.organization.id.to_string());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).expect("a folder");
        let path = folder.join(format!("{name}.json"));
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        serde_json::to_writer(file.expect("a file"), fields).expect("a secret");
    }
}
