//! Instructions of each workload, counted by valgrind and compared with the recorded ones.
//!
//! Instructions do not depend on what else the machine does, so a tolerance of a few per cent is enough and a run on a busy machine
//! is as good as any. They are not time: a cache miss costs none.
//!
//! ```text
//! cargo bench --profile instructions --bench micro -- instructions            compare, as .ci/run does
//! cargo bench --profile instructions --bench micro -- instructions --renew    record what is counted, to be committed
//! ```

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, bail, ensure};

use crate::workloads::{self, Workload};

/// What is recorded, a line a workload.
const BASELINE: &str = "benches/micro/instructions.txt";

/// More than that above what is recorded is a fault. CPUs differ in which of several implementations they choose (memchr's and
/// libc's), and compilers in what they inline.
const TOLERANCE: f64 = 0.05;

/// And these few more, which is what a loop around nothing may come to.
const TOLERANCE_INSTRUCTIONS: f64 = 4.0;

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--counted", name] => {
            workloads::ALL.iter().filter(|workload| workload.name == name).for_each(run);
            Ok(true)
        }
        [] => count().and_then(|counted| compare(&counted)),
        ["--renew"] => count().and_then(|counted| record(&counted)),
        _ => Err(anyhow::anyhow!("instructions takes nothing, or --renew")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does a workload, twice unseen, so that what is made once is there, and then counted.
fn run(workload: &Workload) {
    let mut work = (workload.prepare)();
    work();
    work();
    counted(&mut work, workload.times);
}

/// Valgrind counts from where this is entered to where it is left.
#[inline(never)]
fn counted(work: &mut dyn FnMut(), times: u32) {
    for _ in 0..black_box(times) {
        work();
    }
}

/// Instructions of each workload, in the order of their list, for doing it once. Each has a process of its own, so that what one
/// leaves behind in the heap is nothing to the next.
fn count() -> anyhow::Result<Vec<(&'static str, f64)>> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("counts");
    let one = |workload: &Workload| {
        let output = Command::new("valgrind")
            .args(["--quiet", "--tool=callgrind", "--collect-atstart=no"])
            .arg("--toggle-collect=*instructions::counted*")
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(std::env::current_exe()?)
            .args(["instructions", "--counted", workload.name])
            .stdin(Stdio::null())
            .output()
            .context("valgrind is needed to count instructions")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: valgrind ended with {}: {said}", workload.name, output.status);
        Ok((workload.name, total(&out)? as f64 / f64::from(workload.times)))
    };
    workloads::ALL.iter().map(one).collect()
}

/// The sum of a file of callgrind's.
fn total(file: &Path) -> anyhow::Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("valgrind wrote no {}", file.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    let total = total.with_context(|| format!("{} has no total", file.display()))?;
    Ok(total.trim().parse()?)
}

fn baseline_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(BASELINE)
}

fn record(counted: &[(&str, f64)]) -> anyhow::Result<bool> {
    let mut text = "# Instructions of each workload of `cargo bench --bench micro`, for doing it once. Renewed by\n\
                    # cargo bench --profile instructions --bench micro -- instructions --renew\n"
        .to_owned();
    for (name, count) in counted {
        let _ = writeln!(text, "{count:>12.1}  {name}");
    }
    fs::write(baseline_file(), text)?;
    println!("recorded {} workloads in {BASELINE}", counted.len());
    Ok(true)
}

fn read_baseline() -> anyhow::Result<BTreeMap<String, f64>> {
    let text = fs::read_to_string(baseline_file()).with_context(|| format!("cannot read {BASELINE}"))?;
    let mut recorded = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((count, name)) = line.trim().split_once("  ") else {
            bail!("{BASELINE}: {line:?} is no count and name")
        };
        recorded.insert(name.to_owned(), count.parse().with_context(|| format!("{BASELINE}: {line:?}"))?);
    }
    Ok(recorded)
}

/// Whether no workload takes more than is recorded, and all are recorded.
fn compare(counted: &[(&str, f64)]) -> anyhow::Result<bool> {
    let mut recorded = read_baseline()?;
    let mut faults = Vec::new();
    println!("{:>12} {:>12} {:>8}  workload", "recorded", "counted", "");
    for &(name, is) in counted {
        let Some(was) = recorded.remove(name) else {
            faults.push(format!("{name}: {is:.1} instructions, and nothing is recorded"));
            continue;
        };
        let change = (is / was - 1.0) * 100.0;
        println!("{was:>12.1} {is:>12.1} {change:>+7.1}%  {name}");
        if is > was * (1.0 + TOLERANCE) + TOLERANCE_INSTRUCTIONS {
            let tolerance = TOLERANCE * 100.0;
            faults.push(format!(
                "{name}: was {was:.1} instructions, is {is:.1} ({change:+.1} %); {tolerance} % are tolerated"
            ));
        }
    }
    faults.extend(recorded.keys().map(|name| format!("{name}: recorded, and there is no such workload")));
    for fault in &faults {
        eprintln!("{fault}");
    }
    if !faults.is_empty() {
        eprintln!(
            "If that is as it should be, record it and say in the commit why:\n    \
             cargo bench --profile instructions --bench micro -- instructions --renew"
        );
    }
    Ok(faults.is_empty())
}
