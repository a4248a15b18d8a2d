//! Whether an expression in `PromQL` speaks of what exists: metrics that the exporter exposes or a rule records, and
//! labels that they can have.
//!
//! Prometheus itself says nothing of a name that is misspelt: the query is empty, the panel blank, the alert silent.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use iam_key_exporter::{
    clock::Clock,
    config::Reloads,
    counts::{RefreshCounts, RequestCounts, StorageCounts},
    metrics::{
        exporter::ExporterMetrics,
        exposition::{Encoding, Format, render},
        keys::registry,
        process::ProcessMetrics,
    },
    policy::Policy,
    shard::Shard,
    snapshot::{AccountState, KeyIdDisplay, Scope, Snapshot},
    source::demo::Demo,
};
use prometheus_client::registry::Registry;
use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{
        AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality,
        VectorSelector, parse,
        token::{T_BOTTOMK, T_COUNT_VALUES, T_LAND, T_LOR, T_LUNLESS, T_TOPK},
    },
};
use yaml_serde::Value;

/// The labels that Prometheus gives to whatever it scrapes.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

/// What Prometheus itself says of a target.
const OF_THE_SCRAPE: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
];

/// Labels whose values are a closed set, all of which the demo shows.
const CLOSED: [&str; 4] = ["operation", "reason", "status", "step"];

/// Stands for every label that a tag can become.
const ANY_TAG: &str = "tag_*";

type Labels = BTreeSet<String>;

/// The metrics that there are, with the labels that their series can have.
#[derive(Debug, Default)]
pub(crate) struct Known {
    metrics: BTreeMap<String, Labels>,
    /// The values seen, by metric and label; for `CLOSED` labels only.
    values: BTreeMap<(String, String), BTreeSet<String>>,
}

/// What an expression gives.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    /// A number or a text: it has no labels to match.
    Scalar,
    /// Series that can have these labels.
    Vector(Labels),
}

impl Known {
    /// What the exporter exposes of the demo, as Prometheus stores it.
    pub(crate) fn exposed() -> Self {
        let mut known = Self::default();
        for name in OF_THE_SCRAPE {
            known.metrics.insert(name.into(), target_labels());
        }
        for line in exposition().lines().filter(|line| !line.starts_with('#')) {
            let (series, _) = line.rsplit_once(' ').expect("a sample has a value");
            // What stands before the value is a selector of that series.
            let Ok(Expr::VectorSelector(VectorSelector {
                name: Some(name),
                matchers,
                ..
            })) = parse(series)
            else {
                panic!("not a series: {series}");
            };
            let labels = known
                .metrics
                .entry(name.clone())
                .or_insert_with(target_labels);
            for Matcher {
                name: label, value, ..
            } in matchers.matchers
            {
                labels.insert(if label.starts_with("tag_") {
                    ANY_TAG.into()
                } else {
                    label.clone()
                });
                if CLOSED.contains(&&*label) {
                    known
                        .values
                        .entry((name.clone(), label))
                        .or_default()
                        .insert(value);
                }
            }
        }
        known
    }

    /// Adds what a file of rules records, each rule seeing those before it, and the series of its alerts. Fails at the
    /// first expression that is wrong.
    pub(crate) fn with_rules(mut self, yaml: &str) -> Result<Self, String> {
        let mut alerts: Labels = ["alertname", "alertstate"].map(Into::into).into();
        for rule in rules(yaml) {
            let labels = self
                .labels_of(&rule.expr)
                .map_err(|error| format!("{}: {error}", rule.name))?
                .into_iter()
                .chain(rule.labels);
            if rule.is_alert {
                alerts.extend(labels);
            } else {
                self.metrics.entry(rule.name).or_default().extend(labels);
            }
        }
        self.metrics.insert("ALERTS".into(), alerts);
        Ok(self)
    }

    /// Whether there is a metric of that name.
    pub(crate) fn has(&self, metric: &str) -> bool {
        self.metrics.contains_key(metric)
    }

    /// The labels that the result of `expr` can have. Fails if it doesn't parse or speaks of what doesn't exist.
    pub(crate) fn labels_of(&self, expr: &str) -> Result<Labels, String> {
        let parsed = parse(expr).map_err(|error| format!("{error} in {expr}"))?;
        let shape = self
            .shape(&parsed)
            .map_err(|error| format!("{error} in {expr}"))?;
        Ok(shape.labels())
    }

    fn shape(&self, expr: &Expr) -> Result<Shape, String> {
        match expr {
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(Shape::Scalar),
            Expr::Paren(paren) => self.shape(&paren.expr),
            Expr::Unary(unary) => self.shape(&unary.expr),
            Expr::Subquery(subquery) => self.shape(&subquery.expr),
            Expr::VectorSelector(selector) => self.selected(selector),
            Expr::MatrixSelector(matrix) => self.selected(&matrix.vs),
            Expr::Call(call) => self.called(call),
            Expr::Aggregate(aggregate) => self.aggregated(aggregate),
            Expr::Binary(binary) => self.combined(binary),
            Expr::Extension(_) => Err("an extension of the language".into()),
        }
    }

    fn selected(&self, selector: &VectorSelector) -> Result<Shape, String> {
        let matchers = || {
            let alternatives = selector.matchers.or_matchers.iter().flatten();
            selector.matchers.matchers.iter().chain(alternatives)
        };
        let named = matchers().find(|matcher| matcher.name == "__name__");
        let name = match (&selector.name, named) {
            (Some(name), _) => name,
            (None, Some(matcher)) if matcher.op == MatchOp::Equal => &matcher.value,
            _ => return Err("a selector without the name of a metric".into()),
        };
        let labels = self
            .metrics
            .get(name)
            .ok_or_else(|| format!("there is no metric {name}"))?;
        for matcher in matchers().filter(|matcher| matcher.name != "__name__") {
            needs(labels, &matcher.name, name)?;
            self.check_value(name, matcher)?;
        }
        Ok(Shape::Vector(labels.clone()))
    }

    /// Whether a value that is asked for is one that the label can have, where that is a closed set.
    fn check_value(&self, metric: &str, matcher: &Matcher) -> Result<(), String> {
        let key = (metric.to_owned(), matcher.name.clone());
        let Some(values) = self.values.get(&key) else {
            return Ok(());
        };
        let wanted: Vec<&str> = match &matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
            MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
        };
        let is_plain = |value: &&str| value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match wanted
            .into_iter()
            .filter(|value| !value.is_empty())
            .filter(is_plain)
            .find(|&value| !values.contains(value))
        {
            None => Ok(()),
            Some(value) => Err(format!("{} of {metric} is never {value:?}", matcher.name)),
        }
    }

    fn called(&self, call: &Call) -> Result<Shape, String> {
        let mut labels = Labels::new();
        for argument in &call.args.args {
            labels.extend(self.shape(argument)?.labels());
        }
        let text = |place: usize| match call.args.args.get(place).map(|argument| &**argument) {
            Some(Expr::StringLiteral(text)) => Ok(text.val.clone()),
            _ => Err(format!("{} without its labels", call.func.name)),
        };
        match call.func.name {
            "time" | "scalar" | "pi" => return Ok(Shape::Scalar),
            // Nothing can be said of what is absent but what it was asked by.
            "absent" | "absent_over_time" => {
                let asked = call.args.args.first().map(|argument| &**argument);
                let selector = match asked {
                    Some(Expr::VectorSelector(selector)) => selector,
                    Some(Expr::MatrixSelector(matrix)) => &matrix.vs,
                    _ => return Ok(Shape::Vector(Labels::new())),
                };
                let matchers = selector.matchers.matchers.iter();
                labels = matchers
                    .filter(|matcher| matcher.op == MatchOp::Equal)
                    .map(|matcher| matcher.name.clone())
                    .collect();
            }
            "label_replace" => {
                // An empty source is how a label is set to a constant.
                if !text(3)?.is_empty() {
                    needs(&labels, &text(3)?, "label_replace")?;
                }
                labels.insert(text(1)?);
            }
            "label_join" => {
                for place in 3..call.args.args.len() {
                    needs(&labels, &text(place)?, "label_join")?;
                }
                labels.insert(text(1)?);
            }
            "histogram_quantile" => {
                labels.remove("le");
            }
            _ => {}
        }
        Ok(Shape::Vector(labels))
    }

    fn aggregated(&self, aggregate: &AggregateExpr) -> Result<Shape, String> {
        let Shape::Vector(inner) = self.shape(&aggregate.expr)? else {
            return Err("an aggregation over a number".into());
        };
        let grouping = match &aggregate.modifier {
            None => Labels::new(),
            Some(modifier) => set(&modifier.labels().labels),
        };
        for label in &grouping {
            needs(&inner, label, "what is aggregated")?;
        }
        if [T_TOPK, T_BOTTOMK].contains(&aggregate.op.id()) {
            return Ok(Shape::Vector(inner));
        }
        let mut labels = match &aggregate.modifier {
            Some(LabelModifier::Exclude(_)) => inner.difference(&grouping).cloned().collect(),
            _ => grouping,
        };
        if aggregate.op.id() == T_COUNT_VALUES
            && let Some(Expr::StringLiteral(label)) = aggregate.param.as_deref()
        {
            labels.insert(label.val.clone());
        }
        Ok(Shape::Vector(labels))
    }

    fn combined(&self, binary: &BinaryExpr) -> Result<Shape, String> {
        let (left, right) = match (self.shape(&binary.lhs)?, self.shape(&binary.rhs)?) {
            (Shape::Vector(left), Shape::Vector(right)) => (left, right),
            (Shape::Scalar, other) | (other, Shape::Scalar) => return Ok(other),
        };
        let modifier = binary.modifier.as_ref();
        let matching = modifier.and_then(|modifier| modifier.matching.as_ref());
        match matching {
            Some(LabelModifier::Include(on)) => {
                for label in &on.labels {
                    needs(&left, label, "the left side")?;
                    needs(&right, label, "the right side")?;
                }
            }
            Some(LabelModifier::Exclude(ignored)) => {
                let both = &left | &right;
                for label in &ignored.labels {
                    needs(&both, label, "either side")?;
                }
            }
            // `or` takes what there is on either side; all else needs equal labels to match.
            None if binary.op.id() != T_LOR && left != right => {
                return Err(format!(
                    "sides that never match, {left:?} and {right:?}: say on which labels they should"
                ));
            }
            None => {}
        }
        let one_sided = |many: &Labels, one: &Labels, added: &[String]| {
            for label in added {
                needs(one, label, "the side of one")?;
            }
            Ok(Shape::Vector(many | &set(added)))
        };
        match modifier.map(|modifier| &modifier.card) {
            _ if binary.op.id() == T_LOR => Ok(Shape::Vector(&left | &right)),
            _ if [T_LAND, T_LUNLESS].contains(&binary.op.id()) => Ok(Shape::Vector(left)),
            Some(VectorMatchCardinality::ManyToOne(added)) => {
                one_sided(&left, &right, &added.labels)
            }
            Some(VectorMatchCardinality::OneToMany(added)) => {
                one_sided(&right, &left, &added.labels)
            }
            _ => Ok(Shape::Vector(match matching {
                Some(LabelModifier::Include(on)) => set(&on.labels),
                Some(LabelModifier::Exclude(ignored)) => {
                    left.difference(&set(&ignored.labels)).cloned().collect()
                }
                None => left,
            })),
        }
    }
}

impl Shape {
    fn labels(self) -> Labels {
        match self {
            Self::Scalar => Labels::new(),
            Self::Vector(labels) => labels,
        }
    }
}

/// Checks that `expr` parses, and that every metric and label in it exists.
pub(crate) fn check_expr(expr: &str, known: &Known) -> Result<(), String> {
    known.labels_of(expr).map(drop)
}

/// A rule of a file for Prometheus.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The alert's name, or that of the metric that is recorded.
    pub(crate) name: String,
    pub(crate) is_alert: bool,
    pub(crate) expr: String,
    /// The names of the labels that the rule adds.
    pub(crate) labels: Labels,
    /// The rule as it stands in the file.
    pub(crate) yaml: Value,
}

/// The rules of a file, in order.
pub(crate) fn rules(yaml: &str) -> Vec<Rule> {
    let document: Value = yaml_serde::from_str(yaml).expect("the rules are YAML");
    let groups = document["groups"].as_sequence().expect("rules have groups");
    groups
        .iter()
        .flat_map(|group| group["rules"].as_sequence().expect("a group has rules"))
        .map(|rule| {
            let text = |key: &str| rule[key].as_str().map(str::to_owned);
            Rule {
                name: text("alert")
                    .or_else(|| text("record"))
                    .expect("a rule has a name"),
                is_alert: !rule["alert"].is_null(),
                expr: text("expr").expect("a rule has an expression"),
                labels: keys(&rule["labels"]),
                yaml: rule.clone(),
            }
        })
        .collect()
}

fn keys(mapping: &Value) -> Labels {
    let mapping = mapping.as_mapping().into_iter().flatten();
    mapping
        .filter_map(|(key, _)| key.as_str().map(str::to_owned))
        .collect()
}

fn needs(labels: &Labels, label: &str, of: &str) -> Result<(), String> {
    let is_tag = || label.starts_with("tag_") && labels.contains(ANY_TAG);
    if labels.contains(label) || is_tag() {
        return Ok(());
    }
    Err(format!("{of} has no label {label}, only {labels:?}"))
}

fn set(labels: &[String]) -> Labels {
    labels.iter().cloned().collect()
}

fn target_labels() -> Labels {
    TARGET_LABELS.map(Into::into).into()
}

/// A scrape of the exporter, showing the demo, in Prometheus' text format.
fn exposition() -> String {
    let now = Clock::System.now();
    let refreshes = RefreshCounts::default();
    let demo = Demo::new(now);
    let policy = Policy {
        exemptions: demo.exemptions(),
        ..Policy::default()
    };
    let accounts = demo
        .collect(now)
        .into_iter()
        .map(|outcome| {
            let mut inventory = outcome.result.expect("the demo can always be read");
            policy.apply_to_all(&mut inventory);
            refreshes.count(outcome.account, &inventory.reasons());
            AccountState {
                id: inventory.account.id,
                failures: inventory.reasons(),
                inventory: Some(Arc::new(inventory)),
                reached: true,
                last_success: Some(now),
                duration: outcome.duration,
            }
        })
        .collect();
    let snapshot = Snapshot {
        accounts,
        tags: Demo::tags(),
        tried: true,
        scope: Scope {
            accounts: Some(refreshes.all().len()),
            is_certain: true,
            last_discovery: Some(now),
            shard: Shard::new(0, NonZeroU16::MIN.saturating_add(1)).expect("it is one of two"),
        },
        ..Snapshot::before_first_refresh(
            Arc::new(policy),
            KeyIdDisplay::Full,
            Duration::from_mins(5),
        )
    };
    let storage = StorageCounts::default();
    storage.count(Some(now));
    let mut own = Registry::default();
    own.register_collector(Box::new(ExporterMetrics {
        requests: Arc::new(RequestCounts::default()),
        refreshes: Arc::new(refreshes),
        storage: Some(Arc::new(storage)),
        reloads: Reloads::started(now),
    }));
    own.register_collector(Box::new(ProcessMetrics::new()));
    let of_keys = registry(Arc::new(snapshot), now);
    let rendered = render([&of_keys, &own], Format::Text, Encoding::Identity)
        .expect("the demo can be rendered");
    let bytes: Vec<u8> = rendered.chunks().iter().flatten().copied().collect();
    String::from_utf8(bytes).expect("an exposition is UTF-8")
}
