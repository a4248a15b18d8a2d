//! The configuration file, put together with the flags.
//!
//! Which accounts are read, the policy with its rules, and which tags become labels. It is read whole
//! or not at all: a file with a mistake changes nothing. What the fields mean is told in
//! `docs/configuration.md`.

mod args;
mod file;
mod rules;
mod scope;
mod state;
mod summary;
mod thresholds;
mod value;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use self::file::{File, TagFields};
pub use self::{
    args::Args,
    state::{ReloadState, Reloads},
    summary::{CheckArgs, Command, check},
};
use crate::{
    cli::PolicyArgs,
    policy::{ExemptionRule, Policy},
    snapshot::TagLabel,
    source::{Source, UsageError, accounts::Accounts},
    yaml::{self, FileError, Spanned, YamlError},
};

/// Everything that can be configured in a file, and be changed while the exporter runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The thresholds and who has which of their own.
    pub policy: Arc<Policy>,
    /// The user tags that become labels.
    pub tags: Arc<[TagLabel]>,
    /// Which accounts of AWS are read.
    pub accounts: Accounts,
}

impl From<FileError> for UsageError {
    fn from(error: FileError) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

/// Reads the file, if there is one, and puts it together with the flags.
///
/// # Errors
/// The first mistake in the file, or a setting that is both in the file and among the flags.
pub fn load(path: Option<&Path>, flags: PolicyArgs) -> Result<Config, FileError> {
    let Some(path) = path else {
        let file = File::default();
        return Ok(config(file, flags).expect("what a file says wrongly needs a file"));
    };
    let file = yaml::load(path)?;
    config(file, flags).map_err(|error| FileError::Content {
        path: path.to_owned(),
        error,
    })
}

fn config(file: File, flags: PolicyArgs) -> Result<Config, YamlError> {
    let File {
        accounts,
        organization,
        policy,
        exemptions,
        tags,
    } = file;
    Ok(Config {
        accounts: scope::accounts(accounts, organization)?,
        tags: labels(tags)?,
        policy: Arc::new(Policy {
            thresholds: thresholds::merged(&policy, flags)?,
            overrides: rules::overrides(policy.overrides)?,
            exemptions: rules::exemptions(exemptions)?,
        }),
    })
}

/// The labels, no two of one name: a label that comes twice in a series fails the whole scrape.
fn labels(fields: Vec<Spanned<TagFields>>) -> Result<Arc<[TagLabel]>, YamlError> {
    let mut taken: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
    let mut labels = Vec::with_capacity(fields.len());
    for (place, item) in fields.into_iter().enumerate() {
        let tag = &item.value.key.0.0;
        let label = match &item.value.label {
            Some(name) => TagLabel::named(Arc::clone(tag), &name.0.0),
            None => TagLabel::of(Arc::clone(tag)),
        };
        if let Some(first) = labels.iter().position(|known: &TagLabel| known.tag == *tag) {
            let field = format!("tags[{place}]");
            let message = format!("\"{tag}\" is tags[{first}] already; each tag is allowed once");
            return Err(YamlError::at(&item, field, message));
        }
        if let Some(other) = taken.insert(Arc::clone(&label.label), Arc::clone(tag)) {
            return Err(YamlError::at(
                &item,
                format!("tags[{place}]"),
                format_args!(
                    "the tags \"{other}\" and \"{tag}\" would both become the label {}; a label of its own is \
                     allowed: {{key: {tag}, label: …}}",
                    label.label
                ),
            ));
        }
        labels.push(label);
    }
    Ok(labels.into())
}

impl Config {
    /// The keys of the tags that have to be known of users: those of rules and those of labels.
    pub fn wanted_tags(&self) -> Arc<BTreeSet<Arc<str>>> {
        let labels = self.tags.iter().map(|label| Arc::clone(&label.tag));
        Arc::new(self.policy.tag_keys().into_iter().chain(labels).collect())
    }

    /// With what belongs to the source itself.
    #[must_use]
    pub fn with_those_of(self, source: &Source) -> Self {
        self.with(&OfSource::from(source))
    }

    /// The same, where the source is out of reach.
    #[must_use]
    pub fn with(mut self, of_source: &OfSource) -> Self {
        if !of_source.exemptions.is_empty() {
            Arc::make_mut(&mut self.policy)
                .exemptions
                .extend(of_source.exemptions.iter().cloned());
        }
        if self.tags.is_empty() {
            self.tags = Arc::clone(&of_source.tags);
        }
        self
    }
}

/// What a source brings along: the demo has exemptions and labels.
#[derive(Debug, Clone)]
pub struct OfSource {
    exemptions: Vec<ExemptionRule>,
    tags: Arc<[TagLabel]>,
}

impl From<&Source> for OfSource {
    fn from(source: &Source) -> Self {
        Self {
            exemptions: source.exemptions(),
            tags: source.tags(),
        }
    }
}
