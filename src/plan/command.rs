//! Commands of the AWS CLI, quoted for a POSIX shell.

use crate::visible::is_unseen;

/// What every command is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cli {
    /// `--profile`
    pub profile: Option<String>,
    /// `--region`
    pub region: Option<String>,
}

/// One command, as its arguments, the first being the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    argv: Vec<String>,
}

impl Cli {
    /// The program and its global options.
    ///
    /// `None` if a value can't be given to the AWS CLI as it is.
    pub fn aws(&self) -> Option<Command> {
        let global = [("profile", &self.profile), ("region", &self.region)];
        let mut command = Command {
            argv: vec!["aws".to_owned()],
        };
        for (name, value) in global {
            if let Some(value) = value {
                command.option(name, value)?;
            }
        }
        Some(command)
    }

    /// A command of `aws iam`.
    ///
    /// `None` if a value can't be given to the AWS CLI as it is.
    pub fn iam(&self, operation: &str, options: &[(&str, &str)]) -> Option<Command> {
        let mut command = self.aws()?;
        command.argv.extend(["iam".into(), operation.into()]);
        for (name, value) in options {
            command.option(name, value)?;
        }
        Some(command)
    }
}

impl Command {
    /// The program and its arguments.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// The command as a shell reads it.
    pub fn line(&self) -> String {
        shlex::try_join(self.argv.iter().map(String::as_str))
            .expect("a value with a NUL was refused when it was added")
    }

    fn option(&mut self, name: &str, value: &str) -> Option<()> {
        if !is_usable(value) {
            return None;
        }
        if value.starts_with('-') {
            // Apart, it would be taken for an option; IAM allows such names.
            self.argv.push(format!("--{name}={value}"));
        } else {
            self.argv.extend([format!("--{name}"), value.to_owned()]);
        }
        Some(())
    }
}

/// Quotes one word for a POSIX shell.
///
/// `None` if the word isn't usable in a command.
pub fn quoted(word: &str) -> Option<String> {
    if !is_usable(word) {
        return None;
    }
    shlex::try_quote(word).ok().map(Into::into)
}

/// Whether a value reaches AWS as it is, and can be shown on a terminal without harm. IAM itself
/// allows only letters, digits and `_+=,.@-` in a name, but a report in a file may hold anything.
///
/// The AWS CLI takes a value with one of the prefixes for the place of the value.
/// Source: AWS CLI User Guide, "Load a parameter from a file".
pub fn is_usable(value: &str) -> bool {
    const PLACES: [&str; 4] = ["file://", "fileb://", "http://", "https://"];
    !PLACES.iter().any(|place| value.starts_with(place))
        && !value
            .chars()
            .any(|c| c != '\n' && c != '\t' && is_unseen(c))
}

/// Whether a key id can be one of IAM's, which are of letters, digits and `_`.
///
/// Source: IAM API Reference, `AccessKeyMetadata`.
pub fn is_key_id(id: &str) -> bool {
    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_profile_and_region_where_given() {
        let plain = Cli::default();
        let command = plain.iam("create-access-key", &[("user-name", "alice")]);
        assert_eq!(
            command.unwrap().line(),
            "aws iam create-access-key --user-name alice"
        );
        let given = Cli {
            profile: Some("my audit".into()),
            region: Some("cn-north-1".into()),
        };
        let command = given.iam("list-access-keys", &[("user-name", "-x y")]);
        assert_eq!(
            command.unwrap().line(),
            "aws --profile 'my audit' --region cn-north-1 iam list-access-keys '--user-name=-x y'"
        );
    }

    #[test]
    fn what_a_shell_reads_is_what_was_meant() {
        for name in [
            "a'b\"c",
            "$(touch x)",
            "`id`",
            "a b\tc\nd",
            "-rf",
            "--profile=x",
            "\\",
            "!x^y",
            "名前",
            "*?[a]",
            "",
            "~",
            "a;b&c|d>e",
        ] {
            let command = Cli::default().iam("x", &[("user-name", name)]).unwrap();
            let read = shlex::split(&command.line()).unwrap();
            assert_eq!(read, command.argv(), "{name:?}");
            assert!(read.concat().ends_with(name));
        }
    }

    #[test]
    fn what_would_not_arrive_or_would_harm_the_terminal_gives_no_command() {
        for name in [
            "a\0b",
            "a\u{1b}[2Jb",
            "a\rb",
            "a\u{202e}b",
            "a\u{2028}b",
            "file:///etc/passwd",
            "fileb://x",
            "https://x",
        ] {
            assert_eq!(Cli::default().iam("x", &[("user-name", name)]), None);
            assert_eq!(quoted(name), None);
        }
        let hostile = Cli {
            profile: Some("a\u{7}".into()),
            region: None,
        };
        assert_eq!(hostile.aws(), None);
    }

    #[test]
    fn a_key_id_is_a_word() {
        assert!(is_key_id("AKIAIOSFODNN7EXAMPLE"));
        for id in ["", "AKIA'x", "a b", "é", "a\n"] {
            assert!(!is_key_id(id), "{id:?}");
        }
    }
}
