//! Groups of bars, two columns of them; each group is scaled by its own longest bar.

use super::Canvas;

pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) note: &'static str,
    pub(crate) groups: Vec<Group>,
}

pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) unit: String,
    pub(crate) bars: Vec<Bar>,
}

pub(crate) struct Bar {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    /// Lowest and highest.
    pub(crate) spread: (f64, f64),
    pub(crate) label: String,
    pub(crate) is_ours: bool,
    pub(crate) is_scale: bool,
}

const MARGIN: f64 = 24.0;
const COLUMN: f64 = 560.0;
const NAMES: f64 = 165.0;
const LABELS: f64 = 120.0;
const BAR: f64 = 14.0;
const STEP: f64 = 20.0;
const HEAD: f64 = 44.0;

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let mut canvas = Canvas::new(3.0 * MARGIN + 2.0 * COLUMN);
        canvas.text(MARGIN, 38.0, "title", self.title);
        canvas.text(MARGIN, 60.0, "faint", self.note);
        let half = self.groups.iter().map(Group::height).sum::<f64>() / 2.0;
        let (mut column, mut y, mut bottom) = (0.0, 80.0, 0.0_f64);
        for group in &self.groups {
            if column == 0.0 && y - 80.0 >= half {
                (column, y) = (1.0, 80.0);
            }
            group.draw(&mut canvas, MARGIN + column * (COLUMN + MARGIN), y);
            y += group.height();
            bottom = bottom.max(y);
        }
        canvas.height = bottom + MARGIN / 2.0;
        canvas.svg()
    }
}

impl Group {
    fn height(&self) -> f64 {
        HEAD + STEP * self.bars.len() as f64 + 18.0
    }

    fn draw(&self, canvas: &mut Canvas, x: f64, y: f64) {
        canvas.text(x, y + 16.0, "head", &self.title);
        canvas.text(x, y + 34.0, "faint", &self.unit);
        let longest = self.bars.iter().map(|bar| bar.spread.1).fold(f64::MIN_POSITIVE, f64::max);
        let room = COLUMN - NAMES - LABELS;
        for (at, bar) in self.bars.iter().enumerate() {
            let top = y + HEAD + STEP * at as f64;
            let middle = top + BAR / 2.0;
            let long = |value: f64| (value / longest * room).max(0.0);
            let (class, strong) = match bar {
                Bar { is_ours: true, .. } => ("ours", "strong"),
                Bar { is_scale: true, .. } => ("scale", "faint"),
                _ => ("peer", ""),
            };
            canvas.text(x + NAMES - 8.0, middle + 4.5, &format!("end {strong}"), bar.name);
            canvas.rectangle(x + NAMES, top, long(bar.value).max(1.0), BAR, class);
            let (low, high) = bar.spread;
            if high > low {
                canvas.line((x + NAMES + long(low), middle), (x + NAMES + long(high), middle), "spread");
            }
            canvas.text(x + NAMES + long(bar.value.max(high)) + 8.0, middle + 4.5, strong, &bar.label);
        }
    }
}
