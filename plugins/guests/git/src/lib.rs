//! What git's smart HTTP asks for: fetches, and every ref that a push creates, changes or deletes.
//!
//! A push is decided by its commands, which stand before the pack; the pack itself is not looked into. Every ref of a push
//! is an operation, and all must be permitted, so that one push of two refs is let in as a whole or not at all.
//!
//! What the wire does not show, nobody can bound here. Whether an update rewinds a branch ("force") is known to the client,
//! which has the commits, and to the server; both ids are attributes, but no request says which is an ancestor of which. A
//! server that must refuse it says `receive.denyNonFastForwards`. `ref.create` and `ref.delete` never rewind.
//!
//! A repository is the path before the service, without `.git` at its end. Its letters are kept as they are, also where a
//! host such as GitHub takes upper and lower case for the same; allow what is meant rather than deny what is not.
//!
//! Not understood: dumb HTTP, signed pushes, LFS's locks, `git archive`, and the older versions of a protocol that servers
//! no longer offer.

mod advice;
mod fetch;
mod lfs;
mod pkt;
mod push;
mod refname;
mod route;
#[cfg(test)]
mod tests;

use narrowgate_plugin::{Action, DenialForm, Operation, Plugin, Refusal, Request, Result, Suggestion, Vocabulary};

use crate::route::{Route, Service};

/// The plugin.
pub struct Git;

narrowgate_plugin::export!(Git);

/// Room for the commands of any push that could be allowed; packs are streamed on unread.
const BODY_LIMIT: u32 = 128 * 1024;

impl Plugin for Git {
    fn describe() -> Vocabulary {
        let fetch = Action::read("fetch", "Lists refs and fetches objects: clone, fetch, pull, ls-remote.")
            .methods(&["GET", "POST"])
            .read_exemption("git sends what it wants in a POST to git-upload-pack, which only reads.");
        let advertise =
            Action::write("push.advertise", "Starts a push: lists the refs that could be changed, and no more.")
                .methods(&["GET", "POST"]);
        let create = Action::write("ref.create", "Creates a ref, with the commits that it needs.").methods(&["POST"]);
        let update = Action::write("ref.update", "Moves a ref from one commit to another.").methods(&["POST"]);
        let delete = Action::delete("ref.delete", "Deletes a ref.").methods(&["POST"]);
        let download = Action::read("lfs.download", "Asks where large files can be fetched.")
            .methods(&["POST"])
            .read_exemption("LFS asks in a POST; a batch with the operation download only reads.");
        let upload = Action::write("lfs.upload", "Asks where large files can be stored.").methods(&["POST"]);
        let old = "The commit that the ref must still be at.";
        let new = "The commit that the ref shall be at.";
        Vocabulary::new("git", env!("CARGO_PKG_VERSION"), "Git over smart HTTP, and its large files.")
            .header("content-type")
            .header("git-protocol")
            .body(&["POST"], BODY_LIMIT)
            .denials(DenialForm::Git)
            .actions([fetch, advertise].map(repository))
            .action(of_a_push(create).text("new", new))
            .action(of_a_push(update).text("old", old).text("new", new))
            .action(of_a_push(delete).text("old", old))
            .actions([download, upload].map(|action| {
                repository(action)
                    .optional_text("ref", "The full name of the ref that it is for, such as `refs/heads/main`.")
            }))
    }

    fn classify(request: &Request) -> Result<Vec<Operation>> {
        let (route, repository) = route::of(request)?;
        let one = |action| vec![Operation::new(action).text("repository", repository.as_str())];
        match route {
            Route::Advertise(Service::Upload) => Ok(one("fetch")),
            Route::Advertise(Service::Receive) => Ok(one("push.advertise")),
            Route::Call(Service::Upload) => {
                media_type(request, "application/x-git-upload-pack-request")?;
                fetch::check(request)?;
                Ok(one("fetch"))
            }
            Route::Call(Service::Receive) => {
                media_type(request, "application/x-git-receive-pack-request")?;
                let push = push::parse(&request.body)?;
                if push.updates.is_empty() { Ok(one("push.advertise")) } else { Ok(push.operations(&repository)) }
            }
            Route::LfsBatch => Ok(vec![lfs::batch(request, repository)?]),
        }
    }

    fn suggest(_request: &Request, denied: &[Operation]) -> Vec<Suggestion> {
        advice::suggest(denied)
    }

    fn example(suggestion: &Suggestion) -> Option<Request> {
        advice::example(&suggestion.operation)
    }
}

fn repository(action: Action) -> Action {
    action.text("repository", "The path of the repository, without `.git`: `acme/site`.")
}

fn of_a_push(action: Action) -> Action {
    repository(action)
        .text("ref", "The ref's full name: `refs/heads/main`, `refs/tags/v1`.")
        .flag("atomic", "Whether the client asked that all refs of the push change, or none.")
        .texts("push_options", "The names of the push's options (`git push -o`), without what follows their `=`.")
}

fn media_type(request: &Request, expected: &str) -> Result<()> {
    if request.media_type()? == expected {
        Ok(())
    } else {
        Err(Refusal::malformed(format!("a request to this service has the content type {expected}")))
    }
}
