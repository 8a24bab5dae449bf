//! `[[scope]]`.

use policy::model::Scope;
use toml::de::DeTable;

use crate::bounds::ROUTES_MAX;
use crate::diagnostic::Span;
use crate::fields::Fields;
use crate::forms;
use crate::reading::{Kind, Reading};

pub(super) const KEYS: &[&str] = &["name", "routes"];

pub(super) fn read<'d>(table: &'d DeTable<'d>, span: Span, reading: &mut Reading<'d, '_>) -> Option<Scope> {
    let fields = Fields::new(table, span, "[[scope]]", KEYS, reading);
    let name = super::named(&fields, "name", Kind::Scope, forms::name::scope, reading);
    let routes = fields.required("routes", "routes = [\"…\"]", reading);
    let routes = super::references(routes, Kind::Route, ROUTES_MAX, reading);
    Some(Scope { name: name?.value.to_owned(), routes: routes? })
}
