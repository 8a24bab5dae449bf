//! Rows that may be compared: of one kind of work over one transport; and the figures that they have.

use crate::results::{Experiment, Row, Subject};
use crate::statistics::Figure;

/// Rows of one kind of work over one transport.
pub struct Group<'e> {
    pub work: &'e str,
    pub transport: &'e str,
    /// Those that do the work, cheapest first.
    pub ranked: Vec<&'e Row>,
    /// The others, with the reason.
    pub unranked: Vec<(&'e Row, &'e str)>,
}

/// The groups of an experiment, in the order of their first rows.
pub fn groups<'e>(experiment: &'e Experiment, targets: &'e [Subject]) -> Vec<Group<'e>> {
    let mut groups: Vec<Group<'e>> = Vec::new();
    for row in &experiment.rows {
        let same = |group: &Group<'_>| group.work == row.work && group.transport == row.transport;
        let at = groups.iter().position(same).unwrap_or_else(|| {
            let (work, transport) = (row.work.as_str(), row.transport.as_str());
            groups.push(Group { work, transport, ranked: Vec::new(), unranked: Vec::new() });
            groups.len() - 1
        });
        let Some(group) = groups.get_mut(at) else { continue };
        match why_unranked(row, targets) {
            Some(why) => group.unranked.push((row, why)),
            None => group.ranked.push(row),
        }
    }
    let cost = |row: &&Row| row.estimate(Figure::CpuUs.name()).map_or(f64::INFINITY, |estimate| estimate.value);
    for group in &mut groups {
        group.ranked.sort_by(|one, other| cost(one).total_cmp(&cost(other)));
    }
    groups
}

fn why_unranked<'e>(row: &'e Row, targets: &'e [Subject]) -> Option<&'e str> {
    let of_row = row.unranked.as_deref();
    let target = targets.iter().find(|target| target.name == row.target && !target.ranked);
    of_row.or_else(|| target.map(|target| target.why_not.as_deref().unwrap_or("it did not give the expected answers")))
}

/// A figure that some rows have: its name among the estimates, its unit, and its heading.
pub struct Column {
    pub name: String,
    pub unit: String,
    pub title: String,
}

/// The figures of an experiment: the usual ones first, then the others by name.
pub fn columns(experiment: &Experiment) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for (name, measured) in experiment.rows.iter().flat_map(|row| &row.estimates) {
        if !columns.iter().any(|column| column.name == *name) {
            let (name, unit) = (name.clone(), measured.unit.clone());
            columns.push(Column { title: title(&name), name, unit });
        }
    }
    columns.sort_by_key(|column| (place(&column.name), column.name.clone()));
    columns
}

/// Whether it is one of the figures that every loaded row has.
pub fn usual(name: &str) -> bool {
    Figure::USUAL.iter().any(|figure| figure.name() == name)
}

/// Whether values are held against one, or against zero, rather than looked at for their size.
pub fn compares(column: &Column) -> Option<f64> {
    if column.unit == "×" {
        Some(1.0)
    } else if column.name.ends_with("_difference") {
        Some(0.0)
    } else {
        None
    }
}

/// Figures in the order in which they are shown.
const NAMED: [Figure; 8] = [
    Figure::CpuUs,
    Figure::WorkerUs,
    Figure::OthersUs,
    Figure::CpuNsPerByte,
    Figure::PerSecond,
    Figure::P50,
    Figure::P99,
    Figure::P999,
];

fn place(name: &str) -> usize {
    NAMED.iter().position(|figure| name.starts_with(figure.name())).unwrap_or(NAMED.len())
}

fn title(name: &str) -> String {
    for figure in NAMED {
        match name.strip_prefix(figure.name()) {
            Some("") => return figure.title().to_owned(),
            Some("_ratio") => return format!("{}, ratio", figure.title()),
            Some("_difference") => return format!("{}, difference", figure.title()),
            _ => {}
        }
    }
    name.replace('_', " ")
}
