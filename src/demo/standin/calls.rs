//! The record of calls: what reached the cluster, in its order.

use super::fault::Misbehaviour;
use http::{Method, StatusCode};
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// One call that reached the stand-in.
#[derive(Debug, Clone)]
pub struct Call {
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
    began: Instant,
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

impl Call {
    /// In one line, such as `PUT /_security/user/ada?refresh=false 200`; `...` stands for an answer
    /// that never came.
    #[must_use]
    pub fn line(&self) -> String {
        let status = self
            .status
            .map_or("...".to_owned(), |status| status.as_u16().to_string());
        format!("{} {} {status}", self.method, self.path)
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
    list: VecDeque<Call>,
    next: u64,
    open: u64,
    busiest: u64,
}

impl Calls {
    /// More than a test looks at; a few megabytes.
    const MAX: usize = 20_000;

    pub(super) fn begin(
        &mut self,
        method: &Method,
        path: &str,
        by: By,
        through_gateway: bool,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open += 1;
        self.busiest = self.busiest.max(self.open);
        if self.list.len() == Self::MAX {
            self.list.pop_front();
        }
        let (method, path, began) = (method.clone(), path.to_owned(), Instant::now());
        self.list.push_back(Call {
            number,
            method,
            path,
            by,
            status: None,
            took: None,
            through_gateway,
            met: None,
            began,
        });
        number
    }

    /// The call is over, answered or not.
    pub(super) fn close(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// The most calls that were there at once, and begins to look for the most anew.
    pub(super) fn busiest(&mut self) -> u64 {
        std::mem::replace(&mut self.busiest, self.open)
    }

    pub(super) fn end(&mut self, number: u64, status: StatusCode) {
        if let Some(call) = self.call(number) {
            call.status = Some(status);
            call.took = Some(call.began.elapsed());
        }
    }

    pub(super) fn met(&mut self, number: u64, fault: Option<Misbehaviour>) {
        if let Some(call) = self.call(number) {
            call.met = fault;
        }
    }

    fn call(&mut self, number: u64) -> Option<&mut Call> {
        // A call that began long ago may have left the list.
        let first = self.list.front().map_or(0, |call| call.number);
        let at = number
            .checked_sub(first)
            .and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.list.get_mut(at))
    }

    pub(super) fn list(&self) -> Vec<Call> {
        self.list.iter().cloned().collect()
    }

    pub(super) fn since(&self, number: u64) -> Vec<Call> {
        self.list
            .iter()
            .filter(|call| call.number >= number)
            .cloned()
            .collect()
    }

    pub(super) fn count(&self) -> u64 {
        self.next
    }

    pub(super) fn forget(&mut self) {
        self.list.clear();
    }
}
