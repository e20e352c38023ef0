//! Curves over a logarithmic axis, two columns of panels, each from zero on a scale of its own.

use super::Canvas;
use crate::report::number;

pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) note: &'static str,
    /// A limit is drawn so much above the least value so far.
    pub(crate) rise_max: f64,
    pub(crate) panels: Vec<Panel>,
}

pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) unit: String,
    /// What the axis to the right counts.
    pub(crate) x: &'static str,
    /// Rising in x.
    pub(crate) points: Vec<(f64, f64)>,
}

const MARGIN: f64 = 24.0;
const COLUMN: f64 = 540.0;
const HEIGHT: f64 = 250.0;
const HEAD: f64 = 64.0;
const FOOT: f64 = 44.0;
const TOP: f64 = 84.0;

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let mut canvas = Canvas::new(3.0 * MARGIN + 2.0 * COLUMN);
        canvas.text(MARGIN, 38.0, "title", self.title);
        canvas.text(MARGIN, 60.0, "faint", self.note);
        for (at, panel) in self.panels.iter().enumerate() {
            let x = MARGIN + (at % 2) as f64 * (COLUMN + MARGIN);
            panel.draw(&mut canvas, x, TOP + (at / 2) as f64 * HEIGHT, self.rise_max);
        }
        canvas.height = TOP + self.panels.len().div_ceil(2) as f64 * HEIGHT;
        canvas.svg()
    }
}

impl Panel {
    fn draw(&self, canvas: &mut Canvas, x: f64, y: f64, rise_max: f64) {
        canvas.text(x, y + 16.0, "head", &self.title);
        canvas.text(x, y + 34.0, "faint", &self.unit);
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else { return };
        let (inset, bottom) = (32.0, y + HEIGHT - FOOT);
        let top = self.points.iter().map(|point| point.1).fold(f64::MIN_POSITIVE, f64::max);
        let span = (last.0 / first.0).ln().max(f64::MIN_POSITIVE);
        let across = |value: f64| x + inset + (value / first.0).ln() / span * (COLUMN - 2.0 * inset);
        let up = |value: f64| bottom - value.clamp(0.0, top) / top * (HEIGHT - HEAD - FOOT);
        canvas.line((x, bottom), (x + COLUMN, bottom), "");
        let mut least = f64::INFINITY;
        for pair in self.points.windows(2) {
            let [from, to] = [pair[0], pair[1]];
            least = least.min(from.1);
            let limit = least * (1.0 + rise_max);
            if limit <= top {
                canvas.line((across(from.0), up(limit)), (across(to.0), up(limit)), "limit");
            }
            canvas.line((across(from.0), up(from.1)), (across(to.0), up(to.1)), "curve");
        }
        for &(size, value) in &self.points {
            canvas.circle(across(size), up(value), "ours");
            canvas.text(across(size), up(value) - 9.0, "middle", &number(value));
            canvas.text(across(size), bottom + 18.0, "middle faint", &count(size));
        }
        canvas.text(x + COLUMN, bottom + 34.0, "end faint", self.x);
    }
}

/// Few letters: 1k, 64k, 1M.
fn count(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{:.0}M", value / 1e6),
        _ if value >= 1e3 => format!("{:.0}k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}
