//! Goes through every order of the steps that a setting allows.

use super::{
    setting::{Setting, Step},
    stage::Stage,
    world::World,
};
use std::{collections::HashSet, fmt::Write as _, future::Future};

/// What was seen.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Found {
    /// Different states that were reached.
    pub(crate) states: usize,
    /// Steps that led to them, or to one of them again.
    pub(crate) steps: usize,
    /// Stories that had to be played from the beginning.
    pub(crate) stories: usize,
    /// Logins that were judged.
    pub(crate) answers: usize,
    /// Steps of the longest story.
    pub(crate) longest: usize,
}

/// Plays on one thread, with a time that passes only when a step says so.
pub(crate) fn play<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .event_interval(1)
        .build()
        .unwrap();
    runtime.block_on(story)
}

/// Every order. Two orders that lead to the same state have the same future, and only one is
/// followed.
///
/// From every state there is a way to an answer without further faults: each state has a usual
/// next step, until none is left and the ending is played to an answer.
///
/// # Errors
/// A short story that breaks a rule.
pub(crate) fn every_order(setting: Setting) -> Result<Found, String> {
    play(async move {
        let mut stage = Stage::new(setting).await;
        let mut found = Found::default();
        let mut known = HashSet::new();
        let mut waiting = vec![Vec::new()];
        while let Some(mut story) = waiting.pop() {
            found.stories += 1;
            if let Err(why) =
                follow(&mut stage, &mut story, &mut known, &mut waiting, &mut found).await
            {
                return Err(shortest(&mut stage, why, story).await);
            }
        }
        found.states = known.len();
        Ok(found)
    })
}

/// Plays a story, and goes on from its end by the usual steps for as long as that leads to
/// something new. The other ways that there were are left for later.
async fn follow(
    stage: &mut Stage,
    story: &mut Vec<Step>,
    known: &mut HashSet<u64>,
    waiting: &mut Vec<Vec<Step>>,
    found: &mut Found,
) -> Result<(), String> {
    let mut world = World::begin(stage).await?;
    for step in story.iter() {
        world.take(*step).await?;
    }
    let earlier = world.answers;
    loop {
        found.steps += 1;
        found.longest = found.longest.max(story.len());
        if !known.insert(world.key()) {
            found.answers += world.answers - earlier;
            return world.end(false).await;
        }
        let mut next = world.steps();
        let usual = next
            .iter()
            .position(|step| step.is_usual())
            .map(|place| next.remove(place));
        waiting.extend(
            next.into_iter()
                .map(|step| [story.as_slice(), &[step]].concat()),
        );
        let Some(usual) = usual else {
            found.answers += world.answers - earlier;
            return world.end(true).await;
        };
        story.push(usual);
        world.take(usual).await?;
    }
}

/// A long way through a setting, by the dice.
///
/// # Errors
/// A short story that breaks a rule.
pub(crate) fn by_the_dice(setting: &Setting, seed: u64, length: usize) -> Result<Found, String> {
    play(async {
        let mut stage = Stage::new(setting.clone()).await;
        let (mut dice, mut story) = (Dice(seed), Vec::new());
        match wander(&mut stage, &mut dice, &mut story, length).await {
            Ok(answers) => Ok(Found {
                states: story.len(),
                steps: story.len(),
                stories: 1,
                answers,
                longest: story.len(),
            }),
            Err(why) => Err(shortest(&mut stage, why, story).await),
        }
    })
}

async fn wander(
    stage: &mut Stage,
    dice: &mut Dice,
    story: &mut Vec<Step>,
    length: usize,
) -> Result<usize, String> {
    let mut world = World::begin(stage).await?;
    while story.len() < length {
        let steps = world.steps();
        let answers = |step: &Step| {
            matches!(
                step,
                Step::Well(_) | Step::Release(_) | Step::Conflict(_) | Step::RedisDone(_)
            )
        };
        // Mostly the cluster answers or somebody asks: else nobody would ever get anywhere.
        let kind: &dyn Fn(&Step) -> bool = match dice.throw(10) {
            0..=4 => &answers,
            5..=7 => &|step| matches!(step, Step::Ask { .. }),
            8 => &|step| matches!(step, Step::Pass(_) | Step::Late(_) | Step::MessagesCome(_)),
            _ => &|step| !step.is_usual(),
        };
        let of_this_kind: Vec<Step> = steps.into_iter().filter(|step| kind(step)).collect();
        if !of_this_kind.is_empty() {
            let step = of_this_kind[dice.throw(of_this_kind.len())];
            story.push(step);
            world.take(step).await?;
        } else if dice.throw(1_000) == 0 {
            // Nothing is left but what the dice do not want.
            break;
        }
    }
    let answers = world.answers;
    world.end(true).await?;
    Ok(answers)
}

/// `SplitMix64`: the same seed, the same throws.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }
}

/// Leaves out of a story that goes wrong what it goes wrong without.
async fn shortest(stage: &mut Stage, mut why: String, mut story: Vec<Step>) -> String {
    let mut place = story.len();
    while let Some(before) = place.checked_sub(1) {
        place = before;
        let mut shorter = story.clone();
        shorter.remove(place);
        if let Err(still) = played(stage, &shorter).await {
            (why, story) = (still, shorter);
            place = place.min(story.len());
        }
    }
    report(&why, &story)
}

/// Plays a story to its end; steps that are not possible are left out.
///
/// # Errors
/// What goes wrong in it.
pub(crate) async fn played(stage: &mut Stage, story: &[Step]) -> Result<(), String> {
    let mut world = World::begin(stage).await?;
    for step in story {
        if world.steps().contains(step) {
            world.take(*step).await?;
        }
    }
    world.end(true).await
}

/// A story that went wrong, a line a step.
fn report(why: &str, story: &[Step]) -> String {
    let mut text = format!("{why}\n");
    for (number, step) in story.iter().enumerate() {
        let _infallible = writeln!(text, "  {:2} {step:?}", number + 1);
    }
    text
}
