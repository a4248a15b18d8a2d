//! The page at `/` and the API: what they show, byte by byte, and that nothing of it can do harm.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

mod exporter;
#[path = "page/made.rs"]
mod made;
#[path = "page/requests.rs"]
mod requests;

use std::{collections::BTreeSet, fs};

use exporter::{Answer, Exporter, command};
use iam_key_exporter::{
    inventory::{Exemption, Listing, RootKeys, Tag, Tags, User},
    reason::Reason,
};
use made::{account, ask, key, now, snapshot};
use serde_json::Value;

const AS_OF: &str = "2026-06-01T12:00:00Z";

/// A page in golden files: without its style and script, which would hide the rest, an element a line.
fn readable(page: &str) -> String {
    let mut text = page.to_owned();
    for element in ["style", "script"] {
        let start = text.find(&format!("<{element}>")).unwrap() + element.len() + 2;
        let end = text.find(&format!("</{element}>")).unwrap();
        text.replace_range(start..end, "…");
    }
    text.replace(env!("CARGO_PKG_VERSION"), "VERSION")
        .replace("><", ">\n<")
        + "\n"
}

fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden/page");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn demo(arguments: &[&str]) -> Exporter {
    let as_of = format!("--as-of={AS_OF}");
    let exporter = Exporter::start(command().args(["--source=demo", &as_of]).args(arguments));
    exporter.poll("/-/ready", |answer| answer.status == 200);
    exporter
}

fn page(exporter: &Exporter, path: &str) -> Answer {
    let page = exporter.get(path);
    assert_eq!(page.status, 200, "{page:?}");
    page
}

#[test]
fn the_page_of_the_demo() {
    let demo = demo(&[]);
    golden("demo", &readable(&page(&demo, "/?limit=12").body));
    golden(
        "filtered",
        &readable(&page(&demo, "/?step=update&sort=age&order=asc").body),
    );
    golden(
        "nothing_matches",
        &readable(&page(&demo, "/?user=nobody%20%3Cb%3E&exempt=no").body),
    );
    golden(
        "beyond_the_last_page",
        &readable(&page(&demo, "/?page=9").body),
    );
}

#[test]
fn the_page_without_key_ids() {
    let demo = demo(&["--metrics.access-key-id=none"]);
    for path in [
        "/?limit=500",
        "/api/v1/keys?limit=1000",
        "/api/v1/keys?limit=1&sort=key",
    ] {
        let page = page(&demo, path);
        assert!(!page.body.contains("AKIA"), "{path}");
        assert!(page.body.contains("key-1"), "{path}");
    }
}

#[test]
fn the_page_before_anything_is_known_and_after_nothing_could_be_read() {
    let mut before = snapshot(Vec::new());
    before.tried = false;
    golden("not_loaded", &readable(&ask(before.clone(), "/").text));
    let status: Value = serde_json::from_str(&ask(before.clone(), "/api/v1/status").text).unwrap();
    assert_eq!(status["ready"], false);
    let keys = ask(before.clone(), "/api/v1/keys");
    assert_eq!(keys.status, 503);
    assert_eq!(keys.content_type, "application/problem+json");
    assert!(
        keys.text.contains("the first refresh is under way"),
        "{}",
        keys.text
    );

    before.tried = true;
    before.unidentified = Some(Reason::Credentials);
    let failed = ask(before, "/").text;
    assert!(failed.contains(
        "An account whose id isn’t known yet could not be read: there are no valid credentials"
    ));
    assert!(failed.contains("No account could be read yet"));
    assert!(!failed.contains("Worklist"), "there is nothing to list");
}

#[test]
fn the_page_of_an_account_without_keys() {
    let mut account = account("111122223333", Vec::new(), Listing::Complete);
    account.last_success = Some(now());
    let empty = ask(snapshot(vec![account]), "/").text;
    assert!(empty.contains("No IAM user has an access key."), "{empty}");
    golden("empty", &readable(&empty));
}

#[test]
fn the_page_of_accounts_read_in_part_or_not_any_more() {
    let users = || {
        vec![
            User::read("fine", vec![key("AKIA1", "Active", 5)]),
            User::unread("lost", Vec::new(), Reason::AccessDenied),
            User::unread(
                "remembered",
                vec![key("AKIA2", "Active", 400)],
                Reason::Timeout,
            ),
        ]
    };
    let in_part = account(
        "111122223333",
        users(),
        Listing::Truncated(Reason::Throttled),
    );
    let mut stale = account("444455556666", users(), Listing::Complete);
    stale.reached = false;
    stale.failures = vec![Reason::Network];
    stale.last_success = Some(now() - chrono::TimeDelta::hours(3));
    let page = ask(snapshot(vec![in_part, stale]), "/").text;
    for words in [
        "Of 2 accounts, 0 were read completely. What is shown of the others may be missing or old",
        "Stale: 1 account is without a whole refresh for more than two intervals",
        "2 users could not be read; a permission is missing (access_denied); AWS asked to slow down (throttled); no \
         answer came in time (timeout)",
        "could not be read: there is no connection (network); the data shown is",
        "none known",
        "no command while the user can’t be read",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    golden("partial_and_stale", &readable(&page));
}

#[test]
fn exemptions_that_end_soon_are_said_to() {
    let exempt = |name: &str, days: Option<i64>| User {
        exemption: Some(
            Exemption {
                reason: "a reason".into(),
                until: days.map(|days| now() + chrono::TimeDelta::days(days)),
            }
            .into(),
        ),
        ..User::read(name, vec![key("AKIA1", "Active", 300)])
    };
    let users = vec![
        exempt("for-ever", None),
        exempt("later", Some(100)),
        exempt("soon", Some(3)),
        exempt("over", Some(-1)),
    ];
    let page = ask(
        snapshot(vec![account("111122223333", users, Listing::Complete)]),
        "/",
    )
    .text;
    assert!(
        page.contains("3 users are exempt. <b>1 exemption ends within 14 days.</b>"),
        "{page}"
    );
    assert!(page.contains("<b class=\"soon\">in 3 days</b>"), "{page}");
    let order: Vec<_> = ["soon", "later", "for-ever"]
        .iter()
        .map(|name| {
            page.find(&format!("<th scope=\"row\">{name}</th>"))
                .unwrap()
        })
        .collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn a_root_user_with_keys_is_told_of() {
    let mut state = account("111122223333", Vec::new(), Listing::Complete);
    let inventory = std::sync::Arc::make_mut(state.inventory.as_mut().unwrap());
    inventory.root = RootKeys {
        active: Some(1),
        present: Some(true),
    };
    let page = ask(snapshot(vec![state]), "/").text;
    assert!(
        page.contains("The root user has access keys in 1 account: 111122223333."),
        "{page}"
    );
}

#[test]
fn a_mistake_in_the_query_is_a_page_that_tells_what_is_allowed() {
    let demo = demo(&[]);
    let answer = demo.get("/?verdict=%22%3E%3Cscript%3Ealert(1)%3C/script%3E%1b");
    assert_eq!(answer.status, 400);
    golden("mistake", &readable(&answer.body));
    for path in [
        "/?page=0",
        "/?nonsense=1",
        "/?user=%ff",
        "/?limit=1&limit=2",
        "/?cursor=x",
    ] {
        assert_eq!(demo.get(path).status, 400, "{path}");
    }
    for (path, parameter) in [
        ("/api/v1/keys?page=2", "page"),
        ("/api/v1/keys?cursor=bm90LWEtY3Vyc29y", "cursor"),
        ("/api/v1/keys?limit=1001", "limit"),
        ("/api/v1/status?limit=1", "limit"),
    ] {
        let answer = demo.get(path);
        assert_eq!(answer.status, 400, "{path}");
        assert!(
            answer
                .head
                .contains("content-type: application/problem+json"),
            "{}",
            answer.head
        );
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["parameter"], parameter, "{path}");
        assert_eq!(problem["status"], 400, "{path}");
        assert!(problem["allowed"].is_string(), "{path}");
    }
}

#[test]
fn nobody_may_keep_a_page_or_run_anything_in_it() {
    let demo = demo(&[]);
    for path in [
        "/",
        "/?verdict=x",
        "/api/v1/keys",
        "/api/v1/status",
        "/api/v1/keys?x",
    ] {
        let head = demo.get(path).head;
        assert!(head.contains("cache-control: no-store"), "{path}: {head}");
        assert!(
            head.contains("x-content-type-options: nosniff"),
            "{path}: {head}"
        );
    }
    let head = demo.get("/").head;
    let policy = head
        .lines()
        .find(|line| line.starts_with("content-security-policy:"))
        .unwrap();
    for part in [
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(policy.matches("'sha256-").count(), 2, "{policy}");
}

#[test]
fn without_the_page_there_are_metrics_and_health_checks_only() {
    let demo = demo(&["--web.disable-page"]);
    let pointer = demo.get("/");
    assert_eq!(
        (pointer.status, &*pointer.body),
        (200, "iam-key-exporter: metrics are at /metrics\n")
    );
    assert_eq!(demo.get("/api/v1/keys").status, 404);
    assert_eq!(demo.get("/api/v1/status").status, 404);
    assert_eq!(demo.get("/metrics").status, 200);
}

#[test]
fn the_api_gives_what_its_documentation_shows() {
    let demo = demo(&[]);
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md")).unwrap();
    let mut examples = 0;
    for part in docs.split("```console\n$ curl -s 'localhost:10114").skip(1) {
        let (path, rest) = part.split_once('\'').unwrap();
        let (_, rest) = rest.split_once("```json\n").unwrap();
        let (shown, _) = rest.split_once("```").unwrap();
        let shown: Value = serde_json::from_str(shown).unwrap();
        let mut answer: Value = serde_json::from_str(&page(&demo, path).body).unwrap();
        for build in ["version", "revision"] {
            if let Some(value) = answer.get_mut(build) {
                *value = shown[build].clone();
            }
        }
        assert_eq!(
            answer,
            shown,
            "{path}:\n{}",
            serde_json::to_string_pretty(&answer).unwrap()
        );
        examples += 1;
    }
    assert_eq!(examples, 2);
    // Every field of an answer has a row in the documentation.
    let answers = ["/api/v1/keys?limit=1000", "/api/v1/status"].map(|path| page(&demo, path).body);
    for name in answers.iter().flat_map(|text| fields(text)) {
        assert!(docs.contains(&format!("`{name}`")), "{name}");
    }
}

/// The names of all fields in a JSON text, but those of maps whose keys are data.
fn fields(text: &str) -> BTreeSet<String> {
    fn gather(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| gather(value, names)),
            Value::Object(map) => {
                for (name, value) in map {
                    names.insert(name.clone());
                    if name != "tags" {
                        gather(value, names);
                    }
                }
            }
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    gather(&serde_json::from_str(text).unwrap(), &mut names);
    names
}

#[test]
fn the_api_hands_out_all_keys_page_by_page() {
    let demo = demo(&[]);
    let mut cursor = String::new();
    let mut seen = Vec::new();
    loop {
        let path = format!("/api/v1/keys?limit=7&sort=last_used&order=desc&cursor={cursor}");
        let answer: Value = serde_json::from_str(&page(&demo, &path).body).unwrap();
        assert_eq!(answer["total"], 51);
        for item in answer["items"].as_array().unwrap() {
            let of = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
            seen.push((of("account_id"), of("user_name"), of("access_key_id")));
        }
        match answer["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen.len(), 51);
    assert_eq!(
        seen.iter().collect::<BTreeSet<_>>().len(),
        51,
        "no key comes twice"
    );
}

#[test]
fn a_body_is_packed_where_that_is_welcome() {
    let users = vec![User::read("a", vec![key("AKIA1", "Active", 100)])];
    let snapshot = snapshot(vec![account("111122223333", users, Listing::Complete)]);
    for path in ["/", "/api/v1/keys"] {
        let plain = ask(snapshot.clone(), path);
        let packed = made::ask_with(snapshot.clone(), path, &[("accept-encoding", "gzip")]);
        assert_eq!(plain.text, packed.text, "{path}");
        assert_eq!(plain.encoding, None);
        let is_long = plain.text.len() > 1400;
        assert_eq!(
            packed.encoding.as_deref(),
            is_long.then_some("gzip"),
            "{path}"
        );
    }
}

const HOSTILE: [&str; 6] = [
    "<script>document.title='run'</script>",
    "\"><img src=x onerror=document.title='run'>",
    "' onmouseover='document.title=1' x='",
    "</style><script>document.title='run'</script>",
    "</title><svg/onload=document.title='run'>",
    "{{constructor.constructor('x')()}} javascript:alert(1) &lt;b&gt;",
];

/// The elements of a page, with their attributes' names.
fn elements(page: &str) -> BTreeSet<String> {
    let mut elements = BTreeSet::new();
    let style = page.find("<style>").unwrap()..page.find("</style>").unwrap();
    let script = page.rfind("<script>").unwrap()..page.rfind("</script>").unwrap();
    let markup = [
        &page[..style.start],
        &page[style.end..script.start],
        &page[script.end..],
    ];
    for text in markup.concat().split('<').skip(1) {
        let (tag, _) = text
            .split_once('>')
            .unwrap_or_else(|| panic!("<{text} has no end"));
        // Every value is in double quotes, which can't occur in it, so every other part is outside.
        for (place, part) in tag.split('"').enumerate() {
            if place % 2 == 0 {
                elements.extend(part.split_whitespace().map(str::to_owned));
            }
        }
    }
    elements
}

#[test]
fn names_from_outside_stay_text() {
    let harmless = ask(hostile("harmless"), "/").text;
    let known = elements(&harmless);
    assert!(known.len() > 60, "{known:?}");
    for name in HOSTILE {
        let snapshot = hostile(name);
        let query = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        for path in [
            "/",
            &format!("/?user={query}"),
            &format!("/?step={query}"),
            &format!("/?{query}=1"),
        ] {
            let page = ask(snapshot.clone(), path).text;
            let unknown: Vec<_> = elements(&page).difference(&known).cloned().collect();
            let unknown: Vec<_> = unknown
                .iter()
                // Of the page that tells of a mistake.
                .filter(|part| !matches!(part.as_str(), "role=" | "class=" | "p" | "div"))
                .collect();
            assert!(unknown.is_empty(), "{name} at {path}: {unknown:?}");
        }
    }
}

/// An account, users, tags, exemptions, statuses, services and regions that are all called so.
fn hostile(name: &str) -> iam_key_exporter::snapshot::Snapshot {
    use iam_key_exporter::key::{KeyStatus, LastUse, UsedAt};
    let tags = vec![Tag {
        key: name.into(),
        value: name.into(),
    }];
    let mut odd = key(&format!("AKIA{name}"), "Active", 200);
    odd.last_use = LastUse::At(UsedAt::new(now() - chrono::TimeDelta::hours(1), name, name));
    let mut suspended = key("AKIA9", "Active", 20);
    suspended.status = KeyStatus::from(name);
    let exempt = User {
        exemption: Some(
            Exemption {
                reason: name.into(),
                until: None,
            }
            .into(),
        ),
        ..User::read(format!("x{name}"), vec![odd.clone()])
    };
    let tagged = User {
        tags: Tags::all(now(), tags),
        ..User::read(name, vec![odd])
    };
    let users = vec![
        tagged,
        exempt,
        User::read(format!("s{name}"), vec![suspended]),
        User::unread(format!("u{name}"), Vec::new(), Reason::Timeout),
    ];
    let mut state = account("111122223333", users, Listing::Complete);
    let inventory = std::sync::Arc::make_mut(state.inventory.as_mut().unwrap());
    inventory.account.name = Some(name.into());
    inventory.account.alias = Some(name.into());
    snapshot(vec![state])
}

#[test]
fn a_hostile_report_file_does_no_harm() {
    let exporter = made::hostile_report(&HOSTILE);
    let page = page(&exporter.0, "/?limit=500");
    for name in HOSTILE.iter().filter(|name| name.contains(['<', '"', '&'])) {
        assert!(!page.body.contains(name), "{name} is not escaped");
    }
    assert!(
        page.body
            .contains("&lt;script&gt;document.title='run'&lt;/script&gt;")
    );
    assert!(
        page.body.contains("\\u{202e}"),
        "what can't be seen is written out"
    );
    assert_eq!(page.body.matches("<script").count(), 1, "the page's own");
    let keys = exporter.0.get("/api/v1/keys?limit=1000");
    let keys: Value = serde_json::from_str(&keys.body).unwrap();
    let names: BTreeSet<_> = keys["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["user_name"].as_str().unwrap())
        .collect();
    assert!(HOSTILE.iter().all(|name| names.contains(name)), "{names:?}");
}
