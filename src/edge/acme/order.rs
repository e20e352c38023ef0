//! One certificate, from the account to the chain (RFC 8555 §7).

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};

use super::challenges::{Challenges, Proofs};
use super::config::ExternalAccount;
use super::courier::Courier;
use super::store::Store;
use super::{AcmeChallenge, AcmeConfig};

/// How long the authority may take to look at the proofs, and again to issue.
const POLLING: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));

/// RFC 8555 §6.7.
const ACCOUNT_GONE: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why there is no certificate.
#[derive(Debug)]
pub(super) struct Failure {
    /// The name that it failed for, if it was a single one.
    pub(super) domain: Option<String>,
    /// In the authority's words, where it has said something.
    pub(super) problem: String,
    /// When the authority wants to be asked again.
    pub(super) retry_at: Option<Instant>,
}

impl Failure {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { domain: None, problem: problem.into(), retry_at: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let retry_at = if let Error::Timeout(at) = &error { *at } else { None };
        let problem = match error {
            Error::Api(problem) => told(&problem),
            error => error.to_string(),
        };
        Self { retry_at, ..Self::new(problem) }
    }
}

/// Orders a certificate; its private key and its chain, PEM.
pub(super) async fn order(
    config: &AcmeConfig,
    store: &Store,
    courier: &Courier,
    challenges: &Challenges,
) -> Result<String, Failure> {
    let account = account(config, store, courier).await?;
    let identifiers: Vec<Identifier> = config.domains.iter().cloned().map(Identifier::Dns).collect();
    let ordered = account.new_order(&NewOrder::new(&identifiers)).await;
    let mut order = match ordered {
        Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(ACCOUNT_GONE) => {
            // The next attempt makes another one.
            let _ = store.forget_account();
            return Err(Error::Api(problem).into());
        }
        ordered => ordered?,
    };
    let proofs = proofs(config, &mut order).await?;
    let shown = challenges.show(proofs);
    if matches!(order.state().status, OrderStatus::Pending) {
        claim(config, &mut order).await?;
    }
    drop(shown);
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&POLLING).await?;
    Ok(key + &chain)
}

/// The account that is stored, or another one.
async fn account(config: &AcmeConfig, store: &Store, courier: &Courier) -> Result<Account, Failure> {
    let builder = Account::builder_with_http(Box::new(courier.clone()));
    let stored = store.account().map_err(|error| Failure::new(format!("the account cannot be read: {error}")))?;
    if let Some(stored) = stored {
        let credentials = serde_json::from_slice::<AccountCredentials>(&stored);
        // What a crash or a hand has left of it is nobody's account.
        if let Ok(credentials) = credentials {
            return Ok(builder.from_credentials(credentials).await?);
        }
    }
    let external = config.eab.as_ref().map(external_key).transpose().map_err(Failure::new)?;
    let contact: Vec<&str> = config.contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&new, config.directory.uri().to_string(), external.as_ref()).await?;
    let kept = serde_json::to_string(&credentials).map_err(std::io::Error::other);
    kept.and_then(|json| store.keep_account(&json))
        .map_err(|error| Failure::new(format!("the account cannot be stored: {error}")))?;
    Ok(account)
}

/// The key of an external account, from its file.
pub(super) fn external_key(external: &ExternalAccount) -> Result<ExternalAccountKey, String> {
    let text = std::fs::read_to_string(&external.key_file).map_err(|error| error.to_string())?;
    let key = BASE64_URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
    match key {
        Ok(key) if !key.is_empty() => Ok(ExternalAccountKey::new(external.kid.clone(), &key)),
        _ => Err("no key in base64url".to_owned()),
    }
}

fn kind(challenge: AcmeChallenge) -> ChallengeType {
    match challenge {
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        AcmeChallenge::Http01 => ChallengeType::Http01,
    }
}

/// What the authority will look for.
async fn proofs(config: &AcmeConfig, order: &mut Order) -> Result<Proofs, Failure> {
    let mut proofs = Proofs::default();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let domain = authorization.identifier().to_string();
        let fail = |problem: String| Failure { domain: Some(domain.clone()), ..Failure::new(problem) };
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            status => return Err(fail(format!("its authorization is {status:?}"))),
        }
        let Some(challenge) = authorization.challenge(kind(config.challenge)) else {
            return Err(fail(format!("the authority does not offer {}", config.challenge.name())));
        };
        let proof = challenge.key_authorization();
        match config.challenge {
            AcmeChallenge::Http01 => proofs.add_page(&challenge.token, proof.as_str()),
            AcmeChallenge::TlsAlpn01 => proofs.add_handshake(&domain, proof.digest().as_ref()).map_err(fail)?,
        }
    }
    Ok(proofs)
}

/// Has the authority look, and waits until it has.
async fn claim(config: &AcmeConfig, order: &mut Order) -> Result<(), Failure> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Pending
            && let Some(mut challenge) = authorization.challenge(kind(config.challenge))
        {
            challenge.set_ready().await?;
        }
    }
    match order.poll_ready(&POLLING).await {
        Ok(OrderStatus::Ready) => Ok(()),
        Err(error @ Error::Timeout(_)) => Err(error.into()),
        refused => {
            let of_order = refused.err().map_or_else(|| Failure::new("the order is invalid"), Failure::from);
            Err(refusal(order).await.unwrap_or(of_order))
        }
    }
}

/// What the authority says of the first proof that did not convince it.
async fn refusal(order: &mut Order) -> Option<Failure> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            let domain = Some(state.identifier().to_string());
            return Some(Failure { domain, ..Failure::new(told(problem)) });
        }
    }
    None
}

/// A problem document (RFC 7807) in a line. It is another's text: no control characters of it reach the log.
fn told(problem: &Problem) -> String {
    const LENGTH_MAX: usize = 1000;
    problem.to_string().chars().take(LENGTH_MAX).map(|char| if char.is_control() { ' ' } else { char }).collect()
}
