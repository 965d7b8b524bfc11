//! What an exchange holds while its answer is on the way to the client.

use crate::{
    cluster::ExchangePlace,
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
    /// Written when all this is over.
    pub(super) report: Report,
}

impl Exchange {
    pub(super) fn begin(
        connection: &Arc<PeerConnection>,
        version: Version,
        progress: Arc<Progress>,
        report: Report,
    ) -> Self {
        connection.activity.exchange_begins();
        Self {
            connection: Arc::clone(connection),
            version,
            progress,
            place: None,
            report,
        }
    }

    /// The cluster has begun to answer.
    pub(super) fn answered(&mut self, place: ExchangePlace) {
        self.place = Some(place);
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
    }

    fn cut(&mut self, _why: &hyper::Error) {
        self.report.cut();
        if self.version < Version::HTTP_11 {
            self.connection.activity.answer_cut();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.connection.activity.exchange_ends();
    }
}
