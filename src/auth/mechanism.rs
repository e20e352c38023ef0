//! Enhanced authentication, whatever the mechanism (MQTT 5.0 §4.12): a method's name, and data that go to and fro.
//!
//! A mechanism is a variant of [`Exchange`]: how far it has come. Each [`Mechanisms::step`] takes it, with what the client says, and gives
//! back the next one or an end, so a connection carries one value and knows no method by name.
//!
//! Invariants: an exchange ends after a number of steps that its mechanism fixes (SCRAM: three); a method that failed is never replaced by
//! another, nor by the anonymous identity.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;

use super::scram::{self, Challenge, ClientFirst, KEY_BYTES, ScramError};
use super::{Credentials, PasswordFile, Principal, Refused};

/// What comes of a [`Proof`].
#[derive(Debug)]
pub enum Proving {
    Done(Result<Step, Refused>),
    /// Somebody else has to be asked: await [`Authenticator::prove_token`](super::Authenticator::prove_token).
    Token(Credentials),
}

/// Whom a proof is about, as far as the connection knows: who the client says it is, or has proven to be before.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    pub username: Option<&'a str>,
    pub client_id: &'a str,
    pub address: Option<IpAddr>,
}

/// What a client says in an exchange, and how far that has come. Its `Debug` shows no data.
pub struct Proof {
    /// The Authentication Method.
    pub method: Box<str>,
    /// The Authentication Data.
    pub data: Option<Bytes>,
    /// `None`: this is the beginning.
    pub exchange: Option<Exchange>,
}

/// An exchange that waits for the client.
#[derive(Debug)]
pub struct Exchange(Stage);

#[derive(Debug)]
enum Stage {
    /// The method is agreed upon; nothing was said yet.
    ScramFirst,
    ScramFinal(Box<Challenge>),
}

/// What comes of a [`Proof`] that is not refused. `data` are Authentication Data for the client.
#[derive(Debug)]
pub enum Step {
    /// AUTH with 0x18 Continue authentication.
    Continue { exchange: Exchange, data: Option<Bytes> },
    /// The client is this principal.
    Proven { principal: Principal, data: Option<Bytes> },
}

/// The methods that are offered.
pub(super) struct Mechanisms {
    /// With a secret of this process, of which unknown users' challenges are made. It must not come out of the file: whoever knew all
    /// entries but one could try passwords for that one against challenges to users that do not exist.
    scram: Option<(Arc<PasswordFile>, [u8; KEY_BYTES])>,
}

/// The Authentication Method of tokens: the data is the token, and nothing comes back. The JSON dialect's `auth` is this. It is no mechanism:
/// whoever judges the token of a request judges this one.
pub const TOKEN_METHOD: &str = "token";

impl Mechanisms {
    /// SCRAM-SHA-256 where the password file has an entry for it, and there is a secret.
    pub(super) fn new(passwords: Option<&Arc<PasswordFile>>, secret: Option<[u8; KEY_BYTES]>) -> Self {
        let passwords = passwords.filter(|passwords| passwords.has_scram());
        Self { scram: passwords.cloned().zip(secret) }
    }

    /// Takes an exchange one step further. `nonce` is random.
    pub(super) fn step(&self, proof: Proof, nonce: u128) -> Result<Step, Refused> {
        let Some((passwords, secret)) = self.scram.as_ref().filter(|_| *proof.method == *scram::METHOD) else {
            return Err(Refused::UnknownMethod);
        };
        let answer = match (proof.exchange.map(|exchange| exchange.0), proof.data) {
            // A client may name the method alone; that the server speaks first then means "go on" (RFC 4422 §3.3).
            (None, None) => return Ok(Step::Continue { exchange: Exchange(Stage::ScramFirst), data: None }),
            (None | Some(Stage::ScramFirst), Some(data)) => scram_first(passwords, secret, &data, nonce),
            (Some(Stage::ScramFinal(challenge)), Some(data)) => scram_final(*challenge, &data),
            (Some(_), None) => Err(ScramError::Malformed),
        };
        answer.map_err(|error| {
            tracing::debug!(method = scram::METHOD, %error, "proof refused");
            Refused::NotProven
        })
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("method", &self.method)
            .field("data", &self.data.as_ref().map(|_| "redacted"))
            .field("exchange", &self.exchange)
            .finish()
    }
}

fn scram_first(
    passwords: &PasswordFile,
    secret: &[u8; KEY_BYTES],
    data: &[u8],
    nonce: u128,
) -> Result<Step, ScramError> {
    let first = ClientFirst::parse(data)?;
    // There is one for every name as long as SCRAM is offered.
    let (verifier, is_known) = passwords.verifier(first.username(), secret).ok_or(ScramError::WrongProof)?;
    let nonce = STANDARD_NO_PAD.encode(nonce.to_be_bytes());
    let (challenge, server_first) = first.challenge(&verifier, is_known, &nonce);
    let exchange = Exchange(Stage::ScramFinal(Box::new(challenge)));
    Ok(Step::Continue { exchange, data: Some(server_first.into()) })
}

fn scram_final(challenge: Challenge, data: &[u8]) -> Result<Step, ScramError> {
    let proven = challenge.conclude(data)?;
    Ok(Step::Proven { principal: Principal::user(&proven.username), data: Some(proven.server_final.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORDS: &str = "anna:SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==\
        $Y2eRFXLWrUnuM8NBTPPoG0Na9Jo+iWz9y0qDnDeJljg=:i9OU/WREaWC16d96s1DBISzhBItqQjA4x+ra3A4ZmKc=\n";

    const SECRET: Option<[u8; KEY_BYTES]> = Some([7; KEY_BYTES]);

    fn mechanisms() -> Mechanisms {
        Mechanisms::new(Some(&Arc::new(PasswordFile::parse(PASSWORDS, "passwords").unwrap())), SECRET)
    }

    fn proof(data: Option<&str>, exchange: Option<Exchange>) -> Proof {
        let data = data.map(|data| Bytes::copy_from_slice(data.as_bytes()));
        Proof { method: scram::METHOD.into(), data, exchange }
    }

    fn first_of(step: Result<Step, Refused>) -> (Exchange, String) {
        match step {
            Ok(Step::Continue { exchange, data: Some(data) }) => {
                (exchange, String::from_utf8(data.to_vec()).expect("text"))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_exchange_is_three_steps_long_at_most() {
        let mechanisms = mechanisms();
        let Ok(Step::Continue { exchange, data: None }) = mechanisms.step(proof(None, None), 1) else {
            panic!("an empty challenge");
        };
        let first = scram::client::first("anna");
        let (exchange, server_first) = first_of(mechanisms.step(proof(Some(&first), Some(exchange)), 1));
        let (last, server_final) = scram::client::last("anna", "correct horse", &server_first);
        match mechanisms.step(proof(Some(&last), Some(exchange)), 1) {
            Ok(Step::Proven { principal, data }) => {
                assert_eq!((&*principal.username, data.as_deref()), ("anna", Some(server_final.as_bytes())));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_exchange_has_a_nonce_of_its_own() {
        let mechanisms = mechanisms();
        let first = scram::client::first("anna");
        let (first_exchange, heard) = first_of(mechanisms.step(proof(Some(&first), None), 1));
        let (_, other) = first_of(mechanisms.step(proof(Some(&first), None), 2));
        assert_ne!(heard, other);
        // What proved something once proves nothing again.
        let (last, _) = scram::client::last("anna", "correct horse", &other);
        let replayed = mechanisms.step(proof(Some(&last), Some(first_exchange)), 3);
        assert!(matches!(replayed, Err(Refused::NotProven)), "{replayed:?}");
    }

    #[test]
    fn without_an_entry_there_is_no_method() {
        let plain = "old:$7$101$IHW4BgQ9UU0uaaOY$LQIKMyP5KORWnFszayRYifqSelM5T98wHHZyjhdxCbAQLPw9iRY3vK3oi3jgFEU/Alge9ZSoElYDV0r27i0q1Q==\n";
        let plain = Arc::new(PasswordFile::parse(plain, "passwords").unwrap());
        for mechanisms in [Mechanisms::new(None, SECRET), Mechanisms::new(Some(&plain), SECRET)] {
            let step = mechanisms.step(proof(Some(&scram::client::first("old")), None), 1);
            assert!(matches!(step, Err(Refused::UnknownMethod)), "{step:?}");
        }
    }

    #[test]
    fn debug_shows_no_data() {
        let shown = format!("{:?}", proof(Some("c=biws,r=x,p=hunter2"), None));
        assert!(shown.contains("SCRAM-SHA-256") && !shown.contains("hunter2"), "{shown}");
    }
}
