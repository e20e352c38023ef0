//! The table from host and path to route: routes of a host beat those of every host, an exact path beats every prefix, the longest
//! prefix beats the others.
//!
//! Pure. Prefixes fit byte for byte, as an nginx `location` does; paths come from [`RequestPath`], decoded and without dot segments.

use super::super::config::PathMatch;
use super::path::RequestPath;

/// Routes by host and path.
#[derive(Debug)]
pub(crate) struct Routes<R> {
    routes: Vec<R>,
    /// Sorted by host.
    hosts: Vec<(String, Table)>,
    /// `*.example` as `.example`; longest first.
    wildcards: Vec<(String, Table)>,
    /// What no host was named for.
    others: Table,
}

/// The routes of one host, as indices.
#[derive(Debug, Default)]
struct Table {
    /// Sorted by path.
    exact: Vec<(String, usize)>,
    /// Longest first.
    prefixes: Vec<(String, usize)>,
}

/// Which route a request comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a, R> {
    /// This one, whose own path takes so many bytes of the request's.
    Route(&'a R, usize),
    Nothing,
    /// One or another, by whether an escaped slash parts segments.
    Ambiguous,
}

impl<R> Routes<R> {
    /// Routes with the hosts each is limited to: exact names in lower case or `*.example`; none for every host.
    ///
    /// # Errors
    /// The paths that more than one route of a host claims.
    pub(crate) fn new(written: impl IntoIterator<Item = (Vec<String>, PathMatch, R)>) -> Result<Self, Vec<PathMatch>> {
        let mut built = Self { routes: Vec::new(), hosts: Vec::new(), wildcards: Vec::new(), others: Table::default() };
        for (hosts, path, route) in written {
            let index = built.routes.len();
            built.routes.push(route);
            if hosts.is_empty() {
                built.others.add(&path, index);
            }
            for host in hosts {
                let (list, host) = match host.strip_prefix('*') {
                    Some(suffix) => (&mut built.wildcards, suffix.to_owned()),
                    None => (&mut built.hosts, host),
                };
                match list.iter_mut().find(|(name, _)| *name == host) {
                    Some((_, table)) => table.add(&path, index),
                    None => {
                        let mut table = Table::default();
                        table.add(&path, index);
                        list.push((host, table));
                    }
                }
            }
        }
        built.hosts.sort_by(|(a, _), (b, _)| a.cmp(b));
        built.wildcards.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        let named = built.hosts.iter_mut().chain(&mut built.wildcards).map(|(_, table)| table);
        let mut contradictions: Vec<_> = named.chain([&mut built.others]).flat_map(Table::sort).collect();
        contradictions.dedup();
        if contradictions.is_empty() { Ok(built) } else { Err(contradictions) }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &R> {
        self.routes.iter()
    }

    /// The route for `path` on `host`, which is in lower case and without port.
    pub(crate) fn find(&self, host: Option<&str>, path: &RequestPath) -> Found<'_, R> {
        let found = self.index(host, path.bytes());
        if let Some(parted) = path.parted()
            && self.index(host, &parted).map(|(index, _)| index) != found.map(|(index, _)| index)
        {
            return Found::Ambiguous;
        }
        match found.and_then(|(index, prefix_len)| Some((self.routes.get(index)?, prefix_len))) {
            Some((route, prefix_len)) => Found::Route(route, prefix_len),
            None => Found::Nothing,
        }
    }

    fn index(&self, host: Option<&str>, path: &[u8]) -> Option<(usize, usize)> {
        let of_host = host.filter(|_| !self.hosts.is_empty() || !self.wildcards.is_empty()).and_then(|host| {
            let exact = self.hosts.binary_search_by(|(name, _)| name.as_str().cmp(host));
            let exact = exact.ok().and_then(|index| self.hosts[index].1.find(path));
            let is_within = |suffix: &str| host.len() > suffix.len() && host.ends_with(suffix);
            let mut within = self.wildcards.iter().filter(|(suffix, _)| is_within(suffix));
            exact.or_else(|| within.find_map(|(_, table)| table.find(path)))
        });
        of_host.or_else(|| self.others.find(path))
    }
}

impl Table {
    fn add(&mut self, path: &PathMatch, index: usize) {
        match path {
            PathMatch::Exact(path) => self.exact.push((path.clone(), index)),
            PathMatch::Prefix(path) => self.prefixes.push((path.clone(), index)),
        }
    }

    /// Brings the lists into their order; returns what is in one twice.
    fn sort(&mut self) -> Vec<PathMatch> {
        self.exact.sort();
        self.prefixes.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        let twice = |list: &[(String, usize)]| -> Vec<String> {
            list.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0.clone()).collect()
        };
        let exact = twice(&self.exact).into_iter().map(PathMatch::Exact);
        exact.chain(twice(&self.prefixes).into_iter().map(PathMatch::Prefix)).collect()
    }

    /// The route for `path`, and how many bytes of it the route's own path takes.
    fn find(&self, path: &[u8]) -> Option<(usize, usize)> {
        if let Ok(index) = self.exact.binary_search_by(|(exact, _)| exact.as_bytes().cmp(path)) {
            return Some((self.exact[index].1, path.len()));
        }
        let (prefix, index) = self.prefixes.iter().find(|(prefix, _)| path.starts_with(prefix.as_bytes()))?;
        Some((*index, prefix.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Written<'a> = (&'a [&'a str], PathMatch, &'static str);

    fn prefix(path: &str) -> PathMatch {
        PathMatch::Prefix(path.into())
    }

    fn routes(written: Vec<Written<'_>>) -> Result<Routes<&'static str>, Vec<PathMatch>> {
        let own = |hosts: &[&str]| hosts.iter().map(|&host| host.to_owned()).collect();
        Routes::new(written.into_iter().map(|(hosts, path, route)| (own(hosts), path, route)))
    }

    fn path(raw: &str) -> RequestPath {
        RequestPath::read(raw).expect("the path is sound")
    }

    #[test]
    fn the_longest_prefix_wins_and_exact_beats_it() {
        let routes = routes(vec![
            (&[], prefix("/"), "root"),
            (&[], prefix("/ws/"), "ws"),
            (&[], prefix("/ws/deep/"), "deep"),
            (&[], prefix("/mqtt"), "mqtt"),
            (&[], PathMatch::Exact("/ws/deep/".into()), "exact"),
        ])
        .expect("no contradiction");
        for (raw, expected) in [
            ("/", "root"),
            ("/ws", "root"),
            ("/ws/", "ws"),
            ("/ws/a", "ws"),
            ("/ws/deep/a", "deep"),
            ("/ws/deep/", "exact"),
            ("//ws/a/..//deep/", "exact"),
            ("/mqtt", "mqtt"),
            ("/mqttx", "mqtt"),
            ("/MQTT", "root"),
            ("/ws/..", "root"),
        ] {
            let Found::Route(route, _) = routes.find(None, &path(raw)) else { panic!("{raw}") };
            assert_eq!(*route, expected, "{raw}");
        }
        assert_eq!(routes.find(None, &path("/ws/deep/a")), Found::Route(&"deep", 9));
        assert_eq!(routes.find(None, &path("/ws/a%2Fb")), Found::Route(&"ws", 4));
        assert_eq!(routes.find(None, &path("/ws%2Fa")), Found::Ambiguous);
    }

    #[test]
    fn a_host_of_its_own_beats_a_wildcard_and_that_all_others() {
        let routes = routes(vec![
            (&["a.example"], prefix("/"), "a"),
            (&["*.example", "b.other"], prefix("/x/"), "wild"),
            (&["*.deep.example"], prefix("/"), "deep"),
            (&[], prefix("/x/y/"), "other"),
            (&[], PathMatch::Exact("/".into()), "root"),
        ])
        .expect("no contradiction");
        for (host, raw, expected) in [
            (Some("a.example"), "/x/y/", Some("a")),
            (Some("b.example"), "/x/y/", Some("wild")),
            (Some("b.other"), "/x/", Some("wild")),
            (Some("b.other"), "/", Some("root")),
            (Some("b.other"), "/z", None),
            (Some("a.deep.example"), "/x/", Some("deep")),
            (Some("example"), "/x/y/", Some("other")),
            (Some(".example"), "/x/y/", Some("other")),
            (Some("aexample"), "/x/y/", Some("other")),
            (Some("b.example.evil"), "/x/y/", Some("other")),
            (None, "/x/y/z", Some("other")),
        ] {
            let found = match routes.find(host, &path(raw)) {
                Found::Route(route, _) => Some(*route),
                _ => None,
            };
            assert_eq!(found, expected, "{host:?} {raw}");
        }
    }

    #[test]
    fn two_routes_for_one_path_of_a_host_contradict() {
        let twice = routes(vec![
            (&[], prefix("/a"), "1"),
            (&[], PathMatch::Exact("/a".into()), "2"),
            (&[], prefix("/a"), "3"),
            (&["b"], prefix("/a"), "4"),
        ]);
        assert_eq!(twice.expect_err("one path twice"), [prefix("/a")]);
        assert!(routes(vec![(&["b", "c"], prefix("/a"), "1"), (&["c"], prefix("/a"), "2")]).is_err());
    }

    proptest::proptest! {
        /// The table answers as a look at every route in turn does.
        #[test]
        fn the_table_agrees_with_looking_at_every_route(
            paths in proptest::collection::btree_set("/[ab/]{0,4}", 1..8),
            exact in proptest::collection::vec(proptest::bool::ANY, 8),
            asked in "/([ab]{1,2}/){0,2}[ab]{0,1}",
        ) {
            let routes: Vec<_> = paths.into_iter().zip(exact).map(|(path, exact)| match exact {
                true => PathMatch::Exact(path),
                false => PathMatch::Prefix(path),
            }).collect();
            let fits = |route: &&PathMatch| match route {
                PathMatch::Exact(path) => asked == *path,
                PathMatch::Prefix(path) => asked.starts_with(path.as_str()),
            };
            let weight = |route: &&PathMatch| match route {
                PathMatch::Exact(_) => usize::MAX,
                PathMatch::Prefix(path) => path.len(),
            };
            let expected = routes.iter().filter(fits).max_by_key(weight).cloned();
            let table = routes.iter().map(|route| (Vec::new(), route.clone(), route.clone()));
            let table = Routes::new(table).expect("paths differ");
            let found = match table.find(None, &path(&asked)) {
                Found::Route(route, _) => Some(route.clone()),
                _ => None,
            };
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
