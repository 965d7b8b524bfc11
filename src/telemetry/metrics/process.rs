//! What Linux reports about this process, read at each exposition. Without `/proc` nothing is
//! exposed.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::fmt;

/// Ticks of CPU time in a second, as Linux shows them to programs on every architecture.
const TICKS: f64 = 100.0;

/// Reads `/proc/self`: two small files.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(seconds) = std::fs::read_to_string("/proc/self/stat")
            .ok()
            .as_deref()
            .and_then(cpu_seconds)
        {
            let value = ConstCounter::new(seconds);
            value.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                "CPU time that the process used",
                None,
                value.metric_type(),
            )?)?;
        }
        if let Some(bytes) = std::fs::read_to_string("/proc/self/status")
            .ok()
            .as_deref()
            .and_then(resident_bytes)
        {
            let value = ConstGauge::new(bytes);
            let name = "process_resident_memory_bytes";
            value.encode(encoder.encode_descriptor(
                name,
                "Memory that the process uses",
                None,
                value.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

/// The 14th and 15th field, counted from behind the name of the program, which may hold spaces and
/// brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest
        .split_ascii_whitespace()
        .skip(11)
        .map(str::parse::<u32>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some((f64::from(user) + f64::from(system)) / TICKS)
}

fn resident_bytes(status: &str) -> Option<i64> {
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix("kB")?;
    kilobytes.trim().parse::<i64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_spaces_and_brackets_is_skipped() {
        let stat =
            "42 (ela) stauth 1 2) S 1 42 42 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 5 0 100 1 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("42 (elastauth) S 1"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(
            resident_bytes("Name:\telastauth\nVmRSS:\t   10 kB\n"),
            Some(10_240)
        );
        assert_eq!(resident_bytes("Name:\telastauth\n"), None);
    }
}
