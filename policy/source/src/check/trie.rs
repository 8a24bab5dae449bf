//! The paths of one host as a tree of segments, for the checks of overlapping routes.

use std::collections::HashMap;

use crate::forms::path::Segment;

/// Position of a node.
pub(super) type NodeId = usize;

#[derive(Debug, Default)]
pub(super) struct Node<'d> {
    pub literals: HashMap<&'d str, NodeId>,
    pub parameter: Option<NodeId>,
    /// Routes that end here, as positions in the list of routes.
    pub ends: Vec<usize>,
    /// Routes that take the rest of the path from here.
    pub rests: Vec<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Trie<'d> {
    nodes: Vec<Node<'d>>,
    hosts: HashMap<String, NodeId>,
}

impl<'d> Trie<'d> {
    /// The root of a host, made when it is new.
    pub(super) fn host(&mut self, host: &str) -> NodeId {
        if let Some(root) = self.hosts.get(host) {
            return *root;
        }
        let root = self.add();
        self.hosts.insert(host.to_owned(), root);
        root
    }

    /// Adds a pattern; gives the list of routes with the same pattern.
    pub(super) fn insert(&mut self, root: NodeId, segments: &[Segment<'d>], route: usize) -> (NodeId, bool) {
        let mut at = root;
        for segment in segments {
            at = match segment {
                Segment::Literal(literal) => match self.node(at).and_then(|node| node.literals.get(literal)) {
                    Some(child) => *child,
                    None => {
                        let child = self.add();
                        if let Some(node) = self.nodes.get_mut(at) {
                            node.literals.insert(literal, child);
                        }
                        child
                    }
                },
                Segment::Parameter(_) => match self.node(at).and_then(|node| node.parameter) {
                    Some(child) => child,
                    None => {
                        let child = self.add();
                        if let Some(node) = self.nodes.get_mut(at) {
                            node.parameter = Some(child);
                        }
                        child
                    }
                },
                Segment::Rest(_) => {
                    if let Some(node) = self.nodes.get_mut(at) {
                        node.rests.push(route);
                    }
                    return (at, true);
                }
            };
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.ends.push(route);
        }
        (at, false)
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&Node<'d>> {
        self.nodes.get(id)
    }

    pub(super) fn nodes(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node<'d>)> {
        self.nodes.iter().enumerate()
    }

    /// Routes with exactly this pattern.
    pub(super) fn find(&self, host: &str, segments: &[Segment<'_>]) -> &[usize] {
        let mut at = self.hosts.get(host).copied();
        for segment in segments {
            let Some(node) = at.and_then(|at| self.node(at)) else {
                return &[];
            };
            at = match segment {
                Segment::Literal(literal) => node.literals.get(literal).copied(),
                Segment::Parameter(_) => node.parameter,
                Segment::Rest(_) => return &node.rests,
            };
        }
        at.and_then(|at| self.node(at)).map_or(&[], |node| &node.ends)
    }

    fn add(&mut self) -> NodeId {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }
}
