//! What holds for every canonical request and Cedar's schema does not say: `labels` counts the host's labels, `segments`
//! are the path's, `path_globs` names the patterns that match it, a query key that repeats has no value, ports are 1 to
//! 65535, hosts and paths have a form, a plugin's action is carried by some methods and said of some hosts.
//!
//! `cedar-policy-symcc` writes a question as SMT-LIB; what is known of the terms that occur in it is added as
//! assertions before it is asked. Leaving one out only makes "within" harder, so where a name is not found in the
//! script nothing is said of it, and what solvers are slow with is only said where a model shows that it matters.
//!
//! INVARIANT: every assertion of [`Strength::Related`] and [`Strength::Canonical`] is true of every request that the
//! runtime can build. Those of [`Strength::Plain`] are not; they are for finding a counterexample, never for a proof.

use std::collections::BTreeMap;

use narrowgate_core::compile::Globs;
use narrowgate_core::request::KNOWN_METHODS;
use narrowgate_core::schema::Schema;

use super::operation::Spoken;
use super::regex;
use super::script::{Script, Test};

/// How much is assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// How a request's attributes relate to each other.
    Related,
    /// And that hosts and paths are of the kind that people write.
    Plain,
    /// And, in place of that, that everything has its canonical form.
    Canonical,
}

/// What is to be said about the requests of one environment.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    /// The action's id.
    action: String,
    /// The methods that carry a plugin's action; empty where no plugin speaks.
    methods: Vec<String>,
    /// The hosts that the plugin speaks for, as a regular expression.
    hosts: Option<String>,
    /// The patterns that policies name, with the paths that they match: of requests, and of executables.
    paths: BTreeMap<String, String>,
    binaries: BTreeMap<String, String>,
}

impl Facts {
    pub(super) fn new(globs: &Globs) -> Facts {
        let paths = globs.paths().map(|pattern| (pattern.as_str().to_owned(), regex::pattern(pattern)));
        let binaries = globs.binaries().map(|binary| (binary.as_str().to_owned(), regex::pattern(binary.path())));
        Facts { paths: paths.collect(), binaries: binaries.collect(), ..Facts::default() }
    }

    /// The same, of another environment.
    pub(super) fn for_action(&self, action: &str, schema: &Schema) -> Facts {
        let spoken = Spoken::of(schema, action);
        let methods = spoken.iter().flat_map(Spoken::methods).map(|method| (*method).to_owned());
        let hosts = spoken.as_ref().and_then(Spoken::hosts);
        Facts { action: action.to_owned(), methods: methods.collect(), hosts, ..self.clone() }
    }

    /// The assertions that go with a script.
    pub(super) fn of(&self, script: &str, strength: Strength) -> String {
        let script = Script::read(script);
        let mut said = Said { script: &script, strength, text: String::new() };
        self.endpoint(&mut said);
        self.process(&mut said);
        self.request(&mut said);
        query(&mut said);
        said.text
    }

    fn endpoint(&self, said: &mut Said<'_, '_>) {
        let Some(endpoint) = said.script.variable("resource").and_then(|it| said.script.attributes("Endpoint", it))
        else {
            return;
        };
        if let Some(port) = endpoint.used("port") {
            said.assert(&format!("(and (bvsle (_ bv1 64) {port}) (bvsle {port} (_ bv65535 64)))"));
        }
        let Some(host) = endpoint.get("host") else { return };
        let labels = endpoint.used("labels");
        if let Some(labels) = &labels {
            let none = format!("(= {labels} (_ bv0 64))");
            said.assert(&format!("(and (bvsle (_ bv0 64) {labels}) (bvsle {labels} (_ bv127 64)))"));
            // Addresses have no labels and everything else has. Said in these pieces, solvers are quick with it.
            said.assert(&format!("(=> {none} (str.in_re {host} {}))", regex::letters_of_addresses()));
            said.assert(&format!("(=> (str.in_re {host} {}) {none})", regex::digits_of_addresses()));
            said.assert(&format!("(=> (str.contains {host} \":\") {none})"));
            for count in said.script.thresholds(labels) {
                let at_least = format!("(str.in_re {host} {})", regex::labels_at_least(count));
                said.assert(&format!("(= (bvsle (_ bv{count} 64) {labels}) (and (not {none}) {at_least}))"));
            }
        }
        if endpoint.used("host").is_none() && labels.is_none() {
            return;
        }
        if let Some(hosts) = &self.hosts {
            said.within(&host, hosts);
        }
        match said.strength {
            Strength::Related => {}
            Strength::Plain => said.within(&host, &regex::plain()),
            Strength::Canonical => {
                said.outside(&host, &regex::odd_hosts());
                let within = |language: &str| format!("(str.in_re {host} {language})");
                let name = format!("(and {} (not {}))", within(&regex::host_name()), within(&regex::numeric_end()));
                said.assert(&format!("(or {name} {} {})", within(&regex::ipv4()), within(&regex::ipv6())));
            }
        }
    }

    fn process(&self, said: &mut Said<'_, '_>) {
        let script = said.script;
        let Some(principal) = script.variable("principal") else { return };
        if let (Some(parents), Some(sandbox)) = (script.function("ancs[Process, Sandbox]"), script.entity("Sandbox")) {
            said.declare("ng_sandbox");
            said.assert(&format!("(= ({parents} {principal}) (set.singleton ({sandbox} ng_sandbox)))"));
            if said.strength > Strength::Related {
                said.within("ng_sandbox", &regex::text());
            }
        }
        let Some(process) = script.attributes("Process", principal) else { return };
        let Some(path) = process.get("path") else { return };
        if let Some(constructor) = script.entity("Process")
            && script.mentions(&format!("({constructor} \""))
        {
            said.assert(&format!("(= {principal} ({constructor} {path}))"));
        }
        if let Some(globs) = process.used("path_globs") {
            said.patterns(&self.binaries, &globs, &path);
        }
        if let Some(segments) = process.used("segments") {
            said.segments(&segments, &path);
        }
        // Of every executable, and it is what the segments rest on.
        said.assert(&format!("(or (= {path} \"\") (str.prefixof \"/\" {path}))"));
        if said.strength > Strength::Related {
            said.within(&path, &regex::text());
            if let Some(sha256) = process.used("sha256") {
                said.within(&sha256, &regex::sha256());
            }
        }
    }

    fn request(&self, said: &mut Said<'_, '_>) {
        let Some(context) = said.script.context() else { return };
        if let Some(method) = context.used("method") {
            if !self.methods.is_empty() {
                let each = self.methods.iter().map(|carries| format!("(= {method} {})", regex::literal(carries)));
                said.assert(&format!("(or false {})", each.collect::<Vec<_>>().join(" ")));
            } else if self.action == "OTHER" {
                for taken in KNOWN_METHODS.into_iter().chain(["CONNECT", "TRACE"]) {
                    said.assert(&format!("(not (= {method} {}))", regex::literal(taken)));
                }
                if said.strength > Strength::Related {
                    said.within(&method, &regex::token());
                }
            } else {
                said.assert(&format!("(= {method} {})", regex::literal(&self.action)));
            }
        }
        let of_path = ["path", "path_globs", "segments"];
        if !of_path.into_iter().any(|name| context.used(name).is_some()) {
            return;
        }
        let Some(path) = context.get("path") else { return };
        said.assert(&format!("(str.prefixof \"/\" {path})"));
        if let Some(globs) = context.used("path_globs") {
            said.patterns(&self.paths, &globs, &path);
        }
        if let Some(segments) = context.used("segments") {
            said.segments(&segments, &path);
        }
        said.outside(&path, &regex::odd_paths());
        match said.strength {
            Strength::Related => {}
            Strength::Plain => said.within(&path, &regex::plain()),
            Strength::Canonical => said.within(&path, &regex::path()),
        }
    }
}

/// A query key has a value where it occurs once, and values have no control characters.
fn query(said: &mut Said<'_, '_>) {
    let script = said.script;
    let Some(query) = script.context().and_then(|context| context.used("query")) else { return };
    if let Some(constructor) = script.entity("Query") {
        said.assert(&format!("(= {query} ({constructor} \"query\"))"));
    }
    let repeated = script.attributes("Query", &query).and_then(|query| query.used("repeated"));
    if let (Some(keys), Some(repeated)) = (script.function("tagKeys[Query]"), repeated) {
        said.assert(&format!("(= (set.inter ({keys} {query}) {repeated}) (as set.empty (Set String)))"));
    }
    if said.strength > Strength::Related {
        for value in script.applications("tagVals[Query]") {
            said.within(value, &regex::printable());
        }
    }
}

/// What is said, and of which script.
struct Said<'s, 'a> {
    script: &'s Script<'a>,
    strength: Strength,
    text: String,
}

impl Said<'_, '_> {
    fn assert(&mut self, what: &str) {
        self.text.push_str(&format!("(assert {what})\n"));
    }

    fn declare(&mut self, name: &str) {
        self.text.push_str(&format!("(declare-const {name} String)\n"));
    }

    fn within(&mut self, string: &str, language: &str) {
        self.assert(&format!("(str.in_re {string} {language})"));
    }

    fn outside(&mut self, string: &str, languages: &[String]) {
        for language in languages {
            self.assert(&format!("(not (str.in_re {string} {language}))"));
        }
    }

    /// `path_globs` has a pattern where the pattern matches.
    fn patterns(&mut self, known: &BTreeMap<String, String>, globs: &str, path: &str) {
        for (name, language) in known {
            let name = regex::literal(name);
            if self.script.mentions(&name) {
                self.assert(&format!("(= (set.member {name} {globs}) (str.in_re {path} {language}))"));
            }
        }
    }

    /// What is asked of a path's segments, as questions about the path.
    fn segments(&mut self, segments: &str, path: &str) {
        let script = self.script;
        let Some(record) = script.segments(segments) else { return };
        if let Some(count) = record.used("count") {
            self.assert(&format!("(and (bvsle (_ bv0 64) {count}) (bvsle {count} (_ bv65536 64)))"));
            for at_least in script.thresholds(&count) {
                let language = regex::segments_at_least(at_least);
                self.assert(&format!("(= (bvsle (_ bv{at_least} 64) {count}) (str.in_re {path} {language}))"));
            }
        }
        let names = (0..16).flat_map(|n| [(format!("h{n}"), n, true), (format!("t{n}"), n, false)]);
        for (name, n, from_head) in names {
            let Some(piece) = record.used(&name) else { continue };
            let there = format!("(str.in_re {path} {})", regex::segments_at_least(n + 1));
            self.assert(&format!("(= (not (= {piece} (as none (Option String)))) {there})"));
            for (answer, test) in script.tests(&format!("(val {piece})")) {
                let language = match test {
                    Test::Equals(literal) => format!("(str.to_re {literal})"),
                    Test::Within(language) => language.replace("re.allchar", &regex::not_slash()),
                };
                // A slash can only stand in a literal, and no segment has one.
                let means = if language.contains("(str.to_re \"") && has_slash(&language) {
                    "false".to_owned()
                } else {
                    format!("(str.in_re {path} {})", regex::with_segment(n, from_head, language))
                };
                self.assert(&format!("(=> {there} (= {answer} {means}))"));
            }
        }
    }
}

/// Whether a literal in a language has a slash in it.
fn has_slash(language: &str) -> bool {
    // Every second piece between quotes is a literal; a quote within one is two quotes, which changes nothing here.
    // `not_slash` has literals without slashes only.
    language.split('"').skip(1).step_by(2).any(|literal| literal.contains('/'))
}
