//! Guests in WAT, made into components here, whose answers are laid out in memory as the canonical ABI has it.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod image;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use narrowgate_core::request::{Host as HostName, Method, PathOptions, Port, Target};
use narrowgate_core::vocabulary::{Label, Manifest};
use narrowgate_plugins::{Body, Host, Plugin, PluginFile, RequestFacts, Scheme, embed_manifest, pack};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub use image::Answer;
use image::Image;

/// One for all tests, since each reserves much address space.
pub static HOST: LazyLock<Host> = LazyLock::new(|| Host::new().unwrap());

/// A component to be.
pub struct Guest {
    pub describes: Manifest,
    pub answers: Answer,
    /// Labels with words for people.
    pub suggests: Vec<(Label, String)>,
    /// Method, host, path and query of the request that it gives as an example of anything.
    pub example: Option<[&'static str; 4]>,
    /// What its core module has beside, or instead of, what `frame.wat` has.
    pub functions: String,
    /// What stands before everything else in it.
    pub imports: String,
    pub wit: String,
}

impl Guest {
    /// One that describes itself as `manifest()` and answers everything with `answer()`.
    pub fn new() -> Guest {
        let wit = std::fs::read_to_string(root().join("schemas/wit/semantics.wit")).unwrap();
        Guest {
            describes: manifest(),
            answers: answer(),
            suggests: Vec::new(),
            example: None,
            functions: String::new(),
            imports: String::new(),
            wit,
        }
    }

    /// One with the functions in `guests/NAME.wat`.
    pub fn file(name: &str) -> Guest {
        let path = root().join("plugins/tests/guests").join(name).with_extension("wat");
        Guest { functions: std::fs::read_to_string(path).unwrap(), ..Guest::new() }
    }

    pub fn answering(labels: Vec<Label>) -> Guest {
        Guest { answers: Answer::Operations(labels), ..Guest::new() }
    }

    /// The core module, with the metadata that bindings would put into it.
    pub fn module(&self) -> Vec<u8> {
        let mut image = Image::at(1024);
        let vocabulary = image.vocabulary(&self.describes);
        let answer = image.answer(&self.answers);
        let suggestions = image.suggestions(&self.suggests);
        let example = image.example(self.example);
        let own = |name: &str, instead: String| match self.functions.contains(&format!("(func ${name}")) {
            true => String::new(),
            false => instead,
        };
        let functions = [
            self.functions.clone(),
            own("describe", format!("(func $describe (result i32) (i32.const {vocabulary}))")),
            own("suggest", format!("(func $suggest (param i32) (result i32) (i32.const {suggestions}))")),
            own(
                "example",
                format!("(func $example (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const {example}))"),
            ),
            own("classify", format!("(func $classify (param $request i32) (result i32) (i32.const {answer}))")),
        ];
        let version = self.wit.split_once("semantics@").unwrap().1.split_once(';').unwrap().0;
        let wat = include_str!("../guests/frame.wat")
            .replace("{imports}", &self.imports)
            .replace("{functions}", &functions.join("\n"))
            .replace("{data}", &image.escaped())
            .replace("{version}", version);
        let mut module = wat::parse_str(&wat).unwrap();
        let mut resolve = Resolve::default();
        let package = resolve.push_str("semantics.wit", &self.wit).unwrap();
        let world = resolve.select_world(&[package], Some("semantics")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        module
    }

    /// A component without a manifest, whatever `pack` would say of it.
    pub fn component(&self) -> Vec<u8> {
        ComponentEncoder::default().validate(true).module(&self.module()).unwrap().encode().unwrap()
    }

    /// A component with this manifest, whatever `describe` says.
    pub fn with_manifest(&self, json: &[u8]) -> Vec<u8> {
        with_section(self.component(), json)
    }

    /// Packed, with its manifest embedded, and loaded.
    pub fn load(&self) -> Plugin {
        HOST.load(&self.file_of()).unwrap()
    }

    /// On a host whose workers nobody else uses.
    pub fn load_on(&self, host: &Host) -> Plugin {
        host.load(&self.file_of()).unwrap()
    }

    pub fn file_of(&self) -> PluginFile {
        embed_manifest(&HOST, &pack(&self.module()).unwrap()).unwrap()
    }
}

/// The component with one more custom section for a manifest.
pub fn with_section(mut component: Vec<u8>, json: &[u8]) -> Vec<u8> {
    use wasm_encoder::{CustomSection, Encode};
    component.push(0);
    CustomSection { name: "narrowgate:manifest".into(), data: json.into() }.encode(&mut component);
    component
}

/// A vocabulary with an attribute of every kind.
pub fn manifest() -> Manifest {
    Manifest::parse(
        br#"{"name": "acme", "version": "1.2.3", "doc": "A test's.", "hosts": ["api.acme.example"],
            "headers": ["accept", "x-acme"], "body": {"methods": ["PUT"], "limit": 4194304},
            "actions": [
              {"name": "page.read", "group": "read", "methods": ["GET"], "doc": "Looks.",
               "attributes": [{"name": "count", "kind": "integer", "optional": true, "doc": "How many."}]},
              {"name": "page.write", "group": "write", "methods": ["PUT"], "doc": "Changes.", "attributes": [
                {"name": "path", "kind": "text", "doc": "Which."},
                {"name": "count", "kind": "integer", "optional": true, "doc": "How many."},
                {"name": "force", "kind": "flag", "optional": true, "doc": "Whether."},
                {"name": "labels", "kind": "texts", "optional": true, "doc": "What on it."},
                {"name": "arguments", "kind": "fields", "optional": true, "doc": "Whatever."}]}]}"#,
    )
    .unwrap()
}

pub fn answer() -> Answer {
    Answer::Operations(vec![write(vec![text("path", "a.md")])])
}

pub fn write(attributes: Vec<(String, narrowgate_core::vocabulary::LabelValue)>) -> Label {
    Label { action: "page.write".to_owned(), attributes }
}

pub fn text(name: &str, value: &str) -> (String, narrowgate_core::vocabulary::LabelValue) {
    (name.to_owned(), narrowgate_core::vocabulary::LabelValue::Text(value.to_owned()))
}

/// A request, as the proxy would have it.
pub struct Asked {
    pub method: Method,
    pub host: HostName,
    pub target: Target,
    pub headers: Vec<(&'static str, &'static [u8])>,
    pub body: Body,
}

impl Asked {
    pub fn new(method: &str, host: &str, target: &str) -> Asked {
        let options = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
        Asked {
            method: Method::parse(method).unwrap(),
            host: HostName::parse(host).unwrap(),
            target: Target::parse(target, &options).unwrap(),
            headers: Vec::new(),
            body: Body::Absent,
        }
    }

    pub fn put() -> Asked {
        Asked::new("PUT", "api.acme.example", "/pages/a.md")
    }

    pub fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            method: &self.method,
            scheme: Scheme::Https,
            host: &self.host,
            port: Port::HTTPS,
            target: &self.target,
            headers: self.headers.clone(),
            body: self.body.clone(),
        }
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
