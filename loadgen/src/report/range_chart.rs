//! Values with their spread, a row each: ratios, and figures of several brokers beside a limit.

use std::fmt::Write;

use super::line_chart::STYLES;
use super::number;
use super::scale::{Kind, Scale};
use super::svg::{Anchor, Drawing, Width, escape};

/// A chart of ranges on one logarithmic axis.
#[derive(Clone, Debug)]
pub struct RangeChart {
    /// What it shows.
    pub title: String,
    /// Quantity and unit.
    pub x_label: String,
    /// Which way is better, in words.
    pub better: &'static str,
    /// A value that everything is held against, and what it means.
    pub reference: Option<(f64, &'static str)>,
    /// What stands behind a value's number: `×`, or nothing.
    pub suffix: &'static str,
    /// Names and styles of what the rows hold.
    pub legend: Vec<(String, usize)>,
    /// From the top.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it holds, one below the other.
    pub ranges: Vec<Range>,
    /// Where the same would stand if nothing differed: the spread of a control.
    pub control: Option<(f64, f64)>,
    /// A limit that nothing is expected beyond.
    pub limit: Option<f64>,
}

/// One value with its spread.
#[derive(Clone, Debug)]
pub struct Range {
    /// Which of the legend's entries it is.
    pub style: usize,
    /// Its name, for those who point at it.
    pub name: String,
    /// Lowest, median and highest.
    pub values: [f64; 3],
}

const TOP_PX: f64 = 22.0;
const BOTTOM_PX: f64 = 40.0;
/// Height of a range, and what a row has beside its ranges.
const RANGE_PX: f64 = 17.0;
const ROW_PX: f64 = 13.0;
/// A name above its row, where there is no room beside it.
const NAME_PX: f64 = 17.0;
/// Of the numbers at the right.
const NUMBER_PX: f64 = 62.0;
const NAMES_PX: f64 = 196.0;
/// Of a digit at the axes' size of text.
const DIGIT_PX: f64 = 7.2;

impl RangeChart {
    /// As a figure of the page; nothing when there is nothing to show.
    pub fn figure(&self) -> String {
        if self.rows.iter().all(|row| row.ranges.is_empty()) {
            return String::new();
        }
        let mut text = format!("<figure><h3>{}</h3>\n", escape(&self.title));
        text.push_str(&self.legend());
        for width in Width::ALL {
            text.push_str(&self.draw(width));
        }
        text.push_str("</figure>\n");
        text
    }

    fn legend(&self) -> String {
        let mut text = String::from("<ul class=\"legend\">");
        let mut entry = |shape: &str, name: &str| {
            let _ = write!(
                text,
                "<li><svg viewBox=\"0 0 22 10\" aria-hidden=\"true\">{shape}</svg>{}</li>",
                escape(name)
            );
        };
        for (name, style) in &self.legend {
            let style = style % STYLES;
            let shape = format!(
                "<path class=\"span s{style}\" d=\"M1 5L21 5\"/>\
                 <circle class=\"mark s{style}\" cx=\"11\" cy=\"5\" r=\"4\"/>"
            );
            entry(&shape, name);
        }
        if self.rows.iter().any(|row| row.control.is_some()) {
            entry(
                "<path class=\"control\" d=\"M1 5L21 5\"/>",
                "same broker twice",
            );
        }
        if self.rows.iter().any(|row| row.limit.is_some()) {
            entry(
                "<path class=\"limit\" d=\"M11 0L11 10\"/>",
                "physical limit",
            );
        }
        text.push_str("</ul>\n");
        text
    }

    fn scale(&self) -> Scale {
        let reference = self.reference.map(|(value, _)| value);
        let rows = self.rows.iter().flat_map(|row| {
            let ranges = row.ranges.iter().flat_map(|range| range.values);
            let control = row.control.into_iter().flat_map(|(low, high)| [low, high]);
            ranges.chain(control).chain(row.limit)
        });
        Scale::around(Kind::Log, rows.chain(reference), 0)
    }

    fn draw(&self, width: Width) -> String {
        let (left_px, name_px) = match width {
            Width::Wide => (NAMES_PX, 0.0),
            Width::Narrow => (14.0, NAME_PX),
        };
        let right_px = width.px() - NUMBER_PX;
        let height_of = |row: &Row| name_px + ROW_PX + RANGE_PX * row.ranges.len() as f64;
        let height = TOP_PX + self.rows.iter().map(height_of).sum::<f64>() + BOTTOM_PX;
        let scale = self.scale();
        let across = |value: f64| left_px + scale.place(value) * (right_px - left_px);

        let mut drawing = Drawing::new(width, height, &self.label());
        let bottom = height - BOTTOM_PX;
        let mut free_from = f64::NEG_INFINITY;
        for (value, name) in scale.ticks() {
            let at = across(value);
            drawing.line("grid", (at, TOP_PX), (at, bottom));
            // Names stay within the drawing, and those that would touch the last are left out.
            let half = DIGIT_PX / 2.0 * name.chars().count() as f64;
            let middle = at.max(half);
            if middle - half > free_from {
                drawing.text("tick", (middle, bottom + 16.0), Anchor::Middle, name);
                free_from = middle + half + 4.0;
            }
        }
        drawing.line("base", (left_px, bottom), (right_px, bottom));
        drawing.text("axis", (right_px, height - 6.0), Anchor::End, &self.x_label);
        drawing.text("axis", (left_px, height - 6.0), Anchor::Start, self.better);
        if let Some((value, meaning)) = self.reference {
            let at = across(value);
            drawing.line("reference", (at, TOP_PX), (at, bottom));
            let anchor = if at < left_px + 30.0 {
                Anchor::Start
            } else {
                Anchor::Middle
            };
            drawing.text("axis", (at, 13.0), anchor, meaning);
        }
        let mut top = TOP_PX;
        for row in &self.rows {
            self.draw_row(&mut drawing, row, top, width, &across);
            top += height_of(row);
        }
        drawing.finish()
    }

    fn draw_row(
        &self,
        drawing: &mut Drawing,
        row: &Row,
        top: f64,
        width: Width,
        across: &dyn Fn(f64) -> f64,
    ) {
        let ranges_px = RANGE_PX * row.ranges.len() as f64;
        let (first, middle) = match width {
            Width::Wide => {
                let middle = top + (ROW_PX + ranges_px) / 2.0;
                let at = (NAMES_PX - 12.0, middle + 4.0);
                drawing.text("name", at, Anchor::End, &row.name);
                (top + ROW_PX / 2.0, middle)
            }
            Width::Narrow => {
                drawing.text("name", (2.0, top + NAME_PX), Anchor::Start, &row.name);
                let first = top + NAME_PX + ROW_PX / 2.0;
                (first, first + ranges_px / 2.0)
            }
        };
        if let Some((low, high)) = row.control {
            drawing.line("control", (across(low), middle), (across(high), middle));
        }
        if let Some(limit) = row.limit {
            let at = across(limit);
            drawing.line("limit", (at, first), (at, first + ranges_px));
        }
        for (at, range) in row.ranges.iter().enumerate() {
            let y = first + RANGE_PX * (at as f64 + 0.5);
            let [low, median, high] = range.values;
            let style = range.style % STYLES;
            drawing.line(
                &format!("span s{style}"),
                (across(low), y),
                (across(high), y),
            );
            let [low, number, high] = range.values.map(|value| self.number(value));
            let tip = format!("{}, {}: {number} ({low} to {high})", row.name, range.name);
            drawing.dot(&format!("mark s{style}"), (across(median), y), 4.0, &tip);
            drawing.text("number", (width.px() - 2.0, y + 4.0), Anchor::End, &number);
        }
    }

    fn number(&self, value: f64) -> String {
        if self.suffix.is_empty() {
            number::figure(value)
        } else {
            number::ratio(value) + self.suffix
        }
    }

    /// What the chart says, for those who cannot see it.
    fn label(&self) -> String {
        let mut text = format!("{}, {}.", self.title, self.x_label);
        for row in &self.rows {
            for range in &row.ranges {
                let median = self.number(range.values[1]);
                let _ = write!(text, " {}, {}: {median}.", row.name, range.name);
            }
        }
        text
    }
}
