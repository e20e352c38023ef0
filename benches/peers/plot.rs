//! SVG by hand: bars for the table, lines for growth. Readable on light and dark ground, as the reader's browser is set.

pub(crate) mod bars;
pub(crate) mod lines;

/// A drawing that grows downwards.
struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

/// Colours are classes, so that one place says what they are on either ground.
const STYLE: &str = "\
svg{--ground:#ffffff;--ink:#1f2328;--faint:#59636e;--rule:#d1d9e0;--ours:#0969da;--peer:#9aa4af;--scale:#c9b27c;--fault:#cf222e}\
@media(prefers-color-scheme:dark){svg{--ground:#0d1117;--ink:#e6edf3;--faint:#9198a1;--rule:#3d444d;--ours:#4493f8;--peer:#656c76;--scale:#8a7440;--fault:#f85149}}\
.ground{fill:var(--ground)}text{font:13px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:var(--ink)}\
.title{font-size:20px;font-weight:600}.head{font-weight:600}.faint{fill:var(--faint)}.end{text-anchor:end}.middle{text-anchor:middle}\
.ours{fill:var(--ours)}.peer{fill:var(--peer)}.scale{fill:var(--scale)}.strong{font-weight:600}\
line{stroke:var(--rule)}.spread{stroke:var(--ink);stroke-width:1.5}.curve{stroke:var(--ours);stroke-width:2}\
.limit{stroke:var(--fault);stroke-dasharray:4 4}";

impl Canvas {
    fn new(width: f64) -> Self {
        Self { width, height: 0.0, body: String::new() }
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.body += &format!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{text}</text>\n");
    }

    fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        self.body += &format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\" class=\"{class}\"/>\n"
        );
    }

    fn circle(&mut self, x: f64, y: f64, class: &str) {
        self.body += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" class=\"{class}\"/>\n");
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.body +=
            &format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>\n");
    }

    fn svg(self) -> String {
        let Self { width, height, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\">\n<style>{STYLE}</style>\n\
             <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n"
        )
    }
}
