//! An authority that speaks ACME (RFC 8555): it trusts nothing that is not signed, looks at proofs itself, and issues from its own root.
//!
//! As with Pebble, a test says where the validator connects, since no name leads here and no port is 443.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData, SignatureAlgorithm};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::PATIENCE;
use super::certificates::Certificates;

/// See the module. It runs until the test process ends.
pub struct Authority {
    address: SocketAddr,
    shared: Arc<Shared>,
    root: CertificateDer<'static>,
}

struct Shared {
    address: SocketAddr,
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    behaviour: Behaviour,
    validate_at: Option<SocketAddr>,
    nonces: HashSet<String>,
    /// By URL: public point and thumbprint.
    accounts: HashMap<String, (Vec<u8>, String)>,
    orders: Vec<Order>,
    count: u64,
    seen: Seen,
}

/// How it behaves from now on.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// How long its certificates are good.
    pub lifetime: Duration,
    /// So many good nonces are refused.
    pub bad_nonces: u32,
    /// Orders are refused with 429, and this many seconds to wait.
    pub rate_limit: Option<u32>,
    /// The key identifier and the MAC key that an account needs.
    pub external: Option<(String, Vec<u8>)>,
}

/// What it has done and been asked.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub accounts: u32,
    pub orders: u32,
    pub refused_orders: u32,
    pub bad_nonces: u32,
    pub proofs: Vec<(String, String)>,
    pub issued: u32,
    pub contact: Vec<String>,
}

struct Order {
    domains: Vec<String>,
    tokens: Vec<String>,
    /// `None`: nobody has claimed it.
    verdicts: Vec<Option<Result<(), String>>>,
    chain: Option<String>,
    is_processing: bool,
}

impl Authority {
    pub fn start() -> Self {
        let key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Tidegate test ACME root");
        let root = params.self_signed(&key).expect("a self-signed certificate");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let behaviour =
            Behaviour { lifetime: Duration::from_secs(90 * 86_400), bad_nonces: 0, rate_limit: None, external: None };
        let state = State {
            behaviour,
            validate_at: None,
            nonces: HashSet::new(),
            accounts: HashMap::new(),
            orders: Vec::new(),
            count: 0,
            seen: Seen::default(),
        };
        let shared = Arc::new(Shared {
            address,
            issuer: Issuer::new(params, key),
            root_pem: root.pem(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let certificates = Certificates::get();
        let chain = CertificateDer::pem_slice_iter(certificates.server_pem.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("the run's certificate");
        let key = PrivateKeyDer::from_pem_slice(certificates.server_key_pem.as_bytes()).expect("the run's key");
        let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a pair");
        let (serving, tls) = (Arc::clone(&shared), Arc::new(tls));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, tls) = (Arc::clone(&serving), Arc::clone(&tls));
                std::thread::spawn(move || {
                    let session = ServerConnection::new(tls).expect("a configuration that works");
                    shared.serve(StreamOwned::new(session, stream));
                });
            }
        });
        Self { address, shared, root: root.der().clone() }
    }

    /// The URL of its directory. Its own certificate is the run's, not one of its root.
    pub fn directory(&self) -> String {
        format!("https://{}/directory", self.address)
    }

    /// Has its validator connect there; until it is said, it waits.
    pub fn validate_at(&self, address: SocketAddr) {
        self.shared.lock().validate_at = Some(address);
        self.shared.changed.notify_all();
    }

    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.lock().behaviour);
    }

    pub fn seen(&self) -> Seen {
        self.shared.lock().seen.clone()
    }

    /// Waits until what it has seen `is_wanted`.
    pub fn wait(&self, is_wanted: impl Fn(&Seen) -> bool) -> Seen {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        while !is_wanted(&state.seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{:?}", state.seen);
            state = self.shared.changed.wait_timeout(state, left).expect("no panic while held").0;
        }
        state.seen.clone()
    }

    /// A client that trusts its root and nobody else.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone()).expect("an authority");
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }
}

/// A client that believes any certificate, to look at it.
pub fn credulous(protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// What an answer is made of.
struct Reply {
    status: u16,
    fields: Vec<(&'static str, String)>,
    content_type: &'static str,
    body: String,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, fields: Vec::new(), content_type: "application/json", body: body.to_string() }
    }

    fn problem(status: u16, kind: &str, detail: &str) -> Self {
        let body = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail });
        Self { content_type: "application/problem+json", ..Self::json(status, &body) }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

/// A request whose signature is good.
struct Signed {
    payload: Value,
    thumbprint: String,
    point: Vec<u8>,
    jwk: Option<Value>,
    kid: Option<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    fn serve(&self, mut stream: impl Read + Write) {
        while let Some((method, path, body)) = read_request(&mut stream) {
            let reply = self.answer(&method, &path, &body).unwrap_or_else(|problem| problem);
            let mut state = self.lock();
            state.count += 1;
            let nonce = BASE64.encode(Sha256::digest(format!("nonce {}", state.count)));
            state.nonces.insert(nonce.clone());
            drop(state);
            self.changed.notify_all();
            let mut head = format!("HTTP/1.1 {} X\r\nReplay-Nonce: {nonce}\r\n", reply.status);
            head += &format!("Content-Type: {}\r\nContent-Length: {}\r\n", reply.content_type, reply.body.len());
            for (name, value) in &reply.fields {
                head += &format!("{name}: {value}\r\n");
            }
            let body = if method == "HEAD" { "" } else { &reply.body };
            if stream.write_all(format!("{head}\r\n{body}").as_bytes()).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> Result<Reply, Reply> {
        match (method, path) {
            ("GET", "/directory") => {
                let meta = json!({ "externalAccountRequired": self.lock().behaviour.external.is_some() });
                return Ok(Reply::json(
                    200,
                    &json!({
                        "newNonce": self.url("/nonce"),
                        "newAccount": self.url("/account"),
                        "newOrder": self.url("/order"),
                        "meta": meta,
                    }),
                ));
            }
            ("HEAD", "/nonce") => return Ok(Reply::json(200, &Value::Null)),
            ("POST", _) => {}
            _ => return Err(Reply::problem(404, "malformed", "there is nothing")),
        }
        let signed = self.verify(path, body)?;
        let parts: Vec<&str> = path.split('/').collect();
        let number = |index: usize| {
            let number = parts.get(index).and_then(|part| part.parse::<usize>().ok());
            number.ok_or_else(|| Reply::problem(404, "malformed", "there is no such thing"))
        };
        match parts.get(1).copied() {
            Some("account") => self.new_account(&signed),
            _ if signed.kid.is_none() => Err(Reply::problem(400, "malformed", "a kid is needed")),
            Some("order") if parts.len() == 2 => self.new_order(&signed),
            Some("order") => Ok(self.order(number(2)?)),
            Some("authorization") => Ok(self.authorization(number(2)?, number(3)?)),
            Some("challenge") => Ok(self.validate(number(2)?, number(3)?, parts[4], &signed.thumbprint)),
            Some("finalize") => self.finalize(number(2)?, &signed.payload),
            Some("certificate") => {
                let chain = self.lock().orders[number(2)?].chain.clone().unwrap_or_default();
                Ok(Reply {
                    content_type: "application/pem-certificate-chain",
                    body: chain,
                    ..Reply::json(200, &Value::Null)
                })
            }
            _ => Err(Reply::problem(404, "malformed", "there is nothing")),
        }
    }

    /// RFC 8555 §6.2 to §6.5.
    fn verify(&self, path: &str, body: &[u8]) -> Result<Signed, Reply> {
        let malformed = |detail: &str| Reply::problem(400, "malformed", detail);
        let body: Value = serde_json::from_slice(body).map_err(|_| malformed("no JSON"))?;
        let text = |name: &str| body[name].as_str().map(str::to_owned).ok_or_else(|| malformed(name));
        let (protected, payload, signature) = (text("protected")?, text("payload")?, text("signature")?);
        let header: Value = decode(&protected)
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| malformed("protected"))?;
        if header["alg"] != "ES256" || header["url"] != self.url(path) {
            return Err(malformed("alg or url"));
        }
        {
            let mut state = self.lock();
            let nonce = header["nonce"].as_str().unwrap_or_default();
            let is_good = state.nonces.remove(nonce);
            if !is_good || state.behaviour.bad_nonces > 0 {
                state.behaviour.bad_nonces = state.behaviour.bad_nonces.saturating_sub(1);
                state.seen.bad_nonces += 1;
                return Err(Reply::problem(400, "badNonce", "not one of mine"));
            }
        }
        let kid = header["kid"].as_str().map(str::to_owned);
        let jwk = header.get("jwk").cloned();
        let (point, thumbprint) = match (&kid, &jwk) {
            (Some(kid), None) => {
                let known = self.lock().accounts.get(kid).cloned();
                known.ok_or_else(|| Reply::problem(400, "accountDoesNotExist", "no such account"))?
            }
            (None, Some(jwk)) => public_key(jwk).ok_or_else(|| malformed("jwk"))?,
            _ => return Err(malformed("kid or jwk, one of them")),
        };
        let signature = decode(&signature).ok_or_else(|| malformed("signature"))?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
            .verify(format!("{protected}.{payload}").as_bytes(), &signature)
            .map_err(|_| Reply::problem(403, "unauthorized", "the signature is wrong"))?;
        let payload = decode(&payload).filter(|bytes| !bytes.is_empty());
        let payload = payload.map_or(Ok(Value::Null), |bytes| serde_json::from_slice(&bytes));
        Ok(Signed { payload: payload.map_err(|_| malformed("payload"))?, thumbprint, point, jwk, kid })
    }

    fn new_account(&self, signed: &Signed) -> Result<Reply, Reply> {
        let mut state = self.lock();
        if signed.payload["termsOfServiceAgreed"] != true {
            return Err(Reply::problem(403, "userActionRequired", "the terms of service"));
        }
        if let Some((kid, key)) = &state.behaviour.external
            && !is_bound(&signed.payload["externalAccountBinding"], signed, kid, key, &self.url("/account"))
        {
            return Err(Reply::problem(403, "externalAccountRequired", "who are you otherwise?"));
        }
        state.seen.accounts += 1;
        let contact = signed.payload["contact"].as_array().cloned().unwrap_or_default();
        state.seen.contact = contact.iter().filter_map(|url| url.as_str().map(str::to_owned)).collect();
        let kid = self.url(&format!("/account/{}", state.seen.accounts));
        state.accounts.insert(kid.clone(), (signed.point.clone(), signed.thumbprint.clone()));
        Ok(Reply::json(201, &json!({ "status": "valid" })).with("Location", kid))
    }

    fn new_order(&self, signed: &Signed) -> Result<Reply, Reply> {
        let mut state = self.lock();
        if let Some(seconds) = state.behaviour.rate_limit {
            state.seen.refused_orders += 1;
            return Err(
                Reply::problem(429, "rateLimited", "too many orders of late").with("Retry-After", seconds.to_string())
            );
        }
        let identifiers = signed.payload["identifiers"].as_array().cloned().unwrap_or_default();
        let domains: Vec<String> = identifiers
            .iter()
            .filter(|identifier| identifier["type"] == "dns")
            .filter_map(|identifier| identifier["value"].as_str().map(str::to_owned))
            .collect();
        let index = state.orders.len();
        let token = |domain: &String| BASE64.encode(Sha256::digest(format!("token {index} {domain}")));
        let tokens = domains.iter().map(token).collect();
        let verdicts = vec![None; domains.len()];
        state.orders.push(Order { domains, tokens, verdicts, chain: None, is_processing: false });
        state.seen.orders += 1;
        drop(state);
        let reply = self.order(index);
        Ok(Reply { status: 201, ..reply }.with("Location", self.url(&format!("/order/{index}"))))
    }

    fn order(&self, index: usize) -> Reply {
        let mut state = self.lock();
        let order = &mut state.orders[index];
        let verdicts = || order.verdicts.iter();
        let status = match () {
            () if order.is_processing => "processing",
            () if order.chain.is_some() => "valid",
            () if verdicts().any(|verdict| matches!(verdict, Some(Err(_)))) => "invalid",
            () if verdicts().all(|verdict| matches!(verdict, Some(Ok(())))) => "ready",
            () => "pending",
        };
        // It takes until it is asked once more.
        order.is_processing = false;
        let part = |name: &str| self.url(&format!("/{name}/{index}"));
        let authorization = |at: usize| format!("{}/{at}", part("authorization"));
        let mut body = json!({
            "status": status,
            "identifiers": order.domains.iter().map(|domain| json!({ "type": "dns", "value": domain })).collect::<Vec<_>>(),
            "authorizations": (0..order.domains.len()).map(authorization).collect::<Vec<_>>(),
            "finalize": part("finalize"),
        });
        if status == "valid" {
            body["certificate"] = part("certificate").into();
        }
        Reply::json(200, &body)
    }

    fn challenges(&self, index: usize, at: usize, order: &Order) -> Vec<Value> {
        let challenge = |kind: &&str| {
            let mut challenge = json!({
                "type": kind,
                "url": self.url(&format!("/challenge/{index}/{at}/{kind}")),
                "token": order.tokens[at],
                "status": match &order.verdicts[at] {
                    None => "pending",
                    Some(Ok(())) => "valid",
                    Some(Err(_)) => "invalid",
                },
            });
            if let Some(Err(detail)) = &order.verdicts[at] {
                challenge["error"] = json!({ "type": "urn:ietf:params:acme:error:connection", "detail": detail });
            }
            challenge
        };
        ["http-01", "dns-01", "tls-alpn-01"].iter().map(challenge).collect()
    }

    fn authorization(&self, index: usize, at: usize) -> Reply {
        let state = self.lock();
        let order = &state.orders[index];
        let challenges = self.challenges(index, at, order);
        let status = challenges[0]["status"].clone();
        let identifier = json!({ "type": "dns", "value": order.domains[at] });
        Reply::json(200, &json!({ "status": status, "identifier": identifier, "challenges": challenges }))
    }

    /// Looks at the proof where the test says that the name leads.
    fn validate(&self, index: usize, at: usize, kind: &str, thumbprint: &str) -> Reply {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        let address = loop {
            if let Some(address) = state.validate_at {
                break address;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            state = self.changed.wait_timeout(state, left).expect("no panic while held").0;
        };
        let (domain, token) = (state.orders[index].domains[at].clone(), state.orders[index].tokens[at].clone());
        drop(state);
        let proof = format!("{token}.{thumbprint}");
        let verdict = match kind {
            "http-01" => look_by_http(address, &domain, &token, &proof),
            "tls-alpn-01" => look_by_tls(address, &domain, &proof),
            other => Err(format!("{other} is not looked at")),
        };
        let mut state = self.lock();
        state.seen.proofs.push((domain, verdict.clone().err().unwrap_or_default()));
        state.orders[index].verdicts[at] = Some(verdict);
        let challenges = self.challenges(index, at, &state.orders[index]);
        let mut claimed =
            challenges.into_iter().find(|challenge| challenge["type"] == kind).expect("it is one of them");
        // The outcome is for those who ask again, as with authorities that look later.
        claimed["status"] = "processing".into();
        claimed.as_object_mut().expect("an object").remove("error");
        Reply::json(200, &claimed)
    }

    fn finalize(&self, index: usize, payload: &Value) -> Result<Reply, Reply> {
        let bad = |detail: &str| Reply::problem(400, "badCSR", detail);
        let csr = payload["csr"].as_str().and_then(decode).ok_or_else(|| bad("no CSR"))?;
        let (_, request) = X509CertificationRequest::from_der(&csr).map_err(|_| bad("not DER"))?;
        let info = &request.certification_request_info;
        let point = info.subject_pki.subject_public_key.data.to_vec();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point)
            .verify(info.raw, &request.signature_value.data)
            .map_err(|_| bad("the signature is wrong"))?;
        let names = request.requested_extensions().into_iter().flatten().find_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(names) => Some(dns_names(&names.general_names)),
            _ => None,
        });
        let mut names = names.ok_or_else(|| bad("no names"))?;
        let mut state = self.lock();
        let lifetime = state.behaviour.lifetime;
        let order = &mut state.orders[index];
        names.sort();
        order.domains.sort();
        if names != order.domains {
            return Err(bad("other names than in the order"));
        }
        let is_ready = order.verdicts.iter().all(|verdict| matches!(verdict, Some(Ok(()))));
        if !is_ready {
            return Err(Reply::problem(403, "orderNotReady", "prove first"));
        }
        let mut params = CertificateParams::new(names).map_err(|_| bad("names"))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + now;
        params.not_after = params.not_before + lifetime;
        let leaf = params.signed_by(&Point(point), &self.issuer).map_err(|_| bad("cannot be signed"))?;
        order.chain = Some(leaf.pem() + &self.root_pem);
        order.is_processing = true;
        state.seen.issued += 1;
        drop(state);
        Ok(self.order(index))
    }
}

/// A P-256 key as a certificate wants it.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// The point, and the thumbprint (RFC 7638).
fn public_key(jwk: &Value) -> Option<(Vec<u8>, String)> {
    let (x, y) = (jwk["x"].as_str()?, jwk["y"].as_str()?);
    if jwk["kty"] != "EC" || jwk["crv"] != "P-256" {
        return None;
    }
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let point = [vec![4], decode(x)?, decode(y)?].concat();
    Some((point, BASE64.encode(Sha256::digest(canonical))))
}

/// RFC 8555 §7.3.4.
fn is_bound(binding: &Value, signed: &Signed, kid: &str, key: &[u8], url: &str) -> bool {
    let text = |name: &str| binding[name].as_str().unwrap_or_default();
    let (protected, payload) = (text("protected"), text("payload"));
    let parse = |text: &str| decode(text).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let header = parse(protected).unwrap_or_default();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let signature = decode(text("signature")).unwrap_or_default();
    let is_signed = aws_lc_rs::hmac::verify(&key, format!("{protected}.{payload}").as_bytes(), &signature).is_ok();
    is_signed
        && header["alg"] == "HS256"
        && header["kid"] == kid
        && header["url"] == url
        && parse(payload) == signed.jwk
}

fn dns_names(names: &[GeneralName<'_>]) -> Vec<String> {
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        other => format!("{other}"),
    };
    names.iter().map(name).collect()
}

/// RFC 8555 §8.3.
fn look_by_http(address: SocketAddr, domain: &str, token: &str, proof: &str) -> Result<(), String> {
    let mut stream = connect(address)?;
    let request =
        format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
    match head.starts_with("HTTP/1.1 200 ") && body == proof {
        true => Ok(()),
        false => Err(format!("{head:?} and {body:?}")),
    }
}

/// RFC 8737 §3.
fn look_by_tls(address: SocketAddr, domain: &str, proof: &str) -> Result<(), String> {
    const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";
    let name = ServerName::try_from(domain.to_owned()).map_err(|error| error.to_string())?;
    let session = ClientConnection::new(credulous(&[b"acme-tls/1"]), name).map_err(|error| error.to_string())?;
    let mut stream = StreamOwned::new(session, connect(address)?);
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    let session = &stream.conn;
    if session.is_handshaking() {
        return Err(format!("no handshake: {ended:?}"));
    }
    if session.alpn_protocol() != Some(b"acme-tls/1") || !rest.is_empty() || ended.is_err() {
        return Err(format!("{:?}, then {rest:?} and {ended:?}", session.alpn_protocol()));
    }
    let chain = session.peer_certificates().unwrap_or_default();
    let [leaf] = chain else { return Err(format!("{} certificates", chain.len())) };
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let names = leaf.subject_alternative_name().ok().flatten().map(|names| dns_names(&names.value.general_names));
    if names.as_deref() != Some(&[domain.to_owned()]) {
        return Err(format!("for {names:?}"));
    }
    let extension = leaf.extensions().iter().find(|extension| extension.oid.to_id_string() == ACME_IDENTIFIER);
    let expected = [&[4, 32], Sha256::digest(proof).as_slice()].concat();
    match extension {
        Some(extension) if extension.critical && extension.value == expected => Ok(()),
        other => Err(format!("another proof: {other:?}")),
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| format!("cannot connect: {error}"))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    Ok(stream)
}

fn read_request(stream: &mut impl Read) -> Option<(String, String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 8192];
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let body = &bytes[end + 4..];
        if body.len() >= length {
            let mut words = head.split(' ');
            return Some((words.next()?.to_owned(), words.next()?.to_owned(), body.to_vec()));
        }
    }
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        // Certificates of proofs have an extension that rustls does not know and must not ignore.
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| rustls::CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
