//! The table as people read it: docs/CONFIG.md and elastauth.example.yml.

use super::{
    key::{Key, Status},
    table,
    value_type::ValueType,
};
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Configuration

<!-- Written by the program from its table of keys; `ELASTAUTH_BLESS=1 cargo test --lib config::` writes it anew. -->

elastauth reads flags, then environment variables, then `.env` in the working directory, then a YAML file, then its defaults: the first that gives a key counts.
The file is `--config` or `ELASTAUTH_CONFIG` (a file, or a folder with a `config.yml`), else `config.yml` in the working directory. It may be missing
where the environment says everything.

- `elastauth check` says everything that is wrong or weak at once, with line and column. `elastauth config` shows what counts and where it came from.
  `elastauth schema` prints a JSON Schema for editors.
- **Variables in the file.** `${NAME}` and `${NAME:-default}` stand for variables in any value; `$${` is a `${` that means itself.
- **Environment.** `ELASTAUTH_` and the key in capitals, `_` for the dot. A list is separated by commas, or has one variable an item (`…_0`, `…_1`). A group's
  roles stand in `ELASTAUTH_GROUP_MAPPINGS_<GROUP>`, and join the groups of the file. An empty variable is one that is not set.
- **Secrets in files.** Every secret has a `*_file` variant that names a file: `ELASTAUTH_SECRET_KEY_FILE`, or `secret_key_file` in the YAML. One newline at the file's end is
  cut. A list has one item a line.
- **Durations** are written as in Go: `1h30m`, `90s`, `500ms`.
- `true` and `false` are the only truth values. A key that stands twice, an unknown key and a tag are faults. An unknown `ELASTAUTH_` variable is a warning.
- **Changes while it runs.** elastauth reads everything again on SIGHUP, and when one of the files changes: the configuration's own, secrets in files, certificates. Keys
  that say \"Taken while it runs\" are then in force; the log names all others that have changed. With a fault in it nothing changes, and the log says so.
- An empty text is no value: `cache.type: \"\"` is the default, `memory`.

";

/// The text of docs/CONFIG.md.
#[must_use]
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for key in keys(Status::Available) {
        let _infallible = write!(
            text,
            "## `{}`\n\n{}\n\n{}\n",
            key.path,
            key.doc(),
            facts(key)
        );
    }
    text.push_str("## Old keys\n\nTaken with a warning that names the key to use.\n\n");
    for key in table::ALL {
        if let Status::Old(now) = key.status {
            let _infallible = writeln!(text, "- `{}`: {} Use `{now}`.", key.path, key.doc());
        }
    }
    text.push_str("\n## Not available yet\n\nKeys of capabilities that are still to come. They are refused by name unless they say what is the case anyhow.\n\n");
    for key in keys(Status::NotYet) {
        let _infallible = writeln!(text, "- `{}`: {}", key.path, key.doc());
    }
    text
}

fn facts(key: &Key) -> String {
    let mut text = format!("- Value: {}\n", key.value_type.allowed());
    if !key.default.is_empty() {
        let _infallible = writeln!(text, "- Default: `{}`", key.default.replace(',', ", "));
    }
    let variables: Vec<String> = if matches!(key.value_type, ValueType::Mappings | ValueType::Pairs)
    {
        vec![format!("`{}_<NAME>`", key.variable())]
    } else if matches!(key.value_type, ValueType::Sections) {
        vec![format!(
            "`{}_0_<KEY>`, `…_1_<KEY>`; they stand in the place of the file's list",
            key.variable()
        )]
    } else {
        [key.variable()]
            .into_iter()
            .chain(key.variables.iter().map(|name| (*name).to_owned()))
            .map(|name| format!("`{name}`"))
            .collect()
    };
    let _infallible = writeln!(text, "- Variable: {}", variables.join(", "));
    if key.value_type.has_file_variant() {
        let _infallible = writeln!(
            text,
            "- Secret; in a file of its own with `{}_file` or `{}_FILE`",
            key.path,
            key.variable()
        );
    }
    if key.reload && key.status == Status::Available {
        text.push_str("- Taken while it runs\n");
    }
    if !key.old.is_empty() {
        let old: Vec<String> = key.old.iter().map(|old| format!("`{old}`")).collect();
        let _infallible = writeln!(text, "- Old names: {}", old.join(", "));
    }
    text
}

fn keys(status: Status) -> impl Iterator<Item = &'static Key> {
    table::ALL
        .iter()
        .copied()
        .filter(move |key| key.status == status)
}

/// What a usual deployment says; the rest stands in the example as a comment.
const SAID: [&Key; 6] = [
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
pub fn example() -> String {
    let mut text =
        "# elastauth: every key. Those behind a `#` show their default, or what a value looks like; docs/CONFIG.md says more.\n".to_owned();
    let mut within = Vec::new();
    for key in keys(Status::Available) {
        let mut sections: Vec<&str> = key.path.split('.').collect();
        let name = sections.pop().unwrap_or_default();
        let same = sections
            .iter()
            .zip(&within)
            .take_while(|(a, b)| a == b)
            .count();
        if sections.is_empty() || same == 0 {
            text.push('\n');
        }
        for (depth, section) in sections.iter().enumerate().skip(same) {
            let _infallible = writeln!(text, "{}{section}:", "  ".repeat(depth));
        }
        let indent = "  ".repeat(sections.len());
        let said = SAID.iter().any(|said| said.path == key.path);
        let _infallible = writeln!(text, "{indent}# {}", key.doc());
        for line in format!("{name}: {}", value(key)).lines() {
            let _infallible = writeln!(
                text,
                "{indent}{}{}",
                if said { "" } else { "#" },
                line.trim_end()
            );
        }
        within = sections;
    }
    text
}

fn value(key: &Key) -> String {
    if !key.example.is_empty() {
        return key.example.to_owned();
    }
    if !matches!(key.value_type, ValueType::List(_)) {
        return key.default.to_owned();
    }
    // A colon means something to YAML.
    let quoted = |item: &str| {
        if item.contains(':') {
            format!("\"{item}\"")
        } else {
            item.to_owned()
        }
    };
    format!(
        "[{}]",
        key.default
            .split(',')
            .map(quoted)
            .collect::<Vec<_>>()
            .join(", ")
    )
}
