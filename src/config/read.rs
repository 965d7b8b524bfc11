//! The whole way from the sources to the configuration.

use super::{
    fill::fill, finding::Findings, gather::gather, loaded::Loaded, sources::Sources, types::Checked,
};

/// Reads the sources as a whole. Changes nothing and asks nobody.
#[must_use]
pub fn check(sources: &Sources) -> Checked {
    read(sources).0
}

/// The same, and what is needed to read them again while the program runs.
#[must_use]
pub(crate) fn read(sources: &Sources) -> (Checked, Loaded) {
    let mut findings = Findings::default();
    let settings = gather(sources, &mut findings);
    // Where a source could not be read, every other fault would be a guess.
    let config = if settings.unread {
        None
    } else {
        fill(&settings, &mut findings)
    };
    let checked = Checked::new(config, findings);
    (checked, Loaded::new(settings, sources))
}
