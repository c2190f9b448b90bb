use sillon_protocol::Api;
use sillon_protocol::message::{FindCoordinatorRequest, StrBytes};
use sillon_record::BrokerId;

use super::refused;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{ClientError, Malformed};
use crate::metadata::{Broker, address, code};

/// First version that asks for several groups at once.
const FIRST_VERSION_WITH_KEYS: i16 = 4;

impl Client {
    /// Who coordinates a group, as last told or asked now. A group need not exist for that.
    pub fn coordinator(&mut self, group: &str) -> Result<Broker, ClientError> {
        if let Some(known) = self.known_coordinator(group) {
            return Ok(known.clone());
        }
        let found = self.with_any(|connection| find(connection, group))?;
        self.remember_coordinator(group, found.clone());
        Ok(found)
    }

    /// Uses a connection to a group's coordinator. Tries again until the time is up while there is
    /// none, or while it is loading.
    pub(super) fn with_coordinator<R>(
        &mut self,
        group: &str,
        mut work: impl FnMut(&mut Connection) -> Result<R, ClientError>,
    ) -> Result<R, ClientError> {
        self.retrying(|client| {
            let coordinator = client.coordinator(group)?;
            let result = client.with(coordinator.id, &mut work);
            if result.as_ref().is_err_and(ClientError::is_retriable) {
                client.forget_coordinator(group);
            }
            result
        })
    }
}

fn find(connection: &mut Connection, group: &str) -> Result<Broker, ClientError> {
    let has_keys = connection.version(Api::FindCoordinator)? >= FIRST_VERSION_WITH_KEYS;
    let mut request = FindCoordinatorRequest::default();
    if has_keys {
        request.coordinator_keys = vec![StrBytes::from(group)];
    } else {
        request.key = StrBytes::from(group);
    }
    let answer = connection.call(&request)?;
    let what = format!("find the coordinator of group {group}");
    let (error, message, id, host, port) = if has_keys {
        let Some(found) = answer.coordinators.first() else {
            let silent = Malformed::Silent(format!("group {group}"));
            return Err(connection.malformed(Api::FindCoordinator, silent));
        };
        let message = found.error_message.as_deref();
        (
            found.error_code,
            message,
            found.node_id,
            &found.host,
            found.port,
        )
    } else {
        let message = answer.error_message.as_deref();
        (
            answer.error_code,
            message,
            answer.node_id,
            &answer.host,
            answer.port,
        )
    };
    if error != 0 {
        let message = message.filter(|message| !message.is_empty());
        return Err(refused(&what, group, code(error), message));
    }
    Ok(Broker {
        id: BrokerId(id),
        address: address(host, port),
        rack: None,
    })
}
