use sillon_shard::{Action, Boot, BootError, DiskResult, Now, OpId, Opened};

use crate::control::Control;

/// What executor 0 does besides its shard.
#[derive(Default)]
pub(crate) enum Home {
    /// Nothing; always so on the others.
    #[default]
    Idle,
    /// Finds out what is in the data folder.
    Booting(Box<Boot>),
    /// Runs the controller and its metadata log.
    Controlling(Box<Control>),
}

impl Home {
    pub(crate) fn is_booting(&self) -> bool {
        matches!(self, Home::Booting(_))
    }

    /// Gives a completion to the boot. The outcome ends it.
    pub(crate) fn boot(
        &mut self,
        now: Now,
        op: OpId,
        result: DiskResult,
        actions: &mut Vec<Action>,
    ) -> Option<Result<Opened, BootError>> {
        let Home::Booting(boot) = self else {
            return None;
        };
        let outcome = boot.handle(now, op, result, actions)?;
        *self = Home::Idle;
        Some(outcome)
    }
}
