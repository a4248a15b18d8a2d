//! Prometheus and Alertmanager over some exporters, and what everybody is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::Value;

use super::alertmanager::Alertmanager;
use super::inbox::Inbox;
use super::prometheus::Prometheus;
use super::wait::wait_for;

/// Prometheus, Alertmanager and those who are told.
pub(crate) struct Watch {
    pub(crate) prometheus: Prometheus,
    pub(crate) alertmanager: Alertmanager,
    pub(crate) inbox: Inbox,
}

/// A receiver and the fingerprint of an alert.
pub(crate) type Told = (String, String);

impl Watch {
    pub(crate) async fn over(exporters: &[SocketAddr]) -> Self {
        let inbox = Inbox::open().await;
        let alertmanager = Alertmanager::notifying(&inbox);
        Self {
            prometheus: Prometheus::alerting(exporters, alertmanager.address()),
            alertmanager,
            inbox,
        }
    }

    /// Returns when no alert is on its way any more: each fires or is resolved, and everybody who has to know does.
    pub(crate) async fn settled(&self) {
        wait_for("every alert to be told of", async || {
            let alerts = self.prometheus.query("ALERTS").await?;
            let in_state = |state| {
                alerts
                    .iter()
                    .filter(|alert| alert.label("alertstate") == state)
                    .count()
            };
            let (pending, firing) = (in_state("pending"), in_state("firing"));
            if pending > 0 || firing == 0 {
                return Err(format!("{pending} alerts are pending, {firing} fire"));
            }
            let known = self.alertmanager.alerts().await?;
            if known.len() != firing {
                return Err(format!(
                    "{firing} alerts fire, Alertmanager knows {}",
                    known.len()
                ));
            }
            let must: BTreeSet<Told> = known
                .iter()
                .filter(|alert| alert["status"]["state"] != "suppressed")
                .flat_map(|alert| {
                    let receivers = alert["receivers"].as_array().into_iter().flatten();
                    receivers.map(|receiver| (text(&receiver["name"]), text(&alert["fingerprint"])))
                })
                .collect();
            let told = self.told("firing");
            if must == told {
                Ok(())
            } else {
                Err(format!("{must:#?} must be told, {told:#?} are"))
            }
        })
        .await;
    }

    /// The alerts that each receiver was last told to be in this state.
    pub(crate) fn told(&self, status: &str) -> BTreeSet<Told> {
        self.inbox
            .groups()
            .into_iter()
            .flat_map(|((receiver, _), alerts)| {
                let alerts = alerts
                    .into_iter()
                    .filter(|(_, alert)| alert["status"] == status);
                alerts
                    .map(move |(fingerprint, _)| (receiver.clone(), fingerprint))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Returns when somebody has been told that the alert of this name is in this state.
    pub(crate) async fn tells_of(&self, alertname: &str, status: &str) {
        wait_for(&format!("{alertname} to be told as {status}"), async || {
            let told: BTreeSet<_> = self
                .inbox
                .alerts()
                .map(|alert| (text(&alert["labels"]["alertname"]), text(&alert["status"])))
                .collect();
            if told.contains(&(alertname.to_owned(), status.to_owned())) {
                Ok(())
            } else {
                Err(format!("{told:?} were"))
            }
        })
        .await;
    }

    /// The alerts on keys that Alertmanager holds, and since when.
    pub(crate) async fn rotation_alerts(&self) -> BTreeMap<String, String> {
        let alerts = self
            .alertmanager
            .alerts()
            .await
            .expect("Alertmanager answers");
        alerts
            .iter()
            .filter(|alert| alert["labels"]["category"] == "rotation")
            .map(|alert| (text(&alert["fingerprint"]), text(&alert["startsAt"])))
            .collect()
    }

    /// The names and users of the rotation alerts that anybody was ever told to be resolved.
    pub(crate) fn resolved_rotation_alerts(&self) -> BTreeSet<(String, String)> {
        self.inbox
            .alerts()
            .filter(|alert| {
                alert["status"] == "resolved" && alert["labels"]["category"] == "rotation"
            })
            .map(|alert| {
                let label = |name: &str| text(&alert["labels"][name]);
                (label("alertname"), label("user_name"))
            })
            .collect()
    }
}

/// The text of a JSON value; empty if it isn't there.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
