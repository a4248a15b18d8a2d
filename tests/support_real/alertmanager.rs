//! An Alertmanager with the configuration and the templates that are shipped.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::http;
use super::inbox::Inbox;
use super::process::Process;
use super::prometheus::replace_once;
use super::tools;

/// How links in notifications begin.
const EXTERNAL_URL: &str = "http://alertmanager.example";

/// Long enough for all alerts of a rule group to arrive, also on a busy machine.
const GROUP_WAIT: &str = "3s";

const GROUP_INTERVAL: &str = "1s";

/// A running Alertmanager.
pub(crate) struct Alertmanager {
    address: SocketAddr,
    // Before its directory, so that it ends before its files go.
    _process: Process,
    _data: TempDir,
}

impl Alertmanager {
    /// Starts on the shipped configuration, changed in this: mail and Slack messages go to the inbox, every receiver
    /// posts to a webhook there as well, and groups wait for seconds only.
    pub(crate) fn notifying(inbox: &Inbox) -> Self {
        let data = TempDir::new().expect("a temporary directory can be made");
        let shipped = tools::repository("deploy/alertmanager");
        let templates = data.path().join("templates");
        fs::create_dir(&templates).expect("the temporary directory is writable");
        for template in
            fs::read_dir(shipped.join("templates")).expect("the shipped templates are readable")
        {
            let template = template.expect("the shipped templates are readable");
            fs::copy(template.path(), templates.join(template.file_name()))
                .expect("the temporary directory is writable");
        }
        let slack_url = data.path().join("slack-webhook-url");
        fs::write(&slack_url, inbox.slack_url()).expect("the temporary directory is writable");

        let config = fs::read_to_string(shipped.join("alertmanager.yml"))
            .expect("the shipped configuration is readable");
        let config = replace_once(&config, "localhost:25", &inbox.smtp().to_string());
        let config = replace_once(
            &config,
            "/etc/alertmanager/slack-webhook-url",
            &slack_url.display().to_string(),
        );
        let file = data.path().join("alertmanager.yml");
        fs::write(&file, quick_and_with_webhooks(&config, inbox))
            .expect("the temporary directory is writable");

        let process = Process::start(
            "alertmanager",
            Command::new(tools::tool("alertmanager"))
                .arg(format!("--config.file={}", file.display()))
                .arg(format!(
                    "--storage.path={}",
                    data.path().join("data").display()
                ))
                .arg(format!("--web.external-url={EXTERNAL_URL}"))
                // Alone, without the port on which replicas would find it.
                .arg("--cluster.listen-address=")
                .arg("--web.listen-address=127.0.0.1:0"),
        );
        Self {
            address: process.wait_for_listening_on(),
            _process: process,
            _data: data,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The alerts that it holds and that are not resolved, as its API tells of them.
    pub(crate) async fn alerts(&self) -> Result<Vec<Value>, String> {
        let answer = http::get(self.address, "/api/v2/alerts", &[]).await?.ok()?;
        serde_json::from_str(&answer.body).map_err(|error| error.to_string())
    }
}

fn quick_and_with_webhooks(config: &str, inbox: &Inbox) -> String {
    let mut in_receivers = false;
    let line = |line: &str| {
        in_receivers |= line == "receivers:";
        let (indent, words) = line.split_at(line.len() - line.trim_start().len());
        match words.split_once(": ") {
            Some(("group_wait", _)) => format!("{indent}group_wait: {GROUP_WAIT}\n"),
            Some(("group_interval", _)) => format!("{indent}group_interval: {GROUP_INTERVAL}\n"),
            Some(("- name", receiver)) if in_receivers => format!(
                "{line}\n{indent}  webhook_configs: [{{ url: '{}', send_resolved: true }}]\n",
                inbox.webhook_url(receiver)
            ),
            _ => format!("{line}\n"),
        }
    };
    config.lines().map(line).collect()
}
