//! The directory of organizations and people.

use std::{fmt, future::Future, ops::ControlFlow, sync::Arc};

use flightdeck_protocol::{
    OrganizationId, Timestamp, UserId,
    model::{Organization, Person, Role},
};
use tokio::sync::Mutex;

use super::{
    PeopleError,
    password::Passwords,
    stored::{self, StoredOrganization, StoredPerson},
    validate,
};
use crate::{
    journal::Journal,
    store::{Direction, Space, Store, Write, scan_prefix},
};

/// Somebody to be added to an organization.
#[derive(Clone)]
pub struct NewPerson {
    /// The organization.
    pub organization: OrganizationId,
    /// The name to sign in with.
    pub username: String,
    /// The name to show.
    pub name: String,
    /// The e-mail address, if one is known.
    pub email: Option<String>,
    /// The password, in clear.
    pub password: String,
    /// What the person may do.
    pub role: Role,
}

/// Who founds an organization, and becomes its first admin.
#[derive(Clone)]
pub struct FirstPerson {
    /// The name to sign in with.
    pub username: String,
    /// The name to show.
    pub name: String,
    /// The e-mail address, if one is known.
    pub email: Option<String>,
    /// The password, in clear.
    pub password: String,
}

impl fmt::Debug for NewPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPerson").field("username", &self.username).field("role", &self.role).finish_non_exhaustive()
    }
}

impl fmt::Debug for FirstPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstPerson").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What goes down with a change of a person, by what the person is then.
pub type Also = Box<dyn FnOnce(&Person) -> Result<Rider, PeopleError> + Send>;

/// What goes down with a change of the directory.
pub struct Rider {
    /// The write.
    pub write: Write,
    /// Called when it is on disk; dropped if that is not known.
    pub landed: Box<dyn FnOnce() + Send>,
}

/// Who there is. Cheap to clone; reads block on the store, which answers in microseconds.
#[derive(Clone)]
pub struct Directory {
    store: Arc<dyn Store>,
    journal: Journal,
    passwords: Passwords,
    /// Held from looking whether something is free until it is taken, on disk.
    changing: Arc<Mutex<()>>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

/// What was checked of a person to be added, with the password hashed.
struct Checked {
    username: String,
    name: String,
    email: Option<String>,
    password_hash: String,
}

impl Directory {
    /// The directory in `store`, which is written through `journal`.
    pub fn open(store: Arc<dyn Store>, journal: Journal) -> Self {
        Self { store, journal, passwords: Passwords::default(), changing: Arc::default() }
    }

    /// Makes an organization without anyone in it.
    pub async fn create_organization(&self, name: &str) -> Result<Organization, PeopleError> {
        let name = validate::shown_name("organization", name)?;
        self.change(move |directory| async move {
            let (organization, writes) = directory.new_organization(name)?;
            directory.journal.write(writes).await?;
            Ok(organization)
        })
        .await
    }

    /// Adds a person to an organization.
    pub async fn create_person(&self, new: NewPerson) -> Result<Person, PeopleError> {
        self.create_person_and(new, None).await
    }

    /// The same; `also` goes down with it.
    pub async fn create_person_and(&self, new: NewPerson, also: Option<Also>) -> Result<Person, PeopleError> {
        let organization = self.organization(new.organization)?.ok_or(PeopleError::UnknownOrganization)?;
        let role = new.role;
        let checked = self.check(new.username, new.name, new.email, new.password).await?;
        self.change(move |directory| async move {
            let (person, writes) = directory.new_person(organization, checked, role)?;
            let rider = also.map(|also| also(&person)).transpose()?;
            directory.write(writes, rider).await?;
            Ok(person)
        })
        .await
    }

    /// Makes `writes`, and whatever rides along.
    pub(super) async fn write(&self, mut writes: Vec<Write>, rider: Option<Rider>) -> Result<(), PeopleError> {
        let (more, landed) = rider.map(|rider| (rider.write, rider.landed)).unzip();
        writes.extend(more);
        self.journal.write(writes).await?;
        if let Some(landed) = landed {
            landed();
        }
        Ok(())
    }

    /// Makes an organization and its first admin, both or neither.
    pub async fn found_organization(&self, name: &str, first: FirstPerson) -> Result<Person, PeopleError> {
        let name = validate::shown_name("organization", name)?;
        if self.organization_by_name(&name)?.is_some() {
            return Err(PeopleError::NameTaken { field: "organization", name });
        }
        let checked = self.check(first.username, first.name, first.email, first.password).await?;
        self.change(move |directory| async move {
            let (organization, mut writes) = directory.new_organization(name)?;
            let (person, more) = directory.new_person(organization, checked, Role::Admin)?;
            writes.extend(more);
            directory.journal.write(writes).await?;
            Ok(person)
        })
        .await
    }

    /// Who signs in with `name`, a user name or an e-mail address that one person alone has.
    ///
    /// A wrong name takes as long as a wrong password.
    pub async fn sign_in(&self, name: &str, password: &str) -> Result<Person, PeopleError> {
        // No password is longer, so no work is done for one.
        if password.chars().count() > 256 {
            return Err(PeopleError::BadLogin);
        }
        let found = match self.find(name.trim())? {
            Some(id) => self.stored_person(id)?.map(|person| (id, person)),
            None => None,
        };
        let hash = found.as_ref().map(|(_, person)| person.password_hash.clone());
        let right = self.passwords.verify(password.to_owned(), hash).await?;
        match found {
            // Only who knows the password is told that the account was closed.
            Some((_, person)) if right && !person.active => Err(PeopleError::AccountClosed),
            Some((id, person)) if right => self.view(id, person),
            _ => Err(PeopleError::BadLogin),
        }
    }

    /// The person with that id.
    pub fn person(&self, id: UserId) -> Result<Option<Person>, PeopleError> {
        self.stored_person(id)?.map(|person| self.view(id, person)).transpose()
    }

    /// The people of an organization, in the order in which they were added.
    pub fn people_of(&self, organization: OrganizationId) -> Result<Vec<Person>, PeopleError> {
        let mut people = Vec::new();
        for id in self.ids_under(&stored::members_prefix(organization), usize::MAX)? {
            people.extend(self.person(id)?);
        }
        Ok(people)
    }

    /// The organization with that id.
    pub fn organization(&self, id: OrganizationId) -> Result<Option<Organization>, PeopleError> {
        let found = stored::get::<StoredOrganization>(self.store(), &stored::organization_key(id))?;
        Ok(found.map(|organization| organization.view(id)))
    }

    /// The organization of that name, in any case.
    pub fn organization_by_name(&self, name: &str) -> Result<Option<Organization>, PeopleError> {
        match self.store.get(Space::People, &stored::organization_name_key(name))? {
            Some(id) => self.organization(stored::trailing_id(&id)?.into()),
            None => Ok(None),
        }
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Runs `work` as the only change of the directory.
    ///
    /// It runs as a task of its own: a caller that goes away must not let the next
    /// one in between the moment a write is queued and the moment it can be seen.
    pub(super) async fn change<T, W, F>(&self, work: W) -> Result<T, PeopleError>
    where
        T: Send + 'static,
        W: FnOnce(Self) -> F + Send + 'static,
        F: Future<Output = Result<T, PeopleError>> + Send,
    {
        let directory = self.clone();
        let changed = tokio::spawn(async move {
            let alone = Arc::clone(&directory.changing).lock_owned().await;
            let outcome = work(directory).await;
            drop(alone);
            outcome
        });
        changed.await.map_err(|error| PeopleError::Internal(format!("a change of the directory broke off: {error}")))?
    }

    async fn check(
        &self,
        username: String,
        name: String,
        email: Option<String>,
        password: String,
    ) -> Result<Checked, PeopleError> {
        validate::username(&username)?;
        let name = validate::shown_name("name", &name)?;
        let email = email.as_deref().map(validate::email).transpose()?;
        validate::password(&password)?;
        // Looked at again when it counts; here it saves the work on the password.
        self.check_username_is_free(&username)?;
        Ok(Checked { username, name, email, password_hash: self.passwords.hash(password).await? })
    }

    fn check_username_is_free(&self, username: &str) -> Result<(), PeopleError> {
        match self.store.get(Space::People, &stored::username_key(username))? {
            Some(_) => Err(PeopleError::NameTaken { field: "username", name: username.to_owned() }),
            None => Ok(()),
        }
    }

    fn new_organization(&self, name: String) -> Result<(Organization, Vec<Write>), PeopleError> {
        let name_key = stored::organization_name_key(&name);
        if self.store.get(Space::People, &name_key)?.is_some() {
            return Err(PeopleError::NameTaken { field: "organization", name });
        }
        let id = OrganizationId::fresh();
        let organization = StoredOrganization { name };
        let writes = vec![
            stored::put(stored::organization_key(id), &organization)?,
            Write::put(Space::People, name_key, *id.as_bytes()),
        ];
        Ok((organization.view(id), writes))
    }

    fn new_person(
        &self,
        organization: Organization,
        checked: Checked,
        role: Role,
    ) -> Result<(Person, Vec<Write>), PeopleError> {
        self.check_username_is_free(&checked.username)?;
        let id = UserId::fresh();
        let person = StoredPerson {
            organization: organization.id.0,
            username: checked.username,
            name: checked.name,
            email: checked.email,
            role: role.into(),
            created_at: Timestamp::now().as_millis(),
            password_hash: checked.password_hash,
            active: true,
        };
        let mut writes = vec![
            stored::put(stored::person_key(id), &person)?,
            Write::put(Space::People, stored::username_key(&person.username), *id.as_bytes()),
            Write::put(Space::People, stored::member_key(organization.id, id), []),
        ];
        if let Some(email) = &person.email {
            writes.push(Write::put(Space::People, stored::email_key(email, id), []));
        }
        Ok((person.view(id, organization), writes))
    }

    /// Whose user name `name` is, or whose e-mail address if it is one person's alone.
    fn find(&self, name: &str) -> Result<Option<UserId>, PeopleError> {
        if name.len() > 254 {
            return Ok(None);
        }
        if name.contains('@') {
            return Ok(match self.ids_under(&stored::email_prefix(name), 2)?.as_slice() {
                [one] => Some(*one),
                _ => None,
            });
        }
        let found = self.store.get(Space::People, &stored::username_key(name))?;
        found.map(|id| stored::trailing_id(&id).map(UserId)).transpose()
    }

    pub(super) fn ids_under(&self, prefix: &[u8], at_most: usize) -> Result<Vec<UserId>, PeopleError> {
        let mut ids = Vec::new();
        scan_prefix(self.store(), Space::People, prefix, Direction::Forward, &mut |key, _| {
            ids.push(stored::trailing_id(key).map(UserId));
            if ids.len() < at_most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        ids.into_iter().collect()
    }

    pub(super) fn stored_person(&self, id: UserId) -> Result<Option<StoredPerson>, PeopleError> {
        stored::get(self.store(), &stored::person_key(id))
    }

    pub(super) fn view(&self, id: UserId, person: StoredPerson) -> Result<Person, PeopleError> {
        let organization = self.organization(person.organization.into())?.ok_or_else(|| PeopleError::Damaged {
            what: "person",
            why: format!("the organization {} is missing", person.organization),
        })?;
        Ok(person.view(id, organization))
    }
}
