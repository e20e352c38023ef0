//! The locations of a server as routes: which of them a request comes to in nginx, it comes to here.
//!
//! nginx takes the longest prefix, and then the first regular expression that matches, unless the prefix has `^~`. Here there are
//! prefixes alone, so that an expression either says no more than one ([`patterns`]) or is left out; and what it kept from being served as
//! a file is not served at all.

use super::Translator;
use super::patterns::{self, Simple};
use super::route::{Path, Route};
use super::scope::Scope;
use super::tokens::Directive;

/// One location, out of those it stands in.
#[derive(Clone, Debug)]
pub(super) struct Location<'a> {
    pub(super) directive: &'a Directive,
    pub(super) scope: Scope<'a>,
    pub(super) matcher: Matcher<'a>,
    /// Expressions are not asked.
    is_final: bool,
    /// The path of the location whose `alias` holds.
    pub(super) alias_path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Matcher<'a> {
    Path(Path),
    Pattern { pattern: &'a str, ignores_case: bool },
    Named(&'a str),
}

/// What an expression that is left out means for the files around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shadow {
    /// It only says more about the same files.
    None,
    /// It keeps names that begin with a dot from being read.
    DotNames(u16),
    /// It runs what would be read as a file here.
    Runs,
    /// It keeps somebody out, of whatever there is.
    Denies,
}

impl<'a> Translator<'a> {
    /// The routes of a server whose block is the innermost of `scope`, without hosts.
    pub(super) fn locations(&mut self, server: &'a Directive, scope: &Scope<'a>) -> Vec<Route> {
        let mut all = Vec::new();
        self.flatten(scope, ("", false), &mut all);
        self.named = all.iter().filter(|location| matches!(location.matcher, Matcher::Named(_))).cloned().collect();
        let mut found = self.expanded(&all);
        if !found.iter().any(|location| location.matcher == Matcher::Path(Path::Prefix("/".to_owned()))) {
            found.push(Location {
                directive: server,
                scope: scope.clone(),
                matcher: Matcher::Path(Path::Prefix("/".to_owned())),
                is_final: false,
                alias_path: String::new(),
            });
        }
        let shadows = self.shadows(&all);
        let mut routes: Vec<Route> = Vec::new();
        for location in &found {
            let Matcher::Path(path) = &location.matcher else { continue };
            for mut route in self.routes_of(location, path, "") {
                self.shade(location, &shadows, &mut route);
                self.add(&mut routes, route, location.directive);
            }
        }
        for (pattern, shadow) in shadows {
            if let Shadow::DotNames(status) = shadow {
                self.dot_names((pattern, status), scope, &found, &mut routes);
            }
        }
        routes
    }

    pub(super) fn add(&mut self, routes: &mut Vec<Route>, route: Route, directive: &Directive) {
        if !route.path.is_sound() {
            self.book.note_as(directive, located(directive), "its path cannot stand in a route", "left out");
        } else if routes.iter().any(|other| other.path == route.path) {
            self.book.note_as(
                directive,
                located(directive),
                format!("{} has a route already", route.path.text()),
                "left out",
            );
        } else {
            routes.push(route);
        }
    }

    /// `is_settled`: no expression is asked any more when a request comes to these.
    fn flatten(&mut self, scope: &Scope<'a>, (alias_path, is_settled): (&str, bool), out: &mut Vec<Location<'a>>) {
        for directive in scope.own().iter().filter(|directive| directive.name == "location") {
            self.book.used(directive);
            let Some((matcher, is_final)) = matcher(directive) else {
                self.book.note_as(directive, located(directive), "has no path", "left out");
                continue;
            };
            let inner = scope.within(directive.block());
            let has_alias = inner.own().iter().any(|own| own.name == "alias");
            let alias_path = match &matcher {
                Matcher::Path(path) if has_alias => path.text().to_owned(),
                _ => alias_path.to_owned(),
            };
            // Within `^~` its own expressions are asked, and no others.
            let is_final = (is_final || is_settled) && !has_patterns(inner.own());
            self.flatten(&inner, (&alias_path, is_final), out);
            out.push(Location { directive, scope: inner, matcher, is_final, alias_path });
        }
    }

    /// Those with paths, and those whose expression stands for some, without what nginx would never come to.
    fn expanded(&mut self, all: &[Location<'a>]) -> Vec<Location<'a>> {
        let mut patterns: Vec<Location<'a>> = Vec::new();
        for location in all {
            let Matcher::Pattern { pattern, ignores_case } = location.matcher else { continue };
            for simple in patterns::simple(pattern, ignores_case).unwrap_or_default() {
                let path = match simple {
                    Simple::Exact(text) => Path::Exact(text),
                    Simple::Prefix(text) => Path::Prefix(text),
                };
                let longest = prefixes(all)
                    .filter(|(prefix, _)| path.text().starts_with(prefix))
                    .max_by_key(|(prefix, _)| prefix.len());
                let is_earlier = patterns.iter().any(|earlier| covers(&earlier.matcher, &path));
                if is_earlier || longest.is_some_and(|(_, other)| other.is_final) {
                    let why = "nginx never comes to it: another location takes all its requests";
                    self.book.note_as(location.directive, located(location.directive), why, "left out");
                    self.consume(location.scope.own());
                    continue;
                }
                patterns.push(Location { matcher: Matcher::Path(path), ..location.clone() });
            }
        }
        let mut found = Vec::new();
        for location in all {
            let Matcher::Path(path) = &location.matcher else { continue };
            let is_taken = !location.is_final
                && matches!(path, Path::Prefix(_))
                && patterns.iter().any(|pattern| covers(&pattern.matcher, path));
            if is_taken {
                let why = "nginx never comes to it: a regular expression takes all its requests";
                self.book.note_as(location.directive, located(location.directive), why, "left out");
                self.consume(location.scope.own());
                continue;
            }
            found.push(location.clone());
        }
        patterns.extend(found);
        patterns.sort_by_key(|location| location.directive.place.clone());
        patterns
    }

    /// The expressions that are left out, and what each means for what is not.
    fn shadows(&mut self, all: &[Location<'a>]) -> Vec<(&'a Directive, Shadow)> {
        let mut shadows = Vec::new();
        for location in all {
            let Matcher::Pattern { pattern, ignores_case } = location.matcher else { continue };
            if patterns::simple(pattern, ignores_case).is_some() {
                continue;
            }
            let shadow = self.shadow(location, pattern);
            let instead = match shadow {
                Shadow::None => "left out; its requests go to the longest prefix, as all others",
                Shadow::DotNames(_) => {
                    "a route for such names at the root alone; keep them out of folders further down"
                }
                Shadow::Runs => "left out, and files beside it are closed (403), as what it runs would be read there",
                Shadow::Denies => {
                    "left out, and what it is asked before is closed (403), as it would let in whom nginx kept out"
                }
            };
            let why = "is a regular expression that no list of paths stands for";
            self.book.note_as(location.directive, located(location.directive), why, instead);
            self.consume(location.scope.own());
            shadows.push((location.directive, shadow));
        }
        shadows
    }

    fn shadow(&mut self, location: &Location<'a>, pattern: &str) -> Shadow {
        let own = location.scope.own();
        let refuses = own.iter().filter(|part| part.name == "return").find_map(|part| part.arg(0).parse::<u16>().ok());
        let is_refused = refuses.is_some_and(|status| status >= 400);
        let is_own = |name: &str| own.iter().any(|part| part.name == name);
        let is_closed = own.iter().any(super::guards::is_guard) && self.guard(&location.scope).is_some();
        match () {
            () if (is_closed || is_refused || is_own("internal")) && patterns::dot_names(pattern).is_some() => {
                Shadow::DotNames(refuses.filter(|status| (400..600).contains(status) && *status != 444).unwrap_or(403))
            }
            () if is_closed || is_refused || is_own("internal") => Shadow::Denies,
            () if own.iter().any(|part| super::known::is_foreign_handler(&part.name)) => Shadow::Runs,
            () if ["proxy_pass", "return", "rewrite", "if", "root", "alias"].iter().any(|name| is_own(name)) => {
                Shadow::Runs
            }
            () => Shadow::None,
        }
    }

    /// Closes a route that a left-out expression had taken requests from.
    fn shade(&mut self, location: &Location<'a>, shadows: &[(&'a Directive, Shadow)], route: &mut Route) {
        if location.is_final || matches!(route.path, Path::Exact(_)) {
            return;
        }
        let has = |key: &str| route.entries.iter().any(|(known, _)| *known == key);
        let closes = |shadow: Shadow| match shadow {
            Shadow::None | Shadow::DotNames(_) => false,
            Shadow::Runs => has("files"),
            Shadow::Denies => has("files") || has("proxy"),
        };
        if let Some((by, _)) = shadows.iter().find(|(_, shadow)| closes(*shadow)) {
            let remark = format!("closed because of line {}: {}", by.place.line, located(by));
            *route = Route { remark: Some(remark), ..closed(route.path.clone(), route.line) };
        }
    }

    /// At the root, names that begin with a dot are a prefix.
    fn dot_names(
        &mut self,
        (by, status): (&'a Directive, u16),
        server: &Scope<'a>,
        found: &[Location<'a>],
        routes: &mut Vec<Route>,
    ) {
        let Some((prefix, is_whole)) = patterns::dot_names(by.args.last().map_or("", String::as_str)) else { return };
        let path = Path::Prefix(prefix);
        if !routes.iter().any(|route| route.path == path) {
            let text = if status == 404 { "Not Found" } else { "Forbidden" };
            let refusal = Route::respond(path, status, text, by.place.line);
            routes.push(self.dressed(refusal, server));
        }
        let well_known = "/.well-known/";
        let is_known = routes.iter().any(|route| route.path.text().starts_with("/.well-known"));
        let root = found.iter().find(|location| location.matcher == Matcher::Path(Path::Prefix("/".to_owned())));
        if let (false, false, Some(root)) = (is_whole, is_known, root) {
            let path = Path::Prefix(well_known.to_owned());
            let more = self.routes_of(root, &path, ".well-known/");
            routes.extend(more.into_iter().filter(|route| route.path == path));
        }
    }
}

/// Nobody gets in.
pub(super) fn closed(path: Path, line: u32) -> Route {
    Route::respond(path, 403, "Forbidden", line)
}

pub(super) fn located(directive: &Directive) -> String {
    directive.text()
}

/// Whether there are expressions among the locations of `block`, or within them.
fn has_patterns(block: &[Directive]) -> bool {
    block.iter().filter(|directive| directive.name == "location").any(|directive| {
        matches!(matcher(directive), Some((Matcher::Pattern { .. }, _))) || has_patterns(directive.block())
    })
}

fn prefixes<'l, 'a>(all: &'l [Location<'a>]) -> impl Iterator<Item = (&'l str, &'l Location<'a>)> {
    all.iter().filter_map(|location| match &location.matcher {
        Matcher::Path(Path::Prefix(path)) => Some((path.as_str(), location)),
        _ => None,
    })
}

/// Whether all of `path` is within what a matcher takes.
fn covers(matcher: &Matcher<'_>, path: &Path) -> bool {
    match (matcher, path) {
        (Matcher::Path(Path::Prefix(prefix)), path) => path.text().starts_with(prefix.as_str()),
        (Matcher::Path(outer), path) => outer == path,
        _ => false,
    }
}

fn matcher(directive: &Directive) -> Option<(Matcher<'_>, bool)> {
    let path = |text: &str| Path::Prefix(text.to_owned());
    Some(match directive.args.as_slice() {
        [sign, text] => match sign.as_str() {
            "=" => (Matcher::Path(Path::Exact(text.clone())), true),
            "^~" => (Matcher::Path(path(text)), true),
            "~" => (Matcher::Pattern { pattern: text, ignores_case: false }, false),
            "~*" => (Matcher::Pattern { pattern: text, ignores_case: true }, false),
            _ => return None,
        },
        [text] => match text.chars().next()? {
            '@' => (Matcher::Named(text), false),
            '=' => (Matcher::Path(Path::Exact(text[1..].to_owned())), true),
            '^' if text.starts_with("^~") => (Matcher::Path(path(&text[2..])), true),
            '~' if text.starts_with("~*") => (Matcher::Pattern { pattern: &text[2..], ignores_case: true }, false),
            '~' => (Matcher::Pattern { pattern: &text[1..], ignores_case: false }, false),
            _ => (Matcher::Path(path(text)), false),
        },
        _ => return None,
    })
}
