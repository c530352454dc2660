//! One permission that does not fit as it is: by method and by action, what fits of it.

use std::collections::BTreeMap;

use narrowgate_core::pattern::MethodPattern;
use narrowgate_core::policy::{OperationRule, RestRule};
use smol_str::SmolStr;

use super::entry::Task;
use super::meet;
use super::piece::{Piece, Preset, What, anywhere};
use super::search::Search;

impl Task<'_> {
    /// The parts of a permission that fit.
    pub(super) fn shrunk(&self, piece: &Piece, search: &mut Search<'_>) -> Vec<Piece> {
        match &piece.what {
            What::Opaque => self.shrunk_opaque(piece, search),
            What::Rest(rule) => self.shrunk_requests(piece, rule, search),
            What::Operation(_) => search.shrink(piece).into_iter().collect(),
            What::Preset(preset) => self.shrunk_preset(piece, preset, search),
        }
    }

    fn shrunk_opaque(&self, piece: &Piece, search: &mut Search<'_>) -> Vec<Piece> {
        let opaque = search.shrink(piece);
        let hit = |piece: &Piece| self.evidence.iter().any(|denied| piece.nearness(denied).0 > 0);
        if let Some(opaque) = opaque.filter(|opaque| self.evidence.is_empty() || hit(opaque)) {
            return vec![opaque];
        }
        // Opaque bytes are every request: inspected, there may be some that fit.
        let inspected = anywhere("*").map(|rule| piece.about(What::Rest(rule)));
        let parts = inspected.map(|inspected| self.shrunk(&inspected, search)).unwrap_or_default();
        if parts.is_empty() { search.shrink(piece).into_iter().collect() } else { parts }
    }

    /// A preset that fits, and of the actions beyond it what fits of each, those that were denied first.
    fn shrunk_preset(&self, piece: &Piece, preset: &Preset, search: &mut Search<'_>) -> Vec<Piece> {
        let mut out: Vec<Piece> = search.shrink(piece).into_iter().collect();
        let rule = |id: &SmolStr| OperationRule::new(id, BTreeMap::new()).ok();
        let mut rules: Vec<OperationRule> = preset.actions.iter().filter_map(rule).collect();
        let denied = |rule: &OperationRule| {
            self.evidence.iter().flat_map(|denied| &denied.operations).any(|operation| rule.matches(operation))
        };
        rules.sort_by_cached_key(|rule| !denied(rule));
        for part in rules.into_iter().map(|rule| piece.about(What::Operation(rule))) {
            if out.iter().any(|found| found.covers(&part)) {
                continue;
            }
            let found = if search.fits(std::slice::from_ref(&part)) { Some(part) } else { search.shrink(&part) };
            out.extend(found.filter(|found| !search.is_part(std::slice::from_ref(found), &out)));
        }
        meet::widest(out, Piece::covers)
    }

    fn shrunk_requests(&self, piece: &Piece, rule: &RestRule, search: &mut Search<'_>) -> Vec<Piece> {
        let with = |method: &str| {
            let method = MethodPattern::parse(method).ok()?;
            Some(piece.about(What::Rest(RestRule { method, ..rule.clone() })))
        };
        let methods: Vec<String> = match &rule.method {
            MethodPattern::Any => {
                let plain = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"].map(str::to_owned);
                let others = self.methods.iter().cloned();
                let asked = self.evidence.iter().filter_map(|denied| denied.method.clone());
                let mut others: Vec<String> = others.chain(asked).filter(|m| !plain.contains(m)).take(16).collect();
                others.sort();
                others.dedup();
                plain.into_iter().chain(others).collect()
            }
            MethodPattern::Exact(method) if method.as_str() == "GET" => vec!["HEAD".to_owned()],
            MethodPattern::Exact(_) => Vec::new(),
        };
        let mut out: Vec<Piece> = search.shrink(piece).into_iter().collect();
        for part in methods.iter().filter_map(|method| with(method)) {
            if out.iter().any(|found| found.covers(&part)) {
                continue;
            }
            let found = if search.fits(std::slice::from_ref(&part)) { Some(part) } else { search.shrink(&part) };
            // GET is HEAD too, and `*` is every method: often enough it is said already.
            out.extend(found.filter(|found| !search.is_part(std::slice::from_ref(found), &out)));
        }
        meet::widest(out, Piece::covers)
    }
}
