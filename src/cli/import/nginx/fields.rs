//! `add_header`: fields of answers, and what of them is CORS.

use std::time::Duration;

use crate::config::units::format_duration;
use crate::edge::CompressionConfig;

use super::super::yaml::quoted;
use super::Translator;
use super::route::list;
use super::scope::Scope;
use super::tokens::Directive;
use super::values::{Part, is_plain, parts, size};

/// What Access-Control-… fields say, as far as it is known.
#[derive(Debug, Default)]
struct Cors<'a> {
    origins: Option<&'a Directive>,
    entries: Vec<(&'static str, String)>,
    has_credentials: bool,
}

impl<'a> Translator<'a> {
    /// `cors` and `headers` of a route, from what holds in `scope`.
    pub(super) fn fields(&mut self, scope: &Scope<'a>) -> Vec<(&'static str, String)> {
        let (mut headers, mut cors) = (Vec::new(), Cors::default());
        // Fields of a preflight's answer alone stand within the condition that finds it.
        let preflight =
            preflights(scope).flat_map(|block| block.block().iter()).filter(|part| part.name == "add_header");
        let all = scope.all("add_header").into_iter().map(|directive| (directive, false));
        for (directive, is_preflights) in all.chain(preflight.map(|directive| (directive, true))) {
            self.book.used(directive);
            let name = directive.arg(0).to_ascii_lowercase();
            match name.strip_prefix("access-control-") {
                Some(rest) => self.cors_field(directive, rest, &mut cors),
                None if is_preflights => {}
                None => headers.extend(self.header(directive, &name)),
            }
        }
        headers.extend(self.expires(scope));
        headers.dedup();
        let mut entries = Vec::new();
        entries.extend(self.cors(&cors).map(|cors| ("cors", cors)));
        if !headers.is_empty() {
            entries.push(("headers", list(&headers)));
        }
        entries
    }

    fn header(&mut self, directive: &Directive, name: &str) -> Option<String> {
        const FRAMING: [&str; 5] = ["content-length", "transfer-encoding", "connection", "upgrade", "trailer"];
        let value = directive.arg(1).split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_lasting = name == "cache-control"
            && ["max-age", "immutable", "s-maxage"].iter().any(|word| value.contains(word))
            && !value.contains("max-age=0");
        let why = match () {
            () if value.is_empty() => return None,
            () if name == "vary" && value.eq_ignore_ascii_case("origin") => return None,
            () if name == "alt-svc" => "HTTP/3 is not spoken",
            () if !is_plain(&value) => "holds a variable",
            () if !is_name || !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                "is not a name and a value in ASCII"
            }
            () if FRAMING.contains(&name) => "frames the answer",
            () if matches!(name, "set-cookie" | "link" | "vary" | "expires") => {
                "would take the place of what the server behind says"
            }
            () if is_lasting && directive.arg(2) != "always" => {
                "`headers` are on errors too, and those are not to be kept"
            }
            () => return Some(format!("{}: {value}", directive.arg(0))),
        };
        self.book.note(directive, why, "left out");
        None
    }

    fn expires(&mut self, scope: &Scope<'a>) -> Option<String> {
        let directive = scope.get("expires")?;
        self.book.used(directive);
        match directive.arg(0) {
            "off" => None,
            "-1" | "epoch" => Some("Cache-Control: no-cache".to_owned()),
            _ => {
                self.book.note(directive, "`headers` are on errors too, and those are not to be kept", "left out");
                None
            }
        }
    }

    /// The value of `compress`; nothing where gzip is off.
    pub(super) fn compression(&mut self, scope: &Scope<'a>) -> Option<String> {
        let gzip = scope.get("gzip")?;
        self.book.used(gzip);
        if gzip.arg(0) != "on" {
            return None;
        }
        let mut types = vec!["text/html"];
        let mut is_all = false;
        if let Some(directive) = scope.get("gzip_types") {
            self.book.used(directive);
            is_all = directive.args.iter().any(|name| name == "*");
            for name in directive.args.iter().map(String::as_str).filter(|name| !["*", "text/html"].contains(name)) {
                match CompressionConfig::is_type(name) && !name.ends_with("/*") {
                    true => types.push(name),
                    false => self.book.note(directive, format!("`{name}` is no media type"), "left out"),
                }
            }
        }
        let length = scope.get("gzip_min_length");
        length.into_iter().for_each(|directive| self.book.used(directive));
        let bytes_min = length.and_then(|directive| size(directive.arg(0))).unwrap_or(20);
        // `*`: what is no text gains nothing.
        let types = if is_all { String::new() } else { format!("types: {}, ", list(&types)) };
        Some(format!("{{ {types}bytes_min: {bytes_min}B }}"))
    }

    fn cors_field(&mut self, directive: &'a Directive, rest: &str, cors: &mut Cors<'a>) {
        let value = directive.arg(1);
        let names = || {
            let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.map(str::to_owned).collect::<Vec<String>>()
        };
        let is_name = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let mut put = |key: &'static str, value: String| {
            if !cors.entries.iter().any(|(known, _)| *known == key) {
                cors.entries.push((key, value));
            }
        };
        match rest {
            "allow-origin" => cors.origins = cors.origins.or(Some(directive)),
            "allow-credentials" => cors.has_credentials |= value.eq_ignore_ascii_case("true"),
            "allow-methods" | "allow-headers" | "expose-headers" if value == "*" || value.contains('$') => {
                if value.contains('$') && value != "$http_access_control_request_headers" {
                    self.book.note(directive, "holds a variable", "left out; whatever is usual");
                }
            }
            "allow-methods" if names().iter().all(is_name) => {
                put("methods", list(&names().into_iter().filter(|method| method != "OPTIONS").collect::<Vec<_>>()));
            }
            "allow-headers" if names().iter().all(is_name) => put("headers", list(&names())),
            "expose-headers" if names().iter().all(is_name) => put("exposed", list(&names())),
            "max-age" => match value.parse::<u64>() {
                Ok(seconds) => {
                    const MAX_AGE_MAX: Duration = Duration::from_secs(86_400);
                    let wanted = Duration::from_secs(seconds);
                    if wanted > MAX_AGE_MAX {
                        self.book.note(directive, "browsers rely on it for a day at the most", "max_age: 1d");
                    }
                    put("max_age", format_duration(wanted.min(MAX_AGE_MAX)));
                }
                Err(_) => self.book.note(directive, "is no number of seconds", "left out"),
            },
            _ => self.book.note(directive, "is not said by `cors`", "left out"),
        }
    }

    /// The value of `cors`; nothing without an origin.
    fn cors(&mut self, cors: &Cors<'a>) -> Option<String> {
        let origin = cors.origins?;
        let origins = match self.origins(origin, cors.has_credentials) {
            Ok(origins) => origins,
            Err(why) => {
                self.book.note(origin, why, "left out with all about it: pages of other origins may read nothing; list theirs under cors.origins");
                return None;
            }
        };
        let mut entries = vec![("origins", origins)];
        entries.extend(cors.entries.iter().cloned());
        if cors.has_credentials {
            entries.push(("credentials", "true".to_owned()));
        }
        let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        Some(format!("{{ {} }}", entries.join(", ")))
    }

    fn origins(&mut self, directive: &'a Directive, has_credentials: bool) -> Result<String, &'static str> {
        let value = directive.arg(1);
        match parts(value).as_slice() {
            _ if value == "*" && has_credentials => Err("allows every page, with cookies"),
            _ if value == "*" => Ok("any".to_owned()),
            [Part::Text(_)] if is_origin(value) => Ok(list(&[value])),
            [Part::Variable("http_origin")] if has_credentials => Err("allows every page, with cookies"),
            [Part::Variable("http_origin")] => Ok("any".to_owned()),
            [Part::Variable(name)] => {
                self.mapped(name).ok_or("holds a variable that no map of $http_origin with origins as they are fills")
            }
            _ => Err("is no origin"),
        }
    }

    /// The origins that a map lets through, if it has no more to say.
    fn mapped(&mut self, name: &str) -> Option<String> {
        let map =
            *self.maps.iter().find(|map| map.arg(0) == "$http_origin" && map.arg(1).strip_prefix('$') == Some(name))?;
        let mut origins = Vec::new();
        for row in map.block() {
            match row.name.as_str() {
                "default" if row.arg(0).is_empty() => {}
                "hostnames" | "volatile" => {}
                origin if is_origin(origin) && matches!(row.arg(0), "$http_origin") | (row.arg(0) == origin) => {
                    origins.push(origin.to_owned());
                }
                _ => self.book.note(row, "is no origin as it is", "left out"),
            }
        }
        self.book.used(map);
        (!origins.is_empty()).then(|| list(&origins))
    }
}

/// The conditions for OPTIONS of a block, or of those around it if it has no fields of its own.
pub(super) fn preflights<'a>(scope: &Scope<'a>) -> impl Iterator<Item = &'a Directive> {
    scope.everywhere("if").filter(|block| is_preflight(block))
}

pub(super) fn is_preflight(block: &Directive) -> bool {
    let condition = block.args.join(" ");
    let condition = condition.trim_matches(|c| matches!(c, '(' | ')' | ' '));
    condition.split_ascii_whitespace().map(|word| word.trim_matches(['\'', '"'])).eq([
        "$request_method",
        "=",
        "OPTIONS",
    ])
}

fn is_origin(text: &str) -> bool {
    let host = text.split_once("://").map(|(_, host)| host.trim_end_matches(|c: char| c.is_ascii_digit() || c == ':'));
    let scheme_is_known = text.starts_with("https://") || text.starts_with("http://");
    let is_port = |text: &str| {
        text.rsplit_once(':').is_none_or(|(_, port)| port.starts_with("//") || port.parse::<u16>().is_ok())
    };
    scheme_is_known
        && is_port(text)
        && host.is_some_and(|host| {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        })
}

/// A field as one text, for a route that has it of its own.
pub(super) fn content_type(value: &str) -> Option<String> {
    let is_sound = is_plain(value) && value.contains('/') && value.bytes().all(|byte| byte.is_ascii_graphic());
    is_sound.then(|| format!("[{}]", quoted(&format!("Content-Type: {value}"))))
}
