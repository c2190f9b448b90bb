use clap::Args;
use sillon_client::Configured;
use sillon_record::BrokerId;

/// Whose configuration.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct OfArgs {
    /// A topic's
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// A broker's
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
    /// What all brokers have in common
    #[arg(long)]
    broker_defaults: bool,
}

impl OfArgs {
    pub fn configured(&self) -> Configured {
        match (&self.topic, self.broker) {
            (Some(topic), _) => Configured::Topic(topic.clone()),
            (None, Some(broker)) => Configured::Broker(BrokerId(broker)),
            (None, None) => Configured::AllBrokers,
        }
    }
}
