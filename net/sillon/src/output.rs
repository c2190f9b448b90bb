//! What commands print: tables for people, JSON for scripts.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON for scripts.
    Json,
}

/// A table: columns as wide as their widest cell, numbers to the right.
#[derive(Debug)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(headings: &[&'static str]) -> Table {
        Table {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row of one cell per heading.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.headings.len(), "a cell per heading");
        self.rows.push(cells);
    }

    /// Writes it, one line a row.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let column = |index: usize| self.rows.iter().map(move |row| row[index].as_str());
        let columns = 0..self.headings.len();
        let widths: Vec<usize> = columns
            .clone()
            .map(|index| {
                let cells = column(index).chain([self.headings[index]]);
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let numeric: Vec<bool> = columns
            .map(|index| column(index).all(|cell| cell == "-" || cell.parse::<i64>().is_ok()))
            .collect();
        let headings: Vec<String> = self.headings.iter().map(|text| text.to_string()).collect();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut line = String::new();
            for (index, cell) in row.iter().enumerate() {
                let width = widths[index];
                if numeric[index] {
                    line.push_str(&format!("{cell:>width$}  "));
                } else {
                    line.push_str(&format!("{cell:<width$}  "));
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Prints a value as the format says.
pub fn print(format: Format, json: &impl Serialize, table: Table) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match format {
        Format::Table => table.write(&mut out),
        Format::Json => write_json(&mut out, json),
    }
    .map_err(Failure::Output)
}

/// Writes a value as one line of JSON.
pub fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_text_stands_left() {
        let mut table = Table::new(&["TOPIC", "PARTITIONS", "LEADER"]);
        table.row(vec!["furrow".into(), "12".into(), "-".into()]);
        table.row(vec!["a".into(), "3".into(), "1".into()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        let expected = "TOPIC   PARTITIONS  LEADER\n\
                        furrow          12       -\n\
                        a                3       1\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
