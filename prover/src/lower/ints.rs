//! Sets of integers as sorted, disjoint, inclusive ranges.

/// A set of integers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ints(Vec<(i64, i64)>);

impl Ints {
    /// The numbers from `low` to `high`, none if that is backwards.
    pub(crate) fn range(low: i64, high: i64) -> Ints {
        Ints(if low <= high { vec![(low, high)] } else { Vec::new() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, n: i64) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&n))
    }

    pub(crate) fn ranges(&self) -> &[(i64, i64)] {
        &self.0
    }

    pub(crate) fn and(&self, other: &Ints) -> Ints {
        let both = |a: &(i64, i64)| {
            other.0.iter().map(|b| (a.0.max(b.0), a.1.min(b.1))).filter(|(low, high)| low <= high).collect::<Vec<_>>()
        };
        Ints(self.0.iter().flat_map(both).collect())
    }

    pub(crate) fn or(&self, other: &Ints) -> Ints {
        let mut all: Vec<(i64, i64)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut out: Vec<(i64, i64)> = Vec::with_capacity(all.len());
        for (low, high) in all {
            match out.last_mut() {
                Some((_, last)) if low <= last.saturating_add(1) => *last = high.max(*last),
                _ => out.push((low, high)),
            }
        }
        Ints(out)
    }

    /// What is in `domain` and not in `self`.
    pub(crate) fn complement(&self, domain: &Ints) -> Ints {
        self.0.iter().fold(domain.clone(), |left, (low, high)| {
            let below = low.checked_sub(1).map_or(Ints(Vec::new()), |end| Ints::range(i64::MIN, end));
            let above = high.checked_add(1).map_or(Ints(Vec::new()), |start| Ints::range(start, i64::MAX));
            left.and(&below.or(&above))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ints() -> impl Strategy<Value = Ints> {
        proptest::collection::vec((0..12i64, 0..12i64), 0..4)
            .prop_map(|ranges| ranges.into_iter().fold(Ints::range(1, 0), |all, (a, b)| all.or(&Ints::range(a, b))))
    }

    proptest! {
        #[test]
        fn sets_are_sets(a in ints(), b in ints(), n in 0..12i64) {
            let domain = Ints::range(0, 11);
            prop_assert_eq!(a.and(&b).contains(n), a.contains(n) && b.contains(n));
            prop_assert_eq!(a.or(&b).contains(n), a.contains(n) || b.contains(n));
            prop_assert_eq!(a.complement(&domain).contains(n), !a.contains(n));
            prop_assert_eq!(a.complement(&domain).or(&a), domain);
        }
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        let all = Ints::range(i64::MIN, i64::MAX);
        assert!(all.complement(&all).is_empty());
        assert_eq!(Ints::range(i64::MIN, 0).complement(&all), Ints::range(1, i64::MAX));
    }
}
