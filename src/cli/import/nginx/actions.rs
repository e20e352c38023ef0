//! What a location does, as what a route does.

use super::super::yaml::quoted;
use super::Translator;
use super::fields::{content_type, is_preflight};
use super::known::is_foreign_handler;
use super::locations::{Location, Matcher, closed, located};
use super::patterns::{self, Simple};
use super::route::{Path, Route};
use super::scope::Scope;
use super::tokens::Directive;
use super::values::{Captured, destination, is_plain};

/// What nginx serves where nobody says otherwise, below where it is installed.
const ROOT_USUAL: &str = "html";

/// What a `rewrite` in a location means for its `proxy_pass`: the route's path, and what takes its place.
struct Replaced {
    path: String,
    uri: String,
}

impl<'a> Translator<'a> {
    /// The routes of a location at `path`; `rest` is what `path` has beyond the location's own.
    pub(super) fn routes_of(&mut self, location: &Location<'a>, path: &Path, rest: &str) -> Vec<Route> {
        let (scope, line) = (&location.scope, location.directive.place.line);
        let mut routes = Vec::new();
        let mut replaced = None;
        if location.directive.name == "location" {
            for own in scope.own() {
                match own.name.as_str() {
                    "return" => {
                        let answer = self.answer(own, scope, path.clone(), None);
                        return routes.into_iter().chain([self.dressed(answer, scope)]).collect();
                    }
                    "rewrite" => match self.rewrite(own, path, scope) {
                        Rewritten::All(route) => {
                            routes.push(route);
                            return routes;
                        }
                        Rewritten::Some(more) => {
                            for route in more {
                                routes.push(self.dressed(route, scope));
                            }
                        }
                        Rewritten::Replaced(found) => replaced = Some(found),
                        Rewritten::Nothing => {}
                    },
                    "if" => {
                        if let Some(route) = self.whole_condition(own, path, scope) {
                            routes.push(route);
                            return routes;
                        }
                    }
                    _ => {}
                }
            }
        }
        if let Some(guard) = self.guard(scope) {
            self.consume(scope.own());
            let route = Route { remark: guard.why, ..closed(path.clone(), line) };
            routes.push(self.dressed(route, scope));
            return routes;
        }
        routes.extend(self.handled(location, path, rest, replaced));
        routes
    }

    /// With the fields that its answers have.
    pub(super) fn dressed(&mut self, mut route: Route, scope: &Scope<'a>) -> Route {
        let fields = self.fields(scope);
        for (key, value) in fields {
            match route.entries.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => {
                    *known = format!("{}, {}", known.trim_end_matches(']'), value.trim_start_matches('['))
                }
                None => route.entries.push((key, value)),
            }
        }
        let has = |wanted: &str| route.entries.iter().any(|(key, _)| *key == wanted);
        if (has("files") || has("proxy")) && !has("compress") {
            route.entries.extend(self.compression(scope).map(|compression| ("compress", compression)));
        }
        route
    }

    fn handled(
        &mut self,
        location: &Location<'a>,
        path: &Path,
        rest: &str,
        replaced: Option<Replaced>,
    ) -> Option<Route> {
        let (scope, line) = (&location.scope, location.directive.place.line);
        let own = |name: &str| scope.own().iter().find(|part| part.name == name);
        if let Some(directive) = own("internal") {
            self.book.used(directive);
            return Some(Route::respond(path.clone(), 404, "Not Found", line));
        }
        let is_server = location.directive.name != "location";
        if let Some(handler) = scope.own().iter().find(|part| is_foreign_handler(&part.name)) {
            let (why, remark) = match handler.name.as_str() {
                "grpc_pass" => ("is not taken over", "`proxy: h2c://…` or `h2://…` passes gRPC on".to_owned()),
                name => ("answers in a way that there is none of", format!("{name} has no equal")),
            };
            self.book.note(handler, why, "a route that answers with 501");
            return Some(Route { remark: Some(remark), ..Route::respond(path.clone(), 501, "Not Implemented", line) });
        }
        if let (Some(pass), false) = (own("proxy_pass"), is_server) {
            let own_path = own_path(location);
            return Some(self.proxied(pass, scope, (path, &own_path, rest), replaced, line));
        }
        self.files(location, path, rest)
    }

    fn proxied(
        &mut self,
        pass: &'a Directive,
        scope: &Scope<'a>,
        (path, own_path, rest): (&Path, &str, &str),
        replaced: Option<Replaced>,
        line: u32,
    ) -> Route {
        let path = match (&replaced, path) {
            (Some(replaced), Path::Prefix(_)) => Path::Prefix(format!("{}{rest}", replaced.path)),
            (_, path) => path.clone(),
        };
        match self.pass(pass, scope, (own_path, rest), replaced.as_ref().map(|replaced| replaced.uri.as_str())) {
            Ok(passed) => {
                let entries = vec![("proxy", passed.entry)];
                let route = Route { path, hosts: Vec::new(), entries, remark: passed.remark, line };
                self.dressed(route, scope)
            }
            Err(why) => {
                self.book.note(pass, why.clone(), "a route that answers with 502");
                Route { remark: Some(why), ..Route::respond(path, 502, "Bad Gateway", line) }
            }
        }
    }

    /// Files below a folder, and what stands for those that are not there.
    fn files(&mut self, location: &Location<'a>, path: &Path, rest: &str) -> Option<Route> {
        let (scope, directive) = (&location.scope, location.directive);
        if let Path::Exact(_) = path {
            // One file, which the folder around it has as well; a route is for a whole folder.
            let why = "is about one file, and a route is for a whole folder";
            self.book.note_as(
                directive,
                located(directive),
                why,
                "left out; what the longest prefix says holds for it",
            );
            self.consume(scope.own());
            return None;
        }
        let mut fallback = None;
        if let Some(tries) = scope.own().iter().find(|part| part.name == "try_files") {
            match self.tries(tries, location, path) {
                // Below the location's own folder, its file is out of reach.
                Tried::Files(_) if !rest.is_empty() => {}
                Tried::Files(file) => fallback = file,
                Tried::Elsewhere(name) => return Some(self.elsewhere(name, tries, path, rest)),
            }
        }
        fallback = fallback.or_else(|| self.rewritten_fallback(scope));
        let Some(folder) = self.folder(location, path, rest) else {
            return Some(Route::respond(path.clone(), 404, "Not Found", directive.place.line));
        };
        self.index(scope);
        let mut entries = vec![("files", quoted(&folder))];
        entries.extend(fallback.map(|file| ("fallback", quoted(&file))));
        let route = Route { path: path.clone(), hosts: Vec::new(), entries, remark: None, line: directive.place.line };
        Some(self.dressed(route, scope))
    }

    fn folder(&mut self, location: &Location<'a>, path: &Path, rest: &str) -> Option<String> {
        let scope = &location.scope;
        let (root, alias) = (scope.get("root"), scope.get("alias"));
        let is_alias_nearer = alias.is_some_and(|_| scope.is_nearer("alias", "root"));
        if let Some(alias) = alias.filter(|_| is_alias_nearer) {
            self.book.used(alias);
            let beyond = path.text().strip_prefix(location.alias_path.as_str()).unwrap_or(rest);
            return self.plain_folder(alias, &format!("{}{beyond}", alias.arg(0)));
        }
        let Some(root) = root else {
            if location.directive.name == "location" {
                let why = format!("no root is said, and nginx takes {ROOT_USUAL} below where it is installed");
                self.book.note_as(
                    location.directive,
                    located(location.directive),
                    why,
                    "a route that answers with 404",
                );
            }
            return None;
        };
        self.book.used(root);
        self.plain_folder(root, &format!("{}{}", root.arg(0), path.text()))
    }

    fn plain_folder(&mut self, directive: &'a Directive, folder: &str) -> Option<String> {
        if !is_plain(directive.arg(0)) || directive.arg(0).is_empty() {
            self.book.note(directive, "holds a variable", "a route that answers with 404");
            return None;
        }
        if !directive.arg(0).starts_with('/') {
            self.book.note(directive, "is relative to where nginx is installed", "/usr/share/nginx");
            return Some(trimmed(&format!("/usr/share/nginx/{folder}")));
        }
        Some(trimmed(folder))
    }

    fn index(&mut self, scope: &Scope<'a>) {
        let Some(index) = scope.get("index") else { return };
        self.book.used(index);
        if index.args.first().map(String::as_str) != Some("index.html") {
            self.book.note(index, "a folder is answered with its index.html", "index.html");
        }
    }

    fn tries(&mut self, tries: &'a Directive, location: &Location<'a>, path: &Path) -> Tried<'a> {
        self.book.used(tries);
        let Some((last, first)) = tries.args.split_last() else { return Tried::Files(None) };
        for candidate in
            first.iter().filter(|candidate| !matches!(candidate.as_str(), "$uri" | "$uri/" | "$uri/index.html"))
        {
            let why = format!("{candidate} is not tried: a path's file is, and a folder's index.html");
            self.book.note(tries, why, "left out");
        }
        if last.starts_with('@') {
            return Tried::Elsewhere(last);
        }
        if last.starts_with('=') {
            if last != "=404" {
                self.book.note(tries, "what is not there is answered with 404", "404");
            }
            return Tried::Files(None);
        }
        if matches!(last.as_str(), "$uri" | "$uri/") {
            return Tried::Files(None);
        }
        let is_alias = location.scope.is_nearer("alias", "root");
        let prefix = if is_alias { location.alias_path.as_str() } else { path.text() };
        let file = last.split('?').next().unwrap_or(last);
        let inner = file.strip_prefix(prefix.trim_end_matches('/')).filter(|inner| inner.starts_with('/'));
        if !path.text().eq(own_path(location).as_str()) {
            return Tried::Files(None);
        }
        match inner.filter(|inner| is_plain(file) && Path::Exact((*inner).to_owned()).is_sound() && !runs(file)) {
            Some(inner) => Tried::Files(Some(inner.to_owned())),
            None => {
                let why = format!("{last} is no file of this location that could be served as it is");
                self.book.note(tries, why, "404 for what is not there");
                Tried::Files(None)
            }
        }
    }

    /// A named location that takes what is no file: it gets everything, since a route is files or a server.
    fn elsewhere(&mut self, name: &'a str, tries: &'a Directive, path: &Path, rest: &str) -> Route {
        let line = tries.place.line;
        let named = self.named.iter().find(|location| location.matcher == Matcher::Named(name)).cloned();
        let own_pass = |location: &Location<'a>| location.scope.own().iter().find(|part| part.name == "proxy_pass");
        let Some((location, pass)) = named.and_then(|location| own_pass(&location).map(|pass| (location, pass))) else {
            self.book.note(tries, format!("{name} is no location with proxy_pass"), "a route that answers with 501");
            return Route::respond(path.clone(), 501, "Not Implemented", line);
        };
        if let Some(guard) = self.guard(&location.scope) {
            return Route { remark: guard.why, ..closed(path.clone(), line) };
        }
        let why = "a route is files or a server, not one after the other";
        self.book.note(
            tries,
            why,
            format!("all requests go to the server of {name}; give folders of files routes of their own"),
        );
        self.proxied(pass, &location.scope, (path, path.text(), rest), None, line)
    }

    /// `if (!-e $request_filename) { rewrite … /index.html last; }`, an older way to say fallback.
    fn rewritten_fallback(&mut self, scope: &Scope<'a>) -> Option<String> {
        let condition = scope.own().iter().find(|part| part.name == "if" && is_of_missing_files(part))?;
        let [rewrite] = condition.block() else { return None };
        let file = rewrite.arg(1);
        let fits = rewrite.name == "rewrite" && matches!(rewrite.arg(2), "last" | "break");
        if !fits
            || patterns::whole(rewrite.arg(0)).is_none()
            || !is_plain(file)
            || runs(file)
            || !Path::Exact(file.to_owned()).is_sound()
        {
            return None;
        }
        self.book.used(condition);
        self.book.used(rewrite);
        Some(file.to_owned())
    }

    /// A condition that is about every request, or about none, of this listener.
    fn whole_condition(&mut self, condition: &'a Directive, path: &Path, scope: &Scope<'a>) -> Option<Route> {
        if is_preflight(condition) {
            self.book.used(condition);
            self.consume(condition.block());
            return None;
        }
        let is_always = is_of_scheme(condition, self.scheme)?;
        self.book.used(condition);
        self.consume(condition.block());
        let answer = condition.block().iter().find(|part| matches!(part.name.as_str(), "return" | "rewrite"))?;
        if !is_always {
            return None;
        }
        match answer.name.as_str() {
            "return" => Some(self.answer(answer, scope, path.clone(), None)),
            _ => match self.rewrite(answer, path, scope) {
                Rewritten::All(route) => Some(route),
                _ => None,
            },
        }
    }

    /// What the conditions and rewrites of a server say before any location is looked for: a route that takes everything, or some more.
    pub(super) fn of_server(&mut self, scope: &Scope<'a>, more: &mut Vec<Route>) -> Option<Route> {
        let path = Path::Prefix("/".to_owned());
        for own in scope.own() {
            match own.name.as_str() {
                "return" => {
                    let answer = self.answer(own, scope, path, None);
                    return Some(self.dressed(answer, scope));
                }
                "rewrite" => match self.rewrite(own, &path, scope) {
                    Rewritten::All(route) => return Some(route),
                    Rewritten::Some(routes) => {
                        for route in routes {
                            more.push(self.dressed(route, scope));
                        }
                    }
                    Rewritten::Replaced(_) => {
                        self.book.note(own, "a rewritten path is not looked for again", "left out")
                    }
                    Rewritten::Nothing => {}
                },
                "if" => {
                    if let Some(route) = self.whole_condition(own, &path, scope) {
                        return Some(route);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// `return`, with or without a status, a text or an address.
    pub(super) fn answer(
        &mut self,
        directive: &'a Directive,
        scope: &Scope<'a>,
        path: Path,
        captured: Option<Captured>,
    ) -> Route {
        self.book.used(directive);
        let line = directive.place.line;
        let (status, text) = match directive.args.as_slice() {
            [only] if only.bytes().all(|byte| byte.is_ascii_digit()) => (only.as_str(), ""),
            [only] => ("302", only.as_str()),
            [status, text, ..] => (status.as_str(), text.as_str()),
            [] => ("404", ""),
        };
        let status = status.parse::<u16>().unwrap_or(0);
        if matches!(status, 301 | 302 | 303 | 307 | 308) {
            let name = self.server_name.clone();
            return match destination(text, self.scheme, name.as_deref(), captured) {
                Some(to) => Route::redirect(path, status, &to, line),
                None => {
                    self.book.note(
                        directive,
                        "the address is put together in a way that `redirect` has none of",
                        "a route that answers with 501",
                    );
                    Route::respond(path, 501, "Not Implemented", line)
                }
            };
        }
        let (status, text) = match status {
            444 => {
                self.book.note(directive, "a request is answered always", "400");
                (400, "Bad Request".to_owned())
            }
            200..=599 if text.trim_end().is_empty() => (status, usual_text(status).to_owned()),
            200..=599 if is_plain(text) && !text.trim_end().contains(|c: char| c.is_control()) => {
                (status, text.trim_end().to_owned())
            }
            200..=599 => {
                self.book.note(directive, "the text holds a variable or several lines", "the status alone");
                (status, usual_text(status).to_owned())
            }
            _ => {
                self.book.note(directive, "is no status from 200 to 599", "404");
                (404, "Not Found".to_owned())
            }
        };
        let mut route = Route::respond(path, status, &text, line);
        if let Some(directive) = scope.own().iter().find(|part| part.name == "default_type") {
            self.book.used(directive);
            route.entries.extend(content_type(directive.arg(0)).map(|headers| ("headers", headers)));
        }
        route
    }

    fn rewrite(&mut self, directive: &'a Directive, path: &Path, scope: &Scope<'a>) -> Rewritten {
        let (pattern, to, flag) = (directive.arg(0), directive.arg(1), directive.arg(2));
        let is_address = to.starts_with("http://") || to.starts_with("https://") || to.starts_with("$scheme");
        let status = match flag {
            "permanent" => 301,
            "redirect" => 302,
            _ if is_address => 302,
            "break" | "last" if scope.own().iter().any(|part| part.name == "proxy_pass") => {
                return self.replaced(directive, path);
            }
            _ => {
                self.book.note(directive, "a rewritten path is not looked for again", "left out");
                return Rewritten::Nothing;
            }
        };
        self.book.used(directive);
        let name = self.server_name.clone();
        let line = directive.place.line;
        if let Some(captured) = patterns::whole(pattern)
            && let Some(to) = destination(to, self.scheme, name.as_deref(), captured)
        {
            return Rewritten::All(Route::redirect(path.clone(), status, &to, line));
        }
        if let (Some(simple), Some(to)) =
            (patterns::simple(pattern, false), destination(to, self.scheme, name.as_deref(), None))
        {
            if !directive.arg(1).ends_with('?') {
                self.book.note(
                    directive,
                    "the query of a request is not added to a fixed address",
                    "the address without it",
                );
            }
            let route = |simple| {
                let path = match simple {
                    Simple::Exact(text) => Path::Exact(text),
                    Simple::Prefix(text) => Path::Prefix(text),
                };
                Route::redirect(path, status, &to, line)
            };
            return Rewritten::Some(simple.into_iter().map(route).collect());
        }
        self.book.note(directive, "the address is put together in a way that `redirect` has none of", "left out");
        Rewritten::Nothing
    }

    /// `rewrite ^/api/(.*) /$1 break` before a proxy_pass without a URI, which is one with a URI.
    fn replaced(&mut self, directive: &'a Directive, path: &Path) -> Rewritten {
        let pattern = directive.arg(0).strip_prefix('^').map(|pattern| pattern.strip_suffix('$').unwrap_or(pattern));
        let literal = pattern.and_then(|pattern| pattern.strip_suffix("(.*)")).filter(|literal| {
            let Path::Prefix(own) = path else { return false };
            literal.starts_with(own.as_str())
                && Path::Prefix((*literal).to_owned()).is_sound()
                && !literal.contains(['(', '[', '*', '+', '^', '$', '|'])
        });
        let uri = directive.arg(1).strip_suffix("$1").filter(|uri| uri.starts_with('/') && is_plain(uri));
        match (literal, uri) {
            (Some(literal), Some(uri)) => {
                self.book.used(directive);
                Rewritten::Replaced(Replaced { path: literal.to_owned(), uri: uri.to_owned() })
            }
            _ => {
                self.book.note(
                    directive,
                    "only the beginning of a path takes another's place, as in proxy_pass with a URI",
                    "left out: the path goes on as it came",
                );
                Rewritten::Nothing
            }
        }
    }

    /// Marks all of a block as told of by a note about the whole.
    pub(super) fn consume(&mut self, block: &'a [Directive]) {
        for directive in block {
            if directive.name != "location" {
                self.book.used(directive);
                self.consume(directive.block());
            }
        }
    }
}

enum Rewritten {
    All(Route),
    Some(Vec<Route>),
    Replaced(Replaced),
    Nothing,
}

enum Tried<'a> {
    Files(Option<String>),
    Elsewhere(&'a str),
}

fn own_path(location: &Location<'_>) -> String {
    match &location.matcher {
        Matcher::Path(path) => path.text().to_owned(),
        _ => "/".to_owned(),
    }
}

fn trimmed(folder: &str) -> String {
    let trimmed = folder.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

/// Whether a file is one that a server runs, whose text is nobody's business.
fn runs(file: &str) -> bool {
    [".php", ".cgi", ".pl", ".py", ".asp", ".aspx", ".jsp"].iter().any(|ending| file.ends_with(ending))
}

fn is_of_missing_files(condition: &Directive) -> bool {
    let text = condition.args.join(" ");
    let text = text.trim_matches(|c| matches!(c, '(' | ')' | ' '));
    matches!(text, "!-e $request_filename" | "!-f $request_filename")
}

/// Whether a condition about the scheme holds for a listener's; `None` for other conditions.
fn is_of_scheme(condition: &Directive, scheme: &str) -> Option<bool> {
    let text = condition.args.join(" ");
    let text = text.trim_matches(|c| matches!(c, '(' | ')' | ' '));
    let mut words = text.split_ascii_whitespace();
    let (variable, sign, value) = (words.next()?, words.next()?, words.next().unwrap_or_default());
    let is_secure = scheme == "https";
    let is_equal = match (variable, value) {
        ("$scheme", value) => value == scheme,
        ("$https", "on") => is_secure,
        ("$https", "") | ("$ssl_protocol", "") => !is_secure,
        _ => return None,
    };
    match sign {
        "=" => Some(is_equal),
        "!=" => Some(!is_equal),
        _ => None,
    }
}

fn usual_text(status: u16) -> &'static str {
    match status {
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        200..=299 => "OK",
        _ => "Answered",
    }
}
