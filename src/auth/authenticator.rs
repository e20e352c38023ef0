//! Answers who a client is, with the costly part off the event loop.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::fault::Fault;

use super::certificate::{CertificateName, ClientCertificate, Unusable};
use super::counters::{AuthCounters, increment};
use super::http::{Hook, HttpConfig};
use super::jwt::{JwtConfig, KeySource, Rejected, Verifier, token};
use super::mechanism::{Claimant, Mechanisms, Proving, TOKEN_METHOD};
use super::scram::KEY_BYTES;
use super::{Credentials, PasswordFile, Principal, Proof, Step, Token, load};

/// How clients prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// Whether no credentials mean the principal `anonymous`. Wrong credentials are refused all the same. Default: false.
    pub anonymous: bool,
    /// The password file. With neither it nor `jwt` nor `http` (the default) no method is configured, and credentials are ignored.
    pub passwords: Option<PathBuf>,
    /// Which tokens are taken, if any.
    pub jwt: Option<JwtConfig>,
    /// The HTTP server that is asked, if any.
    pub http: Option<HttpConfig>,
    /// Which name of a verified client certificate is the username; `None` (the default): a certificate says nothing of who it is.
    pub certificates: Option<CertificateName>,
    /// Which method is asked first where several could know the credentials. Default: tokens, as they cost the least, and a
    /// request's token before the certificate of its connection, as it is the more particular one.
    pub order: Vec<Method>,
    /// The most passwords hashed at once, at least 1. Each argon2id hash holds 19 MiB and one core for some 20 ms. Default: 2.
    pub hashing_max: usize,
    /// The most logins that wait for their password to be hashed, and as many for keys to be fetched; more are refused at once, instead of
    /// waiting past every deadline. Default: 512.
    pub waiting_max: usize,
}

impl AuthConfig {
    /// Every file that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let keys = self.jwt.as_ref().map(|jwt| match &jwt.keys {
            KeySource::File(path) => Some(path),
            KeySource::Url(url) => url.ca.as_ref(),
        });
        let http = self.http.as_ref().map(|http| [http.ca.as_ref(), http.token_file.as_ref()]);
        [self.passwords.as_ref(), keys.flatten()].into_iter().chain(http.into_iter().flatten()).flatten()
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            anonymous: false,
            passwords: None,
            jwt: None,
            http: None,
            certificates: None,
            order: Method::ALL.to_vec(),
            hashing_max: 2,
            waiting_max: 512,
        }
    }
}

/// A way to find out who somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Jwt,
    Certificates,
    Passwords,
    Http,
}

impl Method {
    pub const ALL: [Self; 4] = [Self::Jwt, Self::Certificates, Self::Passwords, Self::Http];

    /// As the configuration calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Certificates => "certificates",
            Self::Passwords => "passwords",
            Self::Http => "http",
        }
    }
}

/// Why a client was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The credentials are wrong: 0x86, return code 4.
    #[error("bad username or password")]
    BadCredentials,
    /// There are no credentials, and anonymous clients are not let in: 0x87, return code 5.
    #[error("not authorized without credentials")]
    NotAuthorized,
    /// Nobody can say in time who this is, be it for the number of logins or for a server that does not answer: 0x88, return code 3.
    #[error("nobody can say at the moment who this is")]
    Unavailable,
    /// The Authentication Method is not offered: 0x8C.
    #[error("unknown authentication method")]
    UnknownMethod,
    /// An exchange of enhanced authentication failed: 0x87.
    #[error("not proven")]
    NotProven,
}

/// Answers who a client is.
pub struct Authenticator {
    anonymous: bool,
    passwords: Option<Arc<PasswordFile>>,
    tokens: Option<Arc<Verifier>>,
    certificates: Option<CertificateName>,
    hook: Option<Arc<Hook>>,
    order: Vec<Method>,
    mechanisms: Mechanisms,
    waiting_max: usize,
    waiting_for_keys_count: AtomicUsize,
    lasting: Lasting,
}

/// What an authenticator hands on to the one that replaces it.
#[derive(Clone)]
struct Lasting {
    hashing: Arc<Hashing>,
    /// What counts only grows, whoever counts.
    counters: Arc<AuthCounters>,
    /// Of which challenges to unknown users are made: if it changed, theirs would, and nobody else's.
    scram_secret: Option<[u8; KEY_BYTES]>,
}

/// The places where passwords are hashed.
struct Hashing {
    slots: Arc<Semaphore>,
    slots_count: usize,
    waiting_count: AtomicUsize,
}

impl Authenticator {
    /// Reads the password file and the key file, as far as they are configured. Keys of a URL come as soon as [`Self::watch`] runs; who
    /// comes before them is told to come again.
    ///
    /// # Errors
    /// Every fault of the files, or why they cannot be read.
    pub fn new(config: AuthConfig) -> Result<Self, Vec<Fault>> {
        let lasting = Lasting::new(config.hashing_max);
        Self::build(&config, lasting, None)
    }

    /// Reads all files anew for an authenticator that takes the place of this one: it counts where this one does, and its hashes wait in
    /// the same places. What was fetched from the same URL goes over, so that a reload while an issuer is away refuses nobody. Logins that
    /// have begun with this one end with it.
    ///
    /// # Errors
    /// Every fault of the files, or why they cannot be read; this one stays as it is.
    pub fn successor(&self, config: AuthConfig) -> Result<Self, Vec<Fault>> {
        let mut lasting = self.lasting.clone();
        if lasting.hashing.slots_count != slots_count(config.hashing_max) {
            lasting.hashing = Arc::new(Hashing::new(config.hashing_max));
        }
        Self::build(&config, lasting, Some(self))
    }

    fn build(config: &AuthConfig, lasting: Lasting, before: Option<&Self>) -> Result<Self, Vec<Fault>> {
        let counters = || Arc::clone(&lasting.counters);
        let passwords = config.passwords.as_deref().map(load::password_file).transpose();
        let verifier = |jwt| Verifier::new(jwt, counters(), before.and_then(Self::tokens));
        let tokens = config.jwt.clone().map(verifier).transpose();
        let asked = |http| Hook::new(http, counters(), before.and_then(|before| before.hook.as_deref()));
        let hook = config.http.clone().map(asked).transpose();
        match (passwords, tokens, hook) {
            (Ok(passwords), Ok(tokens), Ok(hook)) => {
                let made = Self::with_methods(config, passwords, tokens, lasting);
                Ok(Self { certificates: config.certificates, hook: hook.map(Arc::new), ..made })
            }
            (passwords, tokens, hook) => {
                Err([passwords.err(), tokens.err(), hook.err()].into_iter().flatten().flatten().collect())
            }
        }
    }

    /// An authenticator over passwords that were read already.
    #[must_use]
    pub fn with_passwords(anonymous: bool, passwords: Option<PasswordFile>, hashing_max: usize) -> Self {
        let config = AuthConfig { anonymous, hashing_max, ..AuthConfig::default() };
        Self::with_methods(&config, passwords, None, Lasting::new(hashing_max))
    }

    fn with_methods(
        config: &AuthConfig,
        passwords: Option<PasswordFile>,
        tokens: Option<Verifier>,
        lasting: Lasting,
    ) -> Self {
        let (passwords, tokens) = (passwords.map(Arc::new), tokens.map(Arc::new));
        Self {
            anonymous: config.anonymous,
            mechanisms: Mechanisms::new(passwords.as_ref(), lasting.scram_secret),
            passwords,
            tokens,
            certificates: None,
            hook: None,
            order: config.order.clone(),
            waiting_max: config.waiting_max,
            waiting_for_keys_count: AtomicUsize::new(0),
            lasting,
        }
    }

    /// Answers at once where nothing has to be hashed or read; `None`: await [`Self::authenticate`].
    ///
    /// Each answer is counted: call either this and, only after `None`, the other, or the other alone.
    #[must_use]
    pub fn authenticate_now(&self, credentials: &Credentials) -> Option<Result<Principal, Refused>> {
        if !self.has_method() || !self.brings_any(credentials) {
            let answer = if self.anonymous { Ok(Principal::anonymous()) } else { Err(Refused::NotAuthorized) };
            return Some(self.count(answer));
        }
        self.look_now(credentials).map(|answer| self.count(answer))
    }

    /// The same of `credentials` that bring something; the answer is not counted.
    fn look_now(&self, credentials: &Credentials) -> Option<Result<Principal, Refused>> {
        let mut claims = self.claims(credentials);
        match (claims.next(), claims.next()) {
            // Half of a pair is not "no credentials".
            (None, _) => Some(Err(Refused::BadCredentials)),
            (Some(Claim::Password(..) | Claim::Whatever(_)), _) => None,
            // Nothing goes beside it.
            (Some(Claim::Certificate(certificate, name, username)), _) => Some(identify(certificate, name, username)),
            (Some(Claim::Token(tokens, token, username)), other) => match tokens.verify(token, username) {
                Err(rejected) if rejected.is_for_want_of_keys() => None,
                // Another method may know better, in a time of its own.
                Err(_) if other.is_some() => None,
                answer => {
                    tokens.count(answer.as_ref().map_err(|rejected| *rejected));
                    Some(answer.map_err(refusal))
                }
            },
        }
    }

    /// Answers who sent `credentials`. Hashing takes tens of milliseconds or more, on a thread for blocking work.
    ///
    /// Methods are asked in their order; who knows the credentials answers, and if none does they are wrong. If the future is dropped, a
    /// hash that was begun still keeps its slot until it is done.
    ///
    /// # Errors
    /// Why the client is refused.
    pub async fn authenticate(&self, credentials: Credentials) -> Result<Principal, Refused> {
        if let Some(answer) = self.authenticate_now(&credentials) {
            return answer;
        }
        self.count(self.look(&credentials).await)
    }

    /// Asks one method after the other; the answer is not counted.
    async fn look(&self, credentials: &Credentials) -> Result<Principal, Refused> {
        let mut refused = Refused::BadCredentials;
        for claim in self.claims(credentials) {
            let answer = match claim {
                Claim::Token(tokens, token, username) => self.verify_token(tokens, token, username).await,
                Claim::Certificate(certificate, name, username) => identify(certificate, name, username),
                Claim::Password(passwords, username, password) => {
                    self.verify_password(Arc::clone(passwords), username, password).await
                }
                Claim::Whatever(hook) => hook.authenticate(credentials).await,
            };
            match answer {
                Err(Refused::BadCredentials) => {}
                Err(other) => refused = other,
                accepted => return accepted,
            }
        }
        Err(refused)
    }

    /// What `credentials` could be to whom, in the order in which it is looked at. What CONNECT says goes before what the connection
    /// brings along; that is not looked at then. Of what it brings, the token of a request and a certificate, the first in the order counts:
    /// neither makes the other good.
    fn claims<'a>(&'a self, credentials: &'a Credentials) -> impl Iterator<Item = Claim<'a>> {
        let username = credentials.username.as_deref();
        let password = match (&self.passwords, username, &credentials.password) {
            (Some(passwords), Some(username), Some(password)) => Some(Claim::Password(passwords, username, password)),
            _ => None,
        };
        let token = match (&self.tokens, &credentials.password, &credentials.token) {
            // What has not the form of a token is meant for the password file, if that can know it.
            (Some(_), Some(secret), _) if password.is_some() && !token::is_shaped(secret) => None,
            (Some(tokens), Some(secret), _) => Some(Claim::Token(tokens, secret, username)),
            (Some(tokens), None, Some(token)) => Some(Claim::Token(tokens, token.as_bytes(), username)),
            _ => None,
        };
        let brings_token = credentials.request_token().is_some() && self.takes_tokens();
        let place = |method| self.order.iter().position(|&other| other == method);
        let of_token = [
            self.tokens.as_ref().and_then(|_| place(Method::Jwt)),
            self.hook.as_ref().and_then(|_| place(Method::Http)),
        ];
        let is_certificate_first = match (place(Method::Certificates), of_token.into_iter().flatten().min()) {
            (Some(certificates), Some(token)) => certificates < token,
            (_, token) => token.is_none(),
        };
        let certificate = match (self.certificates, &credentials.certificate, &credentials.password) {
            (Some(name), Some(certificate), None) if !brings_token || is_certificate_first => {
                Some(Claim::Certificate(certificate, name, username))
            }
            _ => None,
        };
        let token = token.filter(|_| certificate.is_none());
        let whatever = self.hook.as_ref().filter(|_| certificate.is_none()).map(Claim::Whatever);
        self.order.iter().filter_map(move |method| match method {
            Method::Http => whatever,
            Method::Jwt => token,
            Method::Certificates => certificate,
            Method::Passwords => password,
        })
    }

    /// Whether there is anything in `credentials` that a configured method could look at, or half of it.
    fn brings_any(&self, credentials: &Credentials) -> bool {
        let is_said = credentials.username.is_some() || credentials.password.is_some();
        is_said
            || (self.takes_tokens() && credentials.token.is_some())
            || (self.certificates.is_some() && credentials.certificate.is_some())
    }

    /// Whether somebody knows what to do with the token of a request.
    fn takes_tokens(&self) -> bool {
        self.tokens.is_some() || self.hook.is_some()
    }

    async fn verify_token(
        &self,
        tokens: &Verifier,
        token: &[u8],
        username: Option<&str>,
    ) -> Result<Principal, Refused> {
        let _waiting = self.wait(&self.waiting_for_keys_count)?;
        let answer = tokens.verify_reading(token, username).await;
        tokens.count(answer.as_ref().map_err(|rejected| *rejected));
        answer.map_err(refusal)
    }

    async fn verify_password(
        &self,
        passwords: Arc<PasswordFile>,
        username: &str,
        password: &Bytes,
    ) -> Result<Principal, Refused> {
        let hashing = &self.lasting.hashing;
        let _waiting = self.wait(&hashing.waiting_count)?;
        // The semaphore is never closed, and a hash does not panic; if either happened, nobody would be let in.
        let slot = Arc::clone(&hashing.slots).acquire_owned().await.map_err(|_| Refused::Unavailable)?;
        let (username, password): (Box<str>, _) = (username.into(), password.clone());
        let verified = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            passwords.verify(&username, &password).then(|| Principal::user(&username))
        });
        match verified.await {
            Ok(principal) => principal.ok_or(Refused::BadCredentials),
            Err(_) => Err(Refused::Unavailable),
        }
    }

    /// A place among those who wait.
    fn wait<'a>(&self, count: &'a AtomicUsize) -> Result<Waiting<'a>, Refused> {
        Waiting::enter(count, self.waiting_max).ok_or_else(|| {
            increment(&self.counters().waiting_full);
            Refused::Unavailable
        })
    }

    /// Keeps what was read or fetched up to date, for ever. May be dropped at any time.
    pub async fn watch(&self) {
        match &self.tokens {
            Some(tokens) => tokens.watch().await,
            None => std::future::pending().await,
        }
    }

    /// Which tokens came to what, if any are taken.
    #[must_use]
    pub fn tokens(&self) -> Option<&Verifier> {
        self.tokens.as_deref()
    }

    /// Takes an exchange of enhanced authentication one step further; an end is counted. Costs microseconds, as it is the client who
    /// derives keys; what takes longer is handed back. `nonce` is random.
    #[must_use]
    pub fn prove(&self, proof: Proof, claimant: Claimant<'_>, nonce: u128) -> Proving {
        if self.takes_tokens() && *proof.method == *TOKEN_METHOD {
            let Some(credentials) = token_credentials(proof.data.as_deref(), claimant) else {
                return Proving::Done(self.count_token(Err(Refused::NotProven)));
            };
            return match self.look_now(&credentials) {
                Some(answer) => Proving::Done(self.count_token(answer)),
                None => Proving::Token(credentials),
            };
        }
        let step = self.mechanisms.step(proof, nonce);
        match &step {
            Ok(Step::Continue { .. }) => {}
            Ok(Step::Proven { principal, .. }) => self.counters().answered(Ok(principal)),
            Err(refused) => self.counters().answered(Err(*refused)),
        }
        Proving::Done(step)
    }

    /// Judges a token by whoever judges that of a request, in the same order and from the same caches, waiting for a server or for keys.
    ///
    /// # Errors
    /// Why the client is refused: [`Refused::Unavailable`] if nobody could say.
    pub async fn prove_token(&self, credentials: &Credentials) -> Result<Step, Refused> {
        self.count_token(self.look(credentials).await)
    }

    fn count_token(&self, answer: Result<Principal, Refused>) -> Result<Step, Refused> {
        let answer = answer.map_err(|refused| match refused {
            Refused::BadCredentials => Refused::NotProven,
            other => other,
        });
        self.count(answer).map(|principal| Step::Proven { principal, data: None })
    }

    /// Whether a way to authenticate is configured.
    #[must_use]
    pub fn has_method(&self) -> bool {
        self.passwords.is_some() || self.takes_tokens() || self.certificates.is_some()
    }

    /// Whether a client certificate says who its client is.
    #[must_use]
    pub fn takes_certificates(&self) -> bool {
        self.certificates.is_some()
    }

    /// Whether a client without credentials comes in, as `anonymous`.
    #[must_use]
    pub fn admits_anonymous(&self) -> bool {
        self.anonymous
    }

    /// How often what was answered, by this authenticator and those before and after it.
    #[must_use]
    pub fn counters(&self) -> &Arc<AuthCounters> {
        &self.lasting.counters
    }

    fn count(&self, answer: Result<Principal, Refused>) -> Result<Principal, Refused> {
        self.counters().answered(answer.as_ref().map_err(|refused| *refused));
        answer
    }
}

/// A token that a client brings by itself; `None`: nobody could take it for one.
fn token_credentials(token: Option<&[u8]>, claimant: Claimant<'_>) -> Option<Credentials> {
    let token = token.filter(|token| token.len() <= TOKEN_BYTES_MAX)?;
    Some(Credentials {
        username: claimant.username.map(Into::into),
        password: None,
        token: Some(Token::new(std::str::from_utf8(token).ok()?)),
        certificate: None,
        client_id: claimant.client_id.into(),
        address: claimant.address,
    })
}

/// The longest token that anybody is asked about: as long as the Authentication Data or the Password of a client (MQTT 5.0 §1.5.6).
const TOKEN_BYTES_MAX: usize = u16::MAX as usize;

/// A token that nobody can judge may be right.
fn refusal(rejected: Rejected) -> Refused {
    match rejected {
        Rejected::NoKeys => Refused::Unavailable,
        _ => Refused::BadCredentials,
    }
}

impl Lasting {
    fn new(hashing_max: usize) -> Self {
        let mut secret = [0; KEY_BYTES];
        Self {
            hashing: Arc::new(Hashing::new(hashing_max)),
            counters: Arc::default(),
            scram_secret: getrandom::fill(&mut secret).is_ok().then_some(secret),
        }
    }
}

impl Hashing {
    fn new(hashing_max: usize) -> Self {
        let slots_count = slots_count(hashing_max);
        Self { slots: Arc::new(Semaphore::new(slots_count)), slots_count, waiting_count: AtomicUsize::new(0) }
    }
}

fn slots_count(hashing_max: usize) -> usize {
    hashing_max.clamp(1, Semaphore::MAX_PERMITS)
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("anonymous", &self.anonymous)
            .field("users_count", &self.passwords.as_ref().map(|passwords| passwords.users_count()))
            .field("counters", self.counters())
            .finish_non_exhaustive()
    }
}

/// What credentials are to one method.
#[derive(Clone, Copy)]
enum Claim<'a> {
    /// With the User Name beside it.
    Token(&'a Verifier, &'a [u8], Option<&'a str>),
    Password(&'a Arc<PasswordFile>, &'a str, &'a Bytes),
    /// For the server to know.
    Whatever(&'a Arc<Hook>),
    /// With the User Name beside it.
    Certificate(&'a ClientCertificate, CertificateName, Option<&'a str>),
}

/// Whose certificate it is. Why it is nobody's is for the operator, who signed it or had it signed.
fn identify(
    certificate: &ClientCertificate,
    name: CertificateName,
    username: Option<&str>,
) -> Result<Principal, Refused> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    certificate.principal(name, username, since_epoch, Instant::now()).map_err(|reason: Unusable| {
        tracing::info!(subject = %certificate.subject, serial = %certificate.serial, %reason, "Client certificate refused");
        Refused::BadCredentials
    })
}

/// A place among those who wait, given back when dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        let next = |count: usize| (count < max).then_some(count + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok().map(|_| Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Token, jwt};
    use super::*;

    const PASSWORDS: &str = "client:$7$101$IHW4BgQ9UU0uaaOY$LQIKMyP5KORWnFszayRYifqSelM5T98wHHZyjhdxCbAQLPw9iRY3vK3oi3jgFEU/Alge9ZSoElYDV0r27i0q1Q==\n";

    fn authenticator(anonymous: bool, has_passwords: bool) -> Authenticator {
        let passwords = has_passwords.then(|| PasswordFile::parse(PASSWORDS, "p").unwrap());
        Authenticator::with_passwords(anonymous, passwords, 1)
    }

    fn token_config(keys: PathBuf) -> JwtConfig {
        JwtConfig {
            keys: jwt::KeySource::File(keys),
            keys_bytes_max: 1 << 20,
            rules: jwt::Rules::default(),
            refresh: std::time::Duration::from_secs(3600),
        }
    }

    fn hashing(authenticator: &Authenticator) -> &Hashing {
        &authenticator.lasting.hashing
    }

    fn credentials(username: Option<&str>, password: Option<&str>) -> Credentials {
        let password = password.map(|password| Bytes::copy_from_slice(password.as_bytes()));
        Credentials {
            username: username.map(Into::into),
            password,
            token: None,
            certificate: None,
            client_id: "c".into(),
            address: None,
        }
    }

    async fn outcome(authenticator: &Authenticator, username: Option<&str>, password: Option<&str>) -> String {
        told(authenticator.authenticate(credentials(username, password)).await)
    }

    fn told(answer: Result<Principal, Refused>) -> String {
        match answer {
            Ok(principal) if principal.is_anonymous => "anonymous".to_owned(),
            Ok(principal) => format!("user {}", principal.username),
            Err(refused) => refused.to_string(),
        }
    }

    #[tokio::test]
    async fn every_combination_has_one_answer() {
        const BAD: &str = "bad username or password";
        const NONE: &str = "not authorized without credentials";
        let (open, closed) = (authenticator(true, true), authenticator(false, true));
        for (username, password, when_open, when_closed) in [
            (None, None, "anonymous", NONE),
            (Some("client"), Some("correct horse"), "user client", "user client"),
            (Some("client"), Some("wrong"), BAD, BAD),
            (Some("client"), Some(""), BAD, BAD),
            (Some("client"), None, BAD, BAD),
            (None, Some("correct horse"), BAD, BAD),
            (Some("stranger"), Some("correct horse"), BAD, BAD),
            (Some("anonymous"), Some(""), BAD, BAD),
            (Some(""), Some(""), BAD, BAD),
        ] {
            assert_eq!(outcome(&open, username, password).await, when_open, "{username:?} {password:?}");
            assert_eq!(outcome(&closed, username, password).await, when_closed, "{username:?} {password:?}");
        }
        assert_eq!(closed.counters().bad_credentials.load(Ordering::Relaxed), 7);
        assert_eq!(open.counters().anonymous.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn without_a_method_credentials_are_ignored() {
        for (username, password) in [(None, None), (Some("client"), Some("wrong")), (Some("x"), None)] {
            assert_eq!(outcome(&authenticator(true, false), username, password).await, "anonymous");
            let refused = outcome(&authenticator(false, false), username, password).await;
            assert_eq!(refused, "not authorized without credentials");
        }
    }

    /// Tokens and the password file, in both orders, and what either says to every combination.
    #[tokio::test]
    async fn methods_are_asked_in_their_order_and_none_excuses_another() {
        const BAD: &str = "bad username or password";
        let (jwks, token) = jwt::tests::key_file_and_token("alice");
        let (_, other) = jwt::tests::key_file_and_token("client");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let forged = format!("{message}.{}", signature.chars().rev().skip(1).chain(['A']).collect::<String>());
        let folder = tempfile::tempdir().unwrap();
        let [keys, passwords] = ["jwks.json", "passwords"].map(|name| folder.path().join(name));
        std::fs::write(&keys, jwks).unwrap();
        std::fs::write(&passwords, PASSWORDS).unwrap();
        let jwt = token_config(keys);
        for order in [[Method::Jwt, Method::Passwords], [Method::Passwords, Method::Jwt]] {
            let config = AuthConfig {
                passwords: Some(passwords.clone()),
                jwt: Some(jwt.clone()),
                order: order.to_vec(),
                ..AuthConfig::default()
            };
            let both = Authenticator::new(AuthConfig { anonymous: true, ..config.clone() }).unwrap();
            let tokens = Authenticator::new(AuthConfig { passwords: None, ..config }).unwrap();
            let (t, w) = (Some(&*token), Some("correct horse"));
            for (username, password, request, of_both, of_tokens) in [
                (None, None, None, "anonymous", "not authorized without credentials"),
                (None, t, None, "user alice", "user alice"),
                (Some(""), t, None, "user alice", "user alice"),
                (Some("alice"), t, None, "user alice", "user alice"),
                (Some("bob"), t, None, BAD, BAD),
                (Some("client"), t, None, BAD, BAD),
                (Some("client"), w, None, "user client", BAD),
                (Some("client"), Some("wrong"), None, BAD, BAD),
                (None, Some(&*forged), None, BAD, BAD),
                // The request's token is the identity of who says nothing, or no other name, in CONNECT.
                (None, None, t, "user alice", "user alice"),
                (Some("alice"), None, t, "user alice", "user alice"),
                (Some("bob"), None, t, BAD, BAD),
                (None, None, Some(&*forged), BAD, BAD),
                (None, None, Some(""), BAD, BAD),
                // Whatever CONNECT says goes before it, be it right or wrong.
                (Some("client"), w, t, "user client", BAD),
                (Some("client"), w, Some(&*forged), "user client", BAD),
                (Some("client"), Some("wrong"), t, BAD, BAD),
                (None, Some(&*other), t, "user client", "user client"),
                (None, Some(&*forged), t, BAD, BAD),
            ] {
                let credentials = Credentials { token: request.map(Token::new), ..credentials(username, password) };
                for (authenticator, expected) in [(&both, of_both), (&tokens, of_tokens)] {
                    let found = told(authenticator.authenticate(credentials.clone()).await);
                    assert_eq!(found, expected, "{order:?} {username:?} {password:?} {request:?}");
                }
            }
            let counters = &tokens.counters().tokens;
            assert_eq!(counters.accepted.load(Ordering::Relaxed), 6);
            let rejected = |reason| counters.rejected(reason);
            assert_eq!((rejected(Rejected::Username), rejected(Rejected::Signature)), (3, 3));
        }
    }

    /// A certificate beside every other way to say who one is.
    #[tokio::test]
    async fn a_certificate_speaks_for_who_says_nothing() {
        const BAD: &str = "bad username or password";
        let certificate = |name: &str| {
            let made = |params: &mut rcgen::CertificateParams| {
                params.distinguished_name.push(rcgen::DnType::CommonName, name);
            };
            Arc::new(super::super::certificate::tests::made(made))
        };
        let (jwks, token) = jwt::tests::key_file_and_token("alice");
        let folder = tempfile::tempdir().unwrap();
        let [keys, passwords] = ["jwks.json", "passwords"].map(|name| folder.path().join(name));
        std::fs::write(&keys, jwks).unwrap();
        std::fs::write(&passwords, PASSWORDS).unwrap();
        let config = AuthConfig {
            anonymous: true,
            passwords: Some(passwords),
            jwt: Some(token_config(keys)),
            certificates: Some(CertificateName::SubjectCn),
            ..AuthConfig::default()
        };
        let last = Authenticator::new(config.clone()).unwrap();
        let first = Authenticator::new(AuthConfig {
            order: vec![Method::Certificates, Method::Jwt, Method::Passwords],
            ..config.clone()
        })
        .unwrap();
        let alone = Authenticator::new(AuthConfig { passwords: None, jwt: None, ..config.clone() }).unwrap();
        let without = Authenticator::new(AuthConfig { certificates: None, ..config }).unwrap();
        let (t, w) = (Some(&*token), Some("correct horse"));
        let device = Some("device");
        for (shown, username, password, request, of_last, of_first, of_alone, of_without) in [
            (device, None, None, None, "user device", "user device", "user device", "anonymous"),
            (device, Some(""), None, None, "user device", "user device", "user device", BAD),
            (device, Some("device"), None, None, "user device", "user device", "user device", BAD),
            (device, Some("client"), None, None, BAD, BAD, BAD, BAD),
            // What CONNECT says goes before it, be it right or wrong.
            (device, Some("client"), w, None, "user client", "user client", BAD, "user client"),
            (device, Some("client"), Some("wrong"), None, BAD, BAD, BAD, BAD),
            (device, None, t, None, "user alice", "user alice", BAD, "user alice"),
            // Of what the connection brings, the order decides, and the other one is no excuse.
            (device, None, None, t, "user alice", "user device", "user device", "user alice"),
            (device, None, None, Some("no.to.ken"), BAD, "user device", "user device", BAD),
            (Some("anonymous"), None, None, None, BAD, BAD, BAD, "anonymous"),
            (Some("anonymous"), None, None, t, "user alice", BAD, BAD, "user alice"),
            (None, None, None, None, "anonymous", "anonymous", "anonymous", "anonymous"),
        ] {
            let credentials = Credentials {
                token: request.map(Token::new),
                certificate: shown.map(certificate),
                ..credentials(username, password)
            };
            for (authenticator, expected) in
                [(&last, of_last), (&first, of_first), (&alone, of_alone), (&without, of_without)]
            {
                let found = told(authenticator.authenticate(credentials.clone()).await);
                assert_eq!(found, expected, "{shown:?} {username:?} {password:?} {request:?}");
            }
        }
    }

    #[tokio::test]
    async fn more_waiting_logins_than_the_cap_are_refused_at_once() {
        let authenticator = authenticator(false, true);
        let _slot = hashing(&authenticator).slots.clone().acquire_owned().await.unwrap();
        hashing(&authenticator).waiting_count.store(authenticator.waiting_max, Ordering::Relaxed);
        let refused = outcome(&authenticator, Some("client"), Some("correct horse")).await;
        assert_eq!(refused, "nobody can say at the moment who this is");
        assert_eq!(authenticator.counters().unavailable.load(Ordering::Relaxed), 1);
        assert_eq!(authenticator.counters().waiting_full.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_login_given_up_while_waiting_leaves_no_trace() {
        let authenticator = authenticator(false, true);
        let slot = hashing(&authenticator).slots.clone().acquire_owned().await.unwrap();
        {
            let mut login = Box::pin(authenticator.authenticate(credentials(Some("client"), Some("correct horse"))));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(login.as_mut().poll(&mut context).is_pending());
            assert_eq!(hashing(&authenticator).waiting_count.load(Ordering::Relaxed), 1);
        }
        assert_eq!(hashing(&authenticator).waiting_count.load(Ordering::Relaxed), 0);
        drop(slot);
        assert_eq!(outcome(&authenticator, Some("client"), Some("correct horse")).await, "user client");
    }

    #[test]
    fn a_password_file_that_cannot_be_read_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let passwords = Some(folder.path().join("missing"));
        let faults = Authenticator::new(AuthConfig { passwords, ..AuthConfig::default() }).unwrap_err();
        assert!(faults[0].found.starts_with("cannot be read"), "{faults:?}");
    }

    #[tokio::test]
    async fn a_successor_reads_anew_and_counts_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        std::fs::write(&path, "").unwrap();
        let config = AuthConfig { passwords: Some(path.clone()), hashing_max: 1, ..AuthConfig::default() };
        let first = Authenticator::new(config.clone()).unwrap();
        let login = || credentials(Some("client"), Some("correct horse"));
        assert_eq!(first.authenticate(login()).await, Err(Refused::BadCredentials));

        std::fs::write(&path, "half a li").unwrap();
        assert!(first.successor(config.clone()).unwrap_err()[0].origin.ends_with("passwords"));

        std::fs::write(&path, PASSWORDS).unwrap();
        let second = first.successor(config.clone()).unwrap();
        let accepted = second.authenticate(login()).await;
        assert_eq!(accepted.map(|principal| principal.username), Ok("client".into()));
        assert_eq!(first.authenticate(login()).await, Err(Refused::BadCredentials), "as it began");
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!((read(&second.counters().bad_credentials), read(&first.counters().accepted)), (2, 1));

        assert!(Arc::ptr_eq(&first.lasting.hashing, &second.lasting.hashing));
        let third = second.successor(AuthConfig { hashing_max: 3, ..config }).unwrap();
        assert_eq!((hashing(&third).slots_count, hashing(&second).slots_count), (3, 1));
        assert_eq!(third.lasting.scram_secret, first.lasting.scram_secret);
    }

    /// Answers every connection's first request with this body, until it is aborted.
    async fn publish(body: String) -> (crate::outgoing::Url, tokio::task::JoinHandle<()>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = crate::outgoing::Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"}") {
                    stream.read_buf(&mut request).await.unwrap();
                }
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
        });
        (url, serving)
    }

    #[tokio::test]
    async fn a_successor_keeps_what_was_fetched_while_nobody_can_be_asked() {
        use std::time::Duration;
        let (jwks, token) = jwt::tests::key_file_and_token("alice");
        let (keys, issuer) = publish(jwks).await;
        let (service, asked) = publish("{\"allow\": true}".to_owned()).await;
        let minute = Duration::from_secs(60);
        let key_url = |url| jwt::KeyUrl { url, ca: None, timeout: minute, stale_max: minute };
        let config = AuthConfig {
            jwt: Some(JwtConfig { keys: jwt::KeySource::Url(key_url(keys)), ..token_config(PathBuf::new()) }),
            http: Some(HttpConfig {
                url: service,
                ca: None,
                token_file: None,
                timeout: minute,
                allow_ttl: minute,
                deny_ttl: minute,
                stale_max: minute,
                cache_max: 9,
                requests_max: 1,
                waiting_max: 9,
                answer_bytes_max: 1024,
            }),
            ..AuthConfig::default()
        };
        let first = Authenticator::new(config.clone()).unwrap();
        assert_eq!(outcome(&first, None, Some(&token)).await, "user alice");
        assert_eq!(outcome(&first, Some("anna"), Some("hat")).await, "user anna");
        issuer.abort();
        asked.abort();
        // Once they are over, their sockets are closed.
        let _ = tokio::join!(issuer, asked);

        let second = first.successor(config.clone()).unwrap();
        assert_eq!(outcome(&second, None, Some(&token)).await, "user alice");
        assert_eq!(outcome(&second, Some("anna"), Some("hat")).await, "user anna");
        let http = &second.counters().http;
        let counted = [&http.requests, &http.cached_stale].map(|counter| counter.load(Ordering::Relaxed));
        assert_eq!(counted, [2, 1], "it was asked again, and failed");
        assert_eq!(outcome(&second, Some("anna"), Some("cap")).await, "nobody can say at the moment who this is");

        let elsewhere = crate::outgoing::Url::parse("http://127.0.0.1:1/").unwrap();
        let jwt = Some(JwtConfig { keys: jwt::KeySource::Url(key_url(elsewhere)), ..token_config(PathBuf::new()) });
        let third = second.successor(AuthConfig { jwt, http: None, ..config }).unwrap();
        assert_eq!(outcome(&third, None, Some(&token)).await, "nobody can say at the moment who this is");
    }
}
