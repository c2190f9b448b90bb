//! Lines over an axis: latency by percentile, figures over time.

use std::fmt::Write;

use super::number;
use super::scale::{Kind, Scale};
use super::svg::{Anchor, Drawing, Width, escape};

/// Lines that can be told apart; more begin again with the first one's colour.
pub const STYLES: usize = 6;

/// Points up to which each gets a spot that tells its value: more would lie on one another.
const TIPS_MAX: usize = 120;

/// A chart of lines.
#[derive(Clone, Debug)]
pub struct LineChart {
    /// What it shows.
    pub title: String,
    /// Quantity and unit of the horizontal axis.
    pub x_label: &'static str,
    /// How it maps.
    pub x_kind: Kind,
    /// Quantity and unit of the vertical axis.
    pub y_label: &'static str,
    /// How it maps.
    pub y_kind: Kind,
    /// The lines; those without points are left out.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Which of [`STYLES`] it has.
    pub style: usize,
    /// (x, y), x rising.
    pub points: Vec<(f64, f64)>,
}

const TOP_PX: f64 = 26.0;
const BOTTOM_PX: f64 = 40.0;
const RIGHT_PX: f64 = 14.0;
/// Of a figure's digit at the axes' size of text.
const DIGIT_PX: f64 = 6.9;

impl LineChart {
    /// As a figure of the page; nothing when there is nothing to show.
    pub fn figure(&self) -> String {
        let lines: Vec<&Line> = self
            .lines
            .iter()
            .filter(|line| !line.points.is_empty())
            .collect();
        if lines.is_empty() {
            return String::new();
        }
        let mut text = format!("<figure><h3>{}</h3>\n", escape(&self.title));
        if lines.len() > 1 {
            text.push_str(&legend(
                lines.iter().map(|line| (line.name.as_str(), line.style)),
            ));
        }
        for width in Width::ALL {
            text.push_str(&self.draw(&lines, width));
        }
        text.push_str("</figure>\n");
        text
    }

    fn draw(&self, lines: &[&Line], width: Width) -> String {
        let points = || lines.iter().flat_map(|line| line.points.iter());
        let (height, x_ticks) = match width {
            Width::Wide => (290.0, 8),
            Width::Narrow => (250.0, 5),
        };
        let x = Scale::around(self.x_kind, points().map(|point| point.0), x_ticks);
        let y = Scale::around(self.y_kind, points().map(|point| point.1), 4);
        let digits = y.ticks().map(|(_, name)| name.chars().count()).max();
        let left_px = 12.0 + DIGIT_PX * digits.unwrap_or(1) as f64;
        let across = |value: f64| left_px + x.place(value) * (width.px() - left_px - RIGHT_PX);
        let down = |value: f64| height - BOTTOM_PX - y.place(value) * (height - BOTTOM_PX - TOP_PX);

        let mut drawing = Drawing::new(width, height, &self.label(lines));
        drawing.text("axis", (0.0, 12.0), Anchor::Start, self.y_label);
        for (value, name) in y.ticks() {
            let at = down(value);
            drawing.line("grid", (left_px, at), (width.px() - RIGHT_PX, at));
            drawing.text("tick", (left_px - 7.0, at + 4.0), Anchor::End, name);
        }
        let bottom = height - BOTTOM_PX;
        drawing.line("base", (left_px, bottom), (width.px() - RIGHT_PX, bottom));
        for (value, name) in x.ticks() {
            let at = across(value);
            drawing.line("base", (at, bottom), (at, bottom + 4.0));
            drawing.text("tick", (at, bottom + 17.0), Anchor::Middle, name);
        }
        let end = (width.px() - RIGHT_PX, height - 6.0);
        drawing.text("axis", end, Anchor::End, self.x_label);
        for line in lines {
            let class = format!("s{}", line.style % STYLES);
            let places = line.points.iter().map(|(x, y)| (across(*x), down(*y)));
            if line.points.len() == 1 {
                let at = places.clone().next().unwrap_or_default();
                drawing.dot(
                    &format!("mark {class}"),
                    at,
                    3.5,
                    &self.tip(line, line.points[0]),
                );
                continue;
            }
            drawing.path(&format!("line {class}"), places.clone());
            if line.points.len() <= TIPS_MAX {
                for (place, point) in places.zip(&line.points) {
                    drawing.dot(&format!("tip {class}"), place, 6.0, &self.tip(line, *point));
                }
            }
        }
        drawing.finish()
    }

    fn tip(&self, line: &Line, (x, y): (f64, f64)) -> String {
        format!(
            "{}: {} {} at {} {}",
            line.name,
            number::figure(y),
            self.y_label,
            if self.x_kind == Kind::Nines {
                x.to_string()
            } else {
                number::figure(x)
            },
            self.x_label,
        )
    }

    /// What the chart says, for those who cannot see it.
    fn label(&self, lines: &[&Line]) -> String {
        let mut text = format!("{}, {} by {}.", self.title, self.y_label, self.x_label);
        for line in lines {
            let values = line.points.iter().map(|point| point.1);
            let low = values.clone().fold(f64::INFINITY, f64::min);
            let high = values.fold(f64::NEG_INFINITY, f64::max);
            let (low, high) = (number::figure(low), number::figure(high));
            let _ = write!(text, " {}: from {low} to {high}.", line.name);
        }
        text
    }
}

/// Names of lines with a sample of each.
pub fn legend<'a>(entries: impl Iterator<Item = (&'a str, usize)>) -> String {
    let mut text = String::from("<ul class=\"legend\">");
    for (name, style) in entries {
        let (style, name) = (style % STYLES, escape(name));
        let _ = write!(
            text,
            "<li><svg viewBox=\"0 0 22 8\" aria-hidden=\"true\"><path class=\"line s{style}\" \
             d=\"M1 4L21 4\"/></svg>{name}</li>"
        );
    }
    text.push_str("</ul>\n");
    text
}
