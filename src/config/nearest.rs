//! The known name that an unknown one probably means.

/// `; did you mean …?` with the nearest of the names, after a prefix that all of them share; empty
/// where none is near.
pub(super) fn did_you_mean<'a>(
    text: &str,
    names: impl Iterator<Item = &'a str>,
    prefix: &str,
) -> String {
    nearest(text, names).map_or_else(String::new, |name| {
        format!("; did you mean `{prefix}{name}`?")
    })
}

/// Near is what differs in few letters, in proportion to its length.
fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text: String = text.chars().take(80).collect();
    let text = text.to_ascii_lowercase();
    let rated = names.map(|name| {
        let lower = name.to_ascii_lowercase();
        (strsim::normalized_damerau_levenshtein(&text, &lower), name)
    });
    let (similarity, name) = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (similarity >= 0.6).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_only_where_it_is_near() {
        let levels = ["debug", "info", "warn", "error"];
        assert_eq!(nearest("wran", levels.into_iter()), Some("warn"));
        assert_eq!(nearest("something else", levels.into_iter().take(2)), None);
    }
}
