//! What every result says of itself, date, machine and versions, and the files in which it is kept.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;

use crate::{arena::Arena, server::Peer};

pub(crate) struct Heading {
    title: &'static str,
    machine: String,
    peers: Vec<(Peer, String)>,
}

impl Heading {
    pub(crate) fn new(title: &'static str, arena: &Arena) -> Self {
        let host = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let machine = arena.machine.clone().unwrap_or_else(|| host().trim().to_owned());
        Self { title, machine, peers: arena.peers.clone() }
    }

    /// The first lines of the Markdown.
    pub(crate) fn lines(&self) -> String {
        let mut text = format!("# {}, {}\n\n", self.title, today());
        let _ = writeln!(text, "- Machine: {} ({})", self.machine, hardware());
        for (peer, version) in &self.peers {
            let _ = writeln!(text, "- {}: {version}", peer.name());
        }
        text
    }

    /// Writes `<date>-<machine><kind>.md`, which shows `plots` above `body`, and each plot beside it, under `benches/results/`; if
    /// that exists, `…-2.md` and so on. Each plot is an addition to the name, and SVG.
    pub(crate) fn keep(&self, kind: &str, body: &str, plots: &[(&str, String)]) -> anyhow::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results");
        fs::create_dir_all(&folder)?;
        let machine: String =
            self.machine.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let first = format!("{}-{machine}{kind}", today());
        let mut names = std::iter::once(first.clone()).chain((2..).map(|count| format!("{first}-{count}")));
        let name = names.find(|name| !folder.join(name).with_extension("md").exists()).context("a free name")?;
        let mut text = self.lines();
        for (addition, svg) in plots {
            let file = format!("{name}{addition}.svg");
            fs::write(folder.join(&file), svg)?;
            let _ = write!(text, "\n![{}]({file})\n", self.title);
        }
        text.push('\n');
        text += body;
        fs::write(folder.join(&name).with_extension("md"), text)?;
        eprintln!("kept as benches/results/{name}.md");
        Ok(())
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
