//! People and sign-ins as they are used: who can be added, who gets in, and for how long.

use std::sync::Arc;

use flightdeck_protocol::{
    OrganizationId, SessionId, Timestamp, UserId,
    model::{Person, Role},
};

use super::{Directory, FirstPerson, NewPerson, PeopleError, RefreshError, SignIns};
use crate::{
    journal::{Journal, JournalOptions},
    store::{MemoryStore, SledOptions, SledStore, Store, faulty::FaultyStore},
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
