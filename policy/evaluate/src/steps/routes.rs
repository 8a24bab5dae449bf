//! Which route matched, and which nearly did.

use policy::model::{Methods, Route};

use crate::evaluator::{Evaluator, Step, Topic, Trail};
use crate::nearly::distance;
use crate::words;

/// Routes told of that nearly matched.
const NEARLY_MAX: usize = 3;
/// What makes a route as unlike the request as one that is still told of.
const COST_MAX: usize = 8;

impl Evaluator<'_> {
    pub(super) fn route_step(&self, trail: &Trail<'_>) -> Step {
        let routes = &self.policy().routes;
        let matched = trail.route.and_then(|route| routes.get(route.index()));
        let text = match matched {
            Some(route) => format!("\"{}\": {}", route.name, pattern(route)),
            None => "none matches".to_owned(),
        };
        let text_of = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let asked = Asked { method: &trail.request.method, host: text_of(&trail.host), path: text_of(&trail.path) };
        let others = routes.iter().filter(|route| matched.is_none_or(|matched| matched.name != route.name));
        let mut near: Vec<(usize, &Route, Vec<String>)> =
            others.filter_map(|route| asked.nearly(route).map(|(cost, why)| (cost, route, why))).collect();
        near.sort_by(|(cost, route, _), (other_cost, other, _)| (cost, &route.name).cmp(&(other_cost, &other.name)));
        near.truncate(NEARLY_MAX);
        let told = near
            .into_iter()
            .map(|(_, route, why)| format!("nearly \"{}\" ({}): {}", route.name, pattern(route), why.join(", ")));
        Step::new(Topic::Route, text).with(told)
    }
}

/// `GET, HEAD api.corp.example/orders/{id}`.
fn pattern(route: &Route) -> String {
    let methods = match &route.methods {
        Methods::Any => "any method".to_owned(),
        Methods::Only(methods) => methods.join(", "),
    };
    let host = if route.host == "*" { "any host " } else { &route.host };
    format!("{methods} {host}{}", route.path)
}

struct Asked<'a> {
    method: &'a str,
    host: String,
    path: String,
}

impl Asked<'_> {
    /// How unlike a route the request is, and in what; none where it is too unlike.
    fn nearly(&self, route: &Route) -> Option<(usize, Vec<String>)> {
        let mut why = Vec::new();
        let mut cost = self.path_differs(&route.path, &mut why)?;
        if route.host != "*" && route.host != self.host {
            cost += 2 + distance(&route.host, &self.host).min(4);
            why.push(format!("another host than {}", if self.host.is_empty() { "none" } else { &self.host }));
        }
        let admits = match &route.methods {
            Methods::Any => !matches!(self.method, "CONNECT" | "TRACE"),
            Methods::Only(methods) => methods.iter().any(|method| method == self.method),
        };
        if !admits {
            cost += 2;
            let spelling = match &route.methods {
                Methods::Only(methods) => methods.iter().find(|method| method.eq_ignore_ascii_case(self.method)),
                Methods::Any => None,
            };
            why.push(match spelling {
                Some(method) => format!("methods are case-sensitive: {method}, not {}", self.method),
                None => format!("not for {}", self.method),
            });
        }
        if why.is_empty() {
            why.push("fits too, but another route fits more exactly".to_owned());
        }
        (cost <= COST_MAX).then_some((cost, why))
    }

    fn path_differs(&self, pattern: &str, why: &mut Vec<String>) -> Option<usize> {
        let mut wanted = pattern.strip_prefix('/')?.split('/');
        let mut found = self.path.strip_prefix('/')?.split('/');
        let mut cost = 0;
        loop {
            match (wanted.next(), found.next()) {
                (None, None) => return Some(cost),
                (Some(rest), _) if rest.starts_with('{') && rest.ends_with("...}") => return Some(cost),
                (Some(segment), Some("")) if segment.starts_with('{') => {
                    why.push(format!("{segment} is empty"));
                    cost += 2;
                }
                (Some(segment), Some(_)) if segment.starts_with('{') => {}
                (Some(literal), Some(segment)) if literal == segment => {}
                (Some(literal), Some(segment)) => {
                    let apart = distance(literal, segment);
                    if literal.is_empty() || segment.is_empty() || apart > (literal.chars().count() / 2).max(2) {
                        return None;
                    }
                    why.push(format!("\"{segment}\" is not \"{literal}\""));
                    cost += 1 + apart;
                }
                (None, Some("")) if found.next().is_none() => {
                    why.push("a trailing slash too many".to_owned());
                    return Some(cost + 1);
                }
                (Some(""), None) if wanted.next().is_none() => {
                    why.push("a trailing slash is missing".to_owned());
                    return Some(cost + 1);
                }
                (None, Some(_)) => {
                    let more = found.count() as u64 + 1;
                    why.push(format!("the path has {} more", words::count(more, "segment", "segments")));
                    return Some(cost + 2 + more as usize);
                }
                (Some(segment), None) => {
                    why.push(format!("the path lacks {segment}"));
                    return Some(cost + 3 + wanted.count());
                }
            }
        }
    }
}
