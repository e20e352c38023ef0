//! A policy that was read whole, and the way from an identity to what it may do.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::Principal;
use crate::document::Place;
use crate::fault::Fault;

use super::access::Access;
use super::envelope::{EnvelopeRule, KeyRing};
use super::file::{self, Partial, WrittenTest};
use super::limits::{Allowance, Limits};
use super::rule::{ClaimRule, EVERYBODY, EnvelopeEntry, Level, Placeholder, Rule, Rules, is_anonymous_name};
use super::testing::{self, TestFailure};
use super::trie::Trie;
use super::verdict::{BindError, RuleRef};

/// The most bytes a value may have that is bound into a topic.
///
/// Identifiers of people and devices are far shorter; an identity of 64 KiB is somebody trying something.
pub const BOUND_BYTES_MAX: usize = 1024;

/// A claim that an identity has not, where an `envelope` entry would use it: no level of a topic is this.
const NO_LEVEL: &str = "/";

/// Everything for everybody, `$SYS` for reading.
const ALLOW_ALL: &str = r##"version: 1
roles:
  everything:
    - { topic: "#", rw: rw }
    - { topic: "$SYS/#", rw: r }
users:
  "*": [everything]
  anonymous: [everything]
"##;

/// An immutable set of rules, read whole from one file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Policy {
    compiled: Arc<Compiled>,
}

/// What all identities share.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) origin: Box<str>,
    pub(super) partial: Partial,
    /// In the order of the file.
    pub(super) rules: Vec<Rule>,
    pub(super) roles: Vec<CompiledRole>,
    pub(super) roles_by_username: BTreeMap<Box<str>, Vec<usize>>,
    pub(super) claims: Vec<ClaimRule>,
    pub(super) placeholders: Vec<Placeholder>,
    pub(super) envelopes: Envelopes,
    pub(super) tests: Vec<WrittenTest>,
}

/// The topics on which every message carries its own identity.
#[derive(Debug)]
pub(super) struct Envelopes {
    /// In the order of the file; the trie speaks of them by number.
    pub(super) rules: Vec<EnvelopeRule>,
    pub(super) trie: Trie,
    uses: Vec<Use>,
    /// Which of them take JSON Web Tokens, and where they say so.
    jwt_entries: Vec<(String, Place)>,
}

/// A key file's text, and how it is named in faults.
#[derive(Clone, Debug)]
pub struct KeyFileText {
    pub origin: String,
    pub text: String,
}

#[derive(Debug)]
pub(super) struct CompiledRole {
    pub(super) name: Box<str>,
    pub(super) limits: Limits,
    pub(super) allowance: Allowance,
    pub(super) trie: Trie,
    uses: Vec<Use>,
}

/// A placeholder that a role's rules use, and the first rule that does.
#[derive(Debug)]
struct Use {
    placeholder: usize,
    /// Whether the value begins the topic.
    is_leading: bool,
    /// As a fault names it.
    rule: String,
}

impl Policy {
    /// Reads a policy file's text; `origin` names it in faults and verdicts.
    ///
    /// The tests in it are not run: [`Self::run_tests`] does.
    ///
    /// # Errors
    /// Every fault in it, each with line, column and key path. There is no policy then, not even a part of one.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Vec<Fault>> {
        Self::parse_with(text, origin, &|_| Err("no file is read here".to_owned()))
    }

    /// The same for a text that may name key files: `read_key_file` gives each one's text, or says why not.
    ///
    /// # Errors
    /// Every fault in the policy, then those of the key files.
    pub fn parse_with(text: &str, origin: &str, read_key_file: &ReadKeyFile<'_>) -> Result<Self, Vec<Fault>> {
        let (file, mut faults) = file::read(text, origin).map_err(|fault| vec![fault])?;
        let (mut rules, unresolved) = Rules::resolve(file, origin);
        faults.extend(unresolved);
        let mut key_faults = Vec::new();
        let mut key_rings = Vec::new();
        for entry in &rules.envelopes {
            let Some(key_file) = &entry.key_file else {
                key_rings.push(KeyRing::default());
                continue;
            };
            match read_key_file(&key_file.text) {
                Ok(file) => match KeyRing::parse(&file.text, &file.origin) {
                    Ok(keys) => key_rings.push(keys),
                    Err(found) => key_faults.extend(found),
                },
                Err(error) => {
                    let key = format!("{}.key_file", entry.path);
                    let (found, place) = (format!("cannot be read: {error}"), key_file.place);
                    let fault = Fault::new(origin, key, found, "a key file; its path is relative to the policy file");
                    faults.push(fault.at(place.line, place.column));
                }
            }
        }
        if !faults.is_empty() || !key_faults.is_empty() {
            faults.sort_by_key(|fault| (fault.line, fault.column));
            faults.extend(key_faults);
            return Err(faults);
        }
        let envelopes = Envelopes::new(std::mem::take(&mut rules.envelopes), key_rings);
        Ok(Self { compiled: Arc::new(Compiled::new(rules, envelopes, origin)) })
    }

    /// Everything for everybody: for the built-in default, which listens on the loopback address only.
    #[must_use]
    pub fn allow_all() -> Self {
        Self::parse(ALLOW_ALL, "built-in default").expect("ALLOW_ALL is a policy, as a test shows")
    }

    /// Joins one identity to the rules that apply to it.
    ///
    /// # Errors
    /// If a rule would use a part of the identity that cannot stand as one topic level. The client is refused then: to skip the rule
    /// could skip a deny.
    pub fn bind(&self, who: &Principal, client_id: &str) -> Result<Access, BindError> {
        if !who.is_anonymous && is_anonymous_name(&who.username) {
            return Err(BindError::ReservedName);
        }
        let roles = self.compiled.roles_of(who);
        let mut values = vec![None; self.compiled.placeholders.len()];
        for role in &roles {
            for used in &self.compiled.roles[*role].uses {
                values[used.placeholder] = Some(self.compiled.value(used, who, client_id)?.into());
            }
        }
        for used in &self.compiled.envelopes.uses {
            let placeholder = &self.compiled.placeholders[used.placeholder];
            let is_missing_claim =
                matches!(placeholder, Placeholder::Claim(_)) && placeholder.value_of(who, client_id).is_empty();
            let value = if is_missing_claim { NO_LEVEL } else { self.compiled.value(used, who, client_id)? };
            values[used.placeholder] = Some(value.into());
        }
        Ok(Access::new(Arc::clone(&self.compiled), roles, values))
    }

    /// Runs the tests written in the file.
    #[must_use]
    pub fn run_tests(&self) -> Vec<TestFailure> {
        testing::run(self, &self.compiled.tests)
    }

    /// How many tests the file has.
    #[must_use]
    pub fn tests_count(&self) -> usize {
        self.compiled.tests.len()
    }

    /// How many rules the file has, `acl` rows included.
    #[must_use]
    pub fn rules_count(&self) -> usize {
        self.compiled.rules.len()
    }

    /// What is wrong with it where nobody verifies JSON Web Tokens: every entry of `envelope` that takes them.
    #[must_use]
    pub fn faults_without_jwt(&self) -> Vec<Fault> {
        let allowed = "auth.jwt in the configuration, whose keys and rules hold for these tokens too";
        let fault = |(path, place): &(String, Place)| {
            let key = format!("{path}.jwt");
            Fault::new(self.origin(), key, "asks for tokens that nobody verifies", allowed).at(place.line, place.column)
        };
        self.compiled.envelopes.jwt_entries.iter().map(fault).collect()
    }

    /// How many entries `envelope` has.
    #[must_use]
    pub fn envelopes_count(&self) -> usize {
        self.compiled.envelopes.rules.len()
    }

    /// The file this policy is from, as the operator named it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.compiled.origin
    }

    /// The rule that a verdict of this policy names.
    #[must_use]
    pub fn rule(&self, rule: RuleRef) -> Option<&Rule> {
        self.compiled.rule(rule)
    }

    pub(super) fn compiled(&self) -> &Compiled {
        &self.compiled
    }
}

impl Compiled {
    fn new(rules: Rules, envelopes: Envelopes, origin: &str) -> Self {
        let Rules { partial, rules, roles, roles_by_username, claims, placeholders, envelopes: _, tests } = rules;
        let mut numbers_by_role = vec![Vec::new(); roles.len()];
        for (number, rule) in rules.iter().enumerate() {
            numbers_by_role[rule.role].push(number);
        }
        let roles = roles.into_iter().zip(numbers_by_role).map(|(role, numbers)| CompiledRole {
            name: role.name,
            limits: role.limits,
            allowance: role.allowance,
            // NODES_MAX keeps the number of rules far below u32::MAX.
            trie: Trie::new(numbers.iter().map(|&number| (number as u32, &rules[number]))),
            uses: uses(numbers.iter().map(|&number| &rules[number])),
        });
        let roles = roles.collect();
        Self { origin: origin.into(), partial, rules, roles, roles_by_username, claims, placeholders, envelopes, tests }
    }

    pub(super) fn rule(&self, rule: RuleRef) -> Option<&Rule> {
        self.rules.get(rule.0 as usize)
    }

    /// The roles of an identity, each once, in order.
    pub(super) fn roles_of(&self, who: &Principal) -> Vec<usize> {
        let named = |name: &str| self.roles_by_username.get(name).into_iter().flatten().copied();
        let mut roles: Vec<usize> = named(&who.username).collect();
        if !who.is_anonymous {
            roles.extend(named(EVERYBODY));
        }
        for rule in &self.claims {
            if rule.when.iter().all(|(name, value)| who.has_claim(name, value)) {
                roles.extend(&rule.roles);
            }
        }
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// How much somebody may do in all who has these roles.
    pub(super) fn allowance(&self, roles: &[usize]) -> Allowance {
        roles.iter().map(|&role| self.roles[role].allowance).fold(Allowance::default(), Allowance::with)
    }

    pub(super) fn allowance_of(&self, who: &Principal) -> Allowance {
        self.allowance(&self.roles_of(who))
    }

    /// What `used` takes from the identity, if it can stand as one level.
    fn value<'w>(&self, used: &Use, who: &'w Principal, client_id: &'w str) -> Result<&'w str, BindError> {
        self.check(used, self.placeholders[used.placeholder].value_of(who, client_id))
    }

    /// The value, if it can stand as one level where `used` says.
    fn check<'w>(&self, used: &Use, value: &'w str) -> Result<&'w str, BindError> {
        let placeholder = || self.placeholders[used.placeholder].to_string();
        let rule = || used.rule.clone();
        if value.is_empty() {
            return Err(BindError::Empty { placeholder: placeholder(), rule: rule() });
        }
        if value.contains(['/', '+', '#', '\0']) {
            return Err(BindError::NotOneLevel { placeholder: placeholder(), rule: rule() });
        }
        if used.is_leading && value.starts_with('$') {
            return Err(BindError::LeadingDollar { placeholder: placeholder(), rule: rule() });
        }
        if value.len() > BOUND_BYTES_MAX {
            let bytes_max = BOUND_BYTES_MAX;
            return Err(BindError::TooLong { placeholder: placeholder(), rule: rule(), bytes_max });
        }
        Ok(value)
    }

    /// Puts another client identifier into the values of an identity with these roles. Whether anything has changed.
    pub(super) fn rebind(
        &self,
        roles: &[usize],
        values: &mut [Option<Box<str>>],
        client_id: &str,
    ) -> Result<bool, BindError> {
        let mut is_changed = false;
        for used in roles.iter().flat_map(|&role| &self.roles[role].uses) {
            if self.placeholders[used.placeholder] == Placeholder::ClientId {
                values[used.placeholder] = Some(self.check(used, client_id)?.into());
                is_changed = true;
            }
        }
        Ok(is_changed)
    }
}

impl Envelopes {
    fn new(entries: Vec<EnvelopeEntry>, key_rings: Vec<KeyRing>) -> Self {
        let keep_s = entries.iter().map(|entry| entry.max_age_s).max().unwrap_or_default();
        // NODES_MAX keeps the number of entries far below u32::MAX.
        let trie = Trie::new((0..).zip(entries.iter().map(|entry| &entry.rule)));
        let uses = uses(entries.iter().map(|entry| &entry.rule));
        let jwt_entries = entries.iter().filter_map(|entry| Some((entry.path.clone(), entry.jwt?))).collect();
        let rules = entries.into_iter().zip(key_rings).map(|(EnvelopeEntry { rule, max_age_s, jwt, .. }, keys)| {
            let takes_jwt = jwt.is_some();
            EnvelopeRule { origin: rule.origin, line: rule.line, text: rule.text, keys, takes_jwt, max_age_s, keep_s }
        });
        Self { rules: rules.collect(), trie, uses, jwt_entries }
    }
}

/// The placeholders that these rules use.
fn uses<'r>(rules: impl Iterator<Item = &'r Rule>) -> Vec<Use> {
    let mut uses: Vec<Use> = Vec::new();
    for rule in rules {
        for (depth, level) in rule.levels.iter().enumerate() {
            let Level::Bound(bound) = level else { continue };
            let is_leading = depth == 0 && bound.prefix.is_empty();
            let is_known =
                uses.iter().any(|used| used.placeholder == bound.placeholder && used.is_leading == is_leading);
            if !is_known {
                uses.push(Use { placeholder: bound.placeholder, is_leading, rule: rule.to_string() });
            }
        }
    }
    uses
}

/// Gives the text of a key file by the name that the policy has for it, or says why it cannot be read.
pub type ReadKeyFile<'a> = dyn Fn(&str) -> Result<KeyFileText, String> + 'a;
