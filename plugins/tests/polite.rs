//! Slow plugins are asked where they keep nobody waiting but those who ask them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Asked, Guest};
use narrowgate_plugins::{Body, Cause, Host, Plugin};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// The deadline of a call.
const DEADLINE: Duration = Duration::from_millis(200);

/// So many questions at once that all take too long.
fn ask_slow(plugin: &Plugin, times: usize) -> JoinSet<(Cause, Duration)> {
    let asked = Asked { body: Body::Complete(Bytes::from(vec![b'x'; 4_194_304])), ..Asked::put() };
    let mut asking = JoinSet::new();
    for _ in 0..times {
        let begun = Instant::now();
        let answer = plugin.classify_async(&asked.facts());
        asking.spawn(async move { (answer.await.unwrap_err().cause, begun.elapsed()) });
    }
    asking
}

#[test]
fn other_requests_of_the_same_thread_go_on() {
    let host = Host::new().unwrap();
    let (slow, quick) = (Guest::file("endless_loop").load_on(&host), Guest::new().load_on(&host));
    Builder::new_current_thread().build().unwrap().block_on(async {
        let begun = Instant::now();
        let mut slow = ask_slow(&slow, 4);
        tokio::task::yield_now().await;
        for _ in 0..200 {
            assert_eq!(quick.classify_async(&Asked::put().facts()).await.unwrap().len(), 1);
            tokio::task::yield_now().await;
        }
        // Four of them on this thread would have taken four deadlines.
        assert!(begun.elapsed() < 3 * DEADLINE, "{:?}", begun.elapsed());
        while let Some(answer) = slow.join_next().await {
            assert!(matches!(answer.unwrap().0, Cause::Deadline(200) | Cause::Busy));
        }
    });
}

#[test]
fn what_is_too_slow_inline_is_asked_again_by_a_worker() {
    // More than fits inline, and much less than the limit.
    let functions = "(func $classify (param $request i32) (result i32) (local $i i32)
        (loop $again
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $i) (i32.const 200000))))
        unreachable)";
    let failing = Guest { functions: functions.to_owned(), ..Guest::new() }.load();
    let expect = failing.classify(&Asked::put().facts()).unwrap_err();
    assert!(matches!(expect.cause, Cause::Trap(_)));
    Builder::new_current_thread().build().unwrap().block_on(async {
        for _ in 0..20 {
            assert_eq!(failing.classify_async(&Asked::put().facts()).await.unwrap_err(), expect);
        }
    });
}

#[test]
fn a_crowd_of_slow_requests_is_denied_in_time() {
    let slow = Guest::file("endless_loop").load_on(&Host::new().unwrap());
    Builder::new_current_thread().build().unwrap().block_on(async {
        let mut asking = ask_slow(&slow, 100);
        let mut ran = 0;
        while let Some(answer) = asking.join_next().await {
            let (cause, took) = answer.unwrap();
            assert!(took < 3 * DEADLINE, "{cause} after {took:?}");
            ran += usize::from(cause == Cause::Deadline(200));
        }
        assert!((1..10).contains(&ran), "{ran} ran, the others were not kept waiting");
    });
}

#[test]
fn a_slow_plugin_delays_itself() {
    let host = Host::new().unwrap();
    let (slow, other) = (Guest::file("endless_loop").load_on(&host), Guest::new().load_on(&host));
    let asked = Asked { body: Body::Complete(Bytes::from(vec![b'x'; 100_000])), ..Asked::put() };
    Builder::new_current_thread().build().unwrap().block_on(async {
        let mut slow = ask_slow(&slow, 50);
        tokio::task::yield_now().await;
        // A request that waits for a worker for a deadline is denied.
        for _ in 0..20 {
            assert!(other.classify_async(&asked.facts()).await.is_ok(), "has a worker for its large bodies");
        }
        slow.abort_all();
    });
}
