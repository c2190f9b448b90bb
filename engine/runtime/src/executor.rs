//! The loop of one executor: takes what has come (mails, completed disk operations, time), gives
//! it to the shard, does what the shard wants, and sleeps when there is nothing.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::{Context, Poll};

use sillon_shard::{Action, DiskResult, Event, OpId};

use crate::core::Core;
use crate::heartbeat::{BEAT, Heartbeat};
use crate::local::Local;
use crate::mail::{Mail, Order, Report, Step};
use crate::turn::reactor_turn;
use crate::{NodeError, ServiceFuture, Stopping};

/// What runs on every executor next to its shard.
pub(crate) type Service = Box<dyn Fn(Core) -> ServiceFuture + Send>;

/// Mails that are worked off before the executor looks at its I/O again: at some us each, well
/// below a millisecond.
const MAILS_PER_TURN: usize = 128;

/// An executor that has had nothing to do for so long beats slowly. More than the second for
/// which records may stay unflushed where the topic allows that.
const IDLE_AFTER_NS: u64 = 2_000_000_000;

/// What has come, in vectors that are used again and again.
#[derive(Default)]
struct Work {
    mails: Vec<Mail>,
    completions: Vec<(OpId, DiskResult)>,
    actions: Vec<Action>,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.mails.is_empty() && self.completions.is_empty()
    }
}

/// Runs an executor until it is ordered to end.
pub(crate) async fn run(local: Rc<Local>, service: Service) {
    let mut heartbeat = Heartbeat::new();
    let mut work = Work::default();
    let mut ticked_ns = 0;
    let mut busy_ns = 0;
    let mut mails_since_turn = 0;
    local.done(Step::DiskReady);
    loop {
        poll_fn(|context| poll_work(&local, &mut heartbeat, &mut work, context)).await;
        let now_ns = local.now().mono_ns;
        mails_since_turn += work.mails.len();
        if !work.is_empty() || local.open_requests.get() > 0 {
            busy_ns = now_ns;
        }
        heartbeat.idle(now_ns.saturating_sub(busy_ns) >= IDLE_AFTER_NS);
        if work_off(&local, &service, &mut work).is_break() {
            break;
        }
        if now_ns.saturating_sub(ticked_ns) >= BEAT.as_nanos() as u64 / 2 {
            ticked_ns = now_ns;
            local.to_shard(Event::Tick, &mut work.actions);
            local.perform(&mut work.actions);
        }
        local.resend();
        if mails_since_turn >= MAILS_PER_TURN {
            mails_since_turn = 0;
            reactor_turn().await;
        }
    }
    local.end();
    // The kernel must not write into the memory of an executor that is gone.
    local.disk.idle().await;
}

/// Collects what there is. Pending when that is nothing; then whatever comes wakes the loop.
fn poll_work(
    local: &Local,
    heartbeat: &mut Heartbeat,
    work: &mut Work,
    context: &mut Context<'_>,
) -> Poll<()> {
    let mailbox = &local.node.mailboxes[usize::from(local.id.0)];
    let mut is_ready = heartbeat.poll_beat(context).is_ready();
    is_ready |= local
        .disk
        .poll_completions(&mut work.completions, context)
        .is_ready();
    is_ready |= local
        .poll_inbox(MAILS_PER_TURN / 2, &mut work.mails, context)
        .is_ready();
    if is_ready {
        mailbox.awake();
    } else if mailbox.poll_any(context).is_pending() {
        return Poll::Pending;
    }
    while work.mails.len() < MAILS_PER_TURN
        && let Some(mail) = mailbox.take()
    {
        work.mails.push(mail);
    }
    Poll::Ready(())
}

/// Mails come before completions: what they append goes with the next journal round, which the
/// completion of the current one starts.
fn work_off(local: &Rc<Local>, service: &Service, work: &mut Work) -> ControlFlow<()> {
    for mail in work.mails.drain(..) {
        match mail {
            Mail::Order(Order::Exit) => return ControlFlow::Break(()),
            Mail::Order(Order::Serve) => serve(local, service),
            mail => local.receive(mail, &mut work.actions),
        }
    }
    for (op, result) in work.completions.drain(..) {
        local.completed(op, result, &mut work.actions);
    }
    local.perform(&mut work.actions);
    ControlFlow::Continue(())
}

fn serve(local: &Rc<Local>, service: &Service) {
    let serving = service(Core::new(local.clone()));
    let local = local.clone();
    let serving = async move {
        if let Err(source) = serving.await {
            let shard = local.id.0;
            let error = NodeError::Service { shard, source };
            local.report(Report::Failed(error));
        }
        local.done(Step::Drained);
    };
    glommio::spawn_local(serving).detach();
}

impl Local {
    /// Nobody is answered any more.
    fn end(&self) {
        self.is_shard_gone.set(true);
        self.calls.borrow_mut().answer_all(|| Err(Stopping));
        self.controls.borrow_mut().answer_all(|| Err(Stopping));
        self.node.mailboxes[usize::from(self.id.0)].abandon();
    }
}
