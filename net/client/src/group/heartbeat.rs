use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sillon_protocol::ErrorCode;
use sillon_protocol::message::{HeartbeatRequest, StrBytes};

use super::membership::Membership;
use super::refused;
use crate::connection::{Connection, ConnectionOptions};
use crate::error::ClientError;
use crate::metadata::code;

/// What heartbeats have found out.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The group rebalances: the member must join again.
    Rebalance,
    /// The coordinator does not count the member in any more, or it has not polled for too long.
    Lost,
    /// The coordinator is another one, or cannot be reached.
    NoCoordinator,
    /// The member cannot go on.
    Fatal(ClientError),
}

/// Tells a group's coordinator that a member is alive, from a thread and on a connection of their
/// own, so that the member may take its time with what it has read. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Heartbeats {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    interval: Duration,
    max_poll_interval: Duration,
    connection: ConnectionOptions,
}

#[derive(Debug)]
struct State {
    /// For whom, and the coordinator's address; `None` while it joins.
    beat: Option<(Membership, String)>,
    /// Counts the changes of `beat`, so that an answer to an earlier one is known as such.
    epoch: u64,
    verdict: Option<Verdict>,
    last_beat: Instant,
    last_poll: Instant,
    is_over: bool,
}

impl Heartbeats {
    /// A thread that waits for a membership.
    pub(super) fn start(
        interval: Duration,
        max_poll_interval: Duration,
        connection: ConnectionOptions,
    ) -> Result<Heartbeats, ClientError> {
        let now = Instant::now();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                beat: None,
                epoch: 0,
                verdict: None,
                last_beat: now,
                last_poll: now,
                is_over: false,
            }),
            changed: Condvar::new(),
            interval,
            max_poll_interval,
            connection,
        });
        let theirs = shared.clone();
        thread::Builder::new()
            .name("heartbeat".to_string())
            .spawn(move || theirs.run())
            .map_err(|source| ClientError::Thread { source })?;
        Ok(Heartbeats { shared })
    }

    /// From now on for this membership, to the coordinator at that address.
    pub(super) fn begin(&self, membership: Membership, coordinator: String) {
        self.shared.change(Some((membership, coordinator)));
    }

    /// None until the next [`Self::begin`].
    pub(super) fn pause(&self) {
        self.shared.change(None);
    }

    /// The member polls: it is not stuck.
    pub(super) fn polled(&self) {
        self.shared.state().last_poll = Instant::now();
    }

    /// What has been found out; what does not pass by itself is told once.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.shared.state().verdict.take()
    }

    /// Waits until there is a verdict, but not longer than that.
    pub(super) fn wait(&self, deadline: Instant) {
        let mut state = self.shared.state();
        while state.verdict.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.shared.wait(state, left);
        }
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Nothing in it is left half changed by a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn change(&self, beat: Option<(Membership, String)>) {
        let mut state = self.state();
        state.beat = beat;
        state.epoch += 1;
        state.verdict = None;
        state.last_beat = Instant::now();
        self.changed.notify_all();
    }

    fn run(&self) {
        let mut connection: Option<Connection> = None;
        while let Some((membership, address, epoch)) = self.next() {
            let result = self.beat(&mut connection, &membership, &address);
            if result.as_ref().is_err_and(ClientError::ends_connection) {
                connection = None;
            }
            let mut state = self.state();
            state.last_beat = Instant::now();
            if state.epoch == epoch {
                state.verdict = verdict(result).or(state.verdict.take());
                self.changed.notify_all();
            }
        }
    }

    /// Waits until a heartbeat is due; `None` at the end.
    fn next(&self) -> Option<(Membership, String, u64)> {
        let mut state = self.state();
        loop {
            if state.is_over {
                return None;
            }
            let is_stuck = state.last_poll.elapsed() >= self.max_poll_interval;
            if is_stuck && state.beat.is_some() {
                state.beat = None;
                state.verdict = Some(Verdict::Lost);
                self.changed.notify_all();
            }
            let left = self.interval.saturating_sub(state.last_beat.elapsed());
            match &state.beat {
                Some((membership, address)) if left.is_zero() => {
                    return Some((membership.clone(), address.clone(), state.epoch));
                }
                Some(_) => state = self.wait(state, left),
                None => state = self.wait(state, self.max_poll_interval),
            }
        }
    }

    fn beat(
        &self,
        connection: &mut Option<Connection>,
        membership: &Membership,
        address: &str,
    ) -> Result<(), ClientError> {
        if connection
            .as_ref()
            .is_some_and(|known| known.address() != address)
        {
            *connection = None;
        }
        let connection = match connection {
            Some(known) => known,
            None => connection.insert(Connection::open(address, self.connection.clone())?),
        };
        let mut request = HeartbeatRequest::default();
        request.group_id = StrBytes::from(membership.group.as_str());
        request.generation_id = membership.generation;
        request.member_id = StrBytes::from(membership.member_id.as_str());
        request.group_instance_id = membership.instance_id.as_deref().map(StrBytes::from);
        let answer = connection.call(&request)?;
        match answer.error_code {
            0 => Ok(()),
            error => {
                let group = &membership.group;
                let what = format!("heartbeat to group {group}");
                Err(refused(&what, group, code(error), None))
            }
        }
    }
}

fn verdict(result: Result<(), ClientError>) -> Option<Verdict> {
    let error = result.err()?;
    match error.code() {
        Some(ErrorCode::CoordinatorLoadInProgress) => None,
        Some(ErrorCode::RebalanceInProgress) => Some(Verdict::Rebalance),
        Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => Some(Verdict::Lost),
        _ if error.is_retriable() => Some(Verdict::NoCoordinator),
        _ => Some(Verdict::Fatal(error)),
    }
}
