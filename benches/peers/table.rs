//! The table of issue and README: every row with every peer, several rounds in alternating order.

use anyhow::ensure;

use crate::{
    arena::Arena,
    report::{self, Report},
    results::Heading,
    row::{self, Row},
    server::Peer,
};

const ROUNDS: u32 = 3;

/// Whether Tidegate went through all rows without an error.
pub(crate) fn run(arena: &Arena, only: &[String]) -> anyhow::Result<bool> {
    let rows = chosen_rows(only)?;
    let rounds = if arena.quick { 1 } else { arena.rounds.unwrap_or(ROUNDS) };
    let mut report = Report::new(&arena.peers);
    for round in 0..rounds as usize {
        for (row_index, row) in rows.iter().enumerate() {
            for turn in 0..arena.peers.len() {
                // The order changes from round to round and from row to row, so that nobody always runs first.
                let (peer, _) = arena.peers[(turn + round + row_index) % arena.peers.len()];
                eprint!("round {} of {rounds}, {}, {}: ", round + 1, row.name, peer.name());
                let outcome = arena.with_server(peer, "", |stage| row.measure(stage));
                eprintln!("{}", report::brief(&outcome));
                report.add(row, peer, outcome);
            }
        }
    }
    let heading = Heading::new("Tidegate and its peers", arena);
    let table = report.markdown(&rows, rounds);
    println!("{}{table}", heading.lines());
    if arena.keep || (only.is_empty() && arena.is_everybody && !arena.quick) {
        heading.keep("", &table, &[("", report.plot(&rows))])?;
    }
    Ok(report.is_clean(Peer::Tidegate))
}

fn chosen_rows(only: &[String]) -> anyhow::Result<Vec<Row>> {
    let mut rows = row::all();
    let names: Vec<_> = rows.iter().map(|row| row.name).collect();
    for name in only {
        ensure!(names.contains(&name.as_str()), "there is no row {name}; there are {}", names.join(", "));
    }
    if !only.is_empty() {
        rows.retain(|row| only.iter().any(|name| name == row.name));
    }
    Ok(rows)
}
