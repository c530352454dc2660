//! `curl` in the sandbox: its only way out is the proxy, and it trusts the proxy's authority.

use tokio::process::Command;

use super::System;

/// What one run of curl came to.
#[derive(Debug)]
pub struct Curl {
    /// The response's status, 0 where there was none.
    pub status: u16,
    /// The status of the answer to `CONNECT`, 0 where there was none.
    pub connect: u16,
    /// curl's own exit code.
    pub exit: i32,
    /// Header lines of all responses, the one to `CONNECT` included.
    pub headers: String,
    /// The body.
    pub body: String,
    /// What curl complains about.
    pub stderr: String,
}

impl System {
    /// Runs curl with the proxy and its certificates, and `args`.
    pub async fn curl(&self, args: &[&str]) -> Curl {
        // A separator that is in no body of these tests.
        const END: &str = "\n--8<--";
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--include", "--max-time", "20", "--path-as-is", "--noproxy", ""])
            .args(["--write-out", &format!("{END}%{{http_code}} %{{http_connect}}")])
            .args(["--proxy", &format!("http://{}", self.proxy_addr())])
            .arg("--cacert")
            .arg(self.ca_bundle())
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir())
            .kill_on_drop(true)
            .output()
            .await
            .expect("curl runs (`cargo xtask setup` installs it)");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (page, codes) = text.rsplit_once(END).unwrap_or((&text, "0 0"));
        let mut codes = codes.split(' ').map(|code| code.trim().parse().unwrap_or(0));
        // Every head but the last belongs to CONNECT or to a 1xx; each ends in an empty line.
        let mut body = page;
        let mut headers = String::new();
        while body.starts_with("HTTP/") {
            let (head, rest) = body.split_once("\r\n\r\n").unwrap_or((body, ""));
            headers.push_str(head);
            headers.push_str("\r\n");
            body = rest;
        }
        Curl {
            status: codes.next().unwrap_or(0),
            connect: codes.next().unwrap_or(0),
            exit: output.status.code().unwrap_or(-1),
            headers,
            body: body.to_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Curl {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}
