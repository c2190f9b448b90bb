//! The payment service: publishes `payment_success` to the topic `paiement`, one event a payment,
//! keyed by its customer, so that the payments of one customer stay in order.
//!
//! `payment-service BOOTSTRAP COUNT PER_SECOND`

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

const TOPIC: &str = "paiement";
const CUSTOMERS: usize = 40;

/// How long an event may take to be acknowledged before it counts as not published.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: payment-service BOOTSTRAP COUNT PER_SECOND";
    let bootstrap = arguments.next().ok_or(usage)?;
    let count: usize = arguments.next().ok_or(usage)?.parse()?;
    let per_second: u32 = arguments.next().ok_or(usage)?.parse()?;

    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("client.id", "payment-service")
        .set("enable.idempotence", "true")
        .create()?;
    let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
    for number in 0..count {
        pace.tick().await;
        let customer = format!("customer-{:02}", number % CUSTOMERS);
        let amount_cents = 100 + (number * 37) % 9_900;
        let event = format!(
            "{{\"type\":\"payment_success\",\"payment\":{number},\"customer\":\"{customer}\",\
             \"amount_cents\":{amount_cents}}}"
        );
        let record = FutureRecord::to(TOPIC).key(&customer).payload(&event);
        let delivered = producer.send(record, PATIENCE).await;
        let delivered = delivered.map_err(|(error, _)| error)?;
        println!(
            "payment {number} of {customer} is at offset {} of partition {}",
            delivered.offset, delivered.partition
        );
    }
    println!("all {count} payments are published and acknowledged");
    Ok(())
}
