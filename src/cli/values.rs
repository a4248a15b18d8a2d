//! Parsers for values of flags, whose errors tell what is allowed.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// A parser for a closed set of named values, which `--help` and errors list.
pub fn one_of<T, const N: usize>(
    values: &'static [(&'static str, T); N],
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(values.iter().map(|(name, _)| *name)).map(move |chosen| {
        values
            .iter()
            .find(|(name, _)| *name == chosen)
            .expect("clap lets only the names through")
            .1
    })
}

/// A parser for whole numbers within bounds, whose errors tell the bounds.
pub fn whole_number<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        text.parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                format!(
                    "give a whole number from {} to {}",
                    range.start(),
                    range.end()
                )
            })
    }
}
