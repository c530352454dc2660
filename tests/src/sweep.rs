//! Brute force for millions of pairs: the whole vocabulary at once, as bits.
//!
//! What a pattern matches is worked out once, by the oracles' matchers, and kept; a policy is then a few sums of these
//! tables for each kind of process, place and time that the policies tell apart.

use std::collections::HashMap;

use narrowgate_core::request::{Host, Method, Operation, PathOptions, Port, Process, Query, Request, Target};

use crate::generators::{self, HOSTS, METHODS, PORTS, PROCESSES, QUERIES, TIMES};
use crate::model::{Endpoint, Entry, Model, Rule};
use crate::oracles::{binary_matches, host_matches, method_matches, path_matches, query_matches};

/// For each path of the vocabulary, a bit for each of its queries.
type Targets = Vec<u16>;

/// The vocabulary, and what patterns match of it.
#[derive(Debug)]
pub struct Sweep {
    processes: Vec<Process>,
    hosts: Vec<Host>,
    paths: Vec<String>,
    queries: Vec<Query>,
    known_paths: HashMap<String, Vec<bool>>,
    known_queries: HashMap<(String, Vec<String>, bool), u16>,
}

impl Default for Sweep {
    fn default() -> Sweep {
        let query = |text: &str| Target::parse(&format!("/?{text}"), &PathOptions::default()).expect("canonical").query;
        Sweep {
            processes: PROCESSES.map(generators::process).into(),
            hosts: HOSTS.iter().map(|host| Host::parse(host).expect("a host")).collect(),
            paths: generators::paths(),
            queries: QUERIES.iter().map(|text| query(text)).collect(),
            known_paths: HashMap::new(),
            known_queries: HashMap::new(),
        }
    }
}

impl Sweep {
    /// A request of the vocabulary that `candidate` allows and `ceiling` does not.
    pub fn excess(&mut self, candidate: &Model, ceiling: &Model) -> Option<Request> {
        let sides = [self.read(candidate), self.read(ceiling)];
        let mut seen: Vec<Vec<bool>> = Vec::new();
        for (process, host, port, now) in self.situations() {
            // What each endpoint has to say here decides everything else.
            let here: Vec<(bool, bool, bool)> = sides
                .iter()
                .flatten()
                .map(|read| read.applies(&self.processes[process], process, host, port, now))
                .collect();
            let key: Vec<bool> = here.iter().flat_map(|(allows, denies, _)| [*allows, *denies]).collect();
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let (mine, theirs) = here.split_at(sides[0].len());
            let request = |operation| Request {
                process: self.processes[process].clone(),
                host: self.hosts[host].clone(),
                port: Port::new(PORTS[port]).expect("a port"),
                operation,
                now: TIMES[now],
            };
            if opaque(&sides[0], mine) && !opaque(&sides[1], theirs) {
                return Some(request(Operation::Connect));
            }
            for (number, name) in METHODS.iter().enumerate() {
                let (allowed, bound) = (self.sum(&sides[0], mine, number), self.sum(&sides[1], theirs, number));
                let missing = allowed.iter().zip(&bound).position(|(a, b)| a & !b != 0);
                if let Some(path) = missing {
                    let query = (allowed[path] & !bound[path]).trailing_zeros() as usize;
                    let text = format!("{}?{}", self.paths[path], self.queries[query].as_str());
                    let target = Target::parse(&text, &PathOptions::default()).expect("canonical");
                    return Some(request(Operation::Http {
                        method: Method::parse(name).expect("a method"),
                        target,
                        meaning: None,
                    }));
                }
            }
        }
        None
    }

    fn situations(&self) -> impl Iterator<Item = (usize, usize, usize, usize)> + use<> {
        let (processes, hosts) = (self.processes.len(), self.hosts.len());
        (0..processes).flat_map(move |process| {
            (0..hosts).flat_map(move |host| {
                (0..PORTS.len()).flat_map(move |port| (0..TIMES.len()).map(move |now| (process, host, port, now)))
            })
        })
    }

    fn read(&mut self, model: &Model) -> Vec<Read> {
        let mut out = Vec::new();
        for entry in &model.entries {
            let by: Vec<bool> = self.processes.iter().map(|process| is_for(entry, process)).collect();
            for endpoint in &entry.endpoints {
                out.push(Read {
                    by: by.clone(),
                    to: self.hosts.iter().map(|host| host_matches(&endpoint.host, host)).collect(),
                    on: PORTS.iter().map(|port| endpoint.ports.contains(port)).collect(),
                    during: TIMES.iter().map(|now| endpoint.expires_at.is_none_or(|end| *now < end)).collect(),
                    is_opaque: endpoint.rest.is_none(),
                    allowed: METHODS.iter().map(|method| self.allowed(endpoint, method)).collect(),
                    denied: METHODS.iter().map(|method| self.denied(endpoint, method)).collect(),
                });
            }
        }
        out
    }

    fn allowed(&mut self, endpoint: &Endpoint, method: &str) -> Option<Targets> {
        let all = vec![u16::MAX >> (16 - self.queries.len()); self.paths.len()];
        let Some(rest) = &endpoint.rest else { return Some(all) };
        let preset: &[&str] = match rest.access.as_deref() {
            None => return self.any(&rest.rules, method, false),
            Some("full") => return Some(all),
            Some("read-only") => &["GET", "HEAD", "OPTIONS"],
            Some(_) => &["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"],
        };
        preset.contains(&method).then_some(all)
    }

    fn denied(&mut self, endpoint: &Endpoint, method: &str) -> Option<Targets> {
        self.any(&endpoint.rest.as_ref()?.deny, method, true)
    }

    fn any(&mut self, rules: &[Rule], method: &str, repeated_counts: bool) -> Option<Targets> {
        let mut out: Option<Targets> = None;
        for rule in rules.iter().filter(|rule| method_matches(&rule.method, method)) {
            let queries = self.queries_of(rule, repeated_counts);
            let count = self.paths.len();
            let paths = self.paths_of(&rule.path);
            let out = out.get_or_insert_with(|| vec![0; count]);
            out.iter_mut().zip(paths).filter(|(_, matches)| **matches).for_each(|(targets, _)| *targets |= queries);
        }
        out
    }

    fn paths_of(&mut self, pattern: &str) -> &[bool] {
        if !self.known_paths.contains_key(pattern) {
            let matches = self.paths.iter().map(|path| path_matches(pattern, path)).collect();
            self.known_paths.insert(pattern.to_owned(), matches);
        }
        &self.known_paths[pattern]
    }

    fn queries_of(&mut self, rule: &Rule, repeated_counts: bool) -> u16 {
        let mut all = u16::MAX >> (16 - self.queries.len());
        for (key, globs) in &rule.query {
            let known = self.known_queries.entry((key.clone(), globs.clone(), repeated_counts)).or_insert_with(|| {
                let matches = |query: &Query| query_matches(globs, key, query, repeated_counts);
                self.queries
                    .iter()
                    .enumerate()
                    .filter(|(_, query)| matches(query))
                    .fold(0, |mask, (at, _)| mask | (1 << at))
            });
            all &= *known;
        }
        all
    }

    /// What one side allows here by a method: the allows that apply, less the denies that do.
    fn sum(&self, side: &[Read], here: &[(bool, bool, bool)], method: usize) -> Targets {
        let mut out = vec![0; self.paths.len()];
        let tables = |pick: fn(&Read, usize) -> Option<&Targets>, which: fn(&(bool, bool, bool)) -> bool| {
            side.iter().zip(here).filter(move |(_, here)| which(here)).filter_map(move |(read, _)| pick(read, method))
        };
        for table in tables(|read, method| read.allowed[method].as_ref(), |here| here.0) {
            out.iter_mut().zip(table).for_each(|(out, more)| *out |= more);
        }
        for table in tables(|read, method| read.denied[method].as_ref(), |here| here.1) {
            out.iter_mut().zip(table).for_each(|(out, less)| *out &= !less);
        }
        out
    }
}

/// One endpoint over the vocabulary: which values of each part it is about, and its targets by method.
struct Read {
    by: Vec<bool>,
    to: Vec<bool>,
    on: Vec<bool>,
    during: Vec<bool>,
    is_opaque: bool,
    allowed: Vec<Option<Targets>>,
    denied: Vec<Option<Targets>>,
}

impl Read {
    /// Whether its allows apply, whether its denies do, and whether opaque bytes may pass.
    fn applies(&self, who: &Process, process: usize, host: usize, port: usize, now: usize) -> (bool, bool, bool) {
        let here = self.to[host] && self.on[port];
        let allows = here && self.by[process] && self.during[now];
        // A deny outlives its endpoint's lease, and is for whoever cannot be identified.
        let denies = here && (self.by[process] || who.path.is_empty());
        (allows, denies, allows && self.is_opaque)
    }
}

fn opaque(side: &[Read], here: &[(bool, bool, bool)]) -> bool {
    side.iter().zip(here).any(|(_, here)| here.2)
}

fn is_for(entry: &Entry, process: &Process) -> bool {
    entry.binaries.is_empty() || entry.binaries.iter().any(|pattern| binary_matches(pattern, process))
}
