//! What an exchange holds while its answer is on the way to the client.

use crate::{
    cluster::{ExchangePlace, Share},
    respond::Watch,
    serve::{connection::PeerConnection, progress::Progress, report::Report},
};
use http::Version;
use std::sync::Arc;

/// Counts an exchange in its connection, and keeps its place among those of the cluster.
pub(super) struct Exchange {
    connection: Arc<PeerConnection>,
    /// The client's, in which the end of an answer may be the end of the connection.
    version: Version,
    progress: Arc<Progress>,
    place: Option<ExchangePlace>,
    /// The user's, of the exchanges with the cluster.
    share: Option<Share>,
    /// The answer has begun, and has not ended.
    is_passing: bool,
    /// Written when all this is over.
    pub(super) report: Report,
}

impl Exchange {
    pub(super) fn begin(
        connection: &Arc<PeerConnection>,
        version: Version,
        progress: Arc<Progress>,
        report: Report,
    ) -> Box<Self> {
        connection.activity.exchange_begins();
        Box::new(Self {
            connection: Arc::clone(connection),
            version,
            progress,
            place: None,
            share: None,
            is_passing: false,
            report,
        })
    }

    pub(super) fn connection(&self) -> &PeerConnection {
        &self.connection
    }

    /// Gives back what an earlier try has taken.
    pub(super) fn tries_again(&mut self) {
        self.share = None;
    }

    pub(super) fn takes(&mut self, share: Share) {
        self.share = Some(share);
    }

    /// The cluster has begun to answer.
    pub(super) fn answered(&mut self, place: ExchangePlace) {
        self.place = Some(place);
        self.is_passing = true;
    }

    /// There is no answer to wait for any more: the connection is a tunnel.
    pub(super) fn switched(&mut self) {
        self.report.complete();
        self.is_passing = false;
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchange")
    }
}

impl Watch for Exchange {
    fn passed(&mut self, bytes: usize) {
        self.progress.handed_on(bytes);
        self.report.passed(bytes);
    }

    fn waits(&mut self) {
        self.progress.waits_for_cluster();
    }

    fn ended(&mut self) {
        self.report.complete();
        self.place = None;
        self.share = None;
        self.is_passing = false;
    }

    fn cut(&mut self, _why: &hyper::Error) {
        self.report.cut();
        self.is_passing = false;
        if self.version < Version::HTTP_11 {
            self.connection.activity.answer_cut();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let activity = &self.connection.activity;
        activity.exchange_ends();
        self.connection.framing.answered();
        if self.is_passing {
            activity.cancelled();
        }
    }
}
