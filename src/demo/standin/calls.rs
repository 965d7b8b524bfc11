//! The record of calls: what reached the cluster, in its order.

use super::fault::Misbehaviour;
use http::{Method, StatusCode};
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// One call that reached the stand-in.
#[derive(Debug, Clone)]
pub struct RecordedCall {
    /// Counts all calls of this node, from 0.
    pub number: u64,
    /// The method.
    pub method: Method,
    /// Path and query exactly as they came.
    pub path: String,
    /// Whose credential it carried.
    pub by: By,
    /// What was answered; `None` while the answer is on its way, and for ever where the connection
    /// was cut.
    pub status: Option<StatusCode>,
    /// How long the answer took.
    pub took: Option<Duration>,
    /// Whether a gateway brought it (it carries `Via`), rather than elastauth.
    pub through_gateway: bool,
    /// The fault that was applied to it, a delay aside.
    pub met: Option<Misbehaviour>,
    pub(super) began: Instant,
}

/// Whose credential a call carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The service account's, as user or by its API key.
    ServiceAccount,
    /// That of this native user.
    User(String),
    /// None that works.
    Nobody,
}

impl RecordedCall {
    /// In one line, such as `PUT /_security/user/ada?refresh=false 200`; `...` means an answer
    /// that never came.
    #[must_use]
    pub fn line(&self) -> String {
        let status = self
            .status
            .map_or("...".to_owned(), |status| status.as_u16().to_string());
        format!("{} {} {status}", self.method, self.path)
    }

    /// Whether elastauth asked for nobody: after its start and for readiness, it checks whether its
    /// own account is accepted.
    #[must_use]
    pub fn is_check(&self) -> bool {
        const PATHS: [&str; 2] = ["/_security/_authenticate", "/_plugins/_security/authinfo"];
        // And it asks of which kind the cluster is.
        let asks_kind = self.path == "/" && !self.through_gateway;
        let by_service = self.by == By::ServiceAccount;
        asks_kind || by_service && PATHS.iter().any(|path| self.path.starts_with(path))
    }

    /// How long ago it came.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }
}

/// The latest calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) list: VecDeque<RecordedCall>,
    /// The number of the next call.
    pub(super) next: u64,
    /// Those that are not over, answered or not.
    pub(super) open: u64,
    /// The most that were open at once since somebody asked.
    pub(super) busiest: u64,
}

impl Calls {
    /// More than a test looks at; a few megabytes.
    const MAX: usize = 20_000;

    /// Records a call and gives it its number.
    pub(super) fn begin(&mut self, call: RecordedCall) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open += 1;
        self.busiest = self.busiest.max(self.open);
        if self.list.len() == Self::MAX {
            self.list.pop_front();
        }
        self.list.push_back(RecordedCall { number, ..call });
        number
    }

    pub(super) fn change(&mut self, number: u64, change: impl FnOnce(&mut RecordedCall)) {
        // A call that began long ago may have left the list.
        if let Ok(at) = self.list.binary_search_by_key(&number, |call| call.number)
            && let Some(call) = self.list.get_mut(at)
        {
            change(call);
        }
    }
}
