//! Active keys by age, as a picture and as a table.

use chrono::TimeDelta;
use maud::{Markup, html};

use super::words::number;
use crate::worklist::glance::AgeGroup;

const WIDTH: usize = 360;
const TOP: usize = 24;
const HEIGHT: usize = 150;
const BASE: usize = TOP + HEIGHT;

pub(super) fn ages(groups: &[AgeGroup], max_age: TimeDelta) -> Markup {
    let most = groups.iter().map(AgeGroup::total).max().unwrap_or(0);
    let step = WIDTH / groups.len().max(1);
    html! {
        figure.ages {
            figcaption { "Active keys by age in days" }
            svg viewBox={ "0 0 " (WIDTH) " " (BASE + 26) } role="img" aria-labelledby="ages-title ages-desc" {
                title #ages-title { "Active keys by age in days" }
                desc #ages-desc {
                    "The maximum age is " (max_age.num_days()) " days. "
                    @for group in groups { (group.range()) " days: " (sentence(group)) ". " }
                }
                @for (place, group) in groups.iter().enumerate() {
                    (bar(group, place * step, step, most))
                }
                line.axis x1="0" x2=(WIDTH) y1=(BASE) y2=(BASE) {}
            }
            p.legend aria-hidden="true" {
                span.in-order { "in order" } " " span.overdue { "overdue" }
            }
            details {
                summary { "As a table" }
                table.plain {
                    caption.unseen { "Active keys by age" }
                    thead { tr {
                        th scope="col" { "Age in days" }
                        th scope="col" { "In order" }
                        th scope="col" { "Overdue" }
                    } }
                    tbody {
                        @for group in groups {
                            tr {
                                th scope="row" { (group.range()) }
                                td { (number(group.in_order)) }
                                td { (number(group.overdue)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sentence(group: &AgeGroup) -> String {
    match (group.in_order, group.overdue) {
        (0, 0) => "none".to_owned(),
        (in_order, 0) => format!("{in_order} in order"),
        (0, overdue) => format!("{overdue} overdue"),
        (in_order, overdue) => format!("{in_order} in order, {overdue} overdue"),
    }
}

fn bar(group: &AgeGroup, x: usize, step: usize, most: usize) -> Markup {
    let middle = x + step / 2;
    let (left, width) = (x + step / 8, step * 3 / 4);
    let in_order = height(group.in_order, most);
    let overdue = height(group.overdue, most);
    html! {
        rect.in-order x=(left) y=(BASE - in_order) width=(width) height=(in_order) {}
        rect.overdue x=(left) y=(BASE - in_order - overdue) width=(width) height=(overdue) {}
        text.count x=(middle) y=(BASE - in_order - overdue - 6) { (number(group.total())) }
        text.range x=(middle) y=(BASE + 18) { (group.range()) }
    }
}

/// The height of so many keys, visible even if they are few among many.
fn height(count: usize, most: usize) -> usize {
    if count == 0 {
        0
    } else {
        (count * HEIGHT / most.max(1)).clamp(2, HEIGHT)
    }
}

impl AgeGroup {
    fn total(&self) -> usize {
        self.in_order + self.overdue
    }

    fn range(&self) -> String {
        match self.to {
            Some(to) => format!("{}–{to}", self.from),
            None => format!("{}+", self.from),
        }
    }
}
