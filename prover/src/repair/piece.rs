//! An entry taken apart into permissions that can be tightened one by one, and put together again.

use narrowgate_core::denial::DenialRecord;
use narrowgate_core::pattern::{BinaryPattern, HostPattern, MethodPattern, PathPattern};
use narrowgate_core::policy::{Access, Allow, Endpoint, Entry, Rest, RestRule, Rule, Traffic};
use narrowgate_core::request::{Host, Method, PathOptions, Port, Process};

use super::meet::{glob_covers, host_covers, path_covers};

/// One permission: what it is made of is independent of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The endpoint of the entry that it is a part of.
    pub(super) endpoint: usize,
    pub(super) host: HostPattern,
    pub(super) ports: Vec<Port>,
    pub(super) expires_at: Option<i64>,
    /// `None`: opaque bytes.
    pub(super) rule: Option<RestRule>,
    /// What is taken out of it, beyond what the entry denied before.
    pub(super) holes: Vec<Hole>,
}

/// A deny that a repair adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    /// `None`: on all of the piece's hosts.
    pub(super) host: Option<HostPattern>,
    pub(super) rule: RestRule,
}

impl Piece {
    /// Whether `self` visibly has all of `other`.
    pub(super) fn covers(&self, other: &Piece) -> bool {
        let rule = match (&self.rule, &other.rule) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(other)) => rule_covers(mine, other),
        };
        rule && self.holes.iter().all(|hole| other.holes.contains(hole))
            && host_covers(&self.host, &other.host)
            && other.ports.iter().all(|port| self.ports.contains(port))
            && match (self.expires_at, other.expires_at) {
                (None, _) => true,
                (Some(mine), Some(other)) => mine >= other,
                (Some(_), None) => false,
            }
    }

    /// How near it is to a denied request; the first is 1 where it would have let it through, as far as a record
    /// tells.
    pub(super) fn nearness(&self, denied: &DenialRecord) -> (usize, usize) {
        let host = Host::parse(&denied.host).is_ok_and(|host| self.host.matches(&host));
        let port = self.ports.iter().any(|port| port.get() == denied.port);
        let (method, path, depth) = match (&self.rule, &denied.method, &denied.path) {
            (Some(rule), Some(method), Some(path)) => {
                let method = Method::parse(method).is_ok_and(|method| rule.method.matches(&method));
                let holed = self.holes.iter().any(|hole| {
                    method && hole.rule.query.is_empty() && hole.rule.path.matches(path) && hole.host.is_none()
                });
                (method, rule.path.matches(path) && !holed, common_segments(rule.path.as_str(), path))
            }
            _ => (true, true, 0),
        };
        let hit = host && port && method && path;
        (usize::from(hit), 64 * usize::from(host) + 16 * usize::from(port) + 16 * usize::from(method) + depth.min(15))
    }

    /// A number that is larger for what is larger at a glance: only for a choice that nothing else decides.
    pub(super) fn breadth(&self) -> (usize, usize, usize, usize) {
        use narrowgate_core::pattern::HostForm;
        let host = match self.host.form() {
            HostForm::AnyLabels { .. } => 2,
            HostForm::OneLabel { .. } => 1,
            HostForm::Exact(_) => 0,
        };
        let path = self.rule.as_ref().map_or(usize::MAX, |rule| path_breadth(rule.path.as_str()));
        (host, path, self.ports.len(), usize::MAX - self.holes.len())
    }
}

/// A number that is larger for the wider pattern, where neither covers the other: what ends in any depth, then what
/// says least.
pub(super) fn path_breadth(pattern: &str) -> usize {
    let said = |segment: &str| match segment {
        "**" | "" => 0,
        "*" => 1,
        text => 2 + text.len(),
    };
    let segments = || pattern.split('/').skip(1);
    let open = segments().any(|segment| segment == "**");
    let stars = segments().filter(|segment| *segment == "*").count();
    let said: usize = segments().map(said).sum();
    if open { (1 << 20) - said.min(1 << 16) } else { (1 << 17) + 2 * stars - said.min(1 << 16) }
}

fn common_segments(pattern: &str, path: &str) -> usize {
    pattern.split('/').zip(path.split('/')).take_while(|(p, s)| p == s || glob_covers(p, s, true)).count()
}

fn rule_covers(wide: &RestRule, narrow: &RestRule) -> bool {
    let method = match (&wide.method, &narrow.method) {
        (MethodPattern::Any, _) => true,
        (MethodPattern::Exact(a), MethodPattern::Exact(b)) => a == b || (a.as_str() == "GET" && b.as_str() == "HEAD"),
        (MethodPattern::Exact(_), MethodPattern::Any) => false,
    };
    method
        && path_covers(wide.path.as_str(), narrow.path.as_str())
        && wide.query.iter().all(|(key, globs)| {
            narrow.query.get(key).is_some_and(|others| {
                others.iter().all(|other| globs.iter().any(|glob| glob_covers(glob.as_str(), other.as_str(), false)))
            })
        })
}

/// An entry's permissions, in its order.
pub(super) fn take_apart(entry: &Entry) -> Vec<Piece> {
    let mut out = Vec::new();
    for (endpoint, whole) in entry.endpoints.iter().enumerate() {
        let piece = |rule: Option<RestRule>| Piece {
            endpoint,
            host: whole.host.clone(),
            ports: whole.ports.clone(),
            expires_at: whole.expires_at,
            rule,
            holes: Vec::new(),
        };
        match &whole.traffic {
            Traffic::Opaque => out.push(piece(None)),
            Traffic::Rest(rest) => out.extend(rules(&rest.allow).into_iter().map(|rule| piece(Some(rule)))),
        }
    }
    out
}

/// The same as rules: a preset is some methods on every path.
fn rules(allow: &Allow) -> Vec<RestRule> {
    match allow {
        Allow::Rules(rules) => rules.iter().filter_map(Rule::rest).cloned().collect(),
        Allow::Access(access) => preset(*access).iter().filter_map(|method| anywhere(method)).collect(),
    }
}

fn preset(access: Access) -> &'static [&'static str] {
    match access {
        Access::ReadOnly => &["GET", "OPTIONS"],
        Access::ReadWrite => &["GET", "OPTIONS", "POST", "PUT", "PATCH"],
        Access::Full => &["*"],
    }
}

/// This method on every path.
pub(super) fn anywhere(method: &str) -> Option<RestRule> {
    let (method, path) = (MethodPattern::parse(method).ok()?, PathPattern::parse("/**").ok()?);
    Some(RestRule { method, path, query: std::collections::BTreeMap::new() })
}

/// The entry that says `pieces`, for `binaries`: endpoints in the order of `entry`, with the denies that it has.
/// `None` where nothing would be allowed.
pub(super) fn put_together(entry: &Entry, binaries: &[BinaryPattern], pieces: &[Piece]) -> Option<Entry> {
    if pieces.is_empty() {
        return None;
    }
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (at, whole) in entry.endpoints.iter().enumerate() {
        let own: Vec<&Piece> = pieces.iter().filter(|piece| piece.endpoint == at).collect();
        let before = match &whole.traffic {
            Traffic::Rest(rest) => rest.clone(),
            Traffic::Opaque => Rest::default(),
        };
        if own.is_empty() && !before.deny.is_empty() {
            endpoints.push(deny_only(whole, before.deny.clone(), before.paths));
        }
        let mut groups: Vec<Vec<&Piece>> = Vec::new();
        for piece in own {
            let same = |group: &&mut Vec<&Piece>| group.first().is_some_and(|first| is_beside(first, piece));
            match groups.iter_mut().find(same) {
                Some(group) => group.push(piece),
                None => groups.push(vec![piece]),
            }
        }
        let preset_before = !matches!(&whole.traffic, Traffic::Rest(Rest { allow: Allow::Rules(_), .. }));
        for group in groups {
            let Some(first) = group.first() else { continue };
            let mut endpoint = Endpoint {
                host: first.host.clone(),
                ports: first.ports.clone(),
                traffic: Traffic::Opaque,
                expires_at: first.expires_at,
                review_auto: false,
            };
            if first.rule.is_none() {
                endpoints.push(endpoint);
                continue;
            }
            let mut rules: Vec<RestRule> = Vec::new();
            let (mut deny, mut beside) = (before.deny.clone(), Vec::new());
            for piece in group {
                rules.extend(piece.rule.clone().filter(|rule| !rules.contains(rule)));
                for Hole { host, rule } in &piece.holes {
                    match host {
                        None if !deny.contains(&Rule::Rest(rule.clone())) => deny.push(Rule::Rest(rule.clone())),
                        Some(host) => {
                            let there = Endpoint { host: host.clone(), ..endpoint.clone() };
                            beside.push(deny_only(&there, vec![Rule::Rest(rule.clone())], before.paths));
                        }
                        None => {}
                    }
                }
            }
            let preset = as_preset(&rules).filter(|_| preset_before);
            let listed = || Allow::Rules(rules.into_iter().map(Rule::Rest).collect());
            let allow = preset.map_or_else(listed, Allow::Access);
            endpoint.traffic = Traffic::Rest(Rest { protocol: None, allow, deny, paths: before.paths });
            endpoints.push(endpoint);
            endpoints.extend(beside);
        }
    }
    endpoints.dedup();
    Some(Entry { name: entry.name.clone(), binaries: binaries.to_vec(), endpoints })
}

/// Whether both can stand in one endpoint.
fn is_beside(a: &Piece, b: &Piece) -> bool {
    a.rule.is_some() == b.rule.is_some() && (&a.host, &a.ports, a.expires_at) == (&b.host, &b.ports, b.expires_at)
}

fn as_preset(rules: &[RestRule]) -> Option<Access> {
    let everywhere = rules.iter().all(|rule| rule.query.is_empty() && rule.path.as_str() == "/**");
    let is = |access: &Access| {
        let methods = preset(*access);
        methods.len() == rules.len() && methods.iter().all(|m| rules.iter().any(|rule| rule.method.as_str() == *m))
    };
    [Access::ReadOnly, Access::ReadWrite, Access::Full].into_iter().filter(|_| everywhere).find(is)
}

/// An endpoint that is there for what it denies. Denies do not end.
pub(super) fn deny_only(endpoint: &Endpoint, deny: Vec<Rule>, paths: PathOptions) -> Endpoint {
    let rest = Rest { protocol: None, allow: Allow::Rules(Vec::new()), deny, paths };
    Endpoint { traffic: Traffic::Rest(rest), expires_at: None, review_auto: false, ..endpoint.clone() }
}

/// What an entry denies, without what it allows. `None` where that is nothing.
pub(super) fn denies(entry: &Entry) -> Option<Entry> {
    let endpoints: Vec<Endpoint> = entry
        .endpoints
        .iter()
        .filter_map(|endpoint| match &endpoint.traffic {
            Traffic::Rest(rest) if !rest.deny.is_empty() => Some(deny_only(endpoint, rest.deny.clone(), rest.paths)),
            _ => None,
        })
        .collect();
    (!endpoints.is_empty()).then(|| Entry { endpoints, ..entry.clone() })
}

/// Whether a rule for `binaries` is for the process that was denied.
pub(super) fn is_for(binaries: &[BinaryPattern], denied: &DenialRecord) -> bool {
    let process = Process { path: denied.binary.clone(), ..Process::default() };
    binaries.is_empty() || binaries.iter().any(|binary| binary.matches(&process))
}
