//! The query of a URL: read strictly, each mistake told with what is allowed, and written for links.

use std::fmt::{self, Write as _};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{
    cursor::Cursor,
    query::{Filter, Order, Query, Sort, Start, StatusFilter, VERDICTS, name_of},
};
use crate::{key::AccountId, rotation::Step, visible::visible};

/// The longest part of a user name that is searched for: IAM's names have 64 characters at most.
const LONGEST_USER: usize = 128;

const YES_NO: [(&str, bool); 2] = [("yes", true), ("no", false)];

/// What a URL may hold unescaped in a value.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Who asks: the page counts pages, the API hands out cursors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// The page at `/`.
    Page,
    /// `/api/v1/keys`.
    Api,
}

impl Surface {
    /// The parameters, in the order of the documentation.
    pub fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Page => &[
                "account", "user", "status", "verdict", "step", "exempt", "sort", "order", "limit",
                "page",
            ],
            Self::Api => &[
                "account", "user", "status", "verdict", "step", "exempt", "sort", "order", "limit",
                "cursor",
            ],
        }
    }

    /// How many rows there are at most where nobody says.
    pub fn default_limit(self) -> usize {
        match self {
            Self::Page => 50,
            Self::Api => 100,
        }
    }

    /// How many may be asked for.
    pub fn largest_limit(self) -> usize {
        match self {
            Self::Page => 500,
            Self::Api => 1000,
        }
    }
}

/// A parameter that can't be used. Nothing in it is dangerous to a terminal, but it is not escaped for
/// HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadParameter {
    /// Which, as it was given.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
    /// What would be right.
    pub allowed: String,
}

impl BadParameter {
    /// The first parameter of a query where there should be none.
    pub fn none_allowed(query: &str) -> Self {
        let name = query.split(['&', '=']).next().unwrap_or_default();
        Self {
            name: shortened(&decoded(name).unwrap_or_else(|| name.to_owned())),
            problem: "is not known here".to_owned(),
            allowed: "no parameters".to_owned(),
        }
    }
}

impl fmt::Display for BadParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            problem,
            allowed,
        } = self;
        write!(f, "The parameter {name} {problem}. Allowed: {allowed}.")
    }
}

/// What a URL's query asks for, `None` being no query at all. A parameter without a value counts as
/// not given, for that is what a form sends of a field left empty.
pub fn parse(query: Option<&str>, surface: Surface) -> Result<Query, BadParameter> {
    let given = Given::of(query.unwrap_or_default(), surface)?;
    let filter = Filter {
        account: given.parsed("account", "the 12 digits of an AWS account id", |text| {
            text.parse().ok()
        })?,
        user: given.parsed(
            "user",
            "a part of a user name, at most 128 characters",
            |text| (text.chars().count() <= LONGEST_USER).then(|| text.to_owned()),
        )?,
        status: given.one_of("status", &StatusFilter::ALL)?,
        verdict: given.one_of("verdict", &VERDICTS)?,
        step: given.one_of("step", &Step::NAMES.map(|name| (name, name)))?,
        exempt: given.one_of("exempt", &YES_NO)?,
    };
    let sort = given.one_of("sort", &Sort::ALL)?.unwrap_or_default();
    let order = given
        .one_of("order", &Order::ALL)?
        .unwrap_or_else(|| sort.natural());
    let limit = given
        .number("limit", surface.largest_limit())?
        .unwrap_or_else(|| surface.default_limit());
    let start = match surface {
        Surface::Page => {
            let page = given.number("page", 1_000_000)?.unwrap_or(1);
            Start::Offset((page - 1) * limit)
        }
        Surface::Api => given
            .parsed(
                "cursor",
                "the next_cursor of an answer to the same sort and order",
                |text| Cursor::read(text, sort, order),
            )?
            .map_or(Start::Offset(0), Start::After),
    };
    Ok(Query {
        filter,
        sort,
        order,
        limit,
        start,
    })
}

/// The parameters as they were given, decoded, each once.
struct Given(Vec<(String, String)>);

impl Given {
    fn of(query: &str, surface: Surface) -> Result<Self, BadParameter> {
        let mut given: Vec<(String, String)> = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let shown = decoded(name).unwrap_or_else(|| name.to_owned());
            if !surface.parameters().contains(&&*shown) {
                return Err(BadParameter {
                    name: shortened(&shown),
                    problem: "is not known here".to_owned(),
                    allowed: surface.parameters().join(", "),
                });
            }
            if given.iter().any(|(name, _)| *name == shown) {
                return Err(BadParameter {
                    name: shown,
                    problem: "is given more than once".to_owned(),
                    allowed: "one value".to_owned(),
                });
            }
            let Some(value) = decoded(value) else {
                return Err(BadParameter {
                    name: shown,
                    problem: "is not UTF-8 in percent-encoding".to_owned(),
                    allowed: "percent-encoded UTF-8, e.g. %C3%A4 for ä".to_owned(),
                });
            };
            given.push((shown, value));
        }
        given.retain(|(_, value)| !value.is_empty());
        Ok(Self(given))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(given, _)| given == name)?;
        Some(value)
    }

    fn parsed<T>(
        &self,
        name: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, BadParameter> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(BadParameter {
                name: name.to_owned(),
                problem: format!("can't be \"{}\"", shortened(text)),
                allowed: allowed.to_owned(),
            }),
        }
    }

    fn one_of<T: Copy>(
        &self,
        name: &str,
        table: &[(&'static str, T)],
    ) -> Result<Option<T>, BadParameter> {
        let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
        self.parsed(name, &names.join(", "), |text| {
            let (_, value) = table.iter().find(|(name, _)| *name == text)?;
            Some(*value)
        })
    }

    fn number(&self, name: &str, most: usize) -> Result<Option<usize>, BadParameter> {
        let allowed = format!("a whole number from 1 to {most}");
        self.parsed(name, &allowed, |text| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            let number: usize = text.parse().ok().filter(|_| is_plain)?;
            (1..=most).contains(&number).then_some(number)
        })
    }
}

/// The text that a form or a program encoded; `None` if it isn't one.
fn decoded(text: &str) -> Option<String> {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// What somebody gave, fit to be shown: on one line, and not all of it if it is long.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    visible(&short).into_owned()
}

/// The query of a URL that asks for this, without what is the default; empty or with its `?`.
pub fn link(query: &Query, surface: Surface) -> String {
    let Filter {
        account,
        user,
        status,
        verdict,
        step,
        exempt,
    } = &query.filter;
    let mut link = Link::default();
    link.add("account", account.as_ref().map(AccountId::as_str));
    link.add("user", user.as_deref());
    link.add(
        "status",
        status.map(|each| name_of(&StatusFilter::ALL, each)),
    );
    link.add("verdict", verdict.map(|each| name_of(&VERDICTS, each)));
    link.add("step", *step);
    link.add("exempt", exempt.map(|each| name_of(&YES_NO, each)));
    link.add(
        "sort",
        (query.sort != Sort::default()).then(|| query.sort.name()),
    );
    link.add(
        "order",
        (query.order != query.sort.natural()).then(|| query.order.name()),
    );
    let limit = (query.limit != surface.default_limit()).then(|| query.limit.to_string());
    link.add("limit", limit.as_deref());
    if let Start::Offset(offset) = query.start {
        let page = offset / query.limit + 1;
        link.add("page", (page > 1).then(|| page.to_string()).as_deref());
    }
    link.0
}

#[derive(Default)]
struct Link(String);

impl Link {
    fn add(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            let sign = if self.0.is_empty() { '?' } else { '&' };
            let value = utf8_percent_encode(value, ESCAPED);
            write!(self.0, "{sign}{name}={value}").expect("a String takes everything");
        }
    }
}
