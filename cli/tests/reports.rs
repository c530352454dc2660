//! Answers that point into what was written: text with the policies underlined, SARIF, and what `check` says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use serde_json::Value;
use serde_sarif::sarif::Sarif;
use support::{Dir, steady};

/// A ceiling in the rule language: writes are for one file.
const YAML_CEILING: &str = "\
version: 1
network_policies:
  reading:
    endpoints:
      - { host: api.example, port: 443, protocol: rest, access: read-only }
  writing:
    endpoints:
      - host: api.example
        port: 443
        protocol: rest
        rules:
          - allow: { method: PUT, path: /v1/docs/a.md }
";

/// Everything there, but for one hole.
const HOLE: &str = "\
// What we use.
permit (principal, action, resource)
when { resource.host == \"api.example\" };

@id(\"no drafts\")
forbid (principal, action, resource)
when {
  context has path &&
  context.path like \"/v1/docs/drafts*\"
};
";

const ELSEWHERE: &str = "permit (principal, action, resource) when { resource.host == \"other.example\" };\n";

fn prove(dir: &Dir, ceiling: &str, more: &[&str]) -> String {
    let ran = dir.run(&[&["prove", "--policy", "policy.yaml", "--ceiling", ceiling], more].concat());
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{}", ran.out);
    steady(&ran.out)
}

/// A log as JSON, after a look at everything that the format asks of every log.
fn sarif(dir: &Dir, args: &[&str], code: i32) -> Value {
    let ran = dir.run(&[args, &["--format", "sarif"]].concat());
    assert_eq!((ran.code, ran.err.as_str()), (code, ""), "{args:?} {}", ran.out);
    let log: Value = serde_json::from_str(&ran.out).unwrap();
    // The types of `serde-sarif` are made from the official schema: reading fails without what is required, and what
    // they do not know is not written back.
    let typed: Sarif = serde_json::from_value(log.clone()).unwrap_or_else(|e| panic!("{e}\n{}", ran.out));
    assert_eq!(serde_json::to_value(typed).unwrap(), log);
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["exitCode"], code);
    assert_eq!(invocation["executionSuccessful"], code < 2, "{log}");
    for result in run["results"].as_array().unwrap() {
        let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(result["ruleId"].as_str().unwrap().starts_with("narrowgate/"));
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()), "{result}");
        let related = result["relatedLocations"].as_array().cloned().unwrap_or_default();
        for location in result["locations"].as_array().unwrap().iter().chain(&related) {
            is_what_it_says(dir, run, &location["physicalLocation"]);
        }
    }
    log
}

/// The region is in the file, and the snippet is what stands there.
fn is_what_it_says(dir: &Dir, run: &Value, physical: &Value) {
    let artifact = &physical["artifactLocation"];
    assert_eq!(run["artifacts"][artifact["index"].as_u64().unwrap() as usize]["location"]["uri"], artifact["uri"]);
    let Some(snippet) = physical["region"]["snippet"]["text"].as_str() else { return };
    let text = dir.read(artifact["uri"].as_str().unwrap());
    let at = |line: &str, column: &str| {
        let number = |name: &str| physical["region"][name].as_u64().unwrap() as usize;
        let before: usize = text.lines().take(number(line) - 1).map(|line| line.len() + 1).sum();
        let line = text.lines().nth(number(line) - 1).unwrap();
        before + line.chars().take(number(column) - 1).map(char::len_utf8).sum::<usize>()
    };
    assert_eq!(&text[at("startLine", "startColumn")..at("endLine", "endColumn")], snippet);
    assert!(!snippet.is_empty());
}

#[test]
fn prove_underlines_the_rule_and_what_does_not_cover_it() {
    let dir = Dir::new();
    dir.write("org.yaml", YAML_CEILING);
    dir.write("hole.cedar", HOLE);
    dir.write("elsewhere.cedar", ELSEWHERE);
    insta::assert_snapshot!("text_yaml_ceiling", prove(&dir, "org.yaml", &[]));
    insta::assert_snapshot!("text_cedar_forbid", prove(&dir, "hole.cedar", &[]));
    insta::assert_snapshot!("text_nothing_near", prove(&dir, "elsewhere.cedar", &[]));
}

#[test]
fn a_composed_candidate_points_into_the_file_that_the_rule_came_from() {
    let dir = Dir::new();
    let all = "permit (principal, action, resource) when { resource.host == \"api.example\" && resource.port == 443";
    dir.write("own.cedar", &format!("{all} }};\n"));
    dir.write("reads.cedar", &format!("{all} && (action in Action::\"read\" || action == Action::\"PUT\") }};\n"));
    let ssh = "permit (principal, action, resource) when { resource.host == \"git.example\" };\n";
    dir.write("narrow-ssh.cedar", &format!("{}{ssh}", support::NARROW));
    dir.write("reads-ssh.cedar", &format!("{}{ssh}", dir.read("reads.cedar")));
    dir.write(
        "base.yaml",
        "version: 1\nnetwork_policies:\n  api:\n    endpoints: [{ host: replaced.example, port: 1 }]\n  ssh:\n    endpoints:\n      - { host: git.example, port: 22 }\n",
    );
    dir.write(
        "new.json",
        "{\"intent_summary\": \"x\", \"operations\": [\n  {\"addRule\": {\"ruleName\": \"more\", \"rule\": {\"endpoints\": [\n    {\"host\": \"more.example\", \"port\": 443, \"protocol\": \"rest\", \"access\": \"read-only\"}]}}}]}\n",
    );
    dir.write(
        "added.json",
        "{\"intent_summary\": \"x\", \"operations\": [\n  {\"addAllowRules\": {\"ruleName\": \"api\", \"host\": \"api.example\", \"port\": 443, \"rules\": [\n    {\"allow\": {\"method\": \"GET\", \"path\": \"/**\"}},\n    {\"allow\": {\"method\": \"DELETE\", \"path\": \"/v1/docs/a.md\"}}]}}]}\n",
    );
    dir.write(
        "twice.json",
        "{\"intent_summary\": \"x\", \"operations\": [\n  {\"addRule\": {\"ruleName\": \"more\", \"rule\": {\"endpoints\": [\n    {\"host\": \"api.example\", \"port\": 443, \"protocol\": \"rest\", \"rules\": [{\"allow\": {\"method\": \"GET\", \"path\": \"/x\"}}]}]}}},\n  {\"addAllowRules\": {\"ruleName\": \"more\", \"host\": \"api.example\", \"port\": 443, \"rules\": [{\"allow\": {\"method\": \"DELETE\", \"path\": \"/y\"}}]}}]}\n",
    );
    for (ceiling, more, file, line, snippet) in [
        ("narrow.cedar", &[][..], "policy.yaml", 12, "allow: { method: PUT, path: \"/v1/docs/**\" }"),
        ("own.cedar", &["--baseline", "base.yaml"], "base.yaml", 7, "{ host: git.example, port: 22 }"),
        (
            "narrow-ssh.cedar",
            &["--baseline", "base.yaml"],
            "policy.yaml",
            12,
            "allow: { method: PUT, path: \"/v1/docs/**\" }",
        ),
        ("own.cedar", &["--proposal", "new.json"], "new.json", 3, "\"read-only\""),
        (
            "reads-ssh.cedar",
            &["--baseline", "base.yaml", "--proposal", "added.json"],
            "added.json",
            4,
            "{\"allow\": {\"method\": \"DELETE\", \"path\": \"/v1/docs/a.md\"}}",
        ),
        (
            "reads.cedar",
            &["--proposal", "twice.json"],
            "twice.json",
            4,
            "{\"allow\": {\"method\": \"DELETE\", \"path\": \"/y\"}}",
        ),
        (
            "reads.cedar",
            &["--proposal", "added.json"],
            "added.json",
            4,
            "{\"allow\": {\"method\": \"DELETE\", \"path\": \"/v1/docs/a.md\"}}",
        ),
    ] {
        let args = [&["prove", "--policy", "policy.yaml", "--ceiling", ceiling], more].concat();
        let log = sarif(&dir, &args, 1);
        let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
        let found =
            (&place["artifactLocation"]["uri"], &place["region"]["startLine"], &place["region"]["snippet"]["text"]);
        assert_eq!(found, (&file.into(), &line.into(), &snippet.into()), "{args:?}");
        let text = dir.run(&args).out;
        assert!(text.contains(&format!("--> {file}:{line}:")), "{text}");
    }
}

#[test]
fn prove_as_sarif() {
    let dir = Dir::new();
    dir.write("hole.cedar", HOLE);
    dir.write("elsewhere.cedar", ELSEWHERE);
    dir.write("odd.cedar", "permit (principal, action, resource);\nforbid (principal, action, resource)\nwhen { resource.port + 1 == 1 };\n");
    let prove = |ceiling: &str, code: i32| {
        let args = ["prove", "--policy", "policy.yaml", "--ceiling", ceiling, "--engine", "exact"];
        let mut log = sarif(&dir, &args, code);
        // They differ from version to version.
        log["runs"][0]["properties"]["digests"] = "[digests]".into();
        log["runs"][0]["tool"]["driver"]["semanticVersion"] = "[version]".into();
        serde_json::to_string_pretty(&log).unwrap()
    };
    insta::assert_snapshot!("sarif_exceeds", prove("hole.cedar", 1));
    insta::assert_snapshot!("sarif_nothing_near", prove("elsewhere.cedar", 1));
    insta::assert_snapshot!("sarif_within", prove("wide.cedar", 0));
    insta::assert_snapshot!("sarif_unsupported", prove("odd.cedar", 3));
}

#[test]
fn names_of_files_become_uris() {
    let dir = Dir::new();
    dir.write("a b:ü.yaml", support::POLICY);
    let log: Value = dir.json(&["prove", "--policy", "a b:ü.yaml", "--ceiling", "narrow.cedar", "--format", "sarif"]);
    assert_eq!(log["runs"][0]["artifacts"][0]["location"]["uri"], "./a%20b:%C3%BC.yaml");
}

/// One of each finding.
const CARELESS: &str = "\
permit (principal, action in Action::\"read\", resource)
when { resource.host == \"docs.example\" };

// Covered by the one above.
permit (principal, action == Action::\"GET\", resource)
when { resource.host == \"docs.example\" && context.path like \"/v1/*\" };

permit (principal, action == Action::\"PUT\", resource)
when { resource.host == \"drafts.example\" };

permit (principal, action == Action::\"PUT\", resource)
when { resource.host == \"docs.example\" && context.path like \"v1/*\" };

permit (principal, action == Action::\"POST\", resource);

forbid (principal, action == Action::\"PUT\", resource)
when { resource.host like \"*.example\" };

forbid (principal, action, resource)
when { resource.host == \"Docs.example\" };

permit (principal, action == Action::\"PATCH\", resource)
when { resource.port - 1 == 442 };
";

#[test]
fn check_says_what_does_nothing_and_what_has_no_bound() {
    let dir = Dir::new();
    dir.write("careless.cedar", CARELESS);
    dir.write("sloppy-ceiling.yaml", &YAML_CEILING.replace("PUT, path: /v1/docs/a.md", "GET, path: /v1/docs/a.md"));
    let ran = dir.run(&["check", "careless.cedar", "sloppy-ceiling.yaml"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    insta::assert_snapshot!("check_text", ran.out);
    let report = dir.json(&["check", "careless.cedar", "--format", "json"]);
    let found: Vec<String> = report["files"][0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            let place = &finding["policy"];
            let by: Vec<&str> = finding["by"].as_array().unwrap().iter().map(|by| by["id"].as_str().unwrap()).collect();
            let curl = finding["witness"]["curl"].as_str().unwrap_or("-");
            format!(
                "{} {}:{} {} {curl}",
                finding["name"].as_str().unwrap(),
                place["line"],
                place["column"],
                by.join(",")
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "redundant 5:1 policy0 curl 'https://docs.example/v1/x'",
            "shadowed_by_forbid 8:1 policy5 curl -X PUT 'https://drafts.example/'",
            "permit_never_applies 11:1  -",
            "forbid_never_applies 19:1  -",
            "allows_everything null:null policy4 curl -X POST 'https://example.com/'",
            "not_analysed 22:1  -",
        ]
    );
}

#[test]
fn check_as_sarif() {
    let dir = Dir::new();
    dir.write("careless.cedar", CARELESS);
    dir.write("broken.yaml", "version: 1\nnetwork_policies:\n  x: { endpoints: [{ host: a.example, port: 70000 }] }\n");
    let log = sarif(&dir, &["check", "careless.cedar", "policy.yaml"], 0);
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 6, "{log}");
    insta::assert_snapshot!("check_sarif_first", serde_json::to_string_pretty(&results[0]).unwrap());
    let ran = dir.run(&["check", "broken.yaml", "none.yaml", "--format", "sarif"]);
    let log: Value = serde_json::from_str(&ran.out).unwrap();
    let run = &log["runs"][0];
    assert_eq!((ran.code, &run["invocations"][0]["executionSuccessful"]), (2, &false.into()));
    let place = &run["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!((&place["artifactLocation"]["uri"], &place["region"]["startLine"]), (&"broken.yaml".into(), &3.into()));
    assert_eq!(run["results"][1]["ruleId"], "narrowgate/invalid");
}

#[test]
fn a_sound_ceiling_has_no_warnings_and_warnings_can_be_denied() {
    let dir = Dir::new();
    dir.write("careless.cedar", CARELESS);
    dir.write("hole.cedar", HOLE);
    dir.write("org-ceiling.yaml", YAML_CEILING);
    let files = ["hole.cedar", "org-ceiling.yaml", "wide.cedar", "narrow.cedar", "policy.yaml"];
    let ran = dir.run(&[&["check", "--deny-warnings"], &files[..]].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert!(!ran.out.contains("warning"), "{}", ran.out);
    let report = dir.json(&["check", "hole.cedar", "--format", "json"]);
    assert_eq!(report["files"][0]["findings"], serde_json::json!([]));
    assert_eq!(dir.run(&["check", "careless.cedar"]).code, 0);
    assert_eq!(dir.run(&["check", "careless.cedar", "--deny-warnings"]).code, 1);
    // What was not analysed in time is not sound.
    assert_eq!(dir.run(&["check", "hole.cedar", "--deny-warnings", "--timeout", "0ms"]).code, 1);
}

#[test]
fn what_is_quoted_cannot_drive_the_terminal() {
    let dir = Dir::new();
    let hostile =
        "permit (principal, action, resource) // \u{1b}[2J\u{202e}\u{7f}\nwhen { resource.host == \"a\u{1b}[2Jb\" };\n";
    dir.write("hostile.cedar", hostile);
    for args in [&["check", "hostile.cedar"][..], &["prove", "--policy", "policy.yaml", "--ceiling", "hostile.cedar"]] {
        let output = dir.command(args).env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        // Colours are there, so nothing was stripped on the way.
        assert!(out.contains("\u{1b}[") && out.contains("hostile.cedar"), "{out:?}");
        for hidden in ["\u{1b}[2J", "\u{202e}", "\u{7f}"] {
            assert!(!out.contains(hidden), "{args:?} {hidden:?}: {out:?}");
        }
    }
}
