"""One file for each client: `round_trip(broker, topic, codec, count)` writes, reads and compares."""
