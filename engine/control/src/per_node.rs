//! One of a kind for each NUMA node that has workers; most machines have one.

/// At least one; the first also stands for nodes that are not known.
#[derive(Clone, Debug)]
pub struct PerNode<T> {
    pub first: T,
    others: Vec<T>,
}

impl<T> PerNode<T> {
    pub fn one(first: T) -> Self {
        Self { first, others: Vec::new() }
    }

    /// None of no items at all.
    pub fn of(items: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut items = items.into_iter();
        Some(Self { first: items.next()?, others: items.collect() })
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub fn map<U>(&self, make: impl Fn(&T) -> U) -> PerNode<U> {
        PerNode { first: make(&self.first), others: self.others.iter().map(make).collect() }
    }

    /// That of node number `index`.
    pub fn get(&self, index: usize) -> &T {
        index.checked_sub(1).and_then(|index| self.others.get(index)).unwrap_or(&self.first)
    }

    pub fn count(&self) -> usize {
        1 + self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_come_in_order_and_an_unknown_one_is_the_first() {
        let nodes = PerNode::of([1, 2, 3]).unwrap().map(|number| number * 10);
        assert_eq!(nodes.iter().copied().collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!((*nodes.get(0), *nodes.get(2), *nodes.get(3), nodes.count()), (10, 30, 10, 3));
        assert!(PerNode::<u8>::of([]).is_none());
        assert_eq!(PerNode::one(7).get(1), &7);
    }
}
