//! Which of git's services a path is about, and in which repository.

use narrowgate_plugin::{Refusal, Request, Result};

/// One of the two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// `git-upload-pack`: what fetches and clones talk to.
    Upload,
    /// `git-receive-pack`: what pushes talk to.
    Receive,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// `GET …/info/refs?service=…`
    Advertise(Service),
    /// `POST …/git-upload-pack` or `…/git-receive-pack`
    Call(Service),
    /// `POST …/info/lfs/objects/batch`
    LfsBatch,
}

/// The route, and the repository that it is in. Dumb HTTP is refused: it reads a repository file by file, and what the
/// files say is not known here.
pub(crate) fn of(request: &Request) -> Result<(Route, String)> {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let (route, repository) = match (request.method.as_str(), segments.as_slice()) {
        ("GET" | "HEAD", [repository @ .., "info", "refs"]) => (Route::Advertise(service(request)?), repository),
        ("POST", [repository @ .., "git-upload-pack"]) => (Route::Call(Service::Upload), repository),
        ("POST", [repository @ .., "git-receive-pack"]) => (Route::Call(Service::Receive), repository),
        ("POST", [repository @ .., "info", "lfs", "objects", "batch"]) => (Route::LfsBatch, repository),
        _ => return Err(Refusal::not_understood("not a request of git's smart HTTP")),
    };
    if !matches!(route, Route::Advertise(_)) && !request.query.is_empty() {
        return Err(Refusal::not_understood("git's services have no query"));
    }
    Ok((route, self::repository(repository)?))
}

fn service(request: &Request) -> Result<Service> {
    if request.query.iter().any(|(key, _)| key != "service") {
        return Err(Refusal::not_understood("info/refs has no query but `service`"));
    }
    match request.query_one("service")? {
        Some("git-upload-pack") => Ok(Service::Upload),
        Some("git-receive-pack") => Ok(Service::Receive),
        Some(_) => Err(Refusal::not_understood("the services are git-upload-pack and git-receive-pack")),
        None => Err(Refusal::not_understood("dumb HTTP is not understood: info/refs without a service")),
    }
}

/// `acme/site` of `/acme/site.git` and of `/acme/site` alike, since servers serve one repository under both.
fn repository(segments: &[&str]) -> Result<String> {
    let Some((last, above)) = segments.split_last() else {
        return Err(Refusal::not_understood("the path names no repository"));
    };
    if segments.iter().any(|segment| segment.is_empty() || segment.contains(['/', '\\'])) {
        return Err(Refusal::ambiguous("a repository's path has an empty part or an encoded slash"));
    }
    let name = last.strip_suffix(".git").filter(|name| !name.is_empty()).unwrap_or(last);
    Ok(above.iter().copied().chain([name]).collect::<Vec<_>>().join("/"))
}
