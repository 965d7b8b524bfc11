//! Gets each answer: from its flag, from the person at the terminal, or from its default.

use super::types::Failure;
use clap::ValueEnum;
use std::io::{self, BufRead, Write as _};

/// What counts where a flag is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Somebody is there to be asked.
    Terminal,
    /// `--yes`: the default, where there is one.
    Defaults,
    /// Nothing.
    Flags,
}

/// One question.
pub(super) struct Question<'a> {
    pub(super) flag: &'static str,
    pub(super) text: &'a str,
    /// Why it is asked, in one line.
    pub(super) why: &'a str,
    pub(super) default: Option<String>,
}

pub(super) struct Questions {
    mode: Mode,
    missing: Vec<&'static str>,
    wrong: Vec<String>,
}

impl Questions {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            missing: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// The answer, or `None` where [`Self::end`] will fail.
    ///
    /// # Errors
    /// Where the person at the terminal ends it.
    pub(super) fn ask<T>(
        &mut self,
        question: &Question<'_>,
        given: Option<&str>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        let taken = match (given, self.mode, question.default.as_deref()) {
            (Some(given), ..) => parse(given),
            (None, Mode::Terminal, _) => return prompt(question, parse).map(Some),
            (None, Mode::Defaults, Some(default)) => parse(default),
            (None, Mode::Defaults | Mode::Flags, _) => {
                self.missing.push(question.flag);
                return Ok(None);
            }
        };
        match taken {
            Ok(value) => Ok(Some(value)),
            Err(why) => {
                self.wrong(format!("`{}`: {why}", question.flag));
                Ok(None)
            }
        }
    }

    /// The same for one value of an enum.
    pub(super) fn choose<T: ValueEnum>(
        &mut self,
        question: &Question<'_>,
        given: Option<&T>,
        rule: impl Fn(&T) -> Result<(), String>,
    ) -> Result<Option<T>, Failure> {
        let given = given.map(name_of);
        self.ask(question, given.as_deref(), |text| {
            let value = T::from_str(text, true).map_err(|_| {
                let known: Vec<String> = T::value_variants().iter().map(name_of).collect();
                format!("it must be {}", known.join(" or "))
            })?;
            rule(&value).map(|()| value)
        })
    }

    /// Something is wrong that no single question shows.
    pub(super) fn wrong(&mut self, why: String) {
        self.wrong.push(why);
    }

    /// Whether somebody can be asked.
    pub(super) fn are_answered_by_a_person(&self) -> bool {
        self.mode == Mode::Terminal
    }

    /// # Errors
    /// With everything that is missing or wrong.
    pub(super) fn end(self) -> Result<(), Failure> {
        let mut lines = self.wrong;
        if !self.missing.is_empty() {
            let hint = if self.mode == Mode::Flags {
                "; there is no terminal to ask at. `--yes` takes the defaults of the others"
            } else {
                ""
            };
            lines.push(format!("missing: {}{hint}", self.missing.join(", ")));
        }
        if lines.is_empty() {
            Ok(())
        } else {
            Err(Failure::Usage(lines.join("\n")))
        }
    }
}

/// The texts of an enum, for a question.
pub(super) fn choices<T: ValueEnum>() -> String {
    let names: Vec<String> = T::value_variants().iter().map(name_of).collect();
    names.join(", ")
}

fn name_of<T: ValueEnum>(value: &T) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

/// Asks until there is an answer.
fn prompt<T>(
    question: &Question<'_>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    let ended = |_| Failure::Failed("the terminal is gone; nothing is written".to_owned());
    let mut out = io::stderr();
    writeln!(out, "\n{}", question.why).map_err(ended)?;
    let default = question.default.as_deref();
    let shown = default.map_or_else(String::new, |default| {
        format!(" [{}]", if default.is_empty() { "none" } else { default })
    });
    loop {
        write!(out, "{}{shown}: ", question.text).map_err(ended)?;
        out.flush().map_err(ended)?;
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        match read {
            Ok(0) => {
                return Err(Failure::Failed(
                    "\nthe questions ended before the last one; nothing is written".to_owned(),
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                writeln!(out, "  that was not UTF-8").map_err(ended)?;
                continue;
            }
            Err(error) => return Err(ended(error)),
        }
        let text = Some(line.trim())
            .filter(|text| !text.is_empty())
            .or(default);
        let Some(text) = text else {
            writeln!(out, "  an answer is needed").map_err(ended)?;
            continue;
        };
        match parse(text) {
            Ok(value) => return Ok(value),
            Err(why) => writeln!(out, "  {why}").map_err(ended)?,
        }
    }
}
