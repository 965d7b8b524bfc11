//! The table as people read it: docs/CONFIG.md and elastauth.example.yml.

use super::{
    key::{ConfigKey, Status},
    table,
    value_type::ValueType,
};
use std::fmt::Write as _;

/// Lines of both texts end before this column, values excepted.
const WIDTH: usize = 100;

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from the table of keys by `cargo test --lib write_documents -- --ignored`. -->

elastauth reads flags, then environment variables, then `.env` in the working directory, then a
YAML file, then its defaults. The first source that gives a key counts. The file is `--config` or
`ELASTAUTH_CONFIG` (a file, or a folder with a `config.yml`); without them it is `config.yml` in the
working directory. It may be missing if the environment gives everything.

`.env` is read only if neither `--config` nor `ELASTAUTH_CONFIG` names a configuration, and only if
it belongs to root or to the user of elastauth and nobody else may write it. A running elastauth
reads it again if it was read at the start. A warning says why a `.env` is ignored.

Further warnings name a configuration that others may write, and secrets and private keys that every
user of the machine can read. A file in a folder that others cannot enter is private, and so are
secrets that Kubernetes or Docker (`/run/secrets`) mounts into a container.

- `elastauth check` reports everything that is wrong or weak at once, with line and column; with
  `--strict` a warning is a fault.
  `elastauth config` shows the effective configuration, and where each value comes from.
  `elastauth schema` prints a JSON Schema for editors.
- **Variables in the file.** `${NAME}` and `${NAME:-default}` in a value are replaced by environment
  variables; `$${` is a literal `${`.
- **Environment.** The variable of a key is `ELASTAUTH_` and the key in capitals, with `_` for `.`.
  A list is separated by commas, or has one variable for each item (`…_0`, `…_1`). The roles of a
  group are in `ELASTAUTH_GROUP_MAPPINGS_<GROUP>`; they are added to the groups of the file. An
  empty variable counts as not set.
- **Secrets in files.** Every secret has a `*_file` variant that names a file:
  `ELASTAUTH_SECRET_KEY_FILE`, or `secret_key_file` in the YAML. One newline at the end of the file
  is removed. A list has one item on each line.
- **Durations** are written as `1h30m`, `90s`, `500ms`.
- The only Boolean values are `true` and `false`. Repeated keys, unknown keys and tags are faults.
  An unknown `ELASTAUTH_` variable is a warning.
- **Changes while it runs.** elastauth reads everything again on SIGHUP, and when one of these files
  changes: the configuration, `.env`, secrets in files, certificates. Keys marked \"Changes without
  a restart\" are applied at once; the log names all others that have changed. If the new
  configuration has a fault, nothing changes, and the log says why.
- **Changes that open a way in** wait for a restart, whatever key they are in. elastauth keeps the
  old value, warns, and writes an audit event: a line that is lost in an editor must not open the
  door. These are: `gateway_keys`, `tls.client_ca`, `tls.client_names`, `allowed_groups` or a
  `ca_cert` is removed; an address becomes trusted that was not, or a name in `tls.client_names` is
  new; a gateway's key or name is good for more providers, or another key without its binding comes
  instead; the same for a listener of `listeners`; `allowed_groups` gets a wildcard for more groups;
  somebody becomes `superuser`, `kibana_admin`, `kibana_system`, `all_access` or
  `security_rest_api_access` who was not; of a cluster in `clusters`, certificates are no longer
  verified, or more existing users may be taken over; requests that are for no cluster would no
  longer be refused. A new cluster is no such change.
- An empty text is no value: `cache.type: \"\"` is the default, `memory`.

";

/// The text of docs/CONFIG.md.
#[must_use]
pub(crate) fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for key in keys() {
        let _infallible = writeln!(text, "## `{}`\n", key.path);
        wrap(&mut text, "", "", key.doc());
        text.push('\n');
        facts(&mut text, key);
        text.push('\n');
    }
    text.push_str("## Old keys\n\nAccepted with a warning that names the key to use.\n\n");
    for key in table::ALL {
        if let Status::Old(now) = key.status {
            let item = format!("`{}`: {} Use `{now}`.", key.path, key.doc());
            wrap(&mut text, "- ", "  ", &item);
        }
    }
    text
}

fn facts(text: &mut String, key: &ConfigKey) {
    let mut fact = |fact: String| wrap(text, "- ", "  ", &fact);
    let ticked = |names: Vec<String>| {
        let names = names.into_iter().map(|name| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    };
    fact(format!("Value: {}", key.value_type.allowed()));
    if !key.default.is_empty() {
        fact(format!("Default: `{}`", key.default.replace(',', ", ")));
    }
    let variable = key.variable();
    if matches!(key.value_type, ValueType::Mappings | ValueType::Pairs) {
        fact(format!("Variable: `{variable}_<NAME>`"));
    } else if matches!(key.value_type, ValueType::Sections(of) if of.are_named()) {
        fact("Variable: none; write `${NAME}` as a value in the file".to_owned());
    } else if matches!(key.value_type, ValueType::Sections(_)) {
        fact(format!(
            "Variable: `{variable}_0_<KEY>`, `…_1_<KEY>`; they replace the list of the file"
        ));
    } else {
        let further = key.variables.iter().map(|name| (*name).to_owned());
        let variables = [variable.clone()].into_iter().chain(further).collect();
        fact(format!("Variable: {}", ticked(variables)));
    }
    if key.value_type.has_file_variant() {
        fact(format!(
            "Secret; in a file with `{}_file` or `{variable}_FILE`",
            key.path
        ));
    }
    if key.reload {
        fact("Changes without a restart".to_owned());
    }
    if !key.old.is_empty() {
        let old = key.old.iter().map(|old| (*old).to_owned()).collect();
        fact(format!("Old names: {}", ticked(old)));
    }
}

/// Writes words in lines of the width: the first begins with `first`, all others with `then`.
fn wrap(text: &mut String, first: &str, then: &str, words: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in words.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _infallible = writeln!(text, "{line}");
            then.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    let _infallible = writeln!(text, "{line}");
}

fn keys() -> impl Iterator<Item = &'static ConfigKey> {
    let keys = table::ALL.iter().copied();
    keys.filter(|key| key.status == Status::Current)
}

/// What a usual deployment sets; all other keys are comments in the example.
const SET: [&ConfigKey; 6] = [
    &table::SECRET_KEY,
    &table::ES_HOSTS,
    &table::ES_USERNAME,
    &table::ES_PASSWORD,
    &table::DEFAULT_ROLES,
    &table::GROUP_MAPPINGS,
];

/// The text of elastauth.example.yml: every key, those that few need as comments with no space
/// after the `#`.
#[must_use]
pub(crate) fn example() -> String {
    let mut text = "# elastauth: every key. A key after `#` shows its default or an example; \
                    docs/CONFIG.md says more.\n"
        .to_owned();
    let mut within = Vec::new();
    // The example of `clusters` has it.
    for key in keys().filter(|key| *key != &table::UNMATCHED) {
        let mut sections: Vec<&str> = key.path.split('.').collect();
        let name = sections.pop().unwrap_or_default();
        let same = sections.iter().zip(&within);
        let same = same.take_while(|(a, b)| a == b).count();
        if sections.is_empty() || same == 0 {
            text.push('\n');
        }
        for (depth, section) in sections.iter().enumerate().skip(same) {
            let _infallible = writeln!(text, "{}{section}:", "  ".repeat(depth));
        }
        let indent = "  ".repeat(sections.len());
        let comment = format!("{indent}# ");
        wrap(&mut text, &comment, &comment, key.doc());
        let is_set = SET.contains(&key);
        let before = if is_set { "" } else { "#" };
        for line in format!("{name}: {}", value(key)).lines() {
            let _infallible = writeln!(text, "{indent}{before}{}", line.trim_end());
        }
        within = sections;
    }
    text
}

fn value(key: &ConfigKey) -> String {
    if !key.example.is_empty() {
        return key.example.to_owned();
    }
    if !matches!(key.value_type, ValueType::List(_)) {
        return key.default.to_owned();
    }
    let items = key.default.split(',').map(|item| {
        // A colon has a meaning in YAML.
        if item.contains(':') {
            format!("\"{item}\"")
        } else {
            item.to_owned()
        }
    });
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
