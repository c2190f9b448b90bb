"""The command bench/compare: Sillon beside Apache Kafka, or any broker that speaks its protocol."""
