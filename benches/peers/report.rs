//! The table: medians, spread and ratios of what was measured, as Markdown, and its first figures as a plot.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    plot::bars::{Bar, Chart, Group},
    row::{Figure, Row},
    server::Peer,
};

/// What one measurement came to; `None` where the peer does not offer the transport.
pub(crate) type Outcome = anyhow::Result<Option<Vec<Figure>>>;

pub(crate) struct Report {
    peers: Vec<(Peer, String)>,
    outcomes: BTreeMap<(&'static str, Peer), Vec<Outcome>>,
}

/// One line for the person who waits.
pub(crate) fn brief(outcome: &Outcome) -> String {
    match outcome {
        Err(error) => format!("FAILED: {error:#}"),
        Ok(None) => "not offered".to_owned(),
        Ok(Some(figures)) => {
            let texts: Vec<_> =
                figures.iter().map(|figure| format!("{} {}", number(figure.value), figure.what)).collect();
            texts.join(", ")
        }
    }
}

impl Report {
    pub(crate) fn new(peers: &[(Peer, String)]) -> Self {
        Self { peers: peers.to_vec(), outcomes: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, row: &Row, peer: Peer, outcome: Outcome) {
        self.outcomes.entry((row.name, peer)).or_default().push(outcome);
    }

    /// Whether every measurement of `peer` came to a figure.
    pub(crate) fn is_clean(&self, peer: Peer) -> bool {
        self.outcomes.iter().filter(|((_, of), _)| *of == peer).all(|(_, outcomes)| outcomes.iter().all(Result::is_ok))
    }

    pub(crate) fn markdown(&self, rows: &[Row], rounds: u32) -> String {
        let mut text = format!(
            "- Rounds: {rounds}, in alternating order. A cell is the median (lowest to highest), and after it how many times Tidegate's.\n\
             - Server µs is the user and system time of all processes of that server; one load generator runs beside it.\n\n"
        );
        self.write_table(&mut text, rows);
        self.write_failures(&mut text, rows);
        text
    }

    fn write_table(&self, text: &mut String, rows: &[Row]) {
        let names: Vec<_> = self.peers.iter().map(|(peer, _)| peer.name()).collect();
        let _ = writeln!(text, "| work | measured | {} |", names.join(" | "));
        let _ = writeln!(text, "|---|---|{}", "---|".repeat(names.len()));
        for row in rows {
            for (index, what) in self.measured(row).into_iter().enumerate() {
                let title = if index == 0 { row.title } else { "" };
                let cells: Vec<_> = self.peers.iter().map(|(peer, _)| self.cell(row, *peer, what)).collect();
                let _ = writeln!(text, "| {title} | {what} | {} |", cells.join(" | "));
            }
        }
    }

    /// The names of the row's figures, in their order.
    fn measured(&self, row: &Row) -> Vec<&'static str> {
        let outcomes = self.peers.iter().flat_map(|(peer, _)| self.of(row, *peer));
        outcomes
            .filter_map(|outcome| outcome.as_ref().ok()?.as_ref())
            .map(|figures| figures.iter().map(|f| f.what).collect())
            .next()
            .unwrap_or_else(|| vec!["–"])
    }

    fn of(&self, row: &Row, peer: Peer) -> &[Outcome] {
        self.outcomes.get(&(row.name, peer)).map_or(&[], Vec::as_slice)
    }

    fn values(&self, row: &Row, peer: Peer, what: &str) -> Vec<f64> {
        let figures = self.of(row, peer).iter().filter_map(|outcome| outcome.as_ref().ok()?.as_ref()).flatten();
        let mut values: Vec<_> = figures.filter(|figure| figure.what == what).map(|figure| figure.value).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    fn cell(&self, row: &Row, peer: Peer, what: &str) -> String {
        let values = self.values(row, peer, what);
        let failed = self.of(row, peer).iter().filter(|outcome| outcome.is_err()).count();
        let Some(middle) = median(&values) else {
            return if failed > 0 { "**failed**".to_owned() } else { "–".to_owned() };
        };
        let mut cell = number(middle);
        if values.len() > 1 {
            let _ = write!(cell, " ({}–{})", number(values[0]), number(values[values.len() - 1]));
        }
        if peer != Peer::Tidegate
            && let Some(ours) = median(&self.values(row, Peer::Tidegate, what))
        {
            let _ = write!(cell, " ×{}", number(middle / ours));
        }
        if failed > 0 {
            let _ = write!(cell, " **{failed} failed**");
        }
        cell
    }

    /// The first figure of each row, a bar a peer.
    pub(crate) fn plot(&self, rows: &[Row]) -> String {
        let groups = rows.iter().filter_map(|row| {
            let what = self.measured(row)[0];
            let ours = median(&self.values(row, Peer::Tidegate, what));
            let bars: Vec<_> = self.peers.iter().filter_map(|(peer, _)| self.bar(row, *peer, what, ours)).collect();
            (!bars.is_empty()).then(|| Group { title: row.title.to_owned(), unit: what.to_owned(), bars })
        });
        let note = "Medians; the thin line is the spread. Shorter is better. Each group has a scale of its own.";
        Chart { title: "Tidegate and its peers", note, groups: groups.collect() }.svg()
    }

    fn bar(&self, row: &Row, peer: Peer, what: &str, ours: Option<f64>) -> Option<Bar> {
        let values = self.values(row, peer, what);
        let middle = median(&values)?;
        let ratio = ours.filter(|_| peer != Peer::Tidegate).map(|ours| format!(" ×{}", number(middle / ours)));
        Some(Bar {
            name: peer.name(),
            value: middle,
            spread: (values[0], values[values.len() - 1]),
            label: number(middle) + &ratio.unwrap_or_default(),
            is_ours: peer == Peer::Tidegate,
            is_scale: peer.is_scale(),
        })
    }

    fn write_failures(&self, text: &mut String, rows: &[Row]) {
        for row in rows {
            for (peer, _) in &self.peers {
                for error in self.of(row, *peer).iter().filter_map(|outcome| outcome.as_ref().err()) {
                    let _ = write!(text, "\n- {}, {}: {error:#}", row.name, peer.name());
                }
            }
        }
    }
}

pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[sorted.len() / 2 - 1] + upper) / 2.0 })
}

/// Three significant digits, or the whole number.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
