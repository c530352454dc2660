//! `prove --engine`: which solver is found, what is said without one, and the exit code where two engines disagree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use support::{Dir, Ran};

/// A solver to whom everything is impossible.
const LIAR: &str = r#"#!/bin/sh
while IFS= read -r line; do
  case "$line" in
    '(check-sat)') echo unsat;;
    '(get-info :name)') echo '(:name "cvc5")';;
    '(get-info :version)') echo '(:version "0")';;
    '(echo "'*) mark=${line#*\"}; echo "${mark%\"*}";;
  esac
done
"#;

fn dir() -> Dir {
    let dir = Dir::new();
    std::fs::create_dir(dir.join("bin")).unwrap();
    dir.write("bin/cvc5", LIAR);
    std::fs::set_permissions(dir.join("bin/cvc5"), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Outside the exact engine's fragment, and allowing everything.
    dir.write("sums.cedar", "permit(principal, action, resource) when { resource.port * 2 > 0 };\n");
    dir
}

/// Runs `prove` with nothing of the caller's environment but what is given.
fn prove(dir: &Dir, env: &[(&str, &str)], args: &[&str]) -> Ran {
    let mut command = dir.command(&[["prove", "--policy", "policy.yaml"].as_slice(), args].concat());
    command.env_clear().env("NO_COLOR", "1").envs(env.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn without_a_solver_it_says_how_to_get_one() {
    let dir = dir();
    for engine in ["smt", "both"] {
        let ran = prove(&dir, &[], &["--ceiling", "wide.cedar", "--engine", engine]);
        assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
        for word in ["solver_missing", "cargo xtask tools", "apt install cvc5", "NARROWGATE_SOLVER"] {
            assert!(ran.out.contains(word), "{word}: {}", ran.out);
        }
    }
    let ran = prove(&dir, &[], &["--ceiling", "sums.cedar"]);
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("unsupported_construct") && ran.out.contains("cargo xtask tools"), "{}", ran.out);
}

#[test]
fn a_solver_is_found_where_it_is_named_or_installed() {
    let dir = dir();
    let bin = dir.join("bin");
    let (bin, data) = (bin.display().to_string(), dir.join("data"));
    let tools = data.join("narrowgate/tools/bin");
    std::fs::create_dir_all(&tools).unwrap();
    std::fs::copy(dir.join("bin/cvc5"), tools.join("cvc5")).unwrap();
    let (named, data) = (format!("{bin}/cvc5"), data.display().to_string());
    let sh = "/usr/bin:/bin";
    let path = format!("{bin}:{sh}");
    let places: [&[(&str, &str)]; 3] = [
        &[("NARROWGATE_SOLVER", &named), ("PATH", sh)],
        &[("PATH", &path)],
        &[("XDG_DATA_HOME", &data), ("HOME", "/")],
    ];
    for env in places {
        // Whoever answers this is a solver, real or not.
        let ran = prove(&dir, env, &["--ceiling", "sums.cedar", "--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((ran.code, &report["verdict"], &report["engine"]), (0, &"within".into(), &"smt".into()), "{env:?}");
        assert!(report["solver_start_us"].is_number(), "{report}");
    }
    let ran = prove(&dir, &[("NARROWGATE_SOLVER", "./nowhere")], &["--ceiling", "wide.cedar"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("NARROWGATE_SOLVER ./nowhere"), "{}", ran.err);
}

#[test]
fn engines_that_disagree_are_exit_code_4_and_no_certificate() {
    let dir = dir();
    let solver = dir.join("bin/cvc5").display().to_string();
    let env = [("NARROWGATE_SOLVER", solver.as_str()), ("PATH", "/usr/bin:/bin")];
    let both = ["--ceiling", "narrow.cedar", "--engine", "both", "--certificate", "out.json", "--key", "key"];
    let ran = prove(&dir, &env, &both);
    assert_eq!(ran.code, 4, "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with("disagree") && ran.out.contains("engines_disagree"), "{}", ran.out);
    assert!(!dir.join("out.json").exists() && !dir.join("key").exists());
    let ran = prove(&dir, &env, &[both.as_slice(), &["--format", "json"]].concat());
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &report["verdict"]), (4, &"disagree".into()), "{report}");
    assert_eq!(report["reason_code"], "engines_disagree");
}
