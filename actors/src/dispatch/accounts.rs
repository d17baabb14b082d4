//! Operations about accounts and tokens.

use flightdeck_data::people::{AccountUpdate, FirstPerson, NewPerson, RefreshError};
use flightdeck_protocol::{
    Code, Fault, SessionId, Timestamp,
    model::Person,
    operations::{
        self as ops, Empty, Login, Logout, NewAccount, NewUser, Refresh, SessionList, SignedIn, TokenPair, UserList,
        UserUpdate,
    },
};

use super::{
    Answer, Desk, answer,
    guarded::{Asking, also},
    people_fault,
};
use crate::{live::Roster, mission::Caller};

impl Desk {
    pub(super) async fn sign_up(&self, new: NewAccount) -> Result<SignedIn, Fault> {
        if !self.signup_open {
            return Err(Fault::new(Code::SignupClosed, "this server takes no sign-ups; ask an admin for an account"));
        }
        let NewAccount { username, password, name, email, organization } = new;
        let organization = organization.unwrap_or_else(|| username.clone());
        let name = name.unwrap_or_else(|| username.clone());
        let first = FirstPerson { username, name, email, password };
        let person = self.directory.found_organization(&organization, first).await.map_err(|e| people_fault(&e))?;
        self.open_sign_in(person).await
    }

    pub(super) async fn sign_in(&self, login: Login) -> Result<SignedIn, Fault> {
        let person = self.directory.sign_in(&login.username, &login.password).await.map_err(|e| people_fault(&e))?;
        self.open_sign_in(person).await
    }

    async fn open_sign_in(&self, person: Person) -> Result<SignedIn, Fault> {
        let now = Timestamp::now();
        let opened = self.sign_ins.open(person.id, now).await.map_err(|e| people_fault(&e))?;
        let tokens = self.tokens(&person, opened.session, opened.token, now)?;
        Ok(SignedIn { user: person, tokens })
    }

    pub(super) async fn refresh(&self, refresh: Refresh) -> Result<TokenPair, Fault> {
        let now = Timestamp::now();
        let refreshed = self.sign_ins.refresh(&refresh.refresh_token, now).await;
        let refreshed = refreshed.map_err(|error| match error {
            RefreshError::Invalid => {
                Fault::new(Code::TokenInvalid, "this is no refresh token of this server; sign in with auth.login")
            }
            RefreshError::Expired => Fault::new(Code::TokenExpired, "the sign-in has expired; sign in with auth.login"),
            RefreshError::Revoked => Fault::new(Code::TokenRevoked, "the sign-in has ended; sign in with auth.login"),
            RefreshError::Reused { session } => {
                tracing::warn!(%session, "a refresh token was used twice; the sign-in is revoked");
                Fault::new(
                    Code::RefreshReused,
                    "this refresh token was used before, so somebody may have stolen it: the sign-in has ended; sign in with auth.login",
                )
            }
            RefreshError::People(error) => people_fault(&error),
        })?;
        self.tokens(&refreshed.person, refreshed.session, refreshed.token, now)
    }

    fn tokens(
        &self,
        person: &Person,
        session: SessionId,
        refresh_token: String,
        now: Timestamp,
    ) -> Result<TokenPair, Fault> {
        let (access_token, expires_at) = self.access.issue(person.id, session, now).map_err(|error| {
            tracing::error!(%error, "a token cannot be signed");
            Fault::new(Code::Internal, "the server failed to sign a token")
        })?;
        let expires_in = u64::try_from((expires_at.as_millis() - now.as_millis()) / 1_000).unwrap_or(0);
        Ok(TokenPair { access_token, expires_at, expires_in, token_type: "Bearer".to_owned(), refresh_token })
    }

    pub(crate) async fn sign_out(&self, logout: Logout, caller: &Caller) -> Result<Empty, Fault> {
        let ended = if logout.everywhere {
            self.sign_ins.revoke_all(caller.person.id).await.map(|_| ())
        } else {
            self.sign_ins.revoke(caller.session).await.map(|_| ())
        };
        ended.map(|()| Empty {}).map_err(|e| people_fault(&e))
    }

    pub(super) async fn create_user(&self, new: NewUser, asking: Asking<'_>) -> Result<Answer, Fault> {
        let NewUser { username, password, role, name, email } = new;
        let name = name.unwrap_or_else(|| username.clone());
        let organization = asking.caller.person.organization.id;
        let new = NewPerson { organization, username, name, email, password, role };
        let also = asking.claim.map(also);
        let person = self.directory.create_person_and(new, also).await.map_err(|e| people_fault(&e))?;
        answer::<ops::CreateUser>(&person)
    }

    pub(super) async fn update_user(&self, update: UserUpdate, asking: Asking<'_>) -> Result<Answer, Fault> {
        let UserUpdate { user, role, active, name } = update;
        let (caller, also) = (asking.caller, asking.claim.map(also));
        let update = AccountUpdate { role, active, name };
        let updated = self.sign_ins.update_account_and(caller.person.organization.id, user, update, also).await;
        let person = updated.map_err(|e| people_fault(&e))?;
        let role = person.role.name();
        tracing::info!(%user, by = %caller.person.id, role, active = person.active, "an account was changed");
        answer::<ops::UpdateUser>(&person)
    }

    pub(super) async fn list_sessions(&self, caller: &Caller) -> Result<SessionList, Fault> {
        let Roster { sessions, others } = self.hubs.roster(caller.person.organization.id).await?;
        Ok(SessionList { items: sessions, others: u32::try_from(others).unwrap_or(u32::MAX) })
    }

    pub(super) fn list_users(&self, caller: &Caller) -> Result<UserList, Fault> {
        let mut items = self.directory.people_of(caller.person.organization.id).map_err(|e| people_fault(&e))?;
        items.sort_by(|a, b| a.username.cmp(&b.username));
        Ok(UserList { items })
    }
}
