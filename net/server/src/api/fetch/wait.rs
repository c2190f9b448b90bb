//! Waiting for enough records, in one shard or in several.
//!
//! A shard waits by itself for as many bytes as it is asked for. When the partitions of a fetch
//! belong to several shards, none of them knows what the others have: they are asked for what
//! there is, and as long as that is too little, each is made to wait for its part of what is
//! missing. The first one that has it ends the wait of all, and they are asked again. So an answer
//! comes exactly when there are enough bytes in all, and the rounds are few, as each of them
//! needs the missing bytes to become fewer by a fixed part.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use sillon_runtime::Call;
use sillon_shard::{Fetch, FetchEntry, Request, ShardId, Stamps};

use super::{Bounds, Ended};
use crate::context::Context;
use crate::route::{ByOwner, stopped};

/// A fetch that its shards have.
pub(super) struct Waiting {
    calls: Vec<Call>,
    /// What was asked of whom, when that is more than one shard.
    asks: Vec<(ShardId, Vec<FetchEntry>)>,
    bounds: Bounds,
    stamps: Stamps,
}

/// Asks the shards.
pub(super) async fn begin(
    context: &Context,
    by_owner: ByOwner<FetchEntry>,
    bounds: Bounds,
    stamps: Stamps,
) -> Waiting {
    let mut waiting = Waiting {
        calls: Vec::with_capacity(by_owner.groups.len()),
        asks: Vec::new(),
        bounds,
        stamps,
    };
    let mut groups = by_owner.groups;
    if groups.len() == 1 {
        let (owner, entries) = groups.remove(0);
        let call = waiting
            .call(context, owner, entries, bounds.min_bytes)
            .await;
        waiting.calls.push(call);
    } else {
        waiting.asks = groups;
        waiting.ask_all(context, |_| 0).await;
    }
    waiting
}

impl Waiting {
    /// Waits until there is enough, or for as long as the client wants to. The answers of the
    /// shards, in the order of their groups.
    pub(super) async fn finish(mut self, context: &Context) -> Result<Vec<Fetch>, Ended> {
        loop {
            let fetches = all(std::mem::take(&mut self.calls)).await?;
            let is_over = self.asks.is_empty() || context.now_ns() >= self.bounds.deadline_ns;
            let found = fetches.iter().map(bytes_of);
            let missing = self.bounds.min_bytes.saturating_sub(found.sum());
            if is_over || missing == 0 || fetches.iter().any(is_urgent) {
                return Ok(fetches);
            }
            let share = missing.div_ceil(self.asks.len() as u64);
            let found: Vec<u64> = fetches.iter().map(bytes_of).collect();
            drop(fetches);
            self.ask_all(context, |group| found[group] + share).await;
            first(&mut self.calls).await?;
            // Dropping the others' calls ends their wait.
            self.calls.clear();
            self.ask_all(context, |_| 0).await;
        }
    }

    async fn ask_all(&mut self, context: &Context, min_bytes: impl Fn(usize) -> u64) {
        for group in 0..self.asks.len() {
            let (owner, entries) = &self.asks[group];
            let (owner, entries) = (*owner, entries.iter().map(again).collect());
            let call = self.call(context, owner, entries, min_bytes(group)).await;
            self.calls.push(call);
        }
    }

    async fn call(
        &self,
        context: &Context,
        owner: ShardId,
        entries: Vec<FetchEntry>,
        min_bytes: u64,
    ) -> Call {
        let fetch = Fetch {
            entries,
            min_bytes,
            deadline_ns: match min_bytes {
                0 => 0,
                _ => self.bounds.deadline_ns,
            },
            max_bytes: self.bounds.max_bytes,
            stamps: self.stamps,
        };
        context.core.has_room(owner).await;
        context.core.call(owner, Request::Fetch(fetch))
    }
}

/// The same question once more.
fn again(entry: &FetchEntry) -> FetchEntry {
    FetchEntry {
        outcome: None,
        ..*entry
    }
}

fn fetch_of(request: Request) -> Fetch {
    match request {
        Request::Fetch(fetch) => fetch,
        _ => unreachable!("a shard hands back what it was given"),
    }
}

async fn all(calls: Vec<Call>) -> Result<Vec<Fetch>, Ended> {
    let mut fetches = Vec::with_capacity(calls.len());
    for call in calls {
        fetches.push(fetch_of(call.await.map_err(stopped)?));
    }
    Ok(fetches)
}

/// Waits until one of the calls has ended. That one's answer is not used: by the time that all
/// are asked again there may be more.
async fn first(calls: &mut [Call]) -> Result<(), Ended> {
    let ended = poll_fn(|context| {
        for call in &mut *calls {
            if let Poll::Ready(ended) = Pin::new(call).poll(context) {
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    });
    ended.await.map(drop).map_err(stopped)
}

fn bytes_of(fetch: &Fetch) -> u64 {
    let outcomes = fetch
        .entries
        .iter()
        .filter_map(|entry| entry.outcome.as_ref());
    let fetched = outcomes.filter_map(|outcome| outcome.as_ref().ok());
    fetched.map(|fetched| fetched.records_bytes).sum()
}

/// Errors and divergence are answered at once.
fn is_urgent(fetch: &Fetch) -> bool {
    fetch.entries.iter().any(|entry| match &entry.outcome {
        Some(Ok(fetched)) => fetched.diverging.is_some(),
        Some(Err(_)) => true,
        None => false,
    })
}
