//! What is said about a change against brute force: what passes without a person is marked, and whoever newly reaches a
//! host with credentials, or newly writes there, is noted.

use std::cell::Cell;
use std::collections::BTreeSet;

use arbitrary::Unstructured;
use narrowgate_core::compile::Compiled;
use narrowgate_core::credentials::Credentials;
use narrowgate_core::finding::FindingName;
use narrowgate_core::policy::{Allow, Policy, Role, Traffic};
use narrowgate_core::request::Request;
use narrowgate_prover::{Ceiling, Change, Evidence, Options, automatic, automatic_part, findings};
use narrowgate_tests::generators;
use narrowgate_tests::model::{Endpoint, Entry, Model};
use narrowgate_tests::oracles::reads_model;
use narrowgate_tests::universe::Universe;

use crate::for_all;

/// A policy, and the same with the entries of another; `None` where the two do not go together.
fn grown(before: &Model, more: &Model) -> Option<(Policy, Policy, Model)> {
    let mut after = before.clone();
    after
        .entries
        .extend(more.entries.iter().map(|entry| Entry { name: format!("new-{}", entry.name), ..entry.clone() }));
    Some((before.parse(Role::Policy).ok()?, after.parse(Role::Policy).ok()?, after))
}

fn with<T>(before: &Policy, after: &Policy, run: impl FnOnce(&Change<'_>) -> T) -> T {
    let (before_compiled, after_compiled) = (Compiled::policy(before).unwrap(), Compiled::policy(after).unwrap());
    run(&Change { before, before_compiled: &before_compiled, after, after_compiled: &after_compiled })
}

/// Everything that passes is in a marked endpoint and in no deny of the ceiling.
#[test]
fn what_is_automatic_is_marked() {
    let (passed, asked) = (Cell::new(0), Cell::new(0));
    for_all(200, 2048, |u: &mut Unstructured<'_>| {
        let (mut more, ceiling) = generators::pair(u)?;
        more.entries.iter_mut().flat_map(|entry| &mut entry.endpoints).for_each(|endpoint| {
            endpoint.rest.iter_mut().for_each(|rest| rest.deny.clear());
        });
        let Ok(mut ceiling) = ceiling.parse(Role::Ceiling) else { return Ok(()) };
        // What is left of it for who asks nobody: marked endpoints, and every deny.
        let mut marked = ceiling.clone();
        for (entry, left) in ceiling.entries.values_mut().zip(marked.entries.values_mut()) {
            for (endpoint, left) in entry.endpoints.iter_mut().zip(&mut left.endpoints) {
                endpoint.review_auto = u.ratio(4, 5)?;
                match &mut left.traffic {
                    _ if endpoint.review_auto => {}
                    Traffic::Rest(rest) => rest.allow = Allow::Rules(Vec::new()),
                    Traffic::Opaque => left.traffic = Traffic::Rest(Default::default()),
                }
            }
        }
        let before = generators::policy(u)?;
        let Some((before_policy, after_policy, after)) = grown(&before, &more) else { return Ok(()) };
        let ceiling = Ceiling::new(Compiled::policy(&ceiling).unwrap()).unwrap();
        let part = automatic_part(&ceiling);
        let verdict =
            with(&before_policy, &after_policy, |change| automatic(change, part.as_ref(), &[], &Options::default()));
        let count = if verdict.is_ok() { &passed } else { &asked };
        count.set(count.get() + 1);
        if verdict.is_ok() {
            let marked = Model::of(&marked);
            let beyond = Universe::of(&[&before, &after, &marked]).find(|request| {
                reads_model(&after, request) && !reads_model(&before, request) && !reads_model(&marked, request)
            });
            assert!(beyond.is_none(), "{beyond:?}\nafter {:#}\nmarked {:#}", after.to_json(), marked.to_json());
        }
        Ok(())
    });
    assert!(passed.get() > 10 && asked.get() > 10, "{} passed, {} asked", passed.get(), asked.get());
}

/// Who, where and when; with what kind of method for the second kind of question.
fn key(request: &Request, with_action: bool) -> String {
    let action = if with_action { request.operation.action() } else { "" };
    format!("{:?} {}:{} {} {action}", request.process, request.host, request.port, request.now)
}

/// Without denies before, which may void a rule in part: see the documentation of the findings.
#[test]
fn new_reach_and_new_methods_are_noted() {
    let credentials = "version: 1\ncredentials: [{ name: c, host: '*.example.com', port: 443 }]\n";
    let credentials = Credentials::parse(credentials, "credentials.yaml").unwrap();
    let place = Endpoint { host: "*.example.com".to_owned(), ports: vec![443], rest: None, expires_at: None };
    let place = Model { entries: vec![Entry { name: "c".to_owned(), binaries: Vec::new(), endpoints: vec![place] }] };
    let (noted, quiet) = (Cell::new(0), Cell::new(0));
    for_all(120, 2048, |u: &mut Unstructured<'_>| {
        let mut before = generators::policy(u)?;
        before.entries.iter_mut().flat_map(|entry| &mut entry.endpoints).for_each(|endpoint| {
            endpoint.rest.iter_mut().for_each(|rest| rest.deny.clear());
        });
        let more = generators::policy(u)?;
        let Some((before_policy, after_policy, after)) = grown(&before, &more) else { return Ok(()) };
        let found = with(&before_policy, &after_policy, |change| {
            findings(change, &Evidence::none(), &credentials, &Options::default())
        });
        let is_noted = |name: FindingName| found.iter().any(|finding| finding.name == name);
        let (reach, methods) =
            (is_noted(FindingName::CredentialReachExpansion), is_noted(FindingName::CapabilityExpansion));
        let count = if reach || methods { &noted } else { &quiet };
        count.set(count.get() + 1);

        // Every rule lets something through, if not something of the vocabulary: what it asks of paths and queries does
        // not matter for who gets where.
        let mut anywhere = before.clone();
        let rules = anywhere.entries.iter_mut().flat_map(|entry| &mut entry.endpoints).flat_map(|e| &mut e.rest);
        for rule in rules.flat_map(|rest| &mut rest.rules) {
            rule.path = "/**".to_owned();
            rule.query.clear();
        }
        let (mut reached, mut used, mut newly) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        Universe::of(&[&before, &after, &place]).find(|request| {
            let is_there = reads_model(&place, request);
            if is_there && reads_model(&anywhere, request) {
                reached.insert(key(request, false));
                used.insert(key(request, true));
            }
            if is_there && reads_model(&after, request) && !reads_model(&before, request) {
                newly.push(request.clone());
            }
            false
        });
        for request in newly {
            let context =
                || format!("{request:?}\nbefore {:#}\nafter {:#}\n{found:#?}", before.to_json(), after.to_json());
            if !reached.contains(&key(&request, false)) {
                assert!(reach, "newly reached: {}", context());
            }
            let action = request.operation.action();
            if !matches!(action, "GET" | "HEAD" | "OPTIONS" | "connect") && !used.contains(&key(&request, true)) {
                assert!(reach || methods, "a new method: {}", context());
            }
            if action == "connect" {
                assert!(is_noted(FindingName::L7BypassCredentialed), "opaque: {}", context());
            }
        }
        Ok(())
    });
    assert!(noted.get() > 10 && quiet.get() > 3, "{} noted, {} quiet", noted.get(), quiet.get());
}
