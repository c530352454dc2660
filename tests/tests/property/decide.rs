//! Deciding through Cedar is the direct reading of the rules.

use arbitrary::Unstructured;
use narrowgate_core::compile::Compiled;
use narrowgate_core::decide::{Decision, Reason, Route, Snapshot};
use narrowgate_core::policy::Role;
use narrowgate_core::request::Request;
use narrowgate_core::{cedar, policy::Policy};
use narrowgate_tests::generators;
use narrowgate_tests::model::Model;
use narrowgate_tests::oracles::{host_matches, permits_opaque, reads, reads_model};
use narrowgate_tests::universe::Universe;

use crate::for_all;

fn snapshot(model: &Model) -> Snapshot {
    let policy = model.parse(Role::Policy).unwrap_or_else(|errors| panic!("{errors}\n{:#}", model.to_json()));
    let compiled = Compiled::policy(&policy).unwrap_or_else(|error| panic!("{error}\n{:#}", model.to_json()));
    Snapshot::new(policy, compiled, 7)
}

fn agrees(model: &Model, snapshot: &Snapshot, request: &Request) {
    let expected = reads_model(model, request);
    let context = || format!("{request:?}\n{:#}\n{}", model.to_json(), snapshot.compiled().text());
    match snapshot.decide(request) {
        Decision::Allow(permit) => {
            assert!(expected, "allowed, and no rule says so: {}", context());
            assert_eq!((permit.host(), permit.port()), (&request.host, request.port));
            assert_eq!((permit.version(), permit.policy_digest()), (7, snapshot.digest()));
            assert!(model.entries.iter().any(|entry| entry.name == permit.policy()), "{}", context());
        }
        Decision::Deny(refusal) => {
            assert!(!expected, "denied ({:?}), and the rules allow it: {}", refusal.reason, context());
            let known = [Reason::NoMatchingRule, Reason::DenyRule, Reason::LeaseExpired];
            assert!(known.contains(&refusal.reason), "{:?}", refusal.reason);
        }
    }
    // The slice that the index selects decides as the whole set does.
    let whole = cedar::is_allowed(snapshot.compiled(), request, snapshot.compiled().globs());
    assert_eq!(whole, expected, "the whole set: {}", context());
}

#[test]
fn a_decision_is_the_reading_of_the_rules() {
    for_all(400, 2048, |u: &mut Unstructured<'_>| {
        let model = generators::policy(u)?;
        let snapshot = snapshot(&model);
        // Both readings of the policy, from its text and from what was parsed of it, are one.
        for _ in 0..40 {
            let request = generators::request(u)?;
            assert_eq!(reads(snapshot.policy(), &request), reads_model(&model, &request));
            agrees(&model, &snapshot, &request);
        }
        Ok(())
    });
}

#[test]
fn every_class_of_requests_is_decided_as_read() {
    for_all(40, 256, |u: &mut Unstructured<'_>| {
        let model = generators::policy(u)?;
        let snapshot = snapshot(&model);
        let universe = Universe::of(&[&model]);
        if universe.size() > 12_000 {
            return Ok(());
        }
        universe.find(|request| {
            agrees(&model, &snapshot, request);
            false
        });
        Ok(())
    });
}

/// What is done with a `CONNECT` never contradicts what is decided of the requests in it.
#[test]
fn a_route_is_no_wider_and_no_narrower_than_the_rules() {
    for_all(400, 1024, |u: &mut Unstructured<'_>| {
        let model = generators::policy(u)?;
        let snapshot = snapshot(&model);
        for _ in 0..20 {
            let request = generators::request(u)?;
            let opaque = permits_opaque(snapshot.policy(), &request);
            let route = snapshot.route(&request.process, &request.host, request.port, request.now);
            let context = || format!("{request:?}\n{:#}", model.to_json());
            assert_eq!(matches!(route, Route::Opaque(_)), opaque, "{}", context());
            // Inspected whoever connects, so that a denial can say what was asked.
            let mut endpoints = model.entries.iter().flat_map(|entry| &entry.endpoints);
            let inspected = endpoints.any(|endpoint| {
                endpoint.rest.is_some()
                    && endpoint.ports.contains(&request.port.get())
                    && host_matches(&endpoint.host, &request.host)
            });
            assert_eq!(matches!(route, Route::Inspect), inspected && !opaque, "{}", context());
        }
        Ok(())
    });
}

/// A deny only ever takes away, and an entry only ever adds but for its denies.
#[test]
fn rules_are_monotone() {
    for_all(200, 1024, |u: &mut Unstructured<'_>| {
        let model = generators::policy(u)?;
        let mut fewer_denies = model.clone();
        for entry in &mut fewer_denies.entries {
            entry.endpoints.iter_mut().filter_map(|endpoint| endpoint.rest.as_mut()).for_each(|rest| {
                if rest.access.is_some() || !rest.rules.is_empty() {
                    rest.deny.clear();
                }
            });
        }
        let (with, without) = (snapshot(&model), snapshot(&fewer_denies));
        let allows = |snapshot: &Snapshot, request: &Request| matches!(snapshot.decide(request), Decision::Allow(_));
        for _ in 0..20 {
            let request = generators::request(u)?;
            assert!(!allows(&with, &request) || allows(&without, &request), "{request:?}\n{:#}", model.to_json());
        }
        Ok(())
    });
}

#[test]
fn an_empty_policy_allows_nothing() {
    let compiled = Compiled::policy(&Policy::empty()).unwrap();
    let snapshot = Snapshot::new(Policy::empty(), compiled, 1);
    for_all(50, 256, |u: &mut Unstructured<'_>| {
        let request = generators::request(u)?;
        assert!(matches!(snapshot.decide(&request), Decision::Deny(_)), "{request:?}");
        Ok(())
    });
}
