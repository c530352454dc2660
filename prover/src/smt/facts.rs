//! What holds for every canonical request and Cedar's schema does not say: ports are 1 to 65535, `labels` counts the
//! host's labels, `segments` are the path's, `path_globs` names the patterns that match it, a query key that repeats
//! has no value.
//!
//! `cedar-policy-symcc` writes a question as SMT-LIB; what is known of the terms that occur in it is added as
//! assertions before it is asked. Leaving one out only makes "within" harder, so where a name is not found in the
//! script nothing is said of it.
//!
//! INVARIANT: every assertion of [`Strength::Known`] is true of every request that the runtime can build. Those of
//! [`Strength::Plain`] are not; they are for finding a counterexample, never for a proof.

use std::collections::{BTreeMap, BTreeSet};

use narrowgate_core::compile::Globs;
use narrowgate_core::request::KNOWN_METHODS;

use super::regex;
use super::script::Script;

/// How much is assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// What holds for every request.
    Known,
    /// And that hosts and paths are of the kind that people write.
    Plain,
}

/// What is to be said about the requests of one environment.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    /// The action's id.
    action: String,
    /// The patterns that policies name, with the paths that they match: of requests, and of executables.
    paths: BTreeMap<String, String>,
    binaries: BTreeMap<String, String>,
}

impl Facts {
    pub(super) fn new(globs: &Globs) -> Facts {
        let paths = globs.paths().map(|pattern| (pattern.as_str().to_owned(), regex::pattern(pattern)));
        let binaries = globs.binaries().map(|binary| (binary.as_str().to_owned(), regex::pattern(binary.path())));
        Facts { action: String::new(), paths: paths.collect(), binaries: binaries.collect() }
    }

    /// The same, of another environment.
    pub(super) fn for_action(&self, action: &str) -> Facts {
        Facts { action: action.to_owned(), ..self.clone() }
    }

    /// The assertions that go with a script.
    pub(super) fn of(&self, script: &str, strength: Strength) -> String {
        let script = Script::read(script);
        let mut out = Out(String::new());
        self.endpoint(&script, strength, &mut out);
        self.process(&script, &mut out);
        self.request(&script, strength, &mut out);
        query(&script, &mut out);
        out.0
    }

    fn endpoint(&self, script: &Script<'_>, strength: Strength, out: &mut Out) {
        let Some(endpoint) = script.attributes_of("Endpoint", "resource") else { return };
        if let Some(port) = endpoint.used("port") {
            out.assert(&format!("(and (bvsle (_ bv1 64) {port}) (bvsle {port} (_ bv65535 64)))"));
        }
        let labels = endpoint.used("labels");
        if endpoint.used("host").is_none() && labels.is_none() {
            return;
        }
        let Some(host) = endpoint.get("host") else { return };
        let within = |language: &str| format!("(str.in_re {host} {language})");
        let name = format!("(and {} (not {}))", within(&regex::host_name()), within(&regex::numeric_end()));
        if strength == Strength::Plain {
            out.assert(&within(&regex::plain_host()));
        } else {
            out.assert(&format!("(or {name} {} {})", within(&regex::ipv4()), within(&regex::ipv6())));
        }
        if let Some(labels) = labels {
            out.assert(&format!("(and (bvsle (_ bv0 64) {labels}) (bvsle {labels} (_ bv127 64)))"));
            out.assert(&format!("(= (bvsle (_ bv1 64) {labels}) {name})"));
            for count in script.thresholds(&labels) {
                let at_least = within(&regex::labels_at_least(count));
                out.assert(&format!("(= (bvsle (_ bv{count} 64) {labels}) (and {name} {at_least}))"));
            }
        }
    }

    fn process(&self, script: &Script<'_>, out: &mut Out) {
        if let (Some(parents), Some(constructor)) = (script.function("ancs[Process, Sandbox]"), script.entity("Sandbox"))
            && let Some(principal) = script.variable("principal")
        {
            out.declare("ng_sandbox");
            out.assert(&format!("(str.in_re ng_sandbox {})", regex::text()));
            out.assert(&format!("(= ({parents} {principal}) (set.singleton ({constructor} ng_sandbox)))"));
        }
        let Some(process) = script.attributes_of("Process", "principal") else { return };
        if let Some(sha256) = process.used("sha256") {
            out.assert(&format!("(str.in_re {sha256} {})", regex::sha256()));
        }
        let Some(path) = process.get("path") else { return };
        if let (Some(constructor), Some(principal)) = (script.entity("Process"), script.variable("principal")) {
            out.assert(&format!("(= {principal} ({constructor} {path}))"));
        }
        out.assert(&format!("(str.in_re {path} {})", regex::executable()));
        if let Some(globs) = process.used("path_globs") {
            patterns(&self.binaries, &globs, &path, script, out);
        }
        if let Some(segments) = process.get("segments") {
            pieces("ng_p", &segments, &path, script, out);
        }
    }

    fn request(&self, script: &Script<'_>, strength: Strength, out: &mut Out) {
        let Some(context) = script.context() else { return };
        if let Some(method) = context.used("method") {
            if self.action == "OTHER" {
                out.assert(&format!("(str.in_re {method} {})", regex::token()));
                for taken in KNOWN_METHODS.into_iter().chain(["CONNECT", "TRACE"]) {
                    out.assert(&format!("(not (= {method} {}))", regex::literal(taken)));
                }
            } else {
                out.assert(&format!("(= {method} {})", regex::literal(&self.action)));
            }
        }
        let of_path = ["path", "path_globs", "segments"];
        if !of_path.into_iter().any(|name| context.used(name).is_some()) {
            return;
        }
        let Some(path) = context.get("path") else { return };
        let language = if strength == Strength::Plain { regex::plain_path() } else { regex::path() };
        out.assert(&format!("(str.in_re {path} {language})"));
        out.assert(&format!("(not (str.in_re {path} {}))", regex::dotted_or_empty_segment()));
        if let Some(globs) = context.used("path_globs") {
            patterns(&self.paths, &globs, &path, script, out);
        }
        if let Some(segments) = context.used("segments") {
            pieces("ng_r", &segments, &path, script, out);
        }
    }
}

/// A query key has a value where it occurs once, and values have no control characters.
fn query(script: &Script<'_>, out: &mut Out) {
    let Some(query) = script.context().and_then(|context| context.used("query")) else { return };
    if let Some(constructor) = script.entity("Query") {
        out.assert(&format!("(= {query} ({constructor} \"query\"))"));
    }
    let repeated = script.attributes("Query", &query).and_then(|query| query.used("repeated"));
    if let (Some(keys), Some(repeated)) = (script.function("tagKeys[Query]"), repeated) {
        out.assert(&format!("(= (set.inter ({keys} {query}) {repeated}) (as set.empty (Set String)))"));
    }
    for value in script.applications("tagVals[Query]") {
        out.assert(&format!("(str.in_re {value} {})", regex::printable()));
    }
}

/// `path_globs` has a pattern where the pattern matches.
fn patterns(known: &BTreeMap<String, String>, globs: &str, path: &str, script: &Script<'_>, out: &mut Out) {
    for (name, language) in known {
        let name = regex::literal(name);
        if script.mentions(&name) {
            out.assert(&format!("(= (set.member {name} {globs}) (str.in_re {path} {language}))"));
        }
    }
}

/// The segments of `path`, taken apart from either end as far as the script names them.
fn pieces(prefix: &str, segments: &str, path: &str, script: &Script<'_>, out: &mut Out) {
    let Some(record) = script.record_of("Segments") else { return };
    let record = record.at(segments);
    if let Some(count) = record.used("count") {
        let none = format!("(= {path} \"\")");
        out.assert(&format!("(and (bvsle (_ bv0 64) {count}) (bvsle {count} (_ bv16384 64)))"));
        out.assert(&format!("(= (= {count} (_ bv0 64)) {none})"));
        for at_least in script.thresholds(&count) {
            let language = regex::segments_at_least(at_least);
            out.assert(&format!("(= (bvsle (_ bv{at_least} 64) {count}) (str.in_re {path} {language}))"));
        }
    }
    for (end, head) in [('h', true), ('t', false)] {
        let used: BTreeSet<usize> = (0..16).filter(|n| record.used(&format!("{end}{n}")).is_some()).collect();
        let Some(last) = used.last().copied() else { continue };
        let mut rest = path.to_owned();
        for n in 0..=last {
            let (piece, next) = (format!("{prefix}{end}{n}"), format!("{prefix}{end}{n}_rest"));
            out.declare(&piece);
            out.declare(&next);
            let whole = if head {
                format!("(str.++ \"/\" {piece} {next})")
            } else {
                format!("(str.++ {next} \"/\" {piece})")
            };
            // What is left is nothing, or segments again.
            let left = format!("(or (= {next} \"\") (str.prefixof \"/\" {next}))");
            let there = format!("(and (= {rest} {whole}) (not (str.contains {piece} \"/\")) {left})");
            let absent = format!("(and (= {piece} \"\") (= {next} \"\"))");
            out.assert(&format!("(ite (= {rest} \"\") {absent} {there})"));
            if let Some(attribute) = record.used(&format!("{end}{n}")) {
                let value = format!("(ite (= {rest} \"\") (as none (Option String)) (some {piece}))");
                out.assert(&format!("(= {attribute} {value})"));
            }
            rest = next;
        }
    }
}

struct Out(String);

impl Out {
    fn assert(&mut self, what: &str) {
        self.0.push_str(&format!("(assert {what})\n"));
    }

    fn declare(&mut self, name: &str) {
        self.0.push_str(&format!("(declare-const {name} String)\n"));
    }
}
