//! A restart loses nothing, and nothing it brings back is unproven.

use narrowgate_core::wire::ProposalStatus;
use narrowgate_tests::system::{HOST, System, rest_rule};

const GRANTED: &str = "https://api.example.com/repos/acme/site/docs/a.md";

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_restart_keeps_proposals_approvals_tokens_and_the_policy() {
    let mut system = System::usual().await;
    let granted = system.propose_accepted("docs-a", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    system.approve(&granted).await;
    system.enforces(2).await;
    let pending = system.propose_accepted("docs-b", rest_rule("PUT", "/repos/acme/site/docs/b.md")).await;
    let (tokens, bundle) = (system.tokens(), system.bundle().await);
    let mut kept = system.connect(HOST).await;

    system.stop_gateway().await;
    // The proxy goes on with what was proven; proposals say why they cannot be taken.
    assert_eq!(kept.request("PUT", "/repos/acme/site/docs/a.md", HOST, "").await.status, 200);
    let away = system.propose("docs-c", rest_rule("PUT", "/repos/acme/site/docs/c.md")).await;
    assert_eq!((away.status, &away.json()["error"]), (503, &"gateway_unavailable".into()));
    system.start_gateway().await;

    assert_eq!(system.tokens(), tokens);
    let after = system.bundle().await;
    assert_eq!((after.version, after.policy_hash), (bundle.version, bundle.policy_hash));
    assert_eq!(system.proposal(&granted).await.status, ProposalStatus::Approved);
    assert_eq!(system.proposal(&pending).await.status, ProposalStatus::Pending);
    // The proxy finds its way back by itself.
    system.approve(&pending).await;
    system.enforces(3).await;
    assert_eq!(kept.request("PUT", "/repos/acme/site/docs/b.md", HOST, "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_restart_enforces_what_was_in_force_even_without_its_gateway() {
    let mut system = System::usual().await;
    let id = system.propose_accepted("docs-a", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    system.approve(&id).await;
    system.enforces(2).await;
    system.stop_proxy().await;
    system.start_proxy().await;
    assert_eq!(system.version(), 2);
    assert_eq!(system.curl(&["-X", "PUT", GRANTED]).await.status, 200);

    system.stop_proxy().await;
    system.stop_gateway().await;
    system.start_proxy().await;
    assert_eq!(system.version(), 2, "the last good bundle, with its certificate");
    assert_eq!(system.curl(&["-X", "PUT", GRANTED]).await.status, 200);
    assert_eq!(system.curl(&["-X", "PUT", "https://api.example.com/elsewhere"]).await.status, 403);
    system.start_gateway().await;
}
