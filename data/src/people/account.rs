//! Changes of what people may do: another role, an account closed or opened, every sign-in ended.

use std::sync::Arc;

use flightdeck_protocol::{
    OrganizationId, SessionId, UserId,
    model::{Person, Role},
};

use super::{Also, Directory, PeopleError, SignIns, stored, validate};

/// What is to change of an account: the fields that are there.
#[derive(Clone, Debug, Default)]
pub struct AccountUpdate {
    /// What the person may do from now on.
    pub role: Option<Role>,
    /// Whether the account may be used.
    pub active: Option<bool>,
    /// The name to show.
    pub name: Option<String>,
}

/// Something changed that decides on what people may do.
#[derive(Clone, Debug)]
pub enum AccessChange {
    /// These sign-ins have ended.
    Ended(Vec<SessionId>),
    /// Every sign-in of a person has ended.
    EndedAll(UserId),
    /// A person is another now: the role, the name, or whether the account may be used.
    Person(Box<Person>),
}

/// Who is told of changes.
pub(super) type Tell = Arc<dyn Fn(AccessChange) + Send + Sync>;

impl SignIns {
    /// Changes the account of a person of `organization`. One that is closed
    /// loses its sign-ins with the same write.
    ///
    /// # Errors
    /// When there is no such person, the name is not acceptable, or the
    /// organization would be left without an admin whose account is active.
    pub async fn update_account(
        &self,
        organization: OrganizationId,
        id: UserId,
        update: AccountUpdate,
    ) -> Result<Person, PeopleError> {
        self.update_account_and(organization, id, update, None).await
    }

    /// The same; `also` goes down with it.
    ///
    /// # Errors
    /// As for [`SignIns::update_account`].
    pub async fn update_account_and(
        &self,
        organization: OrganizationId,
        id: UserId,
        update: AccountUpdate,
        also: Option<Also>,
    ) -> Result<Person, PeopleError> {
        let name = update.name.map(|name| validate::shown_name("name", &name)).transpose()?;
        let sign_ins = self.clone();
        self.directory()
            .change(move |directory| async move {
                let before = directory.stored_person(id)?.filter(|person| person.organization == organization.0);
                let before = before.ok_or(PeopleError::UnknownPerson)?;
                let mut person = before.clone();
                person.role = update.role.map_or(person.role, Into::into);
                person.active = update.active.unwrap_or(person.active);
                person.name = name.unwrap_or(person.name);
                let view = directory.view(id, person.clone())?;
                if person == before {
                    let rider = also.map(|also| also(&view)).transpose()?;
                    directory.write(Vec::new(), rider).await?;
                    return Ok(view);
                }
                if before.is_active_admin()
                    && !person.is_active_admin()
                    && !has_other_admin(&directory, organization, id)?
                {
                    return Err(PeopleError::LastAdmin);
                }
                let mut writes = vec![stored::put(stored::person_key(id), &person)?];
                let mut ended = Vec::new();
                if !person.active {
                    let (sessions, more) = sign_ins.ending_all(id)?;
                    ended = sessions;
                    writes.extend(more);
                }
                let rider = also.map(|also| also(&view)).transpose()?;
                directory.write(writes, rider).await?;
                sign_ins.have_ended(ended);
                sign_ins.tell(AccessChange::Person(Box::new(view.clone())));
                Ok(view)
            })
            .await
    }

    /// Ends every sign-in of a person, and says how many were live.
    pub async fn revoke_all(&self, person: UserId) -> Result<usize, PeopleError> {
        let sign_ins = self.clone();
        self.directory()
            .change(move |directory| async move {
                let (ended, writes) = sign_ins.ending_all(person)?;
                directory.journal().write(writes).await?;
                let count = ended.len();
                sign_ins.have_ended(ended);
                sign_ins.tell(AccessChange::EndedAll(person));
                Ok(count)
            })
            .await
    }
}

/// Whether somebody else than `id` is an admin of `organization` whose account is active.
fn has_other_admin(directory: &Directory, organization: OrganizationId, id: UserId) -> Result<bool, PeopleError> {
    for other in directory.ids_under(&stored::members_prefix(organization), usize::MAX)? {
        if other != id && directory.stored_person(other)?.is_some_and(|person| person.is_active_admin()) {
            return Ok(true);
        }
    }
    Ok(false)
}
