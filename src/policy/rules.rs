//! Rules for some users: another max age, or a dispensation.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    glob::Glob,
    inventory::{Account, Exemption, Tags, User},
    key::AccountId,
};

/// A max age of their own for the users that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Whom it is for.
    pub matcher: Matcher,
    /// The age up to which an active key of theirs is in order.
    pub max_age: TimeDelta,
}

/// A dispensation for the users that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExemptionRule {
    /// Whom it is for.
    pub matcher: Matcher,
    /// What they are given.
    pub exemption: Arc<Exemption>,
}

/// Which users a rule is for: those that fit every part which isn't empty, and each of these by
/// any one of its items, save for `tags`, all of which are needed. Letter case counts everywhere.
/// With no part at all it is everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matcher {
    /// The account is one of these.
    pub account_ids: Vec<AccountId>,
    /// The name of the account in its organisation fits one of these.
    pub account_names: Vec<Glob>,
    /// The user's name fits one of these.
    pub user_names: Vec<Glob>,
    /// The user's path begins with one of these.
    pub paths: Vec<Arc<str>>,
    /// The user has all of these tags.
    pub tags: Vec<TagMatcher>,
}

/// A tag that a user must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagMatcher {
    /// The tag's key, exactly.
    pub key: Arc<str>,
    /// Its value fits one of these.
    pub values: Vec<Glob>,
}

/// Whether a rule is for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    No,
    /// It hangs on what isn't known of the user: the tags, or the name of the account.
    Unknown,
}

impl Fit {
    fn of(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }

    /// Of both: what doesn't fit in one part doesn't fit, whatever isn't known of another.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

impl Matcher {
    /// Whether it is for `user` of `account`.
    pub(super) fn fit(&self, account: &Account, user: &User) -> Fit {
        let Self {
            account_ids,
            account_names,
            user_names,
            paths,
            tags,
        } = self;
        let known = (account_ids.is_empty() || account_ids.contains(&account.id))
            && one_fits(user_names, &user.name)
            && (paths.is_empty() || paths.iter().any(|path| user.path.starts_with(&**path)));
        let by_account_name = match &account.name {
            _ if account_names.is_empty() => Fit::Yes,
            Some(name) => Fit::of(one_fits(account_names, name)),
            None => Fit::Unknown,
        };
        let by_tags = tags.iter().map(|tag| tag.fit(&user.tags));
        let by_tags = by_tags.fold(Fit::Yes, Fit::and);
        Fit::of(known).and(by_account_name).and(by_tags)
    }
}

/// Whether one of the patterns fits; if there is none, nothing is asked for.
fn one_fits(patterns: &[Glob], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text))
}

impl TagMatcher {
    fn fit(&self, tags: &Tags) -> Fit {
        if tags.tell_of(&self.key) {
            let value = tags.get(&self.key);
            Fit::of(value.is_some_and(|value| one_fits(&self.values, value)))
        } else {
            Fit::Unknown
        }
    }
}

impl ExemptionRule {
    /// The instant up to which it counts, for comparing.
    pub(super) fn end(&self) -> DateTime<Utc> {
        self.exemption.until.unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::vec,
        option,
        prelude::*,
        sample::{select, subsequence},
    };

    use super::*;
    use crate::{
        inventory::{ReadTags, Tag},
        key::{AccessKey, KeyName, KeyStatus, LastUse, Slot},
        policy::{Policy, Thresholds, Verdict},
        reason::Reason,
    };

    const IDS: [&str; 2] = ["111122223333", "444455556666"];
    const ACCOUNTS: [&str; 2] = ["prod-eu", "sandbox"];
    const USERS: [&str; 3] = ["alice", "ci-build", "ci-deploy"];
    const PATHS: [&str; 3] = ["/", "/machines/", "/machines/ci/"];
    const KEYS: [&str; 2] = ["kind", "team"];
    const VALUES: [&str; 2] = ["machine", "human"];

    fn globs(patterns: &[&str]) -> Vec<Glob> {
        patterns.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn account(id: &str, name: Option<&str>) -> Account {
        Account {
            id: id.parse().unwrap(),
            partition: "aws".into(),
            name: name.map(Into::into),
            alias: None,
        }
    }

    fn known(tags: &[(&str, &str)]) -> Tags {
        let tag = |(key, value): &(&str, &str)| Tag {
            key: (*key).into(),
            value: (*value).into(),
        };
        Tags::all(start(), tags.iter().map(tag).collect())
    }

    /// What an answer tells if these keys were asked for.
    fn asked(keys: &[&str], tags: &[(&str, &str)]) -> Tags {
        let own = known(tags);
        let is_asked = |tag: &&Tag| keys.contains(&&*tag.key);
        Tags::Known(Arc::new(ReadTags {
            time: start(),
            asked: Some(Arc::new(keys.iter().map(|key| Arc::from(*key)).collect())),
            tags: own.iter().filter(is_asked).cloned().collect(),
        }))
    }

    fn user(name: &str, path: &str, tags: Tags) -> User {
        User {
            path: path.into(),
            tags,
            ..User::read(name, Vec::new())
        }
    }

    fn tagged(key: &str, values: &[&str]) -> Matcher {
        Matcher {
            tags: vec![TagMatcher {
                key: key.into(),
                values: globs(values),
            }],
            ..Matcher::default()
        }
    }

    fn named(patterns: &[&str]) -> Matcher {
        Matcher {
            user_names: globs(patterns),
            ..Matcher::default()
        }
    }

    fn rule(matcher: Matcher, days: i64) -> Override {
        Override {
            matcher,
            max_age: TimeDelta::days(days),
        }
    }

    fn exemption(matcher: Matcher, reason: &str, until: Option<&str>) -> ExemptionRule {
        ExemptionRule {
            matcher,
            exemption: Exemption {
                reason: reason.into(),
                until: until.map(|text| text.parse().unwrap()),
            }
            .into(),
        }
    }

    #[test]
    fn a_matcher_needs_every_part_and_any_item_of_each() {
        let matcher = Matcher {
            account_ids: vec![IDS[0].parse().unwrap(), IDS[1].parse().unwrap()],
            account_names: globs(&["prod-*", "stage"]),
            user_names: globs(&["ci-*", "alice"]),
            paths: vec!["/machines/".into(), "/robots/".into()],
            tags: vec![
                TagMatcher {
                    key: "kind".into(),
                    values: globs(&["machine", "robot*"]),
                },
                TagMatcher {
                    key: "team".into(),
                    values: globs(&["*"]),
                },
            ],
        };
        let prod = account(IDS[1], Some("prod-eu"));
        let tags = || known(&[("team", ""), ("kind", "robot-7")]);
        let fits = user("ci-build", "/machines/deep/", tags());
        assert_eq!(matcher.fit(&prod, &fits), Fit::Yes);
        for other in [
            account("777788889999", Some("prod-eu")),
            account(IDS[1], Some("Prod-eu")),
        ] {
            assert_eq!(matcher.fit(&other, &fits), Fit::No, "{other:?}");
        }
        for other in [
            user("CI-build", "/machines/", tags()),
            user("ci-build", "/", tags()),
            user("ci-build", "/other/machines/", tags()),
            user("ci-build", "/machines/", known(&[("kind", "robot")])),
            user(
                "ci-build",
                "/machines/",
                known(&[("Kind", "robot"), ("team", "")]),
            ),
            user(
                "ci-build",
                "/machines/",
                known(&[("kind", "human"), ("team", "")]),
            ),
        ] {
            assert_eq!(matcher.fit(&prod, &other), Fit::No, "{other:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_neither_yes_nor_no_unless_the_rest_decides() {
        let matcher = Matcher {
            user_names: globs(&["ci-*"]),
            ..tagged("kind", &["machine"])
        };
        let prod = account(IDS[0], Some("prod-eu"));
        for tags in [Tags::NotAsked, Tags::Unread(Reason::AccessDenied)] {
            let of = |name: &str| matcher.fit(&prod, &user(name, "/", tags.clone()));
            assert_eq!(of("ci-build"), Fit::Unknown);
            assert_eq!(of("alice"), Fit::No);
        }
        let by_name = Matcher {
            account_names: globs(&["*"]),
            ..named(&["ci-*"])
        };
        let nameless = account(IDS[0], None);
        let of = |name: &str| by_name.fit(&nameless, &user(name, "/", Tags::NotAsked));
        assert_eq!(of("ci-build"), Fit::Unknown);
        assert_eq!(of("alice"), Fit::No);
    }

    #[test]
    fn a_tag_that_nobody_asked_for_is_not_taken_for_one_that_the_user_has_not() {
        let both = Matcher {
            tags: [
                tagged("kind", &["machine"]).tags,
                tagged("team", &["*"]).tags,
            ]
            .concat(),
            ..Matcher::default()
        };
        let prod = account(IDS[0], None);
        let of = |matcher: &Matcher, tags| matcher.fit(&prod, &user("alice", "/", tags));
        let by_team = tagged("team", &["*"]);
        assert_eq!(of(&by_team, asked(&["kind"], &[])), Fit::Unknown);
        assert_eq!(of(&by_team, asked(&["team"], &[])), Fit::No);
        assert_eq!(of(&by_team, asked(&["team"], &[("team", "x")])), Fit::Yes);
        assert_eq!(of(&both, asked(&["kind"], &[("kind", "human")])), Fit::No);
        assert_eq!(
            of(&both, asked(&["kind"], &[("kind", "machine")])),
            Fit::Unknown
        );
    }

    #[test]
    fn the_first_override_that_matches_holds() {
        let policy = Policy {
            overrides: vec![
                rule(named(&["ci-deploy"]), 30),
                rule(named(&["ci-*"]), 365),
                rule(named(&["*"]), 60),
            ],
            ..Policy::default()
        };
        let prod = account(IDS[0], None);
        let age = |name: &str| {
            let mut user = user(name, "/", Tags::NotAsked);
            policy.apply(&prod, &mut user);
            policy.of(&user).max_age.num_days()
        };
        assert_eq!(USERS.map(age), [60, 365, 30]);
    }

    #[test]
    fn unread_tags_give_the_smallest_max_age_that_could_be_the_users_and_exempt_nobody() {
        let policy = Policy {
            overrides: vec![
                rule(named(&["break-glass"]), 10),
                rule(tagged("kind", &["machine"]), 365),
                rule(tagged("kind", &["visitor"]), 30),
                rule(named(&["ci-*"]), 60),
                rule(tagged("kind", &["*"]), 5),
            ],
            exemptions: vec![exemption(tagged("kind", &["*"]), "tagged", None)],
            ..Policy::default()
        };
        let prod = account(IDS[0], None);
        for tags in [Tags::NotAsked, Tags::Unread(Reason::Throttled)] {
            let judged = |name: &str| {
                let mut user = user(name, "/", tags.clone());
                policy.apply(&prod, &mut user);
                assert_eq!(user.exemption, None);
                policy.of(&user).max_age.num_days()
            };
            assert_eq!(judged("alice"), 5);
            // What comes after the rule for ci-* can't be theirs.
            assert_eq!(judged("ci-build"), 30);
        }
        let mut machine = user("alice", "/", known(&[("kind", "machine")]));
        policy.apply(&prod, &mut machine);
        assert_eq!(policy.of(&machine).max_age.num_days(), 365);
        assert!(machine.exemption.is_some());
    }

    #[test]
    fn of_exemptions_the_one_that_lasts_longest_holds_and_of_equals_the_first() {
        let soon = Some("2027-01-31T00:00:00Z");
        let late = Some("2028-01-31T00:00:00Z");
        let reason = |ends: &[Option<&str>]| {
            let rules = ends.iter().enumerate();
            let policy = Policy {
                exemptions: rules
                    .map(|(place, until)| exemption(named(&["*"]), &place.to_string(), *until))
                    .collect(),
                ..Policy::default()
            };
            let mut user = user("alice", "/", Tags::NotAsked);
            policy.apply(&account(IDS[0], None), &mut user);
            user.exemption.unwrap().reason.to_string()
        };
        assert_eq!(reason(&[soon, late]), "1");
        assert_eq!(reason(&[late, soon]), "0");
        assert_eq!(reason(&[soon, None, late, None]), "1");
        assert_eq!(reason(&[late, late]), "0");
    }

    #[test]
    fn the_tags_that_rules_look_at_are_told() {
        let policy = Policy {
            overrides: vec![rule(tagged("kind", &["*"]), 30), rule(named(&["a"]), 1)],
            exemptions: vec![exemption(tagged("team", &["*"]), "x", None)],
            ..Policy::default()
        };
        let keys: Vec<_> = policy.tag_keys().into_iter().collect();
        assert_eq!(keys, KEYS.map(Arc::from));
    }

    fn any_matcher() -> impl Strategy<Value = Matcher> {
        let tag = (
            select(&KEYS),
            vec(select(vec!["machine", "hu*", "*"]), 1..3),
        );
        (
            vec(select(&IDS), 0..2),
            vec(select(vec!["prod-*", "sandbox", "*"]), 0..2),
            vec(select(vec!["ci-*", "alice", "ci-?????", "nobody"]), 0..3),
            vec(select(&PATHS), 0..2),
            vec(tag, 0..3),
        )
            .prop_map(|(ids, account_names, user_names, paths, tags)| Matcher {
                account_ids: ids.iter().map(|id| id.parse().unwrap()).collect(),
                account_names: globs(&account_names),
                user_names: globs(&user_names),
                paths: paths.into_iter().map(Into::into).collect(),
                tags: tags
                    .into_iter()
                    .map(|(key, values)| TagMatcher {
                        key: key.into(),
                        values: globs(&values),
                    })
                    .collect(),
            })
    }

    fn start() -> DateTime<Utc> {
        "2024-06-30T12:00:00Z".parse().unwrap()
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        let override_ = (any_matcher(), 1_i64..400).prop_map(|(matcher, days)| rule(matcher, days));
        let exemption =
            (any_matcher(), option::of(0_i64..5)).prop_map(|(matcher, days)| ExemptionRule {
                matcher,
                exemption: Exemption {
                    reason: "a reason".into(),
                    until: days.map(|days| start() + TimeDelta::days(days)),
                }
                .into(),
            });
        (1_i64..400, vec(override_, 0..5), vec(exemption, 0..4)).prop_map(
            |(days, overrides, exemptions)| Policy {
                thresholds: Thresholds {
                    max_age: TimeDelta::days(days),
                    ..Thresholds::default()
                },
                overrides,
                exemptions,
            },
        )
    }

    fn any_tags() -> impl Strategy<Value = Tags> {
        prop_oneof![
            1 => Just(Tags::NotAsked),
            1 => Just(Tags::Unread(Reason::Timeout)),
            3 => (vec(option::of(select(&VALUES)), 2), option::of(subsequence(&KEYS, 0..=2)))
                .prop_map(|(values, keys)| {
                    let pairs = KEYS.into_iter().zip(values);
                    let tags: Vec<_> =
                        pairs.filter_map(|(key, value)| Some((key, value?))).collect();
                    keys.map_or_else(|| known(&tags), |keys| asked(&keys, &tags))
                }),
        ]
    }

    fn any_account() -> impl Strategy<Value = Account> {
        (select(&IDS), option::of(select(&ACCOUNTS))).prop_map(|(id, name)| account(id, name))
    }

    fn any_user() -> impl Strategy<Value = User> {
        let key = (0_i64..500, any::<bool>()).prop_map(|(days, is_active)| AccessKey {
            name: KeyName::Slot(if is_active { Slot::One } else { Slot::Two }),
            status: if is_active {
                KeyStatus::Active
            } else {
                KeyStatus::Inactive
            },
            created: start() - TimeDelta::days(days),
            last_use: LastUse::Never,
        });
        (
            select(&USERS),
            select(&PATHS),
            any_tags(),
            vec(key, 0..3),
            any::<bool>(),
        )
            .prop_map(|(name, path, tags, keys, is_read)| User {
                path: path.into(),
                tags,
                ..if is_read {
                    User::read(name, keys)
                } else {
                    User::unread(name, keys, Reason::Timeout)
                }
            })
    }

    /// Every way in which what isn't known of the account and user could be.
    fn worlds(account: &Account, user: &User) -> Vec<(Account, User)> {
        let names = match &account.name {
            Some(name) => vec![name.to_string()],
            None => [&ACCOUNTS[..], &["other"]]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect(),
        };
        let values = |key: &str| {
            if user.tags.tell_of(key) {
                vec![user.tags.get(key)]
            } else {
                vec![None, Some(VALUES[0]), Some(VALUES[1])]
            }
        };
        let tags: Vec<Tags> = values("kind")
            .into_iter()
            .flat_map(|kind| values("team").into_iter().map(move |team| (kind, team)))
            .map(|(kind, team)| {
                let pairs = [("kind", kind), ("team", team)].into_iter();
                let given = pairs.filter_map(|(key, value)| Some((key, value?)));
                known(&given.collect::<Vec<_>>())
            })
            .collect();
        names
            .iter()
            .flat_map(|name| {
                let account = Account {
                    name: Some(name.as_str().into()),
                    ..account.clone()
                };
                tags.iter().map(move |tags| {
                    (
                        account.clone(),
                        User {
                            tags: tags.clone(),
                            ..user.clone()
                        },
                    )
                })
            })
            .collect()
    }

    /// Whether everything that a matcher says is true, all being known.
    fn says_true(matcher: &Matcher, account: &Account, user: &User) -> bool {
        let name = account.name.as_deref().unwrap();
        let none_or = |is_empty: bool, some: bool| is_empty || some;
        none_or(
            matcher.account_ids.is_empty(),
            matcher.account_ids.contains(&account.id),
        ) && none_or(
            matcher.account_names.is_empty(),
            matcher.account_names.iter().any(|glob| glob.matches(name)),
        ) && none_or(
            matcher.user_names.is_empty(),
            matcher
                .user_names
                .iter()
                .any(|glob| glob.matches(&user.name)),
        ) && none_or(
            matcher.paths.is_empty(),
            matcher
                .paths
                .iter()
                .any(|path| user.path.starts_with(&**path)),
        ) && matcher.tags.iter().all(|tag| {
            user.tags.iter().any(|own| {
                own.key == tag.key && tag.values.iter().any(|glob| glob.matches(&own.value))
            })
        })
    }

    fn applied(policy: &Policy, account: &Account, user: &User) -> User {
        let mut user = user.clone();
        policy.apply(account, &mut user);
        user
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn a_user_gets_what_the_first_match_gives_in_the_strictest_world_there_could_be(
            policy in any_policy(), account in any_account(), user in any_user(),
        ) {
            let judged = applied(&policy, &account, &user);
            let worlds = worlds(&account, &user);
            let in_world = |(account, user): &(Account, User)| {
                let first = policy.overrides.iter().find(|rule| says_true(&rule.matcher, account, user));
                first.map_or(policy.thresholds.max_age, |rule| rule.max_age)
            };
            let strictest = worlds.iter().map(in_world).min().unwrap();
            let max_age = policy.of(&judged).max_age;
            if worlds.len() == 1 {
                prop_assert_eq!(max_age, strictest);
            }
            prop_assert!(max_age <= strictest);
            prop_assert!(policy.smallest_max_age() <= max_age);
            prop_assert_eq!(policy.strictest().max_age, policy.smallest_max_age());
        }

        #[test]
        fn an_exemption_holds_only_if_it_does_in_every_world_and_as_long_as_the_longest(
            policy in any_policy(), account in any_account(), user in any_user(),
        ) {
            let judged = applied(&policy, &account, &user);
            let worlds = worlds(&account, &user);
            for (account, user) in &worlds {
                let longest = policy.exemptions.iter()
                    .filter(|rule| says_true(&rule.matcher, account, user))
                    .map(|rule| rule.exemption.until.unwrap_or(DateTime::<Utc>::MAX_UTC))
                    .max();
                let given = judged.exemption.as_ref()
                    .map(|given| given.until.unwrap_or(DateTime::<Utc>::MAX_UTC));
                prop_assert!(given <= longest);
                if worlds.len() == 1 {
                    prop_assert_eq!(given, longest);
                }
            }
        }

        #[test]
        fn applying_again_changes_nothing_and_another_policy_leaves_nothing_of_the_first(
            first in any_policy(), second in any_policy(), account in any_account(), user in any_user(),
        ) {
            let once = applied(&first, &account, &user);
            prop_assert_eq!(&applied(&first, &account, &once), &once);
            prop_assert_eq!(applied(&second, &account, &once), applied(&second, &account, &user));
            prop_assert_eq!(applied(&Policy::default(), &account, &once), user);
        }

        #[test]
        fn an_exemption_mutes_up_to_its_instant_and_never_makes_compliant(
            policy in any_policy(), account in any_account(), user in any_user(), days in 0_i64..5,
        ) {
            let judged = applied(&policy, &account, &user);
            let unexempt = User { exemption: None, ..judged.clone() };
            let now = start() + TimeDelta::days(days);
            for now in [now - TimeDelta::nanoseconds(1), now, now + TimeDelta::nanoseconds(1)] {
                prop_assert_eq!(policy.is_compliant(&judged, now), policy.is_compliant(&unexempt, now));
                let until = judged.exemption.as_ref().map(|given| given.until);
                let mutes = match until {
                    None => false,
                    Some(None) => true,
                    Some(Some(until)) => now < until,
                };
                prop_assert_eq!(judged.is_exempt(now), mutes);
                for key in &judged.keys {
                    let verdict = policy.verdict(&judged, key, now);
                    let bare = policy.verdict(&unexempt, key, now);
                    prop_assert_eq!(verdict, if mutes { Verdict::Skip } else { bare });
                }
            }
        }
    }
}
