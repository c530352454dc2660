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

use crate::route::{Row, Section, Topic};

pub(crate) const TOPICS: &[Topic] = &[
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

pub(crate) fn rows() -> impl Iterator<Item = (&'static Section, &'static Row)> {
    sections().flat_map(|section| section.rows.iter().map(move |row| (section, row)))
}
