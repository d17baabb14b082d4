//! What every store must do: one suite, run against each back end.

use std::ops::{Bound, ControlFlow};

use super::{Direction, KeyRange, MAX_KEY, MAX_VALUE, Space, Store, StoreError, Write, prefix_end, scan_prefix};

/// Runs the whole suite against `store`, which is empty.
pub(super) fn run(store: &dyn Store) {
    what_is_written_is_read(store);
    a_commit_is_all_or_nothing(store);
    scans_go_both_ways(store);
    spaces_do_not_touch(store);
    prefixes_end_where_they_end(store);
    a_large_scan_sees_everything(store);
    removal_leaves_nothing(store);
}

const EVERYTHING: KeyRange<'static> = (Bound::Unbounded, Bound::Unbounded);

fn keys(store: &dyn Store, space: Space, range: KeyRange<'_>, direction: Direction) -> Vec<String> {
    let mut keys = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        keys.push(String::from_utf8_lossy(key).into_owned());
        ControlFlow::Continue(())
    };
    store.scan(space, range, direction, &mut visit).unwrap();
    keys
}

fn clear(store: &dyn Store) {
    for space in Space::ALL {
        let mut writes = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            if space != Space::Meta {
                writes.push(Write::remove(space, key));
            }
            ControlFlow::Continue(())
        };
        store.scan(space, EVERYTHING, Direction::Forward, &mut visit).unwrap();
        store.commit(&writes).unwrap();
    }
}

fn what_is_written_is_read(store: &dyn Store) {
    assert_eq!(store.get(Space::Index, b"a").unwrap(), None);
    store.commit(&[Write::put(Space::Index, "a", "1"), Write::put(Space::Index, "empty", "")]).unwrap();
    assert_eq!(store.get(Space::Index, b"a").unwrap().unwrap(), b"1");
    assert_eq!(store.get(Space::Index, b"empty").unwrap().unwrap(), b"");
    store.commit(&[Write::put(Space::Index, "a", "2")]).unwrap();
    assert_eq!(store.get(Space::Index, b"a").unwrap().unwrap(), b"2");
    let longest = vec![7; MAX_VALUE];
    store.commit(&[Write::put(Space::Index, vec![b'k'; MAX_KEY], longest.clone())]).unwrap();
    assert_eq!(store.get(Space::Index, &[b'k'; MAX_KEY]).unwrap().unwrap(), longest);
    store.commit(&[]).unwrap();
    clear(store);
}

fn a_commit_is_all_or_nothing(store: &dyn Store) {
    let too_long = Write::put(Space::Index, "b", vec![0; MAX_VALUE + 1]);
    let outcome = store.commit(&[Write::put(Space::Index, "a", "1"), too_long]);
    assert!(matches!(outcome, Err(StoreError::ValueTooLarge { size, max: MAX_VALUE }) if size == MAX_VALUE + 1));
    let outcome =
        store.commit(&[Write::put(Space::Index, "a", "1"), Write::remove(Space::Index, vec![0; MAX_KEY + 1])]);
    assert!(matches!(outcome, Err(StoreError::KeyTooLarge { .. })));
    assert_eq!(store.get(Space::Index, b"a").unwrap(), None, "nothing of a refused commit is there");

    // The writes of a commit happen in their order.
    let writes = [
        Write::put(Space::Index, "a", "1"),
        Write::remove(Space::Index, "a"),
        Write::put(Space::Index, "b", "1"),
        Write::put(Space::Index, "b", "2"),
    ];
    store.commit(&writes).unwrap();
    assert_eq!(store.get(Space::Index, b"a").unwrap(), None);
    assert_eq!(store.get(Space::Index, b"b").unwrap().unwrap(), b"2");
    clear(store);
}

fn scans_go_both_ways(store: &dyn Store) {
    let writes: Vec<Write> =
        ["d", "a", "c", "b", "e"].iter().map(|key| Write::put(Space::Records, *key, *key)).collect();
    store.commit(&writes).unwrap();
    let scan = |range, direction| keys(store, Space::Records, range, direction).concat();
    assert_eq!(scan(EVERYTHING, Direction::Forward), "abcde");
    assert_eq!(scan(EVERYTHING, Direction::Backward), "edcba");
    let (b, d) = (b"b".as_slice(), b"d".as_slice());
    assert_eq!(scan((Bound::Included(b), Bound::Included(d)), Direction::Forward), "bcd");
    assert_eq!(scan((Bound::Excluded(b), Bound::Included(d)), Direction::Forward), "cd");
    assert_eq!(scan((Bound::Included(b), Bound::Excluded(d)), Direction::Backward), "cb");
    assert_eq!(scan((Bound::Unbounded, Bound::Excluded(d)), Direction::Backward), "cba");
    assert_eq!(scan((Bound::Excluded(d), Bound::Unbounded), Direction::Forward), "e");
    assert_eq!(scan((Bound::Included(d), Bound::Included(b)), Direction::Forward), "", "upside down");
    assert_eq!(scan((Bound::Excluded(b), Bound::Excluded(b)), Direction::Forward), "", "between itself");
    assert_eq!(scan((Bound::Included(b), Bound::Included(b)), Direction::Backward), "b");

    let mut seen = 0;
    let mut first_two = |_: &[u8], _: &[u8]| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.scan(Space::Records, EVERYTHING, Direction::Forward, &mut first_two).unwrap();
    assert_eq!(seen, 2, "a scan stops when it is told to");
    clear(store);
}

fn spaces_do_not_touch(store: &dyn Store) {
    let spaces: Vec<Space> = Space::ALL.into_iter().filter(|space| *space != Space::Meta).collect();
    let writes: Vec<Write> = spaces
        .iter()
        .flat_map(|space| {
            let name = format!("{space:?}");
            [
                Write::put(*space, "same", name.as_str()),
                Write::put(*space, vec![0xff; 3], name),
                Write::put(*space, "", ""),
            ]
        })
        .collect();
    store.commit(&writes).unwrap();
    for space in &spaces {
        assert_eq!(store.get(*space, b"same").unwrap().unwrap(), format!("{space:?}").as_bytes());
        assert_eq!(keys(store, *space, EVERYTHING, Direction::Forward).len(), 3);
        assert_eq!(keys(store, *space, EVERYTHING, Direction::Backward).len(), 3);
    }
    store.commit(&[Write::remove(Space::Index, "same")]).unwrap();
    assert!(store.get(Space::People, b"same").unwrap().is_some());
    clear(store);
}

fn prefixes_end_where_they_end(store: &dyn Store) {
    assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
    assert_eq!(prefix_end(&[1, 0xff, 0xff]), Some(vec![2]));
    assert_eq!(prefix_end(&[0xff]), None);
    let writes: Vec<Write> =
        ["a", "ab", "abc", "ac", "b"].iter().map(|key| Write::put(Space::Index, *key, "")).collect();
    store.commit(&writes).unwrap();
    let mut seen = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        seen.push(String::from_utf8_lossy(key).into_owned());
        ControlFlow::Continue(())
    };
    scan_prefix(store, Space::Index, b"ab", Direction::Backward, &mut visit).unwrap();
    assert_eq!(seen, ["abc", "ab"]);
    clear(store);
}

fn a_large_scan_sees_everything(store: &dyn Store) {
    const COUNT: u32 = 5_000;
    for from in (0..COUNT).step_by(500) {
        let writes: Vec<Write> =
            (from..from + 500).map(|n| Write::put(Space::Records, n.to_be_bytes(), n.to_string())).collect();
        store.commit(&writes).unwrap();
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let mut seen = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            let n = u32::from_be_bytes(key.try_into().unwrap());
            assert_eq!(value, n.to_string().as_bytes());
            seen.push(n);
            ControlFlow::Continue(())
        };
        store.scan(Space::Records, EVERYTHING, direction, &mut visit).unwrap();
        if direction == Direction::Backward {
            seen.reverse();
        }
        assert!(seen.into_iter().eq(0..COUNT));
    }
}

fn removal_leaves_nothing(store: &dyn Store) {
    clear(store);
    assert!(keys(store, Space::Records, EVERYTHING, Direction::Forward).is_empty());
    store.commit(&[Write::remove(Space::Records, "never there")]).unwrap();
}
