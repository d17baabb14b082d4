//! The circle of people who watch a mission: each once, however many tabs they have open.
//!
//! A tab that goes lingers for a grace period, and its person with it, so that nobody sees a
//! reconnection. Who was never shown does not linger.

use std::time::{Duration, Instant};

use flightdeck_protocol::{
    StepId, Timestamp, UserId,
    model::{Person, Role},
    notification::Present,
    operations::LooksAt,
};

use super::lane::Gesture;

/// How many people a notice names; the rest are counted.
const NAMED: usize = 100;

/// The people who watch a mission.
pub(super) struct Circle {
    grace: Duration,
    people: Vec<Here>,
    /// Counts tabs.
    opened: u64,
    /// Counts what is said in them: of two words about the same the later one holds.
    said: u64,
}

struct Here {
    id: UserId,
    name: String,
    role: Role,
    since: Timestamp,
    tabs: Vec<Tab>,
    seen_seq: Option<u64>,
    typing: Option<Gesturing>,
    pointing: Option<Gesturing>,
    /// Whether anybody was told that the person is here.
    shown: bool,
}

struct Tab {
    id: u64,
    looks_at: Option<(u64, LooksAt)>,
    /// It is gone, and stays until then.
    lingers_until: Option<Instant>,
}

/// What was said last of a person's typing or pointing.
struct Gesturing {
    said: u64,
    tab: u64,
    on: bool,
    /// When it is taken back by itself.
    until: Option<Instant>,
}

/// What is to be taken back.
pub(super) type TakenBack = Vec<(UserId, Gesture)>;

impl Circle {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, people: Vec::new(), opened: 0, said: 0 }
    }

    /// `person` opens a tab: its number, and whether others see a difference.
    pub(super) fn join(&mut self, person: &Person, now: Timestamp) -> (u64, bool) {
        self.opened += 1;
        let tab = Tab { id: self.opened, looks_at: None, lingers_until: None };
        let Some(here) = self.people.iter_mut().find(|here| here.id == person.id) else {
            self.people.push(Here {
                id: person.id,
                name: person.username.clone(),
                role: person.role,
                since: now,
                tabs: vec![tab],
                seen_seq: None,
                typing: None,
                pointing: None,
                shown: false,
            });
            return (self.opened, true);
        };
        here.tabs.push(tab);
        let before = std::mem::replace(&mut here.role, person.role);
        (self.opened, before != person.role)
    }

    /// `person` has another role; whether others see a difference.
    pub(super) fn take_role(&mut self, person: UserId, role: Role) -> bool {
        let here = self.people.iter_mut().find(|here| here.id == person);
        here.is_some_and(|here| std::mem::replace(&mut here.role, role) != role)
    }

    /// The tab of `person` is gone: what they did in it is over at once, they themselves are in
    /// a while. Whoever was not shown yet is gone without a trace.
    pub(super) fn leave(&mut self, person: UserId, tab: u64, now: Instant) -> TakenBack {
        let Some(index) = self.people.iter().position(|here| here.id == person) else { return Vec::new() };
        let here = &mut self.people[index];
        let over = here.gestures().filter(|(_, known)| known.on && known.tab == tab);
        let over: Vec<Gesture> = over.map(|(gesture, _)| gesture).collect();
        for gesture in &over {
            *here.gesture(*gesture) = None;
        }
        let looks = here.newest_look().map(|(id, _)| id);
        if let Some(tab) = here.tabs.iter_mut().find(|known| known.id == tab) {
            tab.lingers_until = Some(now + self.grace);
        }
        let stays = here.tabs.iter().any(|known| known.lingers_until.is_none());
        // What lingers is what others would miss: the last tab, and the one by which it is known where the person looks.
        here.tabs
            .retain(|known| known.lingers_until.is_none() || looks == Some(known.id) || (!stays && known.id == tab));
        if !stays && !here.shown {
            self.people.remove(index);
        }
        over.into_iter().map(|gesture| (person, gesture)).collect()
    }

    /// Lets go of tabs whose grace is over; says whether others see a difference.
    pub(super) fn let_go(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for here in &mut self.people {
            let before = here.newest_look().map(|(_, looks_at)| looks_at);
            here.tabs.retain(|tab| tab.lingers_until.is_none_or(|until| until > now));
            changed |= before != here.newest_look().map(|(_, looks_at)| looks_at);
        }
        let before = self.people.len();
        self.people.retain(|here| !here.tabs.is_empty());
        changed || self.people.len() < before
    }

    /// When the next tab is to be let go of.
    pub(super) fn lingers_until(&self) -> Option<Instant> {
        self.people.iter().flat_map(|here| &here.tabs).filter_map(|tab| tab.lingers_until).min()
    }

    /// A number for what a tab says now: what is said later has a greater one.
    pub(super) fn word(&mut self) -> u64 {
        self.said += 1;
        self.said
    }

    /// In the tab of `person` was said, as word number `said`, what they look at; whether others see a difference.
    pub(super) fn look(&mut self, person: UserId, tab: u64, said: u64, looks_at: LooksAt) -> bool {
        let Some(here) = self.whoever_is_in(person, tab) else { return false };
        let before = here.newest_look().map(|(_, looks_at)| looks_at);
        let Some(tab) = here.tabs.iter_mut().find(|known| known.id == tab) else { return false };
        if tab.looks_at.is_none_or(|(known, _)| known < said) {
            tab.looks_at = Some((said, looks_at));
        }
        before != here.newest_look().map(|(_, looks_at)| looks_at)
    }

    /// Nobody looks any more at a step of which `is_there` says no; says whether others see a difference.
    pub(super) fn look_away(&mut self, is_there: impl Fn(StepId) -> bool) -> bool {
        let looks = self.people.iter_mut().flat_map(|here| &mut here.tabs).filter_map(|tab| tab.looks_at.as_mut());
        let gone = looks.filter(|(_, looks_at)| looks_at.step.is_some_and(|step| !is_there(step)));
        gone.map(|(_, looks_at)| looks_at.step = None).count() > 0
    }

    /// In the tab of `person` was said that they have seen the mission up to `seq`, if not further already;
    /// whether others see a difference.
    pub(super) fn see(&mut self, person: UserId, tab: u64, seq: u64) -> bool {
        let Some(here) = self.whoever_is_in(person, tab) else { return false };
        let further = here.seen_seq.is_none_or(|seen| seen < seq);
        if further {
            here.seen_seq = Some(seq);
        }
        further
    }

    /// In the tab of `person` they begin to type or point, or cease; whether that counts. It does
    /// not where something newer was said, or where they do it in another tab.
    pub(super) fn gesture(
        &mut self,
        (person, gesture): (UserId, Gesture),
        tab: u64,
        said: u64,
        on: bool,
        until: Option<Instant>,
    ) -> bool {
        let Some(here) = self.whoever_is_in(person, tab) else { return false };
        let known = here.gesture(gesture);
        let counts = known.as_ref().is_none_or(|known| known.said < said && (on || known.tab == tab));
        if counts {
            *known = Some(Gesturing { said, tab, on, until });
        }
        counts
    }

    /// `person`, if the tab is there. What was said in one that is gone, and was found good only then, counts no
    /// more: nobody would take it back.
    fn whoever_is_in(&mut self, person: UserId, tab: u64) -> Option<&mut Here> {
        let here = self.people.iter_mut().find(|here| here.id == person)?;
        here.tabs.iter().any(|known| known.id == tab && known.lingers_until.is_none()).then_some(here)
    }

    /// What is to be taken back since its time is over.
    pub(super) fn take_back(&mut self, now: Instant) -> TakenBack {
        let mut over = Vec::new();
        for here in &mut self.people {
            for gesture in [Gesture::Typing, Gesture::Cursor] {
                let known = here.gesture(gesture);
                if known.as_ref().is_some_and(|known| known.on && known.until.is_some_and(|until| until <= now)) {
                    *known = None;
                    over.push((here.id, gesture));
                }
            }
        }
        over
    }

    /// When something is to be taken back next.
    pub(super) fn on_until(&self) -> Option<Instant> {
        let gestures = self.people.iter().flat_map(Here::gestures);
        gestures.filter(|(_, known)| known.on).filter_map(|(_, known)| known.until).min()
    }

    /// How many tabs there are.
    pub(super) fn tabs(&self) -> usize {
        self.people.iter().map(|here| here.tabs.len()).sum()
    }

    /// Everyone who is here, to be shown to all: those who are named, and how many more there are.
    pub(super) fn show(&mut self) -> (Vec<Present>, usize) {
        for here in &mut self.people {
            here.shown = true;
        }
        let named = self.people.iter().take(NAMED).map(|here| Present {
            id: here.id,
            name: here.name.clone(),
            role: here.role,
            since: here.since,
            looks_at: here.newest_look().map(|(_, looks_at)| looks_at),
            seen_seq: here.seen_seq,
        });
        (named.collect(), self.people.len().saturating_sub(NAMED))
    }
}

impl Here {
    /// The tab in which was said last what the person looks at, and what that is.
    fn newest_look(&self) -> Option<(u64, LooksAt)> {
        let looks = self.tabs.iter().filter_map(|tab| Some((tab.looks_at?, tab.id)));
        looks.max_by_key(|((said, _), _)| *said).map(|((_, looks_at), id)| (id, looks_at))
    }

    fn gestures(&self) -> impl Iterator<Item = (Gesture, &Gesturing)> {
        let typing = self.typing.iter().map(|known| (Gesture::Typing, known));
        typing.chain(self.pointing.iter().map(|known| (Gesture::Cursor, known)))
    }

    fn gesture(&mut self, gesture: Gesture) -> &mut Option<Gesturing> {
        match gesture {
            Gesture::Typing => &mut self.typing,
            Gesture::Cursor => &mut self.pointing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_protocol::{OrganizationId, model::Organization};
    use uuid::Uuid;

    const GRACE: Duration = Duration::from_secs(5);

    fn person(number: u128) -> Person {
        Person {
            id: UserId(Uuid::from_u128(number)),
            organization: Organization { id: OrganizationId::fresh(), name: "acme".to_owned() },
            username: format!("p{number}"),
            name: format!("Person {number}"),
            email: None,
            role: Role::Viewer,
            active: true,
            created_at: Timestamp::from_millis(0),
        }
    }

    fn step(number: u128) -> LooksAt {
        LooksAt { step: Some(Uuid::from_u128(number).into()), document: None }
    }

    /// A circle that shows what it has, and a moment.
    fn circle() -> (Circle, Instant) {
        (Circle::new(GRACE), Instant::now())
    }

    fn names(circle: &mut Circle) -> Vec<String> {
        circle.show().0.into_iter().map(|present| present.name).collect()
    }

    #[test]
    fn a_person_is_one_however_many_tabs_and_since_the_first() {
        let (mut circle, now) = circle();
        let (first, joined) = circle.join(&person(1), Timestamp::from_millis(1));
        let (second, again) = circle.join(&person(1), Timestamp::from_millis(2));
        assert_eq!((joined, again), (true, false));
        circle.leave(person(1).id, first, now);
        assert!(!circle.let_go(now + GRACE));
        let (people, others) = circle.show();
        assert_eq!((people.len(), others), (1, 0));
        assert_eq!(people[0].since, Timestamp::from_millis(1));
        circle.leave(person(1).id, second, now);
        assert!(circle.let_go(now + GRACE));
        assert!(names(&mut circle).is_empty());
    }

    #[test]
    fn who_comes_back_within_the_grace_was_never_away() {
        let (mut circle, now) = circle();
        let (first, _) = circle.join(&person(1), Timestamp::from_millis(1));
        circle.show();
        circle.look(person(1).id, first, 1, step(7));
        circle.leave(person(1).id, first, now);
        assert_eq!(circle.lingers_until(), Some(now + GRACE));
        assert!(!circle.let_go(now + GRACE / 2));
        let (second, changed) = circle.join(&person(1), Timestamp::from_millis(9));
        assert!(!changed);
        assert_eq!(circle.show().0[0].looks_at, Some(step(7)), "it is told again only later");
        assert!(!circle.look(person(1).id, second, 2, step(7)));
        assert!(!circle.let_go(now + GRACE), "nor does anybody see the end of the grace");
        assert_eq!(circle.lingers_until(), None);
        assert_eq!(circle.show().0[0].since, Timestamp::from_millis(1));
    }

    #[test]
    fn who_was_never_shown_leaves_no_trace() {
        let (mut circle, now) = circle();
        let (tab, _) = circle.join(&person(1), Timestamp::from_millis(1));
        circle.leave(person(1).id, tab, now);
        assert!(names(&mut circle).is_empty());
    }

    #[test]
    fn however_often_somebody_comes_and_goes_few_tabs_linger() {
        let (mut circle, now) = circle();
        circle.join(&person(1), Timestamp::from_millis(1));
        circle.show();
        for nth in 1..100 {
            let (tab, _) = circle.join(&person(1), Timestamp::from_millis(1));
            circle.look(person(1).id, tab, nth, step(nth.into()));
            circle.leave(person(1).id, tab, now);
        }
        assert_eq!(circle.tabs(), 2);
        assert_eq!(circle.show().0[0].looks_at, Some(step(99)));
        assert!(circle.let_go(now + GRACE), "nothing is known of where the person looks any more");
        assert_eq!(circle.show().0[0].looks_at, None);
    }

    #[test]
    fn the_last_word_of_all_tabs_holds_whatever_order_it_arrives_in() {
        let (mut circle, _) = circle();
        let (first, _) = circle.join(&person(1), Timestamp::from_millis(1));
        let (second, _) = circle.join(&person(1), Timestamp::from_millis(1));
        let words = [circle.word(), circle.word(), circle.word()];
        assert!(circle.look(person(1).id, second, words[1], step(2)));
        assert!(!circle.look(person(1).id, first, words[0], step(1)), "said earlier in the other tab");
        assert!(circle.look(person(1).id, first, words[2], step(3)));
        assert!(!circle.look(person(1).id, first, words[1], step(9)), "said earlier in the same");
        assert_eq!(circle.show().0[0].looks_at, Some(step(3)));
        assert!(!circle.look(person(2).id, 99, 99, step(1)), "nobody of that name");
    }

    #[test]
    fn nobody_looks_at_a_step_that_was_removed() {
        let (mut circle, _) = circle();
        let [(one, _), (two, _)] = [1, 2].map(|nth| circle.join(&person(nth), Timestamp::from_millis(0)));
        circle.look(person(1).id, one, 1, step(7));
        circle.look(person(2).id, two, 2, step(8));
        assert!(!circle.look_away(|_| true), "both are there");
        assert!(circle.look_away(|known| Some(known) != step(7).step));
        let looks: Vec<Option<LooksAt>> = circle.show().0.into_iter().map(|here| here.looks_at).collect();
        assert_eq!(looks, [Some(LooksAt::default()), Some(step(8))]);
    }

    #[test]
    fn what_was_seen_never_goes_back() {
        let (mut circle, _) = circle();
        let (tab, _) = circle.join(&person(1), Timestamp::from_millis(1));
        assert_eq!([7, 7, 3, 8].map(|seq| circle.see(person(1).id, tab, seq)), [true, false, false, true]);
        assert_eq!(circle.show().0[0].seen_seq, Some(8));
    }

    #[test]
    fn typing_ends_by_itself_and_with_its_tab_and_not_with_another() {
        let (mut circle, now) = circle();
        let id = person(1).id;
        let (first, _) = circle.join(&person(1), Timestamp::from_millis(1));
        let (second, _) = circle.join(&person(1), Timestamp::from_millis(1));
        let typing = (id, Gesture::Typing);
        let until = Some(now + Duration::from_secs(10));
        assert!(circle.gesture(typing, first, 2, true, until));
        assert!(!circle.gesture(typing, first, 1, false, None), "said before");
        assert!(!circle.gesture(typing, second, 3, false, None), "it is the other tab where they type");
        assert_eq!(circle.leave(id, second, now), []);
        assert_eq!(circle.on_until(), until);
        assert_eq!(circle.take_back(now + Duration::from_secs(9)), []);
        assert_eq!(circle.take_back(now + Duration::from_secs(10)), [typing]);
        assert_eq!(circle.on_until(), None);
        circle.gesture(typing, first, 4, true, until);
        circle.gesture((id, Gesture::Cursor), first, 5, true, None);
        assert_eq!(circle.leave(id, first, now), [typing, (id, Gesture::Cursor)]);
    }

    #[test]
    fn what_is_found_good_only_when_its_tab_is_gone_counts_no_more() {
        let (mut circle, now) = circle();
        let id = person(1).id;
        let (tab, _) = circle.join(&person(1), Timestamp::from_millis(1));
        circle.show();
        circle.look(id, tab, 1, step(1));
        assert!(circle.gesture((id, Gesture::Cursor), tab, 2, true, None));
        assert_eq!(circle.leave(id, tab, now), [(id, Gesture::Cursor)], "at once, though the person lingers");
        for gesture in [Gesture::Cursor, Gesture::Typing] {
            assert!(!circle.gesture((id, gesture), tab, 3, true, Some(now + GRACE)), "{gesture:?}");
        }
        assert!(!circle.look(id, tab, 4, step(2)));
        assert!(!circle.see(id, tab, 9));
        assert_eq!((circle.show().0[0].looks_at, circle.show().0[0].seen_seq), (Some(step(1)), None));
        assert_eq!(circle.on_until(), None);
        // The person's other tab is there, and counts.
        let (other, _) = circle.join(&person(1), Timestamp::from_millis(2));
        assert!(!circle.gesture((id, Gesture::Cursor), tab, 5, true, None));
        assert!(circle.gesture((id, Gesture::Cursor), other, 6, true, None) && circle.see(id, other, 9));
        circle.let_go(now + GRACE);
        assert_eq!(circle.leave(id, other, now), [(id, Gesture::Cursor)]);
    }

    #[test]
    fn many_are_counted_and_not_named() {
        let (mut circle, _) = circle();
        for number in 0..NAMED as u128 + 3 {
            circle.join(&person(number), Timestamp::from_millis(0));
        }
        let (people, others) = circle.show();
        assert_eq!((people.len(), others), (NAMED, 3));
    }
}
