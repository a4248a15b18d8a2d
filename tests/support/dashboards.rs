//! The dashboards in `grafana/`, read as Grafana reads them.

use std::{fs, path::Path};

use serde_json::Value;

/// The dashboards that there are, by their files' names.
pub(crate) const FILES: [&str; 3] = ["exporter.json", "overview.json", "worklist.json"];

/// A dashboard of the repository.
pub(crate) fn read(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("grafana/dashboards")
        .join(file);
    let text = fs::read_to_string(path).expect("the dashboard is readable");
    serde_json::from_str(&text).expect("a dashboard is JSON")
}

/// A query as a panel holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a>(&'a Value);

impl<'a> Target<'a> {
    /// The queries of a panel.
    pub(crate) fn all(panel: &'a Value) -> impl Iterator<Item = Self> {
        list(&panel["targets"]).map(Self)
    }

    /// The letter that tells it from the panel's other queries.
    pub(crate) fn id(self) -> &'a str {
        self.text("refId")
    }

    /// The expression, with Grafana's variables in it.
    pub(crate) fn expr(self) -> &'a str {
        self.text("expr")
    }

    /// Whether it is asked for one instant, the end of the time range, and not for all of the range.
    pub(crate) fn is_instant(self) -> bool {
        self.0["instant"] == true
    }

    /// A field that holds a text; empty if there is none.
    pub(crate) fn text(self, field: &str) -> &'a str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// All of it.
    pub(crate) fn json(self) -> &'a Value {
        self.0
    }
}

/// The expression that the query of a variable chooses from, and the label whose values are the choice.
pub(crate) fn label_values(variable: &Value) -> Option<(&str, &str)> {
    variable["query"]["query"]
        .as_str()?
        .strip_prefix("label_values(")?
        .strip_suffix(')')?
        .rsplit_once(", ")
}

/// A list's elements; none if it is no list.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
