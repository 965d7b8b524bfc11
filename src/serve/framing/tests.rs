//! Bytes and what passes of them, in one piece and cut at every place.

mod fuzz;
mod reference;
mod rows;

use super::{Framing, FramingFault, HeadLimits};

const LIMITS: HeadLimits = HeadLimits {
    bytes: 1_000,
    fields: 10,
};

/// What passes of `pieces`, which come one after the other, and what is wrong with the rest. Each
/// request is answered at once, unless it asks for an upgrade.
fn judged<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Option<FramingFault>) {
    let mut framing = Framing::new(LIMITS);
    let (mut passed, mut held) = (Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let judged = framing.judge(&held);
            passed.extend(held.drain(..judged.passed));
            if judged.fault.is_some() {
                return (passed, judged.fault);
            }
            if !framing.waits_for_answer() || framing.asks_for_upgrade() {
                break;
            }
            framing.answered(false);
        }
    }
    (passed, None)
}
