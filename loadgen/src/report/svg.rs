//! What every chart is drawn with.

use std::fmt::Write;

/// Text that is safe between tags and in attributes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

/// The two sizes that every chart is drawn in; the page shows the one that fits. Scaling one
/// drawing instead would make its text unreadable on a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Half of a desktop page.
    Wide,
    /// A phone.
    Narrow,
}

impl Width {
    /// Both.
    pub const ALL: [Width; 2] = [Width::Wide, Width::Narrow];

    /// In CSS pixels.
    pub fn px(self) -> f64 {
        match self {
            Width::Wide => 544.0,
            Width::Narrow => 356.0,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Width::Wide => "wide",
            Width::Narrow => "narrow",
        }
    }
}

/// A drawing: shapes in CSS pixels from its upper left corner.
pub struct Drawing {
    text: String,
}

/// Where a text's place lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At its beginning.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

impl Drawing {
    /// An empty one that says `label` to those who cannot see it.
    pub fn new(width: Width, height: f64, label: &str) -> Drawing {
        let (class, px, label) = (width.class(), width.px(), escape(label));
        Drawing {
            text: format!(
                "<svg class=\"{class}\" viewBox=\"0 0 {px} {height}\" role=\"img\" \
                 aria-label=\"{label}\">"
            ),
        }
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A line through points.
    pub fn path(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        let mut data = String::new();
        for (at, (x, y)) in points.enumerate() {
            let command = if at == 0 { 'M' } else { 'L' };
            let _ = write!(data, "{command}{x:.1} {y:.1}");
        }
        self.add(format_args!("<path class=\"{class}\" d=\"{data}\"/>"));
    }

    /// A dot; `tip` is shown to whoever points at it.
    pub fn dot(&mut self, class: &str, at: (f64, f64), radius: f64, tip: &str) {
        let ((x, y), tip) = (at, escape(tip));
        self.add(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\">\
             <title>{tip}</title></circle>"
        ));
    }

    /// A text.
    pub fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let ((x, y), text) = (at, escape(text));
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.add(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn add(&mut self, shape: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = self.text.write_fmt(shape);
    }

    /// The whole element.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_leave_their_place() {
        let mut drawing = Drawing::new(Width::Narrow, 10.0, "\"><script>");
        drawing.text("t", (0.0, 0.0), Anchor::Start, "a < b & 'c'");
        let text = drawing.finish();
        assert!(
            text.contains("aria-label=\"&quot;&gt;&lt;script&gt;\""),
            "{text}"
        );
        assert!(
            text.contains(">a &lt; b &amp; &#39;c&#39;</text>"),
            "{text}"
        );
    }
}
