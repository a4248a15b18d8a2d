//! The rules for a query.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use promql_parser::{
    label::{MatchOp, Matchers},
    parser::{Call, Expr, MatrixSelector, VectorSelector, parse},
    util::{ExprVisitor, walk_expr},
};

use super::Faults;
use crate::promql::Known;

/// Stands for `$__rate_interval`: a range that nobody would write.
const RATE_INTERVAL: Duration = Duration::from_secs(667);

/// The expression with a duration for each of Grafana's. `$job` and `$account_id` can stay: within quotes they parse.
pub(crate) fn substituted(expr: &str) -> String {
    expr.replace("$__rate_interval", "667s")
        .replace("$__range", "6h")
}

/// Checks the query, and gives the labels that its result can have.
pub(super) fn check(expr: &str, known: &Known, faults: &mut Faults) -> Option<BTreeSet<String>> {
    let expr = substituted(expr);
    let labels = faults.or_none(known.labels_of(&expr))?;
    let parsed = parse(&expr).expect("it was parsed a moment ago");
    for selector in selectors(&parsed) {
        chooses(selector, known, faults);
    }
    let mut ranges = Ranges(faults);
    let Ok(_) = walk_expr(&mut ranges, &parsed);
    Some(labels)
}

/// Every series has a job, and those of an account are the account's that is chosen.
fn chooses(selector: &VectorSelector, known: &Known, faults: &mut Faults) {
    let name = selector.name.as_deref().unwrap_or_default();
    faults.unless(
        is_chosen_by(&selector.matchers, "job", "$job"),
        format!("{name} is not chosen by job=~\"$job\""),
    );
    let has_account = known
        .labels_of(name)
        .is_ok_and(|labels| labels.contains("account_id"));
    faults.unless(
        !has_account || is_chosen_by(&selector.matchers, "account_id", "$account_id"),
        format!("{name} is not chosen by account_id=~\"$account_id\""),
    );
}

fn is_chosen_by(matchers: &Matchers, label: &str, variable: &str) -> bool {
    matchers.matchers.iter().any(|matcher| {
        matcher.name == label && matches!(matcher.op, MatchOp::Re(_)) && matcher.value == variable
    })
}

/// Every selector in the expression.
pub(crate) fn selectors(expr: &Expr) -> Vec<&VectorSelector> {
    let mut found = Vec::new();
    let mut left = vec![expr];
    while let Some(expr) = left.pop() {
        match expr {
            Expr::VectorSelector(selector) => found.push(selector),
            Expr::MatrixSelector(MatrixSelector { vs, .. }) => found.push(vs),
            Expr::Aggregate(aggregate) => left.extend([&*aggregate.expr]),
            Expr::Unary(unary) => left.push(&unary.expr),
            Expr::Binary(binary) => left.extend([&*binary.lhs, &*binary.rhs]),
            Expr::Paren(paren) => left.push(&paren.expr),
            Expr::Subquery(subquery) => left.push(&subquery.expr),
            Expr::Call(call) => left.extend(call.args.args.iter().map(|argument| &**argument)),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
        }
    }
    found
}

/// A counter is only ever looked at through its growth, and a rate over what Grafana finds fit: any other range is too
/// short for some scrape interval, and then the panel is empty.
struct Ranges<'a>(&'a mut Faults);

impl ExprVisitor for Ranges<'_> {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        match expr {
            Expr::Call(Call { func, args }) => {
                let grows = ["rate", "irate", "increase"].contains(&func.name);
                for argument in &args.args {
                    let Expr::MatrixSelector(MatrixSelector { vs, range }) = &**argument else {
                        continue;
                    };
                    let name = vs.name.as_deref().unwrap_or_default();
                    self.0.unless(
                        grows || !name.ends_with("_total"),
                        format!("{} of the counter {name}, not a rate", func.name),
                    );
                    self.0.unless(
                        !func.name.ends_with("rate") || *range == RATE_INTERVAL,
                        format!("a rate of {name} over another range than $__rate_interval"),
                    );
                }
            }
            Expr::VectorSelector(VectorSelector {
                name: Some(name), ..
            }) => self.0.unless(
                !name.ends_with("_total"),
                format!("the counter {name} without a rate"),
            ),
            _ => {}
        }
        Ok(true)
    }
}
