//! The calls of one batch, and what each of them means for whom.
//!
//! An entry is a whole user, made from what its update has read. Somebody else may have written the
//! user since: an operator has locked them, another replica has written other roles. That is likely
//! after a conflict, and possible for who has waited during a call. So the users are read once more
//! before their entry is sent, and an entry whose user is another by now is not sent: its update
//! begins again.

use super::{
    answer::{self, Culprit, Patched},
    entry::{Entry, patch},
    paths::USERS,
    queue::{Shared, Waiting, answer as tell, busy},
    reads,
};
use crate::{
    backoff::{Backoff, random_byte},
    cluster::{
        error::{CallError, CallFailure},
        pool::Ask,
        security::client::Client,
    },
    telemetry::metrics::Call,
};
use http::Method;
use std::{collections::HashSet, time::Duration};
use tokio::time::{Instant, sleep};

/// After a conflict: whoever has won leaves the document to others for a while.
const FIRST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_millis(400);
/// A write that takes longer has met a node in trouble, and nobody gains by waiting as long.
const LONGEST_WAY: Duration = Duration::from_secs(1);
/// Refusals in a row for a reason that is not known. To find one user among 500 takes ten; after
/// these it is not because of one user.
pub(super) const MOST_REFUSALS: usize = 20;

/// Writes these, and says to each what became of it.
pub(super) async fn write_batch(shared: &Shared, batch: Vec<Waiting>) {
    // The parts that are still to be written, the next one last.
    let mut parts = vec![batch];
    let mut conflicts = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let (mut in_a_row, mut refusals) = (0, 0);
    while let Some(part) = parts.pop() {
        let mut part = in_time(shared, ready(shared, part).await);
        if part.is_empty() {
            continue;
        }
        let entries: Vec<&Entry> = part.iter().map(|waiting| &waiting.entry).collect();
        let begun = Instant::now();
        let sent = send(&shared.client, &entries).await;
        shared.call_ended();
        match sent {
            Ok(Patched::Done) => {
                (in_a_row, refusals) = (0, 0);
                tell(part, &Ok(()));
                sleep(way_for_others(begun.elapsed(), shared.is_contended())).await;
                // Others may have written since those were read who have come meanwhile.
                shared.call_ended();
            }
            Err(error) => tell(part, &Err(error)),
            Ok(Patched::Conflict(failure)) => {
                shared.met_a_conflict();
                let mut wait = conflicts.failed();
                in_a_row += 1;
                // Others have lost too, and would come back at the same time.
                if in_a_row > 1 {
                    let longest = begun.elapsed().min(LONGEST_WAIT);
                    wait += longest * u32::from(random_byte()) / 255;
                }
                let end = Instant::now() + wait;
                let (patient, late) = part.into_iter().partition(|it| it.until > end);
                tell(late, &Err(refused(failure)));
                sleep(wait).await;
                keep(&mut parts, patient);
            }
            Ok(Patched::Refused(failure, culprit)) => {
                let is_meant = |entry: &Entry| match &culprit {
                    Culprit::User(name) => entry.name == *name,
                    Culprit::Role(role) => entry.roles.contains(role),
                    Culprit::Unknown => false,
                };
                let (meant, mut others): (Vec<_>, Vec<_>) =
                    part.drain(..).partition(|it| is_meant(&it.entry));
                if !meant.is_empty() {
                    tell(meant, &Err(refused(failure)));
                    keep(&mut parts, others);
                    continue;
                }
                refusals += 1;
                if refusals == MOST_REFUSALS {
                    let all = parts.drain(..).flatten().chain(others);
                    tell(all.collect(), &Err(refused(failure)));
                    continue;
                }
                // One of them, or the call as a whole: half of them is the next question.
                let half = others.split_off(others.len() / 2);
                if others.is_empty() {
                    tell(half, &Err(refused(failure)));
                } else {
                    keep(&mut parts, half);
                    keep(&mut parts, others);
                }
            }
        }
    }
}

/// How long to leave the document to others after a write that took this long. Whoever has won
/// would begin the next write at once and win again: the others have begun later and end later.
///
/// Where there was a conflict it is as long as a write of theirs takes, so two replicas write in
/// turns and hardly ever collide. A replica that always wins meets no conflict, so it leaves half
/// of that in any case. It loses nothing: those who come meanwhile are read and go into one write.
fn way_for_others(took: Duration, contended: bool) -> Duration {
    let took = took.min(LONGEST_WAY);
    let least = if contended { took } else { took / 2 };
    least + took * u32::from(random_byte()) / (2 * 255)
}

/// Those who may be written now. The others are told why not.
async fn ready(shared: &Shared, part: Vec<Waiting>) -> Vec<Waiting> {
    let now = Instant::now();
    let (part, late): (Vec<_>, Vec<_>) = part.into_iter().partition(|it| it.until >= now);
    tell(late, &Err(busy()));
    let calls = shared.calls();
    let (unsure, mut ready): (Vec<_>, Vec<_>) = part
        .into_iter()
        .partition(|it| it.calls < calls && it.entry.is_over_one());
    if unsure.is_empty() {
        return ready;
    }
    let names: HashSet<&str> = unsure.iter().map(|it| &*it.entry.name).collect();
    match reads::current(&shared.client, names).await {
        Ok(users) => {
            let (mut same, overtaken): (Vec<_>, Vec<_>) = unsure
                .into_iter()
                .partition(|it| it.entry.fits(users.get(&it.entry.name)));
            tell(overtaken, &Err(refused(CallFailure::Overtaken)));
            for waiting in &mut same {
                waiting.calls = calls;
            }
            ready.append(&mut same);
        }
        Err(error) => tell(unsure, &Err(error)),
    }
    ready
}

/// Those for whom it is not too late, after all that they have waited for.
fn in_time(shared: &Shared, part: Vec<Waiting>) -> Vec<Waiting> {
    let now = shared.client.clock.now();
    let (late, in_time): (Vec<_>, Vec<_>) = part.into_iter().partition(|it| it.entry.is_late(now));
    tell(late, &Err(refused(CallFailure::Late)));
    in_time
}

fn keep(parts: &mut Vec<Vec<Waiting>>, part: Vec<Waiting>) {
    if !part.is_empty() {
        parts.push(part);
    }
}

async fn send(client: &Client, entries: &[&Entry]) -> Result<Patched, CallError> {
    let ask = Ask {
        call: Call::WriteUser,
        method: Method::PATCH,
        path: USERS,
        authorization: &client.account(Call::WriteUser)?,
        body: patch(entries.iter().copied()),
    };
    let understand = |answer: &_| answer::patched(answer, entries);
    client.pool.write(&ask, understand).await
}

fn refused(failure: CallFailure) -> CallError {
    CallError::of_cluster(Call::WriteUser, failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_have_time_for_a_write_where_there_was_a_conflict_and_half_of_it_elsewhere() {
        let took = Duration::from_millis(300);
        for _ in 0..1_000 {
            let alone = way_for_others(took, false);
            assert!(took / 2 <= alone && alone <= took, "{alone:?}");
            let contended = way_for_others(took, true);
            assert!(
                took <= contended && contended <= took * 3 / 2,
                "{contended:?}"
            );
        }
        let longest = way_for_others(Duration::from_secs(9), true);
        assert!(longest <= LONGEST_WAY * 3 / 2, "{longest:?}");
    }
}
