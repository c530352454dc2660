//! The table: GitHub's documented routes, by topic. This folder holds nothing else.

mod accounts;
mod actions;
mod code;
mod issues;
mod meta;
mod pulls;
mod releases;
mod repositories;
mod settings;

use crate::route::{Route, Section, Topic};

pub(crate) static TOPICS: &[Topic] = &[
    code::CONTENTS,
    code::GIT,
    code::BRANCHES,
    repositories::REPOSITORIES,
    settings::SETTINGS,
    pulls::PULLS,
    issues::ISSUES,
    actions::ACTIONS,
    actions::SECRETS,
    releases::RELEASES,
    accounts::GISTS,
    accounts::ORGANISATIONS,
    accounts::USERS,
    meta::META,
];

pub(crate) fn sections() -> impl Iterator<Item = &'static Section> {
    TOPICS.iter().flat_map(|topic| topic.sections)
}

pub(crate) fn routes() -> impl Iterator<Item = Route> {
    TOPICS.iter().flat_map(Topic::routes)
}

impl Topic {
    pub(crate) fn routes(&'static self) -> impl Iterator<Item = Route> {
        self.sections.iter().flat_map(|section| section.rows.iter().map(move |row| Route { section, row }))
    }
}
