//! A properties file, as `sillon serve --config` reads it. That module belongs to the binary; it is
//! taken from there as it is.

#[allow(
    dead_code,
    unused_imports,
    reason = "the binary uses what is not used here"
)]
#[path = "../../../../net/sillon/src/configuration/mod.rs"]
mod broker;

use std::path::Path;

use broker::{BrokerConfig, settings_of};

use crate::target::{Outcome, Target, about, kind, outcome};

pub struct File;

impl Target for File {
    fn name(&self) -> String {
        "configuration".to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let texts = [
            "node.id=1\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n",
            "# a comment\n! another\nlog.dirs = /var/lib/sillon\nnum.partitions : 3\n",
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,\\\n  PLAINTEXT:PLAINTEXT\n",
            "log.retention.hours=168\nlog.retention.ms=-1\nmessage.max.bytes=1048588\n",
            "advertised.listeners=PLAINTEXT://[::1]:9092\ncompression.type=zstd\n",
            "broker.rack=\\u0041\\t\\n\\\\\nauto.create.topics.enable TRUE\n",
            "log.cleaner.min.cleanable.ratio=0.5\nssl.keystore.location=/a\nno.such.key=1\n",
        ];
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        let text = String::from_utf8_lossy(bytes);
        let mut settings = match settings_of(Path::new("fuzz.properties"), &text) {
            Ok(settings) => settings,
            Err(error) => return outcome(kind(&error)),
        };
        let count = about(settings.len());
        // Host names would be looked up.
        settings.retain(|setting| !setting.key.contains("per.ip"));
        match BrokerConfig::with(settings) {
            Ok(config) => outcome((count, config.given.len(), config.listeners.len())),
            Err(error) => outcome(kind(&error)),
        }
    }

    fn memory_max(&self, len: usize) -> usize {
        // A property takes some 150 bytes, and 2 in the file; the tables of keys as well.
        512 * len + (1 << 20)
    }
}
