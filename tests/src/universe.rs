//! Every request of the vocabulary that some policies could tell apart, by brute force.
//!
//! The vocabulary's requests number in the millions. What a policy says of a request depends only on which of its
//! patterns match each part, so for every part one value of each distinct answer is enough; what is left is the product
//! of a few classes, and trying all of it decides containment over the whole vocabulary.

use std::collections::BTreeSet;

use narrowgate_core::request::{Host, Method, Operation, PathOptions, Port, Process, Query, Request, Target};

use crate::generators::{self, HOSTS, METHODS, PORTS, PROCESSES, QUERIES, TIMES};
use crate::model::{Endpoint, Entry, Model, Rule};
use crate::oracles::{binary_matches, host_matches, path_matches, query_matches};

/// One value of each class, for each part of a request.
#[derive(Debug)]
pub struct Universe {
    processes: Vec<Process>,
    places: Vec<(Host, Port)>,
    times: Vec<i64>,
    operations: Vec<Operation>,
}

impl Universe {
    /// The classes that `models` tell apart.
    pub fn of(models: &[&Model]) -> Universe {
        let entries: Vec<&Entry> = models.iter().flat_map(|model| &model.entries).collect();
        let endpoints: Vec<&Endpoint> = entries.iter().flat_map(|entry| &entry.endpoints).collect();
        let places = HOSTS.iter().flat_map(|host| PORTS.iter().map(move |port| place(host, *port)));
        Universe {
            processes: classes(PROCESSES.map(generators::process), |process| {
                let named = entries.iter().map(|entry| entry.binaries.iter().any(|name| binary_matches(name, process)));
                named.collect()
            }),
            places: classes(places, |(host, port)| {
                let at =
                    |endpoint: &&Endpoint| endpoint.ports.contains(&port.get()) && host_matches(&endpoint.host, host);
                endpoints.iter().map(at).collect()
            }),
            times: classes(TIMES, |now| {
                endpoints.iter().map(|endpoint| endpoint.expires_at.is_some_and(|end| *now >= end)).collect()
            }),
            operations: operations(&endpoints),
        }
    }

    /// How many requests there are.
    pub fn size(&self) -> usize {
        self.processes.len() * self.places.len() * self.times.len() * self.operations.len()
    }

    /// The first request for which `wanted` holds.
    pub fn find(&self, mut wanted: impl FnMut(&Request) -> bool) -> Option<Request> {
        for process in &self.processes {
            for (host, port) in &self.places {
                for &now in &self.times {
                    for operation in &self.operations {
                        let (process, host, operation) = (process.clone(), host.clone(), operation.clone());
                        let request = Request { process, host, port: *port, operation, now };
                        if wanted(&request) {
                            return Some(request);
                        }
                    }
                }
            }
        }
        None
    }
}

fn place(host: &str, port: u16) -> (Host, Port) {
    (Host::parse(host).expect("a host"), Port::new(port).expect("a port"))
}

fn operations(endpoints: &[&Endpoint]) -> Vec<Operation> {
    let rules: Vec<&Rule> =
        endpoints.iter().filter_map(|e| e.rest.as_ref()).flat_map(|rest| rest.rules.iter().chain(&rest.deny)).collect();
    let parse = |text: &str| Target::parse(text, &PathOptions::default()).expect("canonical");
    let paths = classes(generators::paths(), |path| rules.iter().map(|rule| path_matches(&rule.path, path)).collect());
    let queries = classes(QUERIES.map(|query| parse(&format!("/?{query}")).query), |query| {
        rules.iter().flat_map(|rule| [asks(rule, query, false), asks(rule, query, true)]).collect()
    });
    let targets = paths.iter().flat_map(|path| queries.iter().map(move |query| (path, query)));
    let targets = classes(targets, |(path, query)| {
        let answers = |rule: &&Rule| {
            let here = path_matches(&rule.path, path);
            [here && asks(rule, query, false), here && asks(rule, query, true)]
        };
        rules.iter().flat_map(answers).collect()
    });
    let mut operations = vec![Operation::Connect];
    // All methods stay: presets tell them apart as well as rules.
    for method in METHODS.map(|method| Method::parse(method).expect("a method")) {
        operations.extend(targets.iter().map(|(path, query)| Operation::Http {
            method: method.clone(),
            target: parse(&format!("{path}?{}", query.as_str())),
            meaning: None,
        }));
    }
    operations
}

fn asks(rule: &Rule, query: &Query, repeated_counts: bool) -> bool {
    rule.query.iter().all(|(key, globs)| query_matches(globs, key, query, repeated_counts))
}

/// The first value of each distinct answer.
fn classes<T>(values: impl IntoIterator<Item = T>, answer: impl Fn(&T) -> Vec<bool>) -> Vec<T> {
    let mut seen: BTreeSet<Vec<bool>> = BTreeSet::new();
    values.into_iter().filter(|value| seen.insert(answer(value))).collect()
}
