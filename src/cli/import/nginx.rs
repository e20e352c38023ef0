//! nginx's configuration: `nginx.conf` with all it includes, the file of a site alone, or what `nginx -T` prints.
//!
//! | file | |
//! |---|---|
//! | [`tokens`] | words, quotes and blocks |
//! | [`sources`] | files, and what they include ([`glob`]) |
//! | [`scope`] | which directive holds where |
//! | [`known`] | what becomes of each |
//! | [`listens`], [`secure`], [`servers`] | listeners, their TLS, and routes by host |
//! | [`locations`], [`patterns`] | which requests a location gets |
//! | [`actions`], [`passing`], [`fields`], [`guards`] | what it does with them |
//! | [`values`], [`route`], [`printed`] | times and variables; how it is printed |
//!
//! Invariants:
//! - No directive is dropped in silence: each is printed, or told of in a note ([`notebook`]).
//! - What would let in whom nginx kept out is printed closed (403), and so are files that nginx ran instead of showing them.
//! - Nothing here reads a file: [`import`] asks for what is included, and how much that may be is bounded.

mod actions;
mod fields;
pub mod glob;
mod guards;
mod known;
mod listens;
mod locations;
mod notebook;
mod passing;
mod patterns;
mod printed;
mod route;
mod scope;
mod secure;
mod servers;
mod sources;
mod tokens;
mod values;

use std::io;

use crate::fault::Fault;

use super::Imported;
use locations::Location;
use notebook::Notebook;
use scope::Scope;
pub use sources::Named;
use tokens::Directive;

/// Translates the text of a configuration; `read` gives the files that an `include` names, none for a pattern that fits none.
///
/// # Errors
/// The first place at which nginx would refuse it.
pub fn import(
    text: &str,
    origin: &str,
    read: &mut dyn FnMut(&str) -> io::Result<Vec<Named>>,
) -> Result<Imported, Vec<Fault>> {
    let (directives, base) = sources::load(text, origin, read).map_err(|fault| vec![fault])?;
    let mut translator = Translator::new(&directives, base);
    let main = Scope::new(&directives);
    // Without http around them, servers stand in a file that is included there.
    let http = match directives.iter().find(|directive| directive.name == "http") {
        Some(http) => main.within(http.block()),
        None => main,
    };
    let listeners = translator.listeners(&http);
    let body = translator.print(&listeners, &http, origin);
    translator.streams(&directives);
    translator.book.list_rest(&directives);
    Ok(printed::finished(body, translator.book.into_notes(), origin))
}

/// What is known while servers are translated.
#[derive(Debug)]
struct Translator<'a> {
    book: Notebook,
    upstreams: Vec<&'a Directive>,
    maps: Vec<&'a Directive>,
    base: String,
    /// Of the listener whose routes are made.
    scheme: &'static str,
    /// The first name of the server whose routes are made.
    server_name: Option<String>,
    /// Its locations with names.
    named: Vec<Location<'a>>,
}

impl<'a> Translator<'a> {
    fn new(directives: &'a [Directive], base: String) -> Self {
        let in_http = directives.iter().filter(|part| part.name == "http").flat_map(Directive::block);
        let all: Vec<&'a Directive> = directives.iter().chain(in_http).collect();
        let named = |name: &str| all.iter().copied().filter(|part| part.name == name).collect::<Vec<_>>();
        let (upstreams, maps) = (named("upstream"), named("map"));
        let mut book = Notebook::default();
        // What Connection is set to is for WebSockets, which are tunnelled without being told.
        maps.iter().filter(|map| map.arg(0) == "$http_upgrade").for_each(|map| book.used(map));
        Self { book, upstreams, maps, base, scheme: "http", server_name: None, named: Vec::new() }
    }

    /// Servers of `stream`: bytes, which nobody here passes on.
    fn streams(&mut self, directives: &'a [Directive]) {
        let blocks = directives.iter().filter(|part| part.name == "stream");
        let servers: Vec<&'a Directive> =
            blocks.clone().flat_map(Directive::block).filter(|part| part.name == "server").collect();
        blocks.for_each(|block| self.book.used(block));
        for server in servers {
            self.consume_all(server.block());
            let listen = server.block().iter().filter(|part| part.name == "listen");
            for listen in listen {
                let address = listen.arg(0);
                let is_tls = listen.args.iter().any(|arg| arg == "ssl");
                let port = address.rsplit(':').next().unwrap_or(address);
                let host = if address == port {
                    "0.0.0.0:".to_owned()
                } else {
                    address[..address.len() - port.len()].to_owned()
                };
                let instead = match (port, is_tls) {
                    ("1883", false) => format!(
                        "left out; \"mqtt://{host}1883\" under listen is the broker here, with a policy of its own"
                    ),
                    ("8883", _) => format!(
                        "left out; \"mqtts://{host}8883\" under listen is the broker here, with tls.cert and a policy of its own"
                    ),
                    _ => "left out".to_owned(),
                };
                self.book.note_as(
                    listen,
                    format!("stream: listen {address}"),
                    "bytes of other protocols are not passed on",
                    instead,
                );
            }
        }
        for other in directives.iter().filter(|part| part.name == "stream").flat_map(Directive::block) {
            if other.name != "server" {
                self.book.note_as(
                    other,
                    format!("stream: {}", other.text()),
                    "bytes of other protocols are not passed on",
                    "left out",
                );
                self.consume_all(other.block());
            }
        }
    }
}
