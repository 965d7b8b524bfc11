//! The files of docs/gateways, with the addresses of a test in the place of those of the guide.
//! Nothing else is changed.

use std::{cell::RefCell, path::Path};

/// A line of a guide, and what somebody has made of it by mistake.
pub(crate) type Mistake = (&'static str, &'static str, &'static str);

thread_local! {
    /// Of this thread, which is the one of its test.
    static MISTAKES: RefCell<Vec<Mistake>> = const { RefCell::new(Vec::new()) };
}

/// From now on the files that this test reads have these mistakes: file, text, what it becomes.
pub(crate) fn with_mistakes(mistakes: &[Mistake]) {
    MISTAKES.with_borrow_mut(|of_test| *of_test = mistakes.to_vec());
}

/// A change to a file: what is replaced, by what, and whether a file had it.
type Change = (String, String, bool);

tokio::task_local! {
    static CHANGES: RefCell<Vec<Change>>;
}

/// Runs `work` with these changes to the files that it reads: what is replaced, and by what.
///
/// # Panics
/// Where no file has what one of them replaces.
pub(crate) async fn changed<F: Future>(changes: Vec<(String, String)>, work: F) -> F::Output {
    let changes = changes.into_iter().map(|(from, to)| (from, to, false));
    let checked = async {
        let output = work.await;
        CHANGES.with(|changes| {
            for (from, _, used) in &*changes.borrow() {
                assert!(used, "no file has {from:?} any more");
            }
        });
        output
    };
    CHANGES
        .scope(RefCell::new(changes.collect()), checked)
        .await
}

fn apply_changes(text: String) -> String {
    let apply = |changes: &RefCell<Vec<Change>>| {
        let mut changes = changes.borrow_mut();
        changes.iter_mut().fold(text.clone(), |text, change| {
            let (from, to, used) = change;
            *used |= text.contains(from.as_str());
            text.replace(from.as_str(), to)
        })
    };
    CHANGES.try_with(apply).unwrap_or(text)
}

/// Reads one file and replaces what has to be replaced.
///
/// # Panics
/// Where something to replace is not there: then the guide has changed and the test would prove
/// nothing about it.
pub(crate) fn file(name: &str, replace: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/gateways")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    let mistakes = MISTAKES.with_borrow(Clone::clone);
    let mistakes = mistakes.iter().filter(|(of_file, ..)| *of_file == name);
    let mistakes = mistakes.map(|(_, from, to)| (*from, *to));
    let replace = mistakes.chain(replace.iter().copied());
    replace.fold(apply_changes(text), |text, (from, to)| {
        assert!(
            text.contains(from),
            "{name} does not contain {from:?} any more"
        );
        text.replace(from, to)
    })
}
