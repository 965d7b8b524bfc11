//! Replaces the names of the guides, all at once: what was put in is not replaced again.

/// A text of a guide, and what comes instead.
pub(super) type Change = (String, String);

/// The longest text that begins at a place counts.
pub(super) fn replaced(text: &str, changes: &[Change]) -> String {
    let mut changes: Vec<&Change> = changes.iter().collect();
    changes.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    let (mut done, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(next) = rest.chars().next() {
        let change = changes.iter().find_map(|(from, to)| {
            let after = rest.strip_prefix(from.as_str())?;
            Some((after, to))
        });
        if let Some((after, to)) = change {
            done.push_str(to);
            rest = after;
        } else {
            done.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_can_be_swapped_and_the_longest_text_counts() {
        let changes = [("a.org", "b.org"), ("b.org", "a.org"), ("x b.org", "c")];
        let changes = changes.map(|(from, to)| (from.to_owned(), to.to_owned()));
        assert_eq!(
            replaced("a.org b.org; x b.org ü", &changes),
            "b.org a.org; c ü"
        );
    }
}
