//! The environment twins of flags: whose mistakes are named after them.

use std::{
    env,
    ffi::{OsStr, OsString},
};

use clap::{
    Arg, ArgMatches, CommandFactory,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use super::Cli;

/// The environment twin that the flag's value comes from, if it does.
pub(super) fn variable_of(matches: &ArgMatches, flag: &str) -> Option<String> {
    let is_from_there = matches.value_source(flag) == Some(ValueSource::EnvVariable);
    is_from_there.then(|| format!("{TWIN_PREFIX}{}", flag.to_uppercase()))
}

/// The flags that the arguments can hold: those of the subcommand, if there is one, come first.
/// Those of serving count as well, for their variables are read in any case.
fn flags<'a>(command: &'a clap::Command, arguments: &[OsString]) -> impl Iterator<Item = &'a Arg> {
    arguments
        .get(1)
        .and_then(|first| command.find_subcommand(first))
        .into_iter()
        .chain([command])
        .flat_map(clap::Command::get_arguments)
}

/// The environment variables that look like a flag's twin and are none's: slips of the pen, which would
/// otherwise pass in silence.
pub fn unknown_variables() -> Vec<String> {
    let command = Cli::command();
    let is_twin = |name: &str| {
        command
            .get_subcommands()
            .chain([&command])
            .flat_map(clap::Command::get_arguments)
            .any(|flag| flag.get_env() == Some(OsStr::new(name)))
    };
    env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with(TWIN_PREFIX) && !is_service_link(name) && !is_twin(name))
        .collect()
}

/// What the name of every environment twin begins with.
const TWIN_PREFIX: &str = "IAM_KEY_EXPORTER_";

/// Whether Kubernetes sets it for a Service that is called like this program.
/// Source: Kubernetes documentation, "Service", "Environment variables".
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST") || name.contains("_PORT")
}

/// Says which environment variable a mistake is in, if it is in one: clap names the flag alone.
pub(super) fn name_variable(
    mut error: clap::Error,
    command: &clap::Command,
    arguments: &[OsString],
) -> clap::Error {
    if error.kind() == ErrorKind::InvalidUtf8 {
        let culprit = not_utf8(command, arguments);
        return command
            .clone()
            .error(ErrorKind::InvalidUtf8, format!("{culprit} is not UTF-8"));
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let variable = flags(command, arguments)
        .find(|argument| argument.to_string() == *flag)
        .filter(|argument| !is_given(argument, arguments))
        .and_then(Arg::get_env)
        .filter(|variable| env::var_os(variable).is_some());
    if let Some(variable) = variable {
        let named = format!(
            "{} (environment variable of {flag})",
            variable.to_string_lossy()
        );
        error.insert(ContextKind::InvalidArg, ContextValue::String(named));
    }
    error
}

/// Whether the flag stands on the command line, where it wins over its environment twin.
fn is_given(argument: &Arg, arguments: &[OsString]) -> bool {
    argument.get_long().is_some_and(|long| {
        arguments.iter().any(|given| {
            let given = given.to_string_lossy();
            given
                .strip_prefix("--")
                .and_then(|given| given.strip_prefix(long))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    })
}

/// Which argument or variable isn't UTF-8: clap doesn't say.
fn not_utf8(command: &clap::Command, arguments: &[OsString]) -> String {
    let bad_variable =
        |variable: &&OsStr| env::var_os(variable).is_some_and(|value| value.to_str().is_none());
    match arguments.iter().find(|given| given.to_str().is_none()) {
        Some(given) => format!("the argument '{}'", given.to_string_lossy()),
        None => flags(command, arguments)
            .filter_map(Arg::get_env)
            .find(bad_variable)
            .map_or_else(
                || "an argument".into(),
                |variable| format!("the environment variable {}", variable.to_string_lossy()),
            ),
    }
}
