//! How far a long command is, on standard error; and its one question.

use crate::cli::output::CommandError;
use std::io::{self, IsTerminal as _, Write as _};

/// Without a terminal, a line for so many.
const APART: usize = 100;

/// Counts what is done.
pub(super) struct Progress {
    done: usize,
    of: usize,
    quiet: bool,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(of: usize, quiet: bool) -> Self {
        Self {
            done: 0,
            of,
            quiet,
            terminal: io::stderr().is_terminal(),
        }
    }

    pub(super) fn one_more(&mut self) {
        self.done += 1;
        if self.quiet || (!self.terminal && !self.done.is_multiple_of(APART)) {
            return;
        }
        let (begin, end) = if self.terminal {
            ("\r", "")
        } else {
            ("", "\n")
        };
        let mut out = io::stderr();
        // Nobody reads it: that is no failure.
        let _shown = write!(out, "{begin}{} of {}{end}", self.done, self.of);
        let _shown = out.flush();
    }

    pub(super) fn end(&self) {
        if self.terminal && !self.quiet && self.done > 0 {
            let _shown = writeln!(io::stderr());
        }
    }
}

/// Whether somebody at the terminal says yes.
///
/// # Errors
/// Where nobody is there to be asked.
pub(super) fn agrees(question: &str) -> Result<bool, CommandError> {
    let mut out = io::stderr();
    if !io::stdin().is_terminal() || !out.is_terminal() {
        return Err(CommandError(
            "nobody is at a terminal to be asked, so nobody is deleted; look at them with \
             --dry-run, and delete them with --yes"
                .to_owned(),
        ));
    }
    let mut answer = String::new();
    let asked = write!(out, "{question}").and_then(|()| out.flush()).is_ok()
        && io::stdin().read_line(&mut answer).is_ok();
    Ok(asked && answer.trim().eq_ignore_ascii_case("y"))
}
