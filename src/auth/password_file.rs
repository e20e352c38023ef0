//! The password file: one `USER:HASH` a line, as mosquitto_passwd writes it. Lines that begin with `#` and empty lines stay as they are.

use std::collections::BTreeMap;

use crate::fault::Fault;

use super::hash::{Scheme, StoredHash};
use super::principal::ANONYMOUS;
use super::scram::{KEY_BYTES, Likeness, Verifier};

/// A password file's entries. Its `Debug` shows no hash.
#[derive(Debug)]
pub struct PasswordFile {
    hash_by_username: BTreeMap<Box<str>, StoredHash>,
    /// What an unknown user's password is compared with; the outcome is thrown away.
    decoy: StoredHash,
    /// What most SCRAM entries look like; `None` if there are none.
    likeness: Option<Likeness>,
}

impl PasswordFile {
    /// Reads a password file's text; `origin` names it in faults.
    ///
    /// # Errors
    /// Every line that is no entry, names a user twice or takes the name `anonymous`. No fault repeats what the line holds but the username.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut first_line_by_username = BTreeMap::new();
        let mut hash_by_username = BTreeMap::new();
        for (line_number, line) in (1_u32..).zip(text.lines()) {
            let mut fault = |column: usize, key: &str, found: String, allowed: &str| {
                let column = u32::try_from(column).unwrap_or(u32::MAX);
                faults.push(Fault::new(origin, key, found, allowed).at(line_number, column));
            };
            let Some((username, hash)) = entry(line) else {
                if !is_blank(line) {
                    fault(1, "", "has no colon".to_owned(), "USER:HASH, as `tidegate passwd` writes it");
                }
                continue;
            };
            if let Err(allowed) = check_username(username) {
                fault(1, "", format!("{username:?} is no username here"), allowed);
            } else if let Some(first) = first_line_by_username.insert(username, line_number) {
                fault(1, username, format!("is given twice, first in line {first}"), "each user once");
            }
            match StoredHash::parse(hash) {
                Ok(hash) => {
                    hash_by_username.insert(username.into(), hash);
                }
                Err(error) => {
                    let column = username.chars().count() + 2;
                    fault(
                        column,
                        username,
                        error.to_string(),
                        "$6$…, $7$…, $argon2id$… or SCRAM-SHA-256$…, as `tidegate passwd` writes it",
                    );
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let decoy = decoy(hash_by_username.values());
        let likeness = likeness(hash_by_username.values());
        Ok(Self { hash_by_username, decoy, likeness })
    }

    /// Whether `password` is this user's. An unknown user costs what the file's most usual entry costs.
    #[must_use]
    pub fn verify(&self, username: &str, password: &[u8]) -> bool {
        match self.hash_by_username.get(username) {
            Some(stored) => stored.verify(password),
            None => {
                std::hint::black_box(self.decoy.verify(password));
                false
            }
        }
    }

    /// Whether a SCRAM exchange can succeed: some entry is a SCRAM-SHA-256 verifier.
    #[must_use]
    pub fn has_scram(&self) -> bool {
        self.likeness.is_some()
    }

    /// What to challenge this user with in a SCRAM exchange, and whether it is the user's own. A user without a SCRAM entry gets what an
    /// unknown one gets, of which `secret` makes a verifier that looks like most others. `None` without [`Self::has_scram`].
    #[must_use]
    pub fn verifier(&self, username: &str, secret: &[u8; KEY_BYTES]) -> Option<(Verifier, bool)> {
        // Made in either case, so that both take the same time.
        let unmatched = Verifier::unmatched(secret, username, self.likeness?);
        match self.hash_by_username.get(username).and_then(StoredHash::verifier) {
            Some(verifier) => Some((verifier, true)),
            None => Some((unmatched, false)),
        }
    }

    /// How many users the file has.
    #[must_use]
    pub fn users_count(&self) -> usize {
        self.hash_by_username.len()
    }
}

/// The text with `username`'s entry set to `hash`: in its place if there is one, else at the end. All other lines stay as they are.
#[must_use]
pub fn set(text: &str, username: &str, hash: &StoredHash) -> String {
    let new = format!("{username}:{hash}");
    let mut out = String::with_capacity(text.len() + new.len() + 2);
    let mut is_set = false;
    for line in text.split_inclusive('\n') {
        match is_entry_of(line, username) {
            false => out += line,
            true if is_set => {}
            true => {
                out += &new;
                out.push('\n');
                is_set = true;
            }
        }
    }
    if !is_set {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out += &new;
        out.push('\n');
    }
    out
}

/// The text without `username`'s entry; `None` if there is none.
#[must_use]
pub fn remove(text: &str, username: &str) -> Option<String> {
    let kept: String = text.split_inclusive('\n').filter(|line| !is_entry_of(line, username)).collect();
    (kept.len() < text.len()).then_some(kept)
}

/// Whether a password file can hold `username`.
///
/// # Errors
/// What a username has to be.
pub fn check_username(username: &str) -> Result<(), &'static str> {
    if username.is_empty() || username.starts_with('#') {
        return Err("a username that is not empty and does not begin with #");
    }
    if username.contains(|c: char| c == ':' || c.is_control()) {
        return Err("a username without colons and control characters");
    }
    if username == ANONYMOUS {
        return Err("another name: `anonymous` is who comes without credentials");
    }
    Ok(())
}

fn entry(line: &str) -> Option<(&str, &str)> {
    if is_blank(line) {
        return None;
    }
    line.split_once(':')
}

fn is_blank(line: &str) -> bool {
    line.starts_with('#') || line.trim().is_empty()
}

fn is_entry_of(line: &str, username: &str) -> bool {
    entry(line).is_some_and(|(name, _)| name == username)
}

/// An entry of the most usual scheme, so that most known users cost what an unknown one costs.
fn decoy<'h>(hashes: impl Iterator<Item = &'h StoredHash>) -> StoredHash {
    let mut count_by_scheme: BTreeMap<Scheme, (usize, &StoredHash)> = BTreeMap::new();
    for hash in hashes {
        count_by_scheme.entry(hash.scheme()).or_insert((0, hash)).0 += 1;
    }
    let usual = count_by_scheme.into_values().max_by_key(|(count, _)| *count);
    usual.map_or_else(StoredHash::unmatched, |(_, hash)| hash.clone())
}

/// What most SCRAM entries look like.
fn likeness<'h>(hashes: impl Iterator<Item = &'h StoredHash>) -> Option<Likeness> {
    let mut count_by_likeness: BTreeMap<Likeness, usize> = BTreeMap::new();
    for verifier in hashes.filter_map(StoredHash::verifier) {
        let likeness = Likeness { iterations: verifier.iterations, salt_bytes: verifier.salt.len() };
        *count_by_likeness.entry(likeness).or_default() += 1;
    }
    count_by_likeness.into_iter().max_by_key(|(_, count)| *count).map(|(likeness, _)| likeness)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAM: &str = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$Y2eRFXLWrUnuM8NBTPPoG0Na9Jo+iWz9y0qDnDeJljg=:i9OU/WREaWC16d96s1DBISzhBItqQjA4x+ra3A4ZmKc=";

    const SHA512: &str =
        "$6$KZIT82qk7F1+ctFY$8xQlIAEQNc2TGCILiZgJlXest6WPJhxr78+UjkE5k82VrlOFos6Bg173UM3i1XDy3gDsPJZMwgpbvoz/lzO2cg==";
    const PBKDF2: &str = "$7$101$IHW4BgQ9UU0uaaOY$LQIKMyP5KORWnFszayRYifqSelM5T98wHHZyjhdxCbAQLPw9iRY3vK3oi3jgFEU/Alge9ZSoElYDV0r27i0q1Q==";

    #[test]
    fn a_user_has_the_password_of_its_line() {
        let text = format!("# users\n\nclient:{SHA512}\r\nserver:{PBKDF2}");
        let file = PasswordFile::parse(&text, "p").unwrap();
        assert_eq!(file.users_count(), 2);
        assert!(file.verify("client", b"correct horse") && file.verify("server", b"correct horse"));
        for (username, password) in
            [("client", "wrong"), ("client", ""), ("Client", "correct horse"), ("", "correct horse"), ("x", "")]
        {
            assert!(!file.verify(username, password.as_bytes()), "{username} {password}");
        }
    }

    #[test]
    fn an_unknown_user_is_refused_even_with_the_decoys_password() {
        let file = PasswordFile::parse(&format!("client:{PBKDF2}\n"), "p").unwrap();
        assert!(file.decoy.verify(b"correct horse"), "the decoy is the file's own entry");
        assert!(!file.verify("nobody", b"correct horse"));
        assert_eq!(PasswordFile::parse("", "p").unwrap().decoy, StoredHash::unmatched());
    }

    #[test]
    fn the_decoy_costs_what_most_entries_cost() {
        let text = format!("a:{SHA512}\nb:{PBKDF2}\nc:{PBKDF2}\n");
        let file = PasswordFile::parse(&text, "p").unwrap();
        assert_eq!(file.decoy.scheme(), Scheme::Pbkdf2 { iterations: 101 });
    }

    #[test]
    fn who_cannot_do_scram_looks_like_who_can() {
        let file = PasswordFile::parse(&format!("a:{SCRAM}\nb:{PBKDF2}\n"), "p").unwrap();
        let (known, is_known) = file.verifier("a", &[1; KEY_BYTES]).unwrap();
        assert!(is_known && file.verify("a", b"correct horse") && !file.verify("a", b"wrong"));
        for username in ["b", "nobody"] {
            let (verifier, is_known) = file.verifier(username, &[1; KEY_BYTES]).unwrap();
            assert!(!is_known, "{username}");
            assert_eq!((verifier.iterations, verifier.salt.len()), (known.iterations, known.salt.len()));
            assert_ne!(verifier.salt, known.salt);
            assert_eq!(file.verifier(username, &[1; KEY_BYTES]).unwrap().0, verifier, "the same each time");
        }
        let without = PasswordFile::parse(&format!("b:{PBKDF2}\n"), "p").unwrap();
        assert!(!without.has_scram() && without.verifier("b", &[1; KEY_BYTES]).is_none());
    }

    #[test]
    fn all_faults_come_at_once_and_show_no_secret() {
        let text = format!(
            "client:hunter2\nno colon hunter2\nanonymous:{SHA512}\n:{SHA512}\na\u{1}:{SHA512}\nu:{SHA512}\nu:{SHA512}\nü:$7$\n"
        );
        let faults = PasswordFile::parse(&text, "passwords").unwrap_err();
        let found: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let starts = [
            "passwords:1:8: client: is not a password hash of a known kind; ",
            "passwords:2:1: has no colon; ",
            "passwords:3:1: \"anonymous\" is no username here; ",
            "passwords:4:1: \"\" is no username here; ",
            "passwords:5:1: \"a\\u{1}\" is no username here; ",
            "passwords:7:1: u: is given twice, first in line 6; ",
            "passwords:8:3: ü: is cut short or has a part too many; ",
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
            assert!(!found.contains("hunter2"), "{found}");
        }
    }

    #[test]
    fn an_edit_leaves_all_other_lines_as_they_are() {
        let hash = StoredHash::parse(PBKDF2).unwrap();
        let text = "# by hand\r\nclient:old\n\nserver:keep \nclientele:keep";
        assert_eq!(set(text, "client", &hash), format!("# by hand\r\nclient:{PBKDF2}\n\nserver:keep \nclientele:keep"));
        assert_eq!(set(text, "new", &hash), format!("{text}\nnew:{PBKDF2}\n"));
        assert_eq!(set("", "new", &hash), format!("new:{PBKDF2}\n"));
        assert_eq!(remove(text, "client").as_deref(), Some("# by hand\r\n\nserver:keep \nclientele:keep"));
        assert_eq!(remove(text, "nobody"), None);
        assert_eq!(remove(text, "# by hand"), None);
    }
}
