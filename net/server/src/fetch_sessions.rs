//! Incremental fetch sessions (KIP-227): a client that asks for the same partitions again and
//! again names them once, and hears of those only that have changed.
//!
//! A session belongs to the executor of the connection that opened it. A client that comes back
//! over another one is told that there is no such session, and opens a new one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use sillon_protocol::fetch::{FetchPartition, PartitionFetched};
use sillon_protocol::{ErrorCode, TopicKey};

use crate::limits::{FETCH_SESSION_IDLE_MS, FETCH_SESSION_PARTITIONS_MAX};

/// `session_epoch` of a whole fetch that wants no session.
pub(crate) const NO_SESSION: i32 = -1;
/// `session_epoch` of a whole fetch that opens one.
pub(crate) const NEW_SESSION: i32 = 0;

/// What a client has said and heard so far.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The epoch of its next request.
    next_epoch: i32,
    created_ms: u64,
    used_ms: u64,
    next_place: u64,
    places: BTreeMap<(TopicKey<Arc<str>>, i32), u64>,
    /// In the order in which they are read: who got records goes to the end.
    partitions: BTreeMap<u64, Cached>,
}

/// A partition of a session.
#[derive(Debug)]
struct Cached {
    key: TopicKey<Arc<str>>,
    asked: FetchPartition,
    /// As last heard; -1: nothing, or an error.
    high_watermark: i64,
    log_start_offset: i64,
}

/// The sessions of one executor.
pub(crate) struct FetchSessions {
    sessions: BTreeMap<i32, Rc<RefCell<Session>>>,
    sessions_max: usize,
    partitions_max: usize,
}

impl Session {
    /// Asks for a partition from now on, or asks something else of it.
    pub(crate) fn ask(&mut self, key: TopicKey<Arc<str>>, asked: FetchPartition) {
        let name = (key, asked.index);
        if let Some(place) = self.places.get(&name) {
            let cached = self.partitions.get_mut(place);
            cached.expect("a place is taken").asked = asked;
            return;
        }
        let cached = Cached {
            key: name.0.clone(),
            asked,
            high_watermark: -1,
            log_start_offset: -1,
        };
        self.places.insert(name, self.next_place);
        self.partitions.insert(self.next_place, cached);
        self.next_place += 1;
    }

    /// Asks for a partition no more.
    pub(crate) fn forget(&mut self, key: TopicKey<Arc<str>>, index: i32) {
        if let Some(place) = self.places.remove(&(key, index)) {
            self.partitions.remove(&place);
        }
    }

    /// What is asked for, in the order in which it is to be read.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (&TopicKey<Arc<str>>, &FetchPartition)> {
        self.partitions
            .values()
            .map(|cached| (&cached.key, &cached.asked))
    }

    pub(crate) fn len(&self) -> usize {
        self.partitions.len()
    }

    fn names_topics_by_id(&self) -> Option<bool> {
        let first = self.partitions.first_key_value()?.1;
        Some(matches!(first.key, TopicKey::Id(_)))
    }

    /// Notes an answer about a partition. Whether it has news for the client.
    pub(crate) fn note(
        &mut self,
        key: &TopicKey<Arc<str>>,
        answer: &PartitionFetched<usize>,
    ) -> bool {
        let name = (key.clone(), answer.index);
        let Some(place) = self.places.get_mut(&name) else {
            // It was forgotten meanwhile.
            return false;
        };
        let cached = self.partitions.get_mut(place);
        let cached = cached.expect("a place is taken");
        let is_news = answer.records > 0
            || answer.error.is_error()
            || answer.diverging.is_some()
            || answer.high_watermark != cached.high_watermark
            || answer.log_start_offset != cached.log_start_offset;
        // After an error the next answer is news, whatever it says.
        cached.high_watermark = match answer.error.is_error() {
            true => -1,
            false => answer.high_watermark,
        };
        cached.log_start_offset = answer.log_start_offset;
        if answer.records > 0 {
            let cached = self.partitions.remove(place).expect("a place is taken");
            *place = self.next_place;
            self.partitions.insert(self.next_place, cached);
            self.next_place += 1;
        }
        is_news
    }
}

impl FetchSessions {
    /// The share of one executor of a node that has so many executors, and keeps so many sessions.
    pub(crate) fn new(sessions_max: usize, shards: usize) -> FetchSessions {
        FetchSessions::of(
            sessions_max.div_ceil(shards),
            FETCH_SESSION_PARTITIONS_MAX / shards,
        )
    }

    fn of(sessions_max: usize, partitions_max: usize) -> FetchSessions {
        FetchSessions {
            sessions: BTreeMap::new(),
            sessions_max,
            partitions_max,
        }
    }

    /// Ends a session, if there is such a one.
    pub(crate) fn remove(&mut self, id: i32) {
        self.sessions.remove(&id);
    }

    /// Whether there is ever room for a session of so many partitions.
    pub(crate) fn could_hold(&self, partitions: usize) -> bool {
        self.sessions_max > 0 && partitions <= self.partitions_max
    }

    /// Keeps a session that a client opens. Its id, 0 when there is no room for it: the client
    /// goes on without one.
    pub(crate) fn open(
        &mut self,
        mut session: Session,
        now_ms: u64,
        mut draw: impl FnMut() -> i32,
    ) -> i32 {
        if !self.could_hold(session.len()) {
            return 0;
        }
        while self.sessions.len() >= self.sessions_max
            || self.partitions() + session.len() > self.partitions_max
        {
            let Some(evicted) = self.evictable(session.len(), now_ms) else {
                return 0;
            };
            self.sessions.remove(&evicted);
        }
        session.next_epoch = 1;
        session.created_ms = now_ms;
        session.used_ms = now_ms;
        loop {
            let id = draw() & i32::MAX;
            if id != 0 && !self.sessions.contains_key(&id) {
                let session = Rc::new(RefCell::new(session));
                self.sessions.insert(id, session);
                return id;
            }
        }
    }

    /// The session that goes for one of `partitions`: one that nobody uses any more, or a smaller
    /// one that has had its time.
    fn evictable(&self, partitions: usize, now_ms: u64) -> Option<i32> {
        let age = |since_ms: u64| now_ms.saturating_sub(since_ms);
        let all = || self.sessions.iter();
        let idle = all().min_by_key(|(_, session)| session.borrow().used_ms);
        if let Some((id, session)) = idle
            && age(session.borrow().used_ms) > FETCH_SESSION_IDLE_MS
        {
            return Some(*id);
        }
        let old = all().filter(|(_, s)| age(s.borrow().created_ms) > FETCH_SESSION_IDLE_MS);
        let smallest = old.min_by_key(|(id, session)| (session.borrow().len(), **id));
        let (id, session) = smallest?;
        (session.borrow().len() < partitions).then_some(*id)
    }

    /// Goes on with a session.
    pub(crate) fn resume(
        &mut self,
        id: i32,
        epoch: i32,
        by_id: bool,
        now_ms: u64,
    ) -> Result<Rc<RefCell<Session>>, ErrorCode> {
        let session = self.sessions.get(&id);
        let session = session.ok_or(ErrorCode::FetchSessionIdNotFound)?.clone();
        {
            let mut session = session.borrow_mut();
            if session.next_epoch != epoch {
                return Err(ErrorCode::InvalidFetchSessionEpoch);
            }
            if session
                .names_topics_by_id()
                .is_some_and(|known| known != by_id)
            {
                return Err(ErrorCode::FetchSessionTopicIdError);
            }
            session.next_epoch = epoch.checked_add(1).unwrap_or(1);
            session.used_ms = now_ms;
        }
        Ok(session)
    }

    /// Whether all sessions together are within their limit; else the one that grew goes, and its
    /// client opens a new one, or goes on without.
    pub(crate) fn has_grown(&mut self, id: i32) -> Result<(), ErrorCode> {
        if self.partitions() <= self.partitions_max {
            return Ok(());
        }
        self.sessions.remove(&id);
        Err(ErrorCode::FetchSessionIdNotFound)
    }

    fn partitions(&self) -> usize {
        self.sessions.values().map(|s| s.borrow().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(index: i32) -> FetchPartition {
        FetchPartition {
            index,
            current_leader_epoch: None,
            offset: 0,
            last_fetched_epoch: None,
            log_start_offset: -1,
            max_bytes: 1,
        }
    }

    fn topic() -> TopicKey<Arc<str>> {
        TopicKey::Name("furrow".into())
    }

    fn session(partitions: i32) -> Session {
        let mut session = Session::default();
        for index in 0..partitions {
            session.ask(topic(), asked(index));
        }
        session
    }

    fn fetched(index: i32, high_watermark: i64, records: usize) -> PartitionFetched<usize> {
        PartitionFetched {
            high_watermark,
            log_start_offset: 0,
            records,
            ..PartitionFetched::failed(index, ErrorCode::None)
        }
    }

    fn order(session: &Session) -> Vec<i32> {
        session.asked().map(|(_, asked)| asked.index).collect()
    }

    #[test]
    fn only_what_has_changed_is_news() {
        let mut session = session(1);
        assert!(
            session.note(&topic(), &fetched(0, 0, 0)),
            "the first answer"
        );
        assert!(!session.note(&topic(), &fetched(0, 0, 0)));
        assert!(session.note(&topic(), &fetched(0, 5, 100)));
        assert!(
            session.note(&topic(), &fetched(0, 5, 100)),
            "records are news"
        );
        assert!(!session.note(&topic(), &fetched(0, 5, 0)));
        let failed = PartitionFetched::failed(0, ErrorCode::NotLeaderOrFollower);
        assert!(session.note(&topic(), &failed));
        assert!(session.note(&topic(), &failed), "an error is told again");
        assert!(
            session.note(&topic(), &fetched(0, 5, 0)),
            "and so is its end"
        );
        assert!(!session.note(&topic(), &fetched(0, 5, 0)));
    }

    #[test]
    fn who_got_records_goes_to_the_end() {
        let mut session = session(3);
        assert_eq!(order(&session), [0, 1, 2]);
        session.note(&topic(), &fetched(0, 1, 10));
        session.note(&topic(), &fetched(1, 0, 0));
        assert_eq!(order(&session), [1, 2, 0]);
        session.ask(topic(), asked(2));
        session.forget(topic(), 1);
        assert_eq!(order(&session), [2, 0]);
        assert!(
            !session.note(&topic(), &fetched(1, 9, 9)),
            "it is forgotten"
        );
    }

    #[test]
    fn a_session_goes_on_from_epoch_to_epoch() {
        let mut sessions = FetchSessions::of(10, 100);
        let id = sessions.open(session(2), 0, || 7);
        assert_eq!(id, 7);
        let mut resume = |id, epoch, by_id| sessions.resume(id, epoch, by_id, 1).err();
        assert_eq!(resume(8, 1, false), Some(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(
            resume(7, 2, false),
            Some(ErrorCode::InvalidFetchSessionEpoch)
        );
        assert_eq!(
            resume(7, 1, true),
            Some(ErrorCode::FetchSessionTopicIdError)
        );
        assert_eq!(resume(7, 1, false), None);
        assert_eq!(
            resume(7, 1, false),
            Some(ErrorCode::InvalidFetchSessionEpoch)
        );
        assert_eq!(resume(7, 2, false), None);
        sessions.remove(7);
        let gone = sessions.resume(7, 3, false, 1).err();
        assert_eq!(gone, Some(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn the_epoch_after_the_last_is_the_first() {
        let mut sessions = FetchSessions::of(10, 100);
        sessions.open(session(1), 0, || 7);
        sessions.sessions[&7].borrow_mut().next_epoch = i32::MAX;
        assert!(sessions.resume(7, i32::MAX, false, 1).is_ok());
        assert!(sessions.resume(7, 1, false, 1).is_ok());
    }

    #[test]
    fn a_full_cache_gives_up_what_is_idle_and_what_is_small_and_old() {
        let mut ids = 1..;
        let mut sessions = FetchSessions::of(2, 100);
        let mut open = |sessions: &mut FetchSessions, size, now_ms| {
            sessions.open(session(size), now_ms, || ids.next().unwrap())
        };
        let old = FETCH_SESSION_IDLE_MS + 1;
        let large = open(&mut sessions, 5, 0);
        let small = open(&mut sessions, 1, 0);
        assert_eq!(open(&mut sessions, 9, 1), 0, "both are young");
        sessions.resume(large, 1, false, old).unwrap();
        sessions.resume(small, 1, false, old).unwrap();
        assert_eq!(open(&mut sessions, 1, old), 0, "none is smaller");
        let larger = open(&mut sessions, 2, old);
        assert!(larger != 0 && !sessions.sessions.contains_key(&small));
        let idle = open(&mut sessions, 1, 2 * old + 1);
        assert!(idle != 0 && !sessions.sessions.contains_key(&large));
    }

    #[test]
    fn partitions_of_all_sessions_are_bounded() {
        let mut sessions = FetchSessions::of(10, 5);
        assert!(sessions.could_hold(5) && !sessions.could_hold(6));
        assert!(!FetchSessions::of(0, 5).could_hold(1));
        assert_eq!(sessions.open(session(6), 0, || 1), 0);
        assert_eq!(sessions.open(session(3), 0, || 1), 1);
        assert_eq!(sessions.open(session(3), 0, || 2), 0);
        assert_eq!(sessions.open(session(2), 0, || 2), 2);
        let grown = sessions.resume(2, 1, false, 0).unwrap();
        assert_eq!(sessions.has_grown(2), Ok(()));
        grown.borrow_mut().ask(topic(), asked(9));
        assert_eq!(
            sessions.has_grown(2),
            Err(ErrorCode::FetchSessionIdNotFound)
        );
        assert!(!sessions.sessions.contains_key(&2));
    }
}
