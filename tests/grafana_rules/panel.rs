//! The rules for a panel.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{DATASOURCE, Faults, query};
use crate::{
    dashboards::{Target, list},
    promql::Known,
};

/// The types of panels in use: Grafana's own, present since version 10.
const TYPES: [&str; 5] = ["bargauge", "stat", "state-timeline", "table", "timeseries"];

/// The units in use, as Grafana calls them. Anything may stand behind `suffix:`. `d` is not among them: it shows 89 and
/// 91 days alike, as 13 weeks.
const UNITS: [&str; 6] = ["bytes", "none", "opm", "percentunit", "s", "short"];

/// The calculations in use.
const CALCULATIONS: [&str; 4] = ["lastNotNull", "max", "mean", "min"];

/// The colours in use, by their names in Grafana's palette; `text` is the theme's.
const COLOURS: [&str; 7] = ["blue", "green", "orange", "purple", "red", "text", "yellow"];

/// The properties that an override may set, as far as they are in use.
const PROPERTIES: [&str; 9] = [
    "color",
    "custom.align",
    "custom.cellOptions",
    "custom.fillOpacity",
    "custom.lineStyle",
    "custom.width",
    "decimals",
    "mappings",
    "thresholds",
];

/// Labels that tell one exporter from another. What is said of an account is said once, however many watch it.
const OF_THE_EXPORTER: [&str; 2] = ["instance", "job"];

/// Labels of the result of each query, by the query's letter.
type Results = BTreeMap<String, BTreeSet<String>>;

pub(super) fn check(panel: &Value, known: &Known, faults: &mut Faults) {
    let kind = panel["type"].as_str().unwrap_or_default();
    faults.unless(TYPES.contains(&kind), format!("unknown type {kind:?}"));
    for field in ["title", "description"] {
        let text = panel[field].as_str().unwrap_or_default();
        faults.unless(!text.is_empty(), format!("no {field}"));
    }
    faults.unless(
        panel["datasource"]["uid"] == DATASOURCE,
        "another datasource than the one chosen",
    );
    let results = queries(panel, kind, known, faults);
    fields(panel, faults);
    options(panel, faults);
    if kind == "table" {
        table(panel, &results, faults);
    } else {
        let legends: BTreeSet<&str> = Target::all(panel)
            .map(|target| target.text("legendFormat"))
            .collect();
        for name in overridden(panel) {
            // Of a legend like {{step}} the names are the label's values, which the queries decide.
            faults.unless(
                legends.contains(name) || legends.iter().any(|legend| legend.starts_with("{{")),
                format!("an override for {name}, which no query is called"),
            );
        }
    }
}

fn queries(panel: &Value, kind: &str, known: &Known, faults: &mut Faults) -> Results {
    let mut results = Results::new();
    for target in Target::all(panel) {
        let id = target.id();
        faults.unless(
            !id.is_empty() && !results.contains_key(id),
            "no refId, or one that two queries share",
        );
        faults.unless(
            target.json()["datasource"]["uid"] == DATASOURCE,
            format!("{id}: another datasource than the one chosen"),
        );
        let over_time = matches!(kind, "timeseries" | "state-timeline");
        faults.unless(
            target.is_instant() != over_time && target.json()["range"] == over_time,
            format!("{id}: instant where it should not be, or the other way round"),
        );
        let format = if kind == "table" {
            "table"
        } else {
            "time_series"
        };
        faults.unless(
            target.text("format") == format,
            format!("{id}: not of format {format}"),
        );
        let mut own = Faults::default();
        let labels = query::check(target.expr(), known, &mut own).unwrap_or_default();
        faults
            .0
            .extend(own.0.into_iter().map(|fault| format!("{id}: {fault}")));
        one_series_an_account(&labels, &mut *faults);
        for label in in_legend(target.text("legendFormat")) {
            faults.unless(
                labels.contains(label),
                format!("{id}: the legend names {label}, which there isn't"),
            );
        }
        results.insert(id.to_owned(), labels);
    }
    faults.unless(!results.is_empty(), "no queries");
    results
}

fn one_series_an_account(labels: &BTreeSet<String>, faults: &mut Faults) {
    let of_the_exporter = OF_THE_EXPORTER.iter().any(|&label| labels.contains(label));
    faults.unless(
        !(of_the_exporter && labels.contains("account_id")),
        "two exporters would double it: instance is not aggregated away",
    );
}

/// The labels between double braces.
fn in_legend(legend: &str) -> impl Iterator<Item = &str> {
    legend
        .split("{{")
        .skip(1)
        .filter_map(|rest| rest.split_once("}}"))
        .map(|(label, _)| label.trim())
}

fn overridden(panel: &Value) -> impl Iterator<Item = &str> {
    list(&panel["fieldConfig"]["overrides"])
        .filter_map(|change| change["matcher"]["options"].as_str())
}

fn fields(panel: &Value, faults: &mut Faults) {
    let defaults = &panel["fieldConfig"]["defaults"];
    // Grafana's linter wants one of the units that it knows here; a suffix can only be an override.
    let unit = defaults["unit"].as_str().unwrap_or_default();
    faults.unless(UNITS.contains(&unit), format!("unknown unit {unit:?}"));
    thresholds(&defaults["thresholds"], faults);
    colours(&panel["fieldConfig"], faults);
    for change in list(&panel["fieldConfig"]["overrides"]) {
        faults.unless(
            change["matcher"]["id"] == "byName",
            format!("an unknown matcher {}", change["matcher"]),
        );
        for property in list(&change["properties"]) {
            let id = property["id"].as_str().unwrap_or_default();
            let value = &property["value"];
            match id {
                "unit" => {
                    let unit = value.as_str().unwrap_or_default();
                    faults.unless(
                        UNITS.contains(&unit) || unit.starts_with("suffix:"),
                        format!("unknown unit {unit:?}"),
                    );
                }
                "thresholds" => thresholds(value, faults),
                _ => faults.unless(PROPERTIES.contains(&id), format!("unknown property {id:?}")),
            }
        }
    }
}

/// The first step holds from minus infinity, which JSON can only write as null; the others ascend.
fn thresholds(thresholds: &Value, faults: &mut Faults) {
    if thresholds.is_null() {
        return;
    }
    let values: Vec<Option<f64>> = list(&thresholds["steps"])
        .map(|step| step["value"].as_f64())
        .collect();
    faults.unless(
        values.first() == Some(&None) && values.is_sorted(),
        format!("threshold steps {values:?}"),
    );
}

/// Every colour named anywhere below.
fn colours(value: &Value, faults: &mut Faults) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| colours(value, faults)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(colour) if ["color", "fixedColor"].contains(&&**key) => faults.unless(
                        COLOURS.contains(&colour),
                        format!("unknown colour {colour:?}"),
                    ),
                    _ => colours(value, faults),
                }
            }
        }
        _ => {}
    }
}

fn options(panel: &Value, faults: &mut Faults) {
    let options = &panel["options"];
    let calculations = [
        &options["reduceOptions"]["calcs"],
        &options["legend"]["calcs"],
    ];
    for calculation in calculations.into_iter().flat_map(list) {
        let name = calculation.as_str().unwrap_or_default();
        faults.unless(
            CALCULATIONS.contains(&name),
            format!("unknown calculation {name:?}"),
        );
    }
}

/// The queries are merged into one table, whose columns are then put in order and renamed.
fn table(panel: &Value, results: &Results, faults: &mut Faults) {
    let transformations: Vec<&Value> = list(&panel["transformations"])
        .map(|transformation| &transformation["id"])
        .collect();
    faults.unless(
        transformations == ["merge", "organize"],
        format!("the transformations are {transformations:?}, not merge and organize"),
    );
    // With a single query the column would be called Value.
    faults.unless(results.len() > 1, "a table of one query");

    let mut there: BTreeSet<String> = results.values().flatten().cloned().collect();
    there.extend(results.keys().map(|id| format!("Value #{id}")));
    there.insert("Time".into());
    let organize = &panel["transformations"][1]["options"];
    let named = |option: &str| -> BTreeSet<String> {
        let fields = organize[option].as_object();
        fields
            .into_iter()
            .flat_map(|fields| fields.keys().cloned())
            .collect()
    };
    let (hidden, ordered, renamed) = (
        named("excludeByName"),
        named("indexByName"),
        named("renameByName"),
    );
    for field in hidden.iter().chain(&ordered).chain(&renamed) {
        faults.unless(there.contains(field), format!("there is no field {field}"));
    }
    faults.unless(
        ordered == renamed,
        "a column has a name or a place but not both",
    );
    for field in &there {
        faults.unless(
            hidden.contains(field) != renamed.contains(field),
            format!("{field} is neither shown under a name nor hidden"),
        );
    }

    // Rows are merged where they agree in every field that they share, so every query must say of which user or key.
    let keys: BTreeSet<&String> = match results.values().min_by_key(|labels| labels.len()) {
        Some(labels) => labels.iter().collect(),
        None => BTreeSet::new(),
    };
    faults.unless(
        !keys.is_empty()
            && results
                .values()
                .all(|labels| keys.iter().all(|&key| labels.contains(key))),
        "the queries share no key to merge by",
    );

    let columns: Vec<&str> = organize["renameByName"]
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.values())
        .filter_map(Value::as_str)
        .collect();
    faults.unless(
        columns.iter().collect::<BTreeSet<_>>().len() == columns.len(),
        format!("two columns of one name in {columns:?}"),
    );
    let sorted = list(&panel["options"]["sortBy"]).filter_map(|sort| sort["displayName"].as_str());
    for column in sorted.chain(overridden(panel)) {
        faults.unless(
            columns.contains(&column),
            format!("there is no column {column}"),
        );
    }
}
