use sillon_shard::Entropy;

use crate::NodeError;

/// The operating system's randomness, for the ids and incarnations of a start.
pub(crate) fn of_the_system() -> Result<Entropy, NodeError> {
    draw().map_err(|error| NodeError::Entropy(error.to_string()))?;
    Ok(Box::new(|| {
        draw().expect("the system gave random numbers before")
    }))
}

fn draw() -> Result<u128, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(u128::from_le_bytes(bytes))
}
