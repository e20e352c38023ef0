//! skeleton
use std::sync::Arc;

use crate::auth::Principal;
use crate::fault::Fault;

use super::{Access, BindError, RuleRef, Verdict};

/// An immutable set of rules, read whole from one file.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// One rule as `explain` and the log name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub origin: Arc<str>,
    /// From 1.
    pub line: u32,
    /// `client: /p/${username}/upload rw`.
    pub text: String,
}

/// A test written in the policy file that did not come out as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure {
    pub fault: Fault,
    pub verdict: Option<Verdict>,
}

impl Policy {
    /// Reads a policy file's text; `origin` names it in faults.
    ///
    /// # Errors
    /// Every fault in it, each with line, column and key path.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Vec<Fault>> {
        let _ = text;
        Err(vec![Fault::new(origin, "", "not read", "version: 1")])
    }

    /// Everything for everybody: the built-in default, which listens on the loopback address only.
    #[must_use]
    pub fn allow_all() -> Self {
        Self { rules: Vec::new() }
    }

    /// Joins one identity to the rules that apply to it.
    ///
    /// # Errors
    /// If a rule would use a part of the identity that cannot stand as one topic level.
    pub fn bind(self: &Arc<Self>, who: &Principal, client_id: &str) -> Result<Access, BindError> {
        let _ = (who, client_id);
        Ok(Access { policy: Arc::clone(self) })
    }

    /// Runs the tests written in the file.
    #[must_use]
    pub fn run_tests(&self) -> Vec<TestFailure> {
        Vec::new()
    }

    /// The rule a verdict names.
    #[must_use]
    pub fn rule(&self, rule: RuleRef) -> &Rule {
        &self.rules[rule.0 as usize]
    }
}
