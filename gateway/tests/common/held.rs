//! What tests of held requests share.

use std::collections::BTreeMap;

use narrowgate_gateway::{Config, Mode};
use serde_json::{Value, json};

use super::{CEILING, System, config};

/// May read, and asks about the rest.
pub const ASKS: &str = "
version: 1
on_miss: ask
ask_timeout: 60s
network_policies:
  read:
    binaries: [{ path: /usr/bin/curl }]
    endpoints:
      - host: api.github.com
        port: 443
        protocol: rest
        rules:
          - allow: { method: GET, path: '/repos/**' }
";

/// A gateway with the sandbox `dev` under this policy; the sandbox's token.
pub async fn asking(mode: Mode, policy: &str) -> (System, String) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { mode, ceiling: Some((CEILING.to_owned(), "ceiling.yaml".to_owned())), ..config(dir.path()) };
    let system = System::start_in(dir, config).await;
    let token = system.sandbox_with("dev", policy).await;
    (system, token)
}

/// What a proxy posts for a request of `/usr/bin/curl`.
pub fn hold(key: &str, method: &str, path: &str) -> Value {
    json!({
        "key": key, "session": "s1", "inspected": true,
        "record": {"denial_id": format!("d_{key}"), "time": "2026-11-21T07:00:00Z", "layer": "l7", "host": "api.github.com",
                   "port": 443, "method": method, "path": path, "binary": "/usr/bin/curl", "reason": "no_matching_rule"},
        "process": {"pid": 4711, "binary": "/usr/bin/curl", "sha256": "0".repeat(64), "ancestors": ["/usr/bin/bash"],
                    "command": format!("curl -X {method} https://api.github.com{path}")},
    })
}

/// The same for a connection.
pub fn l4(key: &str, host: &str, port: u16) -> Value {
    let mut body = hold(key, "PUT", "/");
    body["inspected"] = json!(false);
    body["record"] = json!({"denial_id": "d_1", "time": "2026-11-21T07:00:00Z", "layer": "l4", "host": host, "port": port,
                            "binary": "/usr/bin/curl", "reason": "no_matching_rule"});
    body
}

impl System {
    pub async fn sandbox_with(&self, name: &str, policy: &str) -> String {
        let body = json!({"name": name, "policy_yaml": policy});
        let (status, body) = self.call("POST", "/v1/sandboxes", &self.admin, Some(body)).await;
        assert_eq!(status, 201, "{body}");
        body["token"].as_str().unwrap().to_owned()
    }

    pub async fn hold(&self, token: &str, body: Value) -> Value {
        let (status, answer) = self.call("POST", "/v1/sandboxes/dev/held", token, Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Holds, and is asked about; the id.
    pub async fn held(&self, token: &str, body: Value) -> String {
        let answer = self.hold(token, body).await;
        assert_eq!(answer["status"], "waiting", "{answer}");
        answer["held_id"].as_str().unwrap().to_owned()
    }

    pub async fn outcome(&self, token: &str, id: &str, wait: u64) -> Value {
        let (status, answer) = self.call("GET", &format!("/v1/sandboxes/dev/held/{id}?wait={wait}"), token, None).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub async fn shown(&self, id: &str) -> Value {
        self.get(&format!("/v1/held/{id}")).await
    }

    /// The reviewer looks and answers.
    pub async fn answer(&self, id: &str, answer: &str, reason: Option<&str>) -> (u16, Value) {
        let token = self.shown(id).await["review_token"].clone();
        self.answer_with(id, answer, reason, &token).await
    }

    pub async fn answer_with(&self, id: &str, answer: &str, reason: Option<&str>, token: &Value) -> (u16, Value) {
        let token = token.as_str().unwrap_or("none");
        let body = json!({"answer": answer, "reason": reason, "review_token": token});
        self.call("POST", &format!("/v1/held/{id}/answer"), &self.reviewer, Some(body)).await
    }

    pub async fn leave(&self, token: &str, id: &str) -> u16 {
        self.call("DELETE", &format!("/v1/sandboxes/dev/held/{id}"), token, None).await.0
    }

    pub async fn session(&self, token: &str, session: Option<&str>) -> u16 {
        self.call("PUT", "/v1/sandboxes/dev/session", token, Some(json!({"session": session}))).await.0
    }

    /// Everything in the database, a text for each row.
    pub async fn dump(&self) -> BTreeMap<String, Vec<String>> {
        let path = self.dir.path().join("data/narrowgate.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let text = |sql: String| sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql)).fetch_all(&pool);
        let mut dump = BTreeMap::new();
        for table in text("SELECT name FROM sqlite_master WHERE type = 'table'".to_owned()).await.unwrap() {
            let columns = text(format!("SELECT name FROM pragma_table_info('{table}')")).await.unwrap();
            let columns: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
            let rows = text(format!("SELECT {} FROM {table}", columns.join(" || ',' || "))).await.unwrap();
            dump.insert(table, rows);
        }
        pool.close().await;
        dump
    }
}
