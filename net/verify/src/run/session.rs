use std::time::Duration;

use sillon_client::{Client, ClientError, ClientOptions, ConnectionOptions};
use sillon_record::TopicId;

use super::Context;
use super::tally::count;

/// The pause before something is tried again.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(50);

/// How long an answer may take; a JoinGroup waits for all members.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The topic, by name and id.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub topic: String,
    pub id: TopicId,
}

/// How clients are made here: nothing is tried again behind the history's back.
pub(super) fn options() -> ClientOptions {
    ClientOptions {
        connection: ConnectionOptions {
            client_id: "sillon-verify".to_string(),
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
        },
        retry_for: Duration::ZERO,
        retry_after: RETRY_AFTER,
    }
}

/// A client that is made anew after each error.
pub(super) struct Session<'a> {
    context: &'a Context<'a>,
    client: Option<Client>,
}

impl<'a> Session<'a> {
    pub fn new(context: &'a Context<'a>) -> Session<'a> {
        Session {
            context,
            client: None,
        }
    }

    /// The client; connects when there is none.
    pub fn client(&mut self) -> Result<&mut Client, ClientError> {
        if self.client.is_none() {
            let client = Client::connect(&self.context.options.bootstrap, options())?;
            self.client = Some(client);
        }
        Ok(self.client.as_mut().expect("made when it was missing"))
    }

    /// Drops all connections, as a process that ends does.
    pub fn drop_client(&mut self) {
        if self.client.take().is_some() {
            count(&self.context.tally.reconnects, 1);
        }
    }

    /// Drops all connections after an error, and waits a moment.
    pub fn recover(&mut self) {
        self.drop_client();
        std::thread::sleep(RETRY_AFTER);
    }
}
