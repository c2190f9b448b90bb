//! The page around charts and tables: one file, nothing from anywhere else, no script.

use std::fmt::Write;

use super::svg::escape;

const STYLE: &str = include_str!("style.css");

/// A whole HTML document.
pub fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         </body>\n</html>\n",
        escape(title)
    )
}

/// The heading of a page, and what was measured where.
pub fn head(title: &str, lines: &[String]) -> String {
    let mut text = format!("<h1>{}</h1>\n", escape(title));
    for line in lines.iter().filter(|line| !line.is_empty()) {
        let _ = writeln!(text, "<p class=\"quiet\">{}</p>", escape(line));
    }
    text
}

/// How much a statement is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// The figures are to be read with care.
    Warn,
    /// The figures do not count.
    Bad,
}

/// A statement about the figures: its gist, and the rest.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How it is marked.
    pub tone: Tone,
    /// In a few words.
    pub gist: String,
    /// The rest of the sentence.
    pub rest: String,
}

/// A list of statements.
pub fn verdicts(verdicts: &[Verdict]) -> String {
    let mut text = String::from("<ul class=\"verdicts\">\n");
    for verdict in verdicts {
        let class = match verdict.tone {
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
        };
        let (gist, rest) = (escape(&verdict.gist), escape(&verdict.rest));
        let _ = writeln!(
            text,
            "<li class=\"{class}\"><strong>{gist}</strong> {rest}</li>"
        );
    }
    text.push_str("</ul>\n");
    text
}

/// Figures in large: (value, what it is).
pub fn tiles(tiles: &[(String, &str)]) -> String {
    let mut text = String::from("<ul class=\"tiles\">\n");
    for (value, name) in tiles {
        let _ = writeln!(
            text,
            "<li><b>{}</b><span>{}</span></li>",
            escape(value),
            escape(name)
        );
    }
    text.push_str("</ul>\n");
    text
}

/// Charts side by side, where there is room.
pub fn charts(figures: &[String]) -> String {
    format!("<div class=\"charts\">\n{}</div>\n", figures.concat())
}

/// A table of figures: the first column names the row.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::from("<div class=\"scroll\"><table>\n<thead><tr>");
    for heading in headings {
        let _ = write!(text, "<th scope=\"col\">{}</th>", escape(heading));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for cell in row {
            let _ = write!(text, "<td>{}</td>", escape(cell));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table></div>\n");
    text
}

/// Names and values under a heading.
pub fn words(title: &str, rows: &[(String, String)]) -> String {
    let mut text = format!(
        "<section class=\"words\"><h3>{}</h3>\n<table><tbody>\n",
        escape(title)
    );
    for (name, value) in rows {
        let (name, value) = (escape(name), escape(value));
        let _ = writeln!(
            text,
            "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>"
        );
    }
    text.push_str("</tbody></table></section>\n");
    text
}

/// Parts of a document in JSON as names and values, `records.value_bytes` for what lies deeper.
/// What is absent or empty is left out.
pub fn flatten(value: &serde_json::Value) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    add_flat(value, "", &mut rows);
    rows
}

fn add_flat(value: &serde_json::Value, name: &str, rows: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Null => {}
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                add_flat(value, &name, rows);
            }
        }
        serde_json::Value::String(text) if text.is_empty() => {}
        serde_json::Value::String(text) => rows.push((name.to_string(), text.clone())),
        other => rows.push((name.to_string(), other.to_string())),
    }
}
