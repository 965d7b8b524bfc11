//! `${VAR}` and `${VAR:-default}` in the values of the file.

use super::{
    finding::Findings,
    raw::{Raw, RawNode},
    yaml::shown,
};

/// Puts variables into every value below `raw`, in place. A value that names a missing one becomes
/// invalid; the fault is reported.
pub(super) fn expand<'e>(
    raw: &mut Raw,
    variable: &dyn Fn(&str) -> Option<&'e str>,
    findings: &mut Findings,
) {
    match &mut raw.node {
        RawNode::Text(text) if text.contains("${") => match expanded(text, variable) {
            Ok(done) => *text = done,
            Err(why) => {
                findings.fault(&raw.place, why);
                raw.node = RawNode::Invalid;
            }
        },
        RawNode::Null | RawNode::Invalid | RawNode::Text(_) => {}
        RawNode::List(items) => items
            .iter_mut()
            .for_each(|item| expand(item, variable, findings)),
        RawNode::Map(entries) => entries
            .iter_mut()
            .for_each(|(_, value)| expand(value, variable, findings)),
    }
}

fn expanded<'e>(text: &str, variable: &dyn Fn(&str) -> Option<&'e str>) -> Result<String, String> {
    let (mut done, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            // `$${` is a literal `${`.
            done.push_str(before);
            done.push_str("${");
            rest = after;
            continue;
        }
        done.push_str(before);
        let (inner, tail) = after
            .split_once('}')
            .ok_or("a `${` has no `}`; write `$${` for a literal `${`")?;
        let (name, default) = inner
            .split_once(":-")
            .map_or((inner, None), |(name, default)| (name, Some(default)));
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !is_name {
            return Err(
                "there is no name of a variable between `${` and `}`; write `$${` for a \
                        literal `${`"
                    .to_owned(),
            );
        }
        // As a shell does it: the default counts for an empty variable too.
        let value = variable(name).filter(|value| default.is_none() || !value.is_empty());
        done.push_str(
            value
                .or(default)
                .ok_or_else(|| format!("the variable `{}` is not set", shown(name)))?,
        );
        rest = tail;
    }
    done.push_str(rest);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, String> {
        expanded(text, &|name| match name {
            "A" => Some("alpha"),
            "EMPTY" => Some(""),
            _ => None,
        })
    }

    #[test]
    fn variables_are_put_in_as_a_shell_does() {
        for (text, done) in [
            ("${A}", "alpha"),
            ("x${A}y${A}", "xalphayalpha"),
            ("${B:-beta}", "beta"),
            ("${B:-}", ""),
            ("${EMPTY:-beta}", "beta"),
            ("${EMPTY}", ""),
            ("$${A}", "${A}"),
            ("$A $ $$", "$A $ $$"),
        ] {
            assert_eq!(with(text).as_deref(), Ok(done), "{text}");
        }
    }

    #[test]
    fn a_missing_variable_is_named() {
        assert!(with("${UNSET}").unwrap_err().contains("`UNSET`"));
        for bad in ["${A", "${}", "${a b}", "${1A}", "${:-x}"] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }
}
