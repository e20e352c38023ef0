//! What keeps somebody out: addresses, passwords, methods, and what else there is none of here.
//!
//! What stands behind such a thing is printed closed, since printed open it would let in whom nginx kept out.

use super::Translator;
use super::known::{Fate, fate};
use super::scope::Scope;
use super::tokens::Directive;

/// Why nobody gets in.
#[derive(Clone, Debug)]
pub(super) struct Guard<'a> {
    pub(super) directive: &'a Directive,
    /// `None` where nobody gets in either way.
    pub(super) why: Option<String>,
}

const CLOSED: &str = "closed (403), as it would let in whom nginx kept out";

impl<'a> Translator<'a> {
    /// What keeps somebody out at a place, with a note where it has no equal.
    pub(super) fn guard(&mut self, scope: &Scope<'a>) -> Option<Guard<'a>> {
        let guard = self.addresses(scope).or_else(|| self.passwords(scope)).or_else(|| self.others(scope))?;
        if let Some(why) = &guard.why {
            self.book.note_as(guard.directive, short(guard.directive), why.clone(), CLOSED);
        }
        Some(guard)
    }

    fn addresses(&mut self, scope: &Scope<'a>) -> Option<Guard<'a>> {
        let (mut own, mut level) = (Vec::new(), scope.clone());
        while own.is_empty() {
            own = level.own().iter().filter(|part| matches!(part.name.as_str(), "allow" | "deny")).collect();
            match level.outer() {
                Some(outer) if own.is_empty() => level = outer,
                _ => break,
            }
        }
        own.iter().for_each(|part| self.book.used(part));
        let first = own.first()?;
        match (first.name.as_str(), first.arg(0)) {
            ("allow", "all") => None,
            ("deny", "all") => Some(Guard { directive: first, why: None }),
            _ => {
                let deny = own.iter().find(|part| part.name == "deny")?;
                let why = "a route does not ask for addresses; a firewall does, or the server behind".to_owned();
                Some(Guard { directive: deny, why: Some(why) })
            }
        }
    }

    fn passwords(&mut self, scope: &Scope<'a>) -> Option<Guard<'a>> {
        for (name, why) in [
            ("auth_basic", "no password is asked for before a page"),
            ("auth_request", "no other server is asked whether a request may pass"),
        ] {
            let Some(directive) = scope.get(name) else { continue };
            self.book.used(directive);
            if directive.arg(0) != "off" {
                return Some(Guard { directive, why: Some(why.to_owned()) });
            }
        }
        None
    }

    fn others(&mut self, scope: &Scope<'a>) -> Option<Guard<'a>> {
        if let Some(directive) = scope.own().iter().find(|part| part.name == "limit_except") {
            self.book.used(directive);
            self.consume(directive.block());
            let guards = directive.block().iter().any(is_guard);
            if guards {
                return Some(Guard { directive, why: Some("a route is for every method".to_owned()) });
            }
        }
        let mut level = Some(scope.clone());
        while let Some(inner) = level {
            for directive in inner.own() {
                if let Fate::Closes(why) = fate(&directive.name)
                    && directive.arg(0) != "off"
                {
                    return Some(Guard { directive, why: Some(why.to_owned()) });
                }
            }
            level = inner.outer();
        }
        self.conditions(scope)
    }

    /// Conditions that refuse, by what not everybody can say of himself.
    fn conditions(&mut self, scope: &Scope<'a>) -> Option<Guard<'a>> {
        const ANYBODYS: [&str; 7] =
            ["$host", "$http_host", "$http_user_agent", "$http_referer", "$invalid_referer", "$scheme", "$server_port"];
        let blocks: Vec<&'a Directive> = scope.everywhere("if").collect();
        for block in blocks {
            let refuses = |part: &Directive| {
                is_guard(part) || part.name == "return" && part.arg(0).parse::<u16>().is_ok_and(|status| status >= 400)
            };
            let variable = block.arg(0).trim_start_matches('(').trim_end_matches(')');
            if block.block().iter().any(refuses) && !ANYBODYS.contains(&variable) {
                return Some(Guard {
                    directive: block,
                    why: Some("a route does not depend on that condition".to_owned()),
                });
            }
        }
        None
    }
}

/// Whether a directive can keep somebody out.
pub(super) fn is_guard(directive: &Directive) -> bool {
    match directive.name.as_str() {
        "deny" | "allow" => true,
        "auth_basic" | "auth_request" => directive.arg(0) != "off",
        "limit_except" => true,
        name => matches!(fate(name), Fate::Closes(_)),
    }
}

/// Without what could be a secret.
fn short(directive: &Directive) -> String {
    match directive.name.as_str() {
        "if" | "deny" | "limit_except" => directive.text(),
        name => name.to_owned(),
    }
}
