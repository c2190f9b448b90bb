use crate::config::RATIO_PARTS;

/// Longest value of free text, in bytes: Kafka's longest text on the wire.
pub const VALUE_BYTES_MAX: usize = i16::MAX as usize;

/// Longest value of everything else, in bytes: a list of all that may be in it, twice.
const SHORT_VALUE_BYTES_MAX: usize = 256;

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConfigKind {
    /// `true` or `false`.
    Boolean,
    /// A whole number of 16 bits, from `min` to `max`.
    Short {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A whole number of 32 bits, from `min` to `max`.
    Int {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A whole number of 64 bits, from `min` to `max`.
    Long {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A number from `min` to `max`.
    Double {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A comma-separated list of these.
    ListOf(&'static [&'static str]),
    /// Replicas: `*`, `none` or `partition:broker` pairs, comma-separated.
    Replicas,
    /// Any text.
    Text,
    /// A comma-separated list of anything.
    List,
}

impl ConfigKind {
    /// Kafka's `ConfigType` of DescribeConfigs.
    pub const fn type_number(self) -> i8 {
        match self {
            ConfigKind::Boolean => 1,
            ConfigKind::OneOf(_) | ConfigKind::Text => 2,
            ConfigKind::Int { .. } => 3,
            ConfigKind::Short { .. } => 4,
            ConfigKind::Long { .. } => 5,
            ConfigKind::Double { .. } => 6,
            ConfigKind::ListOf(_) | ConfigKind::Replicas | ConfigKind::List => 7,
        }
    }

    /// Kafka's name of the type.
    pub const fn type_name(self) -> &'static str {
        match self.type_number() {
            1 => "boolean",
            2 => "string",
            3 => "int",
            4 => "short",
            5 => "long",
            6 => "double",
            _ => "list",
        }
    }

    /// Whether values can be appended to it and subtracted from it.
    pub const fn is_list(self) -> bool {
        self.type_number() == 7
    }

    /// What is allowed, for people.
    pub fn range(self) -> String {
        match self {
            ConfigKind::Short { min, max }
            | ConfigKind::Int { min, max }
            | ConfigKind::Long { min, max } => match max {
                i64::MAX => format!("{min} or more"),
                _ => format!("{min} to {max}"),
            },
            ConfigKind::Double { min, max } if max == f64::MAX => format!("{min} or more"),
            ConfigKind::Double { min, max } => format!("{min} to {max}"),
            ConfigKind::Boolean => "true, false".to_owned(),
            ConfigKind::OneOf(choices) | ConfigKind::ListOf(choices) => choices.join(", "),
            ConfigKind::Replicas => "*, none, partition:broker pairs".to_owned(),
            ConfigKind::Text | ConfigKind::List => "any".to_owned(),
        }
    }

    /// Whether it takes a value. The error says what is allowed.
    pub fn check(self, text: &str) -> Result<(), String> {
        self.parse(text).map(drop)
    }

    /// Reads a value as a number: itself, 0 or 1, or the place in a list of choices (for
    /// [`ConfigKind::ListOf`] a bit each), in millionths where it has a fraction; 0 for what is
    /// not a number. The error says what is
    /// allowed.
    pub(crate) fn parse(self, text: &str) -> Result<i64, String> {
        let text = text.trim();
        let bytes_max = self.bytes_max();
        if text.len() > bytes_max {
            return Err(format!(
                "{} bytes are given, {bytes_max} are allowed",
                text.len()
            ));
        }
        match self {
            ConfigKind::Short { min, max }
            | ConfigKind::Int { min, max }
            | ConfigKind::Long { min, max } => match text.parse() {
                Ok(number) if (min..=max).contains(&number) => Ok(number),
                _ => Err(format!("a whole number from {min} to {max} is needed")),
            },
            ConfigKind::Boolean if text.eq_ignore_ascii_case("true") => Ok(1),
            ConfigKind::Boolean if text.eq_ignore_ascii_case("false") => Ok(0),
            ConfigKind::Boolean => Err("true or false is needed".to_owned()),
            ConfigKind::OneOf(choices) => place_of(choices, text),
            ConfigKind::ListOf(choices) => {
                let with = |bits, part| Ok(bits | 1 << place_of(choices, part)?);
                parts(text).try_fold(0, with)
            }
            ConfigKind::Double { min, max } => match text.parse::<f64>() {
                Ok(number) if (min..=max).contains(&number) => {
                    Ok((number * RATIO_PARTS).round() as i64)
                }
                _ if max == f64::MAX => Err(format!("a number from {min} on is needed")),
                _ => Err(format!("a number from {min} to {max} is needed")),
            },
            ConfigKind::Replicas => match text {
                "" | "*" | "none" => Ok(0),
                pairs if pairs.split(',').all(is_replica) => Ok(0),
                _ => Err("*, none or a list of partition:broker is needed".to_owned()),
            },
            ConfigKind::Text | ConfigKind::List => Ok(0),
        }
    }

    const fn bytes_max(self) -> usize {
        match self {
            ConfigKind::Replicas | ConfigKind::Text | ConfigKind::List => VALUE_BYTES_MAX,
            _ => SHORT_VALUE_BYTES_MAX,
        }
    }

    /// Writes a value as [`Self::parse`] reads it.
    pub(crate) fn render(self, value: i64) -> String {
        match self {
            ConfigKind::Boolean => (value == 1).to_string(),
            ConfigKind::OneOf(choices) => choices[value as usize].to_owned(),
            ConfigKind::ListOf(choices) => {
                let chosen = choices.iter().enumerate();
                let chosen: Vec<&str> = chosen
                    .filter(|(place, _)| value & (1 << place) != 0)
                    .map(|(_, name)| *name)
                    .collect();
                chosen.join(",")
            }
            ConfigKind::Double { .. } => (value as f64 / RATIO_PARTS).to_string(),
            _ => value.to_string(),
        }
    }
}

/// The elements of a list.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

fn place_of(choices: &[&str], text: &str) -> Result<i64, String> {
    match choices.iter().position(|choice| *choice == text) {
        Some(place) => Ok(place as i64),
        None => Err(format!("one of {} is needed", choices.join(", "))),
    }
}

fn is_replica(pair: &str) -> bool {
    let is_number = |text: &str| text.trim().parse::<u32>().is_ok();
    let parts = pair.split_once(':');
    parts.is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}
