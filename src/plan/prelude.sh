set -eu
umask 077
# No pager between this script and the AWS CLI, and no prompts of the CLI's own.
AWS_PAGER='' AWS_CLI_AUTO_PROMPT=off
export AWS_PAGER AWS_CLI_AUTO_PROMPT

skipped=0

say() {
  printf '%s\n' "$*"
}

fail() {
  printf '%s\n' "stopped: $*" >&2
  exit 1
}

# ask QUESTION: true for y, false for n; q, or no terminal to ask at, ends the script.
ask() {
  while :; do
    printf '%s [y/n/q] ' "$1" >/dev/tty || fail 'there is no terminal to ask at'
    IFS= read -r answer </dev/tty || fail 'no answer'
    case $answer in
      y | Y | yes) return 0 ;;
      n | N | no)
        say 'left as it is'
        return 1
        ;;
      q | Q | quit) fail 'as you asked' ;;
    esac
  done
}

# begin ACCOUNT TITLE WHY: says what comes next; false if the credentials belong to another account.
begin() {
  say ''
  say "$2"
  if [ "$1" != "$account" ]; then
    say "skipped: it is of account $1, and these credentials are of $account"
    skipped=$((skipped + 1))
    return 1
  fi
  say "$3"
}

# last_use ID: when AWS last saw the key in use, without its zone, which is always UTC; None for never.
last_use() {
  used=$(aws_cli iam get-access-key-last-used --access-key-id="$1" \
    --query AccessKeyLastUsed.LastUsedDate --output text) || fail "the last use of $1 can not be read"
  used=${used%Z}
  used=${used%+00:00}
  printf '%s\n' "$used"
}

# expect_last_use ID PLANNED: the key was not used since the plan was made.
expect_last_use() {
  seen=$(last_use "$1") || exit 1
  [ "$seen" = "$2" ] || fail "$1 was used since the plan was made (last use $seen, planned for $2): make a new plan"
}

# expect_status USER ID PLANNED: the key is still in the status that the plan knows.
expect_status() {
  seen=$(aws_cli iam list-access-keys --user-name="$1" \
    --query "AccessKeyMetadata[?AccessKeyId=='$2'].Status" --output text) || fail "the keys of $1 can not be read"
  [ "$seen" = "$3" ] || fail "$2 is ${seen:-gone}, not $3 as planned: make a new plan"
}

# show_last_use ID
show_last_use() {
  seen=$(last_use "$1") || exit 1
  say "last use of $1: $seen"
}

# create USER FILE KEYS: creates a key for a user who has so many now; the secret goes to the file and nowhere else.
create() {
  if [ -e "$2" ] || [ -L "$2" ]; then
    fail "$2 is there already, maybe with the secret of an earlier run"
  fi
  ask "create a new key for $1, its secret in $2?" || return 0
  seen=$(aws_cli iam list-access-keys --user-name="$1" \
    --query 'length(AccessKeyMetadata)' --output text) || fail "the keys of $1 can not be read"
  [ "$seen" = "$3" ] || fail "$1 has $seen keys, not $3 as planned: make a new plan"
  # With -C the shell refuses to write to a file that is there.
  if ! (
    set -C
    umask 077
    aws_cli iam create-access-key --user-name="$1" --output json >"$2"
  ); then
    [ -s "$2" ] || rm -f -- "$2"
    fail "no key was created for $1, or its secret could not be written: look at the keys of $1"
  fi
  say "created; its id and secret are in $2: move the applications to it and delete the file"
}

# deactivate USER ID LAST_USE SUCCESSOR: SUCCESSOR is empty if there is none.
deactivate() {
  ask "deactivate $2 of $1?" || return 0
  [ -z "$4" ] || expect_status "$1" "$4" Active
  expect_status "$1" "$2" Active
  expect_last_use "$2" "$3"
  aws_cli iam update-access-key --user-name="$1" --access-key-id="$2" --status=Inactive ||
    fail "$2 could not be deactivated"
  say "deactivated; update-access-key with --status Active undoes it"
}

# delete USER ID STATUS LAST_USE: false if the answer is no.
delete() {
  ask "delete $2 of $1? This can not be undone." || return 1
  expect_status "$1" "$2" "$3"
  expect_last_use "$2" "$4"
  aws_cli iam delete-access-key --user-name="$1" --access-key-id="$2" || fail "$2 could not be deleted"
  say 'deleted'
}

account=$(aws_cli sts get-caller-identity --query Account --output text) ||
  fail 'the account of these credentials can not be read'
