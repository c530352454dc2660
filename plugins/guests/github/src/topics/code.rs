//! What is in a repository: files, Git's own objects and references, branches and commits.

use crate::route::{
    Topic, admin, body, delete, get, optional_body, patch, post, put, query, read, remove, section, write,
};

pub(crate) const CONTENTS: Topic = Topic {
    actions: &[
        read("contents.read", "Reads a file or lists a folder."),
        write("contents.write", "Creates or changes a file, as a commit."),
        delete("contents.delete", "Deletes a file, as a commit."),
        read("contents.readme", "Reads the README of the repository or of a folder."),
        read("contents.archive", "Downloads everything as an archive."),
    ],
    sections: &[
        section(
            "/repos/{owner}/{repo}/contents",
            &[
                get("/{path...}", "contents.read").with(&[query("ref", "ref")]),
                put("/{path...}", "contents.write").with(&[optional_body("ref", "branch")]),
                remove("/{path...}", "contents.delete").with(&[optional_body("ref", "branch")]),
            ],
        ),
        section(
            "/repos/{owner}/{repo}",
            &[
                get("/readme", "contents.readme").with(&[query("ref", "ref")]),
                get("/readme/{path...}", "contents.readme").with(&[query("ref", "ref")]),
                get("/tarball", "contents.archive"),
                get("/tarball/{ref...}", "contents.archive"),
                get("/zipball", "contents.archive"),
                get("/zipball/{ref...}", "contents.archive"),
            ],
        ),
    ],
};

pub(crate) const GIT: Topic = Topic {
    actions: &[
        read("git.objects.read", "Reads a blob, tree, commit or annotated tag."),
        write("git.objects.write", "Adds a blob, tree, commit or annotated tag, to which nothing refers yet."),
        read("git.refs.read", "Reads references."),
        write("git.refs.create", "Creates a branch, tag or other reference."),
        write("git.refs.update", "Moves a reference."),
        delete("git.refs.delete", "Deletes a reference."),
    ],
    sections: &[section(
        "/repos/{owner}/{repo}/git",
        &[
            get("/blobs/{sha}", "git.objects.read"),
            get("/trees/{sha...}", "git.objects.read"),
            get("/commits/{sha}", "git.objects.read"),
            get("/tags/{sha}", "git.objects.read"),
            post("/blobs", "git.objects.write"),
            post("/trees", "git.objects.write"),
            post("/commits", "git.objects.write"),
            post("/tags", "git.objects.write"),
            get("/ref/{reference...}", "git.refs.read"),
            get("/matching-refs/{name...}", "git.refs.read"),
            get("/refs", "git.refs.read"),
            post("/refs", "git.refs.create").with(&[body("reference", "ref")]),
            patch("/refs/{reference...}", "git.refs.update").with(&[optional_body("force", "force")]),
            remove("/refs/{reference...}", "git.refs.delete"),
        ],
    )],
};

pub(crate) const BRANCHES: Topic = Topic {
    actions: &[
        read("branches.read", "Lists branches, or reads one."),
        admin("branches.rename", "Renames a branch, and moves what is set for it."),
        write("branches.merge", "Merges into a branch without a pull request."),
        write("branches.sync", "Brings a fork's branch up to date with its origin."),
        read("protection.read", "Reads how a branch is protected, and the rules that hold for it."),
        admin("protection.admin", "Changes how a branch is protected."),
        read("commits.read", "Lists commits, or reads one with its statuses and checks."),
        read("commits.compare", "Compares two commits."),
        write("commits.status", "Sets the status of a commit."),
        read("commit_comments.read", "Reads comments on commits."),
        write("commit_comments.write", "Comments on a commit, or changes such a comment."),
        delete("commit_comments.delete", "Deletes a comment on a commit."),
        write("checks.write", "Creates, changes or re-requests check runs and suites."),
        read("checks.read", "Reads check runs and suites."),
    ],
    sections: &[
        section(
            "/repos/{owner}/{repo}/branches",
            &[
                get("", "branches.read"),
                get("/{branch}", "branches.read"),
                post("/{branch}/rename", "branches.rename").with(&[body("name", "new_name")]),
                get("/{branch}/protection", "protection.read"),
                put("/{branch}/protection", "protection.admin"),
                remove("/{branch}/protection", "protection.admin"),
                get("/{branch}/protection/enforce_admins", "protection.read"),
                post("/{branch}/protection/enforce_admins", "protection.admin"),
                remove("/{branch}/protection/enforce_admins", "protection.admin"),
                get("/{branch}/protection/required_pull_request_reviews", "protection.read"),
                patch("/{branch}/protection/required_pull_request_reviews", "protection.admin"),
                remove("/{branch}/protection/required_pull_request_reviews", "protection.admin"),
                get("/{branch}/protection/required_signatures", "protection.read"),
                post("/{branch}/protection/required_signatures", "protection.admin"),
                remove("/{branch}/protection/required_signatures", "protection.admin"),
                get("/{branch}/protection/required_status_checks", "protection.read"),
                patch("/{branch}/protection/required_status_checks", "protection.admin"),
                remove("/{branch}/protection/required_status_checks", "protection.admin"),
                get("/{branch}/protection/required_status_checks/contexts", "protection.read"),
                post("/{branch}/protection/required_status_checks/contexts", "protection.admin"),
                put("/{branch}/protection/required_status_checks/contexts", "protection.admin"),
                remove("/{branch}/protection/required_status_checks/contexts", "protection.admin"),
                get("/{branch}/protection/restrictions", "protection.read"),
                remove("/{branch}/protection/restrictions", "protection.admin"),
                get("/{branch}/protection/restrictions/{kind}", "protection.read"),
                post("/{branch}/protection/restrictions/{kind}", "protection.admin"),
                put("/{branch}/protection/restrictions/{kind}", "protection.admin"),
                remove("/{branch}/protection/restrictions/{kind}", "protection.admin"),
            ],
        ),
        section(
            "/repos/{owner}/{repo}",
            &[
                get("/rules/branches/{branch}", "protection.read"),
                post("/merges", "branches.merge").with(&[body("base", "base"), body("head", "head")]),
                post("/merge-upstream", "branches.sync").with(&[body("branch", "branch")]),
                post("/statuses/{sha}", "commits.status"),
                get("/compare/{comparison...}", "commits.compare"),
            ],
        ),
        section(
            "/repos/{owner}/{repo}/commits",
            &[
                get("", "commits.read").with(&[query("path", "path"), query("ref", "sha")]),
                get("/{ref}", "commits.read"),
                get("/{ref}/status", "commits.read"),
                get("/{ref}/statuses", "commits.read"),
                get("/{ref}/check-runs", "commits.read"),
                get("/{ref}/check-suites", "commits.read"),
                get("/{ref}/pulls", "commits.read"),
                get("/{ref}/branches-where-head", "commits.read"),
                get("/{sha}/comments", "commit_comments.read"),
                post("/{sha}/comments", "commit_comments.write"),
            ],
        ),
        section(
            "/repos/{owner}/{repo}/comments",
            &[
                get("", "commit_comments.read"),
                get("/{id}", "commit_comments.read"),
                patch("/{id}", "commit_comments.write"),
                remove("/{id}", "commit_comments.delete"),
            ],
        ),
        section(
            "/repos/{owner}/{repo}",
            &[
                get("/check-runs/{id}", "checks.read"),
                get("/check-runs/{id}/annotations", "checks.read"),
                get("/check-suites/{id}", "checks.read"),
                get("/check-suites/{id}/check-runs", "checks.read"),
                post("/check-runs", "checks.write"),
                patch("/check-runs/{id}", "checks.write"),
                post("/check-runs/{id}/rerequest", "checks.write"),
                post("/check-suites", "checks.write"),
                patch("/check-suites/preferences", "checks.write"),
                post("/check-suites/{id}/rerequest", "checks.write"),
            ],
        ),
    ],
};
