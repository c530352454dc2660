//! Releases and their assets. Uploads go to a host of their own.

use crate::UPLOADS;
use crate::pattern::Pattern;
use crate::route::{
    Declared, Section, Topic, body, delete, get, optional_body, patch, post, query, read, remove, section, write,
};
use narrowgate_plugin::Group;

pub(crate) const RELEASES: Topic = Topic {
    actions: &[
        read("releases.read", "Lists releases, or reads one."),
        write("releases.create", "Publishes or drafts a release; creates its tag where there is none."),
        write("releases.update", "Changes a release."),
        delete("releases.delete", "Deletes a release."),
        Declared {
            name: "releases.generate_notes",
            group: Group::Read,
            doc: "Has a release's notes written, and keeps nothing.",
            exemption: Some("it computes a text from what can be read, and stores nothing"),
        },
        read("release_assets.read", "Reads or downloads an asset."),
        write("release_assets.upload", "Uploads an asset."),
        write("release_assets.update", "Renames an asset."),
        delete("release_assets.delete", "Deletes an asset."),
        write("release_reactions.write", "Reacts to a release."),
    ],
    sections: &[
        section(
            "/repos/{owner}/{repo}/releases",
            &[
                get("", "releases.read"),
                get("/latest", "releases.read"),
                get("/tags/{tag...}", "releases.read"),
                get("/{id}", "releases.read"),
                post("", "releases.create").with(&[body("tag", "tag_name"), optional_body("ref", "target_commitish")]),
                patch("/{id}", "releases.update")
                    .with(&[optional_body("tag", "tag_name"), optional_body("ref", "target_commitish")]),
                remove("/{id}", "releases.delete"),
                post("/generate-notes", "releases.generate_notes"),
                get("/{id}/assets", "release_assets.read"),
                get("/assets/{id}", "release_assets.read"),
                patch("/assets/{id}", "release_assets.update"),
                remove("/assets/{id}", "release_assets.delete"),
                get("/{id}/reactions", "releases.read"),
                post("/{id}/reactions", "release_reactions.write"),
            ],
        ),
        Section {
            host: UPLOADS,
            prefix: Pattern::parse("/repos/{owner}/{repo}/releases"),
            rows: &[post("/{id}/assets", "release_assets.upload").with(&[query("name", "name")])],
        },
    ],
};
