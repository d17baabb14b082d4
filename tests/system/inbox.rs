//! The inbox: what waits for people, and for how long.

use flightdeck_protocol::{
    Code, MissionId,
    model::{InboxItem, InboxKind, MissionStatus, Role},
    operations::{
        AnswerApproval, ApprovalReply, DismissInbox, InboxDismiss, InboxQuery, InboxWatch, ListInbox, UpdateMission,
    },
};
use serde_json::json;
use uuid::Uuid;

use crate::support::{InboxWatcher, Member, RawSocket, Scripts, Server, Watcher, fault_of};

/// Asks, goes on with the answer, and is done.
const ASKING: &str = "
say(type='ask', key='go', prompt='Shall I go on?', options=[{'id': 'yes', 'label': 'Yes'}, {'id': 'no', 'label': 'No'}])
while True:
    line = hear()
    if line['type'] == 'cancel':
        sys.exit(0)
    if line['type'] == 'answer':
        break
say(type='done')
";

/// Fails at once.
const FAILING: &str = "
say(type='failed', reason='the portal is gone')
";

fn watch() -> InboxWatch {
    InboxWatch { sub: "inbox".to_owned() }
}

impl Server {
    async fn inbox(&self, who: &Member) -> Vec<InboxItem> {
        self.call::<ListInbox>(who, InboxQuery::default()).await.expect("an inbox").items
    }

    async fn answer(&self, who: &Member, mission: MissionId, approval: Uuid) {
        let reply = ApprovalReply { mission, approval: approval.into(), option: Some("yes".to_owned()), text: None };
        self.call::<AnswerApproval>(who, reply).await.expect("an answer");
    }
}

impl InboxWatcher {
    /// Waits for the only item, of this kind.
    async fn only(&mut self, kind: InboxKind) -> InboxItem {
        let what = format!("only {kind:?}");
        self.until(&what, |items| items.len() == 1 && items.values().all(|item| item.kind == kind)).await;
        self.items.values().next().expect("an item").clone()
    }

    async fn empty(&mut self) {
        self.until("nothing", |items| items.is_empty()).await;
    }
}

#[tokio::test]
async fn a_question_waits_for_everyone_who_may_answer_until_somebody_has() {
    let server = Scripts::new().agent("asking", ASKING).serve(&[]).await;
    let (ann, bob) = (server.admin("ann").await, server.admin("bob").await);
    let abe = server.member(&ann, Role::Approver, "abe").await;
    let vera = server.member(&ann, Role::Viewer, "vera").await;
    let mut of_ann = InboxWatcher::begin(&server, &ann, watch()).await;
    let mut of_abe = InboxWatcher::begin(&server, &abe, watch()).await;
    let of_vera = InboxWatcher::begin(&server, &vera, watch()).await;
    assert!(of_ann.items.is_empty());

    let mission = server.started(&ann, Some("asking"), json!({})).await;
    let question = of_ann.only(InboxKind::Approval).await;
    assert_eq!(of_abe.only(InboxKind::Approval).await, question);
    assert_eq!((question.mission, question.prompt.as_deref()), (mission, Some("Shall I go on?")));
    assert_eq!(question.options.iter().map(|option| option.id.as_str()).collect::<Vec<_>>(), ["yes", "no"]);
    assert_eq!(server.inbox(&abe).await, std::slice::from_ref(&question));
    // Who begins to watch now finds it, and the title that it has by then.
    let title = serde_json::from_value(json!({"mission": mission, "title": "Another title"})).expect("a change");
    server.call::<UpdateMission>(&ann, title).await.expect("a change");
    of_ann.until("the title", |items| items.values().all(|item| item.title == "Another title")).await;
    let mut later = InboxWatcher::begin(&server, &abe, watch()).await;
    assert_eq!(later.items[&question.id].title, "Another title");
    // It is no matter of theirs.
    for outsider in [&vera, &bob] {
        assert!(server.inbox(outsider).await.is_empty());
        let dismiss = server.call::<DismissInbox>(outsider, InboxDismiss { item: question.id }).await;
        assert_eq!(dismiss.err().map(|fault| fault.code), Some(Code::ItemNotFound));
    }
    // And who may answer it cannot put it away unanswered.
    let dismiss = server.call::<DismissInbox>(&abe, InboxDismiss { item: question.id }).await;
    assert_eq!(dismiss.err().map(|fault| fault.code), Some(Code::InvalidValue));

    server.answer(&abe, mission, question.id).await;
    of_abe.empty().await;
    later.empty().await;
    // The owner's inbox has the end then, and the others' do not.
    let end = of_ann.only(InboxKind::MissionCompleted).await;
    assert_eq!((end.mission, end.title.as_str()), (mission, "Another title"));
    assert_eq!(server.inbox(&ann).await, [end]);
    assert!(server.inbox(&abe).await.is_empty() && of_vera.items.is_empty());
}

#[tokio::test]
async fn an_end_waits_for_its_owner_until_it_is_put_away_on_any_device() {
    let server = Scripts::new().agent("failing", FAILING).serve(&[]).await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let mut desk = InboxWatcher::begin(&server, &mel, watch()).await;
    let mut phone = InboxWatcher::begin(&server, &server.sign_in("mel").await, watch()).await;

    // What she ends herself is no news to her, nor is what somebody calls off.
    let own = server.started(&mel, None, json!({})).await;
    server.rpc(Some(&mel.token), "mission.complete", &json!({"mission": own})).await;
    let off = server.started(&mel, None, json!({})).await;
    server.rpc(Some(&ann.token), "mission.cancel", &json!({"mission": off})).await;
    let failing = server.started(&mel, Some("failing"), json!({})).await;
    let failed = desk.only(InboxKind::MissionFailed).await;
    assert_eq!((failed.mission, failed.prompt.as_deref()), (failing, Some("the portal is gone")));
    assert_eq!(phone.only(InboxKind::MissionFailed).await, failed);
    let done = server.started(&mel, None, json!({})).await;
    server.rpc(Some(&ann.token), "mission.complete", &json!({"mission": done})).await;
    desk.until("both", |items| items.len() == 2).await;

    // A page at a time, the newest first.
    let page = |before| InboxQuery { limit: Some(1), before };
    let first = server.call::<ListInbox>(&mel, page(None)).await.expect("a page");
    let second = server.call::<ListInbox>(&mel, page(first.next)).await.expect("a page");
    assert_eq!((first.items[0].mission, second.items[0].mission), (done, failing));
    assert_eq!((first.next, second.next), (Some(first.items[0].id), None));

    // Nobody else can put it away.
    let dismiss = server.call::<DismissInbox>(&ann, InboxDismiss { item: failed.id }).await;
    assert_eq!(dismiss.err().map(|fault| fault.code), Some(Code::ItemNotFound));
    let away = json!({"item": failed.id, "idem": "away with it"});
    for _ in 0..2 {
        // Whoever missed the answer asks again, and hears the same.
        assert_eq!(server.rpc(Some(&mel.token), "inbox.dismiss", &away).await["result"], json!({}));
    }
    let dismiss = server.call::<DismissInbox>(&mel, InboxDismiss { item: failed.id }).await;
    assert_eq!(dismiss.err().map(|fault| fault.code), Some(Code::ItemNotFound));
    desk.only(InboxKind::MissionCompleted).await;
    phone.only(InboxKind::MissionCompleted).await;
    let again = server.call::<DismissInbox>(&mel, InboxDismiss { item: failed.id }).await;
    assert_eq!(again.err().map(|fault| fault.code), Some(Code::ItemNotFound));
    // A mission that is deleted takes along what waits of it.
    server.rpc(Some(&ann.token), "mission.delete", &json!({"mission": done})).await;
    desk.empty().await;
    phone.empty().await;
    assert!(server.inbox(&mel).await.is_empty());
}

#[tokio::test]
async fn what_waits_is_there_after_a_kill_and_what_was_put_away_is_not() {
    let mut server = Scripts::new().agent("asking", ASKING).serve(&[]).await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let mut inbox = InboxWatcher::begin(&server, &mel, watch()).await;
    let mut ends = Vec::new();
    for _ in 0..2 {
        let mission = server.started(&mel, None, json!({})).await;
        server.rpc(Some(&ann.token), "mission.complete", &json!({"mission": mission})).await;
        ends.push(mission);
    }
    let asking = server.started(&ann, Some("asking"), json!({})).await;
    inbox.until("all three", |items| items.len() == 3).await;
    let away = inbox.items.values().find(|item| item.mission == ends[0]).expect("the first end").id;
    server.call::<DismissInbox>(&mel, InboxDismiss { item: away }).await.expect("away with it");
    let before = server.inbox(&mel).await;

    server.kill_nine().await;
    server.start_again().await;
    let mut inbox = InboxWatcher::begin(&server, &mel, watch()).await;
    let after = server.inbox(&mel).await;
    assert!(after.iter().all(|item| item.id != away));
    let end = |items: &[InboxItem]| items.iter().find(|item| item.mission == ends[1]).cloned();
    assert_eq!(end(&after), end(&before));
    // The agent is there again, and so is what it asks, asked once.
    let mut watcher = Watcher::from_the_first(&server, &ann, asking).await;
    watcher.until_mission("the question", |mission| mission.status == MissionStatus::Waiting).await;
    inbox
        .until("the question", |items| items.values().filter(|item| item.kind == InboxKind::Approval).count() == 1)
        .await;
    let question = inbox.items.values().find(|item| item.kind == InboxKind::Approval).expect("the question").id;
    server.answer(&mel, asking, question).await;
    watcher.until_mission("the end", |mission| mission.status == MissionStatus::Completed).await;
    inbox.until("the end alone", |items| items.len() == 1 && items.values().all(|item| item.mission == ends[1])).await;
}

#[tokio::test]
async fn an_inbox_that_cannot_be_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let mission = server.started(&ann, None, json!({})).await;
    server.rpc(Some(&mel.token), "mission.complete", &json!({"mission": mission})).await;
    let mut socket = RawSocket::open(&server, &ann.token).await;
    socket.call("inbox.watch", json!({"sub": "inbox"})).await;
    let before = server.inbox(&ann).await;
    assert_eq!(before.len(), 1);
    let cases = [
        ("inbox.list", json!({"limit": 0}), Code::InvalidValue),
        ("inbox.list", json!({"limit": 201}), Code::InvalidValue),
        ("inbox.list", json!({"limit": -1}), Code::InvalidParams),
        ("inbox.list", json!({"before": "yesterday"}), Code::InvalidParams),
        ("inbox.list", json!({"user": mel.person.id}), Code::InvalidParams),
        ("inbox.dismiss", json!({}), Code::InvalidParams),
        ("inbox.dismiss", json!({"item": "all"}), Code::InvalidParams),
        ("inbox.dismiss", json!({"item": Uuid::now_v7()}), Code::ItemNotFound),
        ("inbox.dismiss", json!({"item": mission}), Code::ItemNotFound),
    ];
    for (method, params, code) in cases {
        let fault = fault_of(&server.rpc(Some(&ann.token), method, &params).await);
        assert_eq!(fault.code, code, "{method} {params}: {fault}");
        assert_eq!(socket.refused(method, params).await.code, code);
    }
    for (params, code) in [
        (json!({"sub": "inbox"}), Code::SubscriptionTaken),
        (json!({"sub": ""}), Code::InvalidValue),
        (json!({"sub": "x".repeat(65)}), Code::InvalidValue),
        (json!({"sub": "x", "limit": 3}), Code::InvalidParams),
        (json!({}), Code::InvalidParams),
    ] {
        assert_eq!(socket.refused("inbox.watch", params.clone()).await.code, code, "{params}");
    }
    assert_eq!(socket.refused("inbox.unwatch", json!({"sub": "x"})).await.code, Code::SubscriptionNotFound);
    assert_eq!(server.inbox(&ann).await, before);
    assert_eq!(socket.call("inbox.unwatch", json!({"sub": "inbox"})).await["result"], json!({}));
}
