//! Widening what fits, one dimension after another.

use narrowgate_core::pattern::{Glob, HostForm, HostPattern, PathPattern, ValuePattern};
use narrowgate_core::policy::{OperationRule, RestRule, Wanted};

use super::meet::{glob_covers, host_covers, path_covers};
use super::piece::{Piece, What, path_breadth};
use super::search::Search;
use super::values::value_covers;

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
        match &whole.what {
            What::Rest(rule) => piece = self.grow_rule(piece, rule, pool),
            What::Operation(rule) => piece = self.grow_operation(piece, rule, pool),
            What::Opaque | What::Preset(_) => {}
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
        let with = |piece: &Piece, rule: RestRule| piece.about(What::Rest(rule));
        let Some(rule) = piece.rest().cloned() else { return piece };
        piece = self.step(&piece, with(&piece, RestRule { query: whole.query.clone(), ..rule.clone() }));
        for key in rule.query.keys().filter(|key| rule.query.get(*key) != whole.query.get(*key)) {
            let Some(mut now) = piece.rest().cloned() else { continue };
            match whole.query.get(key) {
                Some(globs) => drop(now.query.insert(key.clone(), globs.clone())),
                None => drop(now.query.remove(key)),
            }
            piece = self.step(&piece, with(&piece, now));
        }
        for (key, glob) in &pool.values {
            let Some(mut now) = piece.rest().cloned() else { continue };
            let Some(globs) = now.query.get_mut(key) else { continue };
            if globs.iter().any(|other| glob_covers(other.as_str(), glob.as_str(), false)) {
                continue;
            }
            globs.retain(|other| !glob_covers(glob.as_str(), other.as_str(), false));
            globs.push(glob.clone());
            piece = self.step(&piece, with(&piece, now));
        }
        let Some(rule) = piece.rest().cloned() else { return piece };
        let wider = pool.paths.iter().filter(|text| path_covers(text, rule.path.as_str()));
        let wider = wider.filter_map(|text| PathPattern::parse(text).ok());
        let paths = [whole.path.clone()].into_iter().chain(wider);
        let paths = paths.map(|path| with(&piece, RestRule { path, ..rule.clone() })).collect();
        self.first(piece, paths)
    }

    fn grow_operation(&mut self, piece: Piece, whole: &OperationRule, pool: &Pool) -> Piece {
        let mut piece = self.step(&piece, piece.about(What::Operation(whole.clone())));
        let Some(names) = piece.operation().map(|rule| rule.attributes.keys().cloned().collect::<Vec<_>>()) else {
            return piece;
        };
        for name in names {
            let mut tried = 0;
            // What a step made of the rule is what the next one is of.
            while let Some(wider) = piece.operation().and_then(|now| restored(now, whole, &name).into_iter().nth(tried))
            {
                let next = self.step(&piece, piece.about(What::Operation(wider)));
                if next == piece {
                    tried += 1;
                }
                piece = next;
            }
        }
        for (name, field, value) in &pool.said {
            let Some(mut now) = piece.operation().cloned() else { continue };
            let values = match (now.attributes.get_mut(name), field) {
                (Some(Wanted::OneOf(values)), None) => values,
                (Some(Wanted::Fields(fields)), Some(field)) => match fields.get_mut(field) {
                    Some(values) => values,
                    None => continue,
                },
                _ => continue,
            };
            if values.iter().any(|other| value_covers(other, value)) {
                continue;
            }
            values.retain(|other| !value_covers(value, other));
            values.push(value.clone());
            piece = self.step(&piece, piece.about(What::Operation(now)));
        }
        piece
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

/// The rule with one attribute as `whole` has it, or one of its fields.
pub(super) fn restored(rule: &OperationRule, whole: &OperationRule, name: &str) -> Vec<OperationRule> {
    let with = |wanted: Option<Wanted>| {
        let mut rule = rule.clone();
        match wanted {
            Some(wanted) => drop(rule.attributes.insert(name.to_owned(), wanted)),
            None => drop(rule.attributes.remove(name)),
        }
        rule
    };
    let before = whole.attributes.get(name);
    let mut out = vec![with(before.cloned())];
    if let Some(Wanted::Fields(fields)) = rule.attributes.get(name) {
        for field in fields.keys() {
            let mut fields = fields.clone();
            match before {
                Some(Wanted::Fields(asked)) if asked.contains_key(field) => {
                    fields.extend(asked.get(field).map(|values| (field.clone(), values.clone())));
                }
                _ => drop(fields.remove(field)),
            }
            out.extend((!fields.is_empty()).then(|| with(Some(Wanted::Fields(fields)))));
        }
    }
    out
}

/// Values that came up, to grow to.
#[derive(Default)]
pub(super) struct Pool {
    hosts: Vec<HostPattern>,
    paths: Vec<String>,
    ends: Vec<i64>,
    values: Vec<(String, Glob)>,
    /// Of attributes, and of fields by their names.
    said: Vec<(String, Option<String>, ValuePattern)>,
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
        if let Some(rule) = piece.operation() {
            for (name, wanted) in &rule.attributes {
                let values: Vec<(Option<String>, &ValuePattern)> = match wanted {
                    Wanted::OneOf(values) => values.iter().map(|value| (None, value)).collect(),
                    Wanted::Fields(fields) => fields
                        .iter()
                        .flat_map(|(field, values)| values.iter().map(|value| (Some(field.clone()), value)))
                        .collect(),
                };
                for (field, value) in values {
                    let value = (name.clone(), field, value.clone());
                    if self.said.len() < MOST && !self.said.contains(&value) {
                        self.said.push(value);
                    }
                }
            }
        }
        let Some(rule) = piece.rest() else { return };
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
