//! The part of a day in which passwords may change.

use jiff::{
    ToSpan as _,
    civil::{Date, Time},
    tz::TimeZone,
};

/// The part of a day in which passwords may change.
#[derive(Debug, Clone)]
pub struct Window {
    from: Time,
    to: Time,
    zone: TimeZone,
}

/// Why a text is not a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindow {
    /// Not `HH:MM-HH:MM`.
    #[error("a window is two times of the day, such as 02:00-05:00")]
    Form,
    /// Nothing lies between the two.
    #[error("the window has no length: its two times are the same")]
    Empty,
    /// The time zone is not in the database.
    #[error("no such time zone; take a name such as Europe/Berlin or UTC")]
    Zone,
}

impl Window {
    /// Takes `02:00-05:00`, which may reach over midnight, and the name of a time zone of the IANA
    /// database.
    ///
    /// # Errors
    /// Says which of them is invalid.
    pub fn parse(text: &str, zone: &str) -> Result<Self, InvalidWindow> {
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let two_digits = |text: &str| {
                (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()))
                    .then(|| text.parse().ok())
                    .flatten()
            };
            Time::new(two_digits(hour)?, two_digits(minute)?, 0, 0).ok()
        };
        let (from, to) = text.split_once('-').ok_or(InvalidWindow::Form)?;
        let (from, to) = (
            time(from).ok_or(InvalidWindow::Form)?,
            time(to).ok_or(InvalidWindow::Form)?,
        );
        if from == to {
            return Err(InvalidWindow::Empty);
        }
        Ok(Self {
            from,
            to,
            zone: TimeZone::get(zone).map_err(|_| InvalidWindow::Zone)?,
        })
    }

    /// The window that begins on this day, in milliseconds: when it begins since 1970, and how long
    /// it is. A night in which the clocks change has an hour more or less.
    pub(super) fn on(&self, day: Date) -> Option<(u64, u64)> {
        let ends = if self.to > self.from {
            day
        } else {
            day.checked_add(1.day()).ok()?
        };
        let moment = |day: Date, time: Time| {
            u64::try_from(
                self.zone
                    .to_timestamp(day.to_datetime(time))
                    .ok()?
                    .as_millisecond(),
            )
            .ok()
        };
        let begins = moment(day, self.from)?;
        let length = moment(ends, self.to)?.saturating_sub(begins);
        // A window in the hour that the clocks skip would have no length left, and all passwords
        // would change at once: that night it ends later.
        let usual = self.length();
        Some((begins, if length < usual / 2 { usual } else { length }))
    }

    /// How long it is in a usual night, in milliseconds.
    fn length(&self) -> u64 {
        let minutes = |time: Time| {
            u64::try_from(i64::from(time.hour()) * 60 + i64::from(time.minute())).unwrap_or(0)
        };
        (minutes(self.to) + 24 * 60 - minutes(self.from)) % (24 * 60) * 60_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_window_says_why() {
        for (text, zone, why) in [
            ("2-5", "UTC", InvalidWindow::Form),
            ("02:00", "UTC", InvalidWindow::Form),
            ("25:00-26:00", "UTC", InvalidWindow::Form),
            ("02:00-02:00", "UTC", InvalidWindow::Empty),
            ("02:00-05:00", "Mars/Olympus", InvalidWindow::Zone),
        ] {
            assert_eq!(Window::parse(text, zone).err(), Some(why), "{text} {zone}");
        }
    }
}
