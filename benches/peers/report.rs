//! The table: medians, spread and ratios of what was measured, as Markdown, with the machine and the versions.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    row::{Figure, Row},
    server::Peer,
};

/// What one measurement came to; `None` where the peer does not offer the transport.
pub(crate) type Outcome = anyhow::Result<Option<Vec<Figure>>>;

pub(crate) struct Report {
    peers: Vec<(Peer, String)>,
    machine: String,
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
    pub(crate) fn new(peers: &[(Peer, String)], machine: Option<String>) -> Self {
        let host = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let machine = machine.unwrap_or_else(|| host().trim().to_owned());
        Self { peers: peers.to_vec(), machine, outcomes: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, row: &Row, peer: Peer, outcome: Outcome) {
        self.outcomes.entry((row.name, peer)).or_default().push(outcome);
    }

    /// Whether every measurement of `peer` came to a figure.
    pub(crate) fn is_clean(&self, peer: Peer) -> bool {
        self.outcomes.iter().filter(|((_, of), _)| *of == peer).all(|(_, outcomes)| outcomes.iter().all(Result::is_ok))
    }

    pub(crate) fn markdown(&self, rows: &[Row], rounds: u32) -> String {
        let mut text = format!("# Tidegate and its peers, {}\n\n", today());
        let _ = writeln!(text, "- Machine: {} ({})", self.machine, hardware());
        for (peer, version) in &self.peers {
            let _ = writeln!(text, "- {}: {version}", peer.name());
        }
        let _ = writeln!(
            text,
            "- Rounds: {rounds}, in alternating order. A cell is the median (lowest to highest), and after it how many times Tidegate's.\n\
             - Server µs is the user and system time of all processes of that server; one load generator runs beside it.\n"
        );
        self.write_table(&mut text, rows);
        self.write_failures(&mut text, rows);
        text
    }

    /// Writes `markdown` to `<date>-<machine>.md` in `folder`, or to `…-2.md` and so on if that exists.
    pub(crate) fn keep(&self, folder: &Path, markdown: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let machine: String =
            self.machine.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let stem = format!("{}-{machine}", today());
        let mut file = folder.join(format!("{stem}.md"));
        let mut count = 1;
        while file.exists() {
            count += 1;
            file = folder.join(format!("{stem}-{count}.md"));
        }
        fs::write(&file, markdown)?;
        Ok(file)
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

fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[sorted.len() / 2 - 1] + upper) / 2.0 })
}

/// Three significant digits, or the whole number.
fn number(value: f64) -> String {
    match value.abs() {
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn hardware() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

/// The date in UTC, as in ISO 8601.
fn today() -> String {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400) as i64;
    // Howard Hinnant's civil_from_days, in years that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
