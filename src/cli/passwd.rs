//! `tidegate passwd`: sets or deletes one user's entry of a password file.
//!
//! The password comes from a prompt or from standard input, never from the command line, where every process of the machine could
//! read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::auth::hash::{ITERATIONS_MAX, SALT_BYTES, SCRAM_ITERATIONS, SCRAM_ITERATIONS_MIN, StoredHash};
use crate::auth::password_file::{self, PasswordFile};
use crate::cli;
use crate::fault::Fault;

/// The most bytes an MQTT password has (MQTT 5.0 §3.1.3.6).
const PASSWORD_BYTES_MAX: usize = 65_535;

/// Whose password is set or deleted, and where.
#[derive(Debug, Args)]
pub struct PasswdCommand {
    /// The password file; made if it does not exist
    file: PathBuf,
    /// The user
    user: String,
    /// Read the password from standard input (its first line) instead of asking for it
    #[arg(long, conflicts_with = "delete")]
    stdin: bool,
    /// Delete the user's entry
    #[arg(long)]
    delete: bool,
    /// Store a SCRAM-SHA-256 verifier instead of an argon2id hash: the user may log in by SCRAM, where no password is sent, or as before
    #[arg(long, conflicts_with = "delete")]
    scram: bool,
    /// With --scram: how often the password is hashed, by the client at each login by SCRAM and by the server at each other one
    #[arg(long, requires = "scram", default_value_t = SCRAM_ITERATIONS, value_parser = clap::value_parser!(u32).range(i64::from(SCRAM_ITERATIONS_MIN)..=i64::from(ITERATIONS_MAX)))]
    iterations: u32,
}

impl PasswdCommand {
    /// Runs the command: 0 done, 1 failed while running, 2 a fault in the usage.
    ///
    /// # Errors
    /// What failed while running.
    pub fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let origin = self.file.display().to_string();
        let fault = |found: String, allowed: &str| cli::report(&[Fault::new(&origin, "", found, allowed)], json);
        if let Err(allowed) = password_file::check_username(&self.user) {
            return Ok(fault(format!("{:?} is no username here", self.user), allowed));
        }
        // Through a symbolic link: the file is replaced, not the link.
        let path = fs::canonicalize(&self.file).unwrap_or_else(|_| self.file.clone());
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.delete => String::new(),
            Err(error) => return Err(error).with_context(|| format!("{origin} cannot be read")),
        };
        let edited = if self.delete {
            match password_file::remove(&text, &self.user) {
                Some(edited) => edited,
                None => return Ok(fault(format!("there is no user {:?}", self.user), "a user that the file has")),
            }
        } else {
            let password = if self.stdin { read_line(&mut io::stdin().lock())? } else { prompt()? };
            if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
                return Ok(fault(format!("a password of {} bytes", password.len()), "1 to 65535 bytes"));
            }
            password_file::set(&text, &self.user, &self.new_hash(&password)?)
        };
        replace(&path, edited.as_bytes()).with_context(|| format!("{origin} cannot be replaced"))?;
        self.tell(&edited, json)?;
        Ok(ExitCode::SUCCESS)
    }

    fn new_hash(&self, password: &[u8]) -> anyhow::Result<StoredHash> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).context("the system has no random numbers")?;
        Ok(match self.scram {
            true => StoredHash::scram_sha_256(password, salt, self.iterations),
            false => StoredHash::argon2id(password, salt),
        })
    }

    /// Says what was done; and what is wrong with other lines, which were left as they are.
    fn tell(&self, edited: &str, json: bool) -> io::Result<()> {
        let faults = PasswordFile::parse(edited, &self.file.display().to_string()).err().unwrap_or_default();
        let done = if self.delete { "deleted" } else { "set" };
        if json {
            return cli::answer(serde_json::json!({ "user": self.user, "done": done, "faults": faults }));
        }
        cli::answer(format_args!("{}: {} {done}", self.file.display(), self.user))?;
        for fault in faults {
            eprintln!("{fault}");
        }
        Ok(())
    }
}

/// One line without its end. Passwords are bytes to MQTT, so no text is asked for.
fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    Ok(line)
}

/// Asks for a password twice, on the terminal and without echo.
fn prompt() -> anyhow::Result<Vec<u8>> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let terminal = terminal.context("there is no terminal to ask on; give the password with --stdin")?;
    let silence = Silence::over(&terminal).context("the terminal's echo cannot be turned off; use --stdin")?;
    let mut input = BufReader::new(&terminal);
    let mut ask = |question: &str| -> io::Result<Vec<u8>> {
        (&terminal).write_all(question.as_bytes())?;
        let line = read_line(&mut input)?;
        (&terminal).write_all(b"\n")?;
        Ok(line)
    };
    let password = ask("Password: ")?;
    let repeated = ask("Once more: ")?;
    drop(silence);
    if password != repeated {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(password)
}

/// Turns a terminal's echo off until dropped.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn over(terminal: &'a File) -> rustix::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Puts `contents` in the place of the file at `path`: whoever reads sees the old file or the new one, never a part.
///
/// A new file is for its owner only (0600). A file that was there keeps its owner, its group and what they may do; others lose access.
fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_os_string();
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    name.push(format!(".{:016x}.new", u64::from_ne_bytes(random)));
    let beside = folder.join(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = (|| {
        if let Ok(before) = fs::metadata(path) {
            fchown(&file, Some(before.uid()), Some(before.gid()))?;
            file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o660))?;
        }
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // If it was renamed already, there is nothing to remove.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_before_its_line_end() {
        for (input, line) in [("", ""), ("a", "a"), ("a b \n", "a b "), ("a\r\nrest", "a"), ("a\r", "a\r"), ("\n", "")]
        {
            assert_eq!(read_line(&mut input.as_bytes()).unwrap(), line.as_bytes(), "{input:?}");
        }
    }

    #[test]
    fn a_replaced_file_keeps_its_group_and_loses_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        replace(&path, b"one\n").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode()), (b"one\n".to_vec(), 0o600));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"two\n").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode()), (b"two\n".to_vec(), 0o640));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        fs::create_dir_all(path.join("in the way")).unwrap();
        assert!(replace(&path, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_user_deleted_or_misnamed_needs_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwords");
        fs::write(&file, "client:keep\nserver:keep\n").unwrap();
        let delete = |user: &str| PasswdCommand {
            file: file.clone(),
            user: user.into(),
            stdin: false,
            delete: true,
            scram: false,
            iterations: SCRAM_ITERATIONS,
        };
        let run = |user: &str| delete(user).run(true);
        let code = |done: anyhow::Result<ExitCode>| format!("{:?}", done.unwrap());
        assert_eq!(code(run("client")), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(fs::read_to_string(&file).unwrap(), "server:keep\n");
        for user in ["client", "anonymous", "a:b", ""] {
            assert_eq!(code(run(user)), format!("{:?}", ExitCode::from(2)), "{user:?}");
        }
    }
}
