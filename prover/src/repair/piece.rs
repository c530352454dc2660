//! An entry taken apart into permissions that can be tightened one by one, and put together again.

use std::collections::BTreeMap;
use std::sync::Arc;

use narrowgate_core::denial::DenialRecord;
use narrowgate_core::pattern::{BinaryPattern, HostPattern, MethodPattern, PathPattern};
use narrowgate_core::policy::{Access, Allow, Endpoint, Entry, OperationRule, Rest, RestRule, Rule, Traffic};
use narrowgate_core::request::{Host, Method, PathOptions, Port, Process};
use narrowgate_core::schema::Schema;
use narrowgate_core::vocabulary::PluginName;
use smol_str::SmolStr;

use super::meet::{glob_covers, host_covers, path_covers};
use super::operation;

/// One permission: what it is made of is independent of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The endpoint of the entry that it is a part of.
    pub(super) endpoint: usize,
    pub(super) host: HostPattern,
    pub(super) ports: Vec<Port>,
    pub(super) expires_at: Option<i64>,
    pub(super) what: What,
    /// What is taken out of it, beyond what the entry denied before.
    pub(super) holes: Vec<Hole>,
}

/// What of a destination's traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Opaque,
    Rest(RestRule),
    /// One of a plugin's actions.
    Operation(OperationRule),
    Preset(Preset),
}

/// A preset at an endpoint that speaks a plugin's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preset {
    pub(super) plugin: PluginName,
    pub(super) access: Access,
    /// The ids of the actions that it is for.
    pub(super) actions: Arc<[SmolStr]>,
}

/// A deny that a repair adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    /// `None`: on all of the piece's hosts.
    pub(super) host: Option<HostPattern>,
    pub(super) rule: Rule,
}

impl Hole {
    /// A deny on all of the piece's hosts.
    pub(super) fn here(rule: Rule) -> Hole {
        Hole { host: None, rule }
    }
}

impl Piece {
    /// What is on the wire, where that is what the piece is about.
    pub(super) fn rest(&self) -> Option<&RestRule> {
        match &self.what {
            What::Rest(rule) => Some(rule),
            What::Opaque | What::Operation(_) | What::Preset(_) => None,
        }
    }

    /// The action's rule, where it is about one.
    pub(super) fn operation(&self) -> Option<&OperationRule> {
        match &self.what {
            What::Operation(rule) => Some(rule),
            What::Opaque | What::Rest(_) | What::Preset(_) => None,
        }
    }

    /// The same about other requests.
    pub(super) fn about(&self, what: What) -> Piece {
        Piece { what, ..self.clone() }
    }

    /// Whether `self` visibly has all of `other`.
    pub(super) fn covers(&self, other: &Piece) -> bool {
        self.what.covers(&other.what)
            && self.holes.iter().all(|hole| other.holes.contains(hole))
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
        let (method, path, depth) = match (&self.what, &denied.method, &denied.path) {
            (What::Rest(rule), Some(method), Some(path)) => {
                let method = Method::parse(method).is_ok_and(|method| rule.method.matches(&method));
                let holed = self.holes.iter().any(|hole| {
                    let rest = hole.rule.rest().filter(|rule| rule.query.is_empty() && rule.path.matches(path));
                    method && rest.is_some() && hole.host.is_none()
                });
                (method, rule.path.matches(path) && !holed, common_segments(rule.path.as_str(), path))
            }
            (What::Operation(_) | What::Preset(_), _, _) => operation::nearness(self, denied),
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
        let what = match &self.what {
            What::Opaque => usize::MAX,
            What::Rest(rule) => path_breadth(rule.path.as_str()),
            What::Operation(rule) => operation::breadth(rule),
            What::Preset(preset) => (1 << 21) + preset.actions.len(),
        };
        (host, what, self.ports.len(), usize::MAX - self.holes.len())
    }
}

impl What {
    fn covers(&self, other: &What) -> bool {
        match (self, other) {
            (What::Opaque, _) => true,
            (What::Rest(mine), What::Rest(other)) => rule_covers(mine, other),
            (What::Operation(mine), What::Operation(other)) => operation::covers(mine, other),
            (What::Preset(mine), What::Operation(other)) => mine.actions.iter().any(|id| id == other.action()),
            (What::Preset(mine), What::Preset(other)) => other.actions.iter().all(|id| mine.actions.contains(id)),
            _ => false,
        }
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
pub(super) fn take_apart(entry: &Entry, schema: &Schema) -> Vec<Piece> {
    let mut out = Vec::new();
    for (endpoint, whole) in entry.endpoints.iter().enumerate() {
        let piece = |what: What| Piece {
            endpoint,
            host: whole.host.clone(),
            ports: whole.ports.clone(),
            expires_at: whole.expires_at,
            what,
            holes: Vec::new(),
        };
        match &whole.traffic {
            Traffic::Opaque => out.push(piece(What::Opaque)),
            Traffic::Rest(rest) => out.extend(whats(rest, schema).into_iter().map(piece)),
        }
    }
    out
}

/// What is allowed, by rule. Where no plugin speaks, a preset is some methods on every path.
fn whats(rest: &Rest, schema: &Schema) -> Vec<What> {
    match (&rest.allow, &rest.protocol) {
        (Allow::Rules(rules), _) => {
            let what = |rule: &Rule| match rule {
                Rule::Rest(rule) => What::Rest(rule.clone()),
                Rule::Operation(rule) => What::Operation(rule.clone()),
            };
            rules.iter().map(what).collect()
        }
        (Allow::Access(access), None) => {
            preset(*access).iter().filter_map(|method| anywhere(method)).map(What::Rest).collect()
        }
        (Allow::Access(access), Some(plugin)) => vec![What::Preset(Preset::new(plugin, *access, schema))],
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
    Some(RestRule { method, path, query: BTreeMap::new() })
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
            if first.what == What::Opaque {
                endpoints.push(endpoint);
                continue;
            }
            let (mut deny, mut beside) = (before.deny.clone(), Vec::new());
            for Hole { host, rule } in group.iter().flat_map(|piece| &piece.holes) {
                match host {
                    None if !deny.contains(rule) => deny.push(rule.clone()),
                    Some(host) => {
                        let there = Endpoint { host: host.clone(), ..endpoint.clone() };
                        beside.push(deny_only(&there, vec![rule.clone()], before.paths));
                    }
                    None => {}
                }
            }
            let allow = allowed(&group, preset_before);
            let protocol = before.protocol.clone();
            endpoint.traffic = Traffic::Rest(Rest { protocol, allow, deny, paths: before.paths });
            endpoints.push(endpoint);
            endpoints.extend(beside);
        }
    }
    endpoints.dedup();
    Some(Entry { name: entry.name.clone(), binaries: binaries.to_vec(), endpoints })
}

/// Whether both can stand in one endpoint: a plugin's preset stands alone.
fn is_beside(a: &Piece, b: &Piece) -> bool {
    let rules = |piece: &Piece| matches!(piece.what, What::Rest(_) | What::Operation(_));
    (a.what == b.what || (rules(a) && rules(b)))
        && (&a.host, &a.ports, a.expires_at) == (&b.host, &b.ports, b.expires_at)
}

/// What the pieces of one endpoint allow: a preset where they are one and there was one before.
fn allowed(group: &[&Piece], preset_before: bool) -> Allow {
    let mut rules: Vec<Rule> = Vec::new();
    for piece in group {
        let rule = match &piece.what {
            What::Opaque => continue,
            What::Preset(preset) => return Allow::Access(preset.access),
            What::Rest(rule) => Rule::Rest(rule.clone()),
            What::Operation(rule) => Rule::Operation(rule.clone()),
        };
        rules.extend(Some(rule).filter(|rule| !rules.contains(rule)));
    }
    as_preset(&rules).filter(|_| preset_before).map_or(Allow::Rules(rules), Allow::Access)
}

fn as_preset(rules: &[Rule]) -> Option<Access> {
    let rules: Vec<&RestRule> = rules.iter().map(Rule::rest).collect::<Option<_>>()?;
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

/// What of an entry has a say in what others mean: what it denies, and where it speaks a plugin's protocol, for there a rule
/// about methods and paths is one about operations too. `None` where that is nothing.
pub(super) fn said_beside(entry: &Entry) -> Option<Entry> {
    let said = |endpoint: &Endpoint| match &endpoint.traffic {
        Traffic::Rest(rest) if !rest.deny.is_empty() || rest.plugin().is_some() => {
            let protocol = rest.plugin().cloned();
            let rest = Rest { protocol, allow: Allow::default(), ..rest.clone() };
            Some(Endpoint { traffic: Traffic::Rest(rest), expires_at: None, review_auto: false, ..endpoint.clone() })
        }
        _ => None,
    };
    let endpoints: Vec<Endpoint> = entry.endpoints.iter().filter_map(said).collect();
    (!endpoints.is_empty()).then(|| Entry { endpoints, ..entry.clone() })
}

/// Whether a rule for `binaries` is for the process that was denied.
pub(super) fn is_for(binaries: &[BinaryPattern], denied: &DenialRecord) -> bool {
    let process = Process { path: denied.binary.clone(), ..Process::default() };
    binaries.is_empty() || binaries.iter().any(|binary| binary.matches(&process))
}
