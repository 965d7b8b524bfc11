//! What a row is.

/// Rows of one kind.
pub(super) struct Table {
    pub(super) title: &'static str,
    /// A sentence or two for the document.
    pub(super) about: &'static str,
    /// The section of the configuration in which the settings of the rows are.
    pub(super) section: &'static str,
    /// The test that sends the rows.
    pub(super) test: &'static str,
    pub(super) rows: &'static [Row],
}

/// One input, and the right answer.
pub(super) struct Row {
    /// `key: value`, each in the section of the table.
    pub(super) set: &'static [&'static str],
    pub(super) sent: Sent,
    pub(super) answer: Answer,
}

/// What comes.
pub(super) enum Sent {
    /// Headers of a request, names and bytes. Without a user header, one is added.
    Headers(&'static [(&'static str, &'static [u8])]),
    /// The bytes of `Remote-Groups`.
    Groups(&'static [u8]),
    /// Claims of a signed token, as JSON; they replace those of an ordinary access token, and
    /// `null` takes one out.
    Claims(&'static str),
}

/// The right answer.
pub(super) enum Answer {
    /// A login, whoever it is for.
    Accepted,
    /// A login for this user with these groups; `""` stands for the user of the row.
    User(&'static str, &'static [&'static str]),
    /// A login with these roles.
    Roles(&'static [&'static str]),
    /// A login, and these in `Remote-Email` and `Remote-Name`.
    Person(&'static str, &'static str),
    /// No login: the status, the code, and what the log says (nothing is looked for where it is
    /// empty: the log is limited).
    Refused(u16, &'static str, &'static str),
}
