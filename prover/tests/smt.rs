//! The SMT engine: with a real solver, and with solvers that are missing, die, hang and lie.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod solver;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_prover::{Ceiling, Engine, Options, Outcome, Solver, Verdict, prove};
use solver::solver;

fn rules(rules: &str) -> String {
    endpoint(&format!("host: api.example.com, port: 443, protocol: rest, rules: [{rules}]"))
}

fn endpoint(members: &str) -> String {
    format!("version: 1\nnetwork_policies:\n  p:\n    name: p\n    endpoints:\n      - {{ {members} }}\n")
}

fn compiled(text: &str) -> Compiled {
    if text.contains("network_policies") {
        let policy = Policy::parse(text, "policy.yaml", Role::Ceiling).unwrap_or_else(|e| panic!("{e}\n{text}"));
        Compiled::policy(&policy).unwrap()
    } else {
        Compiled::cedar(text, "policy.cedar").unwrap_or_else(|e| panic!("{e}\n{text}"))
    }
}

fn asked(policy: &str, bound: &str, engine: Option<Engine>, solver: Option<Solver>) -> Outcome {
    let options = Options { engine, solver, timeout: Duration::from_secs(20), ..Options::default() };
    prove(&compiled(policy), &Ceiling::new(compiled(bound)).unwrap(), &options)
}

/// `within`, `exceeds: <curl>` or a code.
fn said(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Verdict::Within(_) => "within".to_owned(),
        Verdict::Exceeds(found) => format!("exceeds: {}", found.curl()),
        Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) => format!("{}: {}", reason.code, reason.message),
        Verdict::Disagree(disagreement) => disagreement.reason.message.clone(),
    }
}

/// The SMT engine's verdict.
fn check(policy: &str, bound: &str, expect: &str) {
    let outcome = asked(policy, bound, Some(Engine::Smt), Some(solver()));
    if let Verdict::Exceeds(found) = &outcome.verdict {
        let (policy, bound) = (compiled(policy), compiled(bound));
        let globs = policy.globs().union(bound.globs());
        assert!(is_allowed(&policy, &found.request, &globs) && !is_allowed(&bound, &found.request, &globs));
    }
    assert!(said(&outcome).starts_with(expect), "{}\n--- policy\n{policy}\n--- ceiling\n{bound}", said(&outcome));
}

#[test]
fn rules_against_rules() {
    let put = |path: &str| rules(&format!("{{ allow: {{ method: PUT, path: \"{path}\" }} }}"));
    let docs = put("/repos/acme/site/contents/docs/**");
    let site = put("/repos/acme/site/contents/**");
    check(&docs, &site, "within");
    check(&site, &docs, "exceeds: curl -X PUT 'https://api.example.com/");
    check(&put("/a/*"), &put("/a/**"), "within");
    check(&put("/a/**"), &put("/a/*"), "exceeds");
    check(&put("/a?/b"), &put("/a*/b"), "within");
    check(&put("/a*/b"), &put("/a?/b"), "exceeds");
    check(&put("/ab/b"), &put("/a?/b"), "within");
    check(&put("/*/x/**"), &put("/*/*/**"), "within");
    check(&put("/a/x/**"), &put("/*/x/**"), "within");
    check(&put("/*/x/**"), &put("/a/x/**"), "exceeds");
    check(&put("/**/a*"), &put("/**"), "within");
    check(&put("/**"), &put("/**/a*"), "exceeds");
    check(&put("/**/b/a*"), &put("/**/a*"), "within");
}

#[test]
fn hosts() {
    let host = |host: &str| endpoint(&format!("host: \"{host}\", port: 443, protocol: rest, access: full"));
    check(&host("api.example.com"), &host("*.example.com"), "within");
    check(&host("*.example.com"), &host("**.example.com"), "within");
    check(&host("**.example.com"), &host("*.example.com"), "exceeds");
    check(&host("a*.example.com"), &host("*.example.com"), "within");
    check(&host("a.b.example.com"), &host("*.example.com"), "exceeds");
    check(&host("10.0.0.1"), "permit(principal, action, resource) when { resource.labels == 0 };", "within");
    check(&host("*.example.com"), "permit(principal, action, resource) when { resource.labels > 0 };", "within");
}

#[test]
fn queries() {
    let query = |query: &str| rules(&format!("{{ allow: {{ method: GET, path: \"/a\", query: {{ {query} }} }} }}"));
    check(&query("k: a"), &query("k: 'a*'"), "within");
    check(&query("k: 'a*'"), &query("k: a"), "exceeds");
    let deny = rules(
        "{ allow: { method: GET, path: \"/**\" } }], deny_rules: [{ method: GET, path: \"/**\", query: { k: x } }",
    );
    check(&query("k: a"), &deny, "within");
    check(&query("j: a"), &deny, "exceeds");
}

#[test]
fn binaries_and_leases() {
    let by = |binary: &str, lease: &str| {
        let doc = endpoint(&format!("host: api.example.com, port: 443, protocol: rest, access: full{lease}"));
        doc.replace("    endpoints:", &format!("    binaries: [{{ path: \"{binary}\" }}]\n    endpoints:"))
    };
    check(&by("/usr/bin/*", ""), &by("/usr/bin/curl", ""), "exceeds");

    check(&by("/usr/*/curl", ""), &by("/usr/**", ""), "within");
    check(&by("/a", ", expires_at: 2026-01-01T00:00:00Z"), &by("/a", ", expires_at: 2027-01-01T00:00:00Z"), "within");
    check(&by("/a", ", expires_at: 2027-01-01T00:00:00Z"), &by("/a", ", expires_at: 2026-01-01T00:00:00Z"), "exceeds");
}

#[test]
fn what_the_exact_engine_does_not_model() {
    let read = rules("{ allow: { method: GET, path: \"/a\" } }");
    let cases = [
        // Constants only: a strictly valid policy has no other addresses.
        ("permit(principal, action, resource) when { ip(\"10.1.2.3\").isInRange(ip(\"10.0.0.0/8\")) };", "within"),
        ("permit(principal, action, resource) when { ip(\"11.1.2.3\").isInRange(ip(\"10.0.0.0/8\")) };", "exceeds"),
        ("permit(principal, action, resource) when { resource.port * 2 == 886 };", "within"),
        ("permit(principal, action, resource) when { resource.port * 2 == 888 };", "exceeds"),
        ("permit(principal, action, resource) when { resource.port - 1 < 443 };", "within"),
        ("permit(principal, action, resource) unless { resource.host == principal.path };", "within"),
        (
            "permit(principal, action, resource);
             forbid(principal, action, resource) when { principal.ancestors.contains(principal.path) };",
            "exceeds",
        ),
    ];
    for (bound, expect) in cases {
        check(&read, bound, expect);
        let by_default = asked(&read, bound, None, Some(solver()));
        assert!(said(&by_default).starts_with(expect), "{bound}: {}", said(&by_default));
        // The exact engine may still know; where it does not, the report says who does.
        let exact = asked(&read, bound, Some(Engine::Exact), None);
        let decides = if said(&exact).starts_with("unsupported_construct") { Engine::Smt } else { Engine::Exact };
        assert_eq!(by_default.engine, decides, "{bound}: {}", said(&exact));
        assert!(said(&exact).starts_with(expect) || decides == Engine::Smt, "{bound}: {}", said(&exact));
    }
}

#[test]
fn entities_by_name() {
    let curl = "permit(principal == Process::\"/usr/bin/curl\", action, resource);";
    check(curl, "permit(principal, action, resource) when { principal.path == \"/usr/bin/curl\" };", "within");
    check(curl, "permit(principal, action, resource) when { principal.path == \"/usr/bin/wget\" };", "exceeds");
    let dev = "permit(principal in Sandbox::\"dev\", action, resource);";
    check(dev, "permit(principal in Sandbox::\"prod\", action, resource);", "exceeds");
    // A process is in one sandbox.
    check(
        "permit(principal in Sandbox::\"dev\", action, resource) when { principal in Sandbox::\"prod\" };",
        "permit(principal, action, resource) when { resource.port == 0 };",
        "within",
    );
}

/// What holds for requests and the schema does not say: each would be a false alarm, or worse a false peace.
#[test]
fn what_is_known_of_requests() {
    let all = "permit(principal, action, resource);\n";
    let when =
        |effect: &str, condition: &str| format!("{effect}(principal, action, resource) when {{ {condition} }};\n");
    let never = [
        "resource.port == 0",
        "resource.port > 65535",
        "resource.labels == 2 && resource.host == \"a.b.c\"",
        "resource.labels == 0 && resource.host like \"*.com\"",
        "resource.labels < 0",
        "context has path && context.path like \"*//*\"",
        "context has path && context.path like \"*/../*\"",
        "context has path && context.path == \"a\"",
        "context has path && context.path == \"/a/b\" && context.segments.count != 2",
        "context has path && context.path like \"/a/*\" && !(context.segments has h0 && context.segments.h0 == \"a\")",
        "context has path && context.path like \"*/b\" && !(context.segments has t0 && context.segments.t0 == \"b\")",
        "context has path && context.segments has h2 && context.segments.count == 2",
        "context has path && context.segments has h1 && context.segments.h1 like \"*/*\"",
        "context has path && context.path == \"/b\" && context.path_globs.contains(\"/a?\")",
        "context has path && context.path == \"/ab\" && !context.path_globs.contains(\"/a?\")",
        "context has query && context.query.hasTag(\"k\") && context.query.repeated.contains(\"k\")",
        "principal.path == \"/bin/ab\" && !principal.path_globs.contains(\"/bin/a?\")",
        "principal.path == \"bin\"",
        "context has method && action == Action::\"GET\" && context.method == \"POST\"",
    ];
    for condition in never {
        check(&when("permit", condition), &when("permit", "resource.port == 0"), "within");
        check(all, &format!("{all}{}", when("forbid", condition)), "within");
    }
    let sometimes = [
        "resource.port == 65535",
        "resource.labels == 0",
        "resource.labels == 4 && resource.host like \"a.*\"",
        "context has path && context.path like \"*/\"",
        "context has path && context.segments has h1 && context.segments.h1 == \"\"",
        "context has path && context.segments.count == 5",
        "context has path && context.path_globs.contains(\"/a?\") && context.path like \"*b\"",
        "context has query && context.query.repeated.contains(\"k\") && context.query.hasTag(\"j\")",
        "principal.path == \"\"",
        "context has method && context.method == \"PURGE\"",
    ];
    for condition in sometimes {
        check(&when("permit", condition), &when("permit", "resource.port == 0"), "exceeds");
        check(all, &format!("{all}{}", when("forbid", condition)), "exceeds");
    }
}

/// The engine's view of Cedar and the evaluator's differ where an entity does not exist or an evaluation fails.
#[test]
fn what_it_would_be_wrong_about() {
    let read = rules("{ allow: { method: GET, path: \"/a\" } }");
    // Reading an attribute of an entity that does not exist fails: these permits never apply, in either way.
    let nobody = "permit(principal, action, resource) when { Process::\"/x\".path == \"a\" };
                  permit(principal, action, resource) when { Process::\"/x\".path != \"a\" };";
    check(&read, nobody, "exceeds");
    let barred = |condition: &str| {
        format!("permit(principal, action, resource);\nforbid(principal, action, resource) when {{ {condition} }};")
    };
    check(&read, &barred("Process::\"/x\".path == \"a\""), "unsupported_construct");
    check(&read, &barred("Process::\"/x\" in Sandbox::\"dev\""), "unsupported_construct");
    check(&read, &barred("resource.host like \"\u{30000}*\""), "unsupported_construct");
    check(&read, &barred("resource.host == \"\u{30000}\""), "unsupported_construct");
    // At the end of time this forbid fails, and a forbid that fails forbids nothing.
    check(&read, &barred("resource.port == 80 && context.now + 1 > 0"), "forbid_can_fail");
    // This one cannot fail: ports are small.
    check(&read, &barred("resource.port + 1 == 81"), "within");
    check(&read, &barred("resource.port + 1 == 444"), "exceeds");
}

#[test]
fn what_a_proof_by_both_carries() {
    let read = rules("{ allow: { method: GET, path: \"/a\" } }");
    let outcome = asked(&read, &read, Some(Engine::Both), Some(solver()));
    let Verdict::Within(proven) = &outcome.verdict else { panic!("{}", said(&outcome)) };
    let [exact, smt] = proven.engines() else { panic!("{:?}", proven.engines()) };
    assert!(exact.starts_with("exact/"), "{exact}");
    assert!(smt.starts_with("cvc5/") && smt.ends_with(" via cedar-policy-symcc/0.8.1"), "{smt}");
    assert_eq!((outcome.engine, outcome.environments_checked), (Engine::Both, 9));
    assert!(!outcome.solver_start.is_zero() && !outcome.engine_time.is_zero());
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"cedar-policy-symcc\"\nversion = \"0.8.1\""), "certificates name another version");
}

/// A program that says it is cvc5, and to each command what the shell's `case` here says.
fn fake(name: &str, cases: &str) -> Solver {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("solver-{name}"));
    let text = format!(
        "#!/bin/sh\n{}while IFS= read -r line; do\n  case \"$line\" in\n    {cases}\n    '(get-info :name)') echo '(:name \"cvc5\")';;\n    \
         '(get-info :version)') echo '(:version \"0\")';;\n    '(echo \"'*) mark=${{line#*\\\"}}; echo \"${{mark%%\\\"*}}\";;\n  esac\ndone\n",
        format_args!("echo $$ > '{}.pid'\n", path.display()),
    );
    // Renamed into place: a file that is still open for writing cannot be run.
    let unready = path.with_extension("new");
    fs::write(&unready, text).unwrap();
    fs::set_permissions(&unready, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&unready, &path).unwrap();
    Solver::new(path)
}

fn pid(solver: &Solver) -> String {
    fs::read_to_string(format!("{}.pid", solver.program.display())).unwrap().trim().to_owned()
}

const MODEL: &str = "'(get-model)') echo '(( define-fun t0 () Rubbish 7))';;";

#[test]
fn a_solver_that_is_no_help_proves_nothing() {
    let read = rules("{ allow: { method: GET, path: \"/a\" } }");
    let other = rules("{ allow: { method: GET, path: \"/b\" } }");
    // Wider, so that the symbolic compiler does not see it without a solver.
    let wide = rules("{ allow: { method: GET, path: \"/a*\" } }");
    let missing = Solver::new("/nowhere/cvc5");
    let sat = format!("'(check-sat)') echo sat;;\n    {MODEL}");
    let cases = [
        ("missing", None, "solver_missing"),
        ("elsewhere", Some(missing), "solver_missing"),
        ("a directory", Some(Solver::new("/tmp")), "solver_failed"),
        ("ends at once", Some(Solver::new("/bin/true")), "solver_failed"),
        ("repeats", Some(Solver::new("/bin/cat")), "solver_failed"),
        ("dies", Some(fake("dies", "'(check-sat)') kill -9 $$;;")), "solver_failed"),
        ("complains", Some(fake("complains", "'(check-sat)') echo oh >&2; exit 3;;")), "solver_failed"),
        ("mumbles", Some(fake("mumbles", "'(check-sat)') echo perhaps;;")), "solver_failed"),
        ("repeats itself", Some(fake("twice", "'(check-sat)') echo unsat; echo unsat;;")), "solver_failed"),
        ("errs", Some(fake("errs", "'(check-sat)') echo '(error \"no\")'; echo unsat;;")), "solver_failed"),
        ("does not know", Some(fake("unknown", "'(check-sat)') echo unknown;;")), "solver_unknown"),
        ("has no model", Some(fake("rubbish", &sat)), "spurious_counterexample"),
        ("floods", Some(fake("floods", "'(check-sat)') yes | head -c 20000000;;")), "solver_failed"),
    ];
    for (what, solver, expect) in cases {
        for (bound, truth) in [(&wide, "within"), (&other, "exceeds")] {
            let outcome = asked(&read, bound, Some(Engine::Smt), solver.clone());
            assert!(said(&outcome).starts_with(expect), "{what}: {}", said(&outcome));
            assert!(matches!(outcome.verdict, Verdict::Inconclusive(_)), "{what}");
            // With both, a counterexample stands, for Cedar confirmed it; "within" needs both.
            let both = asked(&read, bound, Some(Engine::Both), solver.clone());
            let expect = if truth == "within" { expect } else { "exceeds" };
            assert!(said(&both).starts_with(expect), "{what}: {}", said(&both));
        }
    }
}

#[test]
fn a_solver_that_lies_is_found_out() {
    let read = rules("{ allow: { method: GET, path: \"/a\" } }");
    let other = rules("{ allow: { method: GET, path: \"/b\" } }");
    let liar = fake("liar", "'(check-sat)') echo unsat;;");
    let outcome = asked(&read, &other, Some(Engine::Both), Some(liar));
    let Verdict::Disagree(disagreement) = &outcome.verdict else { panic!("{}", said(&outcome)) };
    assert_eq!(disagreement.reason.code, "engines_disagree");
    assert!(disagreement.exact.starts_with("exceeds") && disagreement.smt == "within", "{disagreement:?}");
}

#[test]
fn a_solver_that_hangs_is_killed() {
    let read = rules("{ allow: { method: GET, path: \"/a\" } }");
    let wide = rules("{ allow: { method: GET, path: \"/a*\" } }");
    let hangs = fake("hangs", "'(check-sat)') exec sleep 1000;;");
    let never_begins = fake("never-begins", "'(get-info :name)') exec sleep 1000;;");
    let cancel = Arc::new(AtomicBool::new(false));
    let soon = Duration::from_millis(300);
    let prove = |solver: &Solver, timeout: Duration| {
        let cancel = Some(Arc::clone(&cancel));
        let engine = Some(Engine::Smt);
        let options = Options { engine, solver: Some(solver.clone()), timeout, cancel, ..Options::default() };
        let started = Instant::now();
        let outcome = prove(&compiled(&read), &Ceiling::new(compiled(&wide)).unwrap(), &options);
        assert!(!Path::new(&format!("/proc/{}", pid(solver))).exists(), "the solver is still there");
        (said(&outcome), started.elapsed())
    };
    for solver in [&hangs, &never_begins] {
        let (said, took) = prove(solver, soon);
        assert!(said.starts_with("timeout"), "{said}");
        assert!(took >= soon && took < soon + Duration::from_secs(1), "{took:?}");
    }
    let flag = Arc::clone(&cancel);
    let thread = std::thread::spawn(move || {
        std::thread::sleep(soon);
        flag.store(true, Ordering::Relaxed);
    });
    let (said, took) = prove(&hangs, Duration::from_secs(20));
    thread.join().unwrap();
    assert!(said.starts_with("cancelled") && took < Duration::from_secs(5), "{said} after {took:?}");
}

/// What a caller has on its thread, or the solver on its standard error, changes nothing.
#[test]
fn surroundings_do_not_matter() {
    let read = rules("{ allow: { method: GET, path: \"/a\" } }");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = runtime.block_on(async { asked(&read, &read, Some(Engine::Smt), Some(solver())) });
    assert_eq!(said(&outcome), "within");
    let wide = rules("{ allow: { method: GET, path: \"/a*\" } }");
    let noisy = fake("noisy", "'(check-sat)') yes | head -c 5000000 >&2; echo unsat;;");
    assert_eq!(said(&asked(&read, &wide, Some(Engine::Smt), Some(noisy))), "within");
}
