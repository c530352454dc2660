//! A thousand requests of fifty programs wait for a reviewer who answers at random, while clients go away and the gateway
//! restarts: nobody is asked twice about the same, and every program gets the answer to its own question.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Stdio;
use std::time::{Duration, Instant};

use narrowgate_core::held::{Answer, HeldAnswer, HeldList, HeldView};
use narrowgate_tests::system::System;
use tokio::process::Command;

const PROGRAMS: usize = 50;
const REQUESTS: usize = 20;
const LIMIT: Duration = Duration::from_secs(60);

const POLICY: &str = "
version: 1
on_miss: ask
ask_timeout: 120s
network_policies: {}
";
const CEILING: &str = r#"
permit (principal, action == Action::"PUT", resource)
when { resource.host == "api.example.com" && resource.port == 80 && context.path like "/work/*" };
"#;

/// One program: asks for what is its own, one after the other, goes away in the middle of some, and says what it got.
const PROGRAM: &str = r#"
import json, os, random, socket, sys, time
port, number, requests = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
random.seed(number)
for i in range(requests):
    path = f"/work/{number}/{i}"
    body = f"{os.getpid()} {path}".encode()
    connection = socket.create_connection(("127.0.0.1", port))
    head = f"PUT http://api.example.com{path} HTTP/1.1\r\nhost: api.example.com\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    if random.random() < 0.1:
        time.sleep(random.random() * 0.5)
        connection.close()
        print(json.dumps({"path": path, "pid": os.getpid(), "status": 0}), flush=True)
        continue
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more: break
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    status = int(head.split()[1]) if head else -1
    length = next((int(l.split(b":")[1]) for l in head.lower().split(b"\r\n") if l.startswith(b"content-length:")), 0)
    while len(rest) < length:
        more = connection.recv(65536)
        if not more: break
        rest += more
    connection.close()
    told = {"path": path, "pid": os.getpid(), "status": status}
    if status == 403:
        denial = json.loads(rest)
        told.update(reason=denial["reason"], message=(denial.get("held") or {}).get("message"), seen=denial["path"])
    print(json.dumps(told), flush=True)
"#;

/// SplitMix64: the same throws every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// What the reviewer said, and whose question it was.
struct Said {
    yes: bool,
    words: String,
    pid: i32,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_wait_and_each_gets_its_own_answer() {
    let mut system = System::start(POLICY, CEILING).await;
    let start = Instant::now();
    let port = system.proxy_addr().port().to_string();
    let programs: Vec<_> = (0..PROGRAMS)
        .map(|number| {
            let mut python = Command::new("python3");
            python.args(["-c", PROGRAM, &port, &number.to_string(), &REQUESTS.to_string()]);
            tokio::spawn(python.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap().wait_with_output())
        })
        .collect();

    let mut dice = Dice(7);
    let mut said: HashMap<String, Said> = HashMap::new();
    let mut questions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut restarted = false;
    while programs.iter().any(|program| !program.is_finished()) {
        assert!(start.elapsed() < LIMIT, "after {LIMIT:?}, {} questions were answered", said.len());
        if said.len() >= PROGRAMS * REQUESTS / 3 && !restarted {
            restarted = true;
            system.stop_gateway().await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            system.start_gateway().await;
        }
        let list: HeldList = system.reviewer().get("/v1/held").await.unwrap();
        for view in list.held {
            let path = view.path.clone().unwrap();
            questions.entry(path.clone()).or_default().insert(view.held_id.clone());
            // Some are left for the next look, so that clients go away before it.
            if dice.below(10) < 3 {
                continue;
            }
            let yes = dice.below(2) == 0;
            let words = format!("about {path} of {}", view.process.pid);
            if answer(&system, &view, yes, &words).await {
                said.insert(path, Said { yes, words, pid: view.process.pid });
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let (mut got, mut left, mut passed) = (0, 0, BTreeSet::new());
    for program in programs {
        let output = program.await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let told: serde_json::Value = serde_json::from_str(line).unwrap();
            let path = told["path"].as_str().unwrap();
            let answer = said.get(path);
            match told["status"].as_i64().unwrap() {
                0 => left += 1,
                status => {
                    got += 1;
                    let Said { yes, words, pid } = answer.unwrap_or_else(|| panic!("nobody answered: {told}"));
                    assert_eq!(told["pid"], *pid, "{told}");
                    assert_eq!(status, if *yes { 200 } else { 403 }, "{words}: {told}");
                    if *yes {
                        passed.insert(path.to_owned());
                    } else {
                        assert_eq!(
                            (told["reason"].as_str(), told["seen"].as_str()),
                            (Some("denied_by_reviewer"), Some(path))
                        );
                        assert_eq!(told["message"].as_str(), Some(words.as_str()), "{told}");
                    }
                }
            }
        }
    }
    assert_eq!(got + left, PROGRAMS * REQUESTS);
    assert!(left > 0 && restarted, "{left} went away");
    assert!(questions.values().all(|ids| ids.len() == 1), "asked twice: {questions:?}");
    let reached: Vec<String> = system.upstream.seen().into_iter().map(|seen| seen.target).collect();
    let once: BTreeSet<String> = reached.iter().cloned().collect();
    assert_eq!(reached.len(), once.len(), "nothing is sent twice");
    assert!(passed.is_subset(&once), "what was told to have passed did");
    assert!(once.iter().all(|path| said.get(path).is_some_and(|said| said.yes)), "what a reviewer let through, only");
    eprintln!("{got} answered, {left} gone, {} questions, in {:?}", questions.len(), start.elapsed());
}

/// Whether the answer counted: a client that went away meanwhile ended its question.
async fn answer(system: &System, view: &HeldView, yes: bool, words: &str) -> bool {
    let answer = if yes { Answer::Once } else { Answer::No };
    let review_token = view.review_token.clone().expect("it waits");
    let body = HeldAnswer { answer, reason: Some(words.to_owned()), review_token };
    match system.reviewer().post::<HeldView>(&format!("/v1/held/{}/answer", view.held_id), &body).await {
        Ok(_) => true,
        Err(e) if e.status() == Some(409) => false,
        Err(e) => panic!("{e}"),
    }
}
