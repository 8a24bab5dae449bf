//! One question: what was done, the numbers, the plots.

use super::figures;
use super::{head, interval, scrolled};
use crate::report::groups::{Column, Group, columns, groups};
use crate::report::markup::Markup;
use crate::results::{Experiment, Results, Row};

/// Place of the experiment with this number on the page.
pub fn anchor(at: usize) -> String {
    format!("experiment-{at}")
}

/// One experiment.
pub fn section(main: &mut Markup, results: &Results, experiment: &Experiment) {
    let at = results.experiments.iter().position(|other| std::ptr::eq(other, experiment)).unwrap_or(0);
    main.element("h2", &[("id", &anchor(at))], &experiment.title);
    main.element("p", &[], &experiment.about);
    let groups = groups(experiment, &results.targets);
    let columns = columns(experiment);
    if experiment.rows.is_empty() && experiment.curves.is_empty() && experiment.heat.is_empty() {
        main.element("p", &[("class", &"soft")], "Nothing was measured.");
        return;
    }
    main.within("div", &[("class", &"plots")], |plots| figures::all(plots, results, experiment, &groups, &columns));
    if !experiment.rows.is_empty() {
        rows(main, &groups, &columns);
    }
}

fn rows(main: &mut Markup, groups: &[Group<'_>], columns: &[Column]) {
    scrolled(main, |table| {
        table.within("tr", &[], |row| {
            row.element("th", &[("scope", &"col")], "target");
            for column in columns {
                let title = format!("{}, {}", column.title, column.unit);
                row.element("th", &[("scope", &"col"), ("class", &"number")], &title);
            }
        });
        for group in groups {
            table.within("tr", &[("class", &"group")], |row| {
                let span = columns.len() + 1;
                let title = format!("{} over {}", group.work, group.transport);
                row.element("th", &[("scope", &"rowgroup"), ("colspan", &span)], &title);
            });
            for row in &group.ranked {
                line(table, row, columns, None);
            }
            for (row, why) in &group.unranked {
                line(table, row, columns, Some(why));
            }
        }
    });
}

fn line(table: &mut Markup, row: &Row, columns: &[Column], why: Option<&str>) {
    let class = if why.is_some() { "unranked-row" } else { "" };
    table.within("tr", &[("class", &class)], |line| {
        line.within("td", &[("class", &"words")], |cell| {
            cell.text(&row.target);
            if let Some(why) = why {
                cell.element("small", &[("class", &"unranked")], &format!(" not ranked: {why}"));
            }
        });
        for column in columns {
            line.within("td", &[("class", &"number")], |cell| value(cell, row, column));
        }
    });
}

fn value(cell: &mut Markup, row: &Row, column: &Column) {
    match row.estimates.get(&column.name) {
        Some(measured) => interval(cell, Some(measured.estimate), &measured.unit),
        None => interval(cell, None, ""),
    }
}

/// A small table below a plot.
pub fn numbers(figure: &mut Markup, names: &[&str], lines: &[Vec<String>]) {
    scrolled(figure, |table| {
        let names: Vec<(&str, bool)> = names.iter().enumerate().map(|(at, name)| (*name, at > 0)).collect();
        head(table, &names);
        for line in lines {
            table.within("tr", &[], |row| {
                for (at, text) in line.iter().enumerate() {
                    let class = if at > 0 { "number" } else { "words" };
                    row.element("td", &[("class", &class)], text);
                }
            });
        }
    });
}
