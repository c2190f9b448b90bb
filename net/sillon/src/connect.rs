use clap::Args;
use sillon_client::{Client, ClientError, ClientOptions};

/// Which cluster to talk to.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// Brokers to ask first, comma-separated
    #[arg(
        long,
        short = 'b',
        env = "SILLON_BOOTSTRAP",
        value_name = "HOST:PORT",
        default_value = "localhost:9092"
    )]
    bootstrap: String,
}

impl ConnectArgs {
    /// The addresses, comma-separated.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Connects to the first broker that answers.
    pub fn connect(&self) -> Result<Client, ClientError> {
        self.connect_with(ClientOptions::default())
    }

    /// As [`Self::connect`], with options.
    pub fn connect_with(&self, options: ClientOptions) -> Result<Client, ClientError> {
        Client::connect(&self.bootstrap, options)
    }
}
