//! TLS of a listener, out of what the servers on it say.

use super::super::yaml::quoted;
use super::Translator;
use super::listens::is_host;
use super::route::list;
use super::scope::Scope;
use super::tokens::Directive;
use super::values::is_plain;

/// How a listener speaks TLS: each key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    /// Certificate, key, OCSP response.
    pub(super) pairs: Vec<(String, String, Option<String>)>,
    pub(super) lines: Vec<String>,
    /// What the certificates could be issued for without certbot, which issued them.
    certbots: Vec<String>,
}

impl Tls {
    pub(super) fn print(&self) -> Vec<String> {
        let mut lines = match self.pairs.as_slice() {
            [(certificate, key, ocsp)] => {
                let ocsp = ocsp.as_ref().map(|ocsp| format!("ocsp: {}", quoted(ocsp)));
                [format!("cert: {}", quoted(certificate)), format!("key: {}", quoted(key))]
                    .into_iter()
                    .chain(ocsp)
                    .collect()
            }
            pairs => {
                let mut lines = vec!["cert:".to_owned()];
                lines.extend(pairs.iter().map(|(certificate, key, ocsp)| {
                    let ocsp = ocsp.as_ref().map_or(String::new(), |ocsp| format!(", ocsp: {}", quoted(ocsp)));
                    format!("  - {{ cert: {}, key: {}{ocsp} }}", quoted(certificate), quoted(key))
                }));
                lines
            }
        };
        if !self.certbots.is_empty() {
            let acme = format!("acme: {{ domains: {}, agree_to_terms: true }}", list(&self.certbots));
            lines.push(format!("# {acme}  # in the place of cert and key; the terms are the authority's"));
        }
        lines.extend(self.lines.iter().cloned());
        lines
    }
}

/// Whether clients have to show a certificate, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Clients {
    pub(super) authority: Option<String>,
    pub(super) is_required: bool,
    crl: Option<String>,
}

const CERTBOTS_FOLDER: &str = "/letsencrypt/live/";

impl<'a> Translator<'a> {
    /// The TLS of the servers of one listener, the default one first; `None` without a certificate.
    pub(super) fn tls(&mut self, servers: &[(&'a Directive, Scope<'a>)]) -> Option<Tls> {
        let mut pairs: Vec<(String, String, Option<String>)> = Vec::new();
        for (_, scope) in servers {
            for pair in self.pairs(scope) {
                if !pairs.contains(&pair) {
                    pairs.push(pair);
                }
            }
        }
        let (_, first) = servers.first()?;
        let mut lines = Vec::new();
        let clients = self.clients(first);
        if let Some(authority) = &clients.authority {
            lines.push(format!("client_ca: {}", quoted(authority)));
            if !clients.is_required {
                lines.push("client_auth: optional".to_owned());
            }
            lines.extend(clients.crl.as_ref().map(|crl| format!("crl: {}", quoted(crl))));
        }
        lines.extend(self.versions(first));
        lines.extend(self.groups(first));
        lines.extend(self.http2(servers));
        let certbots = self.certbots(servers);
        (!pairs.is_empty()).then_some(Tls { pairs, lines, certbots })
    }

    fn pairs(&mut self, scope: &Scope<'a>) -> Vec<(String, String, Option<String>)> {
        let (certificates, keys) = (scope.all("ssl_certificate"), scope.all("ssl_certificate_key"));
        let ocsp = scope.get("ssl_stapling_file");
        let mut pairs = Vec::new();
        for part in certificates.iter().chain(&keys).copied().chain(ocsp) {
            self.book.used(part);
        }
        for (index, certificate) in certificates.iter().enumerate() {
            let is_readable = |text: &str| {
                is_plain(text) && !text.starts_with("data:") && !text.starts_with("engine:") && !text.is_empty()
            };
            match keys.get(index) {
                Some(key) if is_readable(certificate.arg(0)) && is_readable(key.arg(0)) => {
                    let ocsp = ocsp.filter(|_| index == 0).map(|ocsp| self.path(ocsp.arg(0)));
                    pairs.push((self.path(certificate.arg(0)), self.path(key.arg(0)), ocsp));
                }
                Some(_) => self.book.note(certificate, "certificate and key are files", "left out"),
                None => self.book.note(certificate, "no ssl_certificate_key goes with it", "left out"),
            }
        }
        pairs
    }

    /// Whose certificates a server asks clients for.
    pub(super) fn clients(&mut self, scope: &Scope<'a>) -> Clients {
        let parts = ["ssl_verify_client", "ssl_client_certificate", "ssl_crl"].map(|name| scope.get(name));
        parts.iter().flatten().for_each(|part| self.book.used(part));
        let [verify, authority, crl] = parts;
        let asks = verify.map_or("off", |verify| verify.arg(0));
        let is_required = asks == "on";
        let is_asked = is_required || asks == "optional";
        if let Some(verify) = verify.filter(|_| asks == "optional_no_ca") {
            self.book.note(
                verify,
                "a certificate counts only if somebody vouches for it",
                "left out; no client is asked for one",
            );
        }
        let path = |part: Option<&Directive>| part.filter(|_| is_asked).map(|part| self.path(part.arg(0)));
        Clients { authority: path(authority), crl: path(crl), is_required }
    }

    /// nginx speaks HTTP/2 where a server says so, by either spelling; here it is spoken unless it is switched off.
    fn http2(&mut self, servers: &[(&'a Directive, Scope<'a>)]) -> Option<String> {
        let mut answers = Vec::new();
        for (server, scope) in servers {
            let directive = scope.get("http2");
            directive.iter().for_each(|directive| self.book.used(directive));
            let listens = server.block().iter().filter(|part| part.name == "listen");
            let is_listened =
                listens.flat_map(|listen| &listen.args).any(|option| matches!(option.as_str(), "http2" | "spdy"));
            answers.push((is_listened || directive.is_some_and(|directive| directive.arg(0) == "on"), directive));
        }
        let is_any_on = answers.iter().any(|(is_on, _)| *is_on);
        let off = answers.iter().find_map(|(is_on, directive)| directive.filter(|_| !is_on));
        match (off, is_any_on) {
            (Some(_), false) => return Some("http2: false".to_owned()),
            (Some(off), true) => self.book.note(
                off,
                "another server of this listener speaks HTTP/2, and one rule holds for a listener",
                "HTTP/2 is spoken",
            ),
            (None, true) => {}
            (None, false) => {
                let why = "HTTP/2 was not spoken, as neither `listen … http2` nor `http2 on` asks for it; here clients choose";
                let (first, _) = servers.first()?;
                self.book.note_as(first, "server", why, "spoken; tls: { http2: false } leaves it at HTTP/1.1");
            }
        }
        None
    }

    /// The names of servers whose certificates lie where certbot puts them.
    fn certbots(&mut self, servers: &[(&'a Directive, Scope<'a>)]) -> Vec<String> {
        let mut names = Vec::new();
        for (server, scope) in servers {
            let certificate = scope.get("ssl_certificate");
            let Some(certificate) = certificate.filter(|part| part.arg(0).contains(CERTBOTS_FOLDER)) else { continue };
            let why =
                "certbot renews it, and cannot any more where its `authenticator` is nginx (/etc/letsencrypt/renewal)";
            let instead = "read as it is, and again whenever it changes; tls.acme, in a comment there, issues and renews by itself";
            self.book.note(certificate, why, instead);
            let written = server.block().iter().filter(|part| part.name == "server_name").flat_map(|part| &part.args);
            for name in written.map(|name| name.trim_start_matches('.').to_ascii_lowercase()) {
                if is_host(&name) && name.contains('.') && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    fn versions(&mut self, scope: &Scope<'a>) -> Option<String> {
        let directive = scope.get("ssl_protocols")?;
        self.book.used(directive);
        let has = |version: &str| directive.args.iter().any(|arg| arg == version);
        if directive.args.iter().any(|arg| !matches!(arg.as_str(), "TLSv1.2" | "TLSv1.3")) {
            self.book.note(directive, "TLS 1.2 and 1.3 are spoken", "those");
        }
        if has("TLSv1.2") && !has("TLSv1.3") {
            self.book.note(directive, "TLS 1.3 is spoken always", "1.2 and 1.3");
        }
        (has("TLSv1.3") && !has("TLSv1.2")).then(|| "version_min: \"1.3\"".to_owned())
    }

    fn groups(&mut self, scope: &Scope<'a>) -> Option<String> {
        if let Some(tickets) = scope.get("ssl_session_tickets") {
            self.book.used(tickets);
            if tickets.arg(0) == "off" {
                let why = "sessions are resumed by tickets alone, with a key that lies in memory and changes";
                self.book.note(tickets, why, "tickets as usual; tls.tickets: 0 resumes none");
            }
        }
        let directive = scope.get("ssl_ecdh_curve")?;
        self.book.used(directive);
        if directive.arg(0) != "auto" {
            self.book.note(
                directive,
                "the groups are those of tls.key_exchange",
                "X25519MLKEM768, x25519, secp256r1, secp384r1",
            );
        }
        None
    }

    /// The name of a file, from where nginx begins.
    pub(super) fn path(&self, written: &str) -> String {
        if written.starts_with('/') || self.base.is_empty() {
            written.to_owned()
        } else {
            format!("{}/{written}", self.base)
        }
    }
}
