//! Laws of all answers, whatever the request.

use std::sync::LazyLock;

use hyper::{
    Method, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use iam_key_exporter::{
    inventory::{Listing, User},
    web::routes::Routes,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::made::{account, key, routes, snapshot, whole};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let keys = vec![key("AKIAEXAMPLE00000001", "Active", 100)];
    let users = vec![User::read("alice", keys)];
    routes(snapshot(vec![account(
        "111122223333",
        users,
        Listing::Complete,
    )]))
});

/// Each stands in a request of its own right, and in no answer as it is.
const HOSTILE: [&str; 4] = ["<zz", "\"'zz", "\r\nzz: zz", "\u{1b}[31mzz"];

fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").unwrap();
        encoded
    })
}

/// Part of a path or a query: sound, odd, or hostile.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]{0,6}",
        "[!$'()*+,;=:@/?~.%_-]{0,6}",
        select(&HOSTILE[..]).prop_map(percent_encoded),
        any::<String>().prop_map(|text| percent_encoded(&text)),
    ]
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![
        6 => Just(Method::GET),
        1 => Just(Method::HEAD),
        1 => "[A-Za-z!#$%&'*+.^_`|~-]{1,12}"
            .prop_map(|name| Method::from_bytes(name.as_bytes()).unwrap()),
    ]
}

fn uri() -> impl Strategy<Value = Uri> {
    const KNOWN: [&str; 7] = [
        "/",
        "/metrics",
        "/api/v1/keys",
        "/api/v1/status",
        "/-/healthy",
        "/-/ready",
        "/-/reload",
    ];
    const NAMES: [&str; 11] = [
        "account", "user", "status", "verdict", "step", "exempt", "sort", "order", "limit", "page",
        "cursor",
    ];
    let path = prop_oneof![
        4 => select(&KNOWN[..]).prop_map(str::to_owned),
        1 => vec(part(), 0..4).prop_map(|parts| format!("/{}", parts.join("/"))),
    ];
    let name = prop_oneof![3 => select(&NAMES[..]).prop_map(str::to_owned), 1 => part()];
    let parameter =
        (name, vec(part(), 0..3)).prop_map(|(name, value)| format!("{name}={}", value.concat()));
    let query = option::of(vec(parameter, 0..4).prop_map(|parameters| parameters.join("&")));
    (path, query).prop_filter_map("no URI", |(path, query)| {
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        format!("{path}{query}").parse().ok()
    })
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let value = prop_oneof![
        "[ -~]{0,30}",
        "(text/plain|application/openmetrics-text|gzip|identity|;q=0?[.]?[0-9]|,| |<zz|\"'zz){0,6}",
    ];
    let line = (select(vec![ACCEPT, ACCEPT_ENCODING]), value);
    vec(line, 0..4).prop_map(|lines| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_str(&value).unwrap());
        }
        headers
    })
}

proptest! {
    #[test]
    fn every_request_has_a_sound_answer(method in method(), uri in uri(), headers in headers()) {
        let (head, body) = RUNTIME.block_on(async {
            whole(ROUTES.respond(&method, &uri, &headers).await).await
        });
        let status = head.status.as_u16();
        prop_assert!([200, 400, 404, 405].contains(&status), "{}", status);
        prop_assert_eq!(head.headers.contains_key(ALLOW), status == 405);
        for (name, value) in &head.headers {
            let value = value.to_str().unwrap();
            prop_assert!(!value.contains("zz"), "{}: {}", name, value);
        }
        prop_assert_eq!(&head.headers["x-content-type-options"], "nosniff");
        if method == Method::HEAD {
            prop_assert!(body.is_empty() || !head.headers.contains_key("content-length"));
            return Ok(());
        }
        prop_assert!(!body.contains(|c: char| c.is_control() && c != '\n'), "{:?}", body);
        match head.headers[CONTENT_TYPE].to_str().unwrap() {
            "text/html; charset=utf-8" => {
                prop_assert!(body.ends_with("</html>"));
                for hostile in HOSTILE {
                    prop_assert!(!body.contains(hostile), "{:?} in {}", hostile, body);
                }
            }
            // A quotation mark that isn't escaped would make it no JSON.
            "application/json" => {
                prop_assert_eq!(status, 200);
                serde_json::from_str::<Value>(&body).unwrap();
            }
            "application/problem+json" => {
                let problem: Value = serde_json::from_str(&body).unwrap();
                prop_assert_eq!(&problem["status"], &Value::from(status));
            }
            // Plain texts and metrics hold nothing of the request.
            other => prop_assert!(!body.contains("zz"), "{}: {}", other, body),
        }
    }
}
