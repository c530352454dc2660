//! Widening what fits, one dimension after another.

use narrowgate_core::pattern::{Glob, HostForm, HostPattern, PathPattern};
use narrowgate_core::policy::RestRule;

use super::meet::{glob_covers, host_covers, path_covers};
use super::piece::{Piece, path_breadth};
use super::search::Search;

impl Search<'_> {
    /// `piece`, which fits, as large as it can be in each dimension: as `whole` is, or as something in `pool`.
    pub(super) fn grow(&mut self, piece: Piece, whole: &Piece, pool: &Pool) -> Piece {
        let mut piece = piece;
        for hole in piece.holes.clone() {
            let holes = piece.holes.iter().filter(|other| **other != hole).cloned().collect();
            piece = self.step(&piece, Piece { holes, ..piece.clone() });
        }
        let hosts = [&whole.host].into_iter().chain(&pool.hosts).filter(|host| host_covers(host, &piece.host));
        let hosts: Vec<Piece> = hosts.map(|host| Piece { host: host.clone(), ..piece.clone() }).collect();
        piece = self.first(piece, hosts);
        if let Some(rule) = &whole.rule {
            piece = self.grow_rule(piece, rule, pool);
        }
        piece = self.step(&piece, Piece { ports: whole.ports.clone(), ..piece.clone() });
        if piece.ports != whole.ports {
            for port in
                whole.ports.iter().take(16).filter(|port| !piece.ports.contains(port)).copied().collect::<Vec<_>>()
            {
                let mut ports = [piece.ports.clone(), vec![port]].concat();
                ports.sort_unstable();
                piece = self.step(&piece, Piece { ports, ..piece.clone() });
            }
        }
        let later = pool.ends.iter().copied().filter(|end| piece.expires_at.is_some_and(|now| *end > now));
        let ends = [whole.expires_at].into_iter().chain(later.map(Some));
        let ends = ends.map(|expires_at| Piece { expires_at, ..piece.clone() }).collect();
        self.first(piece, ends)
    }

    fn grow_rule(&mut self, piece: Piece, whole: &RestRule, pool: &Pool) -> Piece {
        let mut piece = piece;
        let with = |piece: &Piece, rule: RestRule| Piece { rule: Some(rule), ..piece.clone() };
        let Some(rule) = piece.rule.clone() else { return piece };
        piece = self.step(&piece, with(&piece, RestRule { query: whole.query.clone(), ..rule.clone() }));
        for key in rule.query.keys().filter(|key| rule.query.get(*key) != whole.query.get(*key)) {
            let Some(mut now) = piece.rule.clone() else { continue };
            match whole.query.get(key) {
                Some(globs) => drop(now.query.insert(key.clone(), globs.clone())),
                None => drop(now.query.remove(key)),
            }
            piece = self.step(&piece, with(&piece, now));
        }
        for (key, glob) in &pool.values {
            let Some(mut now) = piece.rule.clone() else { continue };
            let Some(globs) = now.query.get_mut(key) else { continue };
            if globs.iter().any(|other| glob_covers(other.as_str(), glob.as_str(), false)) {
                continue;
            }
            globs.retain(|other| !glob_covers(glob.as_str(), other.as_str(), false));
            globs.push(glob.clone());
            piece = self.step(&piece, with(&piece, now));
        }
        let Some(rule) = piece.rule.clone() else { return piece };
        let wider = pool.paths.iter().filter(|text| path_covers(text, rule.path.as_str()));
        let wider = wider.filter_map(|text| PathPattern::parse(text).ok());
        let paths = [whole.path.clone()].into_iter().chain(wider);
        let paths = paths.map(|path| with(&piece, RestRule { path, ..rule.clone() })).collect();
        self.first(piece, paths)
    }

    /// `next` if it fits, else `piece`.
    fn step(&mut self, piece: &Piece, next: Piece) -> Piece {
        if next != *piece && self.fits(std::slice::from_ref(&next)) { next } else { piece.clone() }
    }

    /// The first that fits; where none does, `piece`.
    fn first(&mut self, piece: Piece, wider: Vec<Piece>) -> Piece {
        let fits = |next: &Piece| *next == piece || self.fits(std::slice::from_ref(next));
        wider.into_iter().find(fits).unwrap_or(piece)
    }
}

/// Values that came up, to grow to.
#[derive(Default)]
pub(super) struct Pool {
    hosts: Vec<HostPattern>,
    paths: Vec<String>,
    ends: Vec<i64>,
    values: Vec<(String, Glob)>,
}

impl Pool {
    pub(super) fn note(&mut self, piece: &Piece) {
        const MOST: usize = 48;
        if self.hosts.len() < MOST && !self.hosts.contains(&piece.host) {
            self.hosts.push(piece.host.clone());
            self.hosts.sort_by_key(|host| match host.form() {
                HostForm::AnyLabels { suffix } => (0, suffix.len()),
                HostForm::OneLabel { glob, suffix } => (1, glob.len() + suffix.len()),
                HostForm::Exact(_) => (2, 0),
            });
        }
        self.ends.extend(piece.expires_at.filter(|end| !self.ends.contains(end)));
        self.ends.sort_unstable_by(|a, b| b.cmp(a));
        let Some(rule) = &piece.rule else { return };
        let path = rule.path.as_str();
        if self.paths.len() < MOST && !self.paths.iter().any(|known| known == path) {
            self.paths.push(path.to_owned());
            self.paths.sort_by_key(|path| std::cmp::Reverse(path_breadth(path)));
        }
        for (key, globs) in &rule.query {
            for glob in globs {
                let value = (key.clone(), glob.clone());
                if self.values.len() < MOST && !self.values.contains(&value) {
                    self.values.push(value);
                }
            }
        }
    }
}
