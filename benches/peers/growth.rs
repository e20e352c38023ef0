//! `cargo bench --bench peers -- growth`: what one more costs when there are many, and what is given back when they have gone.
//!
//! Each range is measured from few to many; what a unit costs must nowhere be more than [`RISE_MAX`] above the least that it cost at
//! a smaller size. Tidegate alone, unless `--peers` names others.

mod churn;
mod ranges;

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::ensure;
use ranges::Range;

use crate::{
    arena::Arena,
    plot::lines::{Chart, Panel},
    report::{median, number},
    results::Heading,
    row::Figure,
    server::Peer,
};

/// How much more a unit may cost than at any smaller size.
const RISE_MAX: f64 = 0.20;

const ROUNDS: u32 = 3;

/// No range, but named as one: clients that come and go.
const CHURN: &str = "churn";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Measure only this range; may be given several times
    #[arg(long, value_name = "RANGE")]
    range: Vec<String>,
    /// How often ten thousand clients come and go
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    waves: u32,
}

/// All that was measured of a range with a peer: for each size the figures of all rounds.
type Points = BTreeMap<u64, Vec<Vec<Figure>>>;

/// Whether everything came to figures; whether they are good is for the reader.
pub(crate) fn run(arena: &Arena, arguments: &Arguments) -> anyhow::Result<bool> {
    let ranges = chosen(&arguments.range)?;
    let peers: Vec<_> =
        if arena.is_everybody { vec![Peer::Tidegate] } else { arena.peers.iter().map(|p| p.0).collect() };
    let mut growth = Growth { ranges, peers, points: BTreeMap::new(), failures: Vec::new() };
    let rounds = if arena.quick { 1 } else { arena.rounds.unwrap_or(ROUNDS) };
    for round in 0..rounds {
        growth.measure(arena, &format!("round {} of {rounds}", round + 1));
    }
    let churned = match arguments.range.is_empty() || arguments.range.iter().any(|name| name == CHURN) {
        true => churn::measure_all(arena, &growth.peers, arguments.waves),
        false => Ok(String::new()),
    };
    let churned = churned.unwrap_or_else(|error| {
        growth.failures.push(format!("churn: {error:#}"));
        String::new()
    });
    let heading = Heading::new("What growth costs", arena);
    let body = growth.markdown(rounds) + &churned + &growth.failure_list();
    println!("{}{body}", heading.lines());
    if arena.keep || (arguments.range.is_empty() && arena.is_everybody && !arena.quick) {
        heading.keep("-growth", &body, &[("", growth.plot())])?;
    }
    Ok(growth.failures.is_empty())
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Range>> {
    let mut ranges = ranges::all();
    let known: Vec<_> = ranges.iter().map(|range| range.name).chain([CHURN]).collect();
    for name in names {
        ensure!(known.contains(&name.as_str()), "there is no range {name}; there are {}", known.join(", "));
    }
    ranges.retain(|range| names.is_empty() || names.iter().any(|name| name == range.name));
    Ok(ranges)
}

struct Growth {
    ranges: Vec<Range>,
    peers: Vec<Peer>,
    points: BTreeMap<(&'static str, Peer), Points>,
    failures: Vec<String>,
}

impl Growth {
    fn measure(&mut self, arena: &Arena, round: &str) {
        for range in &self.ranges {
            for &peer in &self.peers {
                eprintln!("{round}, {}, {}", range.name, peer.name());
                let points = self.points.entry((range.name, peer)).or_default();
                let outcome = range.measure(arena, peer, &mut |size, figures| {
                    let texts: Vec<_> = figures.iter().map(|f| format!("{} {}", number(f.value), f.what)).collect();
                    eprintln!("  {size}: {}", texts.join(", "));
                    points.entry(size).or_default().push(figures);
                });
                if let Err(error) = outcome {
                    eprintln!("  FAILED: {error:#}");
                    self.failures.push(format!("{}, {}: {error:#}", range.name, peer.name()));
                }
            }
        }
    }

    fn markdown(&self, rounds: u32) -> String {
        let mut text = format!(
            "- Rounds: {rounds}. A cell is the median.\n- The last line is how much more a unit costs at some size than at the best \
             smaller one; {:.0} % are allowed.\n",
            RISE_MAX * 100.0
        );
        for range in &self.ranges {
            for &peer in &self.peers {
                if let Some(points) = self.points.get(&(range.name, peer)).filter(|points| !points.is_empty()) {
                    let _ = write!(text, "\n## {}, {}\n\n", range.title, peer.name());
                    write_table(&mut text, range, points);
                }
            }
        }
        text
    }

    fn failure_list(&self) -> String {
        self.failures.iter().map(|failure| format!("\n- {failure}\n")).collect()
    }

    /// A panel for each judged figure of each range.
    fn plot(&self) -> String {
        let panels = self.ranges.iter().flat_map(|range| range.judged.iter().map(move |&what| (range, what)));
        let panels = panels.flat_map(|(range, what)| self.peers.iter().map(move |&peer| (range, what, peer)));
        let panels = panels.filter_map(|(range, what, peer)| {
            let points = self.points.get(&(range.name, peer))?;
            let points: Vec<_> =
                points.iter().filter_map(|(&size, _)| Some((size as f64, middle(points, size, what)?))).collect();
            let title =
                if self.peers.len() > 1 { format!("{}, {}", range.title, peer.name()) } else { range.title.to_owned() };
            (!points.is_empty()).then(|| Panel { title, unit: what.to_owned(), x: range.unit, points })
        });
        let note = "Medians. The dashed line is 20 % above the least at any smaller size.";
        Chart { title: "What growth costs", note, rise_max: RISE_MAX, panels: panels.collect() }.svg()
    }
}

fn write_table(text: &mut String, range: &Range, points: &Points) {
    let names: Vec<_> =
        points.values().flatten().next().map(|f| f.iter().map(|f| f.what).collect()).unwrap_or_default();
    let _ = writeln!(text, "| {} | {} |", range.unit, names.join(" | "));
    let _ = writeln!(text, "|---:|{}", "---:|".repeat(names.len()));
    for &size in points.keys() {
        let cells: Vec<_> =
            names.iter().map(|what| middle(points, size, what).map_or("–".to_owned(), number)).collect();
        let _ = writeln!(text, "| {size} | {} |", cells.join(" | "));
    }
    let rises = names.iter().map(|what| match range.judged.contains(what) {
        true => rise_text(points, what),
        false => String::new(),
    });
    let _ = writeln!(text, "| rise | {} |", rises.collect::<Vec<_>>().join(" | "));
}

fn rise_text(points: &Points, what: &str) -> String {
    let values: Vec<_> = points.keys().filter_map(|&size| middle(points, size, what)).collect();
    match rise(&values) {
        rise if rise > RISE_MAX => format!("**{:+.0} %**", rise * 100.0),
        rise => format!("{:+.0} %", rise * 100.0),
    }
}

/// By how much a value is above the least of those before it, at most.
fn rise(values: &[f64]) -> f64 {
    let mut least = f64::INFINITY;
    let mut worst = f64::NEG_INFINITY;
    for &value in values {
        if least.is_finite() {
            worst = worst.max(value / least - 1.0);
        }
        least = least.min(value);
    }
    if worst.is_finite() { worst } else { 0.0 }
}

fn middle(points: &Points, size: u64, what: &str) -> Option<f64> {
    let figures = points.get(&size)?.iter().flatten().filter(|figure| figure.what == what);
    let mut values: Vec<_> = figures.map(|figure| figure.value).collect();
    values.sort_unstable_by(f64::total_cmp);
    median(&values)
}
