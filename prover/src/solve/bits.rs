//! Sets of obstacles.

/// A set of small numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Bits(Box<[u64]>);

impl Bits {
    /// The empty set, with room for `0..len`.
    pub(crate) fn none(len: usize) -> Bits {
        Bits(vec![0; len.div_ceil(64)].into())
    }

    pub(crate) fn of(len: usize, items: impl IntoIterator<Item = usize>) -> Bits {
        let mut bits = Bits::none(len);
        for item in items {
            bits.insert(item);
        }
        bits
    }

    pub(crate) fn insert(&mut self, item: usize) {
        if let Some(word) = self.0.get_mut(item / 64) {
            *word |= 1 << (item % 64);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn contains(&self, item: usize) -> bool {
        self.0.get(item / 64).is_some_and(|word| word & (1 << (item % 64)) != 0)
    }

    /// What both have.
    pub(crate) fn and(&self, other: &Bits) -> Bits {
        Bits(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    /// What `other` lacks.
    pub(crate) fn minus(&self, other: &Bits) -> Bits {
        Bits(self.0.iter().zip(&other.0).map(|(a, b)| a & !b).collect())
    }

    pub(crate) fn is_subset(&self, other: &Bits) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(at, word)| (0..64).filter(move |bit| word & (1u64 << bit) != 0).map(move |bit| at * 64 + bit))
    }

    /// The words, for use in a key.
    pub(crate) fn words(&self) -> &[u64] {
        &self.0
    }
}
