//! A fetch's part in a session (KIP-227).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use sillon_buffer::Slice;
use sillon_protocol::fetch::FetchRequest;
use sillon_protocol::{ErrorCode, TopicKey};

use super::{Read, Topic};
use crate::context::Context;
use crate::fetch_sessions::{NEW_SESSION, NO_SESSION, Session};
use crate::route::{find_topic, own_key};

/// First version that names topics by their ids (KIP-516).
const FIRST_VERSION_BY_ID: i16 = 13;

/// Whether a fetch belongs to a session.
pub(super) enum InSession {
    /// It stands alone.
    None,
    /// It opens this one.
    New(Session),
    /// It goes on with this one.
    Known {
        id: i32,
        session: Rc<RefCell<Session>>,
    },
}

impl InSession {
    /// Takes in what a request says of its session.
    pub(super) fn take_up(
        context: &Context,
        request: &FetchRequest<Slice>,
        version: i16,
    ) -> Result<InSession, ErrorCode> {
        let (id, epoch) = (request.head.session_id, request.head.session_epoch);
        let mut sessions = context.sessions.borrow_mut();
        if epoch == NO_SESSION || epoch == NEW_SESSION {
            // A whole fetch ends the session that it names.
            sessions.remove(id);
        }
        match epoch {
            NO_SESSION => Ok(InSession::None),
            // Nothing is kept while the fetch waits of what could not be kept behind it.
            NEW_SESSION if !sessions.could_hold(request.partitions.len()) => Ok(InSession::None),
            NEW_SESSION => {
                let mut session = Session::default();
                ask(context, request, &mut session);
                Ok(InSession::New(session))
            }
            _ => {
                let by_id = version >= FIRST_VERSION_BY_ID;
                let session = sessions.resume(id, epoch, by_id, now_ms(context))?;
                let before = session.borrow().len();
                forget(context, request, &mut session.borrow_mut());
                ask(context, request, &mut session.borrow_mut());
                let after = session.borrow().len();
                if after == 0 {
                    sessions.remove(id);
                    return Ok(InSession::None);
                }
                if after > before {
                    sessions.has_grown(id)?;
                }
                Ok(InSession::Known { id, session })
            }
        }
    }

    /// Notes the answer, and leaves of it what the client must be told. The session's id; 0: there
    /// is none.
    pub(super) fn answered(
        self,
        context: &Context,
        topics: &[Topic],
        read: &mut [Vec<Read>],
    ) -> i32 {
        match self {
            InSession::None => 0,
            InSession::New(mut session) => {
                for (topic, read) in topics.iter().zip(read) {
                    for (answer, _) in read {
                        session.note(&topic.key, answer);
                    }
                }
                let mut sessions = context.sessions.borrow_mut();
                sessions.open(session, now_ms(context), draw)
            }
            InSession::Known { id, session } => {
                let mut session = session.borrow_mut();
                for (topic, read) in topics.iter().zip(read) {
                    read.retain(|(answer, _)| session.note(&topic.key, answer));
                }
                id
            }
        }
    }
}

fn now_ms(context: &Context) -> u64 {
    context.now_ns() / 1_000_000
}

/// Ids are random so that a client that errs does not meet another one's session.
fn draw() -> i32 {
    let mut id = [0; 4];
    getrandom::fill(&mut id).expect("the kernel gives random bytes");
    i32::from_ne_bytes(id)
}

fn ask(context: &Context, request: &FetchRequest<Slice>, session: &mut Session) {
    for topic in &request.topics {
        let key = key(context, &topic.key);
        for partition in request.partitions_of(topic) {
            session.ask(key.clone(), *partition);
        }
    }
}

fn forget(context: &Context, request: &FetchRequest<Slice>, session: &mut Session) {
    for topic in &request.forgotten_topics {
        let key = key(context, &topic.key);
        for index in &request.forgotten_partitions[topic.partitions.clone()] {
            session.forget(key.clone(), *index);
        }
    }
}

fn key<T: AsRef<str>>(context: &Context, key: &TopicKey<T>) -> TopicKey<Arc<str>> {
    let core = &context.core;
    core.with_image(|image| own_key(key, find_topic(image, key).ok()))
}
