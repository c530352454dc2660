//! Placeholder.
use narrowgate_plugin::{Action, Operation, Plugin, Refusal, Request, Result, Vocabulary};
struct Github;
impl Plugin for Github {
    fn describe() -> Vocabulary {
        Vocabulary::new("github", env!("CARGO_PKG_VERSION"), "GitHub's REST API").host("api.github.com").action(Action::read("contents.read", "x").text("owner", "x"))
    }
    fn classify(request: &Request) -> Result<Vec<Operation>> {
        let _ = request.json()?;
        match request.segments().as_slice() { ["a", b] => Ok(vec![Operation::new("contents.read").text("owner", *b)]), _ => Err(Refusal::not_understood("x")) }
    }
}
narrowgate_plugin::export!(Github);
