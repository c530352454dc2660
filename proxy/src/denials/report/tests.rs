#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering};

use narrowgate_core::decide::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn l4(host: &str, port: u16, binary: &str, n: u32) -> DenialRecord {
    DenialRecord {
        denial_id: format!("d_{n}"),
        time: format!("2026-11-20T21:00:{:02}Z", n % 60),
        layer: Layer::L4,
        host: host.to_owned(),
        port,
        method: None,
        path: None,
        binary: binary.to_owned(),
        reason: Reason::NoMatchingRule,
        operations: Vec::new(),
    }
}

fn l7(method: &str, path: &str, n: u32) -> DenialRecord {
    let base = l4("api.example", 443, "/bin/a", n);
    DenialRecord { layer: Layer::L7, method: Some(method.to_owned()), path: Some(path.to_owned()), ..base }
}

/// Layer, host, port, binary, path and count of each, in order.
fn told(untold: &Untold) -> Vec<String> {
    let report = untold.take().map(|report| report.denials).unwrap_or_default();
    report
        .iter()
        .map(|d| {
            let request = [d.method.as_deref(), d.path.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
            format!("{}:{} {} {request} x{}", d.host, d.port, d.binary, d.count)
        })
        .collect()
}

#[test]
fn the_same_is_counted_and_what_differs_is_not_mixed() {
    let untold = Untold::default();
    for (n, (host, port, binary)) in [
        ("a.example", 22, "/bin/a"),
        ("a.example", 22, "/bin/a"),
        ("a.example", 22, "/bin/b"),
        ("a.example", 23, "/bin/a"),
    ]
    .into_iter()
    .chain([("b.example", 22, "/bin/a"), ("a.example", 22, "/bin/a")])
    .enumerate()
    {
        untold.count(&l4(host, port, binary, n as u32));
    }
    for (n, (method, path)) in [("GET", "/a"), ("PUT", "/a"), ("GET", "/b"), ("GET", "/a")].into_iter().enumerate() {
        untold.count(&l7(method, path, n as u32));
    }
    let report = untold.take().unwrap();
    let first = &report.denials[0];
    assert_eq!((first.count, &*first.denial_id), (3, "d_5"));
    assert_eq!((&*first.first_seen, &*first.last_seen), ("2026-11-20T21:00:00Z", "2026-11-20T21:00:05Z"));
    for record in report.denials.iter().flat_map(|d| std::iter::repeat_n(d.record(), d.count as usize)) {
        untold.count(&record);
    }
    let expect = [
        "a.example:22 /bin/a  x3",
        "a.example:22 /bin/b  x1",
        "a.example:23 /bin/a  x1",
        "b.example:22 /bin/a  x1",
        "api.example:443 /bin/a GET /a x2",
        "api.example:443 /bin/a PUT /a x1",
        "api.example:443 /bin/a GET /b x1",
    ];
    assert_eq!(told(&untold), expect);
    assert!(untold.take().is_none(), "told once");
}

#[test]
fn what_no_rule_could_prevent_or_somebody_decided_is_not_told() {
    let untold = Untold::default();
    for reason in [
        Reason::DenyRule,
        Reason::DestinationBlocked,
        Reason::DnsFailed,
        Reason::RequestAmbiguous,
        Reason::PluginError,
        Reason::DeniedByReviewer,
        Reason::ReviewTimedOut,
        Reason::PolicyUnavailable,
    ] {
        untold.count(&DenialRecord { reason, ..l4("a.example", 22, "/bin/a", 0) });
        untold.count(&DenialRecord { reason, ..l7("GET", "/a", 0) });
    }
    untold.count(&l4("", 80, "/bin/a", 0));
    untold.count(&DenialRecord { path: None, ..l7("GET", "/a", 0) });
    assert!(untold.take().is_none());
    untold.count(&DenialRecord { reason: Reason::LeaseExpired, ..l4("a.example", 22, "/bin/a", 0) });
    assert_eq!(told(&untold).len(), 1);
}

#[test]
fn memory_is_bounded_and_what_is_dropped_is_counted() {
    let untold = Untold::default();
    untold.count(&l4("first.example", 22, "/bin/a", 0));
    untold.count(&l4("first.example", 22, "/bin/a", 0));
    for n in 0..KEPT as u32 {
        untold.count(&l4(&format!("h{n}.example"), 22, "/bin/a", n));
    }
    assert_eq!(untold.counts.lock().unwrap().denials.len(), KEPT);
    let report = untold.take().unwrap();
    assert_eq!((report.denials.len(), report.dropped), (MOST_IN_REPORT, 2));
    assert_eq!(report.denials[0].host, "h0.example", "the oldest are told first");
    let mut all = report.denials.len();
    while let Some(report) = untold.take() {
        assert_eq!(report.dropped, 0, "told once");
        all += report.denials.len();
    }
    assert_eq!(all, KEPT);
}

/// A gateway that answers its n-th report with the n-th of these statuses, the last one for ever; what it was told.
async fn gateway(statuses: &'static [u16]) -> (GatewayClient, Arc<Mutex<Vec<ReportDenials>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = GatewayClient::new(&format!("http://{}", listener.local_addr().unwrap()), "t0ken").unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (reports, count) = (heard.clone(), AtomicUsize::new(0));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).await.unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            assert!(head.starts_with("post /v1/sandboxes/dev/denials http/1.1\r\n") && head.contains("bearer t0ken"));
            let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            reports.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            let status = statuses[count.fetch_add(1, Ordering::Relaxed).min(statuses.len() - 1)];
            let answer = r#"{"chunk_ids":[],"error":"x","message":"y"}"#;
            let text =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    (client, heard)
}

#[tokio::test]
async fn an_unanswered_report_is_repeated_under_its_name_and_nothing_is_lost() {
    let (client, heard) = gateway(&[503, 500, 200]).await;
    let (untold, mut unanswered) = (Untold::default(), None);
    let path = "/v1/sandboxes/dev/denials";
    untold.count(&l4("a.example", 22, "/bin/a", 0));
    assert!(!send(&client, path, &untold, &mut unanswered).await);
    // What comes meanwhile is another report.
    untold.count(&l4("a.example", 22, "/bin/a", 1));
    assert!(!send(&client, path, &untold, &mut unanswered).await);
    assert!(send(&client, path, &untold, &mut unanswered).await);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 4);
    assert_eq!((&heard[0], &heard[0]), (&heard[1], &heard[2]), "the same again");
    assert_ne!(heard[3].report, heard[0].report);
    assert_eq!(heard[3].denials[0].denial_id, "d_1");
}

#[tokio::test]
async fn what_the_gateway_refuses_is_not_repeated() {
    let (client, heard) = gateway(&[404, 200]).await;
    let (untold, mut unanswered) = (Untold::default(), None);
    untold.count(&l4("a.example", 22, "/bin/a", 0));
    assert!(send(&client, "/v1/sandboxes/dev/denials", &untold, &mut unanswered).await);
    assert!(unanswered.is_none());
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_gives_up_waiting_loses_nothing() {
    // Accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = GatewayClient::new(&format!("http://{}", silent.local_addr().unwrap()), "t0ken").unwrap();
    let (untold, mut unanswered) = (Untold::default(), None);
    untold.count(&l4("a.example", 22, "/bin/a", 0));
    let sent = timeout(Duration::from_millis(50), send(&client, "/v1/sandboxes/dev/denials", &untold, &mut unanswered));
    assert!(sent.await.is_err());
    assert_eq!(unanswered.unwrap().denials[0].host, "a.example");
}
