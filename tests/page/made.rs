//! Accounts, users and keys made up for the page, and the page without a server around it.

#![allow(
    dead_code,
    reason = "every test binary includes the whole module and uses a part of it"
)]

use std::{fmt::Write as _, io::Read as _, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::BodyExt as _;
use hyper::{
    Method, Response, Uri,
    header::{HeaderMap, HeaderName, HeaderValue},
    http::response::Parts,
};
use iam_key_exporter::{
    clock::Clock,
    inventory::{Account, Inventory, Listing, RootKeys, User},
    key::{AccessKey, KeyName, KeyStatus, LastUse},
    metrics::exposition::Exposer,
    policy::Policy,
    snapshot::{AccountState, KeyIdDisplay, Snapshot},
    web::{
        body::ResponseBody,
        routes::{Readiness, Routes, RoutesConfig},
    },
};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::exporter::{Exporter, command};

pub(crate) fn now() -> DateTime<Utc> {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn key(id: &str, status: &str, days: i64) -> AccessKey {
    AccessKey {
        name: KeyName::Id(id.into()),
        status: KeyStatus::from(status),
        created: now() - TimeDelta::days(days),
        last_use: LastUse::Never,
    }
}

/// An account as it was read a minute ago.
pub(crate) fn account(id: &str, users: Vec<User>, listing: Listing) -> AccountState {
    let inventory = Inventory {
        account: Account {
            id: id.parse().unwrap(),
            partition: "aws".into(),
            name: Some("Example".into()),
            alias: None,
        },
        user_count: Some(users.len()),
        users,
        root: RootKeys::default(),
        data_time: now() - TimeDelta::minutes(1),
        listing,
        troubles: Vec::new(),
    };
    AccountState {
        id: id.parse().unwrap(),
        reached: true,
        failures: inventory.reasons(),
        inventory: Some(Arc::new(inventory)),
        last_success: None,
        duration: Duration::from_secs(1),
    }
}

pub(crate) fn snapshot(accounts: Vec<AccountState>) -> Snapshot {
    Snapshot {
        accounts,
        tried: true,
        ..Snapshot::before_first_refresh(
            Arc::new(Policy::default()),
            KeyIdDisplay::Full,
            Duration::from_mins(5),
        )
    }
}

/// What was answered, unpacked.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) encoding: Option<String>,
    pub(crate) text: String,
}

/// All that is served, over what is known.
pub(crate) fn routes(snapshot: Snapshot) -> Routes {
    Routes::new(RoutesConfig {
        telemetry_path: "/metrics".parse().unwrap(),
        exposer: Exposer::new(Vec::new),
        probe: Arc::new(|| Readiness::Ready),
        snapshot: watch::channel(Arc::new(snapshot)).1,
        clock: Clock::Fixed(now()),
        page: true,
    })
}

/// The head of an answer, and its body, unpacked.
pub(crate) async fn whole(response: Response<ResponseBody>) -> (Parts, String) {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    if let Some(length) = head.headers.get("content-length") {
        let length: usize = length.to_str().unwrap().parse().unwrap();
        // HEAD has the length of the body that GET has.
        assert!(bytes.is_empty() || bytes.len() == length);
    }
    let mut text = String::new();
    if head.headers.contains_key("content-encoding") && !bytes.is_empty() {
        let mut unpacked = flate2::read::GzDecoder::new(&bytes[..]);
        unpacked.read_to_string(&mut text).unwrap();
    } else {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    (head, text)
}

pub(crate) fn ask(snapshot: Snapshot, path: &str) -> Answered {
    ask_with(snapshot, path, &[])
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn ask_with(
    snapshot: Snapshot,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> Answered {
    let routes = routes(snapshot);
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
    let uri: Uri = path.parse().unwrap();
    let response = routes.respond(&Method::GET, &uri, &headers).await;
    let (head, text) = whole(response).await;
    let header = |name: &str| {
        let value = head.headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let encoding = header("content-encoding");
    Answered {
        status: head.status.as_u16(),
        content_type: header("content-type").unwrap_or_default(),
        encoding,
        text,
    }
}

/// The exporter with a credential report whose users are called so, and the folder that the report is in.
pub(crate) fn hostile_report(names: &[&str]) -> (Exporter, TempDir) {
    const HEAD: &str = "user,arn,user_creation_time,access_key_1_active,access_key_1_last_rotated,\
        access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,\
        access_key_2_active,access_key_2_last_rotated\n";
    let mut report = HEAD.to_owned();
    for name in names.iter().copied().chain(["user\u{202e}nimda"]) {
        let quoted = name.replace('"', "\"\"");
        writeln!(
            report,
            "\"{quoted}\",\"arn:aws:iam::111122223333:user/{quoted}\",2020-01-01T00:00:00+00:00,true,\
             2026-01-01T00:00:00+00:00,2026-05-31T00:00:00+00:00,\"{quoted}\",\"{quoted}\",false,N/A"
        )
        .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.csv");
    std::fs::write(&path, report).unwrap();
    let source = format!("--source=report:{}", path.display());
    let as_of = "--as-of=2026-06-01T12:00:00Z";
    let exporter = Exporter::start(command().args([&*source, as_of]));
    exporter.poll("/-/ready", |answer| answer.status == 200);
    (exporter, folder)
}
