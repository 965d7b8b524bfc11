//! Captures in braces, such as `{tenant}`, in texts of a cluster's section.

/// The names in braces that a text has, in order.
pub(super) fn names(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|(_, name)| name)
}

/// The text with `value` for each capture of this name; for every capture where `name` is `None`.
pub(super) fn filled(text: &str, name: Option<&str>, value: &str) -> String {
    let mut filled = String::with_capacity(text.len());
    for (before, found) in pieces(text) {
        filled.push_str(before);
        match found {
            Some(found) if name.is_none_or(|name| name == found) => filled.push_str(value),
            Some(found) => {
                filled.push('{');
                filled.push_str(found);
                filled.push('}');
            }
            None => {}
        }
    }
    filled
}

/// Whether a `*` of a pattern may stand for a part of the label before or behind it: nothing is
/// between it and the capture, or only what labels have themselves.
pub(super) fn may_run_on(pattern: &str, capture: &str) -> bool {
    /// Stands for the label. No pattern has a control character.
    const LABEL: char = '\0';
    let marked = filled(pattern, Some(capture), "\0");
    let mut labels = marked.match_indices(LABEL);
    let is_of_labels = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    labels.any(|(at, label)| {
        let before = marked.get(..at).and_then(|before| before.rsplit_once('*'));
        let after = marked.get(at + label.len()..);
        let after = after.and_then(|after| after.split_once('*'));
        let between = [before.map(|(_, text)| text), after.map(|(text, _)| text)];
        let mut between = between.into_iter().flatten();
        between.any(|text| text.bytes().all(is_of_labels))
    })
}

/// Texts, each with the name in braces that follows it.
fn pieces(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let found = text.match_indices('{').find_map(|(at, _)| {
            let (name, after) = text.get(at + 1..)?.split_once('}')?;
            is_name(name).then_some((text.get(..at)?, name, after))
        });
        rest = found.map(|(.., after)| after);
        Some(found.map_or((text, None), |(before, name, _)| (before, Some(name))))
    })
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    !text.is_empty() && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_letters_in_braces_are_a_capture() {
        for (text, found) in [
            ("{tenant}-{a_b}", &["tenant", "a_b"][..]),
            ("kibana-{1}", &[]),
            ("{}{ {Tenant} {tenant", &[]),
            ("{{tenant}}", &["tenant"]),
        ] {
            assert_eq!(names(text).collect::<Vec<_>>(), found, "{text}");
        }
    }

    #[test]
    fn a_wildcard_runs_on_where_only_what_labels_have_is_between() {
        for (pattern, runs_on) in [
            ("{t}-*", true),
            ("{t}*", true),
            ("*-{t}", true),
            ("{t}-team-*", true),
            ("{t}-{t}-*", true),
            ("{t}/*", false),
            ("{t}_*", false),
            ("*:{t}", false),
            ("{t}-admins", false),
            ("*", false),
            ("{other}-*", false),
        ] {
            assert_eq!(may_run_on(pattern, "t"), runs_on, "{pattern}");
        }
    }

    #[test]
    fn a_capture_is_filled_and_all_else_stays() {
        for (text, name, filled_text) in [
            ("{tenant}-x-{tenant}", Some("tenant"), "one-x-one"),
            ("{other}-{tenant}", Some("tenant"), "{other}-one"),
            ("{other}-{tenant}", None, "one-one"),
            ("kibana-{1}{", Some("tenant"), "kibana-{1}{"),
            ("", None, ""),
        ] {
            assert_eq!(filled(text, name, "one"), filled_text, "{text}");
        }
    }
}
