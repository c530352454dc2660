//! What `plugin new` writes. The guest SDK comes with the binary, so that a project's SDK is the one its host was built
//! with, and no registry needs to have it; its own three dependencies are from the registry.

use narrowgate_core::vocabulary::PluginName;

use super::project::Language;

/// The world that plugins are written against.
pub(super) const WORLD: &str = include_str!("../../../schemas/wit/semantics.wit");

macro_rules! sdk {
    ($($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../plugins/sdk/", $file)))),+]
    };
}

const SDK: &[(&str, &str)] = sdk![
    "Cargo.toml",
    "src/arena.rs",
    "src/arguments.rs",
    "src/bindings.rs",
    "src/component.rs",
    "src/example.rs",
    "src/form.rs",
    "src/json.rs",
    "src/lib.rs",
    "src/operation.rs",
    "src/percent.rs",
    "src/request.rs",
    "src/testing.rs",
    "src/types.rs",
    "src/vocabulary.rs",
];

const RUST: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("template/rust/Cargo.toml.in")),
    // Its dependencies are then those that the SDK is tested with; cargo drops what else is in it.
    ("Cargo.lock", include_str!("../../../plugins/guests/Cargo.lock")),
    ("README.md", include_str!("template/rust/README.md")),
    (".gitignore", "/target\n"),
    ("rustfmt.toml", include_str!("../../../rustfmt.toml")),
    ("src/lib.rs", include_str!("template/rust/lib.rs")),
];

/// The shipped sample is what new projects start with.
const JAVASCRIPT: &[(&str, &str)] = &[
    ("package.json", include_str!("../../../plugins/guests/javascript/package.json")),
    ("README.md", include_str!("template/javascript/README.md")),
    (".gitignore", "/node_modules\n"),
    ("plugin.js", include_str!("../../../plugins/guests/javascript/plugin.js")),
    ("json.js", include_str!("../../../plugins/guests/javascript/json.js")),
];

macro_rules! cases {
    ($($file:literal),+ $(,)?) => {
        &[$((concat!("cases/", $file), include_str!(concat!("../../../plugins/guests/javascript/cases/", $file)))),+]
    };
}

const CASES: &[(&str, &str)] = cases![
    "attack-method-override.http",
    "attack-two-titles.http",
    "note-delete.http",
    "note-read.http",
    "note-search.http",
    "note-write.http",
    "notes-list.http",
];

/// Paths in the project and what is in them.
pub(super) fn files(language: Language, name: &PluginName) -> Vec<(String, String)> {
    let named = |text: &str| {
        let text = text.replace("{{name}}", name.as_str());
        text.replace("const NAME = \"notes\";", &format!("const NAME = \"{name}\";"))
    };
    let own = match language {
        Language::Rust => RUST,
        Language::Javascript => JAVASCRIPT,
    };
    let own = own.iter().map(|(path, text)| ((*path).to_owned(), named(text)));
    let cases = CASES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let sdk = match language {
        Language::Rust => SDK,
        Language::Javascript => &[],
    };
    // In a project it is a member of the project's workspace, not of the shipped plugins'.
    let sdk = sdk.iter().map(|(path, text)| (format!("sdk/{path}"), (*text).to_owned()));
    own.chain(cases).chain(sdk).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Every file below a folder, by its path from there.
    fn below(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }

    #[track_caller]
    fn check(folder: &str, embedded: &[(&str, &str)], is_wanted: impl Fn(&str) -> bool) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut there = BTreeSet::new();
        below(&root, &root, &mut there);
        there.retain(|path| is_wanted(path));
        let embedded: BTreeSet<String> = embedded.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(embedded, there, "{folder}");
    }

    #[test]
    fn all_of_the_sdk_and_of_the_cases_comes_with_the_binary() {
        check("../plugins/sdk", SDK, |path| path == "Cargo.toml" || path.starts_with("src/"));
        check("../plugins/guests/javascript", CASES, |path| path.ends_with(".http"));
    }

    #[test]
    fn a_projects_name_is_the_plugins() {
        let name = PluginName::parse("tickets").unwrap();
        for (language, file, line) in [
            (Language::Rust, "src/lib.rs", "Vocabulary::new(\"tickets\","),
            (Language::Javascript, "plugin.js", "const NAME = \"tickets\";"),
        ] {
            let files = files(language, &name);
            let (_, text) = files.iter().find(|(path, _)| path == file).unwrap();
            assert!(text.contains(line), "{file}: {text}");
            assert!(files.iter().all(|(_, text)| !text.contains("{{name}}")), "{language:?}");
        }
    }
}
