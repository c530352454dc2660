//! GitHub Actions: workflows and their runs; and the secrets, variables and runners that they use.

use crate::route::{
    Row, Topic, admin, body, delete, get, optional_body, patch, post, put, read, remove, section, write,
};

pub(crate) const ACTIONS: Topic = Topic {
    actions: &[
        read("actions.read", "Reads workflows, runs, jobs, caches, and lists artifacts."),
        read("actions.logs", "Downloads the logs of a run or a job."),
        write("actions.dispatch", "Starts a workflow."),
        write("actions.runs.write", "Runs a run or a job again, cancels it, approves it."),
        delete("actions.runs.delete", "Deletes a run or its logs."),
        write("actions.workflows.write", "Enables or disables a workflow."),
        read("actions.artifacts.download", "Downloads an artifact."),
        delete("actions.artifacts.delete", "Deletes an artifact."),
        delete("actions.caches.delete", "Deletes caches."),
        read("actions.permissions.read", "Reads what Actions may do."),
        admin("actions.permissions.admin", "Changes what Actions may do."),
        read("actions.runners.read", "Reads self-hosted runners."),
        admin("actions.runners.admin", "Registers, changes or removes self-hosted runners, or gets a token to do so."),
    ],
    sections: &[
        section(
            "/repos/{owner}/{repo}/actions/workflows",
            &[
                get("", "actions.read"),
                get("/{workflow}", "actions.read"),
                get("/{workflow}/runs", "actions.read"),
                get("/{workflow}/timing", "actions.read"),
                post("/{workflow}/dispatches", "actions.dispatch").with(&[body("ref", "ref")]),
                put("/{workflow}/enable", "actions.workflows.write"),
                put("/{workflow}/disable", "actions.workflows.write"),
            ],
        ),
        section(
            "/repos/{owner}/{repo}/actions/runs",
            &[
                get("", "actions.read"),
                get("/{id}", "actions.read"),
                remove("/{id}", "actions.runs.delete"),
                get("/{id}/approvals", "actions.read"),
                post("/{id}/approve", "actions.runs.write"),
                get("/{id}/artifacts", "actions.read"),
                get("/{id}/attempts/{number}", "actions.read"),
                get("/{id}/attempts/{number}/jobs", "actions.read"),
                get("/{id}/attempts/{number}/logs", "actions.logs"),
                post("/{id}/cancel", "actions.runs.write"),
                post("/{id}/force-cancel", "actions.runs.write"),
                post("/{id}/deployment_protection_rule", "actions.runs.write"),
                get("/{id}/jobs", "actions.read"),
                get("/{id}/logs", "actions.logs"),
                remove("/{id}/logs", "actions.runs.delete"),
                get("/{id}/pending_deployments", "actions.read"),
                post("/{id}/pending_deployments", "actions.runs.write"),
                post("/{id}/rerun", "actions.runs.write"),
                post("/{id}/rerun-failed-jobs", "actions.runs.write"),
                get("/{id}/timing", "actions.read"),
            ],
        ),
        section(
            "/repos/{owner}/{repo}/actions",
            &[
                get("/jobs/{id}", "actions.read"),
                get("/jobs/{id}/logs", "actions.logs"),
                post("/jobs/{id}/rerun", "actions.runs.write"),
                get("/artifacts", "actions.read"),
                get("/artifacts/{id}", "actions.read"),
                get("/artifacts/{id}/{kind}", "actions.artifacts.download"),
                remove("/artifacts/{id}", "actions.artifacts.delete"),
                get("/cache/usage", "actions.read"),
                get("/caches", "actions.read"),
                remove("/caches", "actions.caches.delete"),
                remove("/caches/{id}", "actions.caches.delete"),
                get("/permissions", "actions.permissions.read"),
                put("/permissions", "actions.permissions.admin"),
                get("/permissions/{kind}", "actions.permissions.read"),
                put("/permissions/{kind}", "actions.permissions.admin"),
                get("/oidc/customization/sub", "actions.permissions.read"),
                put("/oidc/customization/sub", "actions.permissions.admin"),
            ],
        ),
        section("/repos/{owner}/{repo}/actions/runners", RUNNER),
        section("/orgs/{owner}/actions/runners", RUNNER),
        section(
            "/orgs/{owner}/actions/permissions",
            &[
                get("", "actions.permissions.read"),
                put("", "actions.permissions.admin"),
                get("/{kind}", "actions.permissions.read"),
                put("/{kind}", "actions.permissions.admin"),
            ],
        ),
    ],
};

pub(crate) const SECRETS: Topic = Topic {
    actions: &[
        read("secrets.read", "Lists secrets by name, or reads the key that new ones are encrypted with. Never values."),
        admin("secrets.admin", "Sets or removes a secret."),
        read("variables.read", "Reads variables."),
        admin("variables.admin", "Sets or removes a variable."),
    ],
    sections: &[
        section("/repos/{owner}/{repo}/actions/secrets", SECRET),
        section("/repos/{owner}/{repo}/dependabot/secrets", SECRET),
        section("/repos/{owner}/{repo}/codespaces/secrets", SECRET),
        section("/repos/{owner}/{repo}/environments/{environment}/secrets", SECRET),
        section("/orgs/{owner}/actions/secrets", SECRET),
        section("/orgs/{owner}/dependabot/secrets", SECRET),
        section("/orgs/{owner}/codespaces/secrets", SECRET),
        section("/repos/{owner}/{repo}/actions/variables", VARIABLE),
        section("/repos/{owner}/{repo}/environments/{environment}/variables", VARIABLE),
        section("/orgs/{owner}/actions/variables", VARIABLE),
        section(
            "/repos/{owner}/{repo}/actions",
            &[get("/organization-secrets", "secrets.read"), get("/organization-variables", "variables.read")],
        ),
    ],
};

const RUNNER: &[Row] = &[
    get("", "actions.runners.read"),
    get("/downloads", "actions.runners.read"),
    get("/{id}", "actions.runners.read"),
    remove("/{id}", "actions.runners.admin"),
    post("/registration-token", "actions.runners.admin"),
    post("/remove-token", "actions.runners.admin"),
    post("/generate-jitconfig", "actions.runners.admin"),
    get("/{id}/labels", "actions.runners.read"),
    post("/{id}/labels", "actions.runners.admin"),
    put("/{id}/labels", "actions.runners.admin"),
    remove("/{id}/labels", "actions.runners.admin"),
    remove("/{id}/labels/{label}", "actions.runners.admin"),
];

const SECRET: &[Row] = &[
    get("", "secrets.read"),
    get("/{secret}", "secrets.read"),
    put("/{secret}", "secrets.admin"),
    remove("/{secret}", "secrets.admin"),
    get("/{secret}/repositories", "secrets.read"),
    put("/{secret}/repositories", "secrets.admin"),
    put("/{secret}/repositories/{id}", "secrets.admin"),
    remove("/{secret}/repositories/{id}", "secrets.admin"),
];

const VARIABLE: &[Row] = &[
    get("", "variables.read"),
    post("", "variables.admin").with(&[body("variable", "name")]),
    get("/{variable}", "variables.read"),
    patch("/{variable}", "variables.admin").with(&[optional_body("name", "name")]),
    remove("/{variable}", "variables.admin"),
    get("/{variable}/repositories", "variables.read"),
    put("/{variable}/repositories", "variables.admin"),
    put("/{variable}/repositories/{id}", "variables.admin"),
    remove("/{variable}/repositories/{id}", "variables.admin"),
];
