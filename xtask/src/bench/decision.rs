//! What a decision costs: elastauth beside a bare hyper server that reads the same requests and
//! returns a constant, and beside an earlier program where `ELASTAUTH_BASELINE` names one.

use super::{
    cores::Cores,
    median,
    rounds::{Load, Named, Requests, among, wrk_apart},
    server::{Elastauth, Running, built, example_of},
};
use crate::shell;
use std::path::PathBuf;

/// Names the program to compare with: a build of another commit, or with another compiler.
const BASELINE: &str = "ELASTAUTH_BASELINE";

/// The programs in their order, each on the servers' cores.
pub(super) struct Contest {
    cores: Cores,
    ours: Elastauth,
    baseline: Option<Elastauth>,
    bare: Running,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aim {
    /// Against bare hyper: the least rate, and the most processor time.
    Bare { rate: f64, cpu: f64 },
    /// Against the baseline: no lower rate and no more processor time.
    Baseline,
}

/// Medians of elastauth against bare hyper.
#[derive(Debug, Clone, Copy)]
pub(super) struct Against {
    pub(super) rate: f64,
    pub(super) cpu: f64,
}

impl Contest {
    /// Starts them in front of this cluster, with `more` in the configuration.
    pub(super) fn start(cluster: &Running, more: &str) -> anyhow::Result<Self> {
        let cores = Cores::of_this_machine()?;
        let url = format!("http://{}", cluster.address);
        let start = |program: PathBuf| Elastauth::start_from(cores.server(program), &url, more);
        let baseline = shell::variable(BASELINE).map(PathBuf::from);
        Ok(Self {
            ours: start(built("elastauth"))?,
            baseline: baseline.map(start).transpose()?,
            bare: example_of(&mut cores.server(built("examples/bare_hyper")))?,
            cores,
        })
    }

    /// Does the same with each program that decides.
    pub(super) fn prepare(
        &self,
        work: impl Fn(&Elastauth) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        std::iter::once(&self.ours)
            .chain(&self.baseline)
            .try_for_each(work)
    }

    /// Rounds with these requests, and what they show.
    pub(super) fn run(
        &self,
        what: &str,
        rounds: usize,
        requests: Requests<'_>,
        aim: Aim,
    ) -> anyhow::Result<Against> {
        let mut servers: Vec<Named<'_>> =
            vec![("elastauth", &self.ours), ("bare hyper", &self.bare)];
        servers.extend(self.baseline.iter().map(|one| ("baseline", &**one)));
        let load = |server: &Running| wrk_apart(&self.cores, server, requests);
        // The first round of each fills its caches and does not count.
        for (_, server) in &servers {
            load(server)?;
        }
        let found = among(rounds, &servers, load)?;
        let [ours, bare, baseline @ ..] = &*found else {
            anyhow::bail!("there are two servers and a baseline");
        };
        let (of_bare, of_baseline) = match aim {
            Aim::Bare { rate, cpu } => (
                format!(" (aim: rate at least {rate}, CPU at most {cpu})"),
                String::new(),
            ),
            Aim::Baseline => (
                String::new(),
                " (aim: rate at least 1, CPU at most 1)".to_owned(),
            ),
        };
        let against = shown(what, "bare hyper", ours, bare, &of_bare);
        match baseline {
            [baseline] => {
                shown(
                    &format!("{what}, baseline"),
                    "bare hyper",
                    baseline,
                    bare,
                    "",
                );
                shown(what, "the baseline", ours, baseline, &of_baseline);
            }
            _ if !of_baseline.is_empty() => println!(
                "{what}: set {BASELINE} to the path of an earlier program to compare with it"
            ),
            _ => {}
        }
        Ok(against)
    }
}

fn shown(what: &str, other_name: &str, one: &[Load], other: &[Load], aim: &str) -> Against {
    let ratios = |value: fn(&Load) -> f64| {
        let pairs = one.iter().zip(other);
        let mut ratios: Vec<f64> = pairs
            .map(|(one, other)| value(one) / value(other))
            .collect();
        median(&mut ratios)
    };
    let (rate, cpu) = (ratios(|load| load.rate), ratios(|load| load.cost_us));
    println!(
        "{what} against {other_name}: rate {}, CPU {}{aim}",
        rate.1, cpu.1
    );
    Against {
        rate: rate.0,
        cpu: cpu.0,
    }
}
