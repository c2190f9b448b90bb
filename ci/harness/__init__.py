"""What ci/compat, ci/kill9 and ci/dump-log-segments share: brokers, clients, stored bytes."""
