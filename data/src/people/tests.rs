//! People and sign-ins as they are used: who can be added, who gets in, and for how long.

use std::sync::{Arc, Mutex};

use flightdeck_protocol::{
    OrganizationId, SessionId, Timestamp, UserId,
    model::{Person, Role},
};

use super::{
    AccessChange, AccountUpdate, Directory, FirstPerson, NewPerson, PeopleError, RefreshError, SignIns, stored,
};
use crate::{
    journal::{Journal, JournalOptions},
    store::{MemoryStore, SledOptions, SledStore, Space, Store, Write, faulty::FaultyStore},
};

const PASSWORD: &str = "a long password";

fn directory(store: Arc<dyn Store>) -> (Directory, Journal) {
    let journal = Journal::start(Arc::clone(&store), JournalOptions::default()).unwrap();
    (Directory::open(store, journal.clone()), journal)
}

fn in_memory() -> Directory {
    directory(Arc::new(MemoryStore::default())).0
}

fn first(username: &str) -> FirstPerson {
    FirstPerson {
        username: username.to_owned(),
        name: "Olga Meyer".to_owned(),
        email: Some(format!("{username}@elm.example")),
        password: PASSWORD.to_owned(),
    }
}

fn new(organization: OrganizationId, username: &str) -> NewPerson {
    let FirstPerson { username, name, email, password } = first(username);
    NewPerson { organization, username, name, email, password, role: Role::Viewer }
}

async fn signed_in(lifetime_ms: i64) -> (SignIns, Person) {
    let directory = in_memory();
    let person = directory.found_organization("Elm", first("olga")).await.unwrap();
    (SignIns::new(directory, lifetime_ms), person)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[tokio::test]
async fn an_organization_is_founded_and_grows() {
    let directory = in_memory();
    let olga = directory.found_organization(" Elm Title ", first("Olga")).await.unwrap();
    assert_eq!((olga.role, olga.organization.name.as_str()), (Role::Admin, "Elm Title"));
    let elm = olga.organization.clone();
    let ben = directory.create_person(new(elm.id, "ben")).await.unwrap();
    assert_eq!(ben.role, Role::Viewer);
    let other = directory.create_organization("Other").await.unwrap();
    assert_eq!(directory.people_of(elm.id).unwrap(), [olga.clone(), ben.clone()]);
    assert_eq!(directory.people_of(other.id).unwrap(), []);
    assert_eq!(directory.person(ben.id).unwrap(), Some(ben));
    assert_eq!(directory.person(UserId::fresh()).unwrap(), None);
    assert_eq!(directory.organization(elm.id).unwrap(), Some(elm.clone()));
    assert_eq!(directory.organization_by_name("ELM title").unwrap(), Some(elm));
    assert_eq!(directory.organization_by_name("Elm").unwrap(), None);
    let nowhere = directory.create_person(new(OrganizationId::fresh(), "carl")).await;
    assert!(matches!(nowhere, Err(PeopleError::UnknownOrganization)));
}

#[tokio::test]
async fn the_right_password_gets_in_by_user_name_or_address() {
    let directory = in_memory();
    let olga = directory.found_organization("Elm", first("Olga")).await.unwrap();
    for name in ["Olga", "olga", " OLGA ", "olga@elm.example", "Olga@Elm.example"] {
        assert_eq!(directory.sign_in(name, PASSWORD).await.unwrap(), olga, "{name}");
    }
    let long = "x".repeat(10_000);
    for (name, password) in [
        ("olga", "a wrong password"),
        ("nobody", PASSWORD),
        ("", ""),
        ("x@elm.example", PASSWORD),
        ("olga", &long),
        (&long, PASSWORD),
    ] {
        assert!(matches!(directory.sign_in(name, password).await, Err(PeopleError::BadLogin)));
    }

    // An address that two people have is nobody's alone.
    let mut twin = new(olga.organization.id, "twin");
    twin.email = Some("OLGA@elm.example".to_owned());
    directory.create_person(twin).await.unwrap();
    assert!(matches!(directory.sign_in("olga@elm.example", PASSWORD).await, Err(PeopleError::BadLogin)));
    assert_eq!(directory.sign_in("olga", PASSWORD).await.unwrap(), olga);
}

#[tokio::test]
async fn names_are_taken_once_whatever_their_case() {
    let directory = in_memory();
    let olga = directory.found_organization("Elm", first("olga")).await.unwrap();
    let taken = |error: PeopleError| match error {
        PeopleError::NameTaken { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(taken(directory.create_organization("ELM").await.unwrap_err()), "organization");
    assert_eq!(taken(directory.found_organization("eLM ", first("ben")).await.unwrap_err()), "organization");
    assert_eq!(taken(directory.create_person(new(olga.organization.id, "OLGA")).await.unwrap_err()), "username");
    assert_eq!(taken(directory.found_organization("Oak", first("Olga")).await.unwrap_err()), "username");
    assert_eq!(directory.organization_by_name("Oak").unwrap(), None, "both or neither");
}

#[tokio::test]
async fn bad_values_are_named_by_their_field() {
    let directory = in_memory();
    type Spoil = fn(&mut FirstPerson);
    let cases: [(&str, Spoil); 4] = [
        ("username", |person| person.username = "a b".to_owned()),
        ("name", |person| person.name = " ".to_owned()),
        ("email", |person| person.email = Some("nowhere".to_owned())),
        ("password", |person| person.password = "short".to_owned()),
    ];
    for (expected, spoil) in cases {
        let mut person = first("olga");
        spoil(&mut person);
        match directory.found_organization("Elm", person).await {
            Err(PeopleError::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert!(matches!(directory.create_organization("").await, Err(PeopleError::Invalid { field: "organization", .. })));
    assert_eq!(directory.organization_by_name("Elm").unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_the_same_name_one_gets_it() {
    let directory = in_memory();
    let all: Vec<_> = (0..8)
        .map(|n| {
            let directory = directory.clone();
            tokio::spawn(async move { directory.found_organization("Elm", first(&format!("olga{n}"))).await })
        })
        .collect();
    let mut winners = Vec::new();
    for one in all {
        match one.await.unwrap() {
            Ok(person) => winners.push(person),
            Err(PeopleError::NameTaken { field: "organization", .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(directory.people_of(winners[0].organization.id).unwrap(), winners);
}

#[tokio::test]
async fn a_failed_write_is_told_and_leaves_nothing() {
    let store = FaultyStore::new(Arc::new(MemoryStore::default()));
    let (directory, _) = directory(Arc::new(store.clone()));
    store.fail_commits(true);
    assert!(matches!(directory.create_organization("Elm").await, Err(PeopleError::Journal(_))));
    store.fail_commits(false);
    directory.create_organization("Elm").await.unwrap();
}

#[tokio::test]
async fn people_and_sign_ins_outlive_a_restart_on_a_real_store() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(SledStore::open(folder.path(), SledOptions::default()).unwrap());
    let (person, opened) = {
        let (directory, journal) = directory(open());
        let person = directory.found_organization("Elm", first("olga")).await.unwrap();
        let sign_ins = SignIns::new(directory, 1_000);
        let opened = sign_ins.open(person.id, at(0)).await.unwrap();
        journal.shutdown();
        (person, opened)
    };
    let (directory, _) = directory(open());
    assert_eq!(directory.sign_in("olga", PASSWORD).await.unwrap(), person);
    let sign_ins = SignIns::new(directory, 1_000);
    assert!(sign_ins.is_live(opened.session, at(1)).unwrap());
    assert_eq!(sign_ins.refresh(&opened.token, at(1)).await.unwrap().person, person);
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_the_next_one_after_it() {
    let (sign_ins, person) = signed_in(1_000).await;
    let opened = sign_ins.open(person.id, at(0)).await.unwrap();
    assert_eq!(opened.expires_at, at(1_000));
    let mut token = opened.token.clone();
    for round in 1..5 {
        let next = sign_ins.refresh(&token, at(round)).await.unwrap();
        assert_eq!((next.session, next.expires_at, &next.person), (opened.session, at(1_000), &person));
        assert_ne!(next.token, token);
        token = next.token;
    }
    assert!(matches!(sign_ins.refresh(&token, at(1_000)).await, Err(RefreshError::Expired)));
    assert!(matches!(sign_ins.open(UserId::fresh(), at(0)).await, Err(PeopleError::UnknownPerson)));
}

#[tokio::test]
async fn a_token_that_comes_twice_ends_the_sign_in() {
    let directory = in_memory();
    let person = directory.found_organization("Elm", first("olga")).await.unwrap();
    let sign_ins = SignIns::new(directory.clone(), 1_000);
    let opened = sign_ins.open(person.id, at(0)).await.unwrap();
    let other = sign_ins.open(person.id, at(0)).await.unwrap();
    let next = sign_ins.refresh(&opened.token, at(1)).await.unwrap();
    assert!(sign_ins.is_live(opened.session, at(1)).unwrap());
    let again = sign_ins.refresh(&opened.token, at(2)).await;
    assert!(matches!(again, Err(RefreshError::Reused { session }) if session == opened.session));
    assert!(!sign_ins.is_live(opened.session, at(2)).unwrap());
    assert!(matches!(sign_ins.refresh(&next.token, at(3)).await, Err(RefreshError::Revoked)));
    sign_ins.refresh(&other.token, at(3)).await.expect("another sign-in of the same person goes on");

    // It is on disk, not only in memory.
    let reread = SignIns::new(directory, 1_000);
    assert!(!reread.is_live(opened.session, at(3)).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_at_once_with_the_same_token_one_wins() {
    let (sign_ins, person) = signed_in(1_000).await;
    for _ in 0..10 {
        let opened = sign_ins.open(person.id, at(0)).await.unwrap();
        let race = || {
            let (sign_ins, token) = (sign_ins.clone(), opened.token.clone());
            tokio::spawn(async move { sign_ins.refresh(&token, at(1)).await })
        };
        let (one, two) = (race(), race());
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        assert!(matches!(
            (&one, &two),
            (Ok(_), Err(RefreshError::Reused { .. })) | (Err(RefreshError::Reused { .. }), Ok(_))
        ));
    }
}

#[tokio::test]
async fn what_is_no_token_of_ours_is_invalid() {
    let (sign_ins, person) = signed_in(1_000).await;
    let opened = sign_ins.open(person.id, at(0)).await.unwrap();
    let stranger =
        opened.token.replace(&opened.session.0.simple().to_string(), &SessionId::fresh().0.simple().to_string());
    for token in ["", "nonsense", &opened.token[..40], &stranger] {
        assert!(matches!(sign_ins.refresh(token, at(1)).await, Err(RefreshError::Invalid)), "{token}");
    }
    sign_ins.refresh(&opened.token, at(1)).await.expect("nothing was changed");
}

#[tokio::test]
async fn a_sign_in_lives_until_it_is_revoked_or_past_its_time() {
    let (sign_ins, person) = signed_in(1_000).await;
    let opened = sign_ins.open(person.id, at(0)).await.unwrap();
    assert!(sign_ins.is_live(opened.session, at(999)).unwrap());
    assert!(!sign_ins.is_live(opened.session, at(1_000)).unwrap());
    assert!(!sign_ins.is_live(SessionId::fresh(), at(0)).unwrap());
    assert!(sign_ins.revoke(opened.session).await.unwrap());
    assert!(!sign_ins.is_live(opened.session, at(1)).unwrap());
    assert!(matches!(sign_ins.refresh(&opened.token, at(1)).await, Err(RefreshError::Revoked)));
    assert!(!sign_ins.revoke(SessionId::fresh()).await.unwrap());

    let later = sign_ins.open(person.id, at(500)).await.unwrap();
    assert_eq!(sign_ins.purge_expired(at(1_200)).await.unwrap(), 1);
    assert!(matches!(sign_ins.refresh(&opened.token, at(1)).await, Err(RefreshError::Invalid)));
    sign_ins.refresh(&later.token, at(1_200)).await.expect("this one is not past its time");
}

fn closed() -> AccountUpdate {
    AccountUpdate { active: Some(false), ..AccountUpdate::default() }
}

fn with_role(role: Role) -> AccountUpdate {
    AccountUpdate { role: Some(role), ..AccountUpdate::default() }
}

#[tokio::test]
async fn a_closed_account_loses_its_sign_ins_and_gets_none_until_it_is_open_again() {
    let directory = in_memory();
    let elm = directory.found_organization("Elm", first("olga")).await.unwrap().organization.id;
    let ben = directory.create_person(new(elm, "ben")).await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let sign_ins = SignIns::new(directory.clone(), 1_000).telling(move |change| tell.lock().unwrap().push(change));
    let opened = [sign_ins.open(ben.id, at(0)).await.unwrap(), sign_ins.open(ben.id, at(0)).await.unwrap()];

    let gone = sign_ins.update_account(elm, ben.id, closed()).await.unwrap();
    assert!(!gone.active);
    let told = std::mem::take(&mut *told.lock().unwrap());
    let sessions: Vec<SessionId> = opened.iter().map(|opened| opened.session).collect();
    assert!(matches!(&told[0], AccessChange::Ended(ended) if *ended == sessions), "{told:?}");
    assert!(matches!(&told[1], AccessChange::Person(person) if **person == gone), "{told:?}");
    for opened in &opened {
        assert!(!sign_ins.is_live(opened.session, at(1)).unwrap());
        let refreshed = sign_ins.refresh(&opened.token, at(1)).await;
        assert!(matches!(refreshed, Err(RefreshError::People(PeopleError::AccountClosed))));
    }
    assert!(matches!(sign_ins.open(ben.id, at(1)).await, Err(PeopleError::AccountClosed)));
    assert!(matches!(directory.sign_in("ben", PASSWORD).await, Err(PeopleError::AccountClosed)));
    assert!(matches!(directory.sign_in("ben", "a wrong password").await, Err(PeopleError::BadLogin)));

    let open = AccountUpdate { active: Some(true), ..AccountUpdate::default() };
    sign_ins.update_account(elm, ben.id, open).await.unwrap();
    assert!(matches!(sign_ins.refresh(&opened[0].token, at(2)).await, Err(RefreshError::Revoked)), "gone is gone");
    let again = sign_ins.open(ben.id, at(2)).await.unwrap();
    assert!(sign_ins.is_live(again.session, at(3)).unwrap());
    assert_eq!(directory.sign_in("ben", PASSWORD).await.unwrap(), ben);
}

#[tokio::test]
async fn an_organization_keeps_an_admin_whose_account_is_active() {
    let directory = in_memory();
    let olga = directory.found_organization("Elm", first("olga")).await.unwrap();
    let elm = olga.organization.id;
    let oak = directory.found_organization("Oak", first("carl")).await.unwrap();
    let ben = directory.create_person(new(elm, "ben")).await.unwrap();
    let sign_ins = SignIns::new(directory.clone(), 1_000);
    for update in [closed(), with_role(Role::Manager)] {
        let refused = sign_ins.update_account(elm, olga.id, update).await;
        assert!(matches!(refused, Err(PeopleError::LastAdmin)), "carl is an admin elsewhere");
    }
    assert_eq!(directory.person(olga.id).unwrap(), Some(olga.clone()), "nothing was changed");

    sign_ins.update_account(elm, ben.id, with_role(Role::Admin)).await.unwrap();
    let viewer = sign_ins.update_account(elm, olga.id, with_role(Role::Viewer)).await.unwrap();
    assert_eq!(viewer.role, Role::Viewer);
    assert!(matches!(sign_ins.update_account(elm, ben.id, closed()).await, Err(PeopleError::LastAdmin)));
    // A closed account is no admin's.
    sign_ins
        .update_account(elm, olga.id, AccountUpdate { active: Some(false), ..with_role(Role::Admin) })
        .await
        .unwrap();
    assert!(matches!(sign_ins.update_account(elm, ben.id, closed()).await, Err(PeopleError::LastAdmin)));

    let name = |name: &str| AccountUpdate { name: Some(name.to_owned()), ..AccountUpdate::default() };
    assert_eq!(sign_ins.update_account(elm, ben.id, name(" Ben Oak ")).await.unwrap().name, "Ben Oak");
    let bad = sign_ins.update_account(elm, ben.id, name("")).await;
    assert!(matches!(bad, Err(PeopleError::Invalid { field: "name", .. })));
    for (organization, id) in [(elm, oak.id), (elm, UserId::fresh())] {
        let foreign = sign_ins.update_account(organization, id, closed()).await;
        assert!(matches!(foreign, Err(PeopleError::UnknownPerson)));
    }
    assert!(directory.person(oak.id).unwrap().unwrap().active);
}

#[tokio::test]
async fn of_two_admins_who_close_each_other_at_once_one_stays() {
    let directory = in_memory();
    let olga = directory.found_organization("Elm", first("olga")).await.unwrap();
    let elm = olga.organization.id;
    let ben = directory.create_person(NewPerson { role: Role::Admin, ..new(elm, "ben") }).await.unwrap();
    let sign_ins = SignIns::new(directory, 1_000);
    let close = |id| {
        let sign_ins = sign_ins.clone();
        tokio::spawn(async move { sign_ins.update_account(elm, id, closed()).await })
    };
    let (one, two) = (close(olga.id), close(ben.id));
    let outcomes = (one.await.unwrap(), two.await.unwrap());
    assert!(matches!(outcomes, (Ok(_), Err(PeopleError::LastAdmin)) | (Err(PeopleError::LastAdmin), Ok(_))));
}

#[tokio::test]
async fn whoever_leaves_everywhere_is_signed_in_nowhere_and_nobody_else_notices() {
    let directory = in_memory();
    let olga = directory.found_organization("Elm", first("olga")).await.unwrap();
    let ben = directory.create_person(new(olga.organization.id, "ben")).await.unwrap();
    let sign_ins = SignIns::new(directory.clone(), 1_000);
    let mine = [sign_ins.open(olga.id, at(0)).await.unwrap(), sign_ins.open(olga.id, at(0)).await.unwrap()];
    let other = sign_ins.open(ben.id, at(0)).await.unwrap();
    sign_ins.revoke(mine[0].session).await.unwrap();
    assert_eq!(sign_ins.revoke_all(olga.id).await.unwrap(), 1, "one had ended before");
    assert_eq!(sign_ins.revoke_all(olga.id).await.unwrap(), 0);
    // From memory, and as it is on disk.
    for sign_ins in [sign_ins, SignIns::new(directory, 1_000)] {
        assert!(mine.iter().all(|opened| !sign_ins.is_live(opened.session, at(1)).unwrap()));
        assert!(sign_ins.is_live(other.session, at(1)).unwrap());
    }
}

#[tokio::test]
async fn the_sign_ins_of_a_person_are_bounded() {
    let (mut sign_ins, person) = signed_in(1_000).await;
    sign_ins.most = 3;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let sign_ins = sign_ins.telling(move |change| tell.lock().unwrap().push(change));
    let mut opened = Vec::new();
    for _ in 0..3 {
        opened.push(sign_ins.open(person.id, at(0)).await.unwrap());
    }
    sign_ins.revoke(opened[1].session).await.unwrap();
    let live = |nth: &super::OpenedSignIn| sign_ins.is_live(nth.session, at(1)).unwrap();
    told.lock().unwrap().clear();

    let fourth = sign_ins.open(person.id, at(0)).await.unwrap();
    assert!(live(&opened[0]) && live(&opened[2]) && live(&fourth), "the one that had ended made room");
    let fifth = sign_ins.open(person.id, at(0)).await.unwrap();
    assert!(!live(&opened[0]) && live(&opened[2]) && live(&fourth) && live(&fifth), "the oldest made room");
    assert!(matches!(sign_ins.refresh(&opened[0].token, at(1)).await, Err(RefreshError::Invalid)));
    let ended: Vec<SessionId> = told
        .lock()
        .unwrap()
        .iter()
        .flat_map(|change| match change {
            AccessChange::Ended(sessions) => sessions.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ended, [opened[1].session, opened[0].session]);
    // Refreshed, it is the same sign-in still.
    sign_ins.refresh(&fifth.token, at(1)).await.unwrap();
    assert!(live(&opened[2]));
    assert_eq!(sign_ins.purge_expired(at(5_000)).await.unwrap(), 3);
    sign_ins.open(person.id, at(5_000)).await.unwrap();
    assert_eq!(sign_ins.revoke_all(person.id).await.unwrap(), 1, "nothing is left of those that were swept out");
}

#[tokio::test]
async fn sign_ins_that_an_earlier_program_wrote_are_found_too() {
    let (sign_ins, person) = signed_in(1_000).await;
    let opened = sign_ins.open(person.id, at(0)).await.unwrap();
    let unfound = Write::remove(Space::People, stored::sign_in_of_key(person.id, opened.session));
    sign_ins.directory().journal().write(vec![unfound]).await.unwrap();
    assert_eq!(sign_ins.revoke_all(person.id).await.unwrap(), 0);
    sign_ins.find_all().await.unwrap();
    assert_eq!(sign_ins.revoke_all(person.id).await.unwrap(), 1);
    assert!(!sign_ins.is_live(opened.session, at(1)).unwrap());
    // Done once, it is not done again.
    sign_ins.find_all().await.unwrap();
    assert_eq!(sign_ins.revoke_all(person.id).await.unwrap(), 0);
}
