//! `tidegate policy test`, `tidegate policy explain` and `tidegate policy diff`.

mod live;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::admin_client::AdminServer;
use crate::auth::Principal;
use crate::auth::principal::ANONYMOUS;
use crate::cli;
use crate::fault::Fault;
use crate::mqtt::{QoS, TopicFilter, TopicName};
use crate::policy::explain::{Asked, Question};
use crate::policy::{Operation, diff, load};

/// What can be asked of a policy file.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Run the tests written inside a policy file
    Test {
        /// The policy file
        file: PathBuf,
    },
    /// Show the verdict on one operation, the rule that decides it, and near misses
    Explain(ExplainCommand),
    /// Show which identities gain and lose what between two policy files, or by another file in a running server
    ///
    /// Compared is what the rules mean together: rules that others cover, in another order or another role, are no difference. With
    /// --live, a running server is asked through its admin API, and says as well what each session that it has would lose.
    #[command(
        after_help = "Exit codes: 0 compared, whether or not there is a difference; 1 the server could not be asked; 2 a policy has faults."
    )]
    Diff(DiffCommand),
}

/// What is to be compared.
#[derive(Debug, Args)]
pub struct DiffCommand {
    /// The policy file that is in force, and the one that is to be; with --live only the latter
    #[arg(value_names = ["OLD", "NEW"], num_args = 1..=2, required = true)]
    files: Vec<PathBuf>,
    /// Compare with the policy of a running server, and with what its sessions hold
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    server: AdminServer,
}

/// What is to be explained.
#[derive(Debug, Args)]
pub struct ExplainCommand {
    /// The policy file
    file: PathBuf,
    /// Who asks; `anonymous` for who comes without credentials
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The Client Identifier, for rules with ${clientid}
    #[arg(long, value_name = "ID", default_value = "")]
    client_id: String,
    /// A verified claim; may be given several times, and makes a list of it for the same name
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = parse_claim)]
    claims: Vec<(String, String)>,
    /// The QoS of the message or Subscription
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Ask about a retained message
    #[arg(long)]
    retain: bool,
    /// The size of the message's payload
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    payload_bytes: usize,
    /// What is asked for
    #[arg(value_enum)]
    operation: Verb,
    /// The Topic Name or Topic Filter
    topic: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Verb {
    Publish,
    Subscribe,
}

impl PolicyCommand {
    /// Runs the command: 0 done, 1 failed while running, 2 a fault in the usage or the policy.
    ///
    /// # Errors
    /// What failed while running.
    pub fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        match self {
            Self::Test { file } => test(&file, json),
            Self::Explain(command) => command.run(json),
            Self::Diff(command) => command.run(json),
        }
    }
}

fn test(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let policy = match load::policy(file) {
        Ok(policy) => policy,
        Err(faults) => return Ok(cli::report(&faults, json)),
    };
    let faults: Vec<Fault> = policy.run_tests().into_iter().map(|failure| failure.fault).collect();
    if !faults.is_empty() {
        return Ok(cli::report(&faults, json));
    }
    let (tests_count, rules_count, envelopes_count) =
        (policy.tests_count(), policy.rules_count(), policy.envelopes_count());
    if json {
        let counts = serde_json::json!({
            "faults": [], "tests": tests_count, "rules": rules_count, "envelopes": envelopes_count,
        });
        cli::answer(counts)?;
    } else {
        let envelopes = if envelopes_count > 0 { format!(", {envelopes_count} envelopes") } else { String::new() };
        cli::answer(format_args!("{}: {rules_count} rules{envelopes}, {tests_count} tests passed", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl DiffCommand {
    fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let fault =
            |found: &str, allowed: &str| Ok(cli::report(&[Fault::new("command line", "FILES", found, allowed)], json));
        match (&*self.files, self.live) {
            ([old, new], false) => compare(old, new, json),
            ([new], true) => live::compare(new, &self.server, json),
            (_, false) => fault("one file", "two files, OLD and NEW, or --live"),
            (_, true) => fault("two files", "with --live the one that is to be"),
        }
    }
}

fn compare(old: &Path, new: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let (old, new) = match (load::policy(old), load::policy(new)) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            let faults: Vec<Fault> = [old, new].into_iter().filter_map(Result::err).flatten().collect();
            return Ok(cli::report(&faults, json));
        }
    };
    let diff = diff::diff(&old, &new);
    if json {
        cli::answer(serde_json::to_string(&diff)?)?;
    } else {
        cli::answer(diff)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl ExplainCommand {
    fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let asked = match self.asked() {
            Ok(asked) => asked,
            Err(fault) => return Ok(cli::report(&[fault], json)),
        };
        let policy = match load::policy(&self.file) {
            Ok(policy) => policy,
            Err(faults) => return Ok(cli::report(&faults, json)),
        };
        let who = match self.user.as_str() {
            ANONYMOUS => Principal::anonymous(),
            username => Principal::user(username),
        };
        let (claims, claim_lists) = claims(self.claims);
        let explanation = policy.explain(&Question {
            who: Principal { claims, claim_lists, ..who },
            client_id: self.client_id,
            asked,
            qos: QoS::from_u8(self.qos).unwrap_or_default(),
            retain: self.retain,
            payload_bytes: self.payload_bytes,
        });
        if json {
            cli::answer(serde_json::to_string(&explanation)?)?;
        } else {
            cli::answer(explanation.to_string().trim_end())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn asked(&self) -> Result<Asked, Fault> {
        let asked = match self.operation.into() {
            Operation::Publish => TopicName::parse(self.topic.clone()).map(Asked::Publish),
            Operation::Subscribe => TopicFilter::parse(&self.topic).map(Asked::Subscribe),
        };
        asked.map_err(|error| {
            Fault::new(
                "command line",
                "TOPIC",
                format!("{:?} {error}", self.topic),
                "a topic that a client could ask for",
            )
        })
    }
}

impl From<Verb> for Operation {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Publish => Self::Publish,
            Verb::Subscribe => Self::Subscribe,
        }
    }
}

/// What was given once is a text; what was given more often is a list, which gives roles by what it holds.
fn claims(given: Vec<(String, String)>) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
    let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in given {
        lists.entry(name).or_default().push(value);
    }
    let texts = lists.extract_if(.., |_, values| values.len() == 1);
    let texts = texts.filter_map(|(name, values)| Some((name, values.into_iter().next()?))).collect();
    (texts, lists)
}

fn parse_claim(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a claim is NAME=VALUE"),
    }
}
