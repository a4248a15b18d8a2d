//! The rules that a dashboard is held to.

mod panel;
mod query;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    dashboards::{label_values, list},
    promql::Known,
};

pub(crate) use query::{selectors, substituted};

/// The tag by which the dashboards find each other.
const TAG: &str = "iam-key-exporter";

/// What a dashboard refers to its data source as.
const DATASOURCE: &str = "${datasource}";

/// Everything that is wrong with the dashboard, each with its place.
pub(crate) fn faults(dashboard: &Value, known: &Known) -> Vec<String> {
    let mut faults = Faults::default();
    identity(dashboard, &mut faults);
    variables(dashboard, known, &mut faults);
    layout(dashboard, &mut faults);
    for panel in list(&dashboard["panels"]) {
        let mut own = Faults::default();
        panel::check(panel, known, &mut own);
        let title = panel["title"].as_str().unwrap_or_default();
        let place = |fault| format!("{title:?}: {fault}");
        faults.0.extend(own.0.into_iter().map(place));
    }
    faults.0
}

/// The faults found so far.
#[derive(Debug, Default)]
struct Faults(Vec<String>);

impl Faults {
    /// Notes a fault unless all is well.
    fn unless(&mut self, well: bool, fault: impl Into<String>) {
        if !well {
            self.0.push(fault.into());
        }
    }

    /// Notes what went wrong, or gives what there is.
    fn or_none<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|fault| self.0.push(fault)).ok()
    }
}

fn identity(dashboard: &Value, faults: &mut Faults) {
    let text = |field: &str| dashboard[field].as_str().unwrap_or_default();
    faults.unless(
        text("uid").starts_with("iam-key-"),
        "the uid is not one of ours",
    );
    faults.unless(!text("title").is_empty(), "no title");
    faults.unless(!text("description").is_empty(), "no description");
    faults.unless(
        list(&dashboard["tags"]).any(|tag| tag == TAG),
        format!("no tag {TAG}"),
    );
    let version = dashboard["schemaVersion"].as_u64().unwrap_or_default();
    faults.unless(
        (39..=42).contains(&version),
        format!("schemaVersion {version}"),
    );
    faults.unless(dashboard["editable"] == false, "editable is not false");
    // Marks of a dashboard exported for sharing, which provisioning doesn't resolve; and of one in a database.
    for field in ["__inputs", "__requires", "__elements", "id"] {
        faults.unless(dashboard.get(field).is_none(), format!("there is {field}"));
    }
    let links_by_tag = |link: &Value| {
        link["type"] == "dashboards"
            && list(&link["tags"]).any(|tag| tag == TAG)
            && link["includeVars"] == true
    };
    faults.unless(
        list(&dashboard["links"]).any(links_by_tag),
        "no link to the other dashboards",
    );
}

fn variables(dashboard: &Value, known: &Known, faults: &mut Faults) {
    let variables: Vec<&Value> = list(&dashboard["templating"]["list"]).collect();
    let names: Vec<&Value> = variables.iter().map(|variable| &variable["name"]).collect();
    let expected = ["datasource", "job", "account_id"];
    faults.unless(names == expected, format!("variables {names:?}"));
    let [datasource, queried @ ..] = &variables[..] else {
        return;
    };
    faults.unless(
        datasource["type"] == "datasource"
            && datasource["query"] == "prometheus"
            && datasource["label"] == "Data source",
        "datasource is not a choice among the Prometheus data sources",
    );
    for variable in queried {
        let name = variable["name"].as_str().unwrap_or_default();
        faults.unless(
            variable["type"] == "query"
                && variable["datasource"]["uid"] == DATASOURCE
                && variable["multi"] == true
                && variable["includeAll"] == true
                && variable["allValue"] == ".+",
            format!("{name} is not a query with several values and `.+` for all of them"),
        );
        faults.unless(
            variable["refresh"] == 2,
            format!("{name} does not follow the time range"),
        );
        faults.unless(
            variable["definition"] == variable["query"]["query"],
            format!("{name} is defined as something else than its query"),
        );
        match label_values(variable) {
            Some((series, label)) => {
                faults.unless(label == name, format!("{name} has the values of {label}"));
                if let Some(labels) = faults.or_none(known.labels_of(series)) {
                    faults.unless(
                        labels.contains(label),
                        format!("no label {label} on {series}"),
                    );
                }
            }
            None => faults.unless(false, format!("{name} is not asked by label_values")),
        }
    }
    let job = queried.iter().find(|variable| variable["name"] == "job");
    faults.unless(
        job.is_some_and(|job| job["label"] == "Job"),
        "job is not labelled Job",
    );
}

/// Grafana's grid is this wide.
const GRID: u64 = 24;

fn layout(dashboard: &Value, faults: &mut Faults) {
    let panels: Vec<&Value> = list(&dashboard["panels"]).collect();
    faults.unless(!panels.is_empty(), "no panels");
    let mut ids = BTreeSet::new();
    let mut titles = BTreeSet::new();
    let mut taken: Vec<(String, [u64; 4])> = Vec::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        let id = panel["id"].as_u64().unwrap_or_default();
        faults.unless(
            id > 0 && ids.insert(id),
            format!("{title:?} has no id, or the same id as another panel"),
        );
        faults.unless(
            titles.insert(title.clone()),
            format!("two panels called {title:?}"),
        );
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap_or_default());
        faults.unless(
            w > 0 && h > 0 && x + w <= GRID,
            format!("{title:?} reaches beyond the grid, or has no size"),
        );
        for (other, [left, top, right, bottom]) in &taken {
            faults.unless(
                x >= *right || x + w <= *left || y >= *bottom || y + h <= *top,
                format!("{title:?} and {other:?} overlap"),
            );
        }
        taken.push((title, [x, y, x + w, y + h]));
    }
}
